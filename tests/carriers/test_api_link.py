"""A link to a carrier with an HTTP API of its own: what becomes of parts when answers come, or don't."""

import json
from functools import partial
from typing import Any, cast

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.web._newclient import ResponseNeverReceived

from relay.carriers.api_binds import api_binds
from relay.carriers.http_binds import carrier_headers
from relay.carriers.http_session import TraceHeaders
from relay.carriers.link import CarrierLink
from relay.config.api_config import Api
from relay.config.carrier_config import Carrier
from relay.config.daemon_config import Tracing as Settings
from relay.smpp.message_codec import message_body
from relay.text.compose import compose
from relay.text.text_form import TextForm
from relay.tracing.spans import submit_span_id
from relay.tracing.tracing import Tracing
from relay.values.ids import id_text
from relay.values.messages import Submission
from relay.values.secret import Secret
from relay.values.smpp_constants import ESM_CLASS_UDHI
from relay.values.states import REJECTED, UNKNOWN
from tests.carriers.test_http_link import HttpLinkTestCase
from tests.routing.test_flow import ADDRESSES

TAKEN = {"id": "up-1"}


class ApiLinkTests(HttpLinkTestCase):
    """Two links, each with the preset `json`."""

    trace_headers: TraceHeaders | None = None

    def link(self, name: str = "up", **settings: Any) -> CarrierLink:
        api = {"public_url": "https://relay.example.org"} | settings.pop("api", {})
        values: dict[str, Any] = {
            "kind": "api",
            "connect": f"https://{name}.example.net",
            "password": Secret("key"),
            "signing_secret": Secret("token"),
            "throttle_seconds": 1.0,
            "reconnect_min_seconds": 1.0,
            "response_timeout_seconds": 30.0,
            "api": Api(**api),
        }
        carrier = Carrier(**values | settings)
        link = CarrierLink(
            name,
            carrier,
            self.flow,
            self.clock,
            api_binds(
                name,
                carrier,
                cast(HTTPClient, self.http),
                self.clock,
                fraction=lambda: 1.0,
                trace_headers=self.trace_headers,
            ),
            queue_bytes=1_000_000,
        )
        self.links[name] = link
        self.flow.connect(self.links, {})
        link.start()
        self.turn()
        self.assertTrue(link.up)
        return link

    def ended(self) -> list[tuple[bytes, int]]:
        return [(ending.id, ending.state) for ending in self.store.ended]

    def test_each_part_is_one_request_with_a_name_that_follows_from_message_and_part(self) -> None:
        link = self.link()
        [message] = self.submit()
        asked = self.next()
        self.assertEqual((asked.method, asked.url), ("POST", b"https://up.example.net/messages"))
        self.assertEqual(json.loads(asked.data or b"")["text"], "hello")
        self.assertEqual(asked.headers.getRawHeaders("Idempotency-Key"), [f"{id_text(message.id)}/0"])
        asked.answer(202, TAKEN)
        self.turn()
        [taken] = self.store.taken
        self.assertEqual((taken.id, taken.carrier, taken.carrier_message_id), (message.id, "up", b"up-1"))
        self.assertEqual((link.in_flight, link.queued), (0, 0))

    def test_requests_have_the_headers_of_their_traces(self) -> None:
        tracing = Tracing(Settings(sample_ratio=1.0))
        self.trace_headers = partial(carrier_headers, tracing, "up")
        self.link()
        [message] = self.submit()
        [parent] = self.next().headers.getRawHeaders("traceparent", [])
        self.assertEqual(parent, f"00-{message.id.hex()}-{submit_span_id(message.id, 0, 'up').hex()}-01")

    def test_as_many_requests_are_under_way_as_the_settings_allow(self) -> None:
        link = self.link(api={"concurrency": 2})
        self.submit(5)
        self.turn()
        self.assertEqual((len(self.http.asked), link.queued), (2, 3))
        self.next().answer(202, TAKEN)
        self.turn()
        self.assertEqual((len(self.http.asked), link.queued), (2, 2))

    def test_a_refused_part_ends_the_message_and_one_for_later_waits(self) -> None:
        link = self.link()
        first, _ = self.submit(2)
        one, other = self.next(), self.next()
        one.answer(422, {"error": "bad-number"})
        other.answer(429, b"", Retry_After="7")
        self.turn()
        self.assertEqual(self.ended(), [(first.id, REJECTED)])
        self.assertEqual((link.queued, link.up), (1, True))
        self.turn(6.9)
        self.assertEqual(len(self.http.asked), 0)
        self.turn(0.2)
        self.next().answer(202, TAKEN)
        self.turn()
        self.assertEqual(len(self.store.taken), 1)

    def test_parts_that_could_not_be_sent_wait_or_go_to_another_carrier_until_the_pause_is_over(self) -> None:
        link = self.link()
        self.submit(1)
        self.next().done.errback(ConnectionRefusedError())
        self.turn()
        self.assertEqual((link.up, link.queued, link.in_flight), (False, 1, 0))
        self.turn(5.0)
        self.assertTrue(link.up)
        self.next().done.errback(ConnectionRefusedError())
        self.turn()
        self.link("other")
        self.assertEqual(self.next().url, b"https://other.example.net/messages")

    def test_a_part_in_doubt_is_sent_again_or_ends_as_in_doubt_says(self) -> None:
        lost = Failure(ResponseNeverReceived([Failure(ConnectionDone())]))
        for in_doubt, queued in (("resend", 1), ("end", 0)):
            for fails in ("lost", "late", "502", "nonsense"):
                self.setUp()
                link = self.link(in_doubt=in_doubt)
                [message] = self.submit()
                asked = self.next()
                if fails == "lost":
                    asked.done.errback(lost)
                elif fails == "late":
                    self.turn(30.1)
                    self.assertTrue(asked.cancelled)
                else:
                    asked.answer(502 if fails == "502" else 200, b"<html>")
                self.turn()
                self.assertEqual(link.counters.in_doubt, 1, (in_doubt, fails))
                self.assertEqual(self.ended(), [] if queued else [(message.id, UNKNOWN)])
                self.assertEqual(len(self.http.asked), queued, (in_doubt, fails))

    def test_after_two_failures_in_a_row_the_link_is_down_for_a_pause(self) -> None:
        link = self.link()
        self.submit()
        self.next().answer(502)
        self.next().answer(502)
        self.turn()
        self.assertEqual((link.up, link.queued), (False, 1))
        self.turn(5.0)
        self.next().answer(202, TAKEN)
        self.turn()
        self.assertEqual((link.up, len(self.store.taken)), (True, 1))

    def test_wrong_credentials_cost_no_message_and_are_shown_as_a_refused_bind(self) -> None:
        link = self.link()
        self.submit(1)
        self.next().answer(401, b"{}")
        self.turn()
        self.assertEqual((link.up, link.queued, link.counters.bind_failures), (False, 1, 1))
        self.assertEqual((self.ended(), link.counters.in_doubt), ([], 0))

    def test_what_the_api_can_not_send_goes_to_another_carrier_or_ends(self) -> None:
        self.link()
        body = message_body(addresses=ADDRESSES, short_message=b"\x05\0\x03\1\2\1hi", esm_class=ESM_CLASS_UDHI)
        [prepared] = self.flow.prepare("acme", [Submission(ADDRESSES, (body,))])
        self.store.accept([prepared])  # type: ignore[list-item]
        self.flow.dispatch([prepared])  # type: ignore[list-item]
        self.turn()
        self.assertEqual([state for _, state in self.ended()], [REJECTED])
        self.assertEqual(len(self.http.asked), 0)

    def test_a_text_that_makes_the_url_too_long_ends_its_message_once_and_nothing_is_sent(self) -> None:
        link = self.link(api={"method": "GET", "path": "/send?to={to_digits}&text={text}"})
        addresses, parts, _ = compose("acme", "+447700900123", "\u4e2d" * 300, reference=1, form=TextForm(payload=True))
        [prepared] = self.flow.prepare("acme", [Submission(addresses, parts)])
        self.store.accept([prepared])  # type: ignore[list-item]
        self.flow.dispatch([prepared])  # type: ignore[list-item]
        self.turn()
        self.assertEqual([state for _, state in self.ended()], [REJECTED])
        self.assertEqual((len(self.http.asked), link.in_flight, link.queued, link.counters.in_doubt), (0, 0, 0, 0))

    def test_a_stop_leaves_no_part_without_a_report(self) -> None:
        link = self.link(api={"concurrency": 1}, in_doubt="end")
        self.submit(2)
        asked = self.next()
        stopping = Deferred.fromCoroutine(link.stop(0.0))
        self.turn(0.1)
        self.successResultOf(stopping)
        self.assertTrue(asked.cancelled)
        self.assertEqual(len(self.ended()), 1)

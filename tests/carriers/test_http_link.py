"""A link to a carrier over HTTP: its queue, and parts in doubt, with POSTs instead of submit_sm."""

import random
from typing import Any, cast

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.http_binds import http_binds
from relay.carriers.link import CarrierLink
from relay.carriers.relay_api import notification_reader
from relay.config.carrier_config import Carrier
from relay.config.route_config import Route
from relay.routing.flow import MessageFlow
from relay.routing.routes import Routes
from relay.smpp.message_codec import message_body
from relay.values.ids import id_text
from relay.values.messages import Message, Submission
from relay.values.secret import Secret
from relay.values.states import EXPIRED, REJECTED, UNKNOWN
from tests.carriers.test_link import LinkStore
from tests.http_upstream import QueryOutcome, Upstream
from tests.routing.test_flow import ADDRESSES, Rates

BODY = message_body(addresses=ADDRESSES, short_message=b"hello")


class HttpLinkTestCase(SynchronousTestCase):
    """A flow with routes to two carriers over HTTP, and what they are asked."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.http = Upstream()
        self.store = LinkStore()
        self.flow = MessageFlow(
            store=self.store,
            rates=Rates(),
            routes=Routes([Route(carriers=["up", "other"])]),
            clock=self.clock,
            random_bytes=random.Random(1).randbytes,
            validity_seconds=3600.0,
        )
        self.links: dict[str, CarrierLink] = {}

    def turn(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        for _ in range(20):
            self.clock.advance(0.0)

    def next(self) -> QueryOutcome:
        self.turn()
        return self.http.asked.popleft()

    def submit(self, count: int = 1, **fields: Any) -> list[Message]:
        prepared = self.flow.prepare("acme", [Submission(ADDRESSES, (BODY,), **fields)] * count)
        messages = [m for m in prepared if isinstance(m, Message)]
        self.store.accept(messages)
        self.flow.dispatch(messages)
        self.turn()
        return messages


class HttpCarrierTests(HttpLinkTestCase):
    def link(self, name: str = "up", **settings: Any) -> CarrierLink:
        values: dict[str, Any] = {
            "kind": "http",
            "connect": f"https://{name}.example.net/",
            "password": Secret("key"),
            "signing_secret": Secret("whsec_" + "k" * 32),
            "window": 100,
            "throttle_seconds": 1.0,
            "reconnect_min_seconds": 1.0,
        }
        carrier = Carrier(**values | settings)
        link = CarrierLink(
            name,
            carrier,
            self.flow,
            self.clock,
            http_binds(carrier, cast(HTTPClient, self.http), self.clock, fraction=lambda: 1.0),
            queue_bytes=1_000_000,
            notification_reader=notification_reader(name, carrier),
        )
        self.links[name] = link
        self.flow.connect(self.links, {})
        link.start()
        self.next().answer(200, b"{}")
        self.turn()
        self.assertTrue(link.up)
        return link

    def test_each_part_goes_up_under_a_key_that_follows_from_message_and_part(self) -> None:
        self.link()
        [message] = self.submit()
        post = self.next()
        [item] = post.items
        self.assertEqual(item["idempotency_key"], f"{id_text(message.id)}/0")
        self.assertEqual((item["reference"], item["text"]), (item["idempotency_key"], "hello"))
        post.take()
        [taken] = self.store.taken
        self.assertEqual((taken.id, taken.carrier), (message.id, "up"))
        self.assertEqual(taken.carrier_message_id, f"id-{item['idempotency_key']}".encode())

    def test_a_part_that_is_posted_again_has_the_same_key_and_the_validity_that_is_left(self) -> None:
        self.link(response_timeout_seconds=60.0)
        self.submit(validity_seconds=200.0)
        [first] = self.next().items
        self.turn(61.0)
        [again] = self.next().items
        self.assertEqual(first["idempotency_key"], again["idempotency_key"])
        self.assertEqual((first["validity_seconds"], again["validity_seconds"]), (200.0, 139.0))

    def test_a_part_whose_validity_ends_in_doubt_is_not_posted_late_and_expires(self) -> None:
        self.link()
        [message] = self.submit(validity_seconds=5.0)
        self.next().answer(502)
        self.next().answer(502)
        self.turn()
        self.turn(10.0)
        self.next().answer(200, b"{}")
        self.turn()
        self.assertEqual([asked.method for asked in self.http.asked], [])
        self.assertEqual([(e.id, e.state) for e in self.store.ended], [(message.id, EXPIRED)])

    def test_parts_that_could_not_be_sent_wait_in_the_queue_or_go_to_another_carrier(self) -> None:
        link = self.link()
        self.submit(3)
        self.next().done.errback(ConnectionRefusedError())
        self.turn()
        self.assertEqual((link.up, link.queued, link.in_flight), (False, 3, 0))
        self.assertEqual(link.counters.throttled, 0)
        self.assertEqual(self.next().method, "GET")
        self.link("other")
        post = self.next()
        self.assertEqual((post.url, len(post.items)), (b"https://other.example.net/messages", 3))

    def test_a_refused_part_ends_the_message_and_a_throttled_one_waits(self) -> None:
        link = self.link()
        first, second = self.submit(2)
        self.next().answer(
            202,
            [
                {"status": 422, "field": "text", "type": "/docs#problem-invalid-field"},
                {"status": 429, "type": "/docs#problem-rate-limit"},
            ],
        )
        self.assertEqual([(e.id, e.state) for e in self.store.ended], [(first.id, REJECTED)])
        self.assertEqual((link.queued, len(self.http.asked)), (1, 0))
        self.turn(1.1)
        [item] = self.next().items
        self.assertEqual(item["reference"], f"{id_text(second.id)}/0")

    def test_a_part_is_being_sent_from_the_post_to_the_answer_whatever_comes_between(self) -> None:
        link = self.link()
        [message] = self.submit()
        post = self.next()
        self.assertTrue(link.is_sending(message.id))
        post.answer(502)
        self.next().answer(502)
        self.turn()
        self.assertFalse(link.up)
        self.assertEqual((link.is_sending(message.id), link.busy), (True, True))
        self.turn(10.0)
        self.next().answer(200, b"{}")
        self.next().take()
        self.assertEqual((link.is_sending(message.id), link.busy), (False, False))
        [other] = self.submit()
        self.next().done.errback(ConnectionRefusedError())
        self.turn()
        self.assertEqual((link.queued, link.is_sending(other.id)), (1, False))

    def test_a_pause_that_the_other_side_asks_for_is_kept(self) -> None:
        self.link()
        self.submit(2)
        self.next().answer(503, b"", Retry_After="20")
        self.turn(19.0)
        self.submit()
        self.assertEqual(len(self.http.asked), 0)
        self.turn(1.1)
        self.assertEqual(len(self.next().items), 3)

    # in_doubt: end

    def test_with_in_doubt_end_the_journal_knows_before_a_part_is_posted(self) -> None:
        self.link(in_doubt="end")
        self.store.slow_disk = []
        [message] = self.submit()
        self.assertEqual(self.store.sent, [(message.id, 0, "up")])
        self.assertEqual(len(self.http.asked), 0)
        self.store.slow_disk.pop().callback(None)
        self.next().take()
        self.assertEqual(self.store.order[:2], ["sending", "submitted"])

    def test_with_in_doubt_end_what_certainly_was_not_posted_loses_its_mark(self) -> None:
        link = self.link(in_doubt="end")
        [message] = self.submit()
        self.next().done.errback(ConnectionRefusedError())
        self.turn()
        self.assertEqual((self.store.sent[-1], link.queued), ((message.id, 0, ""), 1))
        self.assertEqual(self.store.ended, [])

    def test_with_in_doubt_end_a_lost_answer_is_asked_for_again_as_long_as_the_process_lives(self) -> None:
        self.link(in_doubt="end")
        [message] = self.submit()
        self.next().answer(502)
        self.next().take()
        self.assertEqual(([s.id for s in self.store.taken], self.store.ended), ([message.id], []))

    def test_with_in_doubt_end_a_stop_ends_what_has_no_answer(self) -> None:
        link = self.link(in_doubt="end")
        [message] = self.submit()
        stopped = Deferred.fromCoroutine(link.stop(1.0))
        for _ in range(3):
            self.turn(1.0)
        self.successResultOf(stopped)
        self.assertEqual([(e.id, e.state) for e in self.store.ended], [(message.id, UNKNOWN)])

    def test_a_link_that_retires_hands_every_part_on(self) -> None:
        link = self.link()
        self.submit(2)
        self.next().answer(502)
        returned: list[Any] = []
        link.retire(returned.extend)
        stopped = Deferred.fromCoroutine(link.stop(1.0))
        for _ in range(3):
            self.turn(1.0)
        self.successResultOf(stopped)
        self.assertEqual(len(returned), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

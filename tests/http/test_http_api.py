"""The HTTP API as a customer meets it."""

import base64
import re
from collections.abc import Sequence
from html import unescape
from typing import Any, NoReturn

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.account_settings import URL_OFF
from relay.accounts.signing import secret_key
from relay.config.account_config import Account
from relay.config.daemon_config import Limits
from relay.http.api_examples import EXAMPLES, NOTIFICATION
from relay.http.api_operations import OPERATIONS, OneOrMany
from relay.http.notification_headers import SECRET, TIMESTAMP, WEBHOOK_ID
from relay.http.problems import PROBLEM_KINDS, STATUS_MEANINGS, kind_of_status
from relay.http.types import NotificationBody
from relay.runtime.fair_share import PAUSES
from relay.smpp.message_codec import decode_message
from relay.store.store_values import AcceptedBefore, FeedEntry, ReplayResult, StoreBusy, StoreFull
from relay.values.ids import id_of_key, id_text, parse_id
from relay.values.message_view import AttemptView, MessageView, PartView
from relay.values.messages import Refused, Submission, destination_of, source_of
from relay.values.notifications import Channel, Notification
from relay.values.secret import Secret
from relay.values.smpp_constants import ESME_RINVDSTADR, ESME_RMSGQFUL, ESME_RTHROTTLED, SUBMIT_SM
from relay.values.states import CUSTOMER_WORDS, DELIVERED, ENROUTE, SCHEDULED, UNDELIVERABLE
from relay.webhooks.body import json_body
from relay.webhooks.request import signed_headers
from tests.http.http_driver import KEY, HttpDriver, Reply

MESSAGE = {"to": "+447700900123", "from": "RELAY", "text": "Hello"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class HttpTestCase(SynchronousTestCase):
    """An API over fakes."""

    def setUp(self) -> None:
        self.http = HttpDriver()
        self.flow, self.store = self.http.flow, self.http.store

    def assertProblem(self, reply: Reply, status: int, field: str = "", kind: str = "") -> None:
        self.assertEqual(reply.status, status, reply.body)
        self.assertEqual(reply.headers["Content-Type"], "application/problem+json")
        self.assertEqual(reply.json.get("field", ""), field, reply.json)
        self.assertEqual(reply.json["status"], status)
        described = {*PROBLEM_KINDS, *map(kind_of_status, STATUS_MEANINGS)}
        self.assertIn(reply.json["type"].removeprefix("/docs#problem-"), described)
        self.assertGreater(len(reply.json["detail"]), 10)
        if kind:
            self.assertEqual(reply.json["type"], f"/docs#problem-{kind}")

    def view(self, number: int = 1, **fields: Any) -> MessageView:
        values: dict[str, Any] = {
            "id": number.to_bytes(16, "big"),
            "account": "acme",
            "addresses": b"\x05\0RELAY\0\x01\x01447700900123\0",
            "state": DELIVERED,
            "final": True,
            "carrier": "tier1",
            "carrier_error": "000",
            "interface": "http",
            "accepted_at": 1_700_000_000.0,
            "expires_at": 1_700_100_000.0,
            "done_at": 1_700_000_001.5,
            "parts": [PartView("tier1", "77", DELIVERED, "000", 1_700_000_000.5, 1_700_000_001.5)],
            "attempts": [AttemptView("webhook", 1, 1_700_000_002.0, "204", 0.0312, "DELIVRD")],
            "owed": [],
        }
        view = MessageView(**values | fields)
        self.store.views[view.id] = view
        return view


class SlowClientTests(HttpTestCase):
    """Who sends an octet now and then, and holds the connection for ever."""

    HEAD = b"POST /messages HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 1000000\r\n"

    def drip(self, beginning: bytes, drop: bytes) -> float:
        """Sends a drop a second until the connection is closed; gives the seconds that it took."""
        connection = self.http.connect()
        connection.write(beginning)
        for second in range(200):
            if connection.transport.disconnecting:
                return float(second)
            connection.write(drop)
            self.http.clock.advance(1.0)
        raise AssertionError("still open after 200 seconds")

    def test_headers_that_drip_do_not_prolong_a_requests_time(self) -> None:
        self.assertLessEqual(self.drip(b"GET /account HTTP/1.1\r\nX: ", b"a"), 66.0)

    def test_a_body_that_drips_does_not_prolong_a_requests_time(self) -> None:
        self.assertLessEqual(self.drip(self.HEAD + b"\r\n[", b" "), 66.0)

    def test_empty_lines_before_a_request_do_not_prolong_its_time(self) -> None:
        self.assertLessEqual(self.drip(b"\r\n", b"\r\n"), 66.0)

    def test_a_client_that_sends_nothing_is_not_waited_for_longer(self) -> None:
        self.assertLessEqual(self.drip(b"", b""), 66.0)

    def test_a_client_that_keeps_sending_requests_stays_connected(self) -> None:
        connection = self.http.connect()
        for _ in range(10):
            connection.send("GET", "/account")
            self.assertEqual(connection.reply().status, 200)
            self.http.clock.advance(50.0)
        self.assertFalse(connection.transport.disconnecting)


class SubmitTests(HttpTestCase):
    def test_a_message_is_answered_with_its_id_once_it_is_durable_and_dispatched_after_that(self) -> None:
        self.flow.durable = Deferred()
        connection = self.http.connect()
        connection.send("POST", "/messages", MESSAGE)
        self.assertFalse(connection.answered)
        seen: list[bool] = []
        self.flow.dispatch = lambda messages: seen.append(connection.answered)  # type: ignore[method-assign]
        self.flow.durable.callback(None)
        reply = connection.reply()
        self.assertEqual((reply.status, reply.json), (202, {"id": id_text(self.flow.accepted[0].id)}))
        self.assertEqual(seen, [True])

    def test_the_text_is_sent_as_the_customer_wrote_it(self) -> None:
        fields = {"reference": "order 7", "validity_seconds": 60, "notification_url": "https://a.example/x"}
        self.http.ask("POST", "/messages", MESSAGE | fields)
        message = self.flow.accepted[0]
        self.assertEqual(destination_of(message.addresses), b"447700900123")
        self.assertEqual(source_of(message.addresses), b"RELAY")
        self.assertEqual((message.reference, message.notification_url), ("order 7", "https://a.example/x"))
        self.assertEqual(message.expires_at - message.accepted_at, 60.0)
        self.assertEqual(message.interface, "http")

    def test_a_message_may_ask_for_a_priority(self) -> None:
        for fields in ({"priority": 2}, {"priority": None}, {}):
            self.http.ask("POST", "/messages", MESSAGE | fields)
        self.assertEqual([message.priority for message in self.flow.accepted], [2, 0, 0])

    def test_a_message_may_come_as_a_form(self) -> None:
        reply = self.http.ask(
            "POST", "/messages", b"to=%2B447700900123&from=RELAY&text=Hi+there&validity_seconds=60", FORM
        )
        self.assertEqual(reply.status, 202)
        self.assertIn(b"Hi there", self.flow.accepted[0].parts[0])

    def test_a_form_may_have_a_class_and_optional_parameters(self) -> None:
        fields = b"to=447700900123&from=RELAY&text=Hi&class=flash&tlvs="
        reply = self.http.ask("POST", "/messages", fields + b"%7B%220x1400%22%3A%22aabb%22%7D", FORM)
        self.assertEqual(reply.status, 202)
        pdu = decode_message(SUBMIT_SM, 1, self.flow.accepted[0].parts[0])
        self.assertEqual((pdu.data_coding, pdu.body[pdu.tlvs_at :]), (0x10, b"\x14\0\0\2\xaa\xbb"))
        self.assertEqual(self.http.ask("POST", "/messages", fields, FORM).status, 202)
        for tlvs in (b"0x1400", b"%5B%5D", b"%7B%220x1400%22%3A%22a%22%7D"):
            self.assertProblem(self.http.ask("POST", "/messages", fields + tlvs, FORM), 422, "tlvs")

    def test_of_an_array_each_item_is_answered_in_its_place(self) -> None:
        items = [MESSAGE, {"to": "1"}, MESSAGE | {"text": 7}, MESSAGE | {"from": "much too long a sender"}, MESSAGE]
        reply = self.http.ask("POST", "/messages", items)
        self.assertEqual(reply.status, 202)
        self.assertEqual([item.get("field", "ok") for item in reply.json], ["ok", "from", "text", "from", "ok"])
        self.assertEqual([reply.json[0]["id"], reply.json[4]["id"]], [id_text(m.id) for m in self.flow.accepted])
        self.assertEqual(len(self.flow.dispatched), 2)

    def test_each_mistake_is_named(self) -> None:
        for body, field, kind in (
            ({"from": "a", "text": "b"}, "to", "missing-field"),
            (MESSAGE | {"txet": "b"}, "txet", "unknown-field"),
            (MESSAGE | {"to": 447700900123}, "to", "invalid-field"),
            (MESSAGE | {"to": "abc"}, "to", "invalid-field"),
            (MESSAGE | {"text": ""}, "text", "invalid-field"),
            (MESSAGE | {"validity_seconds": -1}, "validity_seconds", "invalid-field"),
            (MESSAGE | {"priority": 4}, "priority", "invalid-field"),
            (MESSAGE | {"reference": "a\r\nx: y"}, "reference", "invalid-field"),
            (MESSAGE | {"reference": "a\x85"}, "reference", "invalid-field"),
            (MESSAGE | {"notification_url": "ftp://x"}, "notification_url", "invalid-field"),
            (MESSAGE | {"notification_url": "http://127.0.0.1/"}, "notification_url", "invalid-field"),
            (7, "", "invalid-field"),
        ):
            self.assertProblem(self.http.ask("POST", "/messages", body), 422, field, kind)
        self.assertEqual(self.flow.accepted, [])

    def test_a_text_that_breaks_a_pattern_is_refused_in_words(self) -> None:
        octets = {"to": "447700900123", "from": "a", "data_coding": 4, "payload": "xyz"}
        for body, words in (
            (MESSAGE | {"reference": "a\nb"}, "Expected text without control characters."),
            (octets, "Expected octets in hexadecimal, two digits each."),
        ):
            self.assertEqual(self.http.ask("POST", "/messages", body).json["detail"], words)

    def test_a_body_that_is_no_json_is_refused_as_such(self) -> None:
        for body in (b"{", b"\xff\xfe", b'{"to":"\xff"}', b"[1,", b"to=1"):
            self.assertProblem(self.http.ask("POST", "/messages", body), 400, kind="not-json")

    def test_among_others_a_long_array_waits_for_its_turn_and_a_single_message_does_not(self) -> None:
        clock, fair_share = self.http.clock, self.flow.fair_share
        fair_share.heard("other", clock.seconds())
        fair_share.heard("acme", clock.seconds())
        fair_share.worked(clock.seconds() - 0.01, clock.seconds())
        connection = self.http.connect()
        connection.send("POST", "/messages", [MESSAGE] * 20)
        self.assertFalse(connection.answered)
        self.assertEqual(self.http.ask("POST", "/messages", MESSAGE).status, 202)
        clock.advance(PAUSES * 0.01)
        self.assertEqual(len(connection.reply().json), 20)

    def test_after_a_long_array_the_next_one_waits(self) -> None:
        clock, fair_share = self.http.clock, self.flow.fair_share
        fair_share.heard("other", clock.seconds())
        prepare = self.flow.prepare

        def slowly(account: str, submissions: Any) -> Any:
            clock.rightNow += 0.01
            return prepare(account, submissions)

        self.flow.prepare = slowly  # type: ignore[method-assign]
        self.assertEqual(self.http.ask("POST", "/messages", [MESSAGE] * 20).status, 202)
        self.assertAlmostEqual(fair_share.wait_seconds(clock.seconds()), PAUSES * 0.01, places=5)

    def test_an_array_has_at_least_one_and_at_most_a_thousand_messages(self) -> None:
        self.assertProblem(self.http.ask("POST", "/messages", []), 422)
        self.assertProblem(self.http.ask("POST", "/messages", [MESSAGE] * 1001), 422)

    def test_over_the_rate_the_answer_says_when_to_come_again(self) -> None:
        self.flow.refusal = Refused(ESME_RTHROTTLED, "", "More than the account's rate allows.", 2.1)
        for body in (MESSAGE, [MESSAGE, MESSAGE]):
            reply = self.http.ask("POST", "/messages", body)
            self.assertProblem(reply, 429, kind="rate-limit")
            self.assertEqual(reply.headers["Retry-After"], "3")

    def test_with_full_queues_the_answer_is_503(self) -> None:
        self.flow.refusal = Refused(ESME_RMSGQFUL, "", "The queues to the carriers are full.", 5.0)
        reply = self.http.ask("POST", "/messages", MESSAGE)
        self.assertProblem(reply, 503, kind="queue-full")
        self.assertEqual(reply.headers["Retry-After"], "5")

    def test_a_number_without_a_route_is_the_fault_of_the_field(self) -> None:
        self.flow.refusal = Refused(ESME_RINVDSTADR, "to", "No route leads to this number.")
        self.assertProblem(self.http.ask("POST", "/messages", MESSAGE), 422, "to")

    def test_a_message_that_the_store_can_not_keep_is_not_accepted(self) -> None:
        self.flow.broken = StoreFull("full", 30.0)
        reply = self.http.ask("POST", "/messages", MESSAGE)
        self.assertProblem(reply, 503)
        self.assertEqual(reply.headers["Retry-After"], "30")
        self.assertEqual(self.flow.dispatched, [])

    def test_a_client_that_has_gone_still_gets_its_message_sent(self) -> None:
        self.flow.durable = Deferred()
        connection = self.http.connect()
        connection.send("POST", "/messages", MESSAGE)
        connection.lose()
        self.flow.durable.callback(None)
        self.assertEqual(len(self.flow.dispatched), 1)

    def test_an_answer_to_an_account_with_a_rate_says_how_much_is_left(self) -> None:
        http = HttpDriver({"acme": Account(api_key=Secret(KEY), rate=10.0, burst=50)})
        http.accounts.allow("acme", 20, http.clock.seconds())
        reply = http.ask("POST", "/messages", MESSAGE)
        self.assertEqual(reply.headers["RateLimit-Policy"], '"messages";q=50;w=5')
        self.assertEqual(reply.headers["RateLimit"], '"messages";r=30;t=2')


class IdempotencyTests(HttpTestCase):
    def test_a_repeat_gets_the_first_answer_and_sends_nothing(self) -> None:
        first = self.http.ask("POST", "/messages", MESSAGE, {"Idempotency-Key": "order-7"})
        second = self.http.ask("POST", "/messages", MESSAGE, {"Idempotency-Key": "order-7"})
        self.assertEqual((first.status, first.json), (second.status, second.json))
        self.assertEqual(second.headers["Idempotent-Replayed"], "true")
        self.assertEqual((len(self.flow.accepted), len(self.flow.dispatched)), (1, 1))

    def test_the_same_key_for_another_body_is_a_conflict(self) -> None:
        self.http.ask("POST", "/messages", MESSAGE, {"Idempotency-Key": "order-7"})
        reply = self.http.ask("POST", "/messages", MESSAGE | {"text": "Other"}, {"Idempotency-Key": "order-7"})
        self.assertProblem(reply, 409, kind="idempotency-conflict")

    def test_a_repeat_while_the_first_is_under_way_is_a_conflict(self) -> None:
        self.flow.durable = Deferred()
        first = self.http.connect()
        first.send("POST", "/messages", MESSAGE, {"Idempotency-Key": "order-7"})
        reply = self.http.ask("POST", "/messages", MESSAGE, {"Idempotency-Key": "order-7"})
        self.assertProblem(reply, 409, kind="idempotency-in-progress")
        self.flow.durable.callback(None)
        self.assertEqual(first.reply().status, 202)

    def test_a_request_that_another_node_has_accepted_since_the_look_up_gets_its_answer_and_sends_nothing(self) -> None:
        self.http.ask("POST", "/messages", MESSAGE, {"Idempotency-Key": "order-7"})
        earlier = self.store.keys.pop(("acme", "order-7"))
        for body, status in ((MESSAGE, 202), (MESSAGE | {"text": "Other"}, 409)):
            self.flow.before = AcceptedBefore(earlier)
            reply = self.http.ask("POST", "/messages", body, {"Idempotency-Key": "order-7"})
            self.assertEqual(reply.status, status)
        self.assertEqual((len(self.flow.accepted), len(self.flow.dispatched)), (1, 1))

    def test_after_a_failure_the_same_key_may_be_used_again(self) -> None:
        self.flow.broken = StoreFull("full")
        self.http.ask("POST", "/messages", MESSAGE, {"Idempotency-Key": "order-7"})
        self.flow.broken = None
        self.assertEqual(self.http.ask("POST", "/messages", MESSAGE, {"Idempotency-Key": "order-7"}).status, 202)

    def test_two_accounts_may_use_the_same_key(self) -> None:
        self.http.ask("POST", "/messages", MESSAGE, {"Idempotency-Key": "1"})
        reply = self.http.ask("POST", "/messages", MESSAGE, {"Idempotency-Key": "1"}, f"other:{'o' * 24}")
        self.assertNotIn("Idempotent-Replayed", reply.headers)
        self.assertEqual(len(self.flow.accepted), 2)


class ItemKeyTests(HttpTestCase):
    KEYED = MESSAGE | {"idempotency_key": "order-7/1"}
    OTHER = MESSAGE | {"idempotency_key": "order-7/2"}

    def known(self, key: str = "order-7/1", **fields: Any) -> str:
        """Has the store know the message of a key; gives its id."""
        message_id = id_of_key("acme", key)
        shown: dict[str, Any] = {"id": message_id, "state": ENROUTE, "final": False}
        self.view(**shown | fields)
        return id_text(message_id)

    def test_a_key_stands_for_one_id_whatever_array_it_comes_in(self) -> None:
        first = self.http.ask("POST", "/messages", self.KEYED)
        second = self.http.ask("POST", "/messages", [MESSAGE, self.OTHER, self.KEYED])
        self.assertEqual((first.status, second.status), (202, 202))
        self.assertEqual(second.json[2], first.json)
        self.assertEqual(len({item["id"] for item in second.json}), 3)
        self.assertEqual([id_text(m.id) for m in self.flow.accepted[:1]], [first.json["id"]])

    def test_a_known_message_is_answered_with_its_id_and_not_accepted_again(self) -> None:
        known = self.known()
        reply = self.http.ask("POST", "/messages", [self.OTHER, self.KEYED, MESSAGE])
        self.assertEqual(reply.json[1], {"id": known})
        self.assertNotIn("Idempotent-Replayed", reply.headers)
        self.assertEqual([id_text(m.id) for m in self.flow.accepted], [reply.json[0]["id"], reply.json[2]["id"]])
        self.assertEqual(self.flow.dispatched, self.flow.accepted)

    def test_a_request_of_repeats_only_says_so_and_needs_no_room(self) -> None:
        known = self.known()
        self.flow.refusal = Refused(ESME_RMSGQFUL, "", "Full.", 5.0)
        one = self.http.ask("POST", "/messages", self.KEYED)
        self.assertEqual((one.status, one.json, one.headers["Idempotent-Replayed"]), (202, {"id": known}, "true"))
        mixed = self.http.ask("POST", "/messages", [self.KEYED, self.OTHER])
        self.assertEqual((mixed.status, mixed.json[0], mixed.json[1]["status"]), (202, {"id": known}, 503))
        self.assertEqual((self.flow.accepted, self.flow.dispatched), ([], []))

    def test_a_repeat_is_answered_only_once_the_message_is_durable(self) -> None:
        self.known()
        self.flow.durable = Deferred()
        connection = self.http.connect()
        connection.send("POST", "/messages", self.KEYED)
        self.assertEqual(connection.transport.value(), b"")
        self.flow.durable.callback(None)
        self.assertEqual(connection.reply().status, 202)

    def test_a_repeat_of_what_has_ended_has_its_notification_sent_again(self) -> None:
        self.http.accounts.apply_setting("acme", "notification_url", "https://yoursite.com/sms")
        ended, on_its_way = self.known(state=DELIVERED, final=True), self.known("order-7/2")
        reply = self.http.ask("POST", "/messages", [self.KEYED, self.OTHER])
        self.assertEqual([item["id"] for item in reply.json], [ended, on_its_way])
        self.assertEqual([id_text(message_id) for message_id in self.store.again], [ended])
        self.assertEqual(len(self.flow.woken), 1)

    def test_without_a_url_nothing_is_owed_again(self) -> None:
        self.known(state=DELIVERED, final=True)
        self.assertEqual(self.http.ask("POST", "/messages", self.KEYED).status, 202)
        self.assertEqual(self.store.again, [])

    def test_an_item_that_is_twice_in_one_request_is_accepted_once(self) -> None:
        reply = self.http.ask("POST", "/messages", [self.KEYED, self.KEYED, self.OTHER, self.KEYED])
        self.assertEqual([reply.json[n] for n in (1, 3)], [reply.json[0]] * 2)
        self.assertEqual(len(self.flow.accepted), 2)
        wrong = self.KEYED | {"from": "much too long a sender"}
        refused = self.http.ask("POST", "/messages", [wrong, wrong])
        self.assertEqual([item["field"] for item in refused.json], ["from", "from"])

    def test_a_key_belongs_to_one_message_of_one_account(self) -> None:
        self.known()
        other_number = self.KEYED | {"to": "+447700900124"}
        self.assertProblem(
            self.http.ask("POST", "/messages", other_number), 409, "idempotency_key", "idempotency-conflict"
        )
        twice = self.http.ask("POST", "/messages", [self.OTHER, self.OTHER | {"to": "+447700900124"}])
        self.assertEqual(twice.json[1]["status"], 409)
        accepted = len(self.flow.accepted)
        self.http.ask("POST", "/messages", self.KEYED, login=f"other:{'o' * 24}")
        self.assertEqual(len(self.flow.accepted), accepted + 1)

    def test_a_repeat_while_the_first_is_being_accepted_is_a_conflict(self) -> None:
        self.flow.durable = Deferred()
        first = self.http.connect()
        first.send("POST", "/messages", [self.OTHER, self.KEYED])
        reply = self.http.ask("POST", "/messages", [self.KEYED, MESSAGE])
        self.assertProblem(reply, 409, kind="idempotency-in-progress")
        self.assertEqual(reply.headers["Retry-After"], "1")
        self.flow.durable.callback(None)
        self.flow.durable = None
        self.assertEqual(first.reply().status, 202)
        self.assertEqual(self.http.ask("POST", "/messages", [self.KEYED, MESSAGE]).status, 202)

    def test_an_item_that_another_node_has_accepted_since_the_look_up_is_answered_and_not_sent(self) -> None:
        known = self.known()
        before = AcceptedBefore(None, [self.store.views.pop(id_of_key("acme", "order-7/1"))])
        self.flow.before = before
        reply = self.http.ask("POST", "/messages", [self.KEYED, self.OTHER, MESSAGE])
        self.assertEqual((reply.status, reply.json[0]), (202, {"id": known}))
        sent = [id_text(m.id) for m in self.flow.accepted]
        self.assertEqual(sent, [item["id"] for item in reply.json[1:]])
        self.assertEqual(self.flow.dispatched, self.flow.accepted)
        self.flow.before = before
        other_number = self.KEYED | {"to": "447700900999"}
        self.assertProblem(
            self.http.ask("POST", "/messages", other_number), 409, "idempotency_key", "idempotency-conflict"
        )
        self.assertEqual(len(self.flow.dispatched), 2)

    def test_item_keys_work_beside_an_idempotency_key_for_the_whole_request(self) -> None:
        header = {"Idempotency-Key": "whole"}
        first = self.http.ask("POST", "/messages", [self.KEYED, MESSAGE], header)
        second = self.http.ask("POST", "/messages", [self.KEYED, MESSAGE], header)
        self.assertEqual((first.json, second.headers["Idempotent-Replayed"]), (second.json, "true"))
        self.assertEqual(len(self.flow.accepted), 2)

    def test_keys_that_are_too_long_or_have_spaces_are_refused(self) -> None:
        for key in ("", "k" * 256, "a b", "\u00e9", 7):
            reply = self.http.ask("POST", "/messages", MESSAGE | {"idempotency_key": key})
            self.assertProblem(reply, 422, "idempotency_key", "invalid-field")
            self.assertNotIn("regex", reply.json["detail"])


class FormTests(HttpTestCase):
    def test_json_that_says_it_is_a_form_is_refused_with_the_right_content_type(self) -> None:
        for body in (msgspec.json.encode(MESSAGE), msgspec.json.encode([MESSAGE])):
            reply = self.http.ask("POST", "/messages", body, FORM)
            self.assertProblem(reply, 400)
            self.assertIn("Content-Type: application/json", reply.json["detail"])
        self.assertEqual(self.flow.accepted, [])


class LoginTests(HttpTestCase):
    def test_basic_and_bearer_logins_are_accepted(self) -> None:
        bearer = {"Authorization": f"Bearer {KEY}"}
        self.assertEqual(self.http.ask("GET", "/account", headers=bearer, login=None).json["account"], "acme")
        self.assertEqual(self.http.ask("GET", "/account").json["account"], "acme")

    def test_a_whole_url_in_place_of_a_path_is_accepted(self) -> None:
        for url in (
            "http://relay.example/account",
            "HTTPS://relay.example:8443/account",
            "http://relay.example/account?a",
        ):
            self.assertEqual(self.http.ask("GET", url).json["account"], "acme")
        self.assertProblem(self.http.ask("GET", "ftp://relay.example/account"), 404)

    def test_any_other_login_is_refused_with_the_ways_to_log_in(self) -> None:
        encoded = base64.b64encode(b"acme").decode()
        for login, headers in (
            (None, {}),
            ("acme:wrong", {}),
            (f"nobody:{KEY}", {}),
            (f"other:{KEY}", {}),
            ("acme:", {}),
            (None, {"Authorization": "Bearer"}),
            (None, {"Authorization": "Bearer wrong"}),
            (None, {"Authorization": f"Digest {KEY}"}),
            (None, {"Authorization": "Basic !!!"}),
            (None, {"Authorization": f"Basic {encoded}"}),
        ):
            reply = self.http.ask("POST", "/messages", MESSAGE, headers, login)
            self.assertProblem(reply, 401)
            self.assertIn('Basic realm="relay"', reply.headers["WWW-Authenticate"])
        self.assertEqual(self.flow.accepted, [])

    def test_a_page_of_another_site_can_do_nothing_with_a_login_that_the_browser_remembers(self) -> None:
        for origin in ("https://evil.example", "null", "http://relay.example.evil.example", "http://evil.example:80"):
            for path, body in (("/messages", MESSAGE), ("/notifications/replay", {"given_up": True})):
                reply = self.http.ask("POST", path, body, {"Origin": origin, "Content-Type": "text/plain"})
                self.assertProblem(reply, 403)
        self.assertEqual(self.flow.accepted, [])
        self.assertEqual(self.http.ask("GET", "/account", headers={"Origin": "https://evil.example"}).status, 200)
        own = {"Origin": "https://relay.example"}
        self.assertEqual(self.http.ask("POST", "/messages", MESSAGE, own).status, 202)


class SendAtTests(HttpTestCase):
    """The clock begins at 22:13:20 on 2023-11-14."""

    BEGIN = 1_700_000_000.0

    def test_a_message_is_scheduled_and_its_validity_counts_from_then(self) -> None:
        for send_at, seconds in (
            ("2023-11-14T23:13:20Z", 3600.0),
            ("2023-11-15T01:43:20.5+02:30", 3600.5),
            ("2023-12-14T22:13:20-00:00", 30 * 86_400.0),
        ):
            reply = self.http.ask("POST", "/messages", MESSAGE | {"send_at": send_at, "validity_seconds": 60})
            message = self.flow.accepted[-1]
            self.assertEqual(reply.status, 202)
            self.assertEqual(message.scheduled_at - self.BEGIN, seconds)
            self.assertEqual(message.expires_at - self.BEGIN, seconds + 60)

    def test_a_time_past_is_now_and_null_is_none(self) -> None:
        for send_at in ("2023-11-14T22:13:19Z", "0001-01-01T00:00:00Z", None):
            self.assertEqual(self.http.ask("POST", "/messages", MESSAGE | {"send_at": send_at}).status, 202)
            self.assertEqual(self.flow.accepted[-1].scheduled_at, 0)

    def test_a_form_may_say_it(self) -> None:
        body = b"to=%2B447700900123&from=RELAY&text=Hi&send_at=2023-11-14T23:13:20Z"
        self.assertEqual(self.http.ask("POST", "/messages", body, FORM).status, 202)
        self.assertEqual(self.flow.accepted[-1].scheduled_at - self.BEGIN, 3600.0)
        self.assertEqual(self.http.ask("POST", "/messages", body[: body.index(b"2023")], FORM).status, 202)
        self.assertEqual(self.flow.accepted[-1].scheduled_at, 0)

    def test_no_time_a_time_without_offset_and_more_than_30_days_are_refused(self) -> None:
        for send_at in ("tomorrow", "2023-11-15T00:00:00", "2023-12-14T22:13:21Z", "9999-12-31T23:59:59Z", 5, ""):
            reply = self.http.ask("POST", "/messages", MESSAGE | {"send_at": send_at})
            self.assertProblem(reply, 422, "send_at", "invalid-field")


class QueryTests(HttpTestCase):
    def test_a_message_is_shown_with_everything_that_is_known(self) -> None:
        view = self.view(reference="order 7")
        reply = self.http.ask("GET", f"/messages/{id_text(view.id)}")
        self.assertEqual(
            reply.json,
            {
                "id": id_text(view.id),
                "to": "447700900123",
                "from": "RELAY",
                "reference": "order 7",
                "status": "DELIVRD",
                "send_status": "delivered",
                "error": "000",
                "carrier": "tier1",
                "carrier_error": "000",
                "parts": 1,
                "submitted_at": "2023-11-14T22:13:20.000Z",
                "done_at": "2023-11-14T22:13:21.500Z",
                "attempts": [
                    {
                        "channel": "webhook",
                        "attempt": 1,
                        "at": "2023-11-14T22:13:22.000Z",
                        "answer": "204",
                        "seconds": 0.031,
                        "status": "DELIVRD",
                    }
                ],
            },
        )

    def test_a_scheduled_message_is_shown_as_scheduled_and_pending(self) -> None:
        fields: dict[str, Any] = {"state": SCHEDULED, "final": False, "done_at": None, "scheduled_at": 1_700_003_600.0}
        for waits, status in ((True, "SCHEDULED"), (False, "ENROUTE")):
            view = self.view(waits_for_its_time=waits, **fields)
            shown = self.http.ask("GET", f"/messages/{id_text(view.id)}").json
            self.assertEqual((shown["status"], shown["send_status"], shown["error"]), (status, "pending", "001"))
            self.assertEqual(shown["send_at"], "2023-11-14T23:13:20.000Z")

    def test_a_waiting_message_can_be_cancelled_once_or_twice(self) -> None:
        view = self.view(state=SCHEDULED, final=False, carrier="", done_at=None)
        for _ in range(2):
            reply = self.http.ask("DELETE", f"/messages/{id_text(view.id)}")
            self.assertEqual((reply.status, reply.json["status"], reply.json["error"]), (200, "DELETED", "004"))

    def test_a_message_that_a_carrier_has_or_that_has_ended_is_not_cancelled(self) -> None:
        for fields, words in (({"state": ENROUTE, "final": False}, "carrier"), ({}, "ended")):
            view = self.view(**fields)
            reply = self.http.ask("DELETE", f"/messages/{id_text(view.id)}")
            self.assertProblem(reply, 409, kind="not-cancellable")
            self.assertIn(words, reply.json["detail"])
            self.assertEqual(self.store.views[view.id], view)

    def test_messages_of_others_and_wrong_ids_are_not_found(self) -> None:
        view = self.view(account="other")
        for name in (id_text(view.id), "7", "x" * 36, "%00"):
            for method in ("GET", "DELETE"):
                self.assertProblem(self.http.ask(method, f"/messages/{name}"), 404, "id")

    def test_a_notification_can_be_sent_again(self) -> None:
        view = self.view(notification_url="http://x.example/")
        reply = self.http.ask("POST", f"/messages/{id_text(view.id)}/notify")
        self.assertEqual(reply.status, 202)
        self.assertEqual(self.store.again, [view.id])
        self.assertEqual(len(self.flow.woken), 1)

    def test_only_an_ended_message_with_a_url_can_be_notified_again(self) -> None:
        view = self.view(state=ENROUTE, final=False, notification_url="http://x.example/")
        self.assertProblem(self.http.ask("POST", f"/messages/{id_text(view.id)}/notify"), 409, kind="not-final")
        view = self.view()
        reply = self.http.ask("POST", f"/messages/{id_text(view.id)}/notify")
        self.assertProblem(reply, 409, kind="no-notification-url")


class FeedTests(HttpTestCase):
    def entry(self, cursor: int, at: float = 0.0) -> FeedEntry:
        return FeedEntry(cursor, cursor.to_bytes(16, "big"), UNDELIVERABLE, b"27", at or 1_700_000_000.0 + cursor)

    def test_the_feed_goes_on_from_its_cursor(self) -> None:
        self.store.entries = [self.entry(number) for number in range(1, 6)]

        def numbers(feed: Any) -> list[int]:
            return [(parse_id(entry["id"]) or b"?")[-1] for entry in feed["notifications"]]

        first = self.http.ask("GET", "/notifications?limit=3").json
        self.assertEqual(numbers(first), [1, 2, 3])
        second = self.http.ask("GET", f"/notifications?limit=3&after={first['next']}").json
        self.assertEqual(numbers(second), [4, 5])
        third = self.http.ask("GET", f"/notifications?after={second['next']}").json
        self.assertEqual(third, {"notifications": [], "next": second["next"]})
        # Each entry's own cursor does as well.
        again = self.http.ask("GET", f"/notifications?after={first['notifications'][1]['cursor']}").json
        self.assertEqual(numbers(again), [3, 4, 5])

    def test_a_cursor_is_of_one_account_and_tells_nothing(self) -> None:
        self.http = HttpDriver({name: Account(api_key=Secret(KEY)) for name in ("acme", "other")})
        self.http.store.entries = [self.entry(number) for number in range(1, 6)]
        cursors = [
            self.http.ask("GET", "/notifications", login=f"{name}:{KEY}").json["next"] for name in ("acme", "other")
        ]
        self.assertNotEqual(*cursors)
        for cursor in cursors:
            self.assertEqual(len(cursor), 22)
        wrong = self.http.ask("GET", f"/notifications?after={cursors[0]}", login=f"other:{KEY}")
        self.assertProblem(wrong, 422, "after")

    def test_numbers_that_were_cursors_before_are_taken_and_later_ones_are_not(self) -> None:
        self.store.feed_place = 3
        self.store.entries = [self.entry(number) for number in range(1, 6)]
        for after, count in ((0, 5), (2, 3), (3, 2)):
            reply = self.http.ask("GET", f"/notifications?after={after}")
            self.assertEqual(len(reply.json["notifications"]), count)
        # They were never given out, and would tell how many messages others have.
        self.store.feed_place = 5
        for never in ("4", "5", "9" * 19):
            self.assertProblem(self.http.ask("GET", f"/notifications?after={never}"), 422, "after")

    def test_cursors_hold_after_a_restart(self) -> None:
        self.store.entries = [self.entry(number) for number in range(1, 6)]
        cursor = self.http.ask("GET", "/notifications?limit=3").json["next"]
        before, self.http = self.store, HttpDriver()
        self.http.store.kept, self.http.store.entries = before.kept, before.entries
        self.assertEqual(len(self.http.ask("GET", f"/notifications?after={cursor}").json["notifications"]), 2)

    def test_an_entry_of_the_feed_has_the_fields_of_a_notification(self) -> None:
        self.store.entries = [self.entry(1)]
        entry = self.http.ask("GET", "/notifications").json["notifications"][0]
        self.assertEqual((entry["send_status"], entry["status"], entry["error"]), ("failed", "UNDELIV", "005"))
        self.assertEqual(entry["carrier_error"], "27")

    def test_a_long_poll_ends_when_something_comes(self) -> None:
        connection = self.http.connect()
        connection.send("GET", "/notifications?wait=30")
        self.http.clock.pump([0.25] * 8)
        self.assertFalse(connection.answered)
        self.store.entries = [self.entry(1)]
        self.http.clock.pump([0.25])
        self.assertEqual(len(connection.reply().json["notifications"]), 1)

    def test_a_long_poll_ends_empty_when_its_time_is_over(self) -> None:
        connection = self.http.connect()
        connection.send("GET", "/notifications?wait=2&after=0")
        self.http.clock.pump([0.25] * 9)
        self.assertEqual(connection.reply().json, {"notifications": [], "next": "0"})

    def test_a_long_poll_ends_when_the_client_has_gone(self) -> None:
        connection = self.http.connect()
        connection.send("GET", "/notifications?wait=30")
        connection.lose()
        self.http.clock.pump([0.25] * 2)
        self.assertEqual(self.http.clock.getDelayedCalls(), [])

    def test_a_stop_ends_long_polls(self) -> None:
        connection = self.http.connect()
        connection.send("GET", "/notifications?wait=30")
        self.successResultOf(Deferred.fromCoroutine(self.http.api.router.stop()))
        self.assertProblem(connection.reply(), 503)

    def test_wrong_parameters_are_named(self) -> None:
        wrong = {
            "limit": ("0", "x"),
            "after": ("-1", "x", "x" * 22, "", "%C3%BC" * 22),
            "wait": ("x", "61"),
            "afer": ("1",),
        }
        for field, values in wrong.items():
            for value in values:
                self.assertProblem(self.http.ask("GET", f"/notifications?{field}={value}"), 422, field)

    def test_an_account_can_not_pile_up_long_polls(self) -> None:
        for _ in range(20):
            self.http.connect().send("GET", "/notifications?wait=30")
        self.assertProblem(self.http.ask("GET", "/notifications?wait=30"), 429)


class ReplayTests(HttpTestCase):
    def test_messages_that_are_named_are_notified_again(self) -> None:
        ids = [number.to_bytes(16, "big") for number in range(3)]
        reply = self.http.ask("POST", "/notifications/replay", {"ids": [id_text(i) for i in ids]})
        self.assertEqual((reply.status, reply.json), (202, {"messages": 3}))
        self.assertEqual(self.store.again, ids)
        self.assertEqual(len(self.flow.woken), 1)

    def test_messages_of_a_span_of_time_are_notified_again(self) -> None:
        self.store.entries = [FeedEntry(n, bytes([n] * 16), DELIVERED, b"", 1_700_000_000.0 + n) for n in range(1, 9)]
        body = {"since": "2023-11-14T22:13:23Z", "until": "2023-11-14T23:13:26+01:00"}
        self.assertEqual(self.http.ask("POST", "/notifications/replay", body).json, {"messages": 3})
        self.assertEqual(self.store.again, [bytes([n] * 16) for n in (3, 4, 5)])

    def test_notifications_that_were_given_up_are_sent_again(self) -> None:
        self.store.lost = [b"x" * 16]
        self.assertEqual(self.http.ask("POST", "/notifications/replay", {"given_up": True}).json, {"messages": 1})
        self.assertEqual(self.store.again, [b"x" * 16])

    def test_one_replay_of_an_account_runs_at_a_time(self) -> None:
        durable: Deferred[ReplayResult] = Deferred()
        at_once = self.store.notify_again
        self.store.notify_again = lambda account, ids, now: durable  # type: ignore[method-assign]
        self.store.lost = [b"x" * 16]
        first = self.http.connect()
        first.send("POST", "/notifications/replay", {"given_up": True})
        reply = self.http.ask("POST", "/notifications/replay", {"given_up": True})
        self.assertProblem(reply, 429)
        self.assertEqual(reply.headers["Retry-After"], "1")
        durable.callback(ReplayResult(1, frozenset()))
        self.assertEqual(first.reply().json, {"messages": 1})
        self.store.notify_again = at_once  # type: ignore[method-assign]
        self.assertEqual(self.http.ask("POST", "/notifications/replay", {"given_up": True}).status, 202)

    def test_all_messages_of_a_list_are_counted_and_then_sent_again(self) -> None:
        self.http.ask("PUT", "/account/notification-url", {"url": "https://a.example/in"})
        before = self.http.clock.seconds() - 100.0
        self.view(1, accepted_at=before)
        self.view(2, accepted_at=before, state=UNDELIVERABLE)
        self.view(3, accepted_at=before, state=ENROUTE, final=False, done_at=None)
        path = "/notifications/replay"
        self.assertEqual(self.http.ask("GET", path).json, {"state": "none", "messages": 0, "resent": 0})
        wanted = {"list": {"since": "2023-11-14"}}
        counted = {"messages": 2, "not_ended": 1, "no_url": 0, "url_not_kept": 0, "complete": True}
        reply = self.http.ask("POST", path, {**wanted, "count_only": True})
        self.assertEqual((reply.status, reply.json, self.store.again), (200, counted, []))
        reply = self.http.ask("POST", path, wanted)
        self.assertEqual((reply.status, reply.json), (202, counted))
        self.assertEqual(sorted(self.store.again), [(1).to_bytes(16, "big"), (2).to_bytes(16, "big")])
        for method in ("GET", "DELETE"):
            reply = self.http.ask(method, path)
            ended = {"state": "ended", "messages": 2, "resent": 2, "began_at": "2023-11-14T22:13:20.000Z"}
            self.assertEqual((reply.status, reply.json), (200, ended))

    def test_a_list_that_can_not_be_sent_again_is_refused(self) -> None:
        path = "/notifications/replay"
        self.view(1)
        self.assertProblem(self.http.ask("POST", path, {"list": {}}), 422)
        self.assertProblem(self.http.ask("POST", path, {"list": {"since": "soon"}}), 422, "list.since")
        self.assertProblem(self.http.ask("POST", path, {"list": {"nonsense": "1"}}), 422, "nonsense")

    def test_an_account_with_too_many_requests_at_once_gets_429(self) -> None:
        self.store.learnt_between = lambda *question: fail(StoreBusy("20 questions wait already", 1.0))  # type: ignore[method-assign]
        reply = self.http.ask("POST", "/notifications/replay", {"since": "2023-11-14T22:13:23Z"})
        self.assertProblem(reply, 429)

    def test_the_answer_counts_the_notifications_that_are_sent_again(self) -> None:
        # Of another account, or forgotten: nothing is told again.
        self.store.notify_again = lambda account, ids, now: succeed(ReplayResult(0, frozenset()))  # type: ignore[method-assign]
        reply = self.http.ask("POST", "/notifications/replay", {"ids": [id_text(b"x" * 16)]})
        self.assertEqual(reply.json, {"messages": 0})

    def test_a_replay_without_any_selection_is_refused(self) -> None:
        self.assertProblem(self.http.ask("POST", "/notifications/replay", {}), 422)
        for since in ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"):
            self.assertEqual(self.http.ask("POST", "/notifications/replay", {"since": since}).status, 202)
        self.assertProblem(self.http.ask("POST", "/notifications/replay", {"ids": ["7"]}), 422, "ids")


class AccountTests(HttpTestCase):
    def test_a_url_is_set_kept_and_made_to_hold(self) -> None:
        reply = self.http.ask("PUT", "/account/notification-url", {"url": "https://a.example/in"})
        self.assertEqual(reply.json["notification_url"], "https://a.example/in")
        self.assertEqual(reply.json["notification_url_from"], "setting")
        self.assertEqual(self.store.kept["acme", "notification_url"], "https://a.example/in")
        self.assertTrue(self.http.accounts.policy("acme").webhook)
        self.assertEqual(self.http.webhooks.changed, ["acme"])

    def test_a_url_can_be_removed_and_reset(self) -> None:
        self.http = HttpDriver({"acme": Account(api_key=Secret(KEY), notification_url="http://file.example/")})
        self.assertIsNone(self.http.ask("PUT", "/account/notification-url", {"url": None}).json["notification_url"])
        reply = self.http.ask("DELETE", "/account/notification-url")
        self.assertEqual(reply.json["notification_url"], "http://file.example/")
        self.assertEqual(reply.json["notification_url_from"], "configuration")

    def test_a_form_takes_the_url_away_by_leaving_it_empty(self) -> None:
        self.http = HttpDriver({"acme": Account(api_key=Secret(KEY), notification_url="http://file.example/")})
        self.assertIsNone(self.http.ask("PUT", "/account/notification-url", b"url=", FORM).json["notification_url"])
        self.assertProblem(self.http.ask("PUT", "/account/notification-url", {"url": ""}), 422, "url")

    def test_a_new_url_is_on_whatever_became_of_the_old_one(self) -> None:
        self.http.ask("PUT", "/account/notification-url", {"url": "http://a.example/"})
        self.http.accounts.apply_setting("acme", URL_OFF, "1700000000 410 http://a.example/")
        self.http.ask("PUT", "/account/notification-url", {"url": "http://a.example/"})
        self.assertIsNone(self.http.accounts.setting("acme", URL_OFF))
        self.assertIsNone(self.store.kept["acme", URL_OFF])

    def test_an_impossible_url_is_refused_with_the_reason(self) -> None:
        for url in ("x", "ftp://a.example/", "http://", "http://10.0.0.1/", "http://[::1]/", "http://localhost/"):
            self.assertProblem(self.http.ask("PUT", "/account/notification-url", {"url": url}), 422, "url")
        self.assertEqual(self.store.kept, {})

    def test_a_test_notification_shows_what_came_back(self) -> None:
        self.http.ask("PUT", "/account/notification-url", {"url": "http://a.example/"})
        self.assertEqual(
            self.http.ask("POST", "/account/test-notification").json,
            {"ok": True, "url": "http://a.example/", "sent": "{}", "answer": "200", "seconds": 0.25, "body": "thanks"},
        )

    def test_without_a_url_there_is_nothing_to_test(self) -> None:
        reply = self.http.ask("POST", "/account/test-notification")
        self.assertProblem(reply, 409, kind="no-notification-url")


class HttpTests(HttpTestCase):
    def test_unknown_paths_and_methods_are_problems(self) -> None:
        self.assertProblem(self.http.ask("GET", "/nothing"), 404)
        self.assertProblem(self.http.ask("GET", "/messages/"), 404)
        reply = self.http.ask("DELETE", "/messages")
        self.assertProblem(reply, 405)
        self.assertEqual(reply.headers["Allow"], "GET, POST")

    def test_head_is_get_without_a_body(self) -> None:
        reply = self.http.ask("HEAD", "/account")
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertGreater(int(reply.headers["Content-Length"]), 10)

    def test_a_connection_serves_request_after_request(self) -> None:
        connection = self.http.connect()
        for _ in range(3):
            connection.send("POST", "/messages", MESSAGE)
            self.assertEqual(connection.reply().status, 202)

    def test_a_body_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        self.http = HttpDriver(limits=Limits(request_bytes=1024))
        connection = self.http.connect()
        connection.write(b"POST /messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n")
        self.assertProblem(connection.reply(), 413)
        self.assertTrue(connection.transport.disconnecting)

    def test_a_body_of_unannounced_length_is_refused_where_it_becomes_too_large(self) -> None:
        self.http = HttpDriver(limits=Limits(request_bytes=1024))
        connection = self.http.connect()
        connection.write(b"POST /messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.write(b"200\r\n" + b"x" * 512 + b"\r\n")
        self.assertFalse(connection.answered)
        connection.write(b"201\r\n" + b"x" * 513 + b"\r\n")
        self.assertProblem(connection.reply(), 413)

    def test_a_request_that_is_no_http_is_answered_and_the_connection_ends(self) -> None:
        for octets in (b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"):
            connection = self.http.connect()
            connection.write(octets)
            self.assertProblem(connection.reply(), 400)
            self.assertTrue(connection.transport.disconnecting)

    def test_a_client_that_sends_one_octet_at_a_time_runs_out_of_time(self) -> None:
        connection = self.http.connect()
        for _ in range(59):
            connection.write(b"G")
            self.http.clock.advance(1.0)
        self.assertFalse(connection.transport.disconnecting)
        for _ in range(7):
            connection.write(b"G")
            self.http.clock.advance(1.0)
        self.assertTrue(connection.transport.disconnecting)

    def test_a_connection_that_does_nothing_is_ended(self) -> None:
        used, unused = self.http.connect(), self.http.connect()
        used.send("POST", "/messages", MESSAGE)
        self.http.clock.pump([1.0] * 66)
        self.assertTrue(used.transport.disconnecting)
        self.assertTrue(unused.transport.disconnecting)

    def test_a_long_poll_is_not_taken_for_an_idle_connection(self) -> None:
        connection = self.http.connect()
        connection.send("GET", "/notifications?wait=60")
        self.http.clock.pump([0.5] * 118)
        self.assertFalse(connection.transport.disconnecting)

    def test_one_address_can_not_hold_more_connections_than_its_limit(self) -> None:
        self.http = HttpDriver(limits=Limits(connections_per_address=2))
        first, _second = self.http.connect(), self.http.connect()
        self.assertIsNone(self.http.connect().channel)
        first.lose()
        self.assertIsNotNone(self.http.connect().channel)

    def test_an_error_of_ours_is_a_problem_too_and_is_logged(self) -> None:
        def broken(account: str, submissions: Sequence[Submission]) -> NoReturn:
            raise ZeroDivisionError

        self.flow.prepare = broken  # type: ignore[method-assign]
        self.assertProblem(self.http.ask("POST", "/messages", MESSAGE), 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class DescriptionTests(HttpTestCase):
    def test_the_description_is_there_for_anybody_and_names_every_call(self) -> None:
        document = self.http.ask("GET", "/openapi.json", login=None).json
        self.assertEqual((document["openapi"], document["info"]["version"]), ("3.1.0", "1.2.3"))
        for path, methods in document["paths"].items():
            for method in methods:
                reply = self.http.ask(method.upper(), path.replace("{id}", "x"), login=None)
                self.assertNotIn(reply.status, (404, 405), path)

    def test_every_reference_in_it_leads_somewhere(self) -> None:
        reply = self.http.ask("GET", "/openapi.json")
        schemas = reply.json["components"]["schemas"]
        references = [part.split(b'"')[0] for part in reply.body.split(b'"$ref":"#/components/schemas/')[1:]]
        self.assertGreater(len(references), 10)
        self.assertEqual([r for r in references if r.decode() not in schemas], [])

    def test_the_description_of_a_message_has_the_limits_that_are_checked(self) -> None:
        schema = self.http.ask("GET", "/openapi.json").json["components"]["schemas"]["MessageRequest"]
        # A text, or data_coding and payload.
        self.assertEqual(schema["required"], ["to", "from"])
        self.assertFalse(schema["additionalProperties"])
        msgspec.json.encode(schema)

    def test_the_page_shows_every_call_and_every_problem_and_loads_nothing(self) -> None:
        page = self.http.ask("GET", "/docs", login=None).body.decode()
        for kind in (*PROBLEM_KINDS, *map(kind_of_status, STATUS_MEANINGS)):
            self.assertIn(f"<tr id='problem-{kind}'>", page)
        for operation in ("submit", "feed", "setUrl"):
            self.assertIn(f"id='{operation}'", page)
        self.assertIn("id='problem-rate-limit'", page)
        self.assertNotIn("<script", page)
        self.assertNotIn("src=", page)
        self.assertNotIn("@import", page)
        self.assertLess(len(page), 80_000)

    def test_the_page_begins_with_the_notification_its_fields_states_and_signature(self) -> None:
        page = self.http.ask("GET", "/docs", login=None).body.decode()
        places = [page.find(f"<h2 id='{anchor}'>") for anchor in ("notifications", "states", "signature", "retries")]
        places += [page.find(f"<h2 id='{anchor}'>") for anchor in ("batches", "calls", "problems")]
        self.assertNotIn(-1, places)
        self.assertEqual(places, sorted(places))
        for name in NotificationBody.__struct_fields__:
            self.assertIn(f"<td><code>{name}</code></td>", page[places[0] : places[1]])
        for words in CUSTOMER_WORDS.values():
            row = "".join(f"<td><code>{word}</code></td>" for word in words)
            self.assertIn(row, page[places[1] : places[2]])

    def test_every_link_within_the_page_leads_somewhere(self) -> None:
        page = self.http.ask("GET", "/docs", login=None).body.decode()
        anchors = re.findall(r"id='([^']+)'", page)
        self.assertEqual(len(anchors), len(set(anchors)))
        self.assertEqual(set(re.findall(r"href='#([^']+)'", page)) - set(anchors), set())

    def test_every_field_parameter_body_and_answer_is_described(self) -> None:
        document = self.http.ask("GET", "/openapi.json").json
        self.assertTrue(document["servers"][0]["description"])
        missing = [
            f"{name}.{field}"
            for name, schema in document["components"]["schemas"].items()
            for field, described in schema["properties"].items()
            if not described.get("description")
        ]
        missing += [name for name, schema in document["components"]["schemas"].items() if ":ivar" in str(schema)]
        for path, methods in (*document["paths"].items(), *document["webhooks"].items()):
            for method, operation in methods.items():
                described = [operation, *operation.get("parameters", ()), *operation["responses"].values()]
                described += [operation["requestBody"]] if "requestBody" in operation else []
                missing += [f"{method} {path}: {each}" for each in described if not each.get("description")]
        self.assertEqual(missing, [])

    def test_every_parameter_body_and_answer_has_an_example(self) -> None:
        document = self.http.ask("GET", "/openapi.json").json
        missing = []
        for path, methods in (*document["paths"].items(), *document["webhooks"].items()):
            for method, operation in methods.items():
                described = list(operation.get("parameters", ()))
                for each in (operation.get("requestBody", {}), *operation["responses"].values()):
                    described += each.get("content", {}).values()
                missing += [
                    f"{method} {path}: {each}" for each in described if not each.keys() & {"example", "examples"}
                ]
        self.assertEqual(missing, [])

    def test_every_call_has_an_example_that_fits_its_types(self) -> None:
        self.assertEqual({operation.name for operation in OPERATIONS}, set(EXAMPLES))
        for operation in OPERATIONS:
            example = EXAMPLES[operation.name]
            self.assertRegex(example.path, "^" + operation.path.replace("{id}", "[0-9a-f-]{36}") + r"(\?|$)")
            self.assertEqual(example.body is None, operation.body is None)
            answer = operation.answers[min(operation.answers)]
            for value, kind in ((example.answer, answer), (example.body, operation.body)):
                if kind is not None:
                    fitting = msgspec.convert(value, kind.item if isinstance(kind, OneOrMany) else kind)
                    # A field that the type doesn't have would be gone.
                    self.assertLessEqual(set(value), set(msgspec.to_builtins(fitting)), operation.name)

    def test_what_the_relay_sends_is_described_as_webhooks_that_fit_what_it_sends(self) -> None:
        webhooks = self.http.ask("GET", "/openapi.json").json["webhooks"]
        content = webhooks["notification"]["post"]["requestBody"]["content"]["application/json"]
        id_ = parse_id(NOTIFICATION["id"])
        assert id_ is not None
        notification = Notification(id_, "acme", Channel.WEBHOOK, DELIVERED, True, 1, 0.0, 0.0, b"")
        body = json_body(notification, NOTIFICATION["url"], "standard")
        self.assertEqual(msgspec.json.decode(body), content["examples"]["one"]["value"])
        msgspec.json.decode(body, type=NotificationBody)
        # The page shows the same octets, so that the signature in it is right.
        page = self.http.ask("GET", "/docs", login=None).body.decode()
        self.assertIn(body.decode(), unescape(page))
        headers = signed_headers(WEBHOOK_ID.encode(), b"", body, 1, [secret_key(SECRET)], float(TIMESTAMP))
        self.assertIn(f"webhook-signature: {headers[b'Webhook-Signature'][0].decode()}", unescape(page))
        self.assertIn(SECRET, page)

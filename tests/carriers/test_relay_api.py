"""Another relay as a carrier over HTTP: what is posted to it, and what its answers and notifications mean."""

import base64

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.signing import signature
from relay.carriers.relay_api import (
    MOST_NOTIFICATIONS,
    REPLAY_SECONDS,
    BadNotification,
    NotificationReader,
    item_json,
    read_answers,
)
from relay.config.carrier_config import Dialect
from relay.smpp.message_codec import message_body
from relay.text.compose import compose
from relay.text.passthrough import compose_raw, read_part
from relay.values import smpp_constants as c
from relay.values.carrier_reports import Receipt
from relay.values.states import DELIVERED, ENROUTE, UNDELIVERABLE

KEY = b"k" * 32
NOW = 1_800_000_000.0
ID = "72b83667-a8f1-4c09-861f-e1ee6dd4561b"


#: Notifications with the right names and anything behind them, alone, in arrays, or among other things.
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NOTIFICATION = st.dictionaries(st.sampled_from(["id", "status", "error", "send_status", "url", "x"]), _ANYTHING)
JSON = _ANYTHING | _NOTIFICATION | st.lists(_NOTIFICATION, max_size=4)


class Parts(SynchronousTestCase):
    @settings(max_examples=60)
    @given(st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable()))
    def test_a_text_of_one_part_crosses_as_the_same_text(self, text: str) -> None:
        composed = compose("RELAY", "+447700900123", text, reference=1)
        if len(composed.parts) == 1:
            part = read_part(composed.parts[0])
            self.assertIsNotNone(part.text)
            again = compose(part.sender, part.to, part.text or "", reference=1)
            self.assertEqual(again, composed)

    @settings(max_examples=100)
    @given(st.binary(max_size=300), st.integers(0, 255))
    def test_octets_that_are_no_text_of_ours_cross_as_they_are(self, payload: bytes, data_coding: int) -> None:
        addresses, (body,) = compose_raw(
            "447700900001", "+447700900123", data_coding=data_coding, udh=b"\5\0\3\1\2\1", payload=payload
        )
        part = read_part(body)
        self.assertEqual(
            (part.text, part.data_coding, part.udh, part.payload), (None, data_coding, b"\5\0\3\1\2\1", payload)
        )
        self.assertEqual(
            compose_raw(part.sender, part.to, data_coding=part.data_coding, udh=part.udh, payload=part.payload),
            (addresses, (body,)),
        )

    @settings(max_examples=100)
    @given(st.binary(max_size=200), st.integers(0, 255), st.booleans())
    def test_every_body_becomes_an_item(self, octets: bytes, data_coding: int, udhi: bool) -> None:
        body = message_body(
            addresses=b"\x05\0SHOP\0\x01\x01447700900123\0",
            short_message=octets,
            data_coding=data_coding,
            esm_class=c.ESM_CLASS_UDHI if udhi else 0,
        )
        item = msgspec.json.decode(item_json(body, "reference", 60.0))
        self.assertEqual((item["from"], item["to"]), ("SHOP", "+447700900123"))
        if item["text"] is None:
            self.assertEqual(bytes.fromhex(item.get("udh", "") + item["payload"]), octets)

    def test_a_validity_that_the_api_would_refuse_is_brought_within_its_bounds(self) -> None:
        (body,) = compose("RELAY", "447700900123", "Hello", reference=1).parts
        seconds = [msgspec.json.decode(item_json(body, "r", v))["validity_seconds"] for v in (-5.0, 60.0, 1e9)]
        self.assertEqual(seconds, [1.0, 60.0, 604_800.0])


class Answers(SynchronousTestCase):
    def test_each_item_is_an_id_or_the_status_that_says_why_not(self) -> None:
        problems = [
            {"id": ID},
            {"type": "/docs#problem-no-route", "status": 422, "field": "to"},
            {"type": "/docs#problem-rate-limit", "status": 429},
            {"type": "/docs#problem-queue-full", "status": 503},
            {"type": "/docs#problem-invalid-field", "status": 422, "field": "text"},
        ]
        self.assertEqual(
            read_answers(msgspec.json.encode(problems), 5),
            [
                (c.ESME_ROK, ID.encode()),
                (c.ESME_RINVDSTADR, b""),
                (c.ESME_RTHROTTLED, b""),
                (c.ESME_RMSGQFUL, b""),
                (c.ESME_RSUBMITFAIL, b""),
            ],
        )

    def test_an_answer_to_another_number_of_items_is_none(self) -> None:
        self.assertRaises(ValueError, read_answers, b'[{"id":"x"}]', 2)

    @settings(max_examples=60)
    @given(st.binary(max_size=60))
    def test_nonsense_is_a_value_error_at_most(self, content: bytes) -> None:
        try:
            answers = read_answers(content, 1)
        except ValueError:
            return
        self.assertEqual(len(answers), 1)


class Notifications(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader = NotificationReader("up", Dialect(), KEY)

    def check(self, body: bytes, signed: bytes | None = None, at: float = NOW) -> None:
        timestamp = b"%d" % at
        given_signature = signature([KEY], b"id", timestamp, body if signed is None else signed)
        self.reader.check(b"id", timestamp, given_signature, body, NOW)

    def test_a_notification_with_a_fresh_signature_is_accepted(self) -> None:
        self.check(b"{}")
        self.check(b"{}", at=NOW - REPLAY_SECONDS)
        both = signature([b"o" * 32, KEY], b"id", b"%d" % NOW, b"{}")
        self.reader.check(b"id", b"%d" % NOW, both, b"{}", NOW)

    def test_changed_old_and_unsigned_posts_are_refused(self) -> None:
        for refused in (
            lambda: self.check(b"{}", signed=b"[]"),
            lambda: self.check(b"{}", at=NOW - REPLAY_SECONDS - 1),
            lambda: self.check(b"{}", at=NOW + REPLAY_SECONDS + 1),
            lambda: self.reader.check(b"id", b"%d" % NOW, b"", b"{}", NOW),
            lambda: self.reader.check(b"id", b"soon", b"v1,x", b"{}", NOW),
            lambda: self.reader.check(b"id", b"%d" % NOW, b"v1," + base64.b64encode(b"x" * 32), b"{}", NOW),
        ):
            self.assertTrue(self.assertRaises(BadNotification, refused).forged)

    def test_a_right_signature_of_another_time_is_refused_with_the_difference_of_the_clocks(self) -> None:
        for at, words in ((NOW - 4000, "4000 s behind"), (NOW + 400, "400 s ahead of")):
            problem = self.assertRaises(BadNotification, self.check, b"{}", at=at)
            self.assertIn(words, str(problem))
        forged = self.assertRaises(BadNotification, self.check, b"{}", signed=b"[]", at=NOW - 4000)
        self.assertIn("webhook-signature", str(forged))

    def test_a_timestamp_that_is_none_is_refused_even_where_it_is_signed(self) -> None:
        for timestamp in (b"soon", b"9" * 400, b"-1", b"1e9", b" 5", b"\xd9\xa3"):
            given_signature = signature([KEY], b"id", timestamp, b"{}")
            self.assertRaises(BadNotification, self.reader.check, b"id", timestamp, given_signature, b"{}", NOW)

    def test_another_carriers_notification_is_not_this_ones(self) -> None:
        other = signature([b"o" * 32], b"id", b"%d" % NOW, b"{}")
        self.assertRaises(BadNotification, self.reader.check, b"id", b"%d" % NOW, other, b"{}", NOW)
        receipts = NotificationReader("other", Dialect(), KEY).read(b'{"id":"1","status":"DELIVRD"}', b"", NOW)
        self.assertEqual([receipt.carrier for receipt in receipts], ["other"])

    def test_more_than_a_batch_is_refused_whole(self) -> None:
        self.assertEqual(len(self.read([{}] * MOST_NOTIFICATIONS)), MOST_NOTIFICATIONS)
        self.assertRaises(BadNotification, self.read, [{}] * (MOST_NOTIFICATIONS + 1))

    def test_an_id_that_is_no_relays_is_unreadable(self) -> None:
        (receipt,) = self.read({"id": "x" * 65, "status": "DELIVRD"})
        self.assertEqual(receipt.keys, ())

    @settings(max_examples=150)
    @given(JSON)
    def test_any_json_is_read_or_refused(self, content: object) -> None:
        try:
            receipts = self.read(content, b"\xff\0 anything")
        except BadNotification as problem:
            self.assertFalse(problem.forged)
            return
        for receipt in receipts:
            self.assertTrue(all(0 < len(key) <= 64 * 4 for key in receipt.keys))
            self.assertLessEqual(len(receipt.error), 64)

    def read(self, content: object, carrier_error: bytes = b"") -> list[Receipt]:
        return self.reader.read(msgspec.json.encode(content), carrier_error, NOW)

    def test_the_five_fields_become_a_receipt(self) -> None:
        fields = {"url": "http://a/", "id": ID.upper(), "send_status": "failed", "status": "UNDELIV", "error": "005"}
        (receipt,) = self.read(fields, b"069")
        (sent,) = read_answers(msgspec.json.encode([{"id": ID}]), 1)
        self.assertEqual((receipt.state, receipt.final, receipt.error), (UNDELIVERABLE, True, b"069"))
        self.assertEqual(receipt.keys[0].lower(), sent[1])

    def test_of_an_array_each_is_a_receipt_and_keeps_its_own_error(self) -> None:
        receipts = self.read(
            [{"id": ID, "status": "DELIVRD", "error": "002"}, {"id": "x", "status": "ENROUTE", "error": "001"}], b"069"
        )
        self.assertEqual(
            [(r.state, r.final, r.error) for r in receipts], [(DELIVERED, True, b"002"), (ENROUTE, False, b"001")]
        )

    def test_a_body_that_is_no_notification_is_kept_as_unreadable(self) -> None:
        (receipt,) = self.read({"hello": "world"})
        self.assertEqual((receipt.keys, receipt.state), ((), None))

    @settings(max_examples=80)
    @given(st.binary(max_size=80))
    def test_any_body_is_read_or_refused(self, body: bytes) -> None:
        try:
            receipts = self.reader.read(body, b"", NOW)
        except BadNotification as problem:
            self.assertFalse(problem.forged)
        else:
            self.assertTrue(all(receipt.carrier == "up" for receipt in receipts))

"""Callbacks in the manner of Kannel and Jasmin."""

from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.urls import parse_url
from relay.values.messages import Channel, Notification
from relay.values.states import DELIVERED, ENROUTE, EXPIRED, FINAL_STATES, REJECTED, UNDELIVERABLE
from relay.webhooks.callbacks import (
    Callback,
    callback_request,
    jasmin_callback,
    kannel_callback,
    kannel_value,
    parse_callback,
)
from relay.webhooks.request import WebhookRequest

ID = "00000000-0000-0000-0000-000000000007"


def notification(state: int = DELIVERED, **fields: Any) -> Notification:
    values: dict[str, Any] = {
        "id": (7).to_bytes(16, "big"),
        "account": "acme",
        "channel": Channel.WEBHOOK,
        "state": state,
        "final": state in FINAL_STATES,
        "attempt": 1,
        "accepted_at": 1_700_000_000.0,
        "done_at": 1_700_000_060.0,
        "addresses": b"\x05\0Re lay\0\x01\x01447700900123\0",
        "carrier_error": b"000",
    }
    return Notification(**values | fields)


def called(url: str, state: int = DELIVERED, **fields: Any) -> WebhookRequest:
    request = callback_request(notification(state, **fields), parse_callback(url))
    assert request is not None
    return request


class PrefixTests(SynchronousTestCase):
    @given(st.sampled_from(["http://a.example/?x=%d&y=a:b", "https://b/"]), st.integers(1, 63))
    def test_what_is_put_in_front_comes_off_again(self, url: str, mask: int) -> None:
        self.assertEqual(parse_callback(kannel_callback(url, mask)), Callback("kannel", mask, "GET", url))
        self.assertEqual(parse_callback(jasmin_callback(url, 2, "POST")), Callback("jasmin", 2, "POST", url))
        self.assertEqual(parse_callback(url), Callback("", 0, "POST", url))


class KannelTests(SynchronousTestCase):
    def test_escapes_are_filled_in_and_encoded(self) -> None:
        pattern = "http://a.example/dlr?type=%d&from=%p&to=%P&id=%I&at=%T&when=%t&who=%n&reply=%A&x=%2F&pc=100%%"
        request = called(kannel_callback(pattern, 31))
        self.assertEqual((request.method, request.body), ("GET", None))
        fields = dict(parse_qsl(urlsplit(request.url).query))
        self.assertEqual((fields["type"], fields["from"], fields["to"]), ("1", "Re lay", "447700900123"))
        self.assertEqual((fields["id"], fields["at"], fields["who"]), (ID, "1700000060", "acme"))
        self.assertEqual((fields["when"], fields["x"], fields["pc"]), ("2023-11-14 22:14:20", "/", "100%"))
        self.assertIn("stat:DELIVRD err:000", fields["reply"])

    def test_the_mask_says_what_is_told_and_how(self) -> None:
        for state, mask, value in (
            (DELIVERED, 31, 1),
            (DELIVERED, 2, None),
            (UNDELIVERABLE, 31, 2),
            (EXPIRED, 3, 2),
            (UNDELIVERABLE, 17, None),
            (REJECTED, 31, 16),
            (REJECTED, 3, 2),
            (REJECTED, 1, None),
            (ENROUTE, 8, 8),
            (ENROUTE, 19, None),
            (DELIVERED, 0, None),
        ):
            self.assertEqual(kannel_value(state, mask), value, (state, mask))

    def test_what_the_mask_leaves_out_makes_no_request(self) -> None:
        callback = parse_callback(kannel_callback("http://a.example/%d", 2))
        self.assertIsNone(callback_request(notification(DELIVERED), callback))

    @given(st.text(st.sampled_from("%dpPAatTIzx2F&=/"), max_size=30), st.binary(max_size=5))
    def test_whatever_the_pattern_a_url_comes_of_it(self, tail: str, error: bytes) -> None:
        request = called(kannel_callback("http://a.example/?" + tail, 31), carrier_error=error)
        self.assertEqual(parse_url(request.url).host, "a.example")


class JasminTests(SynchronousTestCase):
    def test_level_2_tells_the_final_state_with_all_fields(self) -> None:
        request = called(jasmin_callback("http://a.example/dlr?k=1", 2, "GET"), UNDELIVERABLE, carrier_error=b"027")
        fields = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        self.assertEqual(
            fields,
            {
                "k": "1",
                "id": ID,
                "id_smsc": ID,
                "message_status": "UNDELIV",
                "level": "2",
                "connector": "relay",
                "subdate": "2311142213",
                "donedate": "2311142214",
                "sub": "001",
                "dlvrd": "000",
                "err": "027",
                "text": "",
            },
        )

    def test_post_carries_a_form(self) -> None:
        request = called(jasmin_callback("http://a.example/dlr", 3, "POST"))
        self.assertEqual((request.method, request.url), ("POST", "http://a.example/dlr"))
        self.assertEqual(request.headers[b"Content-Type"], [b"application/x-www-form-urlencoded"])
        self.assertEqual(parse_qs(request.body or b"")[b"dlvrd"], [b"001"])

    def test_level_1_tells_whether_a_carrier_took_it(self) -> None:
        for state, status in ((DELIVERED, "ESME_ROK"), (UNDELIVERABLE, "ESME_ROK"), (REJECTED, "ESME_RSUBMITFAIL")):
            request = called(jasmin_callback("http://a.example/", 1, "GET"), state)
            fields = dict(parse_qsl(urlsplit(request.url).query))
            self.assertEqual(fields, {"id": ID, "message_status": status, "level": "1", "connector": "relay"})
        callback = parse_callback(jasmin_callback("http://a.example/", 1, "GET"))
        self.assertIsNone(callback_request(notification(ENROUTE), callback))

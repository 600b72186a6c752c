"""Callbacks as Kannel and Jasmin send them."""

from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.urls import parse_url
from relay.values.notifications import Channel, Notification
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
    @given(st.sampled_from(["http://a.example/?x=%d&y=a:b", "https://b/"]), st.integers(1, 66))
    def test_the_prefix_of_a_callback_url_is_removed_again(self, url: str, mask: int) -> None:
        self.assertEqual(parse_callback(kannel_callback(url, mask)), Callback("kannel", mask, "GET", url))
        self.assertEqual(parse_callback(jasmin_callback(url, 2, "POST")), Callback("jasmin", 2, "POST", url))
        self.assertEqual(parse_callback(url), Callback("", 0, "POST", url))


class KannelTests(SynchronousTestCase):
    def query(self, pattern: str, state: int = DELIVERED, mask: int = 31, **fields: Any) -> dict[str, str]:
        request = called(kannel_callback("http://a.example/dlr?" + pattern, mask), state, **fields)
        return dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))

    def test_escapes_are_filled_in_and_encoded(self) -> None:
        pattern = "http://a.example/dlr?type=%d&id=%I&at=%T&when=%t&who=%n&reply=%A&x=%2F&pc=100%%"
        request = called(kannel_callback(pattern, 31))
        self.assertEqual((request.method, request.body), ("GET", None))
        fields = dict(parse_qsl(urlsplit(request.url).query))
        self.assertEqual(fields["type"], "1")
        self.assertEqual((fields["id"], fields["at"], fields["who"]), (ID, "1700000060", "acme"))
        self.assertEqual((fields["when"], fields["x"], fields["pc"]), ("2023-11-14 22:14:20", "/", "100%"))
        self.assertIn("stat:DELIVRD err:000", fields["reply"])

    def test_the_handset_is_the_sender_of_a_report(self) -> None:
        fields = self.query("p=%p&P=%P&q=%q&Q=%Q")
        self.assertEqual(fields, {"p": "447700900123", "q": "447700900123", "P": "Re lay", "Q": "Re lay"})

    def test_q_writes_the_international_prefix_as_a_plus(self) -> None:
        self.assertEqual(self.query("q=%q", addresses=b"\0\0X\0\0\x0000447700900123\0")["q"], "+447700900123")

    def test_the_carrier_and_its_id_are_named(self) -> None:
        fields = self.query("i=%i&F=%F", carrier="north", carrier_message_id=b"7f")
        self.assertEqual(fields, {"i": "north", "F": "7f"})

    def test_the_carriers_name_is_never_empty(self) -> None:
        self.assertEqual(self.query("i=%i", REJECTED, taken=False), {"i": "relay"})

    def test_a_refusal_is_worded_as_kannel_words_it(self) -> None:
        refused: dict[str, Any] = {"taken": False, "carrier_error": b"ESME_RINVDSTADR"}
        self.assertEqual(self.query("A=%A", REJECTED, **refused)["A"], "NACK/0x0000000b/ESME_RINVDSTADR")
        self.assertEqual(self.query("A=%A", EXPIRED, taken=False, carrier_error=b"")["A"], "NACK/validity expired")

    def test_words_of_the_report_can_be_taken_one_by_one(self) -> None:
        fields = self.query("k=%k&s1=%s&s2=%S&r=%r", carrier_message_id=b"7f")
        self.assertEqual((fields["k"], fields["s1"], fields["s2"]), ("id:7f", "id:7f", "sub:001"))
        self.assertTrue(fields["r"].startswith("dlvrd:001 submit date:"), fields["r"])

    def test_values_that_a_report_lacks_are_empty_or_minus_one(self) -> None:
        fields = self.query("m=%m&M=%M&O=%O&c=%c&C=%C&B=%B&f=%f&u=%u&v=%v&V=%V&D=%D&x=%#smpp#name#")
        empty = dict.fromkeys("BfuvVDx", "")
        self.assertEqual(fields, {"m": "-1", "M": "-1", "O": "00", "c": "0", "C": "UTF-8"} | empty)

    def test_the_dlr_url_itself_and_the_text_in_hexadecimal_can_be_had(self) -> None:
        pattern = "e=%e&R=%R"
        fields = self.query(pattern, REJECTED, taken=False, carrier_error=b"x")
        self.assertEqual(fields, {"e": b"NACK/x".hex().upper(), "R": "http://a.example/dlr?" + pattern})

    def test_two_percent_signs_before_hex_digits_are_one_encoded_octet(self) -> None:
        self.assertEqual(self.query("x=a%%20b&y=%%")["x"], "a b")
        self.assertEqual(self.query("x=a%%20b&y=%%")["y"], "%")

    def test_a_number_sign_is_sent_on_with_all_that_follows(self) -> None:
        request = called(kannel_callback("http://a.example/?ref=#5&st=%d", 31))
        self.assertEqual(request.url, "http://a.example/?ref=%235&st=1")

    def test_the_mask_says_which_events_are_notified(self) -> None:
        for state, taken, mask, value in (
            (DELIVERED, True, 31, 1),
            (DELIVERED, True, 2, None),
            (DELIVERED, True, 0, None),
            (UNDELIVERABLE, True, 31, 2),
            (EXPIRED, True, 3, 2),
            (UNDELIVERABLE, True, 17, None),
            (REJECTED, True, 31, 2),
            (REJECTED, True, 16, None),
            (REJECTED, False, 31, 16),
            (REJECTED, False, 3, 16),
            (REJECTED, False, 16, 16),
            (REJECTED, False, 13, None),
            (EXPIRED, False, 2, 16),
            (ENROUTE, True, 4, 4),
            (ENROUTE, True, 19, None),
            (ENROUTE, True, 8, None),
        ):
            self.assertEqual(kannel_value(notification(state, taken=taken), mask), value, (state, taken, mask))

    def test_events_that_the_mask_leaves_out_make_no_request(self) -> None:
        callback = parse_callback(kannel_callback("http://a.example/%d", 2))
        self.assertIsNone(callback_request(notification(DELIVERED), callback))

    @given(st.text(st.sampled_from("%dpPAatTIzx2F&=/#ksrSeR"), max_size=30), st.binary(max_size=5))
    def test_every_pattern_gives_a_url(self, tail: str, error: bytes) -> None:
        request = called(kannel_callback("http://a.example/?" + tail, 31), carrier_error=error)
        self.assertEqual(parse_url(request.url).host, "a.example")


class JasminTests(SynchronousTestCase):
    def test_donedate_is_the_carrier_s_and_a_network_s_error_a_number(self) -> None:
        request = called(
            jasmin_callback("http://a.example/dlr", 2, "GET"),
            UNDELIVERABLE,
            carrier_done_at=1_700_003_600.0,
            carrier_error=b"GSM 27",
            network_error_code=b"\3\0\x1b",
        )
        fields = dict(parse_qsl(urlsplit(request.url).query))
        self.assertEqual((fields["donedate"], fields["err"]), ("2311142313", "027"))

    def test_level_2_tells_the_final_state_with_all_fields(self) -> None:
        of_carrier = {"carrier_error": b"027", "carrier": "north", "carrier_message_id": b"007f"}
        request = called(jasmin_callback("http://a.example/dlr?k=1", 2, "GET"), UNDELIVERABLE, **of_carrier)
        fields = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        self.assertEqual(
            fields,
            {
                "k": "1",
                "id": ID,
                "id_smsc": "7F",
                "message_status": "UNDELIV",
                "level": "2",
                "connector": "north",
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

    def test_the_fields_of_a_get_stand_before_a_fragment(self) -> None:
        request = called(jasmin_callback("http://a.example/dlr?k=1#top", 1, "GET"))
        self.assertEqual(request.url.partition("&")[0], "http://a.example/dlr?k=1")
        self.assertIn("message_status=ESME_ROK", request.url)

    def test_an_error_that_is_no_number_is_sent_as_a_number(self) -> None:
        request = called(jasmin_callback("http://a.example/", 2, "GET"), UNDELIVERABLE, carrier_error=b"ABC")
        self.assertEqual(dict(parse_qsl(urlsplit(request.url).query))["err"], "005")

    def test_level_1_tells_whether_a_carrier_took_it(self) -> None:
        for state, taken, error, status in (
            (DELIVERED, True, b"000", "ESME_ROK"),
            (UNDELIVERABLE, True, b"001", "ESME_ROK"),
            (REJECTED, True, b"", "ESME_ROK"),
            (REJECTED, False, b"ESME_RINVDSTADR", "ESME_RINVDSTADR"),
            (EXPIRED, False, b"", "ESME_RSUBMITFAIL"),
        ):
            request = called(jasmin_callback("http://a.example/", 1, "GET"), state, taken=taken, carrier_error=error)
            fields = dict(parse_qsl(urlsplit(request.url).query))
            self.assertEqual(fields, {"id": ID, "message_status": status, "level": "1", "connector": "relay"})
        callback = parse_callback(jasmin_callback("http://a.example/", 1, "GET"))
        self.assertIsNone(callback_request(notification(ENROUTE), callback))

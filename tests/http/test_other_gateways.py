"""Kannel's and Jasmin's HTTP interfaces, used as programs for these gateways use them."""

from typing import Any
from urllib.parse import urlencode

from twisted.trial.unittest import SynchronousTestCase

from relay.config.account_config import Account, Senders
from relay.store.store_values import StoreFull
from relay.values.ids import id_text
from relay.values.messages import Refused, destination_of, source_of
from relay.values.secret import Secret
from relay.values.smpp_constants import ESME_RINVDSTADR, ESME_RTHROTTLED
from tests.http.http_driver import KEY, HttpDriver, Reply

LOGIN = {"username": "acme", "password": KEY}
KANNEL = LOGIN | {"from": "RELAY", "to": "447700900123", "text": "Hello"}
JASMIN = LOGIN | {"from": "RELAY", "to": "447700900123", "content": "Hello"}


class CompatTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.http = HttpDriver({"acme": Account(api_key=Secret(KEY))}, kannel=True, jasmin=True)
        self.flow = self.http.flow

    def parts(self) -> list[bytes]:
        return [part for message in self.flow.accepted for part in message.parts]


class OffTests(SynchronousTestCase):
    def test_kannels_and_jasmins_interfaces_are_off_by_default(self) -> None:
        http = HttpDriver()
        self.assertEqual(http.ask("GET", "/cgi-bin/sendsms?" + urlencode(KANNEL), login=None).status, 404)
        self.assertEqual(http.ask("GET", "/send?" + urlencode(JASMIN), login=None).status, 404)


class KannelTests(CompatTestCase):
    def send(self, **fields: Any) -> Reply:
        query = urlencode({name: value for name, value in (KANNEL | fields).items() if value is not None})
        return self.http.ask("GET", "/cgi-bin/sendsms?" + query, login=None)

    def assertAnswer(self, reply: Reply, status: int, text: str) -> None:
        self.assertEqual((reply.status, reply.body.decode()), (status, text))

    def test_a_message_is_taken_with_kannels_answer(self) -> None:
        self.assertAnswer(self.send(), 202, "0: Accepted for delivery")
        message = self.flow.dispatched[0]
        self.assertEqual((source_of(message.addresses), destination_of(message.addresses)), (b"RELAY", b"447700900123"))
        self.assertIsNone(message.notification_url)

    def test_the_short_names_of_the_login_parameters_are_accepted(self) -> None:
        reply = self.send(username=None, password=None, user="acme", **{"pass": KEY})
        self.assertEqual(reply.status, 202)

    def test_several_numbers_get_a_message_each(self) -> None:
        self.send(to="447700900123 +447700900124 00447700900125 447700900123")
        numbers = [destination_of(message.addresses) for message in self.flow.dispatched]
        self.assertEqual(numbers, [b"447700900123", b"447700900124", b"447700900125"])

    def test_a_dlr_url_is_called_in_kannels_manner(self) -> None:
        self.send(**{"dlr-mask": "31", "dlr-url": "http://a.example/dlr?t=%d"})
        self.assertEqual(self.flow.accepted[0].notification_url, "kannel:31:http://a.example/dlr?t=%d")

    def test_the_largest_mask_of_kannel_is_taken(self) -> None:
        self.send(**{"dlr-mask": "66", "dlr-url": "http://a.example/dlr"})
        self.assertEqual(self.flow.accepted[0].notification_url, "kannel:66:http://a.example/dlr")

    def test_without_a_mask_nothing_is_called(self) -> None:
        self.send(**{"dlr-url": "http://a.example/dlr?t=%d"})
        self.assertIsNone(self.flow.accepted[0].notification_url)

    def test_texts_come_in_the_character_set_that_is_named(self) -> None:
        self.send(text="Grüße")
        self.send(text="Grüße".encode("iso-8859-1"), charset="ISO-8859-1")
        self.send(text="Grüße".encode("utf-16-be"), coding="2")
        self.send(text="Grüße", coding="2", charset="UTF-8")
        self.assertEqual((len(self.parts()), len(set(self.parts()))), (4, 1))

    def test_a_validity_is_in_minutes(self) -> None:
        self.send(validity="10")
        self.assertEqual(self.flow.accepted[0].expires_at - self.flow.accepted[0].accepted_at, 600.0)

    def test_refusals_are_in_kannels_words(self) -> None:
        for fields, status, text in (
            ({"password": "wrong"}, 403, "Authorization failed for sendsms"),
            ({"password": None}, 403, "Authorization failed for sendsms"),
            ({"to": None}, 400, "Missing receiver number, rejected"),
            ({"to": "abc"}, 400, "Number(s) has/have been denied by white- and/or black-lists."),
            ({"from": None}, 400, "Sender missing and no global set, rejected"),
            ({"to": ""}, 400, "Empty receiver number not allowed, rejected"),
            ({"mclass": "4"}, 400, "MClass field misformed, rejected"),
            ({"mwi": "8"}, 400, "MWI field misformed, rejected"),
            ({"pid": "256"}, 400, "PID field misformed, rejected"),
            ({"alt-dcs": "2"}, 400, "Alt-DCS field misformed, rejected"),
            ({"rpi": "3"}, 400, "RPI field misformed, rejected"),
            ({"priority": "4"}, 400, "Priority field misformed, rejected"),
            ({"validity": "-2"}, 400, "Validity field misformed, rejected"),
            ({"deferred": "-2"}, 400, "Deferred field misformed, rejected"),
            ({"deferred": "43201"}, 400, "Deferred field is over 43200 minutes, rejected"),
            ({"compress": "1"}, 400, "Compress field asks for compression, which no carrier reads, rejected"),
            ({"account": "a[b"}, 400, "Account field misformed or too long, rejected"),
            ({"udh": b"\xc8" + b"x" * 200}, 400, "UDH field is too long, rejected"),
            ({"charset": "unicode_escape"}, 400, "Charset or body misformed, rejected"),
            ({"charset": "hex"}, 400, "Charset or body misformed, rejected"),
            ({"coding": "7"}, 400, "Coding field misformed, rejected"),
            ({"text": b"\xff", "charset": "utf-8"}, 400, "Charset or body misformed, rejected"),
            ({"dlr-mask": "1", "dlr-url": "http://"}, 400, "DLR-URL field misformed, rejected"),
            ({"binfo": "longer"}, 400, "BInfo field is no service_type of at most five characters, rejected"),
            ({"charset": "klingon"}, 400, "Charset or body misformed, rejected"),
            ({"dlr-mask": "67"}, 400, "DLR-Mask field misformed, rejected"),
            ({"dlr-mask": "1", "dlr-url": "ftp://x"}, 400, "DLR-URL field misformed, rejected"),
            ({"dlr-mask": "1", "dlr-url": "http://10.0.0.1/"}, 400, "DLR-URL field misformed, rejected"),
            ({"udh": "050003"}, 400, "UDH field misformed, rejected"),
        ):
            self.assertAnswer(self.send(**fields), status, text)
        self.assertEqual(self.flow.accepted, [])

    def test_a_temporary_failure_is_answered_so_that_the_client_tries_again(self) -> None:
        self.flow.refusal = Refused(ESME_RTHROTTLED, "", "Slower.", 1.0)
        self.assertAnswer(self.send(), 503, "Temporal failure, try again later.")
        self.flow.refusal = Refused(ESME_RINVDSTADR, "to", "No route.")
        self.assertAnswer(self.send(), 403, "Not routable. Do not try again.")
        self.flow.refusal, self.flow.broken = None, StoreFull("full")
        self.assertAnswer(self.send(), 503, "Temporal failure, try again later.")


class JasminTests(CompatTestCase):
    def send(self, method: str = "GET", **fields: Any) -> Reply:
        query = urlencode({name: value for name, value in (JASMIN | fields).items() if value is not None})
        if method == "GET":
            return self.http.ask("GET", "/send?" + query, login=None)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.http.ask("POST", "/send", query.encode(), form, login=None)

    def assertError(self, reply: Reply, status: int, text: str) -> None:
        self.assertEqual((reply.status, reply.body.decode()), (status, f'Error "{text}"'))

    def test_a_message_is_taken_with_jasmins_answer(self) -> None:
        for method in ("GET", "POST"):
            reply = self.send(method)
            self.assertEqual((reply.status, reply.headers["Content-Type"]), (200, "text/plain"))
            self.assertEqual(reply.body.decode(), f'Success "{id_text(self.flow.dispatched[-1].id)}"')

    def test_a_message_may_come_as_json(self) -> None:
        headers = {"Content-Type": "application/json"}
        reply = self.http.ask("POST", "/send", JASMIN | {"coding": 0, "dlr-level": 2}, headers, login=None)
        self.assertEqual(reply.status, 200)

    def test_a_dlr_is_called_in_jasmins_manner(self) -> None:
        self.send(dlr="yes", **{"dlr-url": "http://a.example/dlr", "dlr-level": "2", "dlr-method": "get"})
        self.assertEqual(self.flow.accepted[0].notification_url, "jasmin:2:GET:http://a.example/dlr")
        self.send(**{"dlr-url": "http://a.example/dlr"})
        self.assertEqual(self.flow.accepted[1].notification_url, "jasmin:1:POST:http://a.example/dlr")

    def test_contents_come_in_their_coding(self) -> None:
        self.send(content="Grüße")
        self.send(content="Grüße".encode("utf-16-be"), coding="8")
        self.send(content=None, coding="8", **{"hex-content": "Grüße".encode("utf-16-be").hex()})
        self.send(content="Grüße".encode("iso-8859-1"), coding="3")
        self.assertEqual((len(self.parts()), len(set(self.parts()))), (4, 1))

    def test_errors_are_in_jasmins_words(self) -> None:
        for fields, status, text in (
            ({"password": "wrong"}, 403, "Authentication failure for username:acme"),
            ({"to": None}, 400, "Mandatory argument [to] is not found."),
            ({"to": "abc"}, 400, "Argument [to] has an invalid value: [abc]."),
            ({"colour": "red"}, 400, "Argument [colour] is unknown."),
            ({"content": None}, 400, "content or hex-content not present."),
            ({"coding": "11"}, 400, "Argument [coding] has an invalid value: [11]."),
            ({"coding": "-1"}, 400, "Argument [coding] has an invalid value: [-1]."),
            ({"priority": "4"}, 400, "Argument [priority] has an invalid value: [4]."),
            ({"validity-period": "1.5"}, 400, "Argument [validity-period] has an invalid value: [1.5]."),
            ({"dlr": "1"}, 400, "Argument [dlr] has an invalid value: [1]."),
            ({"custom_tlvs": "x"}, 400, "Argument [custom_tlvs] has an invalid value: [x]."),
            ({"custom_tlvs": '[["0x0424","x"]]'}, 400, "Tag 0x0424 is not a vendor's: those are 0x1400 to 0x3FFF."),
            ({"dlr-level": "9"}, 400, "Argument [dlr-level] has an invalid value: [9]."),
            ({"dlr-method": "PUT"}, 400, "Argument [dlr-method] has an invalid value: [PUT]."),
            ({"dlr-url": "http://10.0.0.1/"}, 400, "Argument [dlr-url] has an invalid value: [http://10.0.0.1/]."),
            ({"sdt": "tomorrow"}, 400, "Argument [sdt] has an invalid value: [tomorrow]."),
        ):
            self.assertError(self.send(**fields), status, text)
        self.assertEqual(self.flow.accepted, [])

    def test_no_route_and_too_fast_have_their_own_codes(self) -> None:
        self.flow.refusal = Refused(ESME_RINVDSTADR, "to", "No route.")
        self.assertError(self.send(), 412, "No route found")
        self.flow.refusal = Refused(ESME_RTHROTTLED, "", "Slower.", 1.0)
        self.assertError(self.send(), 403, "User throughput exceeded")


class DefaultSenderTests(SynchronousTestCase):
    """What an account with a default sender may leave out."""

    def setUp(self) -> None:
        senders = Senders(default="RELAY")
        self.http = HttpDriver({"acme": Account(api_key=Secret(KEY), senders=senders)}, kannel=True, jasmin=True)

    def sender(self) -> bytes:
        return source_of(self.http.flow.accepted[-1].addresses)

    def test_messages_without_a_sender_get_the_default_over_every_http_interface(self) -> None:
        for path, fields in (("/cgi-bin/sendsms?", KANNEL), ("/send?", JASMIN)):
            query = urlencode({name: value for name, value in fields.items() if name != "from"})
            self.assertIn(self.http.ask("GET", path + query, login=None).status, (200, 202))
            self.assertEqual(self.sender(), b"RELAY")
        for body in ({}, {"from": ""}):
            reply = self.http.ask("POST", "/messages", body | {"to": "447700900123", "text": "Hello"})
            self.assertEqual(reply.status, 202)
            self.assertEqual(self.sender(), b"RELAY")
        self.assertEqual(len(self.http.flow.accepted), 4)

    def test_a_sender_that_is_named_counts(self) -> None:
        message = {"to": "447700900123", "text": "Hello", "from": "ACME"}
        self.assertEqual(self.http.ask("POST", "/messages", [message]).status, 202)
        self.assertEqual(self.sender(), b"ACME")

    def test_other_mistakes_are_still_named(self) -> None:
        reply = self.http.ask("POST", "/messages", {"to": "447700900123"})
        self.assertEqual((reply.status, reply.json["field"]), (422, "text"))

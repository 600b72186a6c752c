"""Requests to carriers' own HTTP APIs, and their answers, held to examples of the carriers' public documentation.

The examples are from the pages that `relay.carriers.api_presets` names for each carrier, shortened to the fields that
matter here. None of these APIs was tried with the carrier itself.
"""

import base64
import json
from typing import Any
from urllib.parse import parse_qs

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.api_adapter import ApiAdapter, HttpRequest, LoginRefused, word_at
from relay.carriers.api_presets import API_PRESETS
from relay.config.api_config import Api
from relay.config.carrier_config import Carrier
from relay.text.passthrough import RawPart
from relay.values import smpp_constants as c
from relay.values.secret import Secret

HELLO = RawPart("+447700900123", "ACME", "Hello, wörld & co", 0, b"", b"")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def adapter(preset: str = "json", **settings: Any) -> ApiAdapter:
    api: dict[str, Any] = settings.pop("api", {})
    values: dict[str, Any] = {
        "kind": "api",
        "connect": API_PRESETS[preset].connect or "https://api.example.net",
        "system_id": "AC123",
        "password": Secret("pass/word"),
        "signing_secret": Secret("token"),
    }
    made = Api(preset=preset, public_url="https://relay.example.org/", **api)  # type: ignore[arg-type]
    return ApiAdapter("up", Carrier(api=made, **values | settings))


def requested(preset: str, part: RawPart = HELLO, **settings: Any) -> HttpRequest:
    made = adapter(preset, **settings).request(part, "id/0", 600.0)
    assert made is not None
    return made


def form(request: HttpRequest) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs((request.body or b"").decode(), strict_parsing=True).items()}


class TwilioTests(SynchronousTestCase):
    def test_a_message_is_created_under_the_account(self) -> None:
        request = requested("twilio")
        self.assertEqual(request.url, "https://api.twilio.com/2010-04-01/Accounts/AC123/Messages.json")
        self.assertEqual(request.headers[b"Authorization"], [b"Basic " + base64.b64encode(b"AC123:pass/word")])
        self.assertEqual(
            form(request),
            {
                "To": "+447700900123",
                "From": "ACME",
                "Body": "Hello, wörld & co",
                "ValidityPeriod": "600",
                "StatusCallback": "https://relay.example.org/carriers/up/receipts",
            },
        )

    def test_a_validity_is_no_longer_than_twilio_allows(self) -> None:
        # twilio.com/docs/api/errors/21624: integers between 1 and 36,000.
        request = adapter("twilio").request(HELLO, "id", 172_800.0)
        assert request is not None
        self.assertEqual("36000", form(request)["ValidityPeriod"])

    def test_the_answer_has_the_id_or_a_code(self) -> None:
        api = adapter("twilio")
        created = b'{"account_sid": "AC123", "error_code": null, "sid": "SMXX", "status": "queued", "to": "+1"}'
        self.assertEqual(api.answer(201, created), (c.ESME_ROK, b"SMXX"))
        for status, code, expected in (
            (400, 21211, c.ESME_RINVDSTADR),
            (400, 21610, c.ESME_RINVDSTADR),
            (429, 20429, c.ESME_RTHROTTLED),
            (400, 99999, c.ESME_RSUBMITFAIL),
        ):
            problem = json.dumps({"code": code, "message": "...", "status": status}).encode()
            self.assertEqual(api.answer(status, problem), (expected, b""))
        self.assertRaises(LoginRefused, api.answer, 401, b'{"code": 20003, "status": 401}')


class VonageTests(SynchronousTestCase):
    def test_a_text_is_sent_in_the_form_that_its_alphabet_needs(self) -> None:
        request = requested("vonage")
        self.assertEqual(request.url, "https://rest.nexmo.com/sms/json")
        self.assertEqual(
            form(request),
            {
                "api_key": "AC123",
                "api_secret": "pass/word",
                "from": "ACME",
                "to": "447700900123",
                "type": "text",
                "text": "Hello, wörld & co",
                "ttl": "600000",
                "callback": "https://relay.example.org/carriers/up/receipts/token",
            },
        )
        unicode = requested("vonage", HELLO._replace(text="привет", data_coding=8))
        self.assertEqual((form(unicode)["type"], form(unicode)["text"]), ("unicode", "привет"))

    def test_a_validity_is_no_shorter_than_vonage_allows(self) -> None:
        # developer.vonage.com/en/api/sms: ttl from 20000 to 604800000.
        request = adapter("vonage").request(HELLO, "id", 0.5)
        assert request is not None
        self.assertEqual("20000", form(request)["ttl"])

    def test_octets_go_as_binary(self) -> None:
        part = RawPart("+447700900123", "ACME", None, 4, b"\x05\0\x03\x01\x02\x01", b"\x01\x02")
        request = requested("vonage", part)
        self.assertEqual([form(request)[name] for name in ("type", "udh", "body")], ["binary", "050003010201", "0102"])

    def test_the_answer_has_a_status_of_each_message(self) -> None:
        api = adapter("vonage")
        taken = {
            "message-count": "1",
            "messages": [{"to": "447700900000", "message-id": "0C000000217B7F02", "status": "0", "network": "23410"}],
        }
        self.assertEqual(api.answer(200, json.dumps(taken).encode()), (c.ESME_ROK, b"0C000000217B7F02"))
        for status, expected in (
            ("1", c.ESME_RTHROTTLED),
            ("5", c.ESME_RSYSERR),
            ("7", c.ESME_RINVDSTADR),
            ("3", c.ESME_RSUBMITFAIL),
        ):
            refused = {"message-count": "1", "messages": [{"status": status, "error-text": "..."}]}
            self.assertEqual(api.answer(200, json.dumps(refused).encode()), (expected, b""))
        wrong_login = b'{"message-count": "1", "messages": [{"status": "4", "error-text": "Bad Credentials"}]}'
        self.assertRaises(LoginRefused, api.answer, 200, wrong_login)


class InfobipTests(SynchronousTestCase):
    def test_a_message_has_one_destination_and_its_own_notify_url(self) -> None:
        request = requested("infobip", HELLO._replace(text='She said "hi"\n'))
        self.assertEqual(request.url, "https://api.example.net/sms/2/text/advanced")
        self.assertEqual(request.headers[b"Authorization"], [b"App pass/word"])
        self.assertEqual(
            json.loads(request.body or b""),
            {
                "messages": [
                    {
                        "from": "ACME",
                        "destinations": [{"to": "447700900123"}],
                        "text": 'She said "hi"\n',
                        "validityPeriod": 10,
                        "notifyUrl": "https://relay.example.org/carriers/up/receipts/token",
                        "notifyContentType": "application/json",
                    }
                ]
            },
        )

    def test_the_answer_has_a_status_group(self) -> None:
        api = adapter("infobip")
        for group, expected in (("PENDING", (c.ESME_ROK, b"2250")), ("REJECTED", (c.ESME_RSUBMITFAIL, b""))):
            status = {"groupId": 1, "groupName": group, "id": 26, "name": "...", "description": "..."}
            answer = {"messages": [{"to": "41793026727", "status": status, "messageId": "2250"}]}
            self.assertEqual(api.answer(200, json.dumps(answer).encode()), expected)
        wrong_login = {"requestError": {"serviceException": {"messageId": "UNAUTHORIZED", "text": "Invalid login"}}}
        self.assertRaises(LoginRefused, api.answer, 401, json.dumps(wrong_login).encode())


class TelnyxTests(SynchronousTestCase):
    def test_a_message_is_posted_with_its_webhook(self) -> None:
        request = requested("telnyx")
        self.assertEqual(request.url, "https://api.telnyx.com/v2/messages")
        self.assertEqual(request.headers[b"Authorization"], [b"Bearer pass/word"])
        self.assertEqual(
            json.loads(request.body or b""),
            {
                "from": "ACME",
                "to": "+447700900123",
                "text": "Hello, wörld & co",
                "webhook_url": "https://relay.example.org/carriers/up/receipts",
            },
        )

    def test_the_answer_has_the_id_or_errors(self) -> None:
        api = adapter("telnyx")
        taken = {"data": {"record_type": "message", "id": "40385f64-5717-4562-b3fc-2c963f66afa6", "errors": []}}
        self.assertEqual(
            api.answer(200, json.dumps(taken).encode()), (c.ESME_ROK, b"40385f64-5717-4562-b3fc-2c963f66afa6")
        )
        refused = {"errors": [{"code": "40310", "title": "Invalid 'to' address"}]}
        self.assertEqual(api.answer(422, json.dumps(refused).encode()), (c.ESME_RINVDSTADR, b""))


class AnyApiTests(SynchronousTestCase):
    def test_settings_of_the_carrier_go_before_those_of_the_preset(self) -> None:
        own = {"path": "/v3/sms/{system_id}", "errors": {"422": "ESME_RINVDSTADR"}, "headers": {"X-Key": "{password}"}}
        request = requested("json", api=own)
        self.assertEqual(request.url, "https://api.example.net/v3/sms/AC123")
        self.assertEqual(request.headers[b"X-Key"], [b"pass/word"])
        self.assertEqual(adapter("json", api=own).answer(422, b"{}"), (c.ESME_RINVDSTADR, b""))

    @given(TEXTS, TEXTS)
    def test_no_text_and_no_sender_changes_the_request_around_it(self, text: str, sender: str) -> None:
        part = RawPart("+447700900123", sender, text, 8, b"", b"")
        document = json.loads(requested("json", part).body or b"")
        self.assertEqual((document["text"], document["from"]), (text, sender.removeprefix("+")))
        made = {name: values[0] for name, values in parse_qs((requested("twilio", part).body or b"").decode()).items()}
        self.assertEqual((made.get("Body", ""), made.get("From", "")), (text, sender))

    def test_a_header_can_hold_no_line_end(self) -> None:
        request = requested("json", api={"headers": {"X-From": "{from}"}}, part=HELLO._replace(sender="a\r\nb: ü"))
        self.assertEqual(request.headers[b"X-From"], [b"a??b: ?"])

    def test_what_is_no_whole_text_needs_a_template_of_its_own(self) -> None:
        part = HELLO._replace(text=None, payload=b"\1\2")
        self.assertIsNone(adapter("json").request(part, "id/0", 60.0))

    def test_answers_that_say_nothing_of_the_message_leave_it_in_doubt(self) -> None:
        api = adapter("json")
        for status, content in (
            (200, b""),
            (200, b"{}"),
            (202, b"<html>"),
            (500, b"{}"),
            (302, b""),
            (200, b'{"id": ""}'),
        ):
            self.assertRaises(ValueError, api.answer, status, content)

    def test_a_status_without_a_code_means_what_http_says(self) -> None:
        api = adapter("json")
        for status, expected in (
            (429, c.ESME_RTHROTTLED),
            (503, c.ESME_RMSGQFUL),
            (400, c.ESME_RSUBMITFAIL),
            (413, c.ESME_RSUBMITFAIL),
        ):
            self.assertEqual(api.answer(status, b""), (expected, b""))
        for status in (401, 403):
            self.assertRaises(LoginRefused, api.answer, status, b"")

    def test_settings_that_can_not_be_used_are_named(self) -> None:
        for api, key in (
            ({"body": '{"to": "{too}"}'}, "body"),
            ({"body": '{"to": {to}}'}, "body"),
            ({"path": "/{nobody}"}, "path"),
            ({"headers": {"X": "{nobody}"}}, "headers.X"),
            ({"errors": {"1": "ESME_WRONG"}}, "errors.1"),
            ({"shortest_validity_seconds": 60, "longest_validity_seconds": 59}, "longest_validity_seconds"),
        ):
            error = self.assertRaises(ValueError, adapter, "json", api=api)
            self.assertTrue(str(error).startswith(f"{key}: "), error)

    def test_a_place_in_a_document_is_found_or_is_empty(self) -> None:
        document = {"a": [{"b-c": 5}, {"d": None}], "t": True}
        for path, expected in (
            ("a.0.b-c", "5"), ("a.1.d", ""), ("a.7.d", ""), ("a.x", ""), ("a", ""), ("t", ""), ("", ""),
            ("z|a.0.b-c", "5"),
        ):  # fmt: skip
            self.assertEqual(word_at(document, path), expected)

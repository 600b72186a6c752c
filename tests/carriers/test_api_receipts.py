"""Receipts of carriers with an HTTP API of their own: who may send them, and what they say.

The examples are from the carriers' public documentation, on the pages that `relay.carriers.api_presets` names.
"""

import hashlib
import hmac
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.api_receipts import ApiReceiptReader, ReceiptRequest
from relay.carriers.relay_api import BadNotification
from relay.config.api_config import Api, ApiReceipts
from relay.config.carrier_config import Carrier, Dialect
from relay.simulator.vendor_apis import ApiMessage, Telnyx
from relay.values.secret import Secret
from relay.values.states import DELIVERED, ENROUTE, UNDELIVERABLE, UNKNOWN

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
NOW = 1_700_000_000.0


def reader(preset: str, **settings: Any) -> ApiReceiptReader:
    api: dict[str, Any] = {"preset": preset, "public_url": "https://relay.example.org"} | settings.pop("api", {})
    values: dict[str, Any] = {"kind": "api", "password": Secret("12345"), "signing_secret": Secret("token")}
    return ApiReceiptReader("up", Carrier(api=Api(**api), **values | settings))


def asked(
    body: object = b"", content_type: str = JSON, *, token: str = "token", query: bytes = b"", **headers: Any
) -> ReceiptRequest:
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return ReceiptRequest(token, lambda name: named.get(name.lower(), ""), content_type, octets, query)


class TwilioTests(SynchronousTestCase):
    def test_the_signature_is_that_of_the_documentation(self) -> None:
        # twilio.com/docs/usage/security, "Example": the URL, the parameters and the auth token are theirs.
        twilio = reader("twilio")
        twilio._url = "https://mycompany.com/myapp.php"
        body = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
        query = b"foo=1&bar=2"
        twilio.check(asked(body, FORM, query=query, X_Twilio_Signature="RSOYDt4T1cUTdK1PDd93/VVr8B8="), NOW)
        for wrong in (
            asked(body + b"&x=y", FORM, query=query, X_Twilio_Signature="RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            asked(body, FORM, X_Twilio_Signature="RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            asked(body, FORM, query=query),
        ):
            self.assertRaises(BadNotification, twilio.check, wrong, NOW)

    def test_a_status_callback_is_read(self) -> None:
        body = b"SmsSid=SM1&SmsStatus=undelivered&MessageStatus=undelivered&To=%2B1&MessageSid=SM1&ErrorCode=30003"
        [receipt] = reader("twilio").read(asked(body, FORM), NOW)
        self.assertEqual(
            (receipt.keys, receipt.state, receipt.final, receipt.error), ((b"sm1",), UNDELIVERABLE, True, b"30003")
        )
        [sent] = reader("twilio").read(asked(b"MessageStatus=sent&MessageSid=SM1", FORM), NOW)
        self.assertEqual((sent.state, sent.final), (ENROUTE, False))


class VonageTests(SynchronousTestCase):
    RECEIPT = {
        "msisdn": "447700900000", "to": "AcmeInc", "network-code": "12345", "messageId": "0A0000001234567B",
        "price": "0.03330000", "status": "delivered", "scts": "2001011400", "err-code": "0", "api-key": "abcd1234",
        "message-timestamp": "2020-01-01T12:00:00.000+00:00",
    }  # fmt: skip

    def test_a_receipt_is_read_from_json_a_form_and_a_query(self) -> None:
        query = b"msisdn=447700900000&messageId=0A0000001234567B&status=delivered&err-code=0"
        for request in (asked(self.RECEIPT), asked(query, FORM), asked(query=query)):
            [receipt] = reader("vonage").read(request, NOW)
            self.assertEqual((receipt.keys, receipt.state, receipt.final), ((b"0a0000001234567b",), DELIVERED, True))

    def test_only_who_knows_the_token_may_send_one(self) -> None:
        reader("vonage").check(asked(self.RECEIPT), NOW)
        for token in ("", "tokem", "token2", "tøken"):
            self.assertRaises(BadNotification, reader("vonage").check, asked(self.RECEIPT, token=token), NOW)


class InfobipTests(SynchronousTestCase):
    def test_a_report_has_several_results(self) -> None:
        status = {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"}
        failed = {"groupId": 2, "groupName": "UNDELIVERABLE", "id": 9, "name": "UNDELIVERABLE_NOT_DELIVERED"}
        error = {"groupId": 1, "groupName": "HANDSET_ERRORS", "id": 27, "name": "EC_ABSENT_SUBSCRIBER"}
        results = [
            {"bulkId": "BULK-ID-123-xyz", "messageId": "MESSAGE-ID-123-xyz", "to": "41793026727", "status": status},
            {"messageId": "12db39c3-7822-4e72-a3ec-c87442c0ffc5", "status": failed, "error": error},
            {"messageId": "13"},
        ]
        first, second, third = reader("infobip").read(asked({"results": results}), NOW)
        self.assertEqual((first.keys, first.state, first.final), ((b"message-id-123-xyz",), DELIVERED, True))
        self.assertEqual((second.state, second.error), (UNDELIVERABLE, b"27"))
        self.assertEqual((third.keys, third.state), ((), None))


class TelnyxTests(SynchronousTestCase):
    def test_a_delivery_update_is_verified_with_their_public_key(self) -> None:
        telnyx = reader("telnyx", signing_secret=Secret(Telnyx().public_key))
        headers, body = Telnyx().receipt("40385f64", ApiMessage("+1", "A", "", "", ""), "DELIVRD", NOW)
        signed: dict[str, Any] = {name.replace("-", "_"): value for name, value in headers.items()}
        telnyx.check(asked(body, **signed), NOW + 299)
        [receipt] = telnyx.read(asked(body), NOW)
        self.assertEqual((receipt.keys, receipt.state, receipt.final), ((b"40385f64",), DELIVERED, True))
        for wrong, now in ((asked(body + b" ", **signed), NOW), (asked(body), NOW), (asked(body, **signed), NOW + 301)):
            self.assertRaises(BadNotification, telnyx.check, wrong, now)

    def test_the_states_of_the_documentation_are_known(self) -> None:
        telnyx = reader("telnyx", signing_secret=Secret(Telnyx().public_key))
        for word, expected in (
            ("queued", (ENROUTE, False)),
            ("sent", (ENROUTE, False)),
            ("delivered", (DELIVERED, True)),
            ("sending_failed", (UNDELIVERABLE, True)),
            ("delivery_failed", (UNDELIVERABLE, True)),
            ("delivery_unconfirmed", (UNKNOWN, True)),
        ):
            payload = {"id": "4", "to": [{"phone_number": "+1", "status": word}]}
            [receipt] = telnyx.read(asked({"data": {"event_type": "message.finalized", "payload": payload}}), NOW)
            self.assertEqual((receipt.state, receipt.final), expected, word)

    def test_a_secret_that_is_no_key_is_named(self) -> None:
        error = self.assertRaises(ValueError, reader, "telnyx")
        self.assertTrue(str(error).startswith("signing_secret: "), error)


class AnyApiTests(SynchronousTestCase):
    def test_a_hmac_of_the_body_verifies(self) -> None:
        signed = {"verify": "hmac-sha256", "signature_header": "X-Signature"}
        api = {"receipts": ApiReceipts(**signed)}  # type: ignore[arg-type]
        body = b'{"id": "1", "status": "delivered"}'
        made = hmac.new(b"token", body, hashlib.sha256).hexdigest()
        for value in (made, made.upper(), f"sha256={made}"):
            reader("json", api=api).check(asked(body, X_Signature=value), NOW)
        for wrong in (asked(body, X_Signature=made[:-1]), asked(body), asked(body + b" ", X_Signature=made)):
            self.assertRaises(BadNotification, reader("json", api=api).check, wrong, NOW)

    def test_words_of_the_carrier_mean_what_the_dialect_says(self) -> None:
        made = reader("json", dialect=Dialect(states={"HANDED OVER": "DELIVRD"}))
        [receipt] = made.read(asked({"id": "1", "status": "handed over"}), NOW)
        self.assertEqual((receipt.state, receipt.final), (DELIVERED, True))

    def test_a_kept_receipt_is_read_again_with_the_present_dialect(self) -> None:
        [kept] = reader("json").read(asked({"id": "1", "status": "handed over"}), NOW)
        self.assertFalse(kept.final)
        again = reader("json", dialect=Dialect(states={"HANDED OVER": "DELIVRD"})).read_again(kept)
        assert again is not None
        self.assertEqual((again.state, again.keys), (DELIVERED, (b"1",)))

    def test_what_is_no_receipt_is_refused_or_unreadable_and_never_an_error(self) -> None:
        for body in (b"{", b"\xff", b'{"results": 5}'):
            self.assertRaises(BadNotification, reader("infobip").read, asked(body), NOW)
        documents: list[Any] = [
            [],
            {},
            "text",
            5,
            None,
            {"id": "x" * 65, "status": "delivered"},
            {"id": [], "status": {}},
        ]
        for document in documents:
            for receipt in reader("json").read(asked({"a": document}), NOW) + reader("json").read(asked(document), NOW):
                self.assertEqual((receipt.keys, receipt.state), ((), None))

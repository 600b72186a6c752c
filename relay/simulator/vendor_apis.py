"""The HTTP APIs of known carriers, seen from the carrier's side: what they want, answer, and send as receipts.

They are made from the same public pages as the presets of `relay.carriers.api_presets`, and share no code with the
relay's side: if they did, they would prove nothing about it. They read requests strictly: a message that lacks what the
vendor wants is refused as the vendor refuses it. They take every login, as the simulated SMPP carrier does, and sign
receipts with the secret that the login had.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"


class ApiCall(NamedTuple):
    """A request.

    :ivar user: with `password`, the login of HTTP Basic; "": there is none.
    :ivar header: returns a header by its name; "": there is none.
    """

    path: str
    user: str
    password: str
    header: Callable[[str], str]
    body: bytes


class ApiMessage(NamedTuple):
    """A message that an API was given.

    :ivar to: the number, as the vendor wants it written.
    :ivar callback: where its receipts go.
    :ivar secret: what the login proved itself with.
    """

    to: str
    sender: str
    text: str
    callback: str
    secret: str


class Answer(NamedTuple):
    """An HTTP status, and a document that is sent as JSON."""

    status: int
    document: Any


class SignedReceipt(NamedTuple):
    """A receipt as it is posted to the callback."""

    headers: Mapping[str, str]
    body: bytes


class NotTaken(Exception):
    """The API takes no message from this request.

    :ivar answer: what it says instead.
    """

    def __init__(self, status: int, document: Any) -> None:
        super().__init__(document)
        self.answer = Answer(status, document)


class VendorApi(Protocol):
    """One vendor's API."""

    @property
    def states(self) -> Mapping[str, Any]:
        """The final states that its receipts can tell, by the words of `carriers.NAME.simulator.states`."""

    def read(self, call: ApiCall) -> ApiMessage:
        """Reads a request.

        :raises NotTaken: it is no message, or has no login.
        """

    def name(self, number: int) -> str:
        """Writes the id of a message."""

    def accepted(self, name: str, message: ApiMessage) -> Answer:
        """The answer to a message that is taken."""

    def throttled(self) -> Answer:
        """The answer to a message that comes too fast."""

    def refused(self, message: ApiMessage) -> Answer:
        """The answer to a message for a number that can't be."""

    def receipt(self, name: str, message: ApiMessage, state: str, now: float) -> SignedReceipt:
        """Makes a receipt.

        :param state: a key of `states`, or "ENROUTE": it is on its way.
        :param now: seconds since 1970, for signatures with a time.
        """


def _form(call: ApiCall, *names: str) -> dict[str, str]:
    """Reads a form that must have these fields."""
    fields = dict(parse_qsl(call.body.decode("utf-8", "replace")))
    if call.header("Content-Type") != _FORM or not all(map(fields.get, names)):
        raise NotTaken(400, {"message": f"expected a form with {', '.join(names)}"})
    return fields


def _document(call: ApiCall) -> dict[str, Any]:
    """Reads a JSON object."""
    try:
        document = json.loads(call.body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or call.header("Content-Type") != _JSON:
        raise NotTaken(400, {"message": "expected a JSON object"})
    return document


def _texts(document: Mapping[str, Any], *names: str) -> list[str]:
    """The texts with these names in a JSON object."""
    found = [document.get(name) for name in names]
    texts = [each for each in found if isinstance(each, str) and each]
    if len(texts) != len(names):
        raise NotTaken(400, {"message": f"expected texts for {', '.join(names)}"})
    return texts


def _number(text: str) -> int:
    """The number in a field of a form; -1: it is none."""
    return int(text) if text.isascii() and text.isdigit() else -1


def _json_receipt(document: object, **headers: str) -> SignedReceipt:
    return SignedReceipt({"Content-Type": _JSON, **headers}, json.dumps(document).encode())


class Twilio:
    """Plays Twilio: twilio.com/docs/messaging/api/message-resource, /docs/usage/security, /docs/api/errors."""

    states = {"DELIVRD": ("delivered", ""), "UNDELIV": ("undelivered", "30003"), "DELETED": ("canceled", "")}

    def read(self, call: ApiCall) -> ApiMessage:
        if not call.password or call.path != f"/2010-04-01/Accounts/{call.user}/Messages.json":
            raise NotTaken(401, {"code": 20003, "message": "Authenticate", "status": 401})
        form = _form(call, "To", "From", "Body", "StatusCallback")
        if not re.fullmatch(r"\+\d+", form["To"]):
            raise NotTaken(*self._wrong_number())
        if not 1 <= _number(form.get("ValidityPeriod", "1")) <= 36_000:
            raise NotTaken(400, {"code": 21624, "message": "Invalid validity period value", "status": 400})
        return ApiMessage(form["To"], form["From"], form["Body"], form["StatusCallback"], call.password)

    def name(self, number: int) -> str:
        return f"SM{number:032x}"

    def accepted(self, name: str, message: ApiMessage) -> Answer:
        return Answer(201, {"sid": name, "status": "queued", "error_code": None, "to": message.to})

    def throttled(self) -> Answer:
        return Answer(429, {"code": 20429, "message": "Too Many Requests", "status": 429})

    def refused(self, message: ApiMessage) -> Answer:
        return self._wrong_number()

    def _wrong_number(self) -> Answer:
        return Answer(400, {"code": 21211, "message": "The 'To' number is not a valid phone number.", "status": 400})

    def receipt(self, name: str, message: ApiMessage, state: str, now: float) -> SignedReceipt:
        word, error = self.states.get(state, ("sent", ""))
        fields = {"MessageSid": name, "MessageStatus": word, "To": message.to, "From": message.sender}
        if error:
            fields["ErrorCode"] = error
        signed = message.callback + "".join(key + fields[key] for key in sorted(fields))
        made = base64.b64encode(hmac.new(message.secret.encode(), signed.encode(), hashlib.sha1).digest()).decode()
        return SignedReceipt({"Content-Type": _FORM, "X-Twilio-Signature": made}, urlencode(fields).encode())


class Vonage:
    """Plays Vonage's SMS API: developer.vonage.com/en/api/sms, /en/api-errors/sms."""

    states = {
        "DELIVRD": ("delivered", "0"),
        "EXPIRED": ("expired", "2"),
        "UNDELIV": ("failed", "3"),
        "REJECTD": ("rejected", "6"),
        "UNKNOWN": ("unknown", "1"),
    }

    def read(self, call: ApiCall) -> ApiMessage:
        if call.path != "/sms/json":
            raise NotTaken(404, {})
        binary = b"type=binary" in call.body.split(b"&")
        form = _form(call, "from", "to", "callback", *(("udh", "body") if binary else ("text",)))
        if not form.get("api_key") or not form.get("api_secret"):
            raise NotTaken(*self._failed("2", "Missing api_key or api_secret"))
        if form.get("type") not in ("text", "unicode", "binary") or _number(form.get("ttl", "20000")) < 20_000:
            raise NotTaken(*self._failed("3", "Invalid value for parameter"))
        text = form["body"] if binary else form["text"]
        return ApiMessage(form["to"], form["from"], text, form["callback"], form["api_secret"])

    def name(self, number: int) -> str:
        return f"{number:016X}"

    def accepted(self, name: str, message: ApiMessage) -> Answer:
        return Answer(200, {"message-count": "1", "messages": [{"to": message.to, "message-id": name, "status": "0"}]})

    def throttled(self) -> Answer:
        return self._failed("1", "Throughput Rate Exceeded")

    def refused(self, message: ApiMessage) -> Answer:
        return self._failed("7", "Number barred")

    def _failed(self, status: str, text: str) -> Answer:
        return Answer(200, {"message-count": "1", "messages": [{"status": status, "error-text": text}]})

    def receipt(self, name: str, message: ApiMessage, state: str, now: float) -> SignedReceipt:
        word, error = self.states.get(state, ("buffered", "0"))
        return _json_receipt(
            {"msisdn": message.to, "to": message.sender, "messageId": name, "status": word, "err-code": error}
        )


class Infobip:
    """Plays Infobip's SMS API: infobip.com/docs/api/channels/sms, dev.infobip.com/docs/notify-url."""

    states = {
        "DELIVRD": (3, "DELIVERED", 5, "DELIVERED_TO_HANDSET", 0),
        "UNDELIV": (2, "UNDELIVERABLE", 9, "UNDELIVERABLE_NOT_DELIVERED", 27),
        "EXPIRED": (4, "EXPIRED", 15, "EXPIRED_EXPIRED", 27),
        "REJECTD": (5, "REJECTED", 6, "REJECTED_NETWORK", 255),
    }
    _ERRORS = {0: "NO_ERROR", 27: "EC_ABSENT_SUBSCRIBER", 255: "EC_UNKNOWN_ERROR"}

    def read(self, call: ApiCall) -> ApiMessage:
        scheme, _, key = call.header("Authorization").partition(" ")
        if scheme != "App" or not key:
            raise NotTaken(401, self._failed("UNAUTHORIZED", "Invalid login details"))
        if call.path != "/sms/2/text/advanced":
            raise NotTaken(404, self._failed("NOT_FOUND", "Not found"))
        try:
            [message] = _document(call)["messages"]
            [destination] = message["destinations"]
            sender, text, url = _texts(message, "from", "text", "notifyUrl")
            [to] = _texts(destination, "to")
            right = message["notifyContentType"] == _JSON and 1 <= message["validityPeriod"] <= 2_880
        except (KeyError, TypeError, ValueError, AttributeError):
            right = False
        if not right:
            raise NotTaken(400, self._failed("BAD_REQUEST", "Bad Request"))
        return ApiMessage(to, sender, text, url, key)

    def _failed(self, name: str, text: str) -> Any:
        return {"requestError": {"serviceException": {"messageId": name, "text": text}}}

    def name(self, number: int) -> str:
        return str(number)

    def accepted(self, name: str, message: ApiMessage) -> Answer:
        status = {"groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED"}
        return Answer(200, {"messages": [{"to": message.to, "status": status, "messageId": name}]})

    def throttled(self) -> Answer:
        return Answer(429, self._failed("TOO_MANY_REQUESTS", "Too many requests"))

    def refused(self, message: ApiMessage) -> Answer:
        status = {"groupId": 5, "groupName": "REJECTED", "id": 6, "name": "REJECTED_NETWORK"}
        return Answer(200, {"messages": [{"to": message.to, "status": status, "messageId": "none"}]})

    def receipt(self, name: str, message: ApiMessage, state: str, now: float) -> SignedReceipt:
        group, group_name, number, word, error = self.states.get(state, (1, "PENDING", 7, "PENDING_ENROUTE", 0))
        status = {"groupId": group, "groupName": group_name, "id": number, "name": word}
        failed = {"id": error, "name": self._ERRORS[error], "permanent": False}
        return _json_receipt({"results": [{"messageId": name, "to": message.to, "status": status, "error": failed}]})


class Telnyx:
    """Plays Telnyx: developers.telnyx.com/api-reference/messages, /api-reference/callbacks/delivery-update.

    :param seed: decides the key with which it signs. A seed always gives the same key.
    """

    states = {
        "DELIVRD": ("delivered", ""),
        "UNDELIV": ("delivery_failed", "40008"),
        "UNKNOWN": ("delivery_unconfirmed", ""),
    }

    def __init__(self, seed: int = 1) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"simulated telnyx %d" % seed).digest())
        #: The carrier's `signing_secret`.
        self.public_key = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def read(self, call: ApiCall) -> ApiMessage:
        scheme, _, key = call.header("Authorization").partition(" ")
        if scheme != "Bearer" or not key:
            raise NotTaken(401, {"errors": [{"code": "10009", "title": "Authentication failed"}]})
        if call.path != "/v2/messages":
            raise NotTaken(404, {"errors": [{"code": "10005", "title": "Resource not found"}]})
        sender, to, text, url = _texts(_document(call), "from", "to", "text", "webhook_url")
        message = ApiMessage(to, sender, text, url, key)
        if not re.fullmatch(r"\+\d+", to):
            raise NotTaken(*self.refused(message))
        return message

    def name(self, number: int) -> str:
        digits = f"{number:032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def accepted(self, name: str, message: ApiMessage) -> Answer:
        to = [{"phone_number": message.to, "status": "queued"}]
        return Answer(200, {"data": {"record_type": "message", "id": name, "to": to, "errors": []}})

    def throttled(self) -> Answer:
        return Answer(429, {"errors": [{"code": "10011", "title": "Too many requests"}]})

    def refused(self, message: ApiMessage) -> Answer:
        return Answer(422, {"errors": [{"code": "40310", "title": "Invalid 'to' address"}]})

    def receipt(self, name: str, message: ApiMessage, state: str, now: float) -> SignedReceipt:
        word, error = self.states.get(state, ("sent", ""))
        event = "message.finalized" if state in self.states else "message.sent"
        to = [{"phone_number": message.to, "status": word}]
        errors = [{"code": error, "title": "Undeliverable message"}] if error else []
        payload = {"record_type": "message", "id": name, "to": to, "errors": errors}
        unsigned = _json_receipt({"data": {"record_type": "event", "event_type": event, "payload": payload}})
        timestamp = str(int(now))
        made = base64.b64encode(self._key.sign(timestamp.encode() + b"|" + unsigned.body)).decode()
        signature = {"telnyx-timestamp": timestamp, "telnyx-signature-ed25519": made}
        return SignedReceipt({**unsigned.headers, **signature}, unsigned.body)


class PlainJson:
    """The API that the preset `json` describes. It is ours."""

    states = {
        "DELIVRD": ("delivered", "0"),
        "EXPIRED": ("expired", "27"),
        "DELETED": ("deleted", "34"),
        "UNDELIV": ("undelivered", "11"),
        "UNKNOWN": ("unknown", "255"),
        "REJECTD": ("rejected", "69"),
    }

    def read(self, call: ApiCall) -> ApiMessage:
        scheme, _, key = call.header("Authorization").partition(" ")
        if scheme != "Bearer" or not key:
            raise NotTaken(401, {"error": "no-login"})
        if call.path != "/messages":
            raise NotTaken(404, {"error": "no-such-path"})
        document = _document(call)
        to, sender, text, url = _texts(document, "to", "from", "text", "receipt_url")
        if not call.header("Idempotency-Key") or not isinstance(document.get("validity_seconds"), int):
            raise NotTaken(400, {"error": "no-key-or-validity"})
        return ApiMessage(to, sender, text, url, key)

    def name(self, number: int) -> str:
        return f"json-{number}"

    def accepted(self, name: str, message: ApiMessage) -> Answer:
        return Answer(202, {"id": name})

    def throttled(self) -> Answer:
        return Answer(429, {"error": "too-many"})

    def refused(self, message: ApiMessage) -> Answer:
        return Answer(422, {"error": "bad-number"})

    def receipt(self, name: str, message: ApiMessage, state: str, now: float) -> SignedReceipt:
        word, error = self.states.get(state, ("enroute", "0"))
        return _json_receipt({"id": name, "status": word, "error": error})


#: The vendors, by the name of their preset.
VENDORS: Final = ("twilio", "vonage", "infobip", "telnyx", "json")


def vendor_api(preset: str, seed: int) -> VendorApi:
    """Makes the API of the vendor that a preset is for.

    :raises KeyError: there is none of this name.
    """
    makes: dict[str, Callable[[], VendorApi]] = {
        "twilio": Twilio,
        "vonage": Vonage,
        "infobip": Infobip,
        "telnyx": lambda: Telnyx(seed),
        "json": PlainJson,
    }
    return makes[preset]()

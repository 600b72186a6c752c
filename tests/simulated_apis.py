"""Simulated HTTP APIs of carriers: they take messages as the vendors' documentation says, and send receipts.

They are made from the same public pages as the presets of `relay.carriers.api_presets`, and read requests strictly: a
message that lacks what the vendor wants is refused as the vendor refuses it.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

import treq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.web.http import Request
from twisted.web.resource import Resource

SYSTEM_ID: Final = "AC0123456789"
PASSWORD: Final = "secret+/8"
KEY: Final = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC_KEY: Final = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


class Taken(NamedTuple):
    """A message that an API was given."""

    to: str
    sender: str
    text: str
    callback: str


class Receipt(NamedTuple):
    """A receipt as it is sent to the callback."""

    headers: dict[str, str]
    body: bytes


class Refusal(Exception):
    """The API refuses the request."""

    def __init__(self, status: int, document: Any) -> None:
        super().__init__(document)
        self.status = status
        self.document = document


def _basic(request: Request) -> bool:
    return (request.getUser(), request.getPassword()) == (SYSTEM_ID.encode(), PASSWORD.encode())


def _form(request: Request) -> dict[str, str]:
    assert request.getHeader("content-type") == "application/x-www-form-urlencoded"
    assert request.content is not None
    return dict(parse_qsl(request.content.read().decode(), strict_parsing=True))


def _json(request: Request) -> Any:
    assert request.getHeader("content-type") == "application/json"
    assert request.content is not None
    return json.loads(request.content.read())


class Twilio:
    """Takes messages and makes answers and receipts like Twilio."""

    path = f"/2010-04-01/Accounts/{SYSTEM_ID}/Messages.json"

    def take(self, request: Request) -> Taken:
        if not _basic(request):
            raise Refusal(401, {"code": 20003, "message": "Authenticate", "status": 401})
        form = _form(request)
        if not form["To"].startswith("+44"):
            raise Refusal(400, {"code": 21211, "message": "The 'To' number is not valid.", "status": 400})
        return Taken(form["To"], form["From"], form["Body"], form["StatusCallback"])

    def answer(self, name: str, taken: Taken) -> tuple[int, Any]:
        return 201, {"sid": name, "status": "queued", "error_code": None, "to": taken.to, "body": taken.text}

    def receipt(self, name: str, taken: Taken, now: float) -> Receipt:
        fields = {"MessageSid": name, "MessageStatus": "delivered", "To": taken.to, "AccountSid": SYSTEM_ID}
        signed = taken.callback + "".join(key + fields[key] for key in sorted(fields))
        made = hmac.new(PASSWORD.encode(), signed.encode(), hashlib.sha1).digest()
        headers = {
            "X-Twilio-Signature": base64.b64encode(made).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return Receipt(headers, urlencode(fields).encode())


class Vonage:
    """Takes messages and makes answers and receipts like Vonage's SMS API."""

    path = "/sms/json"

    def take(self, request: Request) -> Taken:
        form = _form(request)
        if (form["api_key"], form["api_secret"]) != (SYSTEM_ID, PASSWORD):
            raise Refusal(200, self._failed("4", "Bad Credentials"))
        if not form["to"].startswith("44"):
            raise Refusal(200, self._failed("7", "Number barred"))
        assert int(form["ttl"]) >= 1000
        return Taken(form["to"], form["from"], form["text"], form["callback"])

    def _failed(self, status: str, text: str) -> Any:
        return {"message-count": "1", "messages": [{"status": status, "error-text": text}]}

    def answer(self, name: str, taken: Taken) -> tuple[int, Any]:
        return 200, {"message-count": "1", "messages": [{"to": taken.to, "message-id": name, "status": "0"}]}

    def receipt(self, name: str, taken: Taken, now: float) -> Receipt:
        receipt = {"msisdn": taken.to, "to": taken.sender, "messageId": name, "status": "delivered", "err-code": "0"}
        return Receipt({"Content-Type": "application/json"}, json.dumps(receipt).encode())


class Infobip:
    """Takes messages and makes answers and receipts like Infobip."""

    path = "/sms/2/text/advanced"

    def take(self, request: Request) -> Taken:
        if request.getHeader("authorization") != f"App {PASSWORD}":
            document = {"serviceException": {"messageId": "UNAUTHORIZED", "text": "Invalid login details"}}
            raise Refusal(401, {"requestError": document})
        [message] = _json(request)["messages"]
        [destination] = message["destinations"]
        if not destination["to"].startswith("44"):
            status = {"groupId": 5, "groupName": "REJECTED", "id": 6, "name": "REJECTED_NETWORK"}
            raise Refusal(200, {"messages": [{"to": destination["to"], "status": status, "messageId": "none"}]})
        assert message["notifyContentType"] == "application/json"
        assert isinstance(message["validityPeriod"], int)
        return Taken(destination["to"], message["from"], message["text"], message["notifyUrl"])

    def answer(self, name: str, taken: Taken) -> tuple[int, Any]:
        status = {"groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED"}
        return 200, {"messages": [{"to": taken.to, "status": status, "messageId": name}]}

    def receipt(self, name: str, taken: Taken, now: float) -> Receipt:
        status = {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"}
        error = {"groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR", "permanent": False}
        report = {"messageId": name, "to": taken.to, "status": status, "error": error}
        return Receipt({"Content-Type": "application/json"}, json.dumps({"results": [report]}).encode())


class Telnyx:
    """Takes messages and makes answers and receipts like Telnyx."""

    path = "/v2/messages"

    def take(self, request: Request) -> Taken:
        if request.getHeader("authorization") != f"Bearer {PASSWORD}":
            raise Refusal(401, {"errors": [{"code": "10009", "title": "Authentication failed"}]})
        message = _json(request)
        if not message["to"].startswith("+44"):
            raise Refusal(422, {"errors": [{"code": "40310", "title": "Invalid 'to' address"}]})
        return Taken(message["to"], message["from"], message["text"], message["webhook_url"])

    def answer(self, name: str, taken: Taken) -> tuple[int, Any]:
        to = [{"phone_number": taken.to, "status": "queued"}]
        return 200, {"data": {"record_type": "message", "id": name, "to": to, "errors": []}}

    def receipt(self, name: str, taken: Taken, now: float) -> Receipt:
        payload = {"record_type": "message", "id": name, "errors": []} | {
            "to": [{"phone_number": taken.to, "status": "delivered"}]
        }
        data = {"record_type": "event", "event_type": "message.finalized", "payload": payload}
        body = json.dumps({"data": data}).encode()
        timestamp = str(int(now))
        made = base64.b64encode(KEY.sign(timestamp.encode() + b"|" + body)).decode()
        headers = {"telnyx-timestamp": timestamp, "telnyx-signature-ed25519": made}
        return Receipt(headers | {"Content-Type": "application/json"}, body)


class PlainJson:
    """Takes messages and makes answers and receipts as the preset `json` has them."""

    path = "/messages"

    def take(self, request: Request) -> Taken:
        if request.getHeader("authorization") != f"Bearer {PASSWORD}":
            raise Refusal(401, {"error": "no"})
        message = _json(request)
        assert request.getHeader("idempotency-key")
        if not message["to"].startswith("44"):
            raise Refusal(422, {"error": "bad-number"})
        return Taken(message["to"], message["from"], message["text"], message["receipt_url"])

    def answer(self, name: str, taken: Taken) -> tuple[int, Any]:
        return 202, {"id": name}

    def receipt(self, name: str, taken: Taken, now: float) -> Receipt:
        body = json.dumps({"id": name, "status": "delivered", "error": "0"}).encode()
        return Receipt({"Content-Type": "application/json"}, body)


APIS: Final = {"twilio": Twilio, "vonage": Vonage, "infobip": Infobip, "telnyx": Telnyx, "json": PlainJson}


class SimulatedApi(Resource):
    """One vendor's API as a web server.

    :ivar taken: the messages that it has taken, by their ids.
    :ivar answered: the statuses that the receipts were answered with.
    """

    isLeaf = True

    def __init__(self, preset: str, now: Callable[[], float], reactor: Any) -> None:
        super().__init__()
        self._api: Any = APIS[preset]()
        self._now = now
        self._reactor = reactor
        self.taken: dict[str, Taken] = {}
        self.answered: list[int] = []
        self.sending: list[Deferred[None]] = []
        #: Called with each request before it is handled; what it returns, if not None, is the answer.
        self.before: Callable[[Request], bytes | None] = lambda request: None

    def render_POST(self, request: Request) -> bytes:
        kept = self.before(request)
        if kept is not None:
            return kept
        assert request.path.decode() == self._api.path, request.path
        try:
            taken = self._api.take(request)
            name = f"{type(self._api).__name__}-{len(self.taken)}"
            self.taken[name] = taken
            status, document = self._api.answer(name, taken)
        except Refusal as refusal:
            status, document = refusal.status, refusal.document
        else:
            self._reactor.callLater(0.05, lambda: self.sending.append(ensureDeferred(self._send_receipt(name))))
        request.setResponseCode(status)
        request.setHeader("Content-Type", "application/json")
        return json.dumps(document).encode()

    async def _send_receipt(self, name: str) -> None:
        taken = self.taken[name]
        receipt = self._api.receipt(name, taken, self._now())
        response = await treq.post(
            taken.callback, data=receipt.body, headers=receipt.headers, reactor=self._reactor, persistent=False
        )
        self.answered.append(response.code)
        await treq.content(response)

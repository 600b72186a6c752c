"""Offers Jasmin's HTTP API, and the calls of its REST API for single messages: customers change only the host name.

The user name is the account's name, and the password is its API key. docs/migration.md lists every parameter.
`relay.webhooks.callbacks` makes the callbacks.
"""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final

import msgspec

from relay.charging.sms_count import segments
from relay.http.api_request import JSON, ApiRequest, Reply
from relay.http.collaborators import SubmissionFlow
from relay.http.logins import Logins
from relay.http.message_calls import Messages
from relay.http.message_preparer import MessagePreparer
from relay.http.migration.gateway_fields import Fields, Refusal, text_of, urlencoded, validity_seconds
from relay.http.migration.jasmin_message import (
    FIELD_NAMES,
    PAIR_CODINGS,
    JasminMessage,
    check_names,
    json_fields,
    read_dlr,
    read_fields,
    read_message,
)
from relay.http.migration.jasmin_tlvs import invalid
from relay.http.problems import Problem, of_value
from relay.smpp.message_codec import encode_address
from relay.store.store_values import StoreUnavailable
from relay.text.compose import destination_address, encode, source_address
from relay.text.raw_parts import PLAIN, PduFields, compose_octets, with_fields
from relay.values.amounts import amount_text
from relay.values.ids import id_text
from relay.values.messages import ADAPT_ADDRESSES, ADAPT_TEXT, Message, Submission
from relay.webhooks.callbacks import jasmin_callback

_TYPE: Final = b"text/plain"
#: The parameters that `/rate` accepts.
_RATE_NAMES: Final = FIELD_NAMES - {"dlr", "dlr-url", "dlr-level", "dlr-method", "sdt", "custom_tlvs"}
_LOGIN: Final = ("username", "password")
#: If a message has no sender, Jasmin sends an empty source address, and the carrier fills in its own.
_NO_SOURCE: Final = encode_address(0, 0, b"")
_UNLIMITED: Final[dict[str, Any]] = {"balance": "ND", "sms_count": "ND"}


class Jasmin:
    """Answers Jasmin's calls.

    They are `/send`, `/ping`, `/balance`, `/rate`, `/secure/send`, `/secure/balance` and `/secure/rate`.
    """

    def __init__(self, messages: Messages, preparer: MessagePreparer, logins: Logins, flow: SubmissionFlow) -> None:
        self._flow = flow
        self._messages = messages
        self._preparer = preparer
        self._logins = logins
        self._references = count()

    async def send(self, request: ApiRequest, _: str) -> Reply:
        """Submits a message by `/send`, and answers like Jasmin's HTTP API."""
        try:
            fields = read_fields(request)
            check_names(fields, FIELD_NAMES, ("to", *_LOGIN))
            message_id, taken = await self._send(fields, self._log_in(request, fields))
        except Refusal as refusal:
            return Reply(refusal.status, f'Error "{refusal.text}"'.encode(), _TYPE)
        return Reply(200, f'Success "{message_id}"'.encode(), _TYPE, then=partial(self._messages.dispatch, taken))

    async def ping(self, request: ApiRequest, _: str) -> Reply:
        """Answers `/ping`; it needs no login."""
        return Reply(200, b"Jasmin/PONG", b"text/html")

    async def balance(self, request: ApiRequest, _: str) -> Reply:
        """Answers `/balance`: the balance of a prepaid account, and the messages that its quota still allows.

        "ND" says that there is no limit.
        """

        def answer(fields: Fields) -> object:
            check_names(fields, frozenset(_LOGIN), _LOGIN)
            return self._balance(self._log_in(request, fields))

        return _json_reply(answer, request, lambda text: text)

    async def rate(self, request: ApiRequest, _: str) -> Reply:
        """Answers `/rate` with the number of a message's parts, and the price of one; 0: the account has no prices."""

        def answer(fields: Fields) -> object:
            check_names(fields, _RATE_NAMES, ("to", *_LOGIN))
            return self._rate(fields, self._log_in(request, fields))

        return _json_reply(answer, request, lambda text: text)

    async def secure_send(self, request: ApiRequest, account: str) -> Reply:
        """Submits a message by `POST /secure/send`, and answers like Jasmin's REST API.

        As in Jasmin, the text of the answer has no quotation mark at its end.
        """
        try:
            fields = _with_hyphens(json_fields(request.body()))
            for name in _LOGIN:
                fields.pop(name, None)
            check_names(fields, FIELD_NAMES, ("to",))
            message_id, taken = await self._send(fields, account)
        except Refusal as refusal:
            return Reply(refusal.status, msgspec.json.encode({"message": f'Error "{refusal.text}'}))
        body = msgspec.json.encode({"data": f'Success "{message_id}'})
        return Reply(200, body, then=partial(self._messages.dispatch, taken))

    async def refuse_batch(self, request: ApiRequest, account: str) -> Reply:
        """Refuses `POST /secure/sendbatch`, and says which calls to use instead."""
        reason = "There are no batches here: send each message with /secure/send, or up to 1000 with POST /messages."
        return Reply(400, msgspec.json.encode({"message": f'Error "{reason}'}))

    async def secure_balance(self, request: ApiRequest, account: str) -> Reply:
        """Answers `/secure/balance` of the REST API, like `balance`."""
        return Reply(200, msgspec.json.encode({"data": self._balance(account)}))

    async def secure_rate(self, request: ApiRequest, account: str) -> Reply:
        """Answers `/secure/rate` of the REST API, like `rate`."""

        def answer(fields: Fields) -> object:
            fields = _with_hyphens(fields)
            check_names(fields, _RATE_NAMES, ("to",))
            return {"data": self._rate(fields, account)}

        return _json_reply(answer, request, lambda text: {"message": text})

    def _log_in(self, request: ApiRequest, fields: Fields) -> str:
        user = text_of(fields, "username")
        account = self._logins.by_login(request, user, text_of(fields, "password"), "send")
        if account is None:
            raise Refusal(403, f"Authentication failure for username:{user[:50]}")
        return account

    async def _send(self, fields: Fields, account: str) -> tuple[str, list[Message]]:
        """Accepts a message; returns its id, and the messages to dispatch after the answer."""
        message = read_message(fields, self._messages.now())
        url, level, method = read_dlr(fields)
        sender = text_of(fields, "from") or self._preparer.default_sender(account)
        # If the customer did not percent-encode a plus sign, it arrives as a blank.
        if sender[:1] == " " and sender[1:].isdecimal():
            sender = "+" + sender[1:]
        item = self._item(message, sender, url, account)
        callback = partial(jasmin_callback, level=level, method=method)
        try:
            results, taken = await self._messages.take(account, [item], callback)
        except StoreUnavailable:
            raise Refusal(500, "Cannot send submit_sm, try again later") from None
        result = results[0]
        if not isinstance(result, Message):
            raise _refusal(result, fields)
        return id_text(result.id), taken

    def _item(self, message: JasminMessage, sender: str, url: str | None, account: str) -> Submission | Problem:
        try:
            addresses, parts = self._parts(message, sender, account)
        except ValueError as problem:
            return of_value(problem)
        return Submission(
            addresses,
            parts,
            0,
            "http",
            validity_seconds(message.validity_minutes, account),
            message.tags or None,
            url,
            message.scheduled_seconds,
            message.priority,
            adapt=ADAPT_TEXT if message.text else ADAPT_ADDRESSES,
        )

    def _parts(self, message: JasminMessage, sender: str, account: str) -> tuple[bytes, tuple[bytes, ...]]:
        if message.text and sender:
            addresses, parts = self._preparer.compose(message.to, sender, message.text, account)
        else:
            source = source_address(sender) if sender else _NO_SOURCE
            addresses = source + destination_address(message.to)
            octets, coding, reference = message.octets, message.coding, next(self._references)
            if message.text:
                octets, coding = encode(message.text)
            parts = compose_octets(
                addresses,
                octets,
                coding,
                septets=coding in (0, 1),
                pairs=coding in PAIR_CODINGS,
                udh=b"",
                reference=reference,
            )
        fields = PduFields(priority_flag=message.priority, tlvs=message.tlvs)
        if fields != PLAIN:
            parts = tuple(with_fields(body, fields) for body in parts)
        return addresses, parts

    def _rate(self, fields: Fields, account: str) -> dict[str, Any]:
        message = read_message(fields, self._messages.now(), content_needed=False)
        item = self._item(message, text_of(fields, "from"), None, account)
        if isinstance(item, Problem):
            raise _refusal(item, fields)
        terms = self._flow.charging.terms(account)
        if terms is None or terms.prices is None:
            return {"unit_rate": 0.0, "submit_sm_count": len(item.parts)}
        price = terms.prices.of(item.addresses)
        if price is None:
            raise Refusal(412, "No price for this number")
        return {"unit_rate": _number(price), "submit_sm_count": segments(item.parts)}

    def _balance(self, account: str) -> dict[str, Any]:
        flow = self._flow
        found = flow.charging.statement(account, flow.store.account_use, self._messages.now())
        if found is None:
            return _UNLIMITED
        left = found.messages_left
        return {
            "balance": _number(found.balance) if found.prepaid else "ND",
            "sms_count": "ND" if left is None else left,
        }


def _number(amount: int) -> msgspec.Raw:
    """An amount as a number of JSON, with exactly its decimals."""
    return msgspec.Raw(amount_text(amount).encode())


def _with_hyphens(fields: Fields) -> Fields:
    """Changes names of the REST API to those of the HTTP API: the REST API allows underscores for hyphens."""
    return {name if name in FIELD_NAMES else name.replace("_", "-"): value for name, value in fields.items()}


def _json_reply(answer: Callable[[Fields], object], request: ApiRequest, error: Callable[[str], object]) -> Reply:
    try:
        return Reply(200, msgspec.json.encode(answer(urlencoded(request.query))), JSON)
    except Refusal as refusal:
        return Reply(refusal.status, msgspec.json.encode(error(refusal.text)), JSON)


def _refusal(problem: Problem, fields: Fields) -> Refusal:
    if problem.kind == "no-route":
        return Refusal(412, "No route found")
    if problem.kind == "no-credit":
        return Refusal(403, "Cannot charge submit_sm, the balance is too low")
    if problem.kind == "no-price":
        return Refusal(412, "No price for this number")
    if problem.kind == "quota-exceeded":
        return Refusal(403, "User quota exceeded")
    if problem.kind == "rate-limit":
        return Refusal(403, "User throughput exceeded")
    if problem.status == 503:
        return Refusal(500, "Cannot send submit_sm, try again later")
    names = {"text": "content", "notification_url": "dlr-url"}
    name = names.get(problem.document.field, problem.document.field)
    return invalid(name, fields) if name in fields and name != "content" else Refusal(400, problem.document.detail)

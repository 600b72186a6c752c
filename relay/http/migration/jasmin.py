"""Other gateways' HTTP interfaces, so that their customers change a host name and nothing else.

Kannel's `GET /cgi-bin/sendsms` and Jasmin's `GET` or `POST /send`, each with its own parameters, answers and status
codes; the user name is the account's, the password its API key. What a message asks for beyond a text (binary data,
headers, times) is refused in the gateway's own words. The callbacks are made by `relay.webhooks.callbacks`.
"""

import binascii
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from relay.http.api_request import JSON, MOST_FIELDS, ApiRequest, Reply
from relay.http.logins import Logins
from relay.http.message_calls import FORM, Messages
from relay.http.problems import Problem
from relay.http.types import LONGEST_VALIDITY_SECONDS, MessageRequest
from relay.store.api import StoreUnavailable
from relay.text import compose as sms_text
from relay.values.ids import id_text
from relay.values.messages import Message
from relay.webhooks.callbacks import LONGEST_MASK, jasmin_callback, kannel_callback

#: Recipients in one of Kannel's requests.
MOST_RECIPIENTS: Final = 1000

_KANNEL_TYPE: Final = b"text/html"
_JASMIN_TYPE: Final = b"text/plain"

_NUMBER_CHARACTERS: Final = frozenset("0123456789 +-")
_CHARSETS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "ascii": "ascii",
    "us-ascii": "ascii",
    "iso-8859-1": "iso-8859-1",
    "latin1": "iso-8859-1",
    "windows-1252": "windows-1252",
    "cp1252": "windows-1252",
    "utf-16be": "utf-16-be",
    "utf-16": "utf-16",
    "ucs-2": "utf-16-be",
}


class _Refusal(Exception):
    """A request ends with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Kannel:
    """`GET /cgi-bin/sendsms`."""

    def __init__(self, messages: Messages, logins: Logins) -> None:
        self._messages = messages
        self._logins = logins

    async def send(self, request: ApiRequest, _: str) -> Reply:
        """Answers as smsbox does."""
        try:
            return await self._send(request, _octet_fields(request.query))
        except _Refusal as refusal:
            return Reply(refusal.status, refusal.text.encode(), _KANNEL_TYPE)
        except StoreUnavailable:
            return Reply(503, b"Temporal failure, try again later.", _KANNEL_TYPE)

    async def _send(self, request: ApiRequest, fields: dict[str, bytes]) -> Reply:
        user = _text(fields, "username") or _text(fields, "user")
        account = self._logins.by_login(request, user, _text(fields, "password") or _text(fields, "pass"))
        if account is None:
            raise _Refusal(403, "Authorization failed for sendsms")
        recipients = _recipients(_text(fields, "to"))
        sender = _text(fields, "from")
        if not sender and not self._messages.default_sender(account):
            raise _Refusal(400, "Sender missing and no global set, rejected")
        mask = _kannel_number(fields, ("dlr-mask", "dlrmask"), 0, LONGEST_MASK, "DLR-Mask field misformed, rejected")
        url = _text(fields, "dlr-url") or _text(fields, "dlrurl")
        if url and not url.lower().startswith(("http://", "https://")):
            raise _Refusal(400, "DLR-URL field misformed, rejected")
        validity = _kannel_number(fields, ("validity",), 1, 10_080, "Validity field misformed, rejected")
        text = _kannel_text(fields)
        items = [
            MessageRequest(
                to="+" + to[2:] if to.startswith("00") else to,
                from_=sender,
                text=text,
                validity_seconds=validity * 60.0 if validity else None,
                notification_url=url if url and mask else None,
            )
            for to in recipients
        ]
        results, taken = await self._messages.take(account, items, partial(kannel_callback, mask=mask or 0))
        if not taken:
            first = results[0]
            assert isinstance(first, Problem)
            raise _kannel_refusal(first)
        then = partial(self._messages.dispatch, taken)
        return Reply(202, b"0: Accepted for delivery", _KANNEL_TYPE, then=then)


def _recipients(to: str) -> list[str]:
    if not to.strip():
        raise _Refusal(400, "Missing receiver number, rejected")
    # Once each, whatever stands twice.
    numbers = list(dict.fromkeys(to.split()))
    allowed = [number for number in numbers if _NUMBER_CHARACTERS.issuperset(number)]
    if not allowed or len(allowed) > MOST_RECIPIENTS:
        raise _Refusal(400, "Number(s) has/have been denied by white- and/or black-lists.")
    return [number.replace("-", "") for number in allowed]


def _kannel_text(fields: dict[str, bytes]) -> str:
    if fields.get("udh"):
        raise _Refusal(400, "UDH field misformed, rejected")
    if fields.get("deferred"):
        raise _Refusal(400, "Deferred field misformed, rejected")
    coding = _kannel_number(fields, ("coding",), 0, 2, "Coding field misformed, rejected") or 0
    if coding == 1:
        raise _Refusal(400, "Coding field misformed, rejected")
    octets = fields.get("text", b"")
    if not octets:
        raise _Refusal(400, "Empty text not allowed, rejected")
    name = _text(fields, "charset").lower() or ("utf-16be" if coding == 2 else "utf-8")
    try:
        return octets.decode(_CHARSETS[name])
    except (KeyError, UnicodeDecodeError):
        raise _Refusal(400, "Charset or body misformed, rejected") from None


def _kannel_number(fields: dict[str, bytes], names: tuple[str, ...], least: int, most: int, refusal: str) -> int | None:
    value = next((fields[name] for name in names if name in fields), None)
    if value is None:
        return None
    if not value.isdigit() or len(value) > 9 or not least <= int(value) <= most:
        raise _Refusal(400, refusal)
    return int(value)


def _kannel_refusal(problem: Problem) -> _Refusal:
    if problem.status in (429, 503):
        return _Refusal(503, "Temporal failure, try again later.")
    if problem.kind == "no-route":
        return _Refusal(403, "Not routable. Do not try again.")
    if problem.document.field == "notification_url":
        return _Refusal(400, "DLR-URL field misformed, rejected")
    return _Refusal(400, f"{problem.document.detail} Rejected")


class Jasmin:
    """`GET` and `POST /send`."""

    def __init__(self, messages: Messages, logins: Logins) -> None:
        self._messages = messages
        self._logins = logins

    async def send(self, request: ApiRequest, _: str) -> Reply:
        """Answers as Jasmin's HTTP API does."""
        try:
            return await self._send(request, _jasmin_fields(request))
        except _Refusal as refusal:
            return Reply(refusal.status, f'Error "{refusal.text}"'.encode(), _JASMIN_TYPE)
        except StoreUnavailable:
            return Reply(500, b'Error "Cannot send submit_sm, try again later"', _JASMIN_TYPE)

    async def _send(self, request: ApiRequest, fields: dict[str, bytes]) -> Reply:
        for name in ("to", "username", "password"):
            if not fields.get(name):
                raise _Refusal(400, f"Mandatory argument [{name}] is not found.")
        unknown = next((name for name in fields if name not in _JASMIN_FIELDS), None)
        if unknown is not None:
            raise _Refusal(400, f"Argument [{unknown[:50]}] is unknown.")
        user = _text(fields, "username")
        account = self._logins.by_login(request, user, _text(fields, "password"))
        if account is None:
            raise _Refusal(403, f"Authentication failure for username:{user[:50]}")
        for name in ("sdt", "custom_tlvs"):
            if fields.get(name):
                raise _invalid(name, fields)
        validity = _jasmin_minutes(fields)
        item = MessageRequest(
            to=_text(fields, "to"),
            # Jasmin sends such a message without a source address; a carrier fills its own in.
            from_=_text(fields, "from") or self._messages.default_sender(account) or "0",
            text=_jasmin_text(fields),
            validity_seconds=validity,
            notification_url=_text(fields, "dlr-url") or None,
        )
        level, method = _jasmin_dlr(fields)
        results, taken = await self._messages.take(
            account, [item], partial(jasmin_callback, level=level, method=method)
        )
        result = results[0]
        if not isinstance(result, Message):
            raise _jasmin_refusal(result, fields)
        body = f'Success "{id_text(result.id)}"'.encode()
        return Reply(200, body, _JASMIN_TYPE, then=partial(self._messages.dispatch, taken))


_JASMIN_FIELDS: Final = frozenset(
    {"to", "from", "coding", "username", "password", "priority", "sdt", "validity-period", "tags", "content"}
    | {"dlr", "dlr-url", "dlr-level", "dlr-method", "hex-content", "custom_tlvs"}
)


def _invalid(name: str, fields: dict[str, bytes]) -> _Refusal:
    value = fields[name][:50].decode("utf-8", "replace")
    return _Refusal(400, f"Argument [{name}] has an invalid value: [{value}].")


def _jasmin_fields(request: ApiRequest) -> dict[str, bytes]:
    fields = _octet_fields(request.query)
    if request.method == b"POST":
        if request.content_type == JSON:
            try:
                decoded = msgspec.json.decode(request.body(), type=dict[str, str | int])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise _Refusal(400, "The body is not a JSON object of texts.") from None
            fields.update((name, str(value).encode("utf-8", "replace")) for name, value in decoded.items())
        elif request.content_type in (FORM, b""):
            fields.update(_octet_fields(request.body()))
    return fields


def _jasmin_minutes(fields: dict[str, bytes]) -> float | None:
    value = fields.get("validity-period")
    if not value:
        return None
    if not value.isdigit() or len(value) > 9 or not int(value):
        raise _invalid("validity-period", fields)
    return min(int(value) * 60.0, float(LONGEST_VALIDITY_SECONDS))


def _jasmin_text(fields: dict[str, bytes]) -> str:
    content, hexadecimal = fields.get("content"), fields.get("hex-content")
    if content is None and hexadecimal is None:
        raise _Refusal(400, "content or hex-content not present.")
    if content is not None and hexadecimal is not None:
        raise _Refusal(400, "content and hex-content cannot be used both in same request.")
    coding = fields.get("coding", b"0") or b"0"
    try:
        if hexadecimal is not None:
            octets = binascii.unhexlify(hexadecimal)
            if coding == b"0":
                return sms_text.decode(octets, 0)
        else:
            assert content is not None
            octets = content
        return octets.decode(_JASMIN_CODINGS[coding])
    except KeyError:
        raise _invalid("coding", fields) from None
    except (binascii.Error, ValueError):
        name = "content" if hexadecimal is None else "hex-content"
        raise _Refusal(400, f"Argument [{name}] does not fit its coding.") from None


#: Codings of a text; the others are for data that is none.
_JASMIN_CODINGS: Final = {b"0": "utf-8", b"1": "ascii", b"3": "iso-8859-1", b"8": "utf-16-be"}


def _jasmin_dlr(fields: dict[str, bytes]) -> tuple[int, str]:
    if fields.get("dlr", b"no") not in (b"yes", b"no"):
        raise _invalid("dlr", fields)
    level = fields.get("dlr-level", b"1")
    if level not in (b"1", b"2", b"3"):
        raise _invalid("dlr-level", fields)
    method = fields.get("dlr-method", b"POST").upper()
    if method not in (b"GET", b"POST"):
        raise _invalid("dlr-method", fields)
    return int(level), method.decode()


def _jasmin_refusal(problem: Problem, fields: dict[str, bytes]) -> _Refusal:
    if problem.kind == "no-route":
        return _Refusal(412, "No route found")
    if problem.kind == "rate-limit":
        return _Refusal(403, "User throughput exceeded")
    if problem.status == 503:
        return _Refusal(500, "Cannot send submit_sm, try again later")
    name = {"text": "content", "notification_url": "dlr-url"}.get(problem.document.field, problem.document.field)
    return _invalid(name, fields) if name in fields and name != "content" else _Refusal(400, problem.document.detail)


# Both


def _octet_fields(encoded: bytes) -> dict[str, bytes]:
    """Fields as octets: which characters they are is said by another field."""
    try:
        pairs = parse_qsl(
            encoded.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise _Refusal(400, "Too many fields, rejected") from None
    fields: dict[str, bytes] = {}
    for name, value in pairs:
        fields.setdefault(name, value.encode("latin-1"))
    return fields


def _text(fields: dict[str, bytes], name: str) -> str:
    return fields.get(name, b"").decode("utf-8", "replace")

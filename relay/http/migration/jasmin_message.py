"""Reads a message from one of Jasmin's requests, and checks it by the rules of Jasmin 0.11.1's HTTP API."""

import binascii
import re
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from relay.customers.submissions import MAX_SCHEDULE_SECONDS
from relay.http.api_request import JSON, ApiRequest
from relay.http.message_requests import FORM
from relay.http.migration.gateway_fields import Fields, Refusal, multipart, text_of, urlencoded
from relay.http.migration.jasmin_tlvs import custom_tlvs, invalid
from relay.http.multipart import MULTIPART
from relay.smpp.times import seconds_until
from relay.text import compose as sms_text

FIELD_NAMES: Final = frozenset(
    {"to", "from", "coding", "username", "password", "priority", "sdt", "validity-period", "tags", "content"}
    | {"dlr", "dlr-url", "dlr-level", "dlr-method", "hex-content", "custom_tlvs"}
)
#: The values of data_coding that Jasmin accepts; 11, 12 and 15 are reserved.
_CODINGS: Final = frozenset({*range(11), 13, 14})
#: The codings of texts. With other codings the relay sends the octets unchanged.
_TEXT_CODINGS: Final = {0: "utf-8", 1: "ascii", 3: "iso-8859-1", 8: "utf-16-be"}
#: With these codings the octets form pairs, and the relay never splits a pair between two parts.
PAIR_CODINGS: Final = frozenset({2, 4, 5, 8, 9, 13, 14})

_CHARSET_OF_CODING: Final = {str(coding).encode(): charset for coding, charset in _TEXT_CODINGS.items()}

#: The relay keeps the tags as the message's reference.
_LONGEST_TAGS: Final = 200
_tags = re.compile("[-a-zA-Z0-9,]*").fullmatch

_SCALARS: Final = (str, int)


class JasminMessage(NamedTuple):
    """Holds the message of one of Jasmin's requests.

    :ivar text: the text; None if the relay sends the octets unchanged.
    :ivar validity_minutes: the validity; None for the relay's default.
    """

    to: str
    text: str | None
    octets: bytes
    coding: int
    validity_minutes: int | None
    scheduled_seconds: float
    priority: int
    tags: str
    tlvs: bytes


def read_fields(request: ApiRequest) -> Fields:
    """Reads the fields of a request from the query and the body. If both have a field, the body's value counts.

    :raises Refusal: the relay can't read the body.
    """
    fields = urlencoded(request.query)
    if request.method == b"POST":
        kind = request.content_type
        if kind == JSON:
            fields |= json_fields(request.body())
        elif kind in (FORM, b""):
            fields |= urlencoded(request.body())
        elif kind == MULTIPART:
            fields |= multipart(request.header(b"Content-Type") or b"", request.body())
    # A name without "=" and a value is not a field, as `text` in "to=1&text".
    return {name: value for name, value in fields.items() if value or name in FIELD_NAMES}


def json_fields(body: bytes) -> Fields:
    """Reads the fields of a JSON object.

    `content` becomes the octets that a form would have. For example, with coding 8 they are UTF-16.

    :raises Refusal: the body is not a JSON object of texts and numbers.
    """
    try:
        decoded = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, "The body is not a JSON object of texts.") from None
    fields: Fields = {}
    for name, value in decoded.items():
        if value is None:
            continue
        if name == "custom_tlvs" and isinstance(value, list | dict):
            fields[name] = msgspec.json.encode(value)
        elif isinstance(value, bool) or not isinstance(value, _SCALARS):
            raise Refusal(400, f"Argument [{name[:50]}] has an invalid value: [{str(value)[:50]}].")
        else:
            fields[name] = str(value).encode("utf-8", "replace")
    content = decoded.get("content")
    charset = _CHARSET_OF_CODING.get(fields.get("coding", b""))
    if isinstance(content, str) and charset is not None:
        # As in Jasmin, a text stays UTF-8 if its coding can't write it.
        with suppress(UnicodeEncodeError):
            fields["content"] = content.encode(charset)
    return fields


def check_names(fields: Fields, names: frozenset[str], mandatory: tuple[str, ...]) -> None:
    """Checks that all fields are known and that the mandatory ones have a value.

    :param names: the known fields.
    :raises Refusal: a field is unknown, or a mandatory field is missing or empty.
    """
    unknown = next((name for name in fields if name not in names), None)
    if unknown is not None:
        raise Refusal(400, f"Argument [{unknown[:50]}] is unknown.")
    for name in mandatory:
        if not fields.get(name):
            raise Refusal(400, f"Mandatory argument [{name}] is not found.")


def read_message(fields: Fields, now: float, *, content_needed: bool = True) -> JasminMessage:
    """Reads the message from the fields of a request. A field with an empty value counts as missing.

    :param now: seconds since 1970.
    :param content_needed: False: the message may have no content.
    :raises Refusal: a field has a wrong value.
    """
    coding = _number(fields, "coding", 14) or 0
    if coding not in _CODINGS:
        raise invalid("coding", fields)
    priority = _number(fields, "priority", 3) or 0
    validity = _number(fields, "validity-period", None)
    scheduled_seconds = _scheduled_seconds(fields, now)
    text, octets = _content(fields, coding, content_needed)
    to = text_of(fields, "to")
    # If the customer did not percent-encode a plus sign, it arrives as a blank.
    to = "+" + to[1:] if to[:1] == " " else to
    tags = text_of(fields, "tags")
    if len(tags) > _LONGEST_TAGS or not _tags(tags):
        raise invalid("tags", fields)
    return JasminMessage(to, text, octets, coding, validity, scheduled_seconds, priority, tags, custom_tlvs(fields))


def _number(fields: Fields, name: str, most: int | None) -> int | None:
    value = fields.get(name)
    if not value:
        return None
    if not value.isdigit() or len(value) > 9 or (most is not None and int(value) > most):
        raise invalid(name, fields)
    return int(value)


def _scheduled_seconds(fields: Fields, now: float) -> float:
    """Returns the seconds from now until `sdt`; 0 if that time is past."""
    value = fields.get("sdt")
    if not value:
        return 0.0
    # If the customer did not percent-encode a plus sign, it arrives as a blank.
    time = value[:-1] + b"+" if value.endswith(b" ") else value
    try:
        seconds = max(0.0, seconds_until(time, now))
    except ValueError:
        raise invalid("sdt", fields) from None
    if seconds > MAX_SCHEDULE_SECONDS:
        raise invalid("sdt", fields)
    return seconds


def _content(fields: Fields, coding: int, needed: bool) -> tuple[str | None, bytes]:
    """Returns the text and no octets, or None and the octets."""
    content, hexadecimal = fields.get("content"), fields.get("hex-content")
    if content is None and hexadecimal is None:
        if not needed:
            return "", b""
        raise Refusal(400, "content or hex-content not present.")
    if content is not None and hexadecimal is not None:
        raise Refusal(400, "content and hex-content cannot be used both in same request.")
    if hexadecimal is not None:
        try:
            octets = binascii.unhexlify(hexadecimal)
        except (binascii.Error, ValueError):
            raise Refusal(400, "Argument [hex-content] does not fit its coding.") from None
        if coding == 0:
            # These octets are characters of the GSM alphabet, one in each octet. A part can have them unchanged.
            words = sms_text.decode(octets, 0)
            return (words, b"") if octets and _same(words, octets) else (None, octets)
    else:
        assert content is not None
        octets = content
    charset = _TEXT_CODINGS.get(coding)
    if charset is None or not octets:
        return None, octets
    try:
        return octets.decode(charset), b""
    except UnicodeDecodeError:
        if coding == 0:
            raise Refusal(400, "Argument [content] does not fit its coding.") from None
        return None, octets


def _same(words: str, octets: bytes) -> bool:
    try:
        return sms_text.encode(words) == (octets, 0)
    except sms_text.InvalidText:
        return False


def read_dlr(fields: Fields) -> tuple[str | None, int, str]:
    """Reads the URL, the level and the method of the callback.

    :raises Refusal: a field has a wrong value.
    """
    if (fields.get("dlr") or b"no") not in (b"yes", b"no"):
        raise invalid("dlr", fields)
    level = fields.get("dlr-level") or b"1"
    if level not in (b"1", b"2", b"3"):
        raise invalid("dlr-level", fields)
    method = (fields.get("dlr-method") or b"POST").upper()
    if method not in (b"GET", b"POST"):
        raise invalid("dlr-method", fields)
    return text_of(fields, "dlr-url") or None, int(level), method.decode()

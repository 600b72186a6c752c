"""Reads the fields of a request in the way of Kannel and Jasmin.

The values of fields are octets, because one field can name the character set of another one.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from twisted.logger import Logger

from relay.http.api_request import MOST_FIELDS
from relay.http.multipart import multipart_fields
from relay.http.problems import Problem
from relay.http.types import LONGEST_VALIDITY_SECONDS

log = Logger()

#: A shorter validity becomes this one. With a validity of 0, both gateways try to send a message once.
SHORTEST_VALIDITY_SECONDS: Final = 60.0

Fields = dict[str, bytes]


class Refusal(Exception):
    """Ends a request with this HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def urlencoded(encoded: bytes) -> Fields:
    """Reads the fields of a query or a form. If a name is repeated, its first value counts.

    :raises Refusal: there are too many fields.
    """
    try:
        pairs = parse_qsl(
            encoded.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise Refusal(400, "Too many fields, rejected") from None
    return _first_of_each((name, value.encode("latin-1")) for name, value in pairs)


def multipart(content_type: bytes, body: bytes) -> Fields:
    """Reads the fields of a multipart form. If a name is repeated, its first value counts.

    :raises Refusal: the body is not a multipart form, or it has too many fields.
    """
    try:
        pairs = multipart_fields(content_type, body, MOST_FIELDS)
    except Problem as problem:
        raise Refusal(400, problem.document.detail) from None
    return _first_of_each((name.decode("latin-1"), value) for name, value in pairs)


def _first_of_each(pairs: Iterable[tuple[str, bytes]]) -> Fields:
    fields: Fields = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def text_of(fields: Fields, name: str) -> str:
    """Returns a field as text; "" if the request doesn't have it."""
    return fields.get(name, b"").decode("utf-8", "replace")


_leading_number = re.compile(rb"\s*([+-]?[0-9]+)").match


def leading_number(value: bytes | None) -> int | None:
    """Returns the number at the start of a value, as C's sscanf reads it; None if there is no number."""
    found = _leading_number(value or b"")
    # Python refuses numbers of thousands of digits. Twelve digits are enough: they are outside of every range.
    return None if found is None else int(found[1][:12])


def validity_seconds(minutes: int | None, account: str) -> float | None:
    """Converts a validity from minutes to seconds; None stays None.

    The relay refuses no validity. If it is too short or too long, the nearest bound replaces it, and the log says so.
    """
    if minutes is None:
        return None
    asked = minutes * 60.0
    taken = min(max(asked, SHORTEST_VALIDITY_SECONDS), float(LONGEST_VALIDITY_SECONDS))
    if taken != asked:
        log.info(
            "validity_adjusted: {account} asked for {asked_seconds} s; the message gets {validity_seconds} s",
            account=account,
            asked_seconds=asked,
            validity_seconds=taken,
        )
    return taken


#: iconv's names of character sets that have other names in Python.
_CHARSETS: Final = {
    "latin1": "iso-8859-1",
    "8859_1": "iso-8859-1",
    "utf16be": "utf-16-be",
    "utf16le": "utf-16-le",
    "ucs2": "utf-16-be",
    "ucs-2": "utf-16-be",
    "ucs-2be": "utf-16-be",
    "ucs-2le": "utf-16-le",
    "iso-10646-ucs-2": "utf-16-be",
    "win-1251": "windows-1251",
    "windows-874": "cp874",
    "x-sjis": "shift_jis",
    "ucs-4": "utf-32-be",
    "ucs4": "utf-32-be",
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
}
#: Names without the hyphen that Python expects.
_number_of_charset = re.compile("(iso8859|windows)([0-9]+)").fullmatch
#: Codecs of Python that are not character sets.
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)
_BYTE_ORDER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


def decode_charset(octets: bytes, charset: str) -> str:
    """Decodes a text.

    :param charset: the name of the character set, as iconv or Python knows it.
    :raises ValueError: there is no such character set, or the octets are not valid in it.
    """
    # iconv allows "//TRANSLIT" and similar words after a name. They say what iconv does with characters that the
    # target lacks. Here they have no effect.
    name = charset.strip().lower().partition("//")[0]
    name = _CHARSETS.get(name, name)
    numbered = _number_of_charset(name)
    if numbered is not None:
        name = f"{numbered[1]}-{numbered[2]}"
    if name in ("utf-16", "utf16"):
        name = "utf-16" if octets[:2] in _BYTE_ORDER_MARKS else "utf-16-le"
    if name.replace("_", "-") in _NO_CHARSETS:
        raise ValueError(f"no character set: {name}")
    try:
        return octets.decode(name)
    except LookupError:
        raise ValueError(f"no character set: {name}") from None

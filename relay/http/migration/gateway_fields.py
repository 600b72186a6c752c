"""The fields of a request as Kannel and Jasmin read them: octets first, because another field says which characters."""

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

#: A validity of 0 becomes this one. Both gateways send such a message once.
SHORTEST_VALIDITY_SECONDS: Final = 60.0

Fields = dict[str, bytes]


class Refusal(Exception):
    """A request ends with this status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def urlencoded(encoded: bytes) -> Fields:
    """The fields of a query or a form; of a repeated name the first counts.

    :raises Refusal: there are too many.
    """
    try:
        pairs = parse_qsl(
            encoded.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise Refusal(400, "Too many fields, rejected") from None
    return _first_of_each((name, value.encode("latin-1")) for name, value in pairs)


def multipart(content_type: bytes, body: bytes) -> Fields:
    """The fields of a multipart form; of a repeated name the first counts.

    :raises Refusal: it is none.
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
    """A field as text; "" where it is absent."""
    return fields.get(name, b"").decode("utf-8", "replace")


_leading_number = re.compile(rb"\s*([+-]?[0-9]+)").match


def leading_number(value: bytes | None) -> int | None:
    """The number at the start of a value, as C's sscanf reads it; None where there is none."""
    found = _leading_number(value or b"")
    # Python refuses to read a number of thousands of digits; so many are out of every range.
    return None if found is None else int(found[1][:12])


def validity_seconds(minutes: int, account: str) -> float:
    """A validity in minutes as the relay takes it: never refused, but brought into its bounds, and logged then."""
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


#: iconv's names of character sets, where Python has other names.
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
#: Names in which a hyphen is missing.
_number_of_charset = re.compile("(iso8859|windows)([0-9]+)").fullmatch
#: Python's codecs for its own notations; they are not character sets.
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)
_BYTE_ORDER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


def decode_charset(octets: bytes, charset: str) -> str:
    """A text in a character set by its name, as iconv and Python know them.

    :raises ValueError: there is no such character set, or the octets are not in it.
    """
    # "//TRANSLIT" and the like is iconv's way to say what happens to characters that the target lacks.
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

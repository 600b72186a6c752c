"""Reads Kannel's requests in XML (`POST` of text/xml); their fields get the names of Kannel's GET."""

import binascii
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from relay.http.migration.gateway_fields import Fields, Refusal

#: The elements below <message><submit>, each with the parameter of GET that has the same meaning.
_FIELDS: Final[Mapping[str, str]] = {
    "from/username": "username",
    "from/user": "user",
    "from/password": "password",
    "from/pass": "pass",
    "from/account": "account",
    "from/binfo": "binfo",
    "oa/number": "from",
    "da/number": "to",
    "ud": "text",
    "udh": "udh",
    "smsc": "smsc",
    "to": "smsc",
    "pid": "pid",
    "rpi": "rpi",
    "dcs/coding": "coding",
    "dcs/mclass": "mclass",
    "dcs/mwi": "mwi",
    "dcs/compress": "compress",
    "dcs/alt-dcs": "alt-dcs",
    "statusrequest/dlr-mask": "dlr-mask",
    "statusrequest/dlr-url": "dlr-url",
    "vp/delay": "validity",
    "timing/delay": "deferred",
    "priority": "priority",
    "meta-data": "meta-data",
}
_ROOT: Final = ("message", "submit")


class _Reader:
    """Collects the texts of the elements.

    It refuses a document type, because a document type can define entities that fill the memory.
    """

    def __init__(self) -> None:
        self.fields: dict[str, list[str]] = {}
        self.binary = False
        self._path: list[str] = []
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        self._parser = parser

    def read(self, body: bytes) -> None:
        self._parser.Parse(body, True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        field = self._field()
        if field:
            self.fields.setdefault(field, []).append("")
            if field == "text":
                self.binary = attributes.get("type") == "binary"

    def _end(self, name: str) -> None:
        self._path.pop()

    def _characters(self, text: str) -> None:
        field = self._field()
        if field:
            self.fields[field][-1] += text

    def _doctype(self, *_: object) -> None:
        raise Refusal(400, "XML with a document type is not read, rejected")

    def _field(self) -> str:
        if tuple(self._path[:2]) != _ROOT:
            return ""
        return _FIELDS.get("/".join(self._path[2:]), "")


def xml_fields(body: bytes) -> Fields:
    """Reads the fields of a request in XML.

    If an element is repeated, the first one counts. But all numbers in `da` count.

    :raises Refusal: the relay can't read the XML.
    """
    reader = _Reader()
    try:
        reader.read(body)
    except (expat.ExpatError, ValueError, LookupError):
        raise Refusal(400, "The XML can't be read, rejected") from None
    fields: Fields = {}
    for name, values in reader.fields.items():
        value = " ".join(values) if name == "to" else values[0]
        fields[name] = value.encode() if name == "text" else value.strip().encode()
    if fields.get("udh"):
        fields["udh"] = hex_or_percent(fields["udh"])
    if reader.binary:
        fields["text"] = _hexadecimal(fields["text"])
    elif "text" in fields:
        fields["text"] = unquote_to_bytes(fields["text"].replace(b"+", b" "))
        # The parser has decoded the XML, so the text is UTF-8 now. With coding=1 the relay sends the octets unchanged.
        fields["charset"] = b"utf-8"
    return fields


def hex_or_percent(value: bytes) -> bytes:
    """Decodes a user data header from X-Kannel headers or XML: from hexadecimal, or from percent-encoding."""
    try:
        return binascii.unhexlify(value)
    except binascii.Error:
        return unquote_to_bytes(value)


def _hexadecimal(value: bytes) -> bytes:
    try:
        return binascii.unhexlify(b"".join(value.split()))
    except binascii.Error:
        raise Refusal(400, "The ud of type binary is not in hexadecimal, rejected") from None

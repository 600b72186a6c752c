"""Reads the fields of a receipt: finds them in its text and its optional parameters, however they are written.

Theory of operation: keys are searched in the text, in any order and any case. A value ends before the next key. The
search stops at `text:`, because the sender of the message wrote the text after it, and could put any id and any state
there. If a text has no key, it is read as UCS-2, whatever data_coding says. No text has keys in both readings.

Nothing in this module raises, whatever the octets are. A field that can't be read is empty.
"""

import re
from typing import Final

import msgspec

from relay.config.carrier_config import Dialect
from relay.receipts.dialects import BLANKS, MAX_ID_OCTETS
from relay.receipts.tlvs import receipt_tlvs
from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu

#: How many octets are searched. Fields are at the start; a payload of up to 64 KiB may follow, which is a text.
_SCANNED_OCTETS: Final = 4096

_NO_DIALECT: Final = Dialect()

_keys = re.compile(
    rb"(?<![A-Za-z0-9_])(id|sub|dlvrd|submit[\s_]*date|done[\s_]*date|stat|err|text)[ \t]*+:", re.IGNORECASE
)
#: The characters between one field and the next.
_BETWEEN: Final = BLANKS + b",;"
#: These characters separate fields if a key follows. Elsewhere they may be a part of a value.
_GLUED: Final = b"|&/"
#: The characters between the words of a key.
_IN_KEYS: Final = b" \t\r\n\x0b\x0c_"
#: An id of several words. It ends before the next separator, or before a vendor's own key.
_spaced_words = re.compile(
    rb"[ \t\r\n\x0b\x0c\xa0\0,;]*+"
    rb"([^ \t\r\n\x0b\x0c\xa0\0,;]++(?:[ \t\xa0]++[A-Za-z0-9][^ \t\r\n\x0b\x0c\xa0\0,;:]*+(?![ \t]*+:))++)"
).match
# These expressions match any octets.
_first_word = re.compile(rb"[ \t\r\n\x0b\x0c\xa0\0,;]*+([^ \t\r\n\x0b\x0c\xa0\0,;]*+)").match
_first_status_word = re.compile(rb"[ \t\r\n\x0b\x0c\xa0\0,;]*+([^ \t\r\n\x0b\x0c\xa0\0,;:(]*+)").match
# A NUL may be a part of err, because some carriers write binary octets there.
_first_error_word = re.compile(rb"[ \t\r\n\x0b\x0c\xa0,;]*+([^ \t\r\n\x0b\x0c\xa0,;]*+)").match
_first_date = re.compile(
    rb"[ \t\r\n\x0b\x0c\xa0\0,;]*+"
    rb"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?|\d{8,20}[+-]?)"
).match
# ksmppd issue 108: after the done date, the word comes without the key `stat:`.
_bare_status = re.compile(
    rb"[ \t\r\n\x0b\x0c\xa0\0,;]*+\d{8,16}+[ \t\r\n\x0b\x0c\xa0\0,;]++"
    rb"(DELIVRD|EXPIRED|DELETED|UNDELIV|ACCEPTD|UNKNOWN|REJECTD|ENROUTE)(?![A-Za-z0-9_:])"
).match


class ReceiptFields(msgspec.Struct, frozen=True, gc=False):
    """All fields of a receipt, unchanged. A field that is absent or empty is b"" or None.

    :ivar tlv_id: receipted_message_id, without NUL.
    :ivar text_id: the first word of the text's `id`.
    :ivar sub: how many messages were submitted. Like `dlvrd`, it is useless at most carriers.
    :ivar submit_date: as written, like `done_date`; see `relay.receipts.dates`.
    :ivar message_state: the number in the optional parameter.
    :ivar tlv_stat: the optional parameter, if a carrier writes a word into it.
    :ivar spaced_id: the text's `id` with all words up to the next field, if there are several.
    """

    tlv_id: bytes = b""
    text_id: bytes = b""
    sub: int | None = None
    dlvrd: int | None = None
    submit_date: bytes = b""
    done_date: bytes = b""
    stat: bytes = b""
    err: bytes = b""
    message_state: int | None = None
    tlv_stat: bytes = b""
    network_error_code: bytes = b""
    spaced_id: bytes = b""

    @property
    def id(self) -> bytes:
        """The id that is most trusted."""
        return self.tlv_id or self.text_id


def read_fields(pdu: MessagePdu, dialect: Dialect = _NO_DIALECT) -> ReceiptFields:
    """Reads all fields of a receipt. It never raises, whatever the octets are.

    :param dialect: only `columns` and `fields_after_text` are used. `relay.receipts.dialects.resolve` must have been
        applied.
    """
    tlvs = receipt_tlvs(pdu.body, pdu.tlvs_at)
    values = text_values(pdu, tlvs, dialect)
    message_state, tlv_stat = read_state(tlvs.get(c.TAG_MESSAGE_STATE, b""))
    return ReceiptFields(
        tlv_id_of(tlvs),
        id_of(values),
        _count_of(values, b"sub"),
        _count_of(values, b"dlvrd"),
        date_of(values, b"submitdate"),
        date_of(values, b"donedate"),
        stat_of(values),
        error_of(values),
        message_state,
        tlv_stat,
        tlvs.get(c.TAG_NETWORK_ERROR_CODE, b""),
        spaced_id_of(values),
    )


# Finding the values


def text_values(pdu: MessagePdu, tlvs: dict[int, bytes], dialect: Dialect) -> dict[bytes, bytes]:
    """The value of each key in short_message, or else in message_payload. A value ends before the next key."""
    for octets in (pdu.short_message, tlvs.get(c.TAG_MESSAGE_PAYLOAD)):
        if octets:
            text = _without_header(octets, pdu.esm_class)[:_SCANNED_OCTETS].rstrip(b"\0")
            values = _column_values(text, dialect.columns) if dialect.columns else _keyed_values(text, dialect)
            if values:
                return values
    return {}


def _without_header(octets: bytes, esm_class: int) -> bytes:
    """The text after a user data header. Some carriers set the UDHI bit and send no header."""
    if not esm_class & c.ESM_CLASS_UDHI or _keys.match(octets) is not None or octets[0] >= len(octets):
        return octets
    return octets[octets[0] + 1 :]


def _column_values(text: bytes, columns: list[str]) -> dict[bytes, bytes]:
    return {
        column.replace(" ", "").encode(): value
        for column, value in zip(columns, text.split(b","), strict=False)
        if column and value
    }


def _keyed_values(text: bytes, dialect: Dialect) -> dict[bytes, bytes]:
    past_text = bool(dialect.fields_after_text)
    values = _scan(text, past_text)
    if not values and b"\0" in text:
        for encoding in ("utf-16-be", "utf-16-le"):
            # In a little-endian text, the zero octet of the last character was removed together with the padding.
            whole = text + b"\0" if len(text) % 2 else text
            values = _scan(whole.decode(encoding, "replace").encode("latin-1", "replace"), past_text)
            if values:
                break
    return values


def _scan(text: bytes, past_text: bool) -> dict[bytes, bytes]:
    """The values by key. Keys are in small letters, without blanks. Of each key, the first non-empty value counts."""
    values: dict[bytes, bytes] = {}
    key = b""
    value_at = 0
    for found in _keys.finditer(text):
        if key and key not in values:
            value = text[value_at : found.start()].rstrip(_GLUED)
            if value.strip(_BETWEEN):
                values[key] = value
        key = found[1].lower()
        value_at = found.end()
        if key == b"text":
            if not past_text:
                return values
            key = b""
        elif key.endswith(b"date"):
            key = key[:-4].rstrip(_IN_KEYS) + b"date"
    if key and key not in values:
        value = text[value_at:].rstrip(b"|&")
        if value.strip(_BETWEEN):
            values[key] = value
    return values


# Reading a value


def id_of(values: dict[bytes, bytes]) -> bytes:
    """The first word of the id."""
    value = values.get(b"id")
    word = _first_word(value)[1].strip(b"\"'") if value else b""  # type: ignore[index]
    return word if len(word) <= MAX_ID_OCTETS else b""


def spaced_id_of(values: dict[bytes, bytes]) -> bytes:
    """The id with all its words; b"": it has only one."""
    found = _spaced_words(values.get(b"id", b""))
    spaced_id = b"" if found is None else found[1].strip(b"\"'")
    return spaced_id if len(spaced_id) <= MAX_ID_OCTETS else b""


def stat_of(values: dict[bytes, bytes]) -> bytes:
    """The carrier's word for the state."""
    value = values.get(b"stat")
    if value:
        return _first_status_word(value)[1]  # type: ignore[index]
    value = values.get(b"donedate")
    bare = _bare_status(value) if value else None
    return b"" if bare is None else bare[1]


def error_of(values: dict[bytes, bytes]) -> bytes:
    """The carrier's `err`."""
    value = values.get(b"err")
    return _first_error_word(value)[1].rstrip(b"\0") if value else b""  # type: ignore[index]


def date_of(values: dict[bytes, bytes], key: bytes) -> bytes:
    """A date, as written."""
    found = _first_date(values.get(key, b""))
    return b"" if found is None else found[1]


def _count_of(values: dict[bytes, bytes], key: bytes) -> int | None:
    word = _first_word(values.get(key, b""))[1]  # type: ignore[index]
    return int(word) if word.isdigit() and len(word) < 10 else None


def tlv_id_of(tlvs: dict[int, bytes]) -> bytes:
    """The id in receipted_message_id."""
    octets = tlvs.get(c.TAG_RECEIPTED_MESSAGE_ID)
    if not octets:
        return b""
    # It is a C-octet string, which ends at the NUL.
    tlv_id = octets.lstrip(BLANKS).partition(b"\0")[0].rstrip(BLANKS)
    return tlv_id if len(tlv_id) <= MAX_ID_OCTETS else b""


def read_state(octets: bytes) -> tuple[int | None, bytes]:
    """Reads message_state. Returns it as a number, and as a word if it is one.

    It should be one octet (SMPP 3.4 section 5.3.2.35). Some carriers send two or four octets, an ASCII digit or a word.
    """
    if not octets:
        return None, b""
    significant = octets.strip(b"\0")
    if not significant:
        return 0, b""
    if significant.isdigit():
        return int(significant[:9]), b""
    if len(significant) == 1:
        return significant[0], b""
    return None, significant

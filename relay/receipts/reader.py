"""Reads receipts: the id, the state and the error in a carrier's deliver_sm or data_sm.

Theory of operation. Nearly all receipts have exactly the text of SMPP 3.4 Appendix B. One regular expression recognizes
it, and finds the three fields that matter. All other receipts are read by `read_fields`, which knows every form that
has been seen. A property test checks that both give the same result for every text that the expression matches.

`read_fields` looks for keys in the text, in any order and any case. A value ends before the next key. The search stops
at `text:`, because the sender of the message wrote the text after it, and could put any id and any state there. The
optional parameters receipted_message_id and message_state count more than the text. If a text has no key, it is read as
UCS-2, whatever data_coding says. No text has keys in both readings.

Nothing in this module raises, whatever the octets are. If a receipt can't be read, the `Receipt` has no keys, or no
state.
"""

import re
from typing import Final

import msgspec
from msgspec.structs import replace

from relay.config.model import Dialect
from relay.receipts.dates import DoneDates
from relay.receipts.dialects import (
    BLANKS,
    MAX_ID_OCTETS,
    UNHEARD_OF,
    CarrierIds,
    CarrierStates,
    Meaning,
    own_word,
    resolve,
)
from relay.receipts.tlvs import receipt_tlvs
from relay.values import smpp_constants as c
from relay.values.messages import Receipt
from relay.values.pdus import MessagePdu

#: The message types in esm_class that only the network writes: delivery receipt, intermediate notification, and both
#: bits together (SMPP 3.4 section 5.2.12).
_RECEIPT_TYPES: Final = frozenset({c.ESM_CLASS_DELIVERY_RECEIPT, c.ESM_CLASS_INTERMEDIATE, 0x24})

#: How many octets are searched. Fields are at the start; a payload of up to 64 KiB may follow, which is a text.
_SCANNED_OCTETS: Final = 4096
#: How many octets of `stat` and `err` are kept, verbatim.
_KEPT_OCTETS: Final = 255

_NO_DIALECT: Final = Dialect()

_match_common = re.compile(
    rb"id:([A-Za-z0-9_.\-]{1,64}+)"
    rb"(?: sub:\d{1,9}+)?+(?: dlvrd:\d{1,9}+)?+"
    rb" submit date:\d{8,16}+ done date:(\d{8,16}+)"
    rb" stat:([A-Za-z]{1,32}+) err:([0-9A-Za-z]{1,32}+)(?=[ \r\n\t]|\Z)"
).match
# The three optional parameters of a receipt, in the orders in which message centres send them. The caller checks the
# length octet of the id.
_match_tlvs = re.compile(
    rb"(?:\x04\x23\x00\x03(...))?"
    rb"(?:\x04\x27\x00\x01([\0-\x09]))?"
    rb"\x00\x1e\x00(.)([A-Za-z0-9_.\-]{1,64}+)(\0?+)"
    rb"(?:\x04\x27\x00\x01([\0-\x09]))?"
    rb"(?:\x04\x23\x00\x03(...))?\Z",
    re.DOTALL,
).match

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


class ReceiptReader:
    """Reads the receipts of one carrier.

    :raises ValueError: the dialect isn't valid, see `relay.receipts.dialects.resolve`.
    """

    __slots__ = (
        "_carrier",
        "_columns",
        "_dates",
        "_dialect",
        "_ids",
        "_numbers",
        "_quick",
        "_readable_types",
        "_states",
        "_text_key",
    )

    def __init__(self, carrier_name: str, dialect: Dialect) -> None:
        self._carrier = carrier_name
        self._dialect = resolve(dialect)
        self._dates = DoneDates(self._dialect.time_zone or "")
        self._ids = CarrierIds(dialect)
        self._states = CarrierStates(dialect)
        self._quick = self._states.quick
        self._numbers = self._states.numbers
        self._text_key = self._ids.text_key
        #: PDUs of these message types are receipts if their content reads as a receipt.
        self._readable_types = frozenset(
            (*(self._dialect.receipt_marks or ()), *((0,) if self._dialect.unmarked_receipts else ()))
        )
        self._columns = bool(self._dialect.columns)

    def is_receipt(self, pdu: MessagePdu) -> bool:
        """Whether a deliver_sm or data_sm is a receipt, and not a message from a handset.

        It is one if its type in esm_class is one of those that only the network writes, with the UDHI bit or without.
        It is also one if it has no type (0) and both optional parameters that only the network writes:
        receipted_message_id and message_state. Others could be forged. Any handset can send an unmarked text. Any ESME
        that reaches us through the carrier can send an acknowledgement (0x08, 0x10) with any parameters. Such a PDU is
        a receipt only if the dialect names its type (`unmarked_receipts`, `receipt_marks`) and its content reads as a
        receipt.
        """
        message_type = pdu.esm_class & c.ESM_CLASS_TYPE_MASK
        if message_type in _RECEIPT_TYPES:
            return True
        if not message_type and pdu.tlvs_at < len(pdu.body):
            tlvs = receipt_tlvs(pdu.body, pdu.tlvs_at)
            if tlvs.get(c.TAG_MESSAGE_STATE) and _tlv_id(tlvs):
                return True
        return message_type in self._readable_types and self.looks_like_receipt(pdu)

    def looks_like_receipt(self, pdu: MessagePdu) -> bool:
        """Whether the content reads as a receipt: it has an id, and a state that is known."""
        fields = self.fields(pdu)
        meaning = self._meaning(fields.message_state, fields.tlv_stat, fields.stat)
        return bool(fields.id) and meaning is not None and meaning is not UNHEARD_OF

    def read(self, pdu: MessagePdu, now: float) -> Receipt:
        """Reads a receipt. It takes any deliver_sm or data_sm, and never raises.

        If something can't be read, the `Receipt` lacks it.

        :param now: seconds since 1970.
        """
        found = _match_common(pdu.short_message)
        if found is None or self._columns:
            return self.read_any(pdu, now)
        text_id, done_date, stat, error = found.groups()
        meaning = self._quick.get(stat)
        if meaning is None:
            return self.read_any(pdu, now)
        done_at = self._dates.at(done_date, now)
        body = pdu.body
        tlvs_at = pdu.tlvs_at
        if tlvs_at == len(body):
            state, final, word = meaning
            key = self._text_key(text_id)
            return Receipt(self._carrier, (key,), state, final, now, error, stat, b"", body, word, done_at)
        tlvs = _match_tlvs(body, tlvs_at)
        if tlvs is None:
            return self._receipt(receipt_tlvs(body, tlvs_at), text_id, stat, error, now, body, done_at)
        early_code, early_state, size, tlv_id, nul, late_state, late_code = tlvs.groups()
        if len(tlv_id) + len(nul) != size[0]:
            return self._receipt(receipt_tlvs(body, tlvs_at), text_id, stat, error, now, body, done_at)
        message_state = early_state or late_state
        state, final, word = meaning
        if message_state is not None:
            state, final = self._numbers[message_state[0]]
            word = own_word(stat, state)
        keys = self._ids.candidates(tlv_id, text_id)
        code = early_code or late_code or b""
        return Receipt(self._carrier, keys, state, final, now, error, stat, code, body, word, done_at)

    def read_any(self, pdu: MessagePdu, now: float) -> Receipt:
        """Does what `read` does, without the fast way for usual receipts."""
        tlvs = receipt_tlvs(pdu.body, pdu.tlvs_at)
        values = _text_values(pdu, tlvs, self._dialect)
        text_id = _id_of(values)
        done_at = self._dates.at(_date_of(values, b"donedate"), now)
        receipt = self._receipt(tlvs, text_id, _stat_of(values), _error_of(values), now, pdu.body, done_at)
        spaced_id = _spaced_id_of(values)
        if spaced_id:
            # The words after the first one belong to the id, or are something of the carrier's own.
            keys = (*self._ids.candidates(_tlv_id(tlvs), spaced_id), *receipt.keys)
            receipt = replace(receipt, keys=tuple(dict.fromkeys(keys)))
        return receipt

    def fields(self, pdu: MessagePdu) -> ReceiptFields:
        """All fields, for the operator's page."""
        return read_fields(pdu, self._dialect)

    def _receipt(
        self,
        tlvs: dict[int, bytes],
        text_id: bytes,
        stat: bytes,
        error: bytes,
        now: float,
        body: bytes,
        done_at: float,
    ) -> Receipt:
        message_state, tlv_stat = _read_state(tlvs.get(c.TAG_MESSAGE_STATE, b""))
        meaning = self._meaning(message_state, tlv_stat, stat)
        state = None if meaning is None else meaning.state
        word = (stat or tlv_stat)[:_KEPT_OCTETS]
        return Receipt(
            self._carrier,
            self._ids.candidates(_tlv_id(tlvs), text_id),
            state,
            False if meaning is None else meaning.final,
            now,
            error[:_KEPT_OCTETS],
            word,
            tlvs.get(c.TAG_NETWORK_ERROR_CODE, b"")[:_KEPT_OCTETS],
            body,
            own_word(word, state),
            done_at,
        )

    def _meaning(self, message_state: int | None, tlv_stat: bytes, stat: bytes) -> Meaning | None:
        """The state. message_state counts, unless it isn't one of SMPP's and the text has a word."""
        if message_state is not None:
            meaning = self._states.of_number(message_state)
            if meaning is not UNHEARD_OF or not stat:
                return meaning
        word = stat or tlv_stat
        return self._states.of_word(word) if word else None


def read_fields(pdu: MessagePdu, dialect: Dialect = _NO_DIALECT) -> ReceiptFields:
    """Reads all fields of a receipt. It never raises, whatever the octets are.

    :param dialect: only `columns` and `fields_after_text` are used. `relay.receipts.dialects.resolve` must have been
        applied.
    """
    tlvs = receipt_tlvs(pdu.body, pdu.tlvs_at)
    values = _text_values(pdu, tlvs, dialect)
    message_state, tlv_stat = _read_state(tlvs.get(c.TAG_MESSAGE_STATE, b""))
    return ReceiptFields(
        _tlv_id(tlvs),
        _id_of(values),
        _count_of(values, b"sub"),
        _count_of(values, b"dlvrd"),
        _date_of(values, b"submitdate"),
        _date_of(values, b"donedate"),
        _stat_of(values),
        _error_of(values),
        message_state,
        tlv_stat,
        tlvs.get(c.TAG_NETWORK_ERROR_CODE, b""),
        _spaced_id_of(values),
    )


# Finding the values


def _text_values(pdu: MessagePdu, tlvs: dict[int, bytes], dialect: Dialect) -> dict[bytes, bytes]:
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


def _id_of(values: dict[bytes, bytes]) -> bytes:
    value = values.get(b"id")
    word = _first_word(value)[1].strip(b"\"'") if value else b""  # type: ignore[index]
    return word if len(word) <= MAX_ID_OCTETS else b""


def _spaced_id_of(values: dict[bytes, bytes]) -> bytes:
    """An id of several words; b"": the id is one word."""
    found = _spaced_words(values.get(b"id", b""))
    spaced_id = b"" if found is None else found[1].strip(b"\"'")
    return spaced_id if len(spaced_id) <= MAX_ID_OCTETS else b""


def _stat_of(values: dict[bytes, bytes]) -> bytes:
    value = values.get(b"stat")
    if value:
        return _first_status_word(value)[1]  # type: ignore[index]
    value = values.get(b"donedate")
    bare = _bare_status(value) if value else None
    return b"" if bare is None else bare[1]


def _error_of(values: dict[bytes, bytes]) -> bytes:
    value = values.get(b"err")
    return _first_error_word(value)[1].rstrip(b"\0") if value else b""  # type: ignore[index]


def _date_of(values: dict[bytes, bytes], key: bytes) -> bytes:
    found = _first_date(values.get(key, b""))
    return b"" if found is None else found[1]


def _count_of(values: dict[bytes, bytes], key: bytes) -> int | None:
    word = _first_word(values.get(key, b""))[1]  # type: ignore[index]
    return int(word) if word.isdigit() and len(word) < 10 else None


def _tlv_id(tlvs: dict[int, bytes]) -> bytes:
    octets = tlvs.get(c.TAG_RECEIPTED_MESSAGE_ID)
    if not octets:
        return b""
    # It is a C-octet string, which ends at the NUL.
    tlv_id = octets.lstrip(BLANKS).partition(b"\0")[0].rstrip(BLANKS)
    return tlv_id if len(tlv_id) <= MAX_ID_OCTETS else b""


def _read_state(octets: bytes) -> tuple[int | None, bytes]:
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

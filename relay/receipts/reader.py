"""Reads receipts: the id, the state and the error in a carrier's deliver_sm or data_sm.

Theory of operation. Nearly all receipts have exactly the text of SMPP 3.4 Appendix B. One regular expression recognizes
it, and finds the three fields that matter. All other receipts are read by `relay.receipts.receipt_fields`, which knows
every form that has been seen. A property test checks that both give the same result for every text that the expression
matches. The optional parameters receipted_message_id and message_state count more than the text.

Nothing in this module raises, whatever the octets are. If a receipt can't be read, the `Receipt` has no keys, or no
state.
"""

import re
from typing import Final

from msgspec.structs import replace

from relay.config.carrier_config import Dialect
from relay.receipts.dates import DoneDates
from relay.receipts.dialects import (
    UNHEARD_OF,
    CarrierIds,
    CarrierStates,
    Meaning,
    own_word,
    resolve,
)
from relay.receipts.receipt_fields import (
    ReceiptFields,
    date_of,
    error_of,
    id_of,
    read_fields,
    read_state,
    spaced_id_of,
    stat_of,
    text_values,
    tlv_id_of,
)
from relay.receipts.tlvs import receipt_tlvs
from relay.values import smpp_constants as c
from relay.values.carrier_reports import Receipt
from relay.values.pdus import MessagePdu

#: The message types in esm_class that only the network writes: delivery receipt, intermediate notification, and both
#: bits together (SMPP 3.4 section 5.2.12).
_RECEIPT_TYPES: Final = frozenset({c.ESM_CLASS_DELIVERY_RECEIPT, c.ESM_CLASS_INTERMEDIATE, 0x24})

#: How many octets of `stat` and `err` are kept, verbatim.
_KEPT_OCTETS: Final = 255


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
            if tlvs.get(c.TAG_MESSAGE_STATE) and tlv_id_of(tlvs):
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
        values = text_values(pdu, tlvs, self._dialect)
        text_id = id_of(values)
        done_at = self._dates.at(date_of(values, b"donedate"), now)
        receipt = self._receipt(tlvs, text_id, stat_of(values), error_of(values), now, pdu.body, done_at)
        spaced_id = spaced_id_of(values)
        if spaced_id:
            # The words after the first one belong to the id, or are something of the carrier's own.
            keys = (*self._ids.candidates(tlv_id_of(tlvs), spaced_id), *receipt.keys)
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
        message_state, tlv_stat = read_state(tlvs.get(c.TAG_MESSAGE_STATE, b""))
        meaning = self._meaning(message_state, tlv_stat, stat)
        state = None if meaning is None else meaning.state
        word = (stat or tlv_stat)[:_KEPT_OCTETS]
        return Receipt(
            self._carrier,
            self._ids.candidates(tlv_id_of(tlvs), text_id),
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

"""The few SMPP PDUs of a benchmark, as octets with places for the values.

This module imports nothing of the relay: a mistake in the relay's codec must not cancel itself out here.
"""

import re
import struct
from collections.abc import Sequence
from typing import Final

BIND_RECEIVER: Final = 0x00000001
BIND_TRANSMITTER: Final = 0x00000002
BIND_TRANSCEIVER: Final = 0x00000009
SUBMIT_SM: Final = 0x00000004
SUBMIT_SM_RESP: Final = 0x80000004
DELIVER_SM: Final = 0x00000005
DELIVER_SM_RESP: Final = 0x80000005
UNBIND: Final = 0x00000006
ENQUIRE_LINK: Final = 0x00000015
ENQUIRE_LINK_RESP: Final = 0x80000015
RESPONSE_BIT: Final = 0x80000000
ESME_RSUBMITFAIL: Final = 0x00000045

#: command_length, command_id, command_status, sequence_number
HEADER: Final = struct.Struct(">IIII")

#: A response whose body is an empty message_id: header and one NUL.
EMPTY_ID_RESPONSE: Final = struct.Struct(">IIIIx")

#: The digits at the end of a destination address that are the message's number in this run.
INDEX_DIGITS: Final = 8

#: service_type, source address and destination address at the start of a submit_sm's body.
ADDRESSES: Final = re.compile(rb"[^\0]{0,5}\0..([^\0]{0,20})\0..([^\0]{0,20})\0", re.DOTALL)

#: Sixty-two characters, the length of a usual one-time password message.
TEXT: Final = b"Your code is 271828. It is valid for 10 minutes. Tell no one.."

SOURCE: Final = b"12025550100"

_SEQUENCE: Final = struct.Struct(">I")


def bind_pdu(command_id: int, system_id: str, password: str) -> bytes:
    """A bind with interface_version 3.4 and sequence_number 1."""
    body = system_id.encode() + b"\0" + password.encode() + b"\0\0\x34\0\0\0"
    return HEADER.pack(16 + len(body), command_id, 0, 1) + body


def header_pdu(command_id: int, sequence_number: int, command_status: int = 0) -> bytes:
    """A PDU without a body."""
    return HEADER.pack(16, command_id, command_status, sequence_number)


def _escaped(constant: bytes) -> bytes:
    return constant.replace(b"%", b"%%")


class Submissions:
    """Encodes submit_sm in runs: message number i has sequence_number i + 1 and a destination that ends in i.

    :param prefix: digits in front of the message's number.
    """

    def __init__(self, prefix: bytes = b"4477", text: bytes = TEXT) -> None:
        before = b"\0\x01\x01" + SOURCE + b"\0\x01\x01" + prefix
        after = b"\0\0\0\0\0\0\x01\0\0\0" + bytes((len(text),)) + text
        self.pdu_bytes = 16 + len(before) + INDEX_DIGITS + len(after)
        head = struct.pack(">III", self.pdu_bytes, SUBMIT_SM, 0)
        self._template = _escaped(head) + b"%b" + _escaped(before) + b"%08d" + _escaped(after)

    def encode(self, first: int, count: int) -> bytes:
        """The PDUs of messages `first` to `first + count - 1`, back to back."""
        template, pack = self._template, _SEQUENCE.pack
        return b"".join([template % (pack(i + 1), i) for i in range(first, first + count)])


class Receipts:
    """Encodes one carrier's deliver_sm receipts; lengths are worked out once for each shape of addresses."""

    def __init__(self, state: bytes = b"DELIVRD", error: bytes = b"000", date: bytes = b"2611232250") -> None:
        self._state, self._error, self._date = state, error, date
        self._templates: dict[tuple[int, int], bytes] = {}

    def encode(self, sequences: Sequence[bytes], batch: Sequence[tuple[object, int, bytes, bytes]]) -> bytes:
        """Receipts back to back, with these sequence numbers (four octets each).

        :param batch: of each message: anything, its number (ten digits of which are its id), its source and its
            destination; the receipt goes the other way.
        """
        _, _, source, destination = batch[0]
        template = self._template_of(len(source), len(destination))
        if all(len(receipt[2]) == len(source) and len(receipt[3]) == len(destination) for receipt in batch):
            return b"".join([template % (s, r[3], r[2], r[1]) for s, r in zip(sequences, batch, strict=True)])
        return b"".join(
            [
                self._template_of(len(r[2]), len(r[3])) % (s, r[3], r[2], r[1])
                for s, r in zip(sequences, batch, strict=True)
            ]
        )

    def _template_of(self, source_bytes: int, destination_bytes: int) -> bytes:
        shape = (source_bytes, destination_bytes)
        template = self._templates.get(shape)
        if template is None:
            template = self._templates[shape] = self._template(*shape)
        return template

    def _template(self, source_bytes: int, destination_bytes: int) -> bytes:
        delivered = b"001" if self._state == b"DELIVRD" else b"000"
        text = b" sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%b text:Your code is 271828." % (
            delivered,
            self._date,
            self._date,
            self._state,
            self._error,
        )
        text_bytes = len(b"id:") + 10 + len(text)
        fixed = b"\x04\0\0\0\0\0\0\0\0" + bytes((text_bytes,)) + b"id:"
        length = 16 + 3 + destination_bytes + 1 + 2 + source_bytes + 1 + 10 + text_bytes
        head = struct.pack(">III", length, DELIVER_SM, 0)
        return _escaped(head) + b"%b" + b"\0\x01\x01%b\0\x01\x01%b\0" + _escaped(fixed) + b"%010d" + _escaped(text)

"""What a handset sent: its part of a long message, and its text.

Parts of a long message are marked in one of two ways: in a user data header (3GPP TS 23.040 sections 9.2.3.24.1 and
9.2.3.24.8), or with the optional parameters sar_msg_ref_num, sar_total_segments and sar_segment_seqnum (SMPP 3.4
sections 5.3.2.22 to 24).
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from relay.smpp.message_codec import message_octets, tlv_values
from relay.text import gsm0338
from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu

_SHORT_REFERENCE, _LONG_REFERENCE = 0x00, 0x08
#: References of the three kinds are told apart: they are counted independently.
_KIND: Final = 1 << 16
_SHORT, _LONG, _SAR = 0, 1, 2

#: A short_message holds no more (SMPP 3.4 section 3.2.3), and a part is shorter when a handset sends it.
_MOST_PART_OCTETS: Final = 255

#: Alphabets of data_coding (SMPP 3.4 section 5.2.19).
_LATIN_1: Final = 3
_UCS2: Final = 8
_GSM: Final = frozenset({0, 1})
_WITH_CLASS: Final[Mapping[int, Literal["gsm", "ucs2"]]] = {0: "gsm", 2: "ucs2"}


class HandsetPart(msgspec.Struct, frozen=True, gc=False):
    """What one deliver_sm says.

    :ivar reference: ties the parts of a long message together.
    :ivar count: how many parts the message has; 1 if it is no long message.
    :ivar number: which part it is, from 1.
    :ivar header: the user data header with its length octet; b"": there is none.
    :ivar octets: what follows the header.
    """

    reference: int
    count: int
    number: int
    header: bytes
    octets: bytes


def read_part(pdu: MessagePdu) -> HandsetPart:
    """What a deliver_sm or data_sm says. A mark that makes no sense is none: part 3 of 2, or a part of 1,000 octets."""
    octets = message_octets(pdu)
    may_be_part = len(octets) <= _MOST_PART_OCTETS
    header = b""
    place = None
    if pdu.esm_class & c.ESM_CLASS_UDHI and octets:
        header, octets = octets[: octets[0] + 1], octets[octets[0] + 1 :]
        place = _place_in_header(header)
    if place is None and pdu.tlvs_at < len(pdu.body):
        place = _place_in_parameters(pdu)
    if place is not None:
        reference, count, number = place
        if may_be_part and count > 1 and 1 <= number <= count:
            return HandsetPart(reference, count, number, header, octets)
    return HandsetPart(0, 1, 1, header, octets)


def _place_in_header(header: bytes) -> tuple[int, int, int] | None:
    at = 1
    while at + 2 <= len(header):
        kind, size = header[at], header[at + 1]
        value = header[at + 2 : at + 2 + size]
        if kind == _SHORT_REFERENCE and len(value) == 3:
            return value[0] + _SHORT * _KIND, value[1], value[2]
        if kind == _LONG_REFERENCE and len(value) == 4:
            return int.from_bytes(value[:2]) + _LONG * _KIND, value[2], value[3]
        at += 2 + size
    return None


def without_place(header: bytes) -> bytes:
    """The user data header without what ties the parts of a long message together: ports, for instance, stay.

    b"": nothing is left of it. An element that is cut off is left out.
    """
    left = b""
    at = 1
    while at + 2 <= len(header):
        kind, size = header[at], header[at + 1]
        if kind not in (_SHORT_REFERENCE, _LONG_REFERENCE) and at + 2 + size <= len(header):
            left += header[at : at + 2 + size]
        at += 2 + size
    return bytes((len(left),)) + left if left else b""


def _place_in_parameters(pdu: MessagePdu) -> tuple[int, int, int] | None:
    values = tlv_values(pdu.body, pdu.tlvs_at)
    reference = values.get(c.TAG_SAR_MSG_REF_NUM)
    count = values.get(c.TAG_SAR_TOTAL_SEGMENTS)
    number = values.get(c.TAG_SAR_SEGMENT_SEQNUM)
    if not reference or not count or not number:
        return None
    return int.from_bytes(reference[:2]) + _SAR * _KIND, count[0], number[0]


def alphabet_of(data_coding: int) -> Literal["gsm", "latin1", "ucs2", ""]:
    """The alphabet of a message; "": it is no text, or in an alphabet that this relay doesn't know."""
    if data_coding in _GSM:
        return "gsm"
    if data_coding == _LATIN_1:
        return "latin1"
    if data_coding == _UCS2:
        return "ucs2"
    if data_coding >> 4 == 0xF:
        # 3GPP TS 23.038 section 4: bit 2 says whether it is data.
        return "" if data_coding & 4 else "gsm"
    if data_coding >> 4 in (1, 5):
        # With a message class: bits 3 and 2 name the alphabet.
        return _WITH_CLASS.get(data_coding >> 2 & 3, "")
    return ""


def text_of(octets: bytes, data_coding: int) -> str | None:
    """The text of a message; None if it is no text, or in an alphabet that this relay doesn't know."""
    match alphabet_of(data_coding):
        case "gsm":
            return gsm0338.decode(octets)
        case "latin1":
            return octets.decode("latin-1")
        case "ucs2":
            return octets.decode("utf-16-be", "replace")
        case _:
            return None

"""Makes the parts of a message from ready-made octets, with the user data headers and SMPP fields of the customer.

Customers use it if they set a data_coding, a header or a protocol_id themselves. For a message that is only a text, the
relay uses `relay.text.compose`.
"""

from typing import Final

import msgspec

from relay.smpp.message_codec import decode_message, message_body, message_octets, tlv
from relay.text import compose, gsm0338
from relay.values import smpp_constants as c

#: A part can have 140 octets. These hold 160 septets of the GSM alphabet.
PART_OCTETS: Final = 140
PART_SEPTETS: Final = 160
#: The information element that ties parts together: its id, its length, the reference, the number of parts, and the
#: number of this part.
_CONCATENATION_OCTETS: Final = 5

ESM_CLASS_REPLY_PATH: Final = 0x80


class PduFields(msgspec.Struct, frozen=True):
    """Holds the fields of a submit_sm that a customer may set. The defaults are those of a plain text.

    :ivar reply_path: asks the carrier for a reply path (esm_class 0x80).
    :ivar tlvs: optional parameters, encoded as TLVs.
    """

    protocol_id: int = 0
    priority_flag: int = 0
    service_type: bytes = b""
    reply_path: bool = False
    tlvs: bytes = b""


#: No field set.
PLAIN: Final = PduFields()


def compose_octets(
    addresses: bytes, octets: bytes, data_coding: int, *, septets: bool, pairs: bool, udh: bytes, reference: int
) -> tuple[bytes, ...]:
    """Makes the submit_sm bodies of a message from its octets: several parts if one can't hold them.

    :param addresses: as in `MessagePdu.addresses`.
    :param septets: true: each octet is a septet of the GSM alphabet, and a part holds 160 of them.
    :param pairs: true: the octets are UTF-16, so no cut goes through an octet pair or a surrogate pair.
    :param udh: the user data header for each part, with its length octet; b"" for no header.
    :param reference: ties the parts together on the handset. Use the next number for each message.
    :raises InvalidText: the header is wrong, or the message needs more than 255 parts.
    """
    if udh and udh[0] != len(udh) - 1:
        raise compose.InvalidText("udh", f"Its first octet says {udh[0]} octets follow; there are {len(udh) - 1}.")
    pieces = segments(octets, septets=septets, pairs=pairs, udh=udh, reference=reference)
    return tuple(
        message_body(
            addresses=addresses,
            short_message=piece,
            esm_class=c.ESM_CLASS_UDHI if udh or len(pieces) > 1 else 0,
            data_coding=data_coding,
        )
        for piece in pieces
    )


def segments(octets: bytes, *, septets: bool, pairs: bool, udh: bytes, reference: int) -> list[bytes]:
    """Cuts octets into the parts of a long message. Each has the elements of the header, such as ports, and its place.

    The arguments are those of `compose_octets`. What fits into one part is returned with its header, and without a
    place.

    :raises InvalidText: as `compose_octets`.
    """
    if len(octets) <= _room(len(udh), septets):
        return [udh + octets]
    header_octets = (len(udh) or 1) + _CONCATENATION_OCTETS
    size = _room(header_octets, septets)
    if pairs:
        size -= size % 2
    if size < 2:
        raise compose.InvalidText("udh", f"It has {len(udh)} octets, which leave no room for a message in parts.")
    pieces = _pieces(octets, size, septets=septets, pairs=pairs)
    if len(pieces) > compose.MAX_PARTS:
        raise compose.InvalidText("text", f"It needs {len(pieces)} parts; a message has {compose.MAX_PARTS} at most.")
    head = bytes((header_octets - 1,)) + udh[1:] + bytes((0, 3, reference & 0xFF, len(pieces)))
    return [head + bytes((number,)) + piece for number, piece in enumerate(pieces, 1)]


def _room(header_octets: int, septets: bool) -> int:
    if septets:
        return PART_SEPTETS - (header_octets * 8 + 6) // 7
    return PART_OCTETS - header_octets


def _pieces(octets: bytes, size: int, *, septets: bool, pairs: bool) -> list[bytes]:
    pieces: list[bytes] = []
    start = 0
    while start < len(octets):
        end = start + size
        if end < len(octets):
            if pairs and 0xD8 <= octets[end - 2] <= 0xDB:
                end -= 2
            elif septets and octets[end - 1] == gsm0338.ESCAPE:
                end -= 1
        # If the octets are only escapes or only halves of pairs, then no place for a cut is better than this one.
        if end <= start:
            end = start + size
        pieces.append(octets[start:end])
        start = end
    return pieces


def with_fields(body: bytes, fields: PduFields, data_coding: int | None = None) -> bytes:
    """Returns a copy of a submit_sm body with these fields. `compose_octets` or `relay.text.compose` made the body.

    :param data_coding: the new data_coding; None keeps that of the body.
    :raises CodecError: `body` is no submit_sm body.
    """
    pdu = decode_message(c.SUBMIT_SM, 0, body)
    payload = b"" if pdu.short_message else message_octets(pdu)
    return message_body(
        addresses=pdu.addresses,
        short_message=pdu.short_message,
        esm_class=pdu.esm_class | (ESM_CLASS_REPLY_PATH if fields.reply_path else 0),
        protocol_id=fields.protocol_id,
        priority_flag=fields.priority_flag,
        service_type=fields.service_type,
        data_coding=pdu.data_coding if data_coding is None else data_coding,
        tlvs=tlv(c.TAG_MESSAGE_PAYLOAD, payload) + fields.tlvs if payload else fields.tlvs,
    )


def vendor_tlv(tag: int, value: bytes) -> bytes:
    """Encodes an optional parameter that a vendor has defined.

    :raises InvalidText: SMPP 3.4 (section 5.3.2) doesn't leave the tag to vendors, or the value is too long.
    """
    if not 0x1400 <= tag <= 0x3FFF:
        raise compose.InvalidText("custom_tlvs", f"Tag 0x{tag:04X} is not a vendor's: those are 0x1400 to 0x3FFF.")
    if len(value) > 1024:
        raise compose.InvalidText("custom_tlvs", f"A value has {len(value)} octets; 1024 are allowed.")
    return tlv(tag, value)

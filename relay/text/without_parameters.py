"""Writes a deliver_sm for peers of SMPP 3.3, which has no optional parameters: no message_payload, no sar_* parameters.

A long message is cut into parts with user data headers. Each part also has the other elements of the message's header,
such as the ports of an application. The parts of the same message are always the same, so one that is sent again does
not look like another message.
"""

from zlib import crc32

from relay.smpp.message_codec import MAX_SHORT_MESSAGE_OCTETS, decode_message, message_body
from relay.text.compose import InvalidText
from relay.text.from_handsets import alphabet_of, read_part, without_place
from relay.text.raw_parts import segments
from relay.values.pdus import MessagePdu
from relay.values.smpp_constants import DELIVER_SM, ESM_CLASS_UDHI


def without_parameters(body: bytes) -> list[bytes]:
    """Returns the bodies of the deliver_sm that say the same without optional parameters, in order.

    What can't be said so, because it needs more than 255 parts, is returned as it is.

    :param body: the body of a deliver_sm.
    :raises CodecError: it is none.
    """
    pdu = decode_message(DELIVER_SM, 0, body)
    if pdu.tlvs_at >= len(body):
        return [body]
    part = read_part(pdu)
    header = without_place(part.header)
    if part.count > 1:
        # The place was in sar_* parameters or in the header. Of a reference of two octets, the lower one must do.
        element = bytes((0, 3, part.reference & 0xFF, part.count, part.number))
        header = bytes(((len(header) or 1) + len(element) - 1,)) + header[1:] + element
    if len(header) + len(part.octets) <= MAX_SHORT_MESSAGE_OCTETS:
        return [_deliver_sm(pdu, header + part.octets, udhi=bool(header))]
    alphabet = alphabet_of(pdu.data_coding)
    try:
        pieces = segments(
            part.octets,
            septets=alphabet == "gsm",
            pairs=alphabet == "ucs2",
            udh=header,
            reference=crc32(body),
        )
    except InvalidText:
        return [body]
    return [_deliver_sm(pdu, piece, udhi=True) for piece in pieces]


def _deliver_sm(pdu: MessagePdu, octets: bytes, *, udhi: bool) -> bytes:
    return message_body(
        addresses=pdu.addresses,
        short_message=octets,
        esm_class=pdu.esm_class | ESM_CLASS_UDHI if udhi else pdu.esm_class & ~ESM_CLASS_UDHI,
        protocol_id=pdu.protocol_id,
        priority_flag=pdu.priority_flag,
        registered_delivery=pdu.registered_delivery,
        data_coding=pdu.data_coding,
        service_type=pdu.service_type,
    )

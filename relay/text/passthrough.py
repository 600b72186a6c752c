"""Sends parts from one relay to another over HTTP without changing their octets.

Theory of operation: a relay's queue has submit_sm bodies, and another relay's API takes texts. A part is sent as text
if the other relay will make exactly the same octets of that text. Any other part (one with a header before the text,
8-bit data, or another alphabet) is sent as octets: data_coding, user data header and payload. The other fields of the
submit_sm (service_type, protocol_id, priority_flag, vendors' TLVs) are not sent.
"""

from typing import NamedTuple

from relay.smpp.message_codec import MAX_SHORT_MESSAGE_OCTETS, decode_message, message_body, message_octets, tlv
from relay.text import compose
from relay.text.text_form import DATA_CODING_DEFAULT, DATA_CODING_UCS2
from relay.values import smpp_constants as c
from relay.values.messages import destination_of, source_of

#: 255 parts of 140 octets. A handset can't put a longer message together.
MAX_OCTETS = 35_700
#: The longest text that the API accepts.
MAX_CHARACTERS = 10_000
_INTERNATIONAL = 1


class RawPart(NamedTuple):
    """A part as it is sent over HTTP. If `text` is None, the part is sent as `data_coding`, `udh` and `payload`."""

    to: str
    sender: str
    text: str | None
    data_coding: int
    udh: bytes
    payload: bytes


def read_part(body: bytes) -> RawPart:
    """Reads a submit_sm body.

    :raises CodecError: the octets aren't a submit_sm body.
    """
    pdu = decode_message(c.SUBMIT_SM, 0, body)
    octets = message_octets(pdu)
    udh = b""
    if pdu.esm_class & c.ESM_CLASS_UDHI and octets:
        udh = octets[: octets[0] + 1]
    payload = octets[len(udh) :]
    words = None if udh else _as_text(payload, pdu.data_coding)
    return RawPart(
        _address(pdu.addresses[pdu.addresses.index(0, 2) + 1], destination_of(pdu.addresses)),
        _address(pdu.addresses[0], source_of(pdu.addresses)),
        words,
        pdu.data_coding,
        udh,
        payload,
    )


def compose_raw(
    source: str, destination: str, *, data_coding: int, udh: bytes, payload: bytes, tlvs: bytes = b""
) -> tuple[bytes, tuple[bytes, ...]]:
    """Makes the addresses and the one submit_sm body of a part that came as octets. The body asks for a receipt.

    :raises compose.InvalidText: the addresses can't be sent, or the octets aren't a message.
    """
    if udh and udh[0] != len(udh) - 1:
        raise compose.InvalidText("udh", f"Its first octet says {udh[0]} octets follow; there are {len(udh) - 1}.")
    octets = udh + payload
    if len(octets) > MAX_OCTETS:
        raise compose.InvalidText(
            "payload", f"{len(octets)} octets with the header; a message has {MAX_OCTETS} at most."
        )
    addresses = compose.source_address(source) + compose.destination_address(destination)
    short = len(octets) <= MAX_SHORT_MESSAGE_OCTETS
    body = message_body(
        addresses=addresses,
        short_message=octets if short else b"",
        esm_class=c.ESM_CLASS_UDHI if udh else 0,
        data_coding=data_coding,
        tlvs=tlvs if short else tlv(c.TAG_MESSAGE_PAYLOAD, octets) + tlvs,
    )
    return addresses, (body,)


def _as_text(octets: bytes, data_coding: int) -> str | None:
    """The text of which the API would make exactly these octets; None if there is no such text."""
    if not octets or data_coding not in (DATA_CODING_DEFAULT, DATA_CODING_UCS2):
        return None
    words = compose.decode(octets, data_coding)
    if len(words) > MAX_CHARACTERS:
        return None
    try:
        return words if compose.encode(words) == (octets, data_coding) else None
    except compose.InvalidText:
        return None


def _address(type_of_number: int, octets: bytes) -> str:
    plus = "+" if type_of_number == _INTERNATIONAL and octets.isdigit() else ""
    return plus + octets.decode("latin-1")

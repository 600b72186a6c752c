"""Nearly correct SMPP PDUs, as the octets of whole connections."""

import random
import struct

from relay.values import smpp_constants as c
from tests.fakes import bind_body, pdu, submit_body
from tests.fuzz.mutations import mutated

SYSTEM_ID = "acme"
PASSWORD = "secret08"

#: Commands that the relay's own tables may not have: named here by number (SMPP 3.4 and 5.0).
_SUBMIT_MULTI, _REPLACE_SM, _OUTBIND, _ALERT = 0x21, 0x07, 0x0B, 0x102
_BROADCAST_SM, _QUERY_BROADCAST_SM = 0x111, 0x112

_TLVS = (
    struct.pack(">HH", 0x0424, 5) + b"hello",
    struct.pack(">HH", 0x0424, 0xFFFF) + b"x",
    struct.pack(">HH", 0x0424, 0),
    struct.pack(">HHH", 0x020C, 2, 7) + struct.pack(">HHB", 0x020E, 1, 2) + struct.pack(">HHB", 0x020F, 1, 9),
    struct.pack(">HH", 0x001E, 65) + b"7" * 64 + b"\0",
    struct.pack(">HHB", 0x0427, 1, 2),
    struct.pack(">HH", 0x1400, 3) + b"abc",
    struct.pack(">HH", 0xFFFF, 0),
    struct.pack(">H", 0x0424),
)

_SUBMIT = submit_body("447700900001")
_LONG = submit_body("447700900001", b"y" * 254)
_UDH = submit_body("447700900001", b"\x05\0\x03\x07\x02\x01part", esm_class=0x40)
_TIMED = _SUBMIT.replace(b"\0\0\0\0\0\x01", b"\0\0\x00000010000000000R\0\x01", 1)
_DATA = b"\0\x01\x01447700\0\x01\x01447700900001\0\0\x01\0" + _TLVS[0]
_QUERY = b"72b83667-a8f1-4c09-861f-e1ee6dd4561b\0\x01\x01447700\0"
_RECEIPT_TEXT = b"id:1 sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:"

#: A body for every command: those that a customer sends, and all others.
BODIES: tuple[tuple[int, bytes], ...] = (
    (c.BIND_TRANSMITTER, bind_body(SYSTEM_ID, PASSWORD)),
    (c.BIND_RECEIVER, bind_body(SYSTEM_ID, PASSWORD)),
    (c.BIND_TRANSCEIVER, bind_body(SYSTEM_ID, PASSWORD)),
    (c.SUBMIT_SM, _SUBMIT),
    (c.SUBMIT_SM, _SUBMIT),
    (c.SUBMIT_SM, _LONG),
    (c.SUBMIT_SM, _UDH),
    (c.SUBMIT_SM, _TIMED),
    (c.SUBMIT_SM, _SUBMIT + b"".join(_TLVS)),
    (c.SUBMIT_SM, _SUBMIT + struct.pack(">HH", 0x0424, 20_000) + b"z" * 20_000),
    (c.DATA_SM, _DATA),
    (c.DATA_SM, _DATA + b"".join(_TLVS)),
    (c.QUERY_SM, _QUERY),
    (c.CANCEL_SM, b"\0" + _QUERY + b"\x01\x01447700900001\0"),
    (_REPLACE_SM, _QUERY + b"\0\0\x01\0\x05hello"),
    (_SUBMIT_MULTI, b"\0\x01\x01447700\0\x02\x01\x01\x01447700900001\0\x02list\0" + _SUBMIT[-10:]),
    (_OUTBIND, b"smsc\0secret\0"),
    (_ALERT, b"\x01\x01447700\0\x01\x01447701\0"),
    (_BROADCAST_SM, _SUBMIT),
    (_QUERY_BROADCAST_SM, _QUERY),
    (c.DELIVER_SM, _SUBMIT + _RECEIPT_TEXT),
    (c.ENQUIRE_LINK, b""),
    (c.ENQUIRE_LINK, b"surplus"),
    (c.UNBIND, b""),
    (c.GENERIC_NACK, b""),
    (c.SUBMIT_SM_RESP, b"12345\0"),
    (c.DELIVER_SM_RESP, b"\0"),
    (c.DELIVER_SM_RESP, b"x" * 500),
    (c.ENQUIRE_LINK_RESP, b""),
    (c.UNBIND | c.RESPONSE_BIT, b""),
    (c.BIND_TRANSCEIVER | c.RESPONSE_BIT, b"relay\0"),
    (c.QUERY_SM | c.RESPONSE_BIT, _QUERY),
    (0x00000000, b""),
    (0x00010200, b"vendor"),
    (0xFFFFFFFF, b""),
)
_SEQUENCE_NUMBERS = (0, 1, 2, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def one_pdu(choice: random.Random) -> bytes:
    """A PDU of any command, with its header, its body, both or neither wrong."""
    command_id, body = choice.choice(BODIES)
    how = choice.randrange(6)
    if how >= 2:
        body = mutated(body, choice, _TLVS)
    number = choice.choice((choice.randrange(1, 1 << 16), choice.choice(_SEQUENCE_NUMBERS)))
    octets = pdu(command_id, body, sequence_number=number, command_status=choice.choice((0, 0, 0, 1, 0xFFFFFFFF)))
    if how == 5:
        # Now command_length may lie, too, and what follows in the stream is read from the middle of something.
        octets = mutated(octets, choice, _TLVS)
    return octets


def one_connection(choice: random.Random) -> bytes:
    """What one connection sends, most often after a bind that is accepted."""
    bind = choice.choice((c.BIND_TRANSCEIVER, c.BIND_TRANSCEIVER, c.BIND_TRANSMITTER, c.BIND_RECEIVER, 0))
    first = pdu(bind, bind_body(SYSTEM_ID, PASSWORD), sequence_number=1) if bind else b""
    return first + b"".join(one_pdu(choice) for _ in range(choice.choice((1, 3, 10, 40))))

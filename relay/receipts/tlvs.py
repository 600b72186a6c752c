"""Reads the optional parameters of receipts, also with the mistakes that some carriers make.

Theory of operation: `tlv_values` reads all parameters that are well formed. This module corrects two frequent mistakes
in the length of receipted_message_id, which is a C-octet string. Either the length doesn't count the NUL at its end, or
it counts a NUL that isn't there. Both shift all later parameters by one octet, and message_state would be lost. The
length is corrected only if two things are true. The plain reading runs over the end of the body, or stops before it.
The corrected reading finds message_state, and ends exactly where the body ends.
"""

from struct import Struct
from typing import Final

from relay.smpp.message_codec import tlv_values
from relay.values import smpp_constants as c

_head: Final = Struct(">HH")


#: How many NULs are skipped after an id.
_NULS: Final = 4


def receipt_tlvs(body: bytes, tlvs_at: int) -> dict[int, bytes]:
    """All optional parameters by tag; of each tag, the first. It never raises.

    Padding is skipped. A parameter that runs over the end of the body is left out. Wrong lengths of
    receipted_message_id are corrected.
    """
    values = tlv_values(body, tlvs_at)
    tlv_id = values.get(c.TAG_RECEIPTED_MESSAGE_ID)
    if tlv_id is None or c.TAG_MESSAGE_STATE in values or ends_even(body, tlvs_at):
        return values
    id_at = _first(body, tlvs_at, c.TAG_RECEIPTED_MESSAGE_ID)
    after = id_at + 4 + len(tlv_id)
    nuls = len(body[after : after + _NULS]) - len(body[after : after + _NULS].lstrip(b"\0"))
    for shift in (*range(1, nuls + 1), -1):
        rest = tlv_values(body, after + shift)
        if c.TAG_MESSAGE_STATE in rest and ends_even(body, after + shift):
            mended_id = tlv_id[:-1] if shift < 0 else tlv_id
            return {**rest, **tlv_values(body[:id_at], tlvs_at), c.TAG_RECEIPTED_MESSAGE_ID: mended_id}
    return values


def ends_even(body: bytes, at: int) -> bool:
    """Whether the parameters from `at` on end exactly where the body ends. NULs at the end don't count."""
    while at + 4 <= len(body):
        tag, length = _head.unpack_from(body, at)
        at += 1 if tag == 0 else 4 + length
    return at <= len(body) and not body[at:].strip(b"\0")


def _first(body: bytes, at: int, wanted: int) -> int:
    """The offset of the first parameter with this tag. There must be one."""
    while True:
        tag, length = _head.unpack_from(body, at)
        if tag == wanted:
            return at
        at += 1 if tag == 0 else 4 + int(length)

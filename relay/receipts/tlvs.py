"""The optional parameters of receipts, read as some carriers write them.

Theory of operation: everything that is well formed is read by `tlv_values`. Two mistakes are common enough to be
mended, both in the length of receipted_message_id, which is a C-octet string: the length doesn't count the NUL that
follows, or counts one that isn't there. Either puts all that follows out of step by one octet, and message_state is
lost. A mended reading is taken only where the plain one runs over the end of the body, or stops short of it, and the
mended one finds message_state and comes out even.
"""

from struct import Struct
from typing import Final

from relay.smpp.message_codec import tlv_values
from relay.values import smpp_constants as c

_head: Final = Struct(">HH")


#: NULs that are skipped behind an id.
_NULS: Final = 4


def receipt_tlvs(body: bytes, tlvs_at: int) -> dict[int, bytes]:
    """All optional parameters by tag, the first of each.

    Lenient: padding is skipped, a parameter that runs over the end is left out, and see the module's text. Never
    raises.
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
    """Whether the parameters from here on end where the body does, but for NULs."""
    while at + 4 <= len(body):
        tag, length = _head.unpack_from(body, at)
        at += 1 if tag == 0 else 4 + length
    return at <= len(body) and not body[at:].strip(b"\0")


def _first(body: bytes, at: int, wanted: int) -> int:
    """Where the first parameter with this tag begins; there is one."""
    while True:
        tag, length = _head.unpack_from(body, at)
        if tag == wanted:
            return at
        at += 1 if tag == 0 else 4 + int(length)

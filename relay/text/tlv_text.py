"""Optional parameters as people write them: a tag such as 0x1400, and a value in hexadecimal."""

import re
from collections.abc import Mapping
from typing import Final

from relay.smpp.message_codec import tlv
from relay.values import smpp_constants as c

#: Those that the relay writes itself, or that only receipts have.
_NOT_FREE: Final = {
    c.TAG_RECEIPTED_MESSAGE_ID, c.TAG_SAR_MSG_REF_NUM, c.TAG_SAR_TOTAL_SEGMENTS, c.TAG_SAR_SEGMENT_SEQNUM,
    c.TAG_NETWORK_ERROR_CODE, c.TAG_MESSAGE_PAYLOAD, c.TAG_MESSAGE_STATE,
}  # fmt: skip
#: Of one message: as many parameters, and as many octets of values.
MOST: Final = 16
MOST_OCTETS: Final = 1_024

_tag = re.compile(r"0[xX]([0-9A-Fa-f]{1,4})|([0-9]{1,5})").fullmatch
_value = re.compile(r"([0-9A-Fa-f]{2})*").fullmatch


def read_tag(text: str) -> int:
    """The tag that a text names.

    :raises ValueError: it names none that may be given; the text says why.
    """
    found = _tag(text)
    tag = 0 if found is None else int(found[1], 16) if found[1] else int(found[2])
    if not 0 < tag <= 0xFFFF:
        raise ValueError(f"{text[:20]!r} is no tag of an optional parameter: expected one such as 0x1400")
    if tag in _NOT_FREE:
        raise ValueError(f"the optional parameter 0x{tag:04X} is written by the relay, or by carriers in receipts")
    return tag


def read_tlvs(texts: Mapping[str, str]) -> dict[int, bytes]:
    """The optional parameters of a message, by tag.

    :param texts: tags and their values in hexadecimal.
    :raises ValueError: one can't be read, or they are too many or too long.
    """
    found: dict[int, bytes] = {}
    for name, text in texts.items():
        tag = read_tag(name)
        if tag in found:
            raise ValueError(f"the optional parameter 0x{tag:04X} stands there twice")
        if _value(text) is None:
            raise ValueError(f"the value of {name} is not in hexadecimal, two digits an octet")
        found[tag] = bytes.fromhex(text)
    if len(found) > MOST or sum(map(len, found.values())) > MOST_OCTETS:
        raise ValueError(f"{MOST} optional parameters with {MOST_OCTETS} octets altogether are allowed")
    return found


def write_tlvs(parameters: Mapping[int, bytes]) -> bytes:
    """Optional parameters as they stand in a body."""
    return b"".join(tlv(tag, value) for tag, value in parameters.items())

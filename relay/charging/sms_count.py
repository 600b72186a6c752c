"""Counts the SMS of a message, because each costs."""

from collections.abc import Sequence
from typing import Final

from relay.text.compose import GSM_SEPTETS_A_PART, GSM_SEPTETS_ALONE, OCTETS_A_PART, OCTETS_ALONE
from relay.text.passthrough import read_part

#: A body of so few octets has one SMS, whatever it holds.
_ALWAYS_ONE: Final = OCTETS_ALONE


def segments(bodies: Sequence[bytes]) -> int:
    """How many SMS a handset gets of a message.

    :param bodies: the message's submit_sm bodies. If there is only one, it may hold a long text, which the carrier cuts
        (message_payload).
    """
    if len(bodies) != 1:
        return len(bodies)
    if len(bodies[0]) <= _ALWAYS_ONE:
        return 1
    part = read_part(bodies[0])
    octets = len(part.payload)
    if _is_gsm(part.data_coding):
        # The header takes the room of whole septets.
        header = (8 * len(part.udh) + 6) // 7
        alone, each = GSM_SEPTETS_ALONE, GSM_SEPTETS_A_PART
    else:
        header, alone, each = len(part.udh), OCTETS_ALONE, OCTETS_A_PART
    return 1 if header + octets <= alone else -(-octets // each)


def _is_gsm(data_coding: int) -> bool:
    """Whether it says that the text has the carrier's default alphabet, of seven bits (3GPP TS 23.038, section 4)."""
    return data_coding & 0xEC == 0 or data_coding & 0xF4 == 0xF0

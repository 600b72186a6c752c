"""Masks phone numbers, for the log and for traces."""

import re
from typing import Final

_LAST_TWO_DIGITS: Final = re.compile(r"\d\D*\d(?=\D*$)|\d(?=\D*$)")


def masked(number: str) -> str:
    """The number with its last two digits as `x`: +4477009001 -> +44770090xx."""
    return _LAST_TWO_DIGITS.sub(lambda found: re.sub(r"\d", "x", found[0]), number)

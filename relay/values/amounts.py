"""Amounts of money: decimal text for people, and whole millionths of the currency inside. Never floats."""

import re
from typing import Final

#: Millionths of one unit of the currency.
UNIT: Final = 1_000_000
#: No amount is larger, so that the sum of many still fits into 64 bits.
MOST: Final = 10**9 * UNIT
#: What amounts in the configuration and in requests look like.
AMOUNT_PATTERN: Final = r"^[0-9]{1,9}([.][0-9]{1,6})?$"

_written = re.compile(r"(-?)([0-9]{1,9})(?:[.]([0-9]{1,6}))?", re.ASCII).fullmatch


def amount_of(text: str) -> int:
    """The millionths in a decimal text such as `0.035` or `-12`.

    :raises ValueError: it is no such text.
    """
    match = _written(text)
    if match is None:
        raise ValueError(f"{text[:50]!r} is no amount; write one such as 12.50, with at most six decimals")
    sign, whole, decimals = match.groups()
    amount = int(whole) * UNIT + int((decimals or "").ljust(6, "0"))
    return -amount if sign else amount


def amount_text(millionths: int) -> str:
    """An amount as decimal text, with at least two decimals: `0.035`, `12.00`, `-0.50`."""
    whole, rest = divmod(abs(millionths), UNIT)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if millionths < 0 else ''}{whole}.{decimals}"

"""Converts the text of one YAML scalar to the type of its key.

YAML 1.1's own types don't count. `on` is a boolean only if the key wants one, and a key that wants text takes `12` as
text.
"""

import math
import re
from typing import Any, Final

from msgspec import inspect

from relay.config.schema import expectation
from relay.values.secret import Secret

_TRUE: Final = frozenset({"true", "yes", "on"})
_FALSE: Final = frozenset({"false", "no", "off"})
#: Larger floats can't represent every integer.
_EXACT: Final = 2.0**53


class Unreadable(Exception):
    """A value doesn't fit its key. The text says why, and doesn't repeat the value."""


def convert(text: str, target: inspect.Type) -> Any:
    """Converts a text to the type `target`.

    :raises Unreadable: the text doesn't fit the type, or is out of its bounds.
    """
    match target:
        case inspect.StrType():
            return _as_text(text, target)
        case inspect.CustomType():
            return Secret(text)
        case inspect.LiteralType():
            if text not in target.values:
                raise Unreadable(f"expected {expectation(target)}")
            return text
        case inspect.BoolType():
            if text.lower() not in _TRUE | _FALSE:
                raise Unreadable("expected true or false")
            return text.lower() in _TRUE
        case inspect.IntType():
            return _within(_as_integer(text, target), target)
        case inspect.FloatType():
            return _within(_as_number(text, target), target)
    raise TypeError(f"no reading for {target}")


def _as_text(text: str, target: inspect.StrType) -> str:
    length = len(text)
    if (
        length < (target.min_length or 0)
        or (target.max_length is not None and length > target.max_length)
        or (target.pattern is not None and re.fullmatch(target.pattern, text) is None)
    ):
        raise Unreadable(f"expected {expectation(target)}")
    return text


def _as_integer(text: str, target: inspect.IntType) -> int:
    try:
        return int(text, 0)
    except ValueError:
        number = _as_number(text, target)
        # 1e6 and 5.0 are accepted as integers. 010 is refused, because some people mean ten and others eight.
        if not number.is_integer() or abs(number) > _EXACT or text.lstrip("+-0123456789_") == "":
            raise Unreadable(f"expected {expectation(target)}") from None
        return int(number)


def _as_number(text: str, target: inspect.Type) -> float:
    try:
        number = float(text)
    except ValueError:
        raise Unreadable(f"expected {expectation(target)}") from None
    if not math.isfinite(number):
        raise Unreadable(f"expected {expectation(target)}")
    return number


def _within(number: Any, target: inspect.IntType | inspect.FloatType) -> Any:
    if (
        (target.ge is not None and number < target.ge)
        or (target.gt is not None and number <= target.gt)
        or (target.le is not None and number > target.le)
        or (target.lt is not None and number >= target.lt)
    ):
        raise Unreadable(f"expected {expectation(target)}")
    return number

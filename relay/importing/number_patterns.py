"""Reads the regular expressions of filters, as far as they are beginnings of numbers or first words.

Operators write patterns such as `^44`, `^\\+?(44|49)\\d*$` or `^STOP`. A route has beginnings of numbers instead, and a
rule a word. Patterns that say more are not converted.
"""

import re
from typing import Final

from relay.importing.imported import Unsuitable

#: A pattern that matches what begins with digits: an optional plus, digits or a choice of digits, and then anything.
_NUMBER: Final = re.compile(
    r"\^?(?:\\\+\??|\+)?(?P<digits>\d+|\((?:\?:)?\d+(?:\|\d+)*\))(?P<rest>(?:\.|\\d|\[0-9\])[*+]|)(?P<end>\$?)"
)
_ANYTHING: Final = frozenset({"", "^", ".*", "^.*", ".*$", "^.*$"})
_WORD: Final = re.compile(r"\^?(?P<word>\w+)(?:\.\*)?\$?", re.ASCII)


def matches_all(pattern: str) -> bool:
    """Whether a pattern matches every text."""
    return pattern in _ANYTHING


def beginnings_of(pattern: str) -> list[str]:
    """Returns the beginnings of the numbers that a pattern matches; [""] if it matches all numbers.

    Patterns are matched at the beginning of a number, also without `^`.

    :raises Unsuitable: the pattern says something else.
    """
    if matches_all(pattern):
        return [""]
    found = _NUMBER.fullmatch(pattern)
    if found is None or (found["end"] and not found["rest"]):
        raise Unsuitable(f"the pattern {pattern!r} is not a beginning of numbers")
    return found["digits"].strip("()?:").split("|")


def number_of(pattern: str) -> str:
    """Returns the number of an inbound rule: a whole number, or a beginning with a star; "" for all numbers.

    :raises Unsuitable: the pattern says something else.
    """
    if matches_all(pattern):
        return ""
    found = _NUMBER.fullmatch(pattern)
    if found is None or not found["digits"].isdigit():
        raise Unsuitable(f"the pattern {pattern!r} is not a number or the beginning of numbers")
    return found["digits"] if found["end"] and not found["rest"] else found["digits"] + "*"


def word_of(pattern: str) -> str:
    """Returns the keyword of an inbound rule; "" for all words.

    :raises Unsuitable: the pattern says something else.
    """
    if matches_all(pattern):
        return ""
    found = _WORD.fullmatch(pattern)
    if found is None:
        raise Unsuitable(f"the pattern {pattern!r} is not the beginning of a word")
    return found["word"] + "*"

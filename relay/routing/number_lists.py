"""Looks numbers up in lists from files: the relay refuses opt-outs, and gives ported numbers a tag.

Theory of operation: a sorted array of 64-bit integers holds all numbers of the same length, with eight octets for each
number. A look-up does one binary search for each length in the list. The list has each tag once, and a number has the
index of its tag.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

#: The most digits of a number in a list. A longer number doesn't fit into 64 bits.
MOST_DIGITS: Final = 19
_MOST_TAGS: Final = 65_535


class NumberList:
    """Finds numbers in the list of one file. An entry is a number or the beginning of numbers. It never changes.

    :param lines: the lines of the file. Empty lines and lines that begin with # are skipped.
    :param tag_column: the column that has the tag: its name in the first line, or its number, counted from 1; "" if
        there are no tags. The first column has the number. Commas, semicolons or tabs separate the columns.
    :raises ValueError: a line can't be read. The error's text names the line.
    """

    def __init__(self, lines: Iterable[str], tag_column: str = "") -> None:
        self._tags: list[str] = [""]
        #: For each length: the sorted numbers, and the index of each number's tag (no array if there are no tags).
        self._numbers: dict[int, array[int]] = {}
        self._tag_of: dict[int, array[int]] = {}
        self._read(enumerate(lines, 1), tag_column)
        self._lengths = sorted(self._numbers, reverse=True)
        for length in self._lengths:
            self._sort(length, self._numbers[length])

    def __len__(self) -> int:
        return sum(map(len, self._numbers.values()))

    @property
    def tags(self) -> Sequence[str]:
        """The tags that its lines may give; "" is among them, for lines without a tag."""
        return self._tags

    def find(self, number: str) -> str | None:
        """Returns the tag of the longest entry with which the number begins.

        Returns "" if that entry has no tag, and None if there is no such entry.

        :param number: digits without a plus.
        """
        for length in self._lengths:
            if length > len(number):
                continue
            numbers = self._numbers[length]
            wanted = int(number[:length])
            place = bisect_left(numbers, wanted)
            if place < len(numbers) and numbers[place] == wanted:
                tags = self._tag_of.get(length)
                return "" if tags is None else self._tags[tags[place]]
        return None

    def _read(self, lines: Iterable[tuple[int, str]], tag_column: str) -> None:
        column = int(tag_column) - 1 if tag_column.isdigit() else None
        known = {"": 0}
        for count, line in lines:
            cells = _cells(line, bool(tag_column))
            if not cells[0] or cells[0].startswith("#"):
                continue
            if tag_column and column is None:
                if tag_column not in cells:
                    raise ValueError(f"line {count} names the columns, and none of them is {tag_column!r}")
                column = cells.index(tag_column)
                continue
            digits = cells[0].removeprefix("+")
            if not (digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS):
                raise ValueError(f"line {count} is no number of up to {MOST_DIGITS} digits")
            self._numbers.setdefault(len(digits), array("Q")).append(int(digits))
            if column is not None:
                if column >= len(cells):
                    raise ValueError(f"line {count} has no column {column + 1}")
                tag = known.setdefault(cells[column], len(known))
                if tag > _MOST_TAGS:
                    raise ValueError(f"line {count} has one tag too many; a list has up to {_MOST_TAGS}")
                self._tag_of.setdefault(len(digits), array("H")).append(tag)
        self._tags = list(known)

    def _sort(self, length: int, numbers: "array[int]") -> None:
        if all(numbers[n - 1] <= numbers[n] for n in range(1, len(numbers))):
            return
        tags = self._tag_of.get(length)
        if tags is None:
            self._numbers[length] = array("Q", sorted(numbers))
            return
        # If two lines have the same number, the first one counts. Sorting keeps their order.
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        self._numbers[length] = array("Q", (numbers[n] for n in order))
        self._tag_of[length] = array("H", (tags[n] for n in order))


def _cells(line: str, columns: bool) -> list[str]:
    line = line.strip("\ufeff \r\n")
    if not columns:
        return [line]
    separator = next((separator for separator in ",;\t" if separator in line), ",")
    return [cell.strip(' "') for cell in line.split(separator)]


class NamedList(msgspec.Struct, frozen=True):
    """Holds a list of the configuration: its name, its numbers and its purpose.

    :ivar refuse: true: the relay refuses messages to its numbers. False: its numbers get a tag.
    """

    name: str
    numbers: NumberList
    refuse: bool


class NumberLists:
    """Looks numbers up in all lists of a configuration. It has the files as they were when they were read."""

    def __init__(self, lists: Sequence[NamedList]) -> None:
        self._refusing = [one for one in lists if one.refuse]
        self._tagging = [one for one in lists if not one.refuse]
        #: True if there is a list whose numbers are refused.
        self.refuse = bool(self._refusing)

    def refuses(self, number: bytes) -> str:
        """Returns the name of the list that refuses messages to this number; "" if no list refuses them."""
        digits = _digits(number)
        return next((one.name for one in self._refusing if digits and one.numbers.find(digits) is not None), "")

    def tags_of(self, number: bytes) -> list[str]:
        """Returns the tags of a number. Each list that has the number gives one tag.

        The tag is the one in the file, or the name of the list if the file has none.
        """
        digits = _digits(number)
        found = [(one.name, one.numbers.find(digits)) for one in self._tagging if digits]
        return [tag or name for name, tag in found if tag is not None]

    def given_tags(self) -> frozenset[str]:
        """Returns all tags that a number may have."""
        return frozenset(tag or one.name for one in self._tagging for tag in one.numbers.tags)


def _digits(number: bytes) -> str:
    """Returns the digits of a destination; "" if the destination is no number."""
    number = number.removeprefix(b"+")
    return number.decode("ascii") if number.isdigit() else ""

"""Lists of numbers from files: opt-outs that are refused, ported numbers that get a tag.

Theory of operation: the numbers of one length stand in one sorted array of 64-bit integers, eight octets each, and a
look-up is a binary search for each length that the list has. Tags are kept once, and numbers refer to them by index.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

#: The most digits of a number in a list: more don't fit into 64 bits.
MOST_DIGITS: Final = 19
_MOST_TAGS: Final = 65_535


class NumberList:
    """The numbers, and beginnings of numbers, of one file. It never changes.

    :param lines: of the file. Empty lines and lines that begin with # are skipped.
    :param tag_column: the column with the tag: its name in the first line, or its number from 1; "" if there are no
        tags. The number is the first column. Columns are separated by commas, semicolons or tabs.
    :raises ValueError: a line can't be read; the text names the line.
    """

    def __init__(self, lines: Iterable[str], tag_column: str = "") -> None:
        self._tags: list[str] = [""]
        #: By length: the numbers in order, and the index of each one's tag (empty where there are no tags).
        self._numbers: dict[int, array[int]] = {}
        self._tag_of: dict[int, array[int]] = {}
        self._read(enumerate(lines, 1), tag_column)
        self._lengths = sorted(self._numbers, reverse=True)
        for length in self._lengths:
            self._sort(length, self._numbers[length])

    def __len__(self) -> int:
        return sum(map(len, self._numbers.values()))

    def find(self, number: str) -> str | None:
        """The tag of the longest entry with which a number begins ("" if it has none); None if there is no entry.

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
        # Of two lines with one number the first one counts: sorting keeps their order.
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
    """A list of the configuration.

    :ivar refuse: numbers on it are refused; otherwise they get a tag.
    """

    name: str
    numbers: NumberList
    refuse: bool


class NumberLists:
    """All lists of a configuration, as they were when it was read."""

    def __init__(self, lists: Sequence[NamedList]) -> None:
        self._refusing = [one for one in lists if one.refuse]
        self._tagging = [one for one in lists if not one.refuse]
        #: Whether any number may be refused.
        self.refuse = bool(self._refusing)

    def refuses(self, number: bytes) -> str:
        """The name of the list for which messages to this number are refused; "" if there is none."""
        digits = _digits(number)
        return next((one.name for one in self._refusing if digits and one.numbers.find(digits) is not None), "")

    def tags_of(self, number: bytes) -> list[str]:
        """The tags of a number: of each list that has it, the tag that the file names, or else the list's name."""
        digits = _digits(number)
        found = [(one.name, one.numbers.find(digits)) for one in self._tagging if digits]
        return [tag or name for name, tag in found if tag is not None]


def _digits(number: bytes) -> str:
    """The digits of a destination; "" if it is no number."""
    number = number.removeprefix(b"+")
    return number.decode("ascii") if number.isdigit() else ""

"""Reads the groups of a kannel.conf, as Kannel 1.4.5 reads them.

A group is a block of lines `name = value`, and an empty line ends it. A backslash at the end of a line joins the next
line to it. `include = PATH` puts the lines of a file, or of all files of a directory, in its place.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from relay.importing.imported import Imported, ImportProblem, Unsuitable, prefix_of

#: Returns name and text of a file; of a directory, those of all its files. It may raise OSError.
ReadFiles = Callable[[str], Sequence[tuple[str, str]]]

#: More lines than any configuration has; includes can multiply them.
_MOST_LINES: Final = 200_000
_FALSE: Final = frozenset({"false", "no", "off", "0"})


class _Line(msgspec.Struct, frozen=True):
    place: str
    text: str


class Group:
    """Holds one group, and knows which of its settings were asked for.

    Each setting that nobody asked for ends in `Imported.left_out`, so that no setting is lost silently.

    :ivar kind: what stands after `group =`.
    :ivar place: file and line of the group's first line.
    """

    def __init__(self, place: str, values: dict[str, str], imported: Imported) -> None:
        self.kind = values.pop("group", "")
        self.place = place
        self._values = values
        self._left = dict.fromkeys(values)
        self._imported = imported

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str = "") -> str:
        """Returns a setting's value."""
        self._left.pop(key, None)
        return self._values.get(key, default)

    def number(self, key: str) -> float | None:
        """Returns a number; None if the setting is missing, or no number."""
        value = self.text(key)
        try:
            found = float(value) if "." in value else int(value, 0) if value[:2] == "0x" else int(value)
        except ValueError:
            if value:
                self.leave_out("is not a number", key)
            return None
        return found

    def flag(self, key: str, default: bool = False) -> bool:
        """Returns a yes or no. Kannel takes values that it doesn't know for yes."""
        value = self.text(key).lower()
        return default if not value else value not in _FALSE

    def items(self, key: str) -> list[str]:
        """Returns the items of a list, which stand between semicolons."""
        return [item.strip() for item in self.text(key).split(";") if item.strip()]

    def prefixes(self, key: str) -> list[str]:
        """Returns a list of beginnings of numbers. It leaves out those without a country code."""
        found = []
        for item in self.items(key):
            try:
                found.append(prefix_of(item))
            except Unsuitable as problem:
                self.leave_out(f"{problem}; the relay routes by country code: write the routes for it", key)
        return found

    def leave_out(self, reason: str, *keys: str) -> None:
        """Notes that settings were left out. Settings that the group doesn't have are not named."""
        there = [key for key in keys if key in self._values]
        for key in there:
            self._left.pop(key, None)
        if there:
            self._imported.leave_out(self.place, f"group {self.kind}: {', '.join(there)}: {reason}")

    def remark(self, text: str) -> None:
        """Notes something about the whole group."""
        self._imported.leave_out(self.place, f"group {self.kind}: {text}")

    def finish(self, reason: str = "has no counterpart here") -> None:
        """Notes all settings that nobody asked for."""
        self.leave_out(reason, *list(self._left))


def read_groups(name: str, read_files: ReadFiles, imported: Imported) -> list[Group]:
    """Returns the groups of a kannel.conf and of the files that it includes.

    :raises ImportProblem: a file can't be read, or isn't a kannel.conf.
    """
    lines = deque(_lines_of(name, read_files, ""))
    seen, total = {name}, len(lines)
    groups: list[Group] = []
    values: dict[str, str] = {}
    place = ""

    def end_group() -> None:
        if values:
            if not values.get("group"):
                raise ImportProblem(f"{place}: this block of lines has no `group =`, so it is not a kannel.conf")
            groups.append(Group(place, dict(values), imported))
            values.clear()

    while lines:
        line = lines.popleft()
        if not line.text:
            end_group()
            continue
        if line.text.startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.text.partition("="))
        if not equals:
            raise ImportProblem(f"{line.place}: no equals sign (=) in this line, so it is not a kannel.conf")
        if key == "include":
            included = [] if value in seen else _lines_of(_value(value), read_files, line.place)
            seen.add(value)
            total += len(included)
            if total > _MOST_LINES:
                raise ImportProblem(f"{line.place}: with the included files there are more than {_MOST_LINES} lines")
            lines.extendleft(reversed(included))
            continue
        place = place if values else line.place
        values[key] = _value(value)
    end_group()
    return groups


def _lines_of(name: str, read_files: ReadFiles, place: str) -> list[_Line]:
    """The lines of a file or directory, joined where they continue. An empty line ends each file."""
    try:
        texts = read_files(name)
    except OSError as problem:
        where = f"{place}: " if place else ""
        raise ImportProblem(f"{where}{name}: can't be read: {problem.strerror or problem}") from None
    found: list[_Line] = []
    for file, text in texts:
        begun, first = "", 0
        for number, line in enumerate(text.split("\n"), 1):
            line = line.removesuffix("\r")
            first = first or number
            if line.endswith("\\"):
                begun += line[:-1]
                continue
            found.append(_Line(f"{file}:{first}", (begun + line).strip()))
            begun, first = "", 0
        found.append(_Line(f"{file}:{first}", begun.strip()))
        found.append(_Line(file, ""))
    return found


def _value(text: str) -> str:
    """A value without its quotes. In quotes, a backslash stands before a quote and before a backslash."""
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return text
    value, escaped = "", False
    for character in text[1:-1]:
        if escaped:
            value += character if character in '\\"' else "\\" + character
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            value += character
    return value + ("\\" if escaped else "")

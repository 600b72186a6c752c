"""Turns YAML nodes into the configuration's types, and notes every problem with its line.

Theory of operation: the reader takes each scalar as the text that the operator wrote, and converts it to the type of
its key. It ignores the types of YAML 1.1, which makes `on` a boolean, `1e6` a text, `0123` an octal number, and some
texts dates. If a value doesn't fit, the reader notes the problem and puts the default in its place. So it can report
all problems at once. `ConfigReader.bad` says which values it replaced.

Secrets: a problem never shows the value of a secret key, nor a value from the environment or from a file.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
import yaml
from msgspec import inspect

from relay.config.schema import describe, expectation, optional, plain, tables_with
from relay.config.yaml_scalars import Unreadable, convert
from relay.values.secret import Secret

#: The place of a key in the file: the names of tables and keys, and the indices of list items.
Path = tuple[str | int, ...]

_NULL_TAG: Final = "tag:yaml.org,2002:null"
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_IMPLICIT_TAGS: Final = frozenset(
    "tag:yaml.org,2002:" + name
    for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "map", "seq")
)
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_LONGEST_SHOWN: Final = 40
#: The most tables that << may copy in the whole file. Ten lines of nested merges can copy thousands of millions.
_MOST_MERGED: Final = 100_000


class Problem(msgspec.Struct, frozen=True):
    """A problem of the file: its line, its key, and what is wrong."""

    line: int
    path: Path
    text: str


class Scalar(msgspec.Struct, frozen=True):
    """A single value, as text.

    :ivar source: where the value came from, in words that may be shown; empty if the file itself has the value.
    """

    text: str
    source: str = ""


def dotted(path: Path) -> str:
    """`carriers.tier1.window`, `routes[0].carriers[1]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the closest of the known words, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


class ConfigReader:
    """Reads the nodes of one file.

    :param environ: the environment variables, for `${NAME}`.
    :param read_file: returns the text of a file, for `{file: PATH}`. It may raise OSError or ValueError.
    :param literal: whether the file's values are what it says itself. Then `${NAME}` and `{file: PATH}` are problems.
    """

    def __init__(self, environ: Mapping[str, str], read_file: Callable[[str], str], *, literal: bool = False) -> None:
        self._environ = environ
        self._read_file = read_file
        self._literal = literal
        #: Keys whose values come from the environment or from a file.
        self.outside: set[Path] = set()
        self.problems: list[Problem] = []
        #: The line of every key in the file. The first line is 1.
        self.lines: dict[Path, int] = {(): 1}
        #: Keys whose values were refused and replaced by stand-ins.
        self.bad: set[Path] = set()
        self._merged_tables = 0

    def line_of(self, path: Path) -> int:
        """The line of a key; if the file lacks the key, the line of the innermost table around it."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def is_bad(self, path: Path) -> bool:
        """Whether a value, or a table around it, was refused already."""
        return any(path[:length] in self.bad for length in range(len(path) + 1))

    def read(self, node: yaml.Node | None, kind: inspect.Type, path: Path) -> Any:
        """Converts a node to the type `kind`. If that fails, notes a problem and returns a stand-in."""
        target = plain(kind)
        if isinstance(target, inspect.UnionType):
            target = _member(target, node)
        if node is None or _is_nothing(node):
            if optional(kind):
                return None
            if isinstance(target, inspect.StructType | inspect.DictType | inspect.ListType):
                # Such as `accounts:` if all accounts are commented out.
                return self._collection(None, target, path)
            return self._refuse(path, target, f"expected {expectation(target)}, got nothing (a # begins a comment)")
        if node.tag not in _IMPLICIT_TAGS:
            return self._refuse(path, target, "tags aren't used here; put a value that begins with ! in quotes")
        if isinstance(target, inspect.StructType | inspect.DictType | inspect.ListType):
            return self._collection(node, target, path)
        try:
            scalar = self._scalar(node, target)
        except Unreadable as problem:
            return self._refuse(path, target, str(problem))
        if scalar.source:
            self.outside.add(path)
        try:
            return convert(scalar.text, target)
        except Unreadable as problem:
            return self._refuse(path, target, f"{problem}, got {_shown(scalar)}")

    def note(self, path: Path, text: str, line: int = 0) -> None:
        """Notes a problem, once."""
        problem = Problem(line or self.line_of(path), path, text)
        if problem not in self.problems:
            self.problems.append(problem)

    def refuse(self, path: Path, target: inspect.Type) -> Any:
        """Returns a stand-in for a value that can't be read; whoever calls tells why."""
        self.bad.add(path)
        return _stand_in(target)

    def _refuse(self, path: Path, target: inspect.Type, text: str) -> Any:
        self.note(path, text)
        return self.refuse(path, target)

    # Tables and lists

    def _collection(
        self, node: yaml.Node | None, target: inspect.StructType | inspect.DictType | inspect.ListType, path: Path
    ) -> Any:
        if isinstance(target, inspect.ListType):
            if node is not None and not isinstance(node, yaml.SequenceNode):
                return self._refuse(path, target, f"expected a list, such as [a, b]; got {_kind_of(node)}")
            return self._items(node, target, path)
        if node is not None and not isinstance(node, yaml.MappingNode):
            return self._refuse(path, target, f"expected a table of keys and values, got {_kind_of(node)}")
        entries = self._entries(node, path) if node is not None else {}
        if isinstance(target, inspect.StructType):
            return self._table(entries, target, path)
        return {name: self.read(value, target.value_type, (*path, name)) for name, value in entries.items()}

    def _items(self, node: yaml.SequenceNode | None, target: inspect.ListType, path: Path) -> list[Any]:
        values = []
        for index, item in enumerate(node.value if node is not None else ()):
            here = (*path, index)
            self.lines[here] = item.start_mark.line + 1
            values.append(self.read(item, target.item_type, here))
        return values

    def _table(self, entries: dict[str, yaml.Node], target: inspect.StructType, path: Path) -> msgspec.Struct:
        fields = {field.encode_name: field for field in target.fields}
        for name in entries.keys() - fields.keys():
            self.note((*path, name), f"unknown key{_where_instead(name, fields)}")
        values = {}
        for name, field in fields.items():
            here = (*path, name)
            if name in entries:
                values[field.name] = self._field(entries[name], field, here)
            elif field.required:
                what = describe(field.type)
                values[field.name] = _stand_in(plain(field.type))
                self.note(here, f"missing; expected {expectation(field.type)}" + (f": {what}" if what else ""))
                self.bad.add(here)
        return target.cls(**values)

    def _field(self, node: yaml.Node, field: inspect.Field, path: Path) -> Any:
        value = self.read(node, field.type, path)
        if path in self.bad and not field.required:
            if field.default_factory is not msgspec.NODEFAULT:
                return field.default_factory()
            return field.default
        return value

    def _entries(self, node: yaml.MappingNode, path: Path) -> dict[str, yaml.Node]:
        """The keys of a mapping. A key that is given twice is a problem; the first one counts."""
        entries: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.tag == _MERGE_TAG:
                for name, inherited in self._merged(value, path, key.start_mark.line + 1).items():
                    entries.setdefault(name, inherited)
        first_lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == _MERGE_TAG:
                continue
            if not isinstance(key, yaml.ScalarNode):
                self.note(path, "expected a name before the colon; got a list or a table", line)
            elif key.value in first_lines:
                first = first_lines[key.value]
                self.note((*path, key.value), f"given twice; the first is in line {first}: keep one of them", line)
            else:
                entries[key.value] = value
                first_lines[key.value] = self.lines[(*path, key.value)] = line
        return entries

    def _merged(self, value: yaml.Node, path: Path, line: int) -> dict[str, yaml.Node]:
        """The keys that `<<: *name` or `<<: [*name, *other]` copies; the earlier table wins."""
        entries: dict[str, yaml.Node] = {}
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(source, yaml.MappingNode):
                self.note(path, "<< takes another table, by its alias: `<<: *name`", line)
                continue
            self._merged_tables += 1
            if self._merged_tables > _MOST_MERGED:
                if self._merged_tables == _MOST_MERGED + 1:
                    self.note((), f"<< copies more than {_MOST_MERGED} tables; write their keys out", line)
                break
            for name, inherited in self._entries(source, path).items():
                entries.setdefault(name, inherited)
        return entries

    # Single values

    def _scalar(self, node: yaml.Node, target: inspect.Type) -> Scalar:
        """The text of a node. Environment variables and files are replaced by their values."""
        if isinstance(node, yaml.MappingNode):
            file = _file_of(node)
            if file is not None and self._literal:
                raise Unreadable(
                    "in conf.d values are literals, so {file: PATH} isn't read; write the value itself, or put the "
                    "entry into the main configuration file"
                )
            if file is not None:
                return self._from_file(file)
        if not isinstance(node, yaml.ScalarNode):
            raise Unreadable(f"expected {expectation(target)}, got {_kind_of(node)}")
        return self._substituted(node.value)

    def _substituted(self, text: str) -> Scalar:
        names: list[str] = []

        def put_in(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            if match[1] is None:
                raise Unreadable("${ must be followed by a variable's name and }; write $${ for a plain ${")
            if self._literal:
                raise Unreadable(
                    f"in conf.d values are literals, so ${{{match[1]}}} isn't replaced; write $${{ for a plain ${{"
                )
            if match[1] not in self._environ:
                raise Unreadable(f"the environment variable {match[1]} is not set")
            names.append(match[1])
            return self._environ[match[1]]

        put = _REFERENCE.sub(put_in, text)
        return Scalar(put, "the environment variable " + " and ".join(names) if names else "")

    def _from_file(self, node: yaml.ScalarNode) -> Scalar:
        name = self._substituted(node.value).text
        try:
            text = self._read_file(name)
        except OSError as problem:
            raise Unreadable(f"the file {name!r} can't be read: {problem.strerror or problem}") from None
        except ValueError:
            # UnicodeDecodeError's own text would show a part of what may be a secret.
            raise Unreadable(f"the file {name!r} can't be read: it is not UTF-8 text") from None
        return Scalar(text.rstrip("\r\n"), f"the file {name!r}")


def _where_instead(name: str, fields: Mapping[str, object]) -> str:
    hint = did_you_mean(name, fields)
    if hint:
        return hint
    elsewhere = tables_with(name)
    if elsewhere:
        return f" here; it belongs in {', '.join(table or 'the top of the file' for table in elsewhere)}"
    return f"; known here: {', '.join(fields)}"


def _is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL_TAG


def _file_of(node: yaml.MappingNode) -> yaml.ScalarNode | None:
    """The PATH of `{file: PATH}`."""
    if len(node.value) != 1:
        return None
    key, value = node.value[0]
    if isinstance(key, yaml.ScalarNode) and key.value == "file" and isinstance(value, yaml.ScalarNode):
        return value
    return None


def _member(kind: inspect.UnionType, node: yaml.Node | None) -> inspect.Type:
    """The member of a union that fits the form of the node: a text or a table.

    `{file: PATH}` is a text, and `{file: 70}` is a table of weights.
    """
    table = isinstance(node, yaml.MappingNode)
    if isinstance(node, yaml.MappingNode) and (file := _file_of(node)) is not None:
        table = file.value.replace(".", "", 1).isdigit()
    return next(member for member in kind.types if isinstance(member, inspect.DictType) is table)


def _kind_of(node: yaml.Node) -> str:
    """Names the kind of a node. Its content is not shown, because it may be a secret in a wrong place."""
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "a table" if isinstance(node, yaml.MappingNode) else "a single value"


def _shown(scalar: Scalar) -> str:
    if scalar.source:
        return f"something else from {scalar.source}"
    text = scalar.text
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def _stand_in(target: inspect.Type) -> Any:
    """A value of the right type that replaces one that is missing or refused."""
    match target:
        case inspect.StructType():
            return target.cls(**{field.name: _stand_in(plain(field.type)) for field in target.fields if field.required})
        case inspect.ListType():
            return []
        case inspect.DictType():
            return {}
        case inspect.CustomType():
            return Secret("")
        case inspect.LiteralType():
            return target.values[0]
        case inspect.BoolType():
            return False
        case inspect.IntType() | inspect.FloatType():
            return target.ge or target.gt or 0
    return ""

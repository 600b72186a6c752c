"""Turns the text of a configuration file into a `Config`, or into a list of all its problems.

Theory of operation: `yaml.compose` makes nodes, which know their lines. It makes no objects and runs no constructors.
`relay.config.yaml_reader` converts the nodes to the types of `relay.config.model`. The entries of conf.d are read in
the same way, each by a reader of its own, and added. `relay.app.config_checks` checks the whole by rules that types
can't express, such as that a route names an existing carrier. Readers and checks note problems and go on, so that an
operator sees all five mistakes of a file at once.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
import yaml

from relay.app.config_checks import check
from relay.app.entry_checks import entry_problems
from relay.app.login_checks import NO_NAME, is_name
from relay.config.config_entries import ENTRY_TYPES, LoadedConfig, Part, Place, Places, Table
from relay.config.config_struct import ConfigStruct
from relay.config.entry_trees import tree_of
from relay.config.model import Config
from relay.config.schema import struct_type
from relay.config.yaml_reader import ConfigReader, Path, dotted

#: A further check of a configuration. Each problem is a key, and a text that says what is wrong.
Check = Callable[[Config], Iterable[tuple[Path, str]]]

_CIRCLE: Final = "a table is merged (<<) into itself"
#: A route in the text of a problem.
_ROUTE: Final = re.compile(r"\broutes\[(\d+)\]")


class KeyProblem(msgspec.Struct, frozen=True):
    """What is wrong with one key.

    :ivar line: 0: the text isn't YAML, and `text` has the line.
    :ivar key: dotted; "": the whole file.
    """

    file: str
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        if not self.line:
            return self.text
        return f"{self.file}:{self.line}: {self.key + ': ' if self.key else ''}{self.text}"


class ConfigError(Exception):
    """The file can't be used.

    :ivar problems: all its problems, one line each, in the order of the file:
        `etc/relay.yaml:31: carriers.tier1.window: expected an integer from 1 to 10000, got 'ten'`. No line shows a
        secret.
    :ivar by_key: the same, where it could be said by key.
    """

    def __init__(self, problems: Iterable[str], by_key: Iterable[KeyProblem] = ()) -> None:
        self.problems = tuple(problems)
        self.by_key = tuple(by_key)
        super().__init__("\n".join(self.problems))


def load(
    text: str,
    *,
    name: str,
    environ: Mapping[str, str],
    read_file: Callable[[str], str],
    further_checks: Iterable[Check] = (),
) -> Config:
    """Makes a configuration of the text of a file alone. It may be called at any time, and reads only its arguments.

    :param text: the file's text.
    :param name: the file's name, for problems.
    :param environ: the values of `${NAME}`. `$${` is a plain `${`.
    :param read_file: returns the text of a file, for `{file: PATH}`. Newlines at its end are removed. It may raise
        OSError or ValueError.
    :param further_checks: checks that only the caller can make, such as that of endpoint descriptions.
    :raises ConfigError: the file can't be used. It has all problems.
    """
    main = MainFile(text, name=name, environ=environ, read_file=read_file)
    return main.with_parts(()).checked(further_checks).config


class MainFile:
    """A configuration file that has been read. The parameters are those of `load`.

    :ivar reader: what has read it. It has the problems of single values.
    :ivar config: the file's configuration, with stand-ins in the place of values that could not be read.
    :raises ConfigError: the file isn't YAML.
    """

    def __init__(self, text: str, *, name: str, environ: Mapping[str, str], read_file: Callable[[str], str]) -> None:
        self.name = name
        self.reader = ConfigReader(environ, read_file)
        top = _composed(text, name)
        try:
            self.config: Config = self.reader.read(top, struct_type(Config), ())
        except RecursionError:
            raise ConfigError([f"{name}:1: {_CIRCLE}"]) from None

    @property
    def data_dir(self) -> str:
        """The data directory; "": the file doesn't say where it is."""
        return "" if self.reader.is_bad(("data_dir",)) else self.config.data_dir

    def with_parts(self, parts: Iterable[Part]) -> "WholeConfig":
        """Adds entries of conf.d. It may be called again with other entries."""
        return WholeConfig(self, parts)


class WholeConfig:
    """A main file with the entries of conf.d.

    :ivar config: the whole, with stand-ins in the place of values that could not be read.
    """

    def __init__(self, main: MainFile, parts: Iterable[Part]) -> None:
        self._main = main
        #: What has read each entry of conf.d, and the number of its file. The main file has the number 0.
        self._parts: dict[Path, tuple[ConfigReader, Part, int]] = {}
        #: The problems, each with the number of its file.
        self._problems: list[tuple[int, KeyProblem]] = []
        tables: dict[str, dict[str, Any]] = {
            "accounts": dict(main.config.accounts),
            "carriers": dict(main.config.carriers),
        }
        routes = list(main.config.routes)
        for problem in main.reader.problems:
            self._add(0, main.name, problem.line, problem.path, problem.text)
        for number, part in enumerate(parts, 1):
            path: Path = (part.table, part.name if part.table != "routes" else len(routes))
            entry = self._read(part, path, number)
            if part.table == "routes":
                routes.append(entry)
            else:
                tables[part.table].setdefault(part.name, entry)
        self.config: Config = msgspec.structs.replace(main.config, routes=routes, **tables)

    def _read(self, part: Part, path: Path, number: int) -> Any:
        """Reads an entry of conf.d; a stand-in if that fails."""
        reader = ConfigReader({}, _no_file, literal=True)
        self._parts[path] = (reader, part, number)
        kind = struct_type(ENTRY_TYPES[part.table])
        try:
            entry = reader.read(_composed(part.text, part.file, quickly=True), kind, path)
        except ConfigError as error:
            self._problems += [(number, KeyProblem(part.file, 0, "", line)) for line in error.problems]
            entry = reader.refuse(path, kind)
        except RecursionError:
            self._add(number, part.file, 1, path, _CIRCLE)
            entry = reader.refuse(path, kind)
        for problem in reader.problems:
            self._add(number, part.file, problem.line, problem.path, problem.text)
        if part.table == "routes" and not is_name(part.name):
            self._note(path, NO_NAME)
        elif part.table != "routes" and part.name in getattr(self._main.config, part.table):
            where = f"{self._main.name}:{self._main.reader.line_of(path)}"
            self._note(path, f"is in {where} as well; remove it from one of the two files")
            # The checks look at the one of the main file.
            del self._parts[path]
            return entry
        for key, text in entry_problems(path, entry):
            self._note(key, text)
        return entry

    def tree(self, table: Table, name: str, *, reveal: bool = False) -> dict[str, Any]:
        """The entry of a file of conf.d, with the keys that the file has. See `tree_of`."""
        path = self._path(table, name)
        return tree_of(self.entry(table, name), path, given=self._parts[path][0].lines, reveal=reveal)

    def problems_of(self, part: Part) -> list[str]:
        """What is wrong with a file of conf.d, as far as it has been found out, one line each."""
        found = [problem for _, problem in self._problems if problem.file == part.file]
        return [str(problem) for problem in sorted(found, key=lambda problem: problem.line)]

    def entry(self, table: Table, name: str) -> ConfigStruct:
        """The entry of a file of conf.d."""
        entry: ConfigStruct = getattr(self.config, table)[self._path(table, name)[1]]
        return entry

    def _path(self, table: Table, name: str) -> Path:
        found = ((path, part) for path, (_, part, _) in self._parts.items())
        return next(path for path, part in found if (part.table, part.name) == (table, name))

    def checked(self, further_checks: Iterable[Check] = ()) -> LoadedConfig:
        """Checks the whole.

        :param further_checks: as in `load`.
        :raises ConfigError: a file can't be used. It has the problems of all files.
        """
        for some_check in (check, *further_checks):
            for path, problem in some_check(self.config):
                self._note(path, problem)
        self.refuse_unreadable()
        return LoadedConfig(self.config, self._places())

    def refuse_unreadable(self) -> None:
        """Raises `ConfigError` if a value can't be read, or if a check found a problem."""
        if self._problems:
            in_order = sorted(self._problems, key=lambda found: (found[0], found[1].line))
            problems = dict.fromkeys(problem for _, problem in in_order)
            raise ConfigError(map(str, problems), problems)

    def _note(self, path: Path, text: str) -> None:
        """Notes a problem, unless it is one of a stand-in: the operator didn't write that."""
        found = self._parts.get(path[:2])
        if found is None:
            if not self._main.reader.is_bad(path):
                self._add(0, self._main.name, self._main.reader.line_of(path), path, text)
        elif not found[0].is_bad(path):
            reader, part, number = found
            self._add(number, part.file, reader.line_of(path), path, text)

    def _add(self, number: int, file: str, line: int, path: Path, text: str) -> None:
        self._problems.append((number, KeyProblem(file, line, self._key(path), self._named(text))))

    def _key(self, path: Path) -> str:
        """The key as its writer knows it: routes of conf.d have names."""
        if path[:1] == ("routes",) and path[:2] in self._parts:
            return dotted(("routes", self._parts[path[:2]][1].name, *path[2:]))
        return dotted(path)

    def _named(self, text: str) -> str:
        """Writes the names of routes of conf.d in the text of a problem."""
        return _ROUTE.sub(lambda found: self._key(("routes", int(found[1]))), text)

    def _places(self) -> Places:
        main = self._main
        entries: dict[Path, Place] = {}
        for table in ("accounts", "carriers"):
            for name in getattr(main.config, table):
                entries[table, name] = Place(main.name, main.reader.line_of((table, name)), name)
        for index in range(len(main.config.routes)):
            entries["routes", index] = Place(main.name, main.reader.line_of(("routes", index)), "")
        for path, (_, part, _) in self._parts.items():
            entries[path] = Place(part.file, 1, part.name, part.version or "0")
        return Places(entries, frozenset(main.reader.outside))


def _no_file(path: str) -> str:
    raise OSError(f"{path} isn't read")


def _composed(text: str, name: str, *, quickly: bool = False) -> yaml.Node | None:
    """The nodes of a text.

    :param quickly: whether to try the parser of libyaml first, which is twenty times as fast, but says less about a
        wrong text.
    :raises ConfigError: the text is no YAML.
    """
    quick = getattr(yaml, "CSafeLoader", None) if quickly else None
    try:
        if quick is not None:
            return yaml.compose(text, Loader=quick)
    except yaml.YAMLError:
        pass
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(error, text, name)]) from None
    except RecursionError:
        raise ConfigError([f"{name}:1: nested too deeply to be a configuration"]) from None


def _syntax_problem(error: yaml.YAMLError, text: str, name: str) -> str:
    """Says where and why the text isn't YAML. It doesn't repeat the text, because that may be a secret."""
    if isinstance(error, yaml.reader.ReaderError):
        position = error.position if isinstance(error.position, int) else 0
        line = text.count("\n", 0, position) + 1
        return f"{name}:{line}: a character that YAML doesn't allow (code {error.character}); remove it"
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"{name}:1: the text is not YAML"
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 1
    said = error.problem or "is not YAML"
    if "alias" in said:
        said = "an alias that nothing defines; put a value that begins with * in quotes"
    elif "anchor" in said:
        said = "two anchors of one name; put a value that begins with & in quotes"
    elif "tag" in said or "directive" in said:
        said = "a tag or directive; put a value that begins with ! or % in quotes"
    elif "\\t" in said:
        said = "a tab where YAML wants spaces; indent with spaces"
    elif "cannot start any token" in said:
        said = "a value that begins with a character that has a meaning in YAML (such as @, ` or %); put it in quotes"
    elif "but got '{'" in said:
        said = 'a { within a value in { } or [ ]; put the value, such as "${NAME}", in quotes'
    elif error.context == "while scanning a quoted scalar" and error.context_mark is not None:
        line = error.context_mark.line + 1
        return f"{name}:{line}: a value begins with a quote here, and no such quote ends it"
    elif "mapping values are not allowed" in said:
        said = "a colon and a space within a value, or wrong indentation; put the value in quotes or indent it"
    elif "another document" in said:
        said = "a second document (---) begins here; a configuration is one document"
    context = f", {error.context}" if error.context and "while" in error.context and "alias" not in said else ""
    return f"{name}:{line}: {said}{context}"

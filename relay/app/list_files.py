"""Reads the files of the configuration's lists. A list of a million lines takes seconds: give it a thread."""

from relay.config.model import Config
from relay.config.route_config import NumberListFile
from relay.config.yaml_reader import Path, dotted
from relay.routing.number_lists import NamedList, NumberList, NumberLists


class ListsRefused(Exception):
    """A list can't be read.

    :ivar problems: one line for each list that can't.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_lists(config: Config) -> NumberLists | None:
    """The lists of a configuration, read from their files now; None if it has none.

    :raises ListsRefused: a file can't be read.
    """
    check = ListsCheck()
    problems = [f"{dotted(path)}: {problem}" for path, problem in check(config)]
    if problems:
        raise ListsRefused(problems)
    return check.lists


class ListsCheck:
    """A further check of a configuration that reads the files of its lists.

    :ivar lists: what the latest check has read. A start takes them from here, so that it reads each file once.
    """

    def __init__(self) -> None:
        self.lists: NumberLists | None = None

    def __call__(self, config: Config) -> list[tuple[Path, str]]:
        """Returns what is wrong with the files: which list, and why."""
        lists: list[NamedList] = []
        problems: list[tuple[Path, str]] = []
        for name, settings in config.lists.items():
            try:
                lists.append(NamedList(name, _read(settings), settings.on_match == "refuse"))
            except ValueError as problem:
                problems.append((("lists", name, "file"), str(problem)))
        self.lists = NumberLists(lists) if lists else None
        return problems


def _read(settings: NumberListFile) -> NumberList:
    file = settings.file
    try:
        with open(file, encoding="utf-8") as lines:
            return NumberList(lines, settings.tag_column)
    except OSError as problem:
        raise ValueError(f"the file {file!r} can't be read: {problem.strerror or problem}") from None
    except UnicodeDecodeError:
        raise ValueError(f"the file {file!r} can't be read: it is not UTF-8 text") from None
    except ValueError as problem:
        raise ValueError(f"the file {file!r}: {problem}") from None

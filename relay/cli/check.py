"""`python -m relay check FILE`: says whether the relay would start with a configuration file."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence

import msgspec
from twisted.internet.testing import MemoryReactorClock

from relay.app.config_checks import advice
from relay.app.config_file import load_file, main_of, start_checks
from relay.app.list_files import ListsCheck
from relay.app.load_config import Check, ConfigError
from relay.app.tag_checks import unknown_tags
from relay.cli.command_parser import CommandParser, command_parser
from relay.config.config_entries import LoadedConfig

_EPILOG = """\
examples:
  python -m relay check etc/relay.yaml
  python -m relay check --json etc/relay.yaml | jq -r '.problems[]'
  python -m relay check etc/relay.yaml && kill -HUP "$(cat twistd.pid)"

Reads the environment variables (${NAME}) and secret files ({file: PATH}) that the file names, so run it as the
relay's user and with the relay's environment. It starts nothing, and listens nowhere.

exit status:
  0  the file is right; notes about it, if there are any, are on standard error
  1  the file is wrong: every problem is a line on standard error
  2  wrong use of the command line
"""


class Checked(msgspec.Struct, frozen=True):
    """What a check found.

    :ivar problems: why the relay would refuse the file, one line each; empty: it would not.
    :ivar notes: values that are allowed but probably a mistake.
    :ivar summary: how many accounts, carriers and routes the file has.
    """

    problems: list[str]
    notes: list[str] = []
    summary: str = ""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "check",
        "Says whether a configuration file is right, and lists everything that is wrong.",
        _EPILOG,
    )
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.add_argument("--json", action="store_true", help="print one JSON object: file, fine, problems, notes")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Checks the file that the arguments name; the exit status says how it went."""
    options = make_parser().parse_args(arguments)
    found = _checked(lambda checks: load_file(options.file, checks))
    if options.json:
        fine = not found.problems
        print(json.dumps({"file": options.file, "fine": fine, "problems": found.problems, "notes": found.notes}))
    elif found.problems:
        print("\n".join(found.problems), file=sys.stderr)
    else:
        print(f"{options.file}: fine: {found.summary}")
        for note in found.notes:
            print(f"{options.file}: note: {note}", file=sys.stderr)
    return 1 if found.problems else 0


def checked(text: str, name: str) -> Checked:
    """Checks the text of a configuration file as a start of the relay does.

    :param name: the file's name, for problems.
    """
    return _checked(lambda checks: main_of(text, name).with_parts(()).checked(checks))


def _checked(read: Callable[[Iterable[Check]], LoadedConfig]) -> Checked:
    """Reads a configuration with the checks of a start."""
    lists = ListsCheck()
    try:
        loaded = read([*start_checks(MemoryReactorClock()), lists])
    except ConfigError as error:
        return Checked(list(error.problems))
    notes = [*advice(loaded.config), *unknown_tags(loaded.config, lists.lists)]
    return Checked([], notes, _summary(loaded))


def _summary(loaded: LoadedConfig) -> str:
    config, parts = loaded.config, len(loaded.places.parts())
    counts = (("account", config.accounts), ("carrier", config.carriers), ("route", config.routes))
    said = ", ".join(f"{len(things)} {noun}{'' if len(things) == 1 else 's'}" for noun, things in counts)
    return f"{said} ({parts} of them from conf.d)" if parts else said

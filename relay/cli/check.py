"""`python -m relay check FILE`: says whether the relay would start with a configuration file."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock

from relay.app.config_checks import advice
from relay.app.endpoint_check import endpoint_problems
from relay.app.file_check import file_problems
from relay.app.list_files import ListsCheck
from relay.app.load_config import ConfigError, load
from relay.cli.command_parser import CommandParser, command_parser
from relay.config.model import Config

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
    problems, notes, summary = _check(options.file)
    if options.json:
        print(json.dumps({"file": options.file, "fine": not problems, "problems": problems, "notes": notes}))
    elif problems:
        print("\n".join(problems), file=sys.stderr)
    else:
        print(f"{options.file}: fine: {summary}")
        for note in notes:
            print(f"{options.file}: note: {note}", file=sys.stderr)
    return 1 if problems else 0


def _check(file: str) -> tuple[list[str], list[str], str]:
    """Problems, notes, and what is in the file."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as problem:
        return [f"{file}: can't be read: {problem.strerror}"], [], ""
    except UnicodeDecodeError:
        return [f"{file}: can't be read: it is not UTF-8 text"], [], ""
    reactor = MemoryReactorClock()
    try:
        config = load(
            text,
            name=file,
            environ=os.environ,
            read_file=lambda path: Path(path).read_text(encoding="utf-8"),
            further_checks=[lambda config: endpoint_problems(config, reactor), file_problems, ListsCheck()],
        )
    except ConfigError as error:
        return list(error.problems), [], ""
    return [], advice(config), _summary(config)


def _summary(config: Config) -> str:
    counts = (("account", config.accounts), ("carrier", config.carriers), ("route", config.routes))
    return ", ".join(f"{len(things)} {noun}{'' if len(things) == 1 else 's'}" for noun, things in counts)

"""`python -m relay route`: says which carriers a message would go to, and why."""

import sys
import time
from collections.abc import Sequence

import msgspec

from relay.app.config_file import read_config
from relay.app.list_files import ListsRefused, read_lists
from relay.app.load_config import ConfigError
from relay.cli.command_parser import CommandParser, command_parser
from relay.config.yaml_reader import did_you_mean
from relay.routing.explanation import Explanation, explain
from relay.routing.routes import Routes
from relay.routing.set_endings import endings_of
from relay.text.compose import InvalidText
from relay.values.instants import instant_of

_EPILOG = """\
examples:
  python -m relay route --config etc/relay.yaml --account acme --from ACME --to 447700900123
  python -m relay route --config etc/relay.yaml --account acme --to 447700900123 --at 2026-03-01T22:30+01:00

It reads the file only; no relay need be running. Which of the carriers gets a message depends on who is up and has
room as well.

exit status:
  0  a route takes the message
  1  no route takes it, or the file is wrong: the reason is on standard error
  2  wrong use of the command line
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "route",
        "Says which carriers a message would go to, and why.",
        _EPILOG,
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration file")
    parser.add_argument("--account", required=True, metavar="NAME", help="whose message it is")
    parser.add_argument("--from", dest="source", default="", metavar="SENDER", help="the sender; default: none")
    parser.add_argument("--to", required=True, metavar="NUMBER", help="the number, with its country code")
    parser.add_argument("--at", metavar="TIME", help="when it is accepted, such as 2026-03-01T22:30Z; default: now")
    parser.add_argument(
        "--tag", action="append", default=[], help="a tag that the decision service gives it; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Explains the route of the message that the arguments describe."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    at = time.time() if options.at is None else instant_of(options.at)
    if at is None:
        parser.error("--at: write a time with its offset from UTC, such as 2026-03-01T22:30Z or 2026-03-01T22:30+01:00")
    try:
        config = read_config(options.config)
        lists = read_lists(config)
    except (ConfigError, ListsRefused) as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 1
    if options.account not in config.accounts:
        hint = did_you_mean(options.account, config.accounts)
        parser.error(f"--account: {options.config} has no account {options.account!r}{hint}")
    try:
        routes = Routes(config.routes, lists, endings_of(config.accounts))
        found = explain(routes, options.account, options.source, options.to, at, options.tag)
    except InvalidText as problem:
        parser.error(f"--{problem.field}: {problem.reason}")
    _print(found, as_json=options.json)
    return 0 if found.carriers or found.ends_as else 1


def _print(found: Explanation, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    print(found.decision)
    for step in found.steps:
        print(f"  {step.route} ({step.asks_for}): {step.verdict}")

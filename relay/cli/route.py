"""`python -m relay route`: says which carriers a message would go to, and why."""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec

from relay.app.config_file import read_config
from relay.app.list_files import ListsRefused, read_lists
from relay.app.load_config import ConfigError
from relay.cli.admin_client import add_arguments, ask
from relay.cli.command_parser import CommandParser, command_parser
from relay.config.yaml_reader import did_you_mean
from relay.routing.explanation import Explanation, explain
from relay.routing.routes import Routes
from relay.routing.set_endings import endings_of
from relay.text.compose import InvalidText
from relay.values.instants import instant_of

_EPILOG = """\
examples:
  python -m relay route --account acme --from ACME --to 447700900123
  python -m relay route --config etc/relay.yaml --account acme --to 447700900123 --at 2026-03-01T22:30+01:00

Without --config it asks the running relay, which also says to which carrier the message would go now: a carrier may be
down, held, full or slow, or the route may avoid it. With --config it reads the file only, and shows the file's order;
no relay need be running.

exit status:
  0  a route takes the message
  1  no route takes it, or the file is wrong, or the relay refused: the reason is on standard error
  2  wrong use of the command line
  3  the relay doesn't answer
"""

_FILE_ONLY: Final = (
    "This is the order of the file. Without --config, the running relay says which carriers are down, held, full or "
    "avoided now."
)


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "route",
        "Says which carriers a message would go to, and why.",
        _EPILOG,
    )
    parser.add_argument("--config", metavar="FILE", help="read this configuration file instead of asking the relay")
    parser.add_argument("--account", required=True, metavar="NAME", help="whose message it is")
    parser.add_argument("--from", dest="source", default="", metavar="SENDER", help="the sender; default: none")
    parser.add_argument("--to", required=True, metavar="NUMBER", help="the number, with its country code")
    parser.add_argument("--at", metavar="TIME", help="when it is accepted, such as 2026-03-01T22:30Z; default: now")
    parser.add_argument(
        "--tag", action="append", default=[], help="a tag that the decision service gives it; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_arguments(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Explains the route of the message that the arguments describe."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    at = time.time() if options.at is None else instant_of(options.at)
    if at is None:
        parser.error("--at: write a time with its offset from UTC, such as 2026-03-01T22:30Z or 2026-03-01T22:30+01:00")
    found = _asked(options) if options.config is None else _read(parser, options, at)
    if found is None:
        return 1
    _print(found, options)
    return 0 if found.carriers or found.ends_as else 1


def _asked(options: argparse.Namespace) -> Explanation:
    """Asks the running relay."""
    wanted = {"account": options.account, "from": options.source, "to": options.to, "tags": ",".join(options.tag)}
    if options.at is not None:
        wanted["at"] = options.at
    return msgspec.convert(ask(options, f"/route?{urlencode(wanted)}"), Explanation)


def _read(parser: CommandParser, options: argparse.Namespace, at: float) -> Explanation | None:
    """Reads the file; None: it is wrong, and its problems were said."""
    try:
        config = read_config(options.config)
        lists = read_lists(config)
    except (ConfigError, ListsRefused) as error:
        print("\n".join(error.problems), file=sys.stderr)
        return None
    if options.account not in config.accounts:
        hint = did_you_mean(options.account, config.accounts)
        parser.error(f"--account: {options.config} has no account {options.account!r}{hint}")
    try:
        routes = Routes(config.routes, lists, endings_of(config.accounts))
        return explain(routes, options.account, options.source, options.to, at, options.tag)
    except InvalidText as problem:
        parser.error(f"--{problem.field}: {problem.reason}")


def _print(found: Explanation, options: argparse.Namespace) -> None:
    if options.json:
        print(msgspec.json.encode(found).decode())
        return
    print(found.decision)
    for step in found.steps:
        print(f"  {step.route} ({step.asks_for}): {step.verdict}")
    if options.config is not None:
        print(_FILE_ONLY)
    if found.now is not None:
        print(found.now.decision)
        for carrier in found.now.carriers:
            if carrier.reasons:
                print(f"  {carrier.carrier}: {carrier.words}")

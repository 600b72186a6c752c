"""`python -m relay find`: finds messages of a running relay, and old ones if the relay keeps a history."""

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from relay.cli.admin_client import add_arguments, ask
from relay.cli.command_parser import CommandParser, command_parser
from relay.history.query_text import PARAMETERS

_EPILOG = """\
examples:
  python -m relay find 447700900123
  python -m relay find --account acme --status failed --since 2026-11-01 --until 2026-11-08
  python -m relay find --to-end 0123 --order oldest --limit 10
  python -m relay find --carrier tier1 --carrier-error 034 --all --format csv > failed.csv

TEXT is a message id or its beginning, a number or its end, a reference, or a carrier's message id. Only messages that
have all that is given are found. --all goes on until there is no more, page by page.

exit status:
  0  something was found
  1  nothing was found, or the relay refuses the search; standard error says why
  2  wrong use of the command line
  3  the relay doesn't answer
"""
_COLUMNS = ("id", "account", "to", "sender", "status", "carrier", "carrier_error", "reference", "accepted_at")


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "find",
        "Finds messages of a running relay, from its admin listener.",
        _EPILOG,
    )
    parser.add_argument("find", metavar="TEXT", nargs="?", default="", help="what to look for")
    add_arguments(parser)
    for name in (*PARAMETERS, "account"):
        parser.add_argument(f"--{name.replace('_', '-')}", dest=f"by_{name}", metavar="VALUE", default="")
    parser.add_argument("--all", action="store_true", help="all pages, not only the first")
    parser.add_argument("--format", choices=["table", "csv", "jsonl"], default="table", help="how to print them")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Searches a running relay, and prints the messages that it finds.

    :returns: the exit status, as the epilog lists it.
    """
    options = make_parser().parse_args(arguments)
    count = _print(options, _pages(options))
    if not count:
        print("no such message", file=sys.stderr)
    return 0 if count else 1


def _pages(options: argparse.Namespace) -> Iterator[list[Any]]:
    """Asks the relay for the messages that it finds, and yields them page by page.

    :raises NoAnswer, Refused: see `ask`.
    """
    asked = {name: getattr(options, f"by_{name}") for name in (*PARAMETERS, "account")} | {"find": options.find}
    if options.all and not asked["limit"]:
        asked["limit"] = "500"
    asked = {name: value for name, value in asked.items() if value}
    # An id alone would ask for one message. With an `order`, the request is always a search.
    asked.setdefault("order", "newest")
    while True:
        page = ask(options, "/messages?" + urlencode(asked))
        yield page["messages"]
        if page["next"] is None or not options.all:
            if page["next"] is not None:
                words = "there are more" if page["complete"] else "the search took too long: there may be more"
                print(f"{words}; --all prints all of them", file=sys.stderr)
            return
        asked["after"] = page["next"]


def _print(options: argparse.Namespace, pages: Iterator[list[Any]]) -> int:
    count = 0
    table = csv.writer(sys.stdout)
    for page in pages:
        for message in page:
            # The first event is the acceptance of the message.
            at = message["events"][0]["at"]
            row = message | {"accepted_at": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"}
            cells = [str(row[name] or "") for name in _COLUMNS]
            if options.format == "jsonl":
                print(json.dumps(message))
            elif options.format == "csv":
                if not count:
                    table.writerow(_COLUMNS)
                table.writerow([f"'{cell}" if cell[:1] in tuple("=+-@\t\r\n") and cell else cell for cell in cells])
            else:
                print("  ".join(cell or "-" for cell in (cells[-1], *cells[:-1])))
            count += 1
    return count

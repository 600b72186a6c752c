"""`python -m relay purge`: ends the messages that wait for a carrier, or those of an account or of a route."""

import sys
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from relay.cli.admin_client import add_arguments, ask
from relay.cli.command_parser import CommandParser, command_parser

_EPILOG: Final = """\
examples:
  python -m relay purge --account acme --dry-run
  python -m relay purge --carrier tier1 --yes --reason "sent by mistake"
  python -m relay purge --route 2

The messages that no carrier has taken end as DELETED, and their customers are notified. On a terminal the command says
how many they are, and asks.

exit status:
  0  done, also if no message waited
  1  the relay refused, or you did: the reason is on standard error
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    described = "Ends the messages that wait for a carrier, or those of an account or of a route."
    parser = command_parser("purge", described, _EPILOG)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--carrier", metavar="NAME", help="the messages in this carrier's queue")
    asked.add_argument("--account", metavar="NAME", help="the messages of this account, in all queues")
    asked.add_argument(
        "--route", metavar="PLACE", type=int, help="the messages of the route at this place of the file: 0 is the first"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say how many messages would end")
    parser.add_argument("--yes", action="store_true", help="don't ask")
    parser.add_argument("--reason", default="", help="why, for the record of operators' actions")
    add_arguments(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Counts the messages, asks, and has the relay end them."""
    options = make_parser().parse_args(arguments)
    if options.route is not None:
        kind, name = "routes", str(options.route)
    else:
        kind, name = ("carriers", options.carrier) if options.carrier else ("accounts", options.account)
    path = f"/{kind}/{quote(name, safe='')}/purge"
    counted = ask(options, path, {"dry_run": True})
    count, route = int(counted["count"]), counted.get("route", "")
    if route:
        print(f"routes[{name}] is for {route}")
    if options.dry_run or not count:
        print(f"{count} messages would end")
        return 0
    if not options.yes:
        if not sys.stdin.isatty():
            print(f"{count} messages would end; give --yes to end them", file=sys.stderr)
            return 1
        if input(f"End {count} messages? Type yes: ").strip() != "yes":
            print("nothing was done", file=sys.stderr)
            return 1
    print(ask(options, path, {"reason": options.reason} | ({"route": route} if route else {}))["done"])
    return 0

"""`python -m relay reload`: has a running relay read its configuration file again."""

import json
import sys
from collections.abc import Sequence
from typing import Final

from relay.cli.admin_client import add_arguments, ask
from relay.cli.command_parser import CommandParser, Paint, command_parser

_EPILOG: Final = """\
examples:
  python -m relay reload --dry-run
  python -m relay reload --reason "new carrier"

A file with a problem changes nothing: the relay goes on with the old configuration.

exit status:
  0  the file is right, and is applied (or would be, with --dry-run)
  1  the file was refused: its problems are on standard error
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "reload",
        "Has a running relay read its configuration file again, as SIGHUP does, and prints what has changed.",
        _EPILOG,
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would change, and what is wrong")
    parser.add_argument("--reason", default="", help="why, for the record of operators' actions")
    parser.add_argument("--json", action="store_true", help="print one JSON object: at, applied, problems, changes")
    add_arguments(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Reloads, and prints the changes, or the problems of the file."""
    options = make_parser().parse_args(arguments)
    if options.dry_run:
        result = ask(options, "/configuration/check")
    else:
        result = ask(options, "/configuration/reload", {"reason": options.reason})
    problems, changes = result["problems"], result["changes"]
    if options.json:
        print(json.dumps(result))
        return 1 if problems else 0
    if problems:
        bad = Paint(sys.stderr)
        print("\n".join(bad(line, "bad") for line in problems), file=sys.stderr)
        print("the old configuration holds", file=sys.stderr)
        return 1
    paint = Paint(sys.stdout)
    for change in changes:
        line = f"{change['key']}: {change['what']}"
        print(line if change["live"] else paint(f"{line} (needs a restart)", "some"))
    count = sum(change["live"] for change in changes)
    print(f"{count} changes {'would be applied' if options.dry_run else 'applied'}")
    return 0

"""`python -m relay dialect`: finds a carrier's dialect, from pairs on its input or a running relay's orphans."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from relay.cli import dialect_finder
from relay.cli.admin_client import add_arguments, ask
from relay.cli.command_parser import CommandParser, command_parser

_EPILOG = """\
exit status:
  0  a dialect would match, no receipt lacks its message, or the receipts were dismissed
  1  receipts lack their messages, and no dialect matches them; or there were none to dismiss
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the options of `dialect --orphans`."""
    parser = command_parser(
        "dialect --orphans",
        "Asks a running relay's admin listener for the receipts that found no message, and says which "
        "dialect would have matched them with the ids that wait for a receipt. The relay keeps a sample of such "
        "receipts of a carrier whose receipts match too few messages, until another dialect matches them or you "
        "dismiss them.",
        _EPILOG,
    )
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--orphans", action="store_true", help="say what would match them")
    asked.add_argument("--dismiss", metavar="CARRIER", help="keep the sample of this carrier's receipts no longer")
    parser.add_argument("--reason", default="", help="why you dismiss them, for the record")
    add_arguments(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Reads pairs on standard input, or asks a running relay, and prints the settings that fit."""
    if not any(argument.split("=")[0] in ("--orphans", "--dismiss") for argument in arguments):
        # Octets that are no UTF-8 are a text in another alphabet, which no dialect looks at.
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
        return dialect_finder.main(arguments, sys.stdin, sys.stdout)
    options = make_parser().parse_args(arguments)
    if options.dismiss is not None:
        return _dismiss(options)
    review = ask(options, "/receipts")
    sys.stdout.write(report(review))
    return 1 if (review["orphans"] or review["evidence"]) and not review["advice"] else 0


def _dismiss(options: argparse.Namespace) -> int:
    answer = ask(options, f"/carriers/{quote(options.dismiss, safe='')}/dismiss", {"reason": options.reason})
    print(answer["done"])
    return 0


def report(review: Any) -> str:
    """The admin listener's advice about orphans, as YAML with comments."""
    orphans, evidence = review["orphans"], review["evidence"]
    if not orphans and not evidence:
        return "# No receipt waits for its message: nothing to find.\n"
    lines = [f"# {len(orphans) + len(evidence)} receipts found no message."]
    for carrier in dict.fromkeys(receipt["carrier"] for receipt in evidence):
        count = [receipt["carrier"] for receipt in evidence].count(carrier)
        lines.append(f"# {count} of them are kept of {carrier}, although their time is over: it matches too little.")
    for advice in review["advice"]:
        lines.append(f"# {advice['matched']} of {advice['tried']} of {advice['carrier']}'s match with this:")
        lines.append(advice["yaml"].rstrip("\n"))
        if advice["presets"]:
            lines.append(f"# These presets have the same settings of ids: {', '.join(advice['presets'])}")
    if not review["advice"]:
        lines.append("# No setting matches them with the ids that wait: did this relay send these messages?")
    return "\n".join(lines) + "\n"

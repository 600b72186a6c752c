"""`python -m relay trace`: shows what goes between a running relay and one carrier or account, for some minutes."""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from relay.cli.admin_client import add_arguments, ask
from relay.cli.command_parser import CommandParser, Paint, command_parser
from relay.operator.trace_lines import TraceLine, clock_text

_POLL_SECONDS: Final = 1.0
_MOST_MINUTES: Final = 60.0
_EPILOG: Final = """\
examples:
  python -m relay trace --carrier tier1
  python -m relay trace --account acme --minutes 15 --reason "no receipts since noon"
  python -m relay trace --carrier tier1 > tier1.txt

It shows each PDU and each HTTP request with its answer. Texts, passwords, keys, signatures and the queries of URLs are
left out, and the last two digits of numbers. The trace ends when its time is over, when it has 20,000 lines, or at
Ctrl-C. The operator's page Traces shows it, too.

exit status:
  0  the trace has ended
  1  the relay refused: the reason is on standard error
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    described = "Shows what goes between a running relay and one carrier or account, for some minutes."
    parser = command_parser("trace", described, _EPILOG)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--carrier", metavar="NAME", help="the PDUs and requests between the relay and this carrier")
    asked.add_argument("--account", metavar="NAME", help="this account's SMPP sessions, and the requests to its URLs")
    parser.add_argument("--minutes", type=_minutes, default=5.0, help="end after so long (default 5, at most 60)")
    parser.add_argument("--reason", default="", help="why, for the record of operators' actions")
    add_arguments(parser)
    return parser


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0.0 < minutes <= _MOST_MINUTES:
        raise argparse.ArgumentTypeError(f"expected more than 0 and at most {_MOST_MINUTES:g} minutes, got {text!r}")
    return minutes


def main(arguments: Sequence[str]) -> int:
    """Begins a trace, and shows its lines until it has ended. An interrupt ends the trace."""
    options = make_parser().parse_args(arguments)
    kind, name = ("carriers", options.carrier) if options.carrier else ("accounts", options.account)
    wanted = {"minutes": options.minutes, "reason": options.reason}
    begun = ask(options, f"/{kind}/{quote(name, safe='')}/trace", wanted)
    path = f"/traces/{begun['number']}"
    print(f"{name} is being traced for {options.minutes:g} min; Ctrl-C ends it", file=sys.stderr, flush=True)
    ended = ""
    try:
        ended = _show(options, path)
    finally:
        if not ended:
            ask(options, f"{path}/end", {})
    print(f"the trace has ended: {ended}", file=sys.stderr)
    return 0


def _show(options: argparse.Namespace, path: str) -> str:
    """Shows lines as they come. Returns why the trace has ended."""
    paint = Paint(sys.stdout)
    after = 0
    while True:
        found: Any = ask(options, f"{path}?after={after}")
        after = found["next"]
        for line in msgspec.convert(found["lines"], list[TraceLine]):
            way = paint(f"{line.way:8}", "good" if line.way == "sent" else "some") if line.way else f"{'':8}"
            print(f"{paint(f'{clock_text(line.at)} {line.connection:4}', 'soft')} {way} {line.text}", flush=True)
        if found["trace"]["ended"] and after >= found["trace"]["lines"]:
            return str(found["trace"]["ended"])
        if not found["lines"]:
            time.sleep(_POLL_SECONDS)

"""`python -m relay replay`: makes a running relay send notifications again."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from relay.cli.admin_client import add_arguments, ask, lines_of
from relay.cli.command_parser import CommandParser, command_parser
from relay.cli.progress import Progress

_IDS_AT_ONCE = 1000
_EPILOG = """\
examples:
  python -m relay replay acme --since 2026-11-23T00:00 --dry-run
  python -m relay replay acme --since 2026-11-23T00:00 --reason "their server was down"
  python -m relay replay acme --ids ids.txt
  grep '"account":"acme"' records.jsonl | jq -r .id | python -m relay replay acme --ids -

Without --ids, all kept notifications that were given up in that time are sent again. You can resend notifications
only for finished messages. The customer gets the same id and status once more, and can tell by them that it is a
repetition.

exit status:
  0  done, also if there was nothing to send
  1  the relay refused: the reason is on standard error
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "replay",
        "Makes a running relay send notifications of an account again.",
        _EPILOG,
    )
    parser.add_argument("account", metavar="ACCOUNT")
    parser.add_argument(
        "--since",
        type=_instant,
        metavar="TIME",
        help="only those given up since then (ISO 8601; UTC unless the time names a zone)",
    )
    parser.add_argument("--until", type=_instant, metavar="TIME", help="only those given up before then (default: now)")
    parser.add_argument("--ids", metavar="FILE", type=_ids, help="message ids, one a line; - is standard input")
    parser.add_argument("--dry-run", action="store_true", help="only say how many would be sent again")
    parser.add_argument("--reason", default="", help="for the audit record")
    parser.add_argument("--json", action="store_true", help="print one JSON object: account, replayed, passed_over")
    add_arguments(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Asks the relay for the replay, and prints how many notifications will be sent."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.ids is not None and (options.since or options.until):
        parser.error("--ids names the messages: leave --since and --until out")
    if options.since and options.until and options.since >= options.until:
        parser.error("--until is not after --since: give a later --until")
    count, passed_over = (_by_time(options), 0) if options.ids is None else _by_ids(options)
    if options.json:
        print(json.dumps({"account": options.account, "replayed": count, "passed_over": passed_over}))
    else:
        print(f"{count} notifications of {options.account} {'would' if options.dry_run else 'will'} be sent again")
    if passed_over:
        print(
            f"{passed_over} ids were skipped: the relay keeps no finished message of {options.account} with them",
            file=sys.stderr,
        )
    return 0


def _by_time(options: argparse.Namespace) -> int:
    wanted = {"reason": options.reason, "since": options.since, "until": options.until, "dry_run": options.dry_run}
    return int(ask(options, _path(options), wanted)["count"])


def _by_ids(options: argparse.Namespace) -> tuple[int, int]:
    ids: list[str] = options.ids
    progress = Progress("replaying", len(ids), "messages")
    count = passed_over = 0
    for start in range(0, len(ids), _IDS_AT_ONCE):
        wanted = {"reason": options.reason, "ids": ids[start : start + _IDS_AT_ONCE], "dry_run": options.dry_run}
        done = ask(options, _path(options), wanted)
        count += int(done["count"])
        passed_over += int(done["passed_over"])
        progress.at(min(start + _IDS_AT_ONCE, len(ids)))
    if ids:
        progress.end()
    return count, passed_over


def _path(options: argparse.Namespace) -> str:
    return f"/accounts/{quote(options.account, safe='')}/replay"


def _ids(file: str) -> list[str]:
    text = sys.stdin.read() if file == "-" else lines_of(file)
    return text.split()


def _instant(text: str) -> float:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 time such as 2026-11-23T14:00") from None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()

"""`python -m relay listen`: shows the notifications of an account as they happen, without a URL that can be reached."""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from relay.cli.admin_client import REQUEST_HEADERS, http_url
from relay.cli.command_parser import CommandParser, Paint, command_parser
from relay.cli.customer_client import KEY_VARIABLE, Failed, add_arguments, call, key_of

_WAIT_SECONDS: Final = 30
_FORWARD_SECONDS: Final = 30.0
_EPILOG: Final = f"""\
examples:
  {KEY_VARIABLE}=demo-key python -m relay listen --account demo
  python -m relay listen --account demo --key-file key --forward-to http://127.0.0.1:3000/sms/notifications

It shows the final states that the relay learns from now on, from the feed of the account, until Ctrl-C. With
--forward-to it posts each of them to your program, with the body of a webhook. These posts are not signed, and not
tried again.

exit status:
  0  --count notifications were shown
  1  the relay refused: the reason is on standard error
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "listen",
        "Shows the notifications of an account as they happen, for developers who have no public URL yet.",
        _EPILOG,
    )
    add_arguments(parser)
    parser.add_argument("--forward-to", metavar="URL", type=http_url, help="post each notification to this URL, too")
    parser.add_argument("--count", type=_count, metavar="N", help="end after so many (default: never)")
    parser.add_argument("--json", action="store_true", help="print each notification as a line of JSON")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Shows notifications until there were enough of them."""
    options = make_parser().parse_args(arguments)
    shown = 0
    try:
        key = key_of(options)
        after = call(options, key, "/notifications?after=end&limit=1")["next"]
        print(f"waiting for notifications of {options.account}", file=sys.stderr, flush=True)
        while True:
            limit = 100 if options.count is None else min(100, options.count - shown)
            page = call(options, key, f"/notifications?after={quote(after)}&limit={limit}&wait={_WAIT_SECONDS}")
            for notification in page["notifications"]:
                _show(options, notification)
            shown += len(page["notifications"])
            after = page["next"]
            if options.count is not None and shown >= options.count:
                return 0
    except Failed as problem:
        print(problem, file=sys.stderr)
        return problem.status


def _show(options: argparse.Namespace, notification: Any) -> None:
    if options.json:
        print(json.dumps(notification), flush=True)
    else:
        paint = Paint(sys.stdout)
        kind = "good" if notification["send_status"] == "delivered" else "bad"
        status = paint(notification["status"], kind)
        print(f"{notification['at']}  {notification['id']}  {status}  error {notification['error']}", flush=True)
    if options.forward_to:
        answer = _forward(options.forward_to, notification)
        print(f"  {options.forward_to}: {answer}", file=sys.stderr, flush=True)


def _forward(url: str, notification: Any) -> str:
    """Posts a notification as a webhook would, and returns the answer in a word or two."""
    body = {"url": url} | {name: notification[name] for name in ("id", "send_status", "status", "error")}
    headers = {**REQUEST_HEADERS, "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_FORWARD_SECONDS) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as problem:
        return str(problem.code)
    except (OSError, ValueError) as problem:
        return f"no answer: {getattr(problem, 'reason', problem)}"


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1000000, got {text!r}")
    return int(text)

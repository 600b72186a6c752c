"""`python -m relay tail`: shows what happens to the messages of a running relay, as it happens."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from relay.cli.admin_client import add_arguments, ask
from relay.cli.command_parser import CommandParser, Paint, command_parser
from relay.cli.message_command import event_line

_POLL_SECONDS: Final = 1.0
#: The messages that are looked at each time: the latest ones.
_LOOKED_AT: Final = 500
_EPILOG: Final = """\
examples:
  python -m relay tail
  python -m relay tail --account acme
  python -m relay tail --carrier tier1 --status failed

It shows new events of the latest 500 messages that meet the conditions, once a second until Ctrl-C. At a high rate it
shows a part of what happens, and says so.

exit status:
  0  the reader of its output has ended (`| head`)
  1  the relay refused: the reason is on standard error
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser("tail", "Shows what happens to the messages of a running relay, as it happens.", _EPILOG)
    parser.add_argument("--account", default="", help="only messages of this account")
    parser.add_argument("--carrier", default="", help="only messages that this carrier has taken")
    parser.add_argument("--status", default="", help="only messages in this state, such as DELIVRD or failed")
    add_arguments(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Shows events until somebody interrupts it."""
    options = make_parser().parse_args(arguments)
    asked = {"account": options.account, "carrier": options.carrier, "status": options.status}
    asked = {name: value for name, value in asked.items() if value} | {"order": "newest", "limit": str(_LOOKED_AT)}
    paint = Paint(sys.stdout)
    news = News()
    list(news.events(ask(options, "/messages?" + urlencode(asked))["messages"]))
    print("waiting for messages", file=sys.stderr, flush=True)
    while True:
        time.sleep(_POLL_SECONDS)
        messages = ask(options, "/messages?" + urlencode(asked))["messages"]
        if len(messages) == _LOOKED_AT and news.knows_none(messages):
            print("  there are more messages than are shown", file=sys.stderr, flush=True)
        for message, event in news.events(messages):
            print(f"{event_line(event, paint)}  {paint(_name(message), 'soft')}", flush=True)


def _name(message: Any) -> str:
    return f"{message['id'][:13]} {message['account']} to {message['to']}"


class News:
    """Finds the events of messages that have not been shown yet. It remembers only the messages of the last look."""

    def __init__(self) -> None:
        self._shown: dict[str, set[str]] = {}

    def knows_none(self, messages: Sequence[Any]) -> bool:
        """Whether none of these messages was there at the last look, so that others may have been missed."""
        return bool(self._shown) and not any(message["id"] in self._shown for message in messages)

    def events(self, messages: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Yields each event that is new, with its message, in order of time. What lies ahead is left out."""
        before, self._shown = self._shown, {}
        found = []
        for message in messages:
            known = before.get(message["id"], set())
            now = {event["what"] for event in message["events"] if not event["ahead"]}
            self._shown[message["id"]] = now
            found += [(event, message) for event in message["events"] if event["what"] in now - known]
        found.sort(key=lambda pair: pair[0]["at"])
        for event, message in found:
            yield message, event

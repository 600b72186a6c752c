"""`python -m relay message`: shows everything that a running relay knows about one message."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from relay.cli.admin_client import add_arguments, ask
from relay.cli.command_parser import CommandParser, Paint, command_parser

_EPILOG: Final = """\
examples:
  python -m relay message 72b83667-a8f1-4c09-861f-e1ee6dd4561b
  python -m relay message 0A1B2C3D

ID is the relay's id of a message or its beginning, or a carrier's. If several messages have it, all are shown.
`python -m relay find` finds messages by number, reference, carrier or state.

exit status:
  0  the message is known
  1  no message has this id
  2  wrong use of the command line
  3  the relay doesn't answer
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    parser = command_parser(
        "message",
        "Shows what happened to a message: when it was accepted, which carrier took it, its receipt, and each attempt "
        "to notify the customer.",
        _EPILOG,
    )
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--json", action="store_true", help="print a JSON array of the messages")
    add_arguments(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Prints the message's facts, and one line for each event."""
    options = make_parser().parse_args(arguments)
    found = ask(options, f"/messages?id={quote(options.id, safe='')}")
    if options.json:
        print(json.dumps(found))
    else:
        print("\n\n".join(written(message, Paint(sys.stdout)) for message in found), end="\n" if found else "")
    if not found:
        print(f"no message has the id {options.id}", file=sys.stderr)
    return 0 if found else 1


def written(message: Any, paint: Paint) -> str:
    """Writes a message of the admin listener as lines of text."""
    lines = [f"{paint(message['id'], 'head')}  {message['status']}"]
    facts = [
        ("account", message["account"]),
        ("from", message["sender"]),
        ("to", message["to"]),
        ("reference", message["reference"]),
        ("carrier", message["carrier"]),
        ("carrier's ids", ", ".join(message["carrier_message_ids"])),
        ("notification URL", message["notification_url"]),
        ("still to notify by", ", ".join(message["owed"])),
    ]
    width = max(len(name) for name, value in facts if value)
    lines += [f"  {name:{width}}  {value}" for name, value in facts if value]
    lines += [f"  {event_line(event, paint)}" for event in message["events"]]
    return "\n".join(lines)


def event_line(event: Any, paint: Paint) -> str:
    """Writes an event as its time and a sentence."""
    at = datetime.fromtimestamp(event["at"], UTC)
    kind = {True: "good", False: "bad", None: ""}[event["good"]]
    return f"{paint(f'{at:%Y-%m-%d %H:%M:%S}', 'soft')}  {paint(event['what'], kind)}"

"""`python -m relay hold`, `resume`, `drain`, `suspend` and `unsuspend`: act on a carrier or an account."""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from relay.cli.admin_client import Refused, add_arguments, ask
from relay.cli.command_parser import CommandParser, command_parser

_POLL_SECONDS: Final = 1.0
_EXIT_STATUS: Final = """\

exit status:
  0  done
  1  the relay refused: the reason is on standard error
  2  wrong use of the command line
  3  the relay doesn't answer
"""


class ActionCommand:
    """A command that does an action of the admin listener to one carrier or account.

    :param kind: "carrier" or "account".
    :param action: the last element of the action's path.
    """

    def __init__(self, name: str, kind: str, action: str, description: str, example: str) -> None:
        self._name = name
        self._kind = kind
        self._action = action
        self._description = description
        self._example = example

    def make_parser(self) -> CommandParser:
        """Makes the parser of the command's options."""
        parser = command_parser(self._name, self._description, self._example + _EXIT_STATUS)
        parser.add_argument("target", metavar=self._kind.upper())
        parser.add_argument("--reason", default="", help="why, for the record of operators' actions")
        add_arguments(parser)
        return parser

    def main(self, arguments: Sequence[str]) -> int:
        """Does the action, and prints the relay's answer."""
        options = self.make_parser().parse_args(arguments)
        print(self._act(options))
        return 0

    def _act(self, options: argparse.Namespace) -> str:
        path = f"/{self._kind}s/{quote(options.target, safe='')}/{self._action}"
        return str(ask(options, path, {"reason": options.reason})["done"])


class DrainCommand(ActionCommand):
    """Holds a carrier, and waits for the messages that it has."""

    def make_parser(self) -> CommandParser:
        """Makes the parser of the command's options."""
        parser = super().make_parser()
        parser.add_argument(
            "--wait", type=_seconds, metavar="SECONDS", help="wait no longer (default: until all is done)"
        )
        return parser

    def main(self, arguments: Sequence[str]) -> int:
        """Holds the carrier, and returns when nothing of it is outstanding, or when the time is over."""
        options = self.make_parser().parse_args(arguments)
        print(self._act(options))
        until = None if options.wait is None else time.monotonic() + options.wait
        shown = ""
        while True:
            look = ask(options, f"/carriers/{quote(options.target, safe='')}")
            if not look["held"]:
                raise Refused(f"{options.target} was resumed meanwhile")
            if not look["in_flight"] and not look["receipts_out"]:
                print(f"{options.target} is drained: nothing of it is outstanding; {_left(look)}")
                return 0
            said = f"{look['in_flight']} parts await their response, {look['receipts_out']} their receipt"
            if until is not None and time.monotonic() >= until:
                raise Refused(f"{options.target} is held but not drained: {said}")
            if said != shown:
                print(said, file=sys.stderr, flush=True)
                shown = said
            time.sleep(_POLL_SECONDS)


def _left(look: Any) -> str:
    queued = look["queued"]
    return f"{queued} parts wait for it" if queued else "no part waits for it"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, got {text!r}")
    return seconds


HOLD: Final = ActionCommand(
    "hold",
    "carrier",
    "hold",
    "Has a running relay send nothing more to a carrier, until you resume it. New messages, and those that wait for "
    "the carrier, go to the other carriers of their routes, or wait. Receipts still come. A hold outlives a restart.",
    'examples:\n  python -m relay hold tier1 --reason "they lose messages"\n',
)
RESUME: Final = ActionCommand(
    "resume",
    "carrier",
    "resume",
    "Ends the hold of a carrier: a running relay sends it messages again.",
    "examples:\n  python -m relay resume tier1\n",
)
DRAIN: Final = DrainCommand(
    "drain",
    "carrier",
    "hold",
    "Holds a carrier, and waits until all responses and receipts that it owes have come, for instance before you "
    "remove it from the configuration. The carrier stays held. If you interrupt the command, the hold stays, too.",
    'examples:\n  python -m relay drain tier1 --wait 3600 --reason "contract ends"\n  python -m relay resume tier1\n',
)
SUSPEND: Final = ActionCommand(
    "suspend",
    "account",
    "suspend",
    "Suspends an account of a running relay at once: its SMPP sessions end, its logins are refused, and its messages "
    "that no carrier has taken wait. It is still notified of the others. A suspension outlives a restart.",
    'examples:\n  python -m relay suspend acme --reason "sends fraud"\n',
)
UNSUSPEND: Final = ActionCommand(
    "unsuspend",
    "account",
    "unsuspend",
    "Ends the suspension of an account: it may log in again, and its messages are sent.",
    "examples:\n  python -m relay unsuspend acme\n",
)

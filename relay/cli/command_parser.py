"""Makes the commands' parsers, and the colours of their output."""

import argparse
import os
import sys
from pathlib import Path
from typing import Final, TextIO

#: The command as the documentation writes it. It works with any installation.
AS_MODULE: Final = "python -m relay"
_COLOURS: Final = {"bad": "31", "good": "32", "some": "33", "head": "1", "soft": "2"}


def program() -> str:
    """Returns how this process was called: `relay` or `python -m relay`."""
    return "relay" if Path(sys.argv[0]).name == "relay" else AS_MODULE


class CommandParser(argparse.ArgumentParser):
    """Reads the arguments of a command, and shows which there are."""

    def actions(self) -> list[argparse.Action]:
        """Returns every option and every other argument, those of groups included."""
        return self._actions


def command_parser(name: str, description: str, epilog: str) -> CommandParser:
    """Makes the parser of a command. It writes the lines of the epilog as they are.

    :param name: what follows `python -m relay`.
    :param epilog: examples and exit statuses. `python -m relay` in it becomes what was called.
    """
    return CommandParser(
        prog=f"{program()} {name}",
        description=description,
        epilog=epilog.replace(AS_MODULE, program()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


class Paint:
    """Colours text for a terminal. Elsewhere, or if NO_COLOR is set, it leaves the text as it is.

    :param out: where the text will be written.
    """

    def __init__(self, out: TextIO) -> None:
        self._on = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str, kind: str) -> str:
        """Returns the text in a colour.

        :param kind: "bad", "good", "some" (neither good nor bad), "head" (bold), "soft", or "" for none.
        """
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if self._on and kind and text else text

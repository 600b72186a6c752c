"""`python -m relay`: finds the command's module and runs it.

The module of a command is imported only when it is needed: `check` is quick, because it doesn't load what `simulate`
needs. A command is a module with `main(arguments) -> int | None`, its exit status.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from relay import __version__
from relay.config.yaml_reader import did_you_mean

#: Exit statuses of all commands. Each command's help says what its others mean.
FINE: Final = 0
WRONG_USE: Final = 2
_INTERRUPTED: Final = 130

#: Command: its module, and what it does.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "check": ("relay.cli.check", "say whether a configuration file is right, and what is wrong"),
    "import": ("relay.cli.import_command", "turn the configuration of Kannel into one of the relay"),
    "journal": ("relay.cli.journal_files", "print a journal as JSON lines, or repair a damaged one"),
    "simulate": ("relay.cli.simulate", "run a simulated SMPP carrier for tests"),
    "send": ("relay.cli.send_message", "submit a message and wait for its notification"),
    "status": ("relay.cli.status", "show the state of a running relay"),
    "find": ("relay.cli.find", "find messages of a running relay, also old ones, or export them"),
    "history": ("relay.cli.history_command", "take a phone number out of the history and the message records"),
    "replay": ("relay.cli.replay_notifications", "have a running relay send notifications again"),
    "route": ("relay.cli.route", "say which carriers a message would go to, and why"),
    "cluster": ("relay.cli.cluster_command", "make the tables of a cluster of relays, and show its state"),
    "dialect": ("relay.cli.dialect_command", "find the settings for a carrier's ids and receipts"),
}

_EPILOG = """\
examples:
  python -m relay check etc/relay.yaml
  python -m relay journal var/relay | head
  python -m relay simulate --listen tcp:2776:interface=127.0.0.1
  python -m relay COMMAND --help

exit status:
  0  all is well
  1  something is wrong: the reason is on standard error
  2  wrong use of the command line
  3  the relay doesn't answer

The relay itself is started by `twistd -n relay --config etc/relay.yaml`.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command that the arguments name, and gives the process's exit status.

    :param arguments: what follows `python -m relay`.
    """
    if not arguments or arguments[0] not in COMMANDS:
        return _without_command(arguments)
    module = importlib.import_module(COMMANDS[arguments[0]][0])
    try:
        status: int | None = module.main(arguments[1:])
        sys.stdout.flush()
        return status or FINE
    except BrokenPipeError:
        # The reader of our output (`| head`) has stopped. Without this the interpreter would complain while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt:
        return _INTERRUPTED


def _without_command(arguments: Sequence[str]) -> int:
    """Prints help, the version, or what is wrong with the command."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m relay",
        usage="python -m relay COMMAND ...",
        description=f"Tools for the SMS relay.\n\ncommands:\n{listed}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"relay {__version__}")
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    asked, rest = parser.parse_known_args(arguments)
    if asked.command is None and not rest:
        parser.print_help()
        return WRONG_USE
    unknown = asked.command or rest[0]
    print(
        f"python -m relay: there is no command {unknown!r}{did_you_mean(unknown, COMMANDS)} "
        f"(commands: {', '.join(COMMANDS)})",
        file=sys.stderr,
    )
    return WRONG_USE

"""`python -m relay`, installed as `relay`, too: finds the command's module and runs it.

The module of a command is imported only when it is needed: `check` is quick, because it doesn't load what `simulate`
needs. To add a command, write a module with the two functions of `Command`, and add a line to `COMMANDS`.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from relay import __version__
from relay.cli.admin_client import NO_ANSWER, NoAnswer, Refused
from relay.cli.command_parser import AS_MODULE, CommandParser, program
from relay.config.yaml_reader import did_you_mean

#: Exit statuses of all commands. Each command's help says what its others mean.
FINE: Final = 0
WRONG: Final = 1
WRONG_USE: Final = 2
_INTERRUPTED: Final = 130

#: The name of each `Command`, where it is, and what it does. It is a module, or `module:object` for an object in it.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "check": ("relay.cli.check", "say whether a configuration file is right, and what is wrong"),
    "import": ("relay.cli.import_command", "turn the configuration of Kannel or Jasmin into one of the relay"),
    "status": ("relay.cli.status", "show the state of a running relay"),
    "find": ("relay.cli.find", "find messages of a running relay, also old ones, or export them"),
    "message": ("relay.cli.message_command", "show what happened to one message"),
    "tail": ("relay.cli.tail_command", "show what happens to messages as it happens"),
    "hold": ("relay.cli.action_commands:HOLD", "send nothing more to a carrier"),
    "resume": ("relay.cli.action_commands:RESUME", "send to a held carrier again"),
    "drain": ("relay.cli.action_commands:DRAIN", "hold a carrier, and wait for its responses and receipts"),
    "suspend": ("relay.cli.action_commands:SUSPEND", "end an account's sessions, and take nothing more from it"),
    "unsuspend": ("relay.cli.action_commands:UNSUSPEND", "end the suspension of an account"),
    "balance": ("relay.cli.balance_command", "show what an account has used and paid, and top it up"),
    "purge": ("relay.cli.purge_command", "end the messages that wait for a carrier, or those of an account or a route"),
    "trace": ("relay.cli.trace_command", "show what goes between a running relay and a carrier or account"),
    "reload": ("relay.cli.reload_command", "have a running relay read its configuration file again"),
    "replay": ("relay.cli.replay_notifications", "have a running relay send notifications again"),
    "route": ("relay.cli.route", "say which carriers a message would go to, and why"),
    "cluster": ("relay.cli.cluster_command", "make the tables of a cluster of relays, and show its state"),
    "dialect": ("relay.cli.dialect_command", "find the settings for a carrier's ids and receipts"),
    "send": ("relay.cli.send_message", "submit a message and wait for its notification"),
    "listen": ("relay.cli.listen_command", "show the notifications of an account as they happen"),
    "simulate": ("relay.cli.simulate", "run a simulated carrier for tests, over SMPP or HTTP"),
    "journal": ("relay.cli.journal_files", "print a journal as JSON lines, or repair a damaged one"),
    "history": ("relay.cli.history_command", "take a phone number out of the history and the message records"),
    "password": ("relay.cli.password_command", "print the hash of a password, for admin.users"),
    "completion": ("relay.cli.completion", "print a script with which a shell completes commands and options"),
}


class Command(Protocol):
    """One command: a module, or an object of a module."""

    def make_parser(self) -> CommandParser:
        """Makes the parser of the command's options. The completion of shells needs it."""

    def main(self, arguments: Sequence[str]) -> int | None:
        """Does what the arguments say, and returns the exit status. May raise `NoAnswer` and `Refused`."""


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the arguments name, and gives the process's exit status.

    :param arguments: what follows `python -m relay`; None: those of this process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in COMMANDS:
        return _without_command(arguments)
    command = command_of(arguments[0])
    try:
        status = command.main(arguments[1:])
        sys.stdout.flush()
        return status or FINE
    except NoAnswer as problem:
        print(problem, file=sys.stderr)
        return NO_ANSWER
    except Refused as problem:
        print(problem, file=sys.stderr)
        return WRONG
    except BrokenPipeError:
        # The reader of our output (`| head`) has stopped. Without this the interpreter would complain while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt:
        return _INTERRUPTED


def command_of(name: str) -> Command:
    """Imports the command of this name in `COMMANDS`."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found: Command = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def _without_command(arguments: Sequence[str]) -> int:
    """Prints help, the version, or what is wrong with the command."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=program(),
        usage=f"{program()} COMMAND ...",
        description=f"Tools for the SMS relay.\n\ncommands:\n{listed}",
        epilog=_EPILOG.replace(AS_MODULE, program()),
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
        f"{program()}: there is no command {unknown!r}{did_you_mean(unknown, COMMANDS)} "
        f"(commands: {', '.join(COMMANDS)})",
        file=sys.stderr,
    )
    return WRONG_USE

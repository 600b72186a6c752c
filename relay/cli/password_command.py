"""`python -m relay password`: prints the hash of a password, for `admin.users` in the configuration."""

import getpass
import os
import sys
from collections.abc import Sequence
from typing import Final

from relay.cli.command_parser import CommandParser, command_parser
from relay.config.password_hash import SALT_BYTES, hash_password

_EPILOG: Final = """\
examples:
  python -m relay password
  python -m relay password < password.txt

On a terminal it asks twice. Otherwise the password is the first line of standard input.

exit status:
  0  the hash is on standard output
  1  the password is empty, or the two differ
  2  wrong use of the command line
"""


def make_parser() -> CommandParser:
    """Makes the parser of the command's options."""
    return command_parser("password", "Prints the hash of a password, for admin.users in the configuration.", _EPILOG)


def main(arguments: Sequence[str]) -> int:
    """Reads a password and prints its hash."""
    make_parser().parse_args(arguments)
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            print("the two passwords differ", file=sys.stderr)
            return 1
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        print("the password is empty", file=sys.stderr)
        return 1
    print(hash_password(password, os.urandom(SALT_BYTES)))
    return 0

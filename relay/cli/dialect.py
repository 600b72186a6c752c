"""`python -m relay dialect`: see `relay.dialect_finder`."""

import sys
from collections.abc import Sequence

from relay import dialect_finder


def main(arguments: Sequence[str]) -> int:
    """Reads pairs on standard input and prints the settings that fit them."""
    return dialect_finder.main(arguments, sys.stdin, sys.stdout)

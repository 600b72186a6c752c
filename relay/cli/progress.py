"""A bar on standard error while work is long, and nothing where nobody looks."""

import sys
from typing import TextIO

_WIDTH = 30


class Progress:
    """Shows how far something is.

    :param total: what will have been done in the end.
    :param out: a terminal gets the bar; anything else gets nothing.
    """

    def __init__(self, what: str, total: int, out: TextIO | None = None) -> None:
        self._what = what
        self._total = max(1, total)
        self._out = out or sys.stderr
        self._shown = self._out.isatty()

    def at(self, done: int) -> None:
        """So much is done."""
        if self._shown:
            filled = _WIDTH * min(done, self._total) // self._total
            bar = "#" * filled + "." * (_WIDTH - filled)
            self._out.write(f"\r{self._what} [{bar}] {done} of {self._total}")
            self._out.flush()

    def end(self) -> None:
        """Makes room for what is printed next."""
        if self._shown:
            self._out.write("\n")
            self._out.flush()

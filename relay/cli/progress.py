"""How far a long piece of work is, on standard error: a bar on a terminal, a plain line now and then anywhere else.

Both say nothing for the first moments, so that short work stays silent.
"""

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

_WIDTH: Final = 30
#: A terminal is written to this often at the most, and not at all by work that is shorter.
_BAR_SECONDS: Final = 0.2
#: Anything else (a log, a pipe) gets a line this often.
_LINE_SECONDS: Final = 10.0


class Progress:
    """Shows how far something is. Nothing is written but by `at` and `end`.

    :param what: a word for the work: "repairing".
    :param total: what will have been done in the end.
    :param unit: what is counted, for the lines; octets are shown as MB.
    :param out: where it is written; a terminal gets the bar.
    :param clock: gives seconds that only grow.
    """

    def __init__(
        self,
        what: str,
        total: int,
        unit: str = "",
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._total = max(1, total)
        self._unit = unit
        self._out = out or sys.stderr
        self._clock = clock
        self._bar = self._out.isatty()
        self._pause_seconds = _BAR_SECONDS if self._bar else _LINE_SECONDS
        self._begun_at = clock()
        self._next_at = self._begun_at + self._pause_seconds
        self._width = 0

    def at(self, done: int) -> None:
        """So much is done. Cheap; may be called as often as one likes."""
        now = self._clock()
        if now >= self._next_at:
            self._next_at = now + self._pause_seconds
            self._show(done, now)

    def end(self) -> None:
        """All is done: fills a bar that was begun, and makes room for what is printed next."""
        if self._width:
            self._show(self._total, self._clock())
            self._out.write("\n")
            self._out.flush()
            self._width = 0

    def _show(self, done: int, now: float) -> None:
        done = min(done, self._total)
        text = f"{self._what}: {self._amount(done)} of {self._amount(self._total)}{self._unit_word()}"
        if 0 < done < self._total:
            left_seconds = (now - self._begun_at) * (self._total - done) / done
            text += f", about {_duration(left_seconds)} left"
        if not self._bar:
            self._out.write(text + "\n")
        else:
            filled = _WIDTH * done // self._total
            line = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {text}"
            # Blanks over what a longer line left behind.
            self._out.write("\r" + line.ljust(self._width))
            self._width = len(line)
        self._out.flush()

    def _amount(self, count: int) -> str:
        return f"{count / 1e6:.0f}" if self._unit == "octets" else f"{count:,}"

    def _unit_word(self) -> str:
        return " MB" if self._unit == "octets" else f" {self._unit}" if self._unit else ""


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"

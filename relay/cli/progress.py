"""Shows the progress of long work on standard error: a bar on a terminal, or a line now and then elsewhere.

Nothing is shown in the first moments, so that short work stays silent.
"""

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

_WIDTH: Final = 30
#: The time between two updates of a terminal. Work that takes less shows nothing.
_BAR_SECONDS: Final = 0.2
#: The time between two lines in anything else (a log, a pipe).
_LINE_SECONDS: Final = 10.0


class Progress:
    """Shows how far some work is. Only `at` and `end` write anything.

    :param what: a word for the work: "repairing".
    :param total: the amount at the end.
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
        """Says how much is done. A call is cheap, so call it often."""
        now = self._clock()
        if now >= self._next_at:
            self._next_at = now + self._pause_seconds
            self._show(done, now)

    def end(self) -> None:
        """Says that all is done: completes the bar, if there is one, and ends its line."""
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
            # Blanks remove the rest of a longer line.
            self._out.write("\r" + line.ljust(self._width))
            self._width = len(line)
        self._out.flush()

    def _amount(self, count: int) -> str:
        return f"{count / 1e6:.0f}" if self._unit == "octets" else f"{count:,}"

    def _unit_word(self) -> str:
        return " MB" if self._unit == "octets" else f" {self._unit}" if self._unit else ""


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"

"""The last hour in steps of ten seconds and the last week in steps of ten minutes, for the operator's charts.

Theory of operation: the services count. Every `STEP_SECONDS` this module reads their counters, and it keeps the growth
in each step for an hour. It adds up the growth in `LONG_STEP_SECONDS`, and keeps that for a week. It does so only for
counters of the whole relay, whose names have no dot: there may be very many accounts.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

STEP_SECONDS: Final = 10.0
_STEPS: Final = 360
LONG_STEP_SECONDS: Final = 600.0
_LONG_STEPS: Final = 1008
_TURNS_A_LONG_STEP: Final = int(LONG_STEP_SECONDS / STEP_SECONDS)


class History:
    """Samples counters and keeps their growth.

    :param read: returns all counters by name. A new one begins with a growth of 0; one that is gone keeps its steps.
    """

    def __init__(self, read: Callable[[], Mapping[str, float]], clock: IReactorTime) -> None:
        self._read = read
        self._clock = clock
        self._last: dict[str, float] = {}
        self._steps: dict[str, deque[float]] = {}
        #: The growth in each long step; the last one is not over yet.
        self._long_steps: dict[str, deque[float]] = {}
        self._turns = 0
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begins to sample, and returns at once. A second call does nothing."""
        if self._timer is None:
            self._last = dict(self._read())
            self._timer = self._clock.callLater(STEP_SECONDS, self._turn)

    def stop(self) -> None:
        """Ends the sampling. A second call does nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def of(self, name: str) -> list[float]:
        """The growth in each step, oldest first; 360 steps at most."""
        return list(self._steps.get(name, ()))

    def of_long_steps(self, name: str) -> list[float]:
        """The growth in each long step, oldest first; 1008 steps at most. The last one is not over yet."""
        return list(self._long_steps.get(name, ()))

    def names(self) -> list[str]:
        """The names of all counters that were sampled."""
        return list(self._steps)

    def rate(self, name: str) -> float:
        """The growth per second in the last step; 0.0 before the first step."""
        steps = self._steps.get(name)
        return steps[-1] / STEP_SECONDS if steps else 0.0

    def _turn(self) -> None:
        self._timer = self._clock.callLater(STEP_SECONDS, self._turn)
        now = dict(self._read())
        length = max((len(steps) for steps in self._steps.values()), default=0)
        for name in self._steps.keys() - now.keys():
            del self._steps[name]
        for name, value in now.items():
            steps = self._steps.get(name)
            if steps is None:
                # A new counter ends in the same step as the others, and has zeros before.
                steps = self._steps[name] = deque([0.0] * length, maxlen=_STEPS)
            # A carrier that was removed and added again counts from 0.
            growth = max(0.0, value - self._last.get(name, value))
            steps.append(growth)
            if "." not in name:
                self._add_long(name, growth)
        self._turns += 1
        self._last = now

    def _add_long(self, name: str, growth: float) -> None:
        steps = self._long_steps.setdefault(name, deque(maxlen=_LONG_STEPS))
        if not steps or self._turns % _TURNS_A_LONG_STEP == 0:
            steps.append(0.0)
        steps[-1] += growth

"""The last hour in steps of ten seconds, for the operator's charts.

Theory of operation: the services count. Every `STEP_SECONDS` this module reads their counters, and it keeps the growth
in each step for an hour.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

STEP_SECONDS: Final = 10.0
_STEPS: Final = 360


class History:
    """Samples counters and keeps their growth.

    :param read: returns all counters by name. A new one begins with a growth of 0; one that is gone keeps its steps.
    """

    def __init__(self, read: Callable[[], Mapping[str, float]], clock: IReactorTime) -> None:
        self._read = read
        self._clock = clock
        self._last: dict[str, float] = {}
        self._steps: dict[str, deque[float]] = {}
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
            steps.append(max(0.0, value - self._last.get(name, value)))
        self._last = now

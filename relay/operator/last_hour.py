"""The last hour in small steps, for the operator's charts: how many of each thing happened in each ten seconds.

Theory of operation: nothing is counted here. Every `STEP_SECONDS` the services' counters are read, and what they grew
by since the last time is kept, for an hour.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

STEP_SECONDS: Final = 10.0
_STEPS: Final = 360


class History:
    """Samples counters and keeps their growth.

    :param read: gives every counter by name; a name that is new begins at 0 growth, one that is gone stays as it was.
    """

    def __init__(self, read: Callable[[], Mapping[str, float]], clock: IReactorTime) -> None:
        self._read = read
        self._clock = clock
        self._last: dict[str, float] = {}
        self._steps: dict[str, deque[float]] = {}
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begins; returns at once. A second call does nothing."""
        if self._timer is None:
            self._last = dict(self._read())
            self._timer = self._clock.callLater(STEP_SECONDS, self._turn)

    def stop(self) -> None:
        """Ends. Harmless when repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def of(self, name: str) -> list[float]:
        """Growth in each step, oldest first; as many steps as there were, 360 at the most."""
        return list(self._steps.get(name, ()))

    def names(self) -> list[str]:
        """What has been sampled."""
        return list(self._steps)

    def rate(self, name: str) -> float:
        """Growth a second in the last step; 0.0 before the first."""
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
                # Aligned with the others: they end in the same step, and it wasn't there before.
                steps = self._steps[name] = deque([0.0] * length, maxlen=_STEPS)
            # A carrier that was taken out and came back counts from 0 again.
            steps.append(max(0.0, value - self._last.get(name, value)))
        self._last = now

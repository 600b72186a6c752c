"""How fast one carrier takes messages, for whoever must guess how long one more would wait.

Theory of operation: nothing is noted on a message's way. Whoever asks brings how many messages the carrier has taken so
far, and the speed is what it took between two questions while messages waited for it all the time. A carrier is never
taken to be faster than its `rate`.
"""

from typing import Final

#: A speed is measured over at least this, and the next measurement begins after it.
_MEASURED_SECONDS: Final = 2.0


class SendingSpeed:
    """Estimates one carrier's messages a second. Belongs to one `PartSender`, which alone calls.

    :param rate: the carrier's `rate`; 0.0: no limit.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._measured: float | None = None
        self._began_at: float | None = None
        self._taken = 0

    def at(self, now: float, taken: int, *, busy: bool) -> float | None:
        """Messages a second; None: not known, because no rate is set and no messages have waited for long enough.

        :param taken: how many messages the carrier has taken so far.
        :param busy: whether messages wait.
        """
        if not busy:
            # How fast it would be is not to be seen while it has little to do.
            self._began_at = None
        elif self._began_at is None:
            self._began_at, self._taken = now, taken
        elif now - self._began_at >= _MEASURED_SECONDS:
            self._measured = (taken - self._taken) / (now - self._began_at)
            self._began_at, self._taken = now, taken
        if self._measured is None:
            return self._rate or None
        return min(self._measured, self._rate) if self._rate else self._measured

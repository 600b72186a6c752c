"""Estimates how fast one carrier takes messages, to predict how long another message would wait.

Theory of operation: nothing is measured on a message's way. Each caller says how many messages the carrier has taken so
far. The speed is computed from two such calls between which messages waited all the time. It is never higher than the
carrier's `rate`.
"""

from typing import Final

#: The least time of one measurement. The next one begins after it.
_MEASURED_SECONDS: Final = 2.0


class SendingSpeed:
    """Estimates how many messages a second one carrier takes. It belongs to one `PartSender`.

    :param rate: the carrier's `rate`; 0.0: no limit.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._measured: float | None = None
        self._began_at: float | None = None
        self._taken = 0

    def at(self, now: float, taken: int, *, busy: bool) -> float | None:
        """The messages a second; None: not known, because there is no rate and messages have not waited long enough.

        :param taken: how many messages the carrier has taken so far.
        :param busy: whether messages wait.
        """
        if not busy:
            # While the carrier has little to do, its speed can't be measured.
            self._began_at = None
        elif self._began_at is None:
            self._began_at, self._taken = now, taken
        elif now - self._began_at >= _MEASURED_SECONDS:
            self._measured = (taken - self._taken) / (now - self._began_at)
            self._began_at, self._taken = now, taken
        if self._measured is None:
            return self._rate or None
        return min(self._measured, self._rate) if self._rate else self._measured

"""How many requests go to one destination of webhooks: concurrency, pauses, and a circuit that opens on failures.

A URL that answers 429 gets half as many requests at once, and more again as they succeed; one that names a time
(Retry-After) is left alone until then. After `FAILURES_TO_OPEN` failures in a row the circuit opens: nothing is sent
for a while, then one request as a probe. A probe that succeeds closes the circuit, one that fails doubles the while.
A success says as well whether it is the first after something that others may have failed by (`Recovery`).
"""

from typing import Final

from relay.values.messages import Recovery

FAILURES_TO_OPEN: Final = 10
FIRST_OPEN_SECONDS: Final = 15.0
LONGEST_OPEN_SECONDS: Final = 600.0


class CircuitBreaker:
    """One destination's state. All instants are of one clock.

    :ivar in_flight: requests under way.
    :ivar failures: in a row.
    """

    __slots__ = (
        "_limit",
        "_open_seconds",
        "_open_until",
        "_paused_until",
        "_recovery",
        "failures",
        "in_flight",
        "most",
    )

    def __init__(self, most: int) -> None:
        self.most = most
        self.in_flight = 0
        self.failures = 0
        self._limit = float(most)
        self._open_seconds = 0.0
        self._open_until = 0.0
        self._paused_until = 0.0
        #: What the next success will mean.
        self._recovery = Recovery.NOTHING

    @property
    def open(self) -> bool:
        """Whether the circuit is open: nothing but probes go."""
        return self._open_seconds > 0.0

    def pristine(self, now: float) -> bool:
        """Whether a new one would do the same from now on: nothing is under way and no failure remembered."""
        return (
            not self.in_flight
            and not self.failures
            and not self._recovery
            and self._limit >= self.most
            and self._paused_until <= now
        )

    def room(self, now: float) -> int:
        """How many more requests may begin."""
        if now < self._paused_until:
            return 0
        if self._open_seconds:
            return 1 if now >= self._open_until and not self.in_flight else 0
        return min(int(self._limit), self.most) - self.in_flight

    def blocked_until(self, now: float) -> float | None:
        """Until when there is no room whatever ends; None where only requests under way take up the room."""
        until = max(self._paused_until, self._open_until if self._open_seconds else 0.0)
        return until if until > now else None

    def began(self) -> None:
        """A request begins."""
        self.in_flight += 1

    def succeeded(self) -> Recovery:
        """A request ended with success; says what is over by that, if anything is."""
        recovery, self._recovery = self._recovery, Recovery.NOTHING
        self.in_flight -= 1
        self.failures = 0
        self._open_seconds = 0.0
        if self._limit < self.most:
            self._limit = min(float(self.most), self._limit + 1.0 / self._limit)
        return recovery

    def abandoned(self) -> None:
        """A request ended without an answer that would mean anything (we stopped)."""
        self.in_flight -= 1

    def failed(self, now: float, *, throttled: bool, retry_after_seconds: float, unreached: bool = False) -> None:
        """A request ended without success.

        :param throttled: the receiver said 429.
        :param unreached: nobody was there to say anything about this request.
        """
        self.in_flight -= 1
        self.failures += 1
        if unreached and not self._recovery:
            self._recovery = Recovery.REACHED
        if throttled:
            self._limit = max(1.0, self._limit / 2)
        if retry_after_seconds > 0.0:
            self._paused_until = max(self._paused_until, now + retry_after_seconds)
        if self._open_seconds:
            if now >= self._open_until:
                self._open_seconds = min(LONGEST_OPEN_SECONDS, self._open_seconds * 2)
                self._open_until = now + self._open_seconds
        elif self.failures >= FAILURES_TO_OPEN:
            self._open_seconds = FIRST_OPEN_SECONDS
            self._open_until = now + FIRST_OPEN_SECONDS
            self._limit = 1.0
            self._recovery = Recovery.OUTAGE_ENDED

    def reset(self) -> None:
        """Forgets the past, but what the next success means: the URL has been changed, or somebody asks for a fresh
        try."""
        self.failures = 0
        self._limit = float(self.most)
        self._open_seconds = self._open_until = self._paused_until = 0.0

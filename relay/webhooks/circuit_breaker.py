"""Limits the requests to one destination of webhooks: concurrency, pauses, and a circuit that opens after failures.

If a URL answers 429, the relay halves the number of requests at once, and raises it again as requests succeed. If the
answer names a time (Retry-After), the relay sends nothing until then. After `FAILURES_TO_OPEN` failures in a row the
circuit opens: the relay sends nothing for some time, and then one test request. If the test request succeeds, the
circuit closes. If it fails, the relay waits twice as long before the next one.

The first success after failures also says what has ended by it (`Recovery`): other notifications may have failed for
the same reason, and the store can then bring them forward.
"""

from typing import Final

from relay.values.notifications import Recovery

FAILURES_TO_OPEN: Final = 10
FIRST_OPEN_SECONDS: Final = 15.0
LONGEST_OPEN_SECONDS: Final = 600.0


class CircuitBreaker:
    """Counts one destination's requests and failures, and says when the next request may begin.

    The caller passes all instants; they must come from one clock.

    :ivar most: the most requests at once.
    :ivar in_flight: how many requests are under way.
    :ivar failures: how many requests failed in a row.
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
        #: The recovery that the next success will report.
        self._recovery = Recovery.NOTHING

    @property
    def open(self) -> bool:
        """True if the circuit is open: the relay sends only test requests."""
        return self._open_seconds > 0.0

    def pristine(self, now: float) -> bool:
        """True if no request is under way and no failure is remembered: a new circuit breaker would act the same."""
        return (
            not self.in_flight
            and not self.failures
            and not self._recovery
            and self._limit >= self.most
            and self._paused_until <= now
        )

    def room(self, now: float) -> int:
        """Returns how many more requests may begin now; the result may be negative."""
        if now < self._paused_until:
            return 0
        if self._open_seconds:
            return 1 if now >= self._open_until and not self.in_flight else 0
        return min(int(self._limit), self.most) - self.in_flight

    def blocked_until(self, now: float) -> float | None:
        """Returns the end of the pause or of the open circuit's waiting time; None if neither blocks the destination.

        If it is None and there is still no room, there will be room when a request ends.
        """
        until = max(self._paused_until, self._open_until if self._open_seconds else 0.0)
        return until if until > now else None

    def began(self) -> None:
        """Counts a request that begins."""
        self.in_flight += 1

    def succeeded(self) -> Recovery:
        """Counts a request that succeeded; returns the recovery that this success means, or `Recovery.NOTHING`."""
        recovery, self._recovery = self._recovery, Recovery.NOTHING
        self.in_flight -= 1
        self.failures = 0
        self._open_seconds = 0.0
        if self._limit < self.most:
            self._limit = min(float(self.most), self._limit + 1.0 / self._limit)
        return recovery

    def abandoned(self) -> None:
        """Counts a request that ended without a result, because the relay stopped or the failure counts elsewhere."""
        self.in_flight -= 1

    def failed(self, now: float, *, throttled: bool, retry_after_seconds: float, unreached: bool = False) -> None:
        """Counts a request that failed.

        :param throttled: the receiver answered 429.
        :param retry_after_seconds: how long to send nothing; 0 if the receiver asks for no pause.
        :param unreached: the request did not reach a receiver that could judge it.
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
        """Forgets failures and pauses, because the URL has changed or somebody asks for a new attempt at once.

        The recovery that the next success will report stays.
        """
        self.failures = 0
        self._limit = float(self.most)
        self._open_seconds = self._open_until = self._paused_until = 0.0

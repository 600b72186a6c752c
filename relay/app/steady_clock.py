"""A wall clock that never goes back. The reactor, and with it the whole relay, takes the time from it.

Theory of operation: everything in the relay waits for an instant of the wall clock, also Twisted's delayed calls. If
that clock were set back by an hour, nothing would become due for an hour: no commit, no time-out. So while the system's
clock is behind, this clock goes on at half its pace until the system's clock has caught up. Meanwhile time-outs take up
to twice as long, and instants in the journal are ahead of the system's clock. This clock follows at once when the
system's clock is set forward.
"""

from collections.abc import Callable
from time import monotonic, time

from twisted.logger import Logger

#: Clocks differ by less than this all the time, and it is not logged.
_WORTH_LOGGING_SECONDS = 1.0


class SteadyClock:
    """Its `seconds` is the relay's time. Any thread may call it, but only one at a time.

    :param wall: the system's clock, in seconds since 1970.
    :param steady: seconds that only ever grow.
    """

    log = Logger()

    def __init__(self, wall: Callable[[], float] = time, steady: Callable[[], float] = monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._told = wall()
        #: While the system's clock is behind: the times of both clocks when that was noticed.
        self._since: tuple[float, float] | None = None

    def seconds(self) -> float:
        """The time, in seconds since 1970; never less than at an earlier call."""
        now = self._wall()
        if self._since is None:
            if now >= self._told:
                self._told = now
                return now
            self._since = self._told, self._steady()
            if self._told - now >= _WORTH_LOGGING_SECONDS:
                self.log.warn(
                    "clock_set_back: the system's clock was set back by {back_seconds} s; the relay's goes at half its "
                    "pace until it is right again. Restart the relay to have the new time at once",
                    back_seconds=round(self._told - now, 3),
                )
        told, at = self._since
        slow = told + (self._steady() - at) / 2
        if now >= slow:
            self._since = None
            slow = now
        self._told = max(self._told, slow)
        return self._told

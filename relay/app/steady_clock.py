"""A wall clock that never goes back: what the reactor, and with it the whole relay, takes the time from.

Theory of operation: everything that waits here waits for an instant of the wall clock, Twisted's delayed calls, too.
Were that clock set back by an hour, nothing would fall due for an hour: no commit, no time-out. So while the system's
clock is behind what has been told already, this one goes on at half its pace until the other has caught up. Time-outs
take up to twice as long meanwhile, and instants in the journal are ahead of the clock on the wall. A clock that is set
forward is followed at once.
"""

from collections.abc import Callable
from time import monotonic, time

from twisted.logger import Logger

#: Less than this is how clocks are, and not worth a word.
_WORTH_LOGGING_SECONDS = 1.0


class SteadyClock:
    """Give `seconds` to whoever wants the time. Any thread may call, but only one.

    :param wall: the system's clock, in seconds since 1970.
    :param steady: seconds that only ever grow.
    """

    log = Logger()

    def __init__(self, wall: Callable[[], float] = time, steady: Callable[[], float] = monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._told = wall()
        #: While the system's clock is behind: where both stood when that was noticed.
        self._since: tuple[float, float] | None = None

    def seconds(self) -> float:
        """The time, in seconds since 1970; never less than what was told before."""
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

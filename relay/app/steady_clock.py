"""A wall clock that makes no steps. The reactor, and with it the whole relay, takes the time from it.

Theory of operation: everything in the relay waits for an instant of the wall clock, and so do Twisted's delayed calls.
If somebody set that clock back by an hour, nothing would become due for an hour: no commit, no time-out. If somebody
set it forward by a day, every message would have expired. So this clock makes no steps. Its pace is that of a clock
that nobody can set. It comes nearer to the system's clock by going at half this pace while it is ahead, and at twice
this pace while it is behind.

If a step forward stays for `BELIEVED_SECONDS`, the clock believes it, and makes it at once. So a machine that started
with a wrong clock soon has the right time. A step that is taken back before does no harm.

Signatures use the system's time and not this clock's, because others compare them with their own clocks.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from twisted.logger import Logger

#: A smaller difference between the clocks is normal. It is corrected at once, and not logged.
_STEP_SECONDS: Final = 1.0
#: How often the two clocks are compared while they agree.
_COMPARED_SECONDS: Final = 10.0
#: How long a step forward has to stay until it is believed.
BELIEVED_SECONDS: Final = 600.0


#: The seconds since the machine started, including those in which it slept. Nobody can set this clock.
uptime = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class SteadyClock:
    """Gives the relay's time. Any thread may call it, but only one at a time.

    :param wall: the system's clock, in seconds since 1970.
    :param steady: a clock in seconds with an even pace, which nobody can set.
    """

    log = Logger()

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = uptime) -> None:
        self._wall = wall
        self._steady = steady
        self._told = wall()
        #: While this clock doesn't follow the system's clock: the time of `steady` at the last call of `seconds`.
        self._asked_at: float | None = None
        self._compare(self._told)
        #: Since when the system's clock has been a step ahead, or a step behind, by `steady`; None: it isn't.
        self._ahead_since: float | None = None
        self._behind = False

    def seconds(self) -> float:
        """The time in seconds since 1970. It is never less than at an earlier call."""
        now = self._wall()
        since_told = now - self._told
        if 0.0 <= since_told < _STEP_SECONDS and self._ahead_since is None:
            # The usual case: some time has passed, without a step. It comes first because each read from a socket asks.
            self._told = now
            if now >= self._compared_until:
                self._compare(now)
            return now
        steady = self._steady()
        if self._asked_at is None:
            self._asked_at = self._told - self._offset
        passed = max(0.0, steady - self._asked_at)
        self._asked_at = steady
        ahead = since_told - passed
        if abs(ahead) < _STEP_SECONDS and now >= self._told and self._ahead_since is None:
            # Nobody had asked for a while.
            self._told = now
            self._compare(now)
            return now
        if ahead >= _STEP_SECONDS or (self._ahead_since is not None and ahead > 0.0):
            self._told += passed + self._made_up_for(ahead, passed, steady)
        else:
            self._ahead_since = None
            self._say_behind(ahead)
            # It goes at half its pace, or only as much slower as it needs to be right again.
            self._told += passed + max(min(ahead, 0.0), -passed / 2)
        return self._told

    def _compare(self, now: float) -> None:
        """Notes the difference between the system's clock and the steady one."""
        self._offset = now - self._steady()
        self._compared_until = now + _COMPARED_SECONDS
        self._asked_at = None
        self._behind = False

    def _made_up_for(self, ahead: float, passed: float, steady: float) -> float:
        """The seconds by which this clock comes nearer to a system's clock that was set forward."""
        self._behind = False
        if self._ahead_since is None:
            self._ahead_since = steady
            self.log.warn(
                "clock_set_forward: the system's clock was set forward by {forward_seconds} s. The relay's clock goes "
                "at twice its pace. After {believed_seconds} s it makes the rest of the step at once",
                forward_seconds=round(ahead, 3),
                believed_seconds=BELIEVED_SECONDS,
            )
        if steady - self._ahead_since >= BELIEVED_SECONDS or ahead <= passed:
            self._ahead_since = None
            return ahead
        return passed

    def _say_behind(self, ahead: float) -> None:
        if not self._behind and ahead <= -_STEP_SECONDS:
            self._behind = True
            self.log.warn(
                "clock_set_back: the system's clock was set back by {back_seconds} s. The relay's clock goes at half "
                "its pace until it is right again. Restart the relay to use the new time at once",
                back_seconds=round(-ahead, 3),
            )

"""A wall clock without steps. The reactor, and with it the whole relay, takes the time from it.

Theory of operation: everything in the relay waits for an instant of the wall clock, also Twisted's delayed calls. If
that clock were set back by an hour, nothing would become due for an hour: no commit, no time-out. If it were set
forward by a day, every message would have expired. So this clock makes no steps. It goes on with the pace of a clock
that nobody sets, and comes nearer to the system's clock: at half its pace while it is ahead, and at twice its pace
while it is behind.

A step forward that stays for `BELIEVED_SECONDS` is believed, and followed at once: a machine that has started with a
wrong clock gets the right time soon after. Until then a step that somebody takes back harms nothing.

What others compare with their own clocks (signatures) takes the system's time, not this one.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from twisted.logger import Logger

#: Clocks differ by less than this all the time. It is made up for at once, and not logged.
_STEP_SECONDS: Final = 1.0
#: How often the two clocks are compared while they agree.
_COMPARED_SECONDS: Final = 10.0
#: How long a step forward has to stay.
BELIEVED_SECONDS: Final = 600.0


#: Seconds since the machine was started, those in which it slept included. Nobody can set it.
uptime = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class SteadyClock:
    """Its `seconds` is the relay's time. Any thread may call it, but only one at a time.

    :param wall: the system's clock, in seconds since 1970.
    :param steady: seconds that only ever grow, and at an even pace.
    """

    log = Logger()

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = uptime) -> None:
        self._wall = wall
        self._steady = steady
        self._told = wall()
        #: While the system's clock is not followed: what `steady` was when the time was told last.
        self._asked_at: float | None = None
        self._compare(self._told)
        #: Since when the system's clock has been ahead by a step, or behind: the time of `steady`; None: neither.
        self._ahead_since: float | None = None
        self._behind = False

    def seconds(self) -> float:
        """The time, in seconds since 1970; never less than at an earlier call."""
        now = self._wall()
        since_told = now - self._told
        if 0.0 <= since_told < _STEP_SECONDS and self._ahead_since is None:
            # As nearly always: time has passed, and no more than that. Worth its place, since every read asks.
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
            # Half its pace, or as much less as makes it right again.
            self._told += passed + max(min(ahead, 0.0), -passed / 2)
        return self._told

    def _compare(self, now: float) -> None:
        """Notes what the system's clock shows beside the one that nobody sets."""
        self._offset = now - self._steady()
        self._compared_until = now + _COMPARED_SECONDS
        self._asked_at = None
        self._behind = False

    def _made_up_for(self, ahead: float, passed: float, steady: float) -> float:
        """By how much this clock comes nearer to one that was set forward."""
        self._behind = False
        if self._ahead_since is None:
            self._ahead_since = steady
            self.log.warn(
                "clock_set_forward: the system's clock was set forward by {forward_seconds} s; the relay's goes at "
                "twice its pace for {believed_seconds} s, and then follows at once",
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
                "clock_set_back: the system's clock was set back by {back_seconds} s; the relay's goes at half its "
                "pace until it is right again. Restart the relay to have the new time at once",
                back_seconds=round(-ahead, 3),
            )

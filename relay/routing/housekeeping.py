"""What must be done from time to time although nothing arrives: the store's own work, in small slices.

`LoopingCall` stops for ever on one exception; this loop logs it and goes on, because a relay whose expiry has stopped
looks healthy until its disk is full.
"""

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Tasks
from relay.store.api import StoreUnavailable
from relay.values.histogram import QUICK_SECONDS, Histogram


class Housekeeping:
    """Calls the store's `expire` every `interval_seconds`, one call at a time."""

    log = Logger()

    def __init__(self, flow: MessageFlow, clock: IReactorTime, interval_seconds: float = 1.0) -> None:
        self._flow = flow
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._tasks = Tasks(self.log)
        self._timer: IDelayedCall | None = None
        #: The longest that a turn of the reactor was late since this was last set to 0, in seconds.
        self.longest_lag_seconds = 0.0
        #: How late each turn was: what everything else that was due in that second waited as well.
        self.lag_seconds = Histogram(QUICK_SECONDS)
        self._due_at = 0.0

    def start(self) -> None:
        """Begins; returns at once."""
        self._due_at = self._clock.seconds() + self._interval_seconds
        self._timer = self._clock.callLater(self._interval_seconds, self._turn)

    async def stop(self) -> None:
        """Ends, after the slice that is under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._tasks.wait()

    def _turn(self) -> None:
        self._timer = None
        lag_seconds = max(0.0, self._clock.seconds() - self._due_at)
        self.longest_lag_seconds = max(self.longest_lag_seconds, lag_seconds)
        self.lag_seconds.observe(lag_seconds)
        self._tasks.start(self._slice())

    async def _slice(self) -> None:
        try:
            await self._flow.housekeeping(self._clock.seconds())
        except StoreUnavailable:
            # The store says so itself, once; the slice is done again when the disk is back.
            pass
        except Exception:
            self.log.failure("housekeeping_failed: the store's own work failed; it is tried again")
        finally:
            if self._flow.open:
                self.start()

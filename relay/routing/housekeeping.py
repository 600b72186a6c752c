"""Does the store's regular work in small slices, even if no message arrives.

This loop logs an exception and goes on. Twisted's `LoopingCall` would stop at the first exception. Then expiry would
stop too, and the relay would look healthy until its disk is full.
"""

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Tasks
from relay.store.store_values import StoreUnavailable
from relay.values.histogram import QUICK_SECONDS, Histogram


class Housekeeping:
    """Calls the flow's `housekeeping` every `interval_seconds`, one call at a time."""

    log = Logger()

    def __init__(self, flow: MessageFlow, clock: IReactorTime, interval_seconds: float = 1.0) -> None:
        self._flow = flow
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._tasks = Tasks(self.log)
        self._timer: IDelayedCall | None = None
        #: The longest delay of a call, in seconds, since somebody last set this to 0.
        self.longest_lag_seconds = 0.0
        #: How late each call was. Everything else that was due in the reactor at that time was as late.
        self.lag_seconds = Histogram(QUICK_SECONDS)
        self._due_at = 0.0

    def start(self) -> None:
        """Schedules the next slice, and returns at once."""
        self._due_at = self._clock.seconds() + self._interval_seconds
        self._timer = self._clock.callLater(self._interval_seconds, self._turn)

    async def stop(self) -> None:
        """Stops the loop, and waits until the present slice has ended."""
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
            # The store itself logs this once. The loop repeats the slice, so it is done when the disk is back.
            pass
        except Exception:
            self.log.failure("housekeeping_failed: the store's own work failed; it is tried again")
        finally:
            if self._flow.open:
                self.start()

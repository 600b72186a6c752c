"""How attempts ended, settled in the store in batches."""

from collections.abc import Callable, Sequence
from typing import Final

from relay.runtime.tasks import Tasks
from relay.store.api import NotificationStore, StoreUnavailable
from relay.values.messages import Attempt, QueueKey, Recovery

#: Attempts that the store could not take yet, above which nothing new is sent.
MOST_UNSETTLED: Final = 10_000


class Outcomes:
    """Gathers what ended in one turn of the reactor, settles it in one call, and then brings forward what may be.

    :param settled: is called whenever the store has taken some.
    :ivar on_settled: hears of every attempt once it is settled: the metrics.
    """

    def __init__(self, store: NotificationStore, tasks: Tasks, settled: Callable[[], None]) -> None:
        self.on_settled: Callable[[Sequence[Attempt]], None] | None = None
        self._store = store
        self._tasks = tasks
        self._settled = settled
        self._ended: list[Attempt] = []
        self._unsettled = 0
        self._back: dict[QueueKey, Recovery] = {}

    def add(self, attempts: Sequence[Attempt]) -> None:
        """These ended."""
        self._ended += attempts

    def came_back(self, place: QueueKey, recovery: Recovery) -> None:
        """A request succeeded there, and that means this."""
        if recovery:
            self._back[place] = min(recovery, self._back.get(place, recovery))

    @property
    def full(self) -> bool:
        """Whether so much waits for the store that nothing new should be sent."""
        return self._unsettled + len(self._ended) >= MOST_UNSETTLED

    def settle(self) -> None:
        """Tells the store of all that ended since the last call."""
        if self._ended:
            ended, self._ended = self._ended, []
            self._tasks.start(self._settle(ended))
        # After that: what failed in the same turn is known to the store now.
        back, self._back = self._back, {}
        for place, recovery in back.items():
            self._store.bring_forward(place, recovery)

    async def _settle(self, ended: Sequence[Attempt]) -> None:
        self._unsettled += len(ended)
        try:
            await self._store.settle(ended)
        except StoreUnavailable:
            # The store knows it all the same and writes it when it can. Settled again, a retry that has been made
            # meanwhile would be made once more.
            pass
        finally:
            self._unsettled -= len(ended)
        if self.on_settled is not None:
            self.on_settled(ended)
        self._settled()

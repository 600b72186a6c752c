"""Settles ended attempts in the store, in batches."""

from collections.abc import Callable, Sequence
from typing import Final

from relay.runtime.tasks import Tasks
from relay.store.api import NotificationStore
from relay.store.store_values import StoreUnavailable
from relay.values.notifications import Attempt, QueueKey, Recovery

#: If so many ended attempts wait for the store, the relay sends nothing new.
MOST_UNSETTLED: Final = 10_000


class Outcomes:
    """Collects the attempts that end in one turn of the reactor, and settles them in one call.

    After that it asks the store to bring retries forward for URLs that have recovered.

    :param settled: is called after each call that settles attempts.
    :ivar on_settled: is called with all attempts that were settled; the metrics use it.
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
        """Adds ended attempts to those that the next `settle` settles."""
        self._ended += attempts

    def came_back(self, place: QueueKey, recovery: Recovery) -> None:
        """Notes a recovery; the next `settle` brings the retries there forward.

        :param place: the account, and the URL's origin or path.
        """
        if recovery:
            self._back[place] = min(recovery, self._back.get(place, recovery))

    @property
    def full(self) -> bool:
        """True if so many ended attempts wait for the store that the relay should send nothing new."""
        return self._unsettled + len(self._ended) >= MOST_UNSETTLED

    def settle(self) -> None:
        """Settles all attempts that ended since the last call."""
        if self._ended:
            ended, self._ended = self._ended, []
            self._tasks.start(self._settle(ended))
        # This comes after the attempts: the store now also knows the failures of the same turn.
        back, self._back = self._back, {}
        for place, recovery in back.items():
            self._store.bring_forward(place, recovery)

    async def _settle(self, ended: Sequence[Attempt]) -> None:
        self._unsettled += len(ended)
        try:
            await self._store.settle(ended)
        except StoreUnavailable:
            # The store has the results in memory, and writes them when it can. If we settled them again, the relay
            # could repeat a retry that it has made in the meantime.
            pass
        finally:
            self._unsettled -= len(ended)
        if self.on_settled is not None:
            self.on_settled(ended)
        self._settled()

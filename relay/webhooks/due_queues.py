"""When which queue falls due: any number of instants, one delayed call.

Theory of operation: a heap of instants, and for each queue the earliest one that is asked for. An entry of the heap
that is no longer its queue's earliest is passed over when its time comes. Queues that fall due together are handed out
some hundreds a turn of the reactor, so that very many of them don't hold it up.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from relay.values.messages import QueueKey

_LANES_A_TURN: Final = 500
#: Entries that may be out of date, beside one a queue.
_STALE_KEPT: Final = 100


class DueQueues:
    """Remembers when to look at queues again.

    :param due: called with each queue when its time has come; must not raise.
    """

    def __init__(self, clock: IReactorTime, due: Callable[[QueueKey], None]) -> None:
        self._clock = clock
        self._due = due
        self._heap: list[tuple[float, QueueKey]] = []
        self._earliest: dict[QueueKey, float] = {}
        self._call: IDelayedCall | None = None
        self._call_at = 0.0

    def __len__(self) -> int:
        return len(self._earliest)

    def at(self, queue_key: QueueKey, when: float) -> None:
        """Looks at the queue at `when`, if it isn't looked at earlier than that anyhow."""
        known = self._earliest.get(queue_key)
        if known is not None and known <= when:
            return
        self._earliest[queue_key] = when
        if len(self._heap) > 2 * len(self._earliest) + _STALE_KEPT:
            # A queue that is looked at early again and again would leave an entry of days hence each time.
            self._heap = [(at, waiting) for waiting, at in self._earliest.items()]
            heapify(self._heap)
        else:
            heappush(self._heap, (when, queue_key))
        self._arm()

    def stop(self) -> None:
        """Forgets everything."""
        self._heap.clear()
        self._earliest.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _arm(self) -> None:
        when = self._heap[0][0]
        if self._call is not None:
            if self._call_at <= when:
                return
            self._call.cancel()
        self._call_at = when
        self._call = self._clock.callLater(max(0.0, when - self._clock.seconds()), self._look)

    def _look(self) -> None:
        self._call = None
        now = self._clock.seconds()
        heap = self._heap
        room = _LANES_A_TURN
        while heap and room and heap[0][0] <= now:
            when, queue_key = heappop(heap)
            if self._earliest.get(queue_key) == when:
                del self._earliest[queue_key]
                room -= 1
                self._due(queue_key)
        if heap:
            self._arm()

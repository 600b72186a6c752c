"""When which lane falls due: any number of instants, one delayed call.

Theory of operation: a heap of instants, and for each lane the earliest one that is asked for. An entry of the heap
that is no longer its lane's earliest is passed over when its time comes. Lanes that fall due together are handed out
some hundreds a turn of the reactor, so that very many of them don't hold it up.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from relay.values.messages import Lane

_LANES_A_TURN: Final = 500
#: Entries that may be out of date, beside one a lane.
_STALE_KEPT: Final = 100


class DueLanes:
    """Remembers when to look at lanes again.

    :param due: called with each lane when its time has come; must not raise.
    """

    def __init__(self, clock: IReactorTime, due: Callable[[Lane], None]) -> None:
        self._clock = clock
        self._due = due
        self._heap: list[tuple[float, Lane]] = []
        self._earliest: dict[Lane, float] = {}
        self._call: IDelayedCall | None = None
        self._call_at = 0.0

    def __len__(self) -> int:
        return len(self._earliest)

    def at(self, lane: Lane, when: float) -> None:
        """Looks at the lane at `when`, if it isn't looked at earlier than that anyhow."""
        known = self._earliest.get(lane)
        if known is not None and known <= when:
            return
        self._earliest[lane] = when
        if len(self._heap) > 2 * len(self._earliest) + _STALE_KEPT:
            # A lane that is looked at early again and again would leave an entry of days hence each time.
            self._heap = [(at, waiting) for waiting, at in self._earliest.items()]
            heapify(self._heap)
        else:
            heappush(self._heap, (when, lane))
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
            when, lane = heappop(heap)
            if self._earliest.get(lane) == when:
                del self._earliest[lane]
                room -= 1
                self._due(lane)
        if heap:
            self._arm()

"""Keeps any number of alarms with one delayed call.

Theory of operation: there is a heap of instants, and a table of each key's earliest instant. Heap entries that are no
longer in the table are skipped when their time comes. If very many alarms are due together, each turn of the reactor
handles some hundreds of them, so that other work isn't delayed.
"""

from collections.abc import Callable, Hashable, Sequence
from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

ALARMS_A_TURN: Final = 500
#: How many outdated entries the heap may have, besides as many as there are alarms.
_STALE_KEPT: Final = 100

Key = TypeVar("Key", bound=Hashable)


class Alarms(Generic[Key]):
    """Calls back with keys when their time has come.

    :param due: gets the keys whose time has come, at most `ALARMS_A_TURN` at once. It must not raise.
    """

    def __init__(self, clock: IReactorTime, due: Callable[[Sequence[Key]], None]) -> None:
        self._clock = clock
        self._due = due
        #: Instant, number, key. The number is unique, so that heapq never compares keys.
        self._heap: list[tuple[float, int, Key]] = []
        self._earliest: dict[Key, tuple[float, int]] = {}
        self._next_number = 0
        self._call: IDelayedCall | None = None
        self._call_at = 0.0

    def __len__(self) -> int:
        return len(self._earliest)

    def at(self, key: Key, when: float) -> None:
        """Sets an alarm for `when`. If the key already has one, only the earlier of the two is kept."""
        known = self._earliest.get(key)
        if known is not None and known[0] <= when:
            return
        self._next_number += 1
        self._earliest[key] = when, self._next_number
        if len(self._heap) > 2 * len(self._earliest) + _STALE_KEPT:
            # Each alarm that is replaced by an earlier one leaves its entry in the heap, perhaps for days.
            self._heap = [(at, number, waiting) for waiting, (at, number) in self._earliest.items()]
            heapify(self._heap)
        else:
            heappush(self._heap, (when, self._next_number, key))
        self._arm()

    def discard(self, key: Key) -> None:
        """Forgets the key's alarm, if it has one."""
        if self._earliest.pop(key, None) is not None and not self._earliest:
            self.stop()

    def stop(self) -> None:
        """Forgets all alarms."""
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
        keys: list[Key] = []
        while heap and len(keys) < ALARMS_A_TURN and heap[0][0] <= now:
            _, number, key = heappop(heap)
            known = self._earliest.get(key)
            if known is not None and known[1] == number:
                del self._earliest[key]
                keys.append(key)
        if heap:
            self._arm()
        if keys:
            self._due(keys)

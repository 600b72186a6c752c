"""What waits for a retry in one lane: by when it is due, and by what lets it be tried ahead of that.

Theory of operation: there is a heap of rows for each `Comeback`. To hasten is to set heaps aside as they are, whatever
is in them: from there they are taken in the order in which they would have become due, as many at a time as somebody
claims. So it takes no longer for a hundred thousand than for one, and no row stands in two places.

An entry may be stale, because something newer made the row ready before its time or nothing is owed any more: the
row's flags tell, and the entry is dropped when its turn comes.
"""

from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

from relay.store.table.entry_values import OWED_WEBHOOK, Extra, Tries
from relay.values.messages import Comeback


class OwedRow(Protocol):
    """What the queues of notifications need to know of a message."""

    flags: int
    cursor: int
    extra: Extra | None


RowT = TypeVar("RowT", bound=OwedRow)
_Heap = list[tuple[float, int, RowT]]


def extra_of(row: OwedRow) -> Extra:
    """The row's `Extra`, made where it has none."""
    extra = row.extra
    if extra is None:
        extra = row.extra = Extra()
    return extra


def tries_of(row: OwedRow, owed_bit: int) -> Tries | None:
    """The retries of one channel's notification, if there were any."""
    extra = row.extra
    if extra is None:
        return None
    return extra.webhook if owed_bit == OWED_WEBHOOK else extra.smpp


def set_tries(row: OwedRow, owed_bit: int, tries: Tries | None) -> None:
    """Keeps or drops the retries of one channel's notification."""
    extra = row.extra
    if extra is None and tries is None:
        return
    if owed_bit == OWED_WEBHOOK:
        extra_of(row).webhook = tries
    else:
        extra_of(row).smpp = tries


class Delayed(Generic[RowT]):
    """See the module's text.

    :param owed_bit: of the lane's channel.
    """

    __slots__ = ("_delayed_bit", "_hastened", "_heaps", "_next_order", "_owed_bit")

    def __init__(self, owed_bit: int) -> None:
        self._owed_bit = owed_bit
        self._delayed_bit = owed_bit << 4
        self._heaps: list[_Heap[RowT]] = [[] for _ in Comeback]
        self._hastened: list[_Heap[RowT]] = []
        self._next_order = 0

    def __len__(self) -> int:
        """How many entries there are, stale ones included."""
        return sum(map(len, self._heaps)) + sum(map(len, self._hastened))

    def add(self, row: RowT, due_at: float, hastened_by: Comeback) -> None:
        """A row that is marked as delayed waits until `due_at`, which its tries say as well."""
        heappush(self._heaps[hastened_by], self._entry(row, due_at))

    def restore(self, row: RowT, due_at: float) -> None:
        """As `add`, at a start: nothing hastens it. To be followed by `restored`."""
        self._heaps[Comeback.NOTHING].append(self._entry(row, due_at))

    def restored(self) -> None:
        """Ends a series of `restore`."""
        heapify(self._heaps[Comeback.NOTHING])

    def hasten(self, comeback: Comeback) -> None:
        """What this lets be tried ahead of its time is due. Those that were hastened earlier stay before it."""
        for hastened_by in range(len(self._heaps) - 1, comeback - 1, -1):
            if self._heaps[hastened_by]:
                self._hastened.append(self._heaps[hastened_by])
                self._heaps[hastened_by] = []

    def pop(self, now: float) -> RowT | None:
        """Takes one that is due, first those whose time has come; None where there is none."""
        while (heap := self._first()) is not None and heap[0][0] <= now:
            due_at, _, row = heappop(heap)
            if not self._is_stale(due_at, row):
                return row
        while self._hastened:
            heap = self._hastened[0]
            due_at, _, row = heappop(heap)
            if not heap:
                del self._hastened[0]
            if not self._is_stale(due_at, row):
                return row
        return None

    def next_due_at(self, now: float) -> float | None:
        """When one can be taken: `now` where something is hastened, None where nothing waits. Call `drop_stale` before.

        It may have passed.
        """
        if self._hastened:
            return now
        heap = self._first()
        return None if heap is None else heap[0][0]

    def drop_stale(self) -> None:
        """Drops what stands first and isn't owed any more: all of it, in time, where it is called in time."""
        for heap in self._heaps:
            self._drop_stale(heap)
        hastened = self._hastened
        while hastened:
            self._drop_stale(hastened[0])
            if hastened[0]:
                break
            del hastened[0]

    def _drop_stale(self, heap: _Heap[RowT]) -> None:
        while heap and self._is_stale(heap[0][0], heap[0][2]):
            heappop(heap)

    def _first(self) -> _Heap[RowT] | None:
        """The heap with the entry that is due first."""
        first: _Heap[RowT] | None = None
        for heap in self._heaps:
            if heap and (first is None or heap[0] < first[0]):
                first = heap
        return first

    def _entry(self, row: RowT, due_at: float) -> tuple[float, int, RowT]:
        # Rows can't be compared; those that are due together go in the order in which they came.
        self._next_order += 1
        return due_at, self._next_order, row

    def _is_stale(self, due_at: float, row: RowT) -> bool:
        tries = tries_of(row, self._owed_bit)
        return not row.flags & self._delayed_bit or tries is None or tries.due_at != due_at

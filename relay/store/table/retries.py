"""What waits for a retry in one queue: by when it is due, and by what lets it be tried ahead of that.

Theory of operation: there is a heap of rows for each `Recovery`. To bring forward is to set heaps aside as they are,
whatever is in them: from there they are taken in the order in which they would have become due, as many at a time as
somebody claims. So it takes no longer for a hundred thousand than for one, and no row stands in two places.

An entry may be stale, because something newer made the row ready before its time or nothing is owed any more: the
row's flags tell, and the entry is dropped when its turn comes.
"""

from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

from relay.store.table.entry_values import OWED_WEBHOOK, RareFields, Tries
from relay.values.messages import Recovery


class OwedRow(Protocol):
    """What the queues of notifications need to know of a message."""

    flags: int
    cursor: int
    rare_fields: RareFields | None


RowT = TypeVar("RowT", bound=OwedRow)
_Heap = list[tuple[float, int, RowT]]


def rare_fields_of(row: OwedRow) -> RareFields:
    """The row's `RareFields`, made where it has none."""
    rare_fields = row.rare_fields
    if rare_fields is None:
        rare_fields = row.rare_fields = RareFields()
    return rare_fields


def tries_of(row: OwedRow, owed_bit: int) -> Tries | None:
    """The retries of one channel's notification, if there were any."""
    rare_fields = row.rare_fields
    if rare_fields is None:
        return None
    return rare_fields.webhook if owed_bit == OWED_WEBHOOK else rare_fields.smpp


def set_tries(row: OwedRow, owed_bit: int, tries: Tries | None) -> None:
    """Keeps or drops the retries of one channel's notification."""
    rare_fields = row.rare_fields
    if rare_fields is None and tries is None:
        return
    if owed_bit == OWED_WEBHOOK:
        rare_fields_of(row).webhook = tries
    else:
        rare_fields_of(row).smpp = tries


class Retries(Generic[RowT]):
    """The rows of one queue that wait for a retry.

    :param owed_bit: of the queue's channel.
    """

    __slots__ = ("_brought_forward", "_heaps", "_next_order", "_owed_bit", "_retry_bit")

    def __init__(self, owed_bit: int) -> None:
        self._owed_bit = owed_bit
        self._retry_bit = owed_bit << 4
        self._heaps: list[_Heap[RowT]] = [[] for _ in Recovery]
        self._brought_forward: list[_Heap[RowT]] = []
        self._next_order = 0

    def __len__(self) -> int:
        """How many entries there are, stale ones included."""
        return sum(map(len, self._heaps)) + sum(map(len, self._brought_forward))

    def add(self, row: RowT, due_at: float, brought_forward_by: Recovery) -> None:
        """A row that is marked as delayed waits until `due_at`, which its tries say as well."""
        heappush(self._heaps[brought_forward_by], self._entry(row, due_at))

    def restore(self, row: RowT, due_at: float) -> None:
        """As `add`, at a start: nothing brings forward it. To be followed by `restored`."""
        self._heaps[Recovery.NOTHING].append(self._entry(row, due_at))

    def restored(self) -> None:
        """Ends a series of `restore`."""
        heapify(self._heaps[Recovery.NOTHING])

    def bring_forward(self, recovery: Recovery) -> None:
        """What this lets be tried ahead of its time is due. Those that were brought forward earlier stay before it."""
        for brought_forward_by in range(len(self._heaps) - 1, recovery - 1, -1):
            if self._heaps[brought_forward_by]:
                self._brought_forward.append(self._heaps[brought_forward_by])
                self._heaps[brought_forward_by] = []

    def pop(self, now: float) -> RowT | None:
        """Takes one that is due, first those whose time has come; None where there is none."""
        while (heap := self._first()) is not None and heap[0][0] <= now:
            due_at, _, row = heappop(heap)
            if not self._is_stale(due_at, row):
                return row
        while self._brought_forward:
            heap = self._brought_forward[0]
            due_at, _, row = heappop(heap)
            if not heap:
                del self._brought_forward[0]
            if not self._is_stale(due_at, row):
                return row
        return None

    def next_due_at(self, now: float) -> float | None:
        """When one can be taken: `now` where something is brought forward, None where nothing waits. Call `drop_stale`
        before.

        It may have passed.
        """
        if self._brought_forward:
            return now
        heap = self._first()
        return None if heap is None else heap[0][0]

    def drop_stale(self) -> None:
        """Drops what stands first and isn't owed any more: all of it, in time, where it is called in time."""
        for heap in self._heaps:
            self._drop_stale(heap)
        brought_forward = self._brought_forward
        while brought_forward:
            self._drop_stale(brought_forward[0])
            if brought_forward[0]:
                break
            del brought_forward[0]

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
        return not row.flags & self._retry_bit or tries is None or tries.due_at != due_at

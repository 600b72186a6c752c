"""The retries of one queue, in the order of their times, and by the recovery that brings them forward.

Theory of operation: there is a heap of rows for each `Recovery`. To bring retries forward, whole heaps are set aside.
Later calls take rows from them, in the order in which they would have become due. So bringing forward takes no longer
for a hundred thousand retries than for one, and no row is in two places.

An entry may be stale, because a newer state made the row ready earlier, or because nothing is owed any more. The row's
flags show this, and the entry is dropped when it comes to the head.
"""

from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar

from relay.store.table.entry_values import OWED_WEBHOOK, RareFields, Tries
from relay.values.notifications import Recovery


class OwedRow(Protocol):
    """The fields of a row that notification queues use."""

    flags: int
    cursor: int
    rare_fields: RareFields | None


RowT = TypeVar("RowT", bound=OwedRow)
_Heap = list[tuple[float, int, RowT]]


def rare_fields_of(row: OwedRow) -> RareFields:
    """The row's `RareFields`. Makes them if it has none."""
    rare_fields = row.rare_fields
    if rare_fields is None:
        rare_fields = row.rare_fields = RareFields()
    return rare_fields


def tries_of(row: OwedRow, owed_bit: int) -> Tries | None:
    """The retries of the notification on one channel; None: it had none."""
    rare_fields = row.rare_fields
    if rare_fields is None:
        return None
    return rare_fields.webhook if owed_bit == OWED_WEBHOOK else rare_fields.smpp


def set_tries(row: OwedRow, owed_bit: int, tries: Tries | None) -> None:
    """Sets the retries of the notification on one channel; None removes them."""
    rare_fields = row.rare_fields
    if rare_fields is None and tries is None:
        return
    if owed_bit == OWED_WEBHOOK:
        rare_fields_of(row).webhook = tries
    else:
        rare_fields_of(row).smpp = tries


class Retries(Generic[RowT]):
    """The rows of one queue that wait for a retry.

    :param owed_bit: the flag OWED of the queue's channel.
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
        """Adds a row that is marked as delayed until `due_at`. Its `Tries` have the same time."""
        heappush(self._heaps[brought_forward_by], self._entry(row, due_at))

    def restore(self, row: RowT, due_at: float) -> None:
        """Adds a row at a start. No recovery brings it forward. Call `restored` after a series of these."""
        self._heaps[Recovery.NOTHING].append(self._entry(row, due_at))

    def restored(self) -> None:
        """Ends a series of `restore`."""
        heapify(self._heaps[Recovery.NOTHING])

    def bring_forward(self, recovery: Recovery) -> None:
        """Makes the retries due that wait for this recovery. Retries that were brought forward earlier come first."""
        for brought_forward_by in range(len(self._heaps) - 1, recovery - 1, -1):
            if self._heaps[brought_forward_by]:
                self._brought_forward.append(self._heaps[brought_forward_by])
                self._heaps[brought_forward_by] = []

    def pop(self, now: float) -> RowT | None:
        """Takes a row that is due; None: there is none. Rows whose time has come go before those brought forward."""
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
        """When the next row can be taken; None: no row waits. Call `drop_stale` before.

        It is `now` if a row was brought forward. It may be in the past.
        """
        if self._brought_forward:
            return now
        heap = self._first()
        return None if heap is None else heap[0][0]

    def drop_stale(self) -> None:
        """Drops stale entries at the head. To drop all of them in time, call it now and then."""
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
        # Rows can't be compared. Rows with the same time are taken in the order in which they came.
        self._next_order += 1
        return due_at, self._next_order, row

    def _is_stale(self, due_at: float, row: RowT) -> bool:
        tries = tries_of(row, self._owed_bit)
        return not row.flags & self._retry_bit or tries is None or tries.due_at != due_at

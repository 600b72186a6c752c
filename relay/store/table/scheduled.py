"""Which messages wait for the time that their customers asked for.

Theory of operation: a heap has the earliest on top. A message that is cancelled, or gets another time, stays in the
heap and is dropped when its time comes; when such outnumber the others, the heap is made anew. A row with the flag
LATER waits here. When its time comes the flag goes, and it waits for a carrier as any other.
"""

from collections import Counter
from heapq import heapify, heappop, heappush

from relay.store.table.entries import Row
from relay.store.table.entry_values import LATER
from relay.store.table.retries import rare_fields_of

#: Dropped entries that are put up with.
_SLACK = 1024


class ScheduledMessages:
    """The rows that wait for their time. `scheduled_at` of a row's rare fields says which time that is."""

    def __init__(self) -> None:
        #: Time, a number that decides between equal times, and row.
        self._heap: list[tuple[float, int, Row]] = []
        self._added = 0
        self._counts: Counter[str] = Counter()
        self.count = 0

    def count_of(self, account: str) -> int:
        """How many of an account's messages wait."""
        return self._counts[account]

    def add(self, row: Row, scheduled_at: float) -> None:
        """The row waits until then. It must not wait here yet."""
        rare_fields_of(row).scheduled_at = scheduled_at
        row.flags |= LATER
        self._counts[row.origin.account.name] += 1
        self.count += 1
        self._added += 1
        heappush(self._heap, (scheduled_at, self._added, row))

    def drop(self, row: Row) -> None:
        """The row waits no more."""
        row.flags &= ~LATER
        name = row.origin.account.name
        self._counts[name] -= 1
        if not self._counts[name]:
            del self._counts[name]
        self.count -= 1
        if len(self._heap) > 2 * self.count + _SLACK:
            self._heap = [entry for entry in self._heap if _holds(entry)]
            heapify(self._heap)

    def due(self, now: float, limit: int) -> list[Row]:
        """Up to `limit` rows whose time has come, the earliest first. They wait here no more."""
        found: list[Row] = []
        heap = self._heap
        while heap and heap[0][0] <= now and len(found) < limit:
            entry = heappop(heap)
            if _holds(entry):
                self.drop(entry[2])
                found.append(entry[2])
        return found


def _holds(entry: tuple[float, int, Row]) -> bool:
    scheduled_at, _, row = entry
    return bool(row.flags & LATER) and row.rare_fields is not None and row.rare_fields.scheduled_at == scheduled_at

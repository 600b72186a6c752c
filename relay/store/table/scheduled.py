"""Holds scheduled messages: they wait for the time that their customers asked for.

Theory of operation: a heap has the earliest message on top. If a message is cancelled, or gets another time, its old
entry stays in the heap, and is dropped when its time comes. If the heap has more old entries than valid ones, it is
rebuilt. A row that waits here has the flag LATER. When its time comes, the row loses the flag and waits for a carrier
like any other row.
"""

from collections import Counter
from heapq import heapify, heappop, heappush

from relay.store.table.entries import Row
from relay.store.table.entry_values import LATER
from relay.store.table.retries import rare_fields_of

#: The heap isn't rebuilt for fewer old entries than this.
_SLACK = 1024


class ScheduledMessages:
    """Holds the rows that wait for their time. The field `scheduled_at` of a row's rare fields is this time."""

    def __init__(self) -> None:
        #: Each entry has the time, a running number that decides between equal times, and the row.
        self._heap: list[tuple[float, int, Row]] = []
        self._added = 0
        self._counts: Counter[str] = Counter()
        self.count = 0

    def count_of(self, account: str) -> int:
        """Returns the number of an account's scheduled messages."""
        return self._counts[account]

    def add(self, row: Row, scheduled_at: float) -> None:
        """Makes a row wait until `scheduled_at`, in seconds since 1970. The row must not wait here yet."""
        rare_fields_of(row).scheduled_at = scheduled_at
        row.flags |= LATER
        self._counts[row.origin.account.name] += 1
        self.count += 1
        self._added += 1
        heappush(self._heap, (scheduled_at, self._added, row))

    def drop(self, row: Row) -> None:
        """Ends the wait of a row."""
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
        """Returns up to `limit` rows whose time has come, the earliest first, and ends their wait."""
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

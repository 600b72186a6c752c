"""The table's lists for each customer: recent messages, the feeds, and given-up notifications.

Theory of operation: without further work, these lists would keep rows in memory that have left the table. Rows leave
the table nearly in the order in which they came. So a row that leaves is nearly always the first of its lists, and the
list then begins with the next row. Other rows that leave are counted as stale, and the list is made again when half of
it is stale. Both take a constant time for each message. The rows themselves, which are no longer in the processor's
caches, need not be read.
"""

from bisect import bisect_left, bisect_right
from typing import Generic, Protocol, TypeVar

from relay.store.table.entry_values import FORGOTTEN, Acceptance, RareFields

#: How many messages of an account can be listed. Older ones can still be found by id.
RECENT_KEPT = 20_000
#: How many rows at the front of a list are dropped together.
_DROP_AT = 256


class ListedRow(Protocol):
    """The fields of a row that an account's lists use."""

    id: bytes
    acceptance: Acceptance
    flags: int
    cursor: int
    rare_fields: RareFields | None


RowT = TypeVar("RowT", bound=ListedRow)


class RowList(Generic[RowT]):
    """A list of rows in an order. Rows that have left the table are dropped later.

    :ivar rows: the list begins at index `first`. Rows with the flag FORGOTTEN don't count.
    """

    __slots__ = ("_stale", "first", "rows")

    def __init__(self) -> None:
        self.rows: list[RowT] = []
        self.first = 0
        self._stale = 0

    def forgot(self, row: RowT) -> None:
        """Notes that a row has left the table. Call `tidy` once after a series of these."""
        first = self.first
        rows = self.rows
        if first < len(rows) and rows[first] is row:
            self.first = first + 1
        else:
            self._stale += 1

    def tidy(self) -> None:
        """Drops the rows that have left the table, if there are many."""
        if self.first >= _DROP_AT:
            del self.rows[: self.first]
            self.first = 0
        if self._stale * 2 > len(self.rows) - self.first:
            self.rows = [row for row in self.rows[self.first :] if not row.flags & FORGOTTEN]
            self.first = self._stale = 0

    def keep_last(self, count: int) -> None:
        """Drops all but the last ones."""
        del self.rows[:-count]
        self.first = 0


class AccountLists(Generic[RowT]):
    """The lists of one customer's messages."""

    __slots__ = ("feed", "forgotten_cursor", "given_up", "inbound", "name", "recent")

    def __init__(self, name: str) -> None:
        self.name = name
        #: The messages, in the order of their acceptance.
        self.recent: RowList[RowT] = RowList()
        #: The ended messages, in the order of their final states, which is also that of their cursors.
        self.feed: RowList[RowT] = RowList()
        #: Those rows of `feed` that are messages from handsets, in the same order.
        self.inbound: RowList[RowT] = RowList()
        #: For each message whose webhook was given up: when.
        self.given_up: dict[bytes, float] = {}
        #: The latest place in the feed of a row that has left the table since the start; 0: none has.
        self.forgotten_cursor = 0

    def forgot(self, row: RowT) -> None:
        """Notes that a row has left the table, and is marked so. Call `tidy` once after a series of these."""
        recent = self.recent
        rows, first = recent.rows, recent.first
        # If the row is older than the first of the list, it was dropped from the list before.
        if first < len(rows) and row.acceptance.accepted_at >= rows[first].acceptance.accepted_at:
            recent.forgot(row)
        if row.cursor:
            self.feed.forgot(row)
            if row.cursor > self.forgotten_cursor:
                self.forgotten_cursor = row.cursor
            if self.inbound.rows and row.rare_fields is not None and row.rare_fields.inbound is not None:
                self.inbound.forgot(row)
            if self.given_up:
                self.given_up.pop(row.id, None)

    def tidy(self) -> None:
        """Drops forgotten rows, if there are many."""
        self.recent.tidy()
        self.feed.tidy()
        if self.inbound.rows:
            self.inbound.tidy()

    def trim(self) -> None:
        """Limits the length of `recent`. Call it after adding to the list."""
        if len(self.recent.rows) > 2 * RECENT_KEPT:
            self.recent.keep_last(RECENT_KEPT)

    def restored(self) -> None:
        """Sorts the lists after a replay, which fills them in the order of the journal."""
        self.recent.rows.sort(key=_accepted_at)
        self.trim()
        self.feed.rows.sort(key=_cursor)
        self.inbound.rows.sort(key=_cursor)

    def feed_after(self, cursor: int, limit: int) -> list[RowT]:
        """Up to `limit` finished rows after `cursor`. Some of them may have left the table."""
        return _after(self.feed.rows, cursor, limit)

    def inbound_after(self, cursor: int, limit: int) -> list[RowT]:
        """Up to `limit` messages from handsets after `cursor`. Some of them may have left the table."""
        return _after(self.inbound.rows, cursor, limit)

    def inbound_before(self, cursor: int) -> list[RowT]:
        """The messages from handsets before a place in the feed; 0: all. It is a copy. Some may have left the table."""
        rows, first = self.inbound.rows, self.inbound.first
        return rows[first : bisect_left(rows, cursor, key=_cursor)] if cursor else rows[first:]

    def recent_before(self, before: float | None) -> int:
        """The index in `recent.rows` of the first row that was not accepted before `before`."""
        rows = self.recent.rows
        return len(rows) if before is None else bisect_left(rows, before, key=_accepted_at)


def _after(rows: list[RowT], cursor: int, limit: int) -> list[RowT]:
    start = bisect_right(rows, cursor, key=_cursor)
    return rows[start : start + limit]


def _accepted_at(row: ListedRow) -> float:
    return row.acceptance.accepted_at


def _cursor(row: ListedRow) -> int:
    return row.cursor

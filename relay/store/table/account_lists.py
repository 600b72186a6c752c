"""What the table keeps of each customer: recent messages, the feed of final states, and what was given up.

Theory of operation: these lists would keep rows alive that have left the table. Rows leave it nearly in the order in
which they came, so the next to leave is nearly always the first of its lists, which then begin one further on. Others
are counted as stale, and a list is made anew when half of it is stale. Either way it costs a constant time a message,
and the rows themselves, which are no longer in any cache of the processor, needn't be looked at.
"""

from bisect import bisect_left, bisect_right
from typing import Generic, Protocol, TypeVar

from relay.store.table.entry_values import FORGOTTEN, Acceptance

#: Messages of an account that can be listed; older ones can still be looked up by id.
RECENT_KEPT = 20_000
#: Rows that have gone from the front of a list and are dropped together.
_DROP_AT = 256


class ListedRow(Protocol):
    """What an account's lists need to know of a message."""

    id: bytes
    acceptance: Acceptance
    flags: int
    cursor: int


RowT = TypeVar("RowT", bound=ListedRow)


class RowList(Generic[RowT]):
    """Rows in an order, of which those that have left the table are dropped by and by.

    :ivar rows: all from `first` on count, but for those that are FORGOTTEN.
    """

    __slots__ = ("_stale", "first", "rows")

    def __init__(self) -> None:
        self.rows: list[RowT] = []
        self.first = 0
        self._stale = 0

    def forgot(self, row: RowT) -> None:
        """A row has left the table. `tidy` once after a series of these."""
        first = self.first
        rows = self.rows
        if first < len(rows) and rows[first] is row:
            self.first = first + 1
        else:
            self._stale += 1

    def tidy(self) -> None:
        """Drops the rows that have gone, when there are many."""
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
    """One customer's messages, in the orders in which they are asked for."""

    __slots__ = ("feed", "given_up", "name", "recent")

    def __init__(self, name: str) -> None:
        self.name = name
        #: Messages in the order of their acceptance.
        self.recent: RowList[RowT] = RowList()
        #: Messages in the order of their final states, so with growing cursors.
        self.feed: RowList[RowT] = RowList()
        #: Messages whose webhook was given up, and when.
        self.given_up: dict[bytes, float] = {}

    def forgot(self, row: RowT) -> None:
        """A row has left the table (and is marked so). `tidy` once after a series of these."""
        recent = self.recent
        rows, first = recent.rows, recent.first
        # One that is older than the list's first was dropped from it long ago.
        if first < len(rows) and row.acceptance.accepted_at >= rows[first].acceptance.accepted_at:
            recent.forgot(row)
        if row.cursor:
            self.feed.forgot(row)
            if self.given_up:
                self.given_up.pop(row.id, None)

    def tidy(self) -> None:
        """Drops forgotten rows where there are many."""
        self.recent.tidy()
        self.feed.tidy()

    def trim(self) -> None:
        """Holds `recent` to its bound; to be called after adding to it."""
        if len(self.recent.rows) > 2 * RECENT_KEPT:
            self.recent.keep_last(RECENT_KEPT)

    def restored(self) -> None:
        """Puts the lists in order after a replay, which fills them in the order of the journal."""
        self.recent.rows.sort(key=_accepted_at)
        self.trim()
        self.feed.rows.sort(key=_cursor)

    def feed_after(self, cursor: int, limit: int) -> list[RowT]:
        """Up to `limit` finished rows from the one after `cursor` on; some may have left the table."""
        rows = self.feed.rows
        start = bisect_right(rows, cursor, key=_cursor)
        return rows[start : start + limit]

    def recent_before(self, before: float | None) -> int:
        """The index in `recent.rows` below which all were accepted before `before`."""
        rows = self.recent.rows
        return len(rows) if before is None else bisect_left(rows, before, key=_accepted_at)


def _accepted_at(row: ListedRow) -> float:
    return row.acceptance.accepted_at


def _cursor(row: ListedRow) -> int:
    return row.cursor

"""What the table keeps of each customer: recent messages, the feed of final states, and what was given up.

Theory of operation: these lists would keep rows alive that have left the table. Rows leave it nearly in the order in
which they came, so the next to leave is nearly always the first of its lists, which then begin one further on. Others
are counted as stale, and a list is made anew when half of it is stale. Either way it costs a constant time a message,
and the rows themselves, which are no longer in any cache of the processor, needn't be looked at.
"""

from bisect import bisect_left, bisect_right

from relay.store.table.entries import FORGOTTEN, OWED_SMPP, Origin, Row
from relay.store.table.notification_queues import Lanes
from relay.values.messages import Channel, Lane
from relay.values.smpp_constants import REGISTERED_DELIVERY_FINAL, REGISTERED_DELIVERY_INTERMEDIATE
from relay.values.states import DELIVERED

#: Messages of an account that can be listed; older ones can still be looked up by id.
RECENT_KEPT = 20_000
#: Rows that have gone from the front of a list and are dropped together.
_DROP_AT = 256
#: States are 0 to 9.
STATES = 10
#: Kinds of requests remembered an account: 256 values of registered_delivery, over two interfaces.
_OVER_SMPP = 256


def smpp_owed_by_state(registered_delivery: int) -> tuple[int, ...]:
    """By final state: OWED_SMPP where `registered_delivery` asks for it (SMPP 3.4 section 5.2.17), else 0."""
    asked = registered_delivery & 3
    if asked == 0:
        return (0,) * STATES
    if asked == REGISTERED_DELIVERY_FINAL:
        return (OWED_SMPP,) * STATES
    on_success = asked == 3
    return tuple(OWED_SMPP if (state == DELIVERED) is on_success else 0 for state in range(STATES))


class RowList:
    """Rows in an order, of which those that have left the table are dropped by and by.

    :ivar rows: all from `first` on count, but for those that are FORGOTTEN.
    """

    __slots__ = ("_stale", "first", "rows")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.first = 0
        self._stale = 0

    def forgot(self, row: Row) -> None:
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


class TableAccount:
    """A customer, as the table knows it."""

    __slots__ = ("_lanes", "_origins", "feed", "given_up", "name", "recent")

    def __init__(self, name: str, lanes: Lanes) -> None:
        self.name = name
        self._lanes = lanes
        self._origins: dict[int, Origin] = {}
        #: Messages in the order of their acceptance.
        self.recent = RowList()
        #: Messages in the order of their final states, so with growing cursors.
        self.feed = RowList()
        #: Messages whose webhook was given up, and when.
        self.given_up: dict[bytes, float] = {}

    def origin(self, interface: str, registered_delivery: int) -> Origin:
        """The shared origin of messages that came like this."""
        key = registered_delivery + _OVER_SMPP if interface == "smpp" else registered_delivery
        origin = self._origins.get(key)
        if origin is None:
            intermediate = bool(registered_delivery & REGISTERED_DELIVERY_INTERMEDIATE)
            origin = self._origins[key] = Origin(
                self,
                interface,
                registered_delivery,
                smpp_owed_by_state(registered_delivery),
                OWED_SMPP if intermediate else 0,
                self._lanes.queue(Lane(self.name, Channel.SMPP)),
                self._lanes.queue(Lane(self.name, Channel.WEBHOOK)),
            )
        return origin

    def forgot(self, row: Row) -> None:
        """A row has left the table (and is marked so). `tidy` once after a series of these."""
        recent = self.recent
        rows, first = recent.rows, recent.first
        # One that is older than the list's first was dropped from it long ago.
        if first < len(rows) and row.birth.accepted_at >= rows[first].birth.accepted_at:
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

    def feed_after(self, cursor: int, limit: int) -> list[Row]:
        """Up to `limit` finished rows from the one after `cursor` on."""
        rows = self.feed.rows
        found: list[Row] = []
        for index in range(bisect_right(rows, cursor, key=_cursor), len(rows)):
            row = rows[index]
            if not row.flags & FORGOTTEN:
                found.append(row)
                if len(found) >= limit:
                    break
        return found

    def recent_before(self, before: float | None) -> int:
        """The index in `recent.rows` below which all were accepted before `before`."""
        rows = self.recent.rows
        return len(rows) if before is None else bisect_left(rows, before, key=_accepted_at)


def _accepted_at(row: Row) -> float:
    return row.birth.accepted_at


def _cursor(row: Row) -> int:
    return row.cursor

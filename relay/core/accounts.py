"""What the table keeps of each customer: recent messages, the feed of final states, and what was given up.

Theory of operation: rows leave the table in another order than they came, so these lists would keep them alive. Each
list counts how many of its rows have been forgotten and is rebuilt when they are more than half: a cost that is
constant a message in the long run, and never more than a list of `RECENT_KEPT` at once for the recent ones.
"""

from bisect import bisect_left, bisect_right

from relay.core.lanes import Lanes
from relay.core.messages import Channel, Lane
from relay.core.rows import FORGOTTEN, OWED_SMPP, Origin, Row
from relay.core.smpp.constants import (
    REGISTERED_DELIVERY_FINAL,
    REGISTERED_DELIVERY_INTERMEDIATE,
)
from relay.core.states import DELIVERED

#: Messages an account that can be listed; older ones can still be looked up by id.
RECENT_KEPT = 20_000
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


class TableAccount:
    """A customer, as the table knows it."""

    __slots__ = ("_lanes", "_origins", "feed", "feed_forgotten", "given_up", "name", "recent", "recent_forgotten")

    def __init__(self, name: str, lanes: Lanes) -> None:
        self.name = name
        self._lanes = lanes
        self._origins: dict[int, Origin] = {}
        #: Messages in the order of their acceptance.
        self.recent: list[Row] = []
        self.recent_forgotten = 0
        #: Messages in the order of their final states, so with growing cursors.
        self.feed: list[Row] = []
        self.feed_forgotten = 0
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
        """A row has left the table (and is marked so)."""
        self.recent_forgotten += 1
        if self.recent_forgotten * 2 > len(self.recent):
            self.recent = [row for row in self.recent if not row.flags & FORGOTTEN]
            self.recent_forgotten = 0
        if row.cursor:
            self.feed_forgotten += 1
            if self.feed_forgotten * 2 > len(self.feed):
                self.feed = [row for row in self.feed if not row.flags & FORGOTTEN]
                self.feed_forgotten = 0
        if self.given_up:
            self.given_up.pop(row.id, None)

    def trim(self) -> None:
        """Holds `recent` to its bound; to be called after adding to it."""
        if len(self.recent) > 2 * RECENT_KEPT:
            del self.recent[:-RECENT_KEPT]
            self.recent_forgotten = 0

    def restored(self) -> None:
        """Puts the lists in order after a replay, which fills them in the order of the journal."""
        self.recent.sort(key=_accepted_at)
        self.trim()
        self.feed.sort(key=_cursor)

    def feed_after(self, cursor: int, limit: int) -> list[Row]:
        """Up to `limit` finished rows from the one after `cursor` on."""
        start = bisect_right(self.feed, cursor, key=_cursor)
        rows: list[Row] = []
        for index in range(start, len(self.feed)):
            row = self.feed[index]
            if not row.flags & FORGOTTEN:
                rows.append(row)
                if len(rows) >= limit:
                    break
        return rows

    def recent_before(self, before: float | None) -> int:
        """The index in `recent` below which all were accepted before `before`."""
        return len(self.recent) if before is None else bisect_left(self.recent, before, key=_accepted_at)


def _accepted_at(row: Row) -> float:
    return row.birth.accepted_at


def _cursor(row: Row) -> int:
    return row.cursor

"""The messages that wait for a carrier, in the order of their acceptance.

Theory of operation: a row is appended when it is accepted. It is not removed when a carrier takes it, because that
would need a search. The row itself knows whether it still waits. Stale rows are dropped when they come to the front,
and all stale rows are dropped when they are more than the others. A reader goes on after the row that it read last. The
last rows of recent readers are kept even if they are stale, so that no reader loses its place.
"""

from collections import OrderedDict

from relay.store.table.entries import Row, is_unsubmitted, parts_of
from relay.store.table.entry_values import GOES_ON, LATER

#: How many readers' places are remembered at once.
_PLACES_KEPT = 256
#: How many stale rows may stay, and how many rows are checked at once.
_SLACK = 4096


class UnsubmittedMessages:
    """The rows of messages with parts that no carrier has taken."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        #: The index of the first row that may still wait. All rows before it are stale.
        self._first = 0
        self._places: OrderedDict[bytes, Row] = OrderedDict()
        self._cursor: tuple[bytes, int] | None = None

    def append(self, row: Row) -> None:
        """Adds a message that was accepted."""
        self._rows.append(row)

    def extend(self, rows: list[Row]) -> None:
        """Adds many messages that were accepted."""
        self._rows.extend(rows)

    def tidy(self, unsubmitted: int) -> None:
        """Drops stale rows. It takes so little time that it may be called after every batch.

        :param unsubmitted: how many rows are not stale.
        """
        rows = self._rows
        end = len(rows)
        if end <= 2 * unsubmitted + _SLACK:
            return
        first = self._first
        stop = min(end, first + _SLACK)
        while first < stop and not self._stays(rows[first]):
            first += 1
        self._first = first
        if first * 2 > end:
            del rows[:first]
            self._first = 0
            self._cursor = None
        elif first < stop:
            # An old row at the front still waits, although many younger ones are stale.
            self._rows = [row for row in rows[first:] if self._stays(row)]
            self._first = 0
            self._cursor = None

    def _stays(self, row: Row) -> bool:
        return is_unsubmitted(row) or row.id in self._places

    def after(self, place: tuple[bytes, int] | None, limit: int) -> list[tuple[Row, int]]:
        """Up to `limit` parts that wait for a carrier, from the one after `place` on.

        If the place is unknown, or forgotten because it is old, the list begins at the first part.
        """
        found: list[tuple[Row, int]] = []
        rows = self._rows
        index = self._index_of(place)
        if place is not None and index < len(rows) and rows[index].id == place[0]:
            row = rows[index]
            if _is_ready(row):
                found.extend((row, part) for part in unsubmitted_parts(row) if part > place[1])
            index += 1
        while index < len(rows) and len(found) < limit:
            row = rows[index]
            if _is_ready(row):
                found.extend((row, part) for part in unsubmitted_parts(row))
            index += 1
        del found[limit:]
        if found:
            self._remember(found[-1][0], index - 1)
        return found

    def _index_of(self, place: tuple[bytes, int] | None) -> int:
        if place is None:
            return self._first
        rows = self._rows
        if self._cursor is not None and self._cursor[0] == place[0]:
            hint = self._cursor[1]
            if hint < len(rows) and rows[hint].id == place[0]:
                return hint
        for index, row in enumerate(rows):
            if row.id == place[0]:
                return index
        return 0

    def _remember(self, row: Row, index: int) -> None:
        while index >= 0 and self._rows[index] is not row:
            index -= 1
        self._cursor = (row.id, index)
        self._places[row.id] = row
        self._places.move_to_end(row.id)
        if len(self._places) > _PLACES_KEPT:
            self._places.popitem(last=False)


def _is_ready(row: Row) -> bool:
    # One that got a later time by a replacement stays in the list. So does one that goes to another carrier.
    return is_unsubmitted(row) and not row.flags & (LATER | GOES_ON)


def unsubmitted_parts(row: Row) -> list[int]:
    """The indexes of the parts that wait for a carrier."""
    parts = parts_of(row)
    if parts is None:
        return [0]
    return [index for index, part in enumerate(parts) if part.handoff is None]

"""Finds messages in the history. Runs in the searches' thread, with a read-only connection.

Theory of operation: a search reads the segments of its time span, from the newest or from the oldest one, until it has
found enough messages. In each segment it uses the index of the condition that fewest rows meet, and checks the other
conditions row by row. The newest segment has no index, so the search reads all of it. A search stops after a set time.
Then its page says that it isn't complete, and where the next search goes on. If half of the time is over, the search
reads on in slices of rows. So also a search that can't read a segment in its time gets further.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Final

from relay.history.history_entries import Group, Origin, Row, entry_of, first_seq, view_of
from relay.history.history_feed import read_feed
from relay.history.history_numbers import NumberKeeper
from relay.history.history_query import HistoryPage, HistoryQuery, HistorySums
from relay.history.history_source import HistoryConnection, HistorySource, SearchTimedOut
from relay.history.search_conditions import Conditions
from relay.store.store_values import FeedEntry

SEARCH_SECONDS: Final = 2.0
#: SQLite checks the time after this many instructions, that is about every millisecond.
_STEPS_A_LOOK: Final = 20_000
#: A search that is short of time reads this many rows of a segment at once. This takes some hundredths of a second.
_SLICE_ROWS: Final = 20_000
_LAST_SEQ: Final = (1 << 63) - 1

#: A segment with rows in a span of keys: number, lowest key, highest key, true if it has indexes.
_Segment = tuple[int, int, int, bool]


class HistorySearch:
    """Searches the history's database. Allows one call at a time.

    :param keep: turns a number into the form that the history keeps.
    :param seconds: the time that a search may take.
    """

    def __init__(
        self,
        source: HistorySource,
        keep: NumberKeeper,
        *,
        seconds: float = SEARCH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._keep = keep
        #: The time that a search may take.
        self.seconds = seconds
        self._monotonic = monotonic
        self._db: HistoryConnection | None = None
        #: As `_STEPS_A_LOOK`. The next connection uses it.
        self.steps_a_look = _STEPS_A_LOOK
        #: As `_SLICE_ROWS`.
        self.slice_rows = _SLICE_ROWS
        self._groups: dict[int, Group] = {}
        self._deadline = 0.0

    def search(self, query: HistoryQuery) -> HistoryPage:
        """Returns a page of the messages that match a query.

        :raises OSError, sqlite3.Error: the database can't be read now.
        """
        db = self._connection()
        self._deadline = self._monotonic() + self.seconds / 2
        with db.reading():
            return self._search(db, query)

    def sums(
        self, account: str | None, since: float, until: float, *, minutes: bool = False, carrier: str = ""
    ) -> HistorySums:
        """Counts the accepted messages of a time span, by outcome.

        :param account: counts only this account's messages; None counts those of all accounts.
        :param since, until: the time span, in seconds since 1970. Its first and last hour or minute count as a whole.
        :param minutes: counts by minute instead of by hour. The history has minutes for the last three hours only.
        :param carrier: counts only the messages that this carrier had last, and no delivery times.
        :raises OSError, sqlite3.Error: the database can't be read now.
        """
        db = self._connection()
        self._deadline = self._monotonic() + self.seconds
        with db.reading():
            return self._sums(db, account, carrier, since, until, 60 if minutes else 3600)

    def _sums(
        self, db: HistoryConnection, account: str | None, carrier: str, since: float, until: float, span: int
    ) -> HistorySums:
        self._load_groups(db)
        mine = {
            n: group
            for n, group in self._groups.items()
            if account in (None, group.account) and carrier in ("", group.carrier)
        }
        within = (span, int(since // span), int(until // span))
        counts = db.execute(
            "SELECT bucket, grp, count FROM sums WHERE span = ? AND bucket BETWEEN ? AND ? AND count > 0", within
        )
        known = [(bucket, mine[number], count) for bucket, number, count in counts if number in mine]
        took = (
            []
            if carrier
            else db.execute(
                "SELECT bucket, class, CAST(sum(count) AS bigint) FROM took WHERE span = ? AND bucket BETWEEN ? AND ? "
                "AND (CAST(? AS text) IS NULL OR account = ?) GROUP BY 1, 2",
                (*within, account, account),
            ).fetchall()
        )
        waiting = ", ".join(str(number) for number, group in mine.items() if not group.final)
        (before,) = db.execute(
            "SELECT CAST(coalesce(sum(count), 0) AS bigint) FROM sums WHERE span = 3600 AND bucket < ? "
            f"AND grp IN ({waiting or -1})",
            (int(since // 3600),),
        ).fetchone()
        return HistorySums(known, took, before)

    def feed(self, account: str, after: int, limit: int) -> Sequence[FeedEntry]:
        """Returns an account's final states after a place in its feed, up to `limit` of them, in order.

        :raises OSError, sqlite3.Error: the database can't be read now.
        """
        db = self._connection()
        self._deadline = self._monotonic() + self.seconds
        with db.reading():
            self._load_groups(db)
            return read_feed(db, account, after, limit, self._groups)

    def close(self) -> None:
        """Closes the connection. The next search opens a new one."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _connection(self) -> HistoryConnection:
        if self._db is None or not self._db.connected or not self._source.in_place():
            self.close()
            self._groups = {}
            self._db = self._source.open_for_searches()
            self._db.limit(lambda: self._deadline - self._monotonic(), self.steps_a_look)
        return self._db

    def _load_groups(self, db: HistoryConnection) -> None:
        last = max(self._groups, default=0)
        for number, *values in db.execute(
            "SELECT id, account, carrier, state, error, flags FROM groups WHERE id > ?", (last,)
        ):
            self._groups[number] = Group(*values)

    def _search(self, db: HistoryConnection, query: HistoryQuery) -> HistoryPage:
        self._load_groups(db)
        conditions = Conditions.of(query, db, self._groups, self._keep)
        if conditions is None:
            return HistoryPage([], None)
        backwards = not query.oldest_first
        first, last = _span(query)
        found: list[tuple[Row, int]] = []
        segments = _segments(db, first, last, backwards)
        for place, (number, lowest, highest, indexed) in enumerate(segments):
            if len(found) > query.limit:
                reached = found[query.limit][0][0]
                if reached > highest if backwards else reached < lowest:
                    break
            try:
                rows = conditions.rows(db, number, indexed, (max(first, lowest), min(last, highest)), query.limit + 1)
            except (sqlite3.OperationalError, SearchTimedOut) as problem:
                _raise_unless_timed_out(problem)
                span = (first, min(last, highest)) if backwards else (max(first, lowest), last)
                return self._read_slices(db, query, conditions, segments[place:], span, found)
            found = sorted(found + [(row, number) for row in rows], key=_seq, reverse=backwards)[: query.limit + 1]
        more = len(found) > query.limit
        found = found[: query.limit]
        return self._page(db, found, found[-1][0][0] if more else None)

    def _read_slices(
        self,
        db: HistoryConnection,
        query: HistoryQuery,
        conditions: Conditions,
        segments: Sequence[_Segment],
        span: tuple[int, int],
        found: list[tuple[Row, int]],
    ) -> HistoryPage:
        """Reads on in slices for the second half of the time. The page ends at the end of the last whole slice.

        :param segments: the segments that aren't read yet. Their keys may overlap, so a slice is of all of them.
        :param found: the rows of the other segments.
        """
        self._deadline = self._monotonic() + self.seconds / 2
        db.go_on()
        backwards, limit = not query.oldest_first, query.limit
        first, last = span
        reached: list[tuple[Row, int]] = []
        try:
            while first <= last and len(reached) <= limit:
                low, high = self._slice(db, segments, first, last, backwards)
                rows = [
                    (row, number)
                    for number, lowest, highest, indexed in segments
                    if lowest <= high and highest >= low
                    for row in conditions.rows(db, number, indexed, (low, high), limit + 1)
                ]
                found = sorted(found + rows, key=_seq, reverse=backwards)[: limit + 1]
                first, last = (first, low - 1) if backwards else (high + 1, last)
                reached = [each for each in found if (_seq(each) > last if backwards else _seq(each) < first)]
        except (sqlite3.OperationalError, SearchTimedOut) as problem:
            _raise_unless_timed_out(problem)
            # Rows of other segments may lie behind the last whole slice. The next search finds them again.
            reached = [each for each in found if (_seq(each) > last if backwards else _seq(each) < first)]
        if len(reached) > limit:
            return self._page(db, reached[:limit], _seq(reached[limit - 1]))
        if first > last:
            return self._page(db, reached, None)
        return self._page(db, reached, last + 1 if backwards else first - 1, complete=False)

    def _slice(
        self, db: HistoryConnection, segments: Sequence[_Segment], first: int, last: int, backwards: bool
    ) -> tuple[int, int]:
        """Returns the next keys of a span: the lowest and the highest. No segment has many rows between them."""
        order = "DESC" if backwards else "ASC"
        ends = [
            row[0]
            for number, *_ in segments
            for row in db.execute(
                f"SELECT seq FROM m{number} {db.hint(number, '')} WHERE seq BETWEEN ? AND ? ORDER BY seq {order} "
                "LIMIT 1 OFFSET ?",
                (first, last, self.slice_rows - 1),
            )
        ]
        return (max(ends, default=first), last) if backwards else (first, min(ends, default=last))

    def _page(
        self, db: HistoryConnection, found: Sequence[tuple[Row, int]], cursor: int | None, *, complete: bool = True
    ) -> HistoryPage:
        self._deadline = self._monotonic() + self.seconds
        if not complete:
            db.go_on()
        origins: dict[int, Origin] = {}
        views = []
        for row, segment in found:
            origin = origins.get(row[3])
            if origin is None:
                values = db.execute("SELECT interface, head FROM origins WHERE id = ?", (row[3],)).fetchone()
                origin = origins[row[3]] = Origin(*values)
            views.append(view_of(entry_of(row, origin, self._groups[row[4]], segment)))
        return HistoryPage(views, cursor, complete)


def _seq(found: tuple[Row, int]) -> int:
    return found[0][0]


def _raise_unless_timed_out(problem: Exception) -> None:
    if not isinstance(problem, SearchTimedOut) and "interrupt" not in str(problem):
        raise problem


def _span(query: HistoryQuery) -> tuple[int, int]:
    """Returns the lowest and the highest key that a row of the query can have."""
    first = 0 if query.since is None else first_seq(query.since)
    last = _LAST_SEQ if query.until is None else first_seq(query.until) - 1
    if query.after is not None:
        first, last = (max(first, query.after + 1), last) if query.oldest_first else (first, min(last, query.after - 1))
    return first, last


def _segments(db: HistoryConnection, first: int, last: int, backwards: bool) -> list[_Segment]:
    """Returns the segments with rows in a span of keys, in the order in which a search reads them."""
    found = []
    for number, lowest, highest, indexed in db.execute("SELECT number, first_seq, last_seq, indexed FROM segments"):
        if not indexed:
            # We ask for both ends in queries of their own, because a single query would read every row.
            ends = f"SELECT (SELECT min(seq) FROM m{number}), (SELECT max(seq) FROM m{number})"
            lowest, highest = db.execute(ends).fetchone()
        if lowest is not None and lowest <= last and highest >= first:
            found.append((number, lowest, highest, bool(indexed)))
    return sorted(found, key=lambda segment: segment[2] if backwards else segment[1], reverse=backwards)

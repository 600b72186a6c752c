"""Finds messages in the history. Runs in the searches' thread, with a read-only connection.

Theory of operation: a search reads the segments of its time span, from the newest or from the oldest one, until it has
found enough messages. In each segment it uses the index of the condition that fewest rows meet, and checks the other
conditions row by row. The newest segment has no index, so the search reads all of it. A search stops after a set time.
Then its page says that it isn't complete, and where the next search goes on. If half of the time is over, the search
reads on in slices of rows. So also a search that can't read a segment in its time gets further.
"""

import heapq
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from relay.history.history_entries import COLUMNS, Group, Origin, Row, entry_of, first_seq, view_of
from relay.history.history_feed import read_feed
from relay.history.history_numbers import NumberKeeper
from relay.history.history_schema import connect
from relay.store.api import FeedEntry
from relay.values.messages import MessageView

SEARCH_SECONDS: Final = 2.0
#: SQLite checks the time after this many instructions, that is about every millisecond.
_STEPS_A_LOOK: Final = 20_000
#: A search that is short of time reads this many rows of a segment at once. This takes some hundredths of a second.
_SLICE_ROWS: Final = 20_000
#: A search looks up this many values of a column one by one. If there are more, it reads all rows and compares.
_MOST_WALKS: Final = 64
#: Many numbers share an end that is shorter than this. For such an end, a search reads all rows and compares.
_TELLING_DIGITS: Final = 5
_LAST_SEQ: Final = (1 << 63) - 1

#: A segment with rows in a span of keys: number, lowest key, highest key, true if it has indexes.
_Segment = tuple[int, int, int, bool]


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Says which messages to find: those that meet all conditions. A field with None or "" is no condition.

    :ivar id: the message id or its beginning, as hexadecimal digits without hyphens.
    :ivar number: the digits of the whole destination.
    :ivar number_end: the last digits of the destination.
    :ivar carrier_id: the carrier message id, as its canonical id.
    :ivar states: the message must have one of these `message_state` numbers.
    :ivar error: the carrier error.
    :ivar notification: one of `relay.history.history_entries.NOTIFICATIONS`.
    :ivar ended: true finds only ended messages, false only messages that have not ended.
    :ivar since: the earliest time of acceptance, in seconds since 1970.
    :ivar until: the time of acceptance must be before this, in seconds since 1970.
    :ivar after: the search goes on from here; it is the `HistoryPage.cursor` of an earlier search.
    """

    account: str | None = None
    id: str = ""
    number: str = ""
    number_end: str = ""
    reference: str = ""
    sender: str = ""
    carrier: str = ""
    carrier_id: str = ""
    states: frozenset[int] | None = None
    error: str = ""
    notification: str = ""
    ended: bool | None = None
    since: float | None = None
    until: float | None = None
    oldest_first: bool = False
    after: int | None = None
    limit: int = 50


class HistoryPage(msgspec.Struct, frozen=True):
    """Holds the messages that a search found.

    :ivar cursor: the next search goes on here. None: there are no more messages.
    :ivar complete: false if the time was over before the search had found `limit` messages.
    """

    messages: Sequence[MessageView]
    cursor: int | None
    complete: bool = True


class HistorySums(msgspec.Struct, frozen=True):
    """Holds the number of messages that were accepted in each minute or hour, by outcome.

    :ivar counts: the minute or hour (counted from 1970), the group, and the number of messages; in order of time.
    :ivar took: for delivered messages: the minute or hour, the class of `TOOK_SECONDS`, and the number of messages.
    :ivar waiting_before: messages that were accepted before the first hour, and have not ended.
    """

    counts: Sequence[tuple[int, Group, int]]
    took: Sequence[tuple[int, int, int]]
    waiting_before: int = 0


class HistorySearch:
    """Searches the history's database. Allows one call at a time.

    :param keep: turns a number into the form that the history keeps.
    :param seconds: the time that a search may take.
    """

    def __init__(
        self,
        path: str,
        keep: NumberKeeper,
        *,
        seconds: float = SEARCH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._keep = keep
        #: The time that a search may take.
        self.seconds = seconds
        self._monotonic = monotonic
        self._db: sqlite3.Connection | None = None
        self._inode = (0, 0)
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
        db.execute("BEGIN")
        try:
            return self._search(db, query)
        finally:
            if db.in_transaction:
                db.execute("COMMIT")

    def sums(self, account: str | None, since: float, until: float, *, minutes: bool = False) -> HistorySums:
        """Counts the accepted messages of a time span, by outcome.

        :param account: counts only this account's messages; None counts those of all accounts.
        :param since, until: the time span, in seconds since 1970. Its first and last hour or minute count as a whole.
        :param minutes: counts by minute instead of by hour. The history has minutes for the last three hours only.
        :raises OSError, sqlite3.Error: the database can't be read now.
        """
        db = self._connection()
        self._deadline = self._monotonic() + self.seconds
        self._load_groups(db)
        mine = {n: group for n, group in self._groups.items() if account is None or group.account == account}
        span = 60 if minutes else 3600
        within = (span, int(since // span), int(until // span))
        counts = db.execute(
            "SELECT bucket, grp, count FROM sums WHERE span = ? AND bucket BETWEEN ? AND ? AND count > 0", within
        )
        took = db.execute(
            "SELECT bucket, class, sum(count) FROM took WHERE span = ? AND bucket BETWEEN ? AND ? "
            "AND coalesce(account = ?, 1) GROUP BY 1, 2",
            (*within, account),
        )
        known = [(bucket, mine[number], count) for bucket, number, count in counts if number in mine]
        waiting = ", ".join(str(number) for number, group in mine.items() if not group.final)
        (before,) = db.execute(
            f"SELECT coalesce(sum(count), 0) FROM sums WHERE span = 3600 AND bucket < ? AND grp IN ({waiting})",
            (int(since // 3600),),
        ).fetchone()
        return HistorySums(known, took.fetchall(), before)

    def feed(self, account: str, after: int, limit: int) -> Sequence[FeedEntry]:
        """Returns an account's final states after a place in its feed, up to `limit` of them, in order.

        :raises OSError, sqlite3.Error: the database can't be read now.
        """
        db = self._connection()
        self._deadline = self._monotonic() + self.seconds
        self._load_groups(db)
        return read_feed(db, account, after, limit, self._groups)

    def close(self) -> None:
        """Closes the connection. The next search opens a new one."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _connection(self) -> sqlite3.Connection:
        found = os.stat(self._path)
        inode = (found.st_dev, found.st_ino)
        if self._db is None or inode != self._inode:
            self.close()
            self._groups = {}
            self._db = connect(self._path, read_only=True)
            self._db.set_progress_handler(lambda: self._monotonic() > self._deadline, self.steps_a_look)
            self._inode = inode
        return self._db

    def _load_groups(self, db: sqlite3.Connection) -> None:
        last = max(self._groups, default=0)
        for number, *values in db.execute(
            "SELECT id, account, carrier, state, error, flags FROM groups WHERE id > ?", (last,)
        ):
            self._groups[number] = Group(*values)

    def _search(self, db: sqlite3.Connection, query: HistoryQuery) -> HistoryPage:
        self._load_groups(db)
        conditions = _Conditions.of(query, db, self._groups, self._keep)
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
            except sqlite3.OperationalError as problem:
                _raise_unless_interrupted(problem)
                span = (first, min(last, highest)) if backwards else (max(first, lowest), last)
                return self._read_slices(db, query, conditions, segments[place:], span, found)
            found = sorted(found + [(row, number) for row in rows], key=_seq, reverse=backwards)[: query.limit + 1]
        more = len(found) > query.limit
        found = found[: query.limit]
        return self._page(db, found, found[-1][0][0] if more else None)

    def _read_slices(
        self,
        db: sqlite3.Connection,
        query: HistoryQuery,
        conditions: "_Conditions",
        segments: Sequence[_Segment],
        span: tuple[int, int],
        found: list[tuple[Row, int]],
    ) -> HistoryPage:
        """Reads on in slices for the second half of the time. The page ends at the end of the last whole slice.

        :param segments: the segments that aren't read yet. Their keys may overlap, so a slice is of all of them.
        :param found: the rows of the other segments.
        """
        self._deadline = self._monotonic() + self.seconds / 2
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
        except sqlite3.OperationalError as problem:
            _raise_unless_interrupted(problem)
            # Rows of other segments may lie behind the last whole slice. The next search finds them again.
            reached = [each for each in found if (_seq(each) > last if backwards else _seq(each) < first)]
        if len(reached) > limit:
            return self._page(db, reached[:limit], _seq(reached[limit - 1]))
        if first > last:
            return self._page(db, reached, None)
        return self._page(db, reached, last + 1 if backwards else first - 1, complete=False)

    def _slice(
        self, db: sqlite3.Connection, segments: Sequence[_Segment], first: int, last: int, backwards: bool
    ) -> tuple[int, int]:
        """Returns the next keys of a span: the lowest and the highest. No segment has many rows between them."""
        order = "DESC" if backwards else "ASC"
        ends = [
            row[0]
            for number, *_ in segments
            for row in db.execute(
                f"SELECT seq FROM m{number} NOT INDEXED WHERE seq BETWEEN ? AND ? ORDER BY seq {order} "
                "LIMIT 1 OFFSET ?",
                (first, last, self.slice_rows - 1),
            )
        ]
        return (max(ends, default=first), last) if backwards else (first, min(ends, default=last))

    def _page(
        self, db: sqlite3.Connection, found: Sequence[tuple[Row, int]], cursor: int | None, *, complete: bool = True
    ) -> HistoryPage:
        self._deadline = self._monotonic() + self.seconds
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


def _raise_unless_interrupted(problem: sqlite3.OperationalError) -> None:
    if "interrupt" not in str(problem):
        raise problem


def _span(query: HistoryQuery) -> tuple[int, int]:
    """Returns the lowest and the highest key that a row of the query can have."""
    first = 0 if query.since is None else first_seq(query.since)
    last = _LAST_SEQ if query.until is None else first_seq(query.until) - 1
    if query.after is not None:
        first, last = (max(first, query.after + 1), last) if query.oldest_first else (first, min(last, query.after - 1))
    return first, last


def _segments(db: sqlite3.Connection, first: int, last: int, backwards: bool) -> list[_Segment]:
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


class _Conditions:
    """Turns a query into conditions of SQL, and reads the rows that meet them.

    :param terms: the conditions, each with its values.
    :param index: the search uses the index of this column; "" means no index.
    :param walked: the search looks up these values of that column one by one; empty if the terms have the value.
    """

    def __init__(
        self, terms: Sequence[tuple[str, Sequence[Any]]], index: str, walked: Sequence[int], backwards: bool
    ) -> None:
        self._terms = terms
        self._index = index
        self._walked = walked
        self._order = "DESC" if backwards else "ASC"
        self._backwards = backwards

    @classmethod
    def of(
        cls, query: HistoryQuery, db: sqlite3.Connection, groups: dict[int, Group], keep: NumberKeeper
    ) -> "_Conditions | None":
        """Makes the conditions of a query. Returns None if no message can meet them."""
        terms: list[tuple[str, Sequence[Any]]] = []
        index = ""
        walked: Sequence[int] = ()
        if query.id:
            terms.append(("id BETWEEN ? AND ?", _id_range(query.id)))
            index = "id"
        if query.carrier_id:
            key = query.carrier_id.encode("latin-1", "replace")
            both = "SELECT seq FROM m{n} WHERE carrier_id = ? UNION ALL SELECT seq FROM p{n} WHERE carrier_id = ?"
            terms.append((f"seq IN ({both})", (key, key)))
            index = index or "carrier_id"
        if query.reference:
            terms.append(("reference = ?", (query.reference,)))
            index = index or "reference"
        if query.number:
            terms.append(("number = ?", (keep(query.number.encode("latin-1", "replace"))[::-1],)))
            index = index or "number"
        if query.number_end:
            end = query.number_end.encode("latin-1", "replace")[::-1]
            terms.append(("number >= ? AND number < ?", (end, end + b"\xff")))
            if len(end) >= _TELLING_DIGITS:
                index = index or "number"
        if query.sender:
            sender = query.sender.encode("latin-1", "replace")
            origins = [number for (number,) in db.execute("SELECT id FROM origins WHERE sender = ?", (sender,))]
            if not origins:
                return None
            if not index and len(origins) <= _MOST_WALKS:
                index, walked = "origin", origins
            else:
                terms.append(_one_of("origin", origins))
        if (mine := _groups_of(query, groups)) is not None:
            if not mine:
                return None
            if not index and len(mine) <= _MOST_WALKS:
                index, walked = "grp", mine
            else:
                terms.append(_one_of("grp", mine))
        return cls(terms, index, walked, not query.oldest_first)

    def rows(
        self, db: sqlite3.Connection, segment: int, indexed: bool, span: tuple[int, int], limit: int
    ) -> Sequence[Row]:
        """Returns the first rows of a segment that meet all conditions, in order.

        :raises sqlite3.OperationalError: the time for the search is over.
        """
        if self._walked and indexed:
            walks = [
                self._select(db, segment, f"INDEXED BY m{segment}_{self._index}", [(f"{self._index} = ?", (value,))],
                             span, limit)
                for value in self._walked
            ]  # fmt: skip
            return list(islice(heapq.merge(*walks, reverse=self._backwards), limit))
        terms = [_one_of(self._index, self._walked)] if self._walked else []
        how = ""
        if not self._index or self._walked:
            # Read the rows in the order of their keys. Otherwise SQLite's planner may choose an index that is slower.
            how = "NOT INDEXED"
        elif indexed and self._index != "carrier_id":
            how = f"INDEXED BY m{segment}_{self._index}"
        return list(self._select(db, segment, how, terms, span, limit))

    def _select(
        self,
        db: sqlite3.Connection,
        segment: int,
        how: str,
        terms: Iterable[tuple[str, Sequence[Any]]],
        span: tuple[int, int],
        limit: int,
    ) -> Iterator[Row]:
        terms = [("seq BETWEEN ? AND ?", span), *terms, *self._terms]
        where = " AND ".join(term for term, _ in terms).format(n=segment)
        values = [value for _, some in terms for value in some]
        return db.execute(
            f"SELECT {', '.join(COLUMNS)} FROM m{segment} {how} WHERE {where} ORDER BY seq {self._order} LIMIT ?",
            (*values, limit),
        )


def _one_of(column: str, values: Sequence[int]) -> tuple[str, Sequence[Any]]:
    # These are numbers of our own, so they are safe in the text. A statement can't have as many parameters.
    return f"{column} IN ({', '.join(map(str, values))})", ()


def _id_range(digits: str) -> tuple[bytes, bytes]:
    digits = digits[:32].lower()
    return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))


def _groups_of(query: HistoryQuery, groups: dict[int, Group]) -> Sequence[int] | None:
    """Returns the numbers of the groups that match a query, or None if the query has no condition for groups."""
    error = query.error.encode("latin-1", "replace")
    asked = (query.account, query.carrier, query.states, query.error, query.notification, query.ended)
    if all(value is None or value == "" for value in asked):
        return None
    return [
        number
        for number, group in groups.items()
        if (query.account is None or group.account == query.account)
        and (not query.carrier or group.carrier == query.carrier)
        and (query.states is None or group.state in query.states)
        and (not error or group.error == error)
        and (not query.notification or group.notification == query.notification)
        and (query.ended is None or group.final is query.ended)
    ]

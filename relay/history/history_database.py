"""Writes the history's database, which one thread writes.

Theory of operation: new rows go into the newest *segment*. This table has no indexes, so each new row costs little.
When a segment is full or a day old, the writer sorts its rows to build all its indexes, and begins the next segment.
This costs a tenth of updating the indexes at each row. So a search looks into each segment of its time span, and reads
the newest one from end to end. Old segments are dropped as a whole.

One transaction writes a batch of rows, the sums that they change, and the *cursor*: the place up to which the journal
was read. So after a crash the history has exactly the rows of the journal up to its cursor.

Call all functions in the history's thread, one at a time.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Final

from relay.history.batch_statements import add_sums
from relay.history.history_entries import COLUMNS, Entry, Row, accepted_at_of, entry_of, minute_of, row_of, took_class
from relay.history.history_feed import Ended, forget_feed, write_feed
from relay.history.history_numbers import NumberKeeper
from relay.history.history_schema import DROP_SEGMENT, Cursor
from relay.history.history_shared import SharedValues
from relay.history.history_source import HistoryConnection, HistorySource

#: A segment gets its indexes at this many rows. A search without index reads this many rows in about 20 ms. In a large
#: history, segments get larger, because each search has to look into every segment of its time span.
SEGMENT_ROWS: Final = 100_000
_LARGE_SEGMENTS: Final = 10
_LARGE_HISTORY_SEGMENTS: Final = 200
SEGMENT_SECONDS: Final = 86_400.0
_MARK_OPEN: Final = (
    "INSERT INTO open_ids (id, segment, seq) VALUES (?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET segment = excluded.segment, seq = excluded.seq"
)


class HistoryDatabase:
    """Reads and writes the database for the writer. `open` opens it; `begin_anew` makes an empty one.

    :param keep: turns a number into the form that the history keeps.
    :param segment_rows: rows at which a segment gets its indexes, see `SEGMENT_ROWS`.
    """

    def __init__(self, source: HistorySource, keep: NumberKeeper, *, segment_rows: int = SEGMENT_ROWS) -> None:
        self.source = source
        self.cursor = Cursor(0, 0)
        #: The journal's records before this place are repeated ones (see `relay.history.history_events`).
        self.repeated_until = Cursor(0, 0)
        #: True if the database was empty when the repeated records began: then it has no message twice.
        self.fresh = True
        self.counter = 0
        #: Octets of the journal that were deleted before the history had read them.
        self.lacking_bytes = 0
        self.rows = 0
        self._keep = keep
        self._segment_rows = segment_rows
        self._db: HistoryConnection
        self._segment = 0
        self._segment_rows_now = 0
        #: When `close_segment` first saw rows in the newest segment; 0.0 if it has not seen any yet.
        self._segment_began_at = 0.0
        self._shared: SharedValues
        #: The row keys of the open entries of the newest segment. The table `open_ids` has those of other segments, so
        #: that for a receipt that comes after days, the relay doesn't search every segment.
        self._places: dict[bytes, int] = {}
        self._id_index = False

    # Opening

    def open(self) -> bool:
        """Opens the database, or makes it if there is none. Returns true if there was one.

        :raises NewerHistory: a newer relay wrote the database.
        :raises sqlite3.DatabaseError: the database is damaged, or can't be opened.
        """
        self._db, known = self.source.open()
        try:
            self._load()
        except BaseException:
            self._db.close()
            raise
        return known

    def begin_anew(self) -> str:
        """Renames a damaged database and makes an empty one.

        Returns the new name of the old file, or "" if there was no file.

        :raises OSError, sqlite3.Error: the old file can't be renamed, or the new one can't be made.
        """
        self.close()
        kept = self.source.set_aside()
        self.open()
        return kept

    def _load(self) -> None:
        db = self._db
        meta = dict(db.execute("SELECT name, value FROM meta"))
        # PostgreSQL has one type for all of these values.
        self.cursor = Cursor(int(meta.get("cursor_sequence", 0)), int(meta.get("cursor_offset", 0)))
        self.repeated_until = Cursor(int(meta.get("repeated_sequence", 0)), int(meta.get("repeated_offset", 0)))
        self.fresh = bool(meta.get("fresh", 1))
        self.counter = int(meta.get("counter", 0))
        self.lacking_bytes = int(meta.get("lacking_bytes", 0))
        self._segment_began_at = meta.get("segment_began_at", 0.0)
        self._shared = SharedValues(db)
        (self._segment,) = db.execute("SELECT max(number) FROM segments").fetchone()
        self._segment_rows_now = db.execute(f"SELECT count(*) FROM m{self._segment}").fetchone()[0]
        count = "SELECT CAST(coalesce(sum(count), 0) AS bigint) FROM sums WHERE span = 3600"
        self.rows = db.execute(count).fetchone()[0]
        self._id_index = db.has_id_index(self._segment)
        waiting = [
            str(n) for n, group in self._shared.group_of.items() if not group.final or group.notification == "owed"
        ]
        query = f"SELECT id, seq FROM m{self._segment} WHERE grp IN ({', '.join(waiting) or -1})"
        self._places = dict(db.execute(query))

    def close(self) -> None:
        """Closes the database. A second call does nothing."""
        if hasattr(self, "_db"):
            self._db.close()

    @property
    def connected(self) -> bool:
        """False if the connection has failed. Then call `open` again."""
        return self._db.connected

    # Reading

    def find(self, message_id: bytes) -> Entry | None:
        """Returns the entry of a message, or None. If several messages have this id, it returns the latest."""
        seq = self._places.get(message_id)
        if seq is not None:
            return self._read(self._segment, "seq", seq)
        place = self._db.execute("SELECT segment, seq FROM open_ids WHERE id = ?", (message_id,)).fetchone()
        if place is not None:
            return self._read(place[0], "seq", place[1])
        if not self._id_index and self._segment_rows_now:
            # The journal has a record about a message that had ended, for example a replay: more will follow, so this
            # segment gets its index of ids now.
            self._db.index_ids(self._segment)
            self._id_index = True
        for (number,) in self._db.execute("SELECT number FROM segments ORDER BY number DESC").fetchall():
            found = self._read(number, "id", message_id)
            if found is not None:
                return found
        return None

    def _read(self, segment: int, column: str, value: int | bytes) -> Entry | None:
        query = f"SELECT {', '.join(COLUMNS)} FROM m{segment} WHERE {column} = ? ORDER BY seq DESC LIMIT 1"
        row: Row | None = self._db.execute(query, (value,)).fetchone()
        if row is None:
            return None
        return entry_of(row, self._shared.origin(row[3]), self._shared.group_of[row[4]], segment)

    # Writing

    def write(
        self, entries: Sequence[Entry], cursor: Cursor, counter: int, owed: Callable[[Entry], bool] | None = None
    ) -> None:
        """Writes a batch together with the cursor, the place up to which the journal was read.

        :param owed: returns true if a message that ends in this batch still needs its line in the message records.
            None: no message needs a line.
        :raises sqlite3.Error: nothing of the batch is written.
        """
        self._shared.look()
        try:
            self._write(entries, cursor, counter, owed)
        except BaseException:
            # The failed batch has changed our memory, but not the database. So load the memory from the database.
            self._load()
            raise

    def _write(
        self, entries: Sequence[Entry], cursor: Cursor, counter: int, owed: Callable[[Entry], bool] | None
    ) -> None:
        with self._transaction():
            sums: Counter[tuple[int, int]] = Counter()
            took: Counter[tuple[int, str, int]] = Counter()
            groups = self._shared.group_of
            by_segment: dict[int, list[Row]] = {}
            rows: list[Row] = []
            ids: list[tuple[int, bytes, int]] = []
            lines: list[tuple[int, int]] = []
            ended: dict[str, list[Ended]] = {}
            for entry in entries:
                row = self._row(entry)
                group = row[4]
                before = entry.group
                if before != group:
                    minute = minute_of(entry.seq)
                    sums[minute, group] += 1
                    if before:
                        sums[minute, before] -= 1
                    if groups[group].delivered and not (before and groups[before].delivered):
                        took[minute, entry.message.account, took_class(entry)] += 1
                    ends = groups[group].final and not (before and groups[before].final)
                    if ends and owed is not None and owed(entry):
                        lines.append((entry.segment or self._segment, entry.seq))
                if entry.feed_place:
                    place = Ended(entry.feed_place, entry.seq, entry.segment or self._segment)
                    ended.setdefault(entry.message.account, []).append(place)
                if entry.segment:
                    by_segment.setdefault(entry.segment, []).append(row)
                else:
                    rows.append(row)
                if entry.details is not None:
                    segment = entry.segment or self._segment
                    ids += [(segment, key, entry.seq) for key in _further_ids(entry)]
            self._db.insert_rows(self._segment, rows)
            for segment, changed in by_segment.items():
                self._db.change_rows(segment, changed)
            self._mark_open(entries)
            self._db.executemany("INSERT INTO owed_lines (segment, seq) VALUES (?, ?)", lines)
            for segment, key, seq in ids:
                self._db.execute(f"INSERT INTO p{segment} VALUES (?, ?)", (key, seq))
            write_feed(self._db, ended)
            add_sums(self._db, sums, took)
            self._put_meta(cursor_sequence=cursor.sequence, cursor_offset=cursor.offset, counter=counter)
        self.cursor, self.counter = cursor, counter
        self.rows += len(rows)
        self._segment_rows_now += len(rows)
        self._note(entries)

    def _row(self, entry: Entry) -> Row:
        message = entry.message
        addresses = message.addresses
        middle = addresses.index(b"\0", 2) + 3
        origin, group = self._shared.of(entry, addresses[:middle])
        number = addresses[middle:-1]
        return row_of(entry, (number if entry.segment else self._keep(number))[::-1], origin, group)

    def _mark_open(self, entries: Iterable[Entry]) -> None:
        """Updates the table `open_ids` for the entries of older segments."""
        older = [entry for entry in entries if entry.segment not in (0, self._segment)]
        if older:
            ended = [(entry.message.id,) for entry in older if not entry.open]
            self._db.executemany("DELETE FROM open_ids WHERE id = ?", ended)
            opened = [(entry.message.id, entry.segment, entry.seq) for entry in older if entry.open]
            self._db.executemany(_MARK_OPEN, opened)

    def _note(self, entries: Iterable[Entry]) -> None:
        """Remembers the places of the newest segment's open entries, and forgets entries that aren't open any more."""
        places, newest = self._places, self._segment
        for entry in entries:
            if entry.segment in (0, newest):
                if entry.open:
                    places[entry.message.id] = entry.seq
                else:
                    places.pop(entry.message.id, None)

    def owed_lines(self, limit: int) -> list[tuple[int, Entry | None]]:
        """Returns the oldest notes of lines that are not written yet, each with its message.

        A message is None if the history has dropped it.
        """
        notes = self._db.execute("SELECT n, segment, seq FROM owed_lines ORDER BY n LIMIT ?", (limit,)).fetchall()
        kept = {number for (number,) in self._db.execute("SELECT number FROM segments")} if notes else set()
        return [(n, self._read(segment, "seq", seq) if segment in kept else None) for n, segment, seq in notes]

    def lines_written(self, notes: Sequence[int]) -> None:
        """Deletes the notes of lines that were written.

        :raises sqlite3.Error: no note was deleted.
        """
        with self._transaction():
            self._db.executemany("DELETE FROM owed_lines WHERE n = ?", [(n,) for n in notes])

    # A segment's life

    def close_segment(self, now: float) -> bool:
        """Builds the newest segment's indexes if it is full or old, and begins the next segment.

        Returns true if it did so.

        :raises sqlite3.Error: the segment is unchanged.
        """
        rows = self._segment_rows_now
        if rows and not self._segment_began_at:
            self.put_meta(segment_began_at=now)
            self._segment_began_at = now
        large = self.rows > _LARGE_HISTORY_SEGMENTS * self._segment_rows
        full = rows >= self._segment_rows * (_LARGE_SEGMENTS if large else 1)
        if not full and not (rows and now - self._segment_began_at > SEGMENT_SECONDS):
            return False
        number = self._segment
        db = self._db
        with self._transaction():
            db.index_segment(number)
            db.execute(
                f"UPDATE segments SET rows = ?, first_seq = (SELECT min(seq) FROM m{number}), "
                f"last_seq = (SELECT max(seq) FROM m{number}) WHERE number = ?",
                (rows, number),
            )
            waiting = [(message_id, number, seq) for message_id, seq in self._places.items()]
            db.executemany(_MARK_OPEN, waiting)
            db.begin_segment(number + 1)
            self._put_meta(segment_began_at=0.0)
        self._segment, self._segment_rows_now, self._segment_began_at = number + 1, 0, 0.0
        self._places, self._id_index = {}, False
        return True

    def forget_before(self, seq: int) -> int:
        """Drops the segments in which all messages are older than this key. Returns the number of dropped rows.

        :raises sqlite3.Error: the segments that were not dropped yet are unchanged.
        """
        gone = 0
        query = "SELECT number, rows FROM segments WHERE indexed = 1 AND last_seq < ? ORDER BY number"
        for number, rows in self._db.execute(query, (seq,)).fetchall():
            with self._transaction():
                counts = self._db.execute(
                    f"SELECT (seq >> 20) / 60000, grp, -count(*) FROM m{number} GROUP BY 1, 2"
                ).fetchall()
                add_sums(self._db, {(minute, group): count for minute, group, count in counts}, {})
                for statement in DROP_SEGMENT:
                    self._db.execute(statement.format(n=number))
            gone += rows
        hour = accepted_at_of(seq) // 3600.0
        with self._transaction():
            self._db.execute("DELETE FROM sums WHERE count = 0")
            forget_feed(self._db)
            self._db.execute("DELETE FROM took WHERE span = 3600 AND bucket < ?", (hour,))
        self.rows -= gone
        return gone

    def forget_minutes_before(self, at: float) -> None:
        """Drops the sums by minute of messages that were accepted before `at`. The sums by hour stay.

        :raises sqlite3.Error: the sums are unchanged.
        """
        with self._transaction():
            for table in ("sums", "took"):
                self._db.execute(f"DELETE FROM {table} WHERE span = 60 AND bucket < ?", (int(at // 60),))

    # Values beside the rows

    def lacking(self, octets: int, repeated_until: Cursor, cursor: Cursor) -> None:
        """Notes that a piece of the journal was never read, and moves the cursor.

        :param octets: the size of that piece.
        :param repeated_until: the history may know the records before this place already.
        :param cursor: the place where reading goes on.
        :raises sqlite3.Error: nothing is noted.
        """
        with self._transaction():
            self._put_meta(
                cursor_sequence=cursor.sequence, cursor_offset=cursor.offset,
                repeated_sequence=repeated_until.sequence, repeated_offset=repeated_until.offset,
                lacking_bytes=self.lacking_bytes + octets, fresh=int(not self.rows),
            )  # fmt: skip
        self.fresh = not self.rows
        self.cursor, self.repeated_until = cursor, repeated_until
        self.lacking_bytes += octets

    def put_meta(self, **values: object) -> None:
        """Stores values under names.

        :raises sqlite3.Error: no value is stored.
        """
        with self._transaction():
            self._put_meta(**values)

    def _put_meta(self, **values: object) -> None:
        self._db.executemany(
            "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            list(values.items()),
        )

    def _transaction(self) -> AbstractContextManager[object]:
        return self._db.transaction()


def _further_ids(entry: Entry) -> Iterator[bytes]:
    """Returns the carrier message ids of a message that its row has no column for."""
    details = entry.details
    if details is None:
        return
    for part in details.parts or ():
        if part.carrier_message_id:
            yield part.carrier_message_id
    for _, key, _ in details.handoffs:
        if key:
            yield key
    for part in chain.from_iterable(details.rounds):
        if part.carrier_message_id:
            yield part.carrier_message_id

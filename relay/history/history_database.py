"""The history's database: SQLite, one file, written by one thread.

Theory of operation: rows go into the newest *segment*, a table without indexes, so that a row costs little whatever its
number and ids are. A segment that is full or a day old gets its indexes in one go, by sorting, which costs a tenth of
keeping them up to date row by row, and the next segment begins. So a search looks into each segment of its span of
time, and reads the newest one from end to end. Old segments are dropped as a whole.

One transaction holds a batch of rows, the sums that they change, and the *cursor*: how far the journal has been read.
So after a crash the history is at one place of the journal, with every row up to there and none beyond.

All functions are called in the history's thread, one at a time.
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from relay.history.history_entries import (
    COLUMNS,
    Entry,
    Group,
    Origin,
    Row,
    accepted_at_of,
    entry_of,
    minute_of,
    row_of,
    took_class,
)
from relay.history.history_numbers import NumberKeeper

#: Raised when the tables change in a way that an older relay can't read.
SCHEMA_VERSION: Final = 1
#: A segment gets its indexes at so many rows: reading so many one by one takes some 20 ms. In a large history it gets
#: them later, because each search has to look into every segment of its span.
SEGMENT_ROWS: Final = 100_000
_LARGE_SEGMENTS: Final = 10
_LARGE_HISTORY_SEGMENTS: Final = 200
SEGMENT_SECONDS: Final = 86_400.0
#: Rows in one statement. One row a statement would have the thread wait for the interpreter's lock at each row.
_ROWS_A_STATEMENT: Final = 100
#: Groups that are kept apart. A carrier with an error text of its own for each message gets no more of them.
_MOST_GROUPS: Final = 20_000
_MOST_ORIGINS_IN_MEMORY: Final = 100_000
#: Columns that never change.
_LASTING: Final = ("seq", "id", "number", "origin", "reference", "validity")
_CACHE_KIB: Final = 16_384
#: Of the file: larger than SQLite's own, because a search reads the newest segment from end to end.
_PAGE_BYTES: Final = 16_384
_BUSY_MILLISECONDS: Final = 5_000

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE segments (number INTEGER PRIMARY KEY, first_seq INTEGER, last_seq INTEGER, rows INTEGER NOT NULL,
    indexed INTEGER NOT NULL);
CREATE TABLE origins (id INTEGER PRIMARY KEY, interface TEXT NOT NULL, head BLOB NOT NULL, sender BLOB NOT NULL);
CREATE UNIQUE INDEX origins_head ON origins (head, interface);
CREATE INDEX origins_sender ON origins (sender);
CREATE TABLE groups (id INTEGER PRIMARY KEY, account TEXT NOT NULL, carrier TEXT NOT NULL, state INTEGER NOT NULL,
    error BLOB NOT NULL, flags INTEGER NOT NULL, UNIQUE (account, carrier, state, error, flags));
CREATE TABLE sums (span INTEGER NOT NULL, bucket INTEGER NOT NULL, grp INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (span, bucket, grp)) WITHOUT ROWID;
CREATE TABLE took (span INTEGER NOT NULL, bucket INTEGER NOT NULL, account TEXT NOT NULL, class INTEGER NOT NULL,
    count INTEGER NOT NULL, PRIMARY KEY (span, bucket, account, class)) WITHOUT ROWID;
"""
_NEW_SEGMENT: Final = (
    "CREATE TABLE m{n} (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, number BLOB NOT NULL, origin INTEGER NOT NULL, "
    "grp INTEGER NOT NULL, carrier_id BLOB, reference TEXT, validity INTEGER NOT NULL, submitted INTEGER, "
    "done INTEGER, carrier_done INTEGER, details BLOB)",
    # Carrier message ids beyond the row's own: those of long messages' parts, and of earlier hand-overs.
    "CREATE TABLE p{n} (carrier_id BLOB NOT NULL, seq INTEGER NOT NULL)",
    "INSERT INTO segments VALUES ({n}, NULL, NULL, 0, 0)",
)
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS m{n}_id ON m{n} (id)",
    "CREATE INDEX m{n}_number ON m{n} (number)",
    "CREATE INDEX m{n}_origin ON m{n} (origin)",
    "CREATE INDEX m{n}_grp ON m{n} (grp)",
    "CREATE INDEX m{n}_carrier_id ON m{n} (carrier_id) WHERE carrier_id IS NOT NULL",
    "CREATE INDEX m{n}_reference ON m{n} (reference) WHERE reference IS NOT NULL",
    "CREATE INDEX p{n}_carrier_id ON p{n} (carrier_id)",
    "UPDATE segments SET indexed = 1 WHERE number = {n}",
)


class Cursor(msgspec.Struct, frozen=True, order=True):
    """A place in the journal: a segment file's number, and an offset in it."""

    sequence: int
    offset: int


class NewerHistory(Exception):
    """The database was written by a newer relay; the text says what to do."""


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection as the history uses it. Transactions are begun by hand.

    :raises sqlite3.Error: it can't be opened.
    """
    name = f"{Path(path).absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False, cached_statements=1_000)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


class HistoryDatabase:
    """The writer's side. Open it with `open`; `begin_anew` makes an empty one.

    :param keep: turns numbers into what is kept of them.
    :param segment_rows: see `SEGMENT_ROWS`.
    """

    def __init__(self, path: str, keep: NumberKeeper, *, segment_rows: int = SEGMENT_ROWS) -> None:
        self.path = path
        self.cursor = Cursor(0, 0)
        #: Below it, the journal's records are repeated ones (see `relay.history.history_events`).
        self.repeated_until = Cursor(0, 0)
        #: Whether it was empty when that began: then no message stands in it twice.
        self.fresh = True
        self.counter = 0
        #: Octets of the journal that were deleted before the history had read them.
        self.lacking_bytes = 0
        self.rows = 0
        self._keep = keep
        self._segment_rows = segment_rows
        self._db: sqlite3.Connection
        self._inode: tuple[int, int] | None = None
        self._segment = 0
        self._segment_rows_now = 0
        self._first_seq = 0
        self._origins: dict[Origin, int] = {}
        self._groups: dict[Group, int] = {}
        self._group_of: dict[int, Group] = {}
        #: The open entries of segments without an index of ids: where their rows are.
        self._places: dict[bytes, int] = {}
        self._id_index = False

    # Opening

    def open(self) -> bool:
        """Opens the database, and makes it where there is none. Gives whether there was one.

        :raises NewerHistory: see there.
        :raises sqlite3.DatabaseError: it is damaged, or can't be opened.
        """
        self._db = connect(self.path)
        try:
            return self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> bool:
        db = self._db
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise NewerHistory(
                f"{self.path} was written by a newer relay (format {version}, this one reads {SCHEMA_VERSION}). Run "
                "that relay, or move the file away: the history then begins anew"
            )
        if not version:
            # Both only before the first table. The second lets erased pages be given back to the file system.
            db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        # Deleted rows are overwritten where that costs no writing of its own; see `relay.history.erasure`.
        db.execute("PRAGMA secure_delete = FAST")
        if not version:
            with self._transaction():
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                self._new_segment(1)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            os.chmod(self.path, 0o640)
        self._load()
        found = os.stat(self.path)
        self._inode = (found.st_dev, found.st_ino)
        return bool(version)

    def begin_anew(self) -> str:
        """Moves a damaged database away and makes an empty one. Gives the new name of the old file; "" where there
        was none.

        :raises OSError, sqlite3.Error: that can't be done.
        """
        self.close()
        kept = ""
        for suffix in ("", "-wal", "-shm"):
            path = Path(self.path + suffix)
            if path.exists():
                path.replace(f"{self.path}.damaged{suffix}")
                kept = kept or f"{self.path}.damaged"
        self.open()
        return kept

    def _load(self) -> None:
        db = self._db
        meta = dict(db.execute("SELECT name, value FROM meta"))
        self.cursor = Cursor(meta.get("cursor_sequence", 0), meta.get("cursor_offset", 0))
        self.repeated_until = Cursor(meta.get("repeated_sequence", 0), meta.get("repeated_offset", 0))
        self.fresh = bool(meta.get("fresh", 1))
        self.counter = meta.get("counter", 0)
        self.lacking_bytes = meta.get("lacking_bytes", 0)
        self._groups, self._origins, self._places = {}, {}, {}
        for number, *values in db.execute("SELECT id, account, carrier, state, error, flags FROM groups"):
            self._groups[Group(*values)] = number
        self._group_of = {number: group for group, number in self._groups.items()}
        self._segment, first = db.execute("SELECT max(number), first_seq FROM segments").fetchone()
        self._first_seq = first or 0
        self._segment_rows_now = db.execute(f"SELECT count(*) FROM m{self._segment}").fetchone()[0]
        self.rows = db.execute("SELECT coalesce(sum(count), 0) FROM sums WHERE span = 3600").fetchone()[0]
        name = f"m{self._segment}_id"
        self._id_index = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None
        waiting = [str(n) for n, group in self._group_of.items() if not group.final or group.notification == "owed"]
        query = f"SELECT id, seq FROM m{self._segment} WHERE grp IN ({', '.join(waiting)})"
        self._places.update(db.execute(query))

    def busy_milliseconds(self, milliseconds: int) -> None:
        """How long a write waits for somebody else who writes, such as the command `erase`."""
        self._db.execute(f"PRAGMA busy_timeout = {milliseconds}")

    def close(self) -> None:
        """Closes it. A second call does nothing."""
        if hasattr(self, "_db"):
            self._db.close()

    @property
    def in_place(self) -> bool:
        """Whether the file is still where it was opened: nobody has deleted or replaced it."""
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        return self._inode == (found.st_dev, found.st_ino)

    # Reading

    def find(self, message_id: bytes) -> Entry | None:
        """The entry of a message; of several with this id, the latest."""
        seq = self._places.get(message_id)
        if seq is not None:
            return self._read(self._segment, "seq", seq)
        if not self._id_index and self._segment_rows_now:
            # Somebody asks for messages that had ended, as a replay does: from now on this segment has its ids sorted.
            self._db.execute(_INDEXES[0].format(n=self._segment))
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
        interface, head = self._db.execute("SELECT interface, head FROM origins WHERE id = ?", (row[3],)).fetchone()
        return entry_of(row, Origin(interface, head), self._group_of[row[4]], segment)

    # Writing

    def write(self, entries: Sequence[Entry], cursor: Cursor, counter: int) -> None:
        """Writes a batch, and how far the journal has been read with it.

        :raises sqlite3.Error: nothing of it is written.
        """
        try:
            self._write(entries, cursor, counter)
        except BaseException:
            # What was remembered of it is not in the database.
            self._load()
            raise

    def _write(self, entries: Sequence[Entry], cursor: Cursor, counter: int) -> None:
        with self._transaction():
            sums: Counter[tuple[int, int]] = Counter()
            took: Counter[tuple[int, str, int]] = Counter()
            groups = self._group_of
            by_segment: dict[int, list[Row]] = {}
            rows: list[Row] = []
            ids: list[tuple[int, bytes, int]] = []
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
                if entry.segment:
                    by_segment.setdefault(entry.segment, []).append(row)
                else:
                    rows.append(row)
                if entry.details is not None:
                    segment = entry.segment or self._segment
                    ids += [(segment, key, entry.seq) for key in _further_ids(entry)]
            self._insert(self._segment, rows)
            for segment, changed in by_segment.items():
                self._insert(segment, changed, replacing=True)
            for segment, key, seq in ids:
                self._db.execute(f"INSERT INTO p{segment} VALUES (?, ?)", (key, seq))
            self._add(sums, took)
            self._put_meta(cursor_sequence=cursor.sequence, cursor_offset=cursor.offset, counter=counter)
        self.cursor, self.counter = cursor, counter
        self.rows += len(rows)
        self._segment_rows_now += len(rows)
        if rows:
            self._first_seq = min(self._first_seq or rows[0][0], rows[0][0])
        self._note(entries)

    def _row(self, entry: Entry) -> Row:
        message = entry.message
        addresses = message.addresses
        middle = addresses.index(b"\0", 2) + 3
        # Plain tuples, which find what was put in under named ones: making those would cost as much as the row.
        origin_key = (message.interface, addresses[:middle])
        origin = self._origins.get(origin_key) or self._origin(Origin(*origin_key))  # type: ignore[call-overload]
        group_key = (message.account, entry.carrier, entry.state, entry.error, entry.flags)
        group = self._groups.get(group_key) or self._group(Group(*group_key), entry)  # type: ignore[call-overload]
        number = addresses[middle:-1]
        return row_of(entry, (number if entry.segment else self._keep(number))[::-1], origin, group)

    def _origin(self, origin: Origin) -> int:
        db = self._db
        found = db.execute(
            "SELECT id FROM origins WHERE head = ? AND interface = ?", (origin.head, origin.interface)
        ).fetchone()
        number: int
        if found is None:
            values = (origin.interface, origin.head, origin.sender)
            number = db.execute("INSERT INTO origins VALUES (NULL, ?, ?, ?)", values).lastrowid or 0
        else:
            number = found[0]
        if len(self._origins) >= _MOST_ORIGINS_IN_MEMORY:
            self._origins.clear()
        self._origins[origin] = number
        return number

    def _group(self, group: Group, entry: Entry) -> int:
        if len(self._groups) >= _MOST_GROUPS and group.error:
            entry.rare().error = group.error
            group = group._replace(error=b"")
            if group in self._groups:
                return self._groups[group]
        number = self._db.execute("INSERT INTO groups VALUES (NULL, ?, ?, ?, ?, ?)", group).lastrowid or 0
        self._groups[group] = number
        self._group_of[number] = group
        return number

    def _insert(self, segment: int, rows: Sequence[Row], *, replacing: bool = False) -> None:
        if not rows:
            return
        names = ", ".join(COLUMNS)
        values = f"({', '.join('?' * len(COLUMNS))})"
        ending = ""
        if replacing:
            changing = [
                name for name in COLUMNS if name not in ("seq", "id", "number", "origin", "reference", "validity")
            ]
            ending = " ON CONFLICT (seq) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in changing)
        whole = len(rows) - len(rows) % _ROWS_A_STATEMENT
        many = f"INSERT INTO m{segment} ({names}) VALUES {', '.join([values] * _ROWS_A_STATEMENT)}{ending}"
        for start in range(0, whole, _ROWS_A_STATEMENT):
            self._db.execute(many, tuple(chain.from_iterable(rows[start : start + _ROWS_A_STATEMENT])))
        one = f"INSERT INTO m{segment} ({names}) VALUES {values}{ending}"
        self._db.executemany(one, rows[whole:])

    def _add(self, sums: Mapping[tuple[int, int], int], took: Mapping[tuple[int, str, int], int]) -> None:
        """Adds to the sums by minute, and with them to those by hour."""
        for table, names, changes in (("sums", "grp", sums), ("took", "account, class", took)):
            by_span: Counter[tuple[Any, ...]] = Counter()
            for (minute, *key), count in changes.items():
                by_span[(60, minute, *key)] += count
                by_span[(3600, minute // 60, *key)] += count
            add = (
                f"INSERT INTO {table} (span, bucket, {names}, count) VALUES (?, ?, {names.count(',') * '?, '}?, ?) "
                f"ON CONFLICT (span, bucket, {names}) DO UPDATE SET count = count + excluded.count"
            )
            self._db.executemany(add, [(*key, count) for key, count in by_span.items() if count])

    def _note(self, entries: Iterable[Entry]) -> None:
        """Remembers where the open entries of the newest segment are, and forgets those that have ended."""
        places, newest = self._places, self._segment
        for entry in entries:
            if entry.segment in (0, newest):
                if entry.open:
                    places[entry.message.id] = entry.seq
                else:
                    places.pop(entry.message.id, None)

    # A segment's life

    def close_segment(self, now: float) -> bool:
        """Gives the newest segment its indexes where it is full or old, and begins the next; gives whether it did.

        :raises sqlite3.Error: it is as it was.
        """
        rows = self._segment_rows_now
        large = self.rows > _LARGE_HISTORY_SEGMENTS * self._segment_rows
        if rows < self._segment_rows * (_LARGE_SEGMENTS if large else 1) and not (
            rows and now - accepted_at_of(self._first_seq) > SEGMENT_SECONDS
        ):
            return False
        number = self._segment
        db = self._db
        with self._transaction():
            for statement in _INDEXES:
                db.execute(statement.format(n=number))
            db.execute(
                f"UPDATE segments SET rows = ?, first_seq = (SELECT min(seq) FROM m{number}), "
                f"last_seq = (SELECT max(seq) FROM m{number}) WHERE number = ?",
                (rows, number),
            )
            self._new_segment(number + 1)
        self._segment, self._segment_rows_now, self._first_seq = number + 1, 0, 0
        self._places, self._id_index = {}, False
        return True

    def _new_segment(self, number: int) -> None:
        for statement in _NEW_SEGMENT:
            self._db.execute(statement.format(n=number))

    def forget_before(self, seq: int) -> int:
        """Drops the segments in which everything was accepted before this key; gives how many rows went.

        :raises sqlite3.Error: the segments that were not dropped yet are as they were.
        """
        gone = 0
        query = "SELECT number, rows FROM segments WHERE indexed AND last_seq < ? ORDER BY number"
        for number, rows in self._db.execute(query, (seq,)).fetchall():
            with self._transaction():
                counts = self._db.execute(
                    f"SELECT (seq >> 20) / 60000, grp, -count(*) FROM m{number} GROUP BY 1, 2"
                ).fetchall()
                self._add({(minute, group): count for minute, group, count in counts}, {})
                for statement in ("DROP TABLE m{n}", "DROP TABLE p{n}", "DELETE FROM segments WHERE number = {n}"):
                    self._db.execute(statement.format(n=number))
            gone += rows
        hour = accepted_at_of(seq) // 3600.0
        with self._transaction():
            self._db.execute("DELETE FROM sums WHERE count = 0")
            self._db.execute("DELETE FROM took WHERE span = 3600 AND bucket < ?", (hour,))
        self.rows -= gone
        return gone

    def forget_minutes_before(self, at: float) -> None:
        """Drops the sums by minute of what was accepted before `at`; those by hour stay.

        :raises sqlite3.Error: they are as they were.
        """
        with self._transaction():
            for table in ("sums", "took"):
                self._db.execute(f"DELETE FROM {table} WHERE span = 60 AND bucket < ?", (int(at // 60),))

    # What is kept beside the rows

    def lacking(self, octets: int, repeated_until: Cursor, cursor: Cursor) -> None:
        """Notes that a part of the journal was never read, and goes on at `cursor`.

        :param repeated_until: up to where the records may say what the history knows already.
        :raises sqlite3.Error: it is not noted.
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

    def meta(self, name: str) -> Any:
        """A value kept under a name; None where there is none."""
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else found[0]

    def put_meta(self, **values: object) -> None:
        """Keeps values under names.

        :raises sqlite3.Error: none of them is kept.
        """
        with self._transaction():
            self._put_meta(**values)

    def _put_meta(self, **values: object) -> None:
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._db)


class _Transaction:
    """A block that is written whole or not at all."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._db.execute("COMMIT")
        elif self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _further_ids(entry: Entry) -> Iterator[bytes]:
    """The carrier message ids of a message that don't stand in its row."""
    details = entry.details
    if details is None:
        return
    for part in details.parts or ():
        if part.carrier_message_id:
            yield part.carrier_message_id
    for _, key, _ in details.handoffs:
        if key:
            yield key

"""The history's database as one SQLite file.

The tables of a segment have its number in their names: `m7` has the messages of segment 7, and `p7` has their further
carrier message ids. `relay.history.history_database` explains segments. `docs/history.md` lists the data that the
history keeps.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from relay.history.history_entries import COLUMNS, LASTING_COLUMNS, Row
from relay.history.history_schema import INDEXED, SCHEMA_VERSION, NewerHistory, SegmentTables
from relay.history.history_source import HistoryConnection

_CACHE_KIB: Final = 16_384
#: The page size of the file. It is larger than SQLite's default, because a search reads the whole newest segment.
_PAGE_BYTES: Final = 16_384
_BUSY_MILLISECONDS: Final = 5_000
#: Rows in one statement. With one row per statement, the thread would wait for the interpreter's lock at each row.
_ROWS_A_STATEMENT: Final = 100
_CHECKPOINT_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.1

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE segments (number INTEGER PRIMARY KEY, first_seq INTEGER, last_seq INTEGER, rows INTEGER NOT NULL,
    indexed INTEGER NOT NULL);
CREATE TABLE origins (id INTEGER PRIMARY KEY, interface TEXT NOT NULL, head BLOB NOT NULL, sender BLOB NOT NULL);
CREATE UNIQUE INDEX origins_head ON origins (head, interface);
CREATE INDEX origins_sender ON origins (sender);
CREATE TABLE groups (id INTEGER PRIMARY KEY, account TEXT NOT NULL, carrier TEXT NOT NULL, state INTEGER NOT NULL,
    error BLOB NOT NULL, flags INTEGER NOT NULL, UNIQUE (account, carrier, state, error, flags));
CREATE TABLE owed_lines (n INTEGER PRIMARY KEY, segment INTEGER NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE open_ids (id BLOB PRIMARY KEY, segment INTEGER NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sums (span INTEGER NOT NULL, bucket INTEGER NOT NULL, grp INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (span, bucket, grp)) WITHOUT ROWID;
CREATE TABLE took (span INTEGER NOT NULL, bucket INTEGER NOT NULL, account TEXT NOT NULL, class INTEGER NOT NULL,
    count INTEGER NOT NULL, PRIMARY KEY (span, bucket, account, class)) WITHOUT ROWID
"""
#: The accounts' feeds (`relay.history.history_feed`). A history that an older relay began doesn't have this table.
_FEED: Final = (
    "CREATE TABLE IF NOT EXISTS feed (account TEXT NOT NULL, last_place INTEGER NOT NULL, first_place INTEGER NOT "
    "NULL, segment INTEGER NOT NULL, ended BLOB NOT NULL, PRIMARY KEY (account, last_place, first_place)) WITHOUT ROWID"
)
_NEW_SEGMENT: Final = (
    "CREATE TABLE m{n} (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, number BLOB NOT NULL, origin INTEGER NOT NULL, "
    "grp INTEGER NOT NULL, carrier_id BLOB, reference TEXT, validity INTEGER NOT NULL, submitted INTEGER, "
    "done INTEGER, carrier_done INTEGER, details BLOB)",
    # Carrier message ids that the row has no column for: those of a long message's parts, and of earlier handoffs.
    "CREATE TABLE p{n} (carrier_id BLOB NOT NULL, seq INTEGER NOT NULL)",
    "INSERT INTO segments VALUES ({n}, NULL, NULL, 0, 0)",
)
_ID_INDEX: Final = "CREATE INDEX IF NOT EXISTS m{n}_id ON m{n} (id)"
_INDEXES: Final = (
    _ID_INDEX,
    "CREATE INDEX m{n}_number ON m{n} (number)",
    "CREATE INDEX m{n}_origin ON m{n} (origin)",
    "CREATE INDEX m{n}_grp ON m{n} (grp)",
    "CREATE INDEX m{n}_carrier_id ON m{n} (carrier_id) WHERE carrier_id IS NOT NULL",
    "CREATE INDEX m{n}_reference ON m{n} (reference) WHERE reference IS NOT NULL",
    "CREATE INDEX p{n}_carrier_id ON p{n} (carrier_id)",
    INDEXED,
)


class SqliteConnection(sqlite3.Connection, SegmentTables):
    """A connection to the file. It is a `HistoryConnection`. The caller begins transactions itself."""

    NEW_SEGMENT, ID_INDEX, INDEXES = _NEW_SEGMENT, _ID_INDEX, _INDEXES
    _data_version = 0

    @property
    def connected(self) -> bool:
        return True

    def transaction(self) -> contextlib.AbstractContextManager[object]:
        return _Transaction(self)

    def limit(self, seconds_left: Callable[[], float], steps: int) -> None:
        self.set_progress_handler(lambda: seconds_left() < 0, steps)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        self.execute("BEGIN")
        try:
            yield
        finally:
            if self.in_transaction:
                self.execute("COMMIT")

    def go_on(self) -> None:
        """Does nothing: SQLite goes on by itself."""

    def hint(self, segment: int, index: str) -> str:
        # Without a hint, SQLite's planner may choose an index that is slower.
        return f"INDEXED BY m{segment}_{index}" if index else "NOT INDEXED"

    def insert_rows(self, segment: int, rows: Sequence[Row]) -> None:
        self._write_rows(segment, rows, "")

    def change_rows(self, segment: int, rows: Sequence[Row]) -> None:
        changing = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in LASTING_COLUMNS)
        self._write_rows(segment, rows, f" ON CONFLICT (seq) DO UPDATE SET {changing}")

    def _write_rows(self, segment: int, rows: Sequence[Row], ending: str) -> None:
        values = f"({', '.join('?' * len(COLUMNS))})"
        into = f"INSERT INTO m{segment} ({', '.join(COLUMNS)}) VALUES"
        whole = len(rows) - len(rows) % _ROWS_A_STATEMENT
        many = f"{into} {', '.join([values] * _ROWS_A_STATEMENT)}{ending}"
        for start in range(0, whole, _ROWS_A_STATEMENT):
            self.execute(many, tuple(chain.from_iterable(rows[start : start + _ROWS_A_STATEMENT])))
        self.executemany(f"{into} {values}{ending}", rows[whole:])

    def others_wrote(self) -> bool:
        before, self._data_version = self._data_version, self.execute("PRAGMA data_version").fetchone()[0]
        return before != self._data_version

    def has_id_index(self, number: int) -> bool:
        return self.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (f"m{number}_id",)).fetchone() is not None


class SqliteHistory:
    """The file. It is a `HistorySource`.

    :param busy_milliseconds: how long a write waits for another writer, such as the command `history erase`.
    """

    def __init__(self, path: str, *, busy_milliseconds: int = _BUSY_MILLISECONDS) -> None:
        self.path = path
        self._busy_milliseconds = busy_milliseconds
        self._inode: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        return self.path

    def open(self) -> tuple[HistoryConnection, bool]:
        db = self.connect()
        try:
            known = _prepare(db, self.path)
        except BaseException:
            db.close()
            raise
        self._inode = self._found()
        return db, known

    def open_for_searches(self) -> HistoryConnection:
        # The file must be there: SQLite would make a new one.
        self._inode = self._found()
        return self.connect(read_only=True)

    def connect(self, *, read_only: bool = False) -> SqliteConnection:
        """Opens a connection with the history's settings.

        :raises sqlite3.Error: the database can't be opened.
        """
        name = f"{Path(self.path).absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        connection = sqlite3.connect(
            name, uri=True, isolation_level=None, check_same_thread=False, cached_statements=1_000,
            factory=SqliteConnection,
        )  # fmt: skip
        connection.execute(f"PRAGMA busy_timeout = {self._busy_milliseconds}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    def _found(self) -> tuple[int, int]:
        found = os.stat(self.path)
        return found.st_dev, found.st_ino

    def in_place(self) -> bool:
        try:
            return self._inode == self._found()
        except OSError:
            return False

    def set_aside(self) -> str:
        kept = ""
        for suffix in ("", "-wal", "-shm"):
            path = Path(self.path + suffix)
            if path.exists():
                path.replace(f"{self.path}.damaged{suffix}")
                kept = kept or f"{self.path}.damaged"
        return kept

    def is_damaged(self, problem: Exception) -> bool:
        damage = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
        return isinstance(problem, sqlite3.DatabaseError) and problem.sqlite_errorcode & 0xFF in damage

    def exists(self) -> bool:
        return os.path.exists(self.path)

    def open_for_erasing(self) -> HistoryConnection:
        db = self.connect()
        # SQLite overwrites everything that is deleted.
        db.execute("PRAGMA secure_delete = ON")
        return db

    def remove_traces(self, db: HistoryConnection, segments: Sequence[int]) -> bool:
        db.execute("PRAGMA incremental_vacuum").fetchall()
        # Now move SQLite's log into the database, and empty the log.
        for _ in range(_CHECKPOINT_TRIES):
            busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
            time.sleep(_PAUSE_SECONDS)
        return False

    def interrupt(self) -> None:
        """Does nothing: a disk that hangs can't be interrupted."""


def _prepare(db: SqliteConnection, path: str) -> bool:
    """Makes the tables if there are none, and prepares the connection for writing. Returns true if there were tables.

    :raises NewerHistory: a newer relay wrote the database.
    :raises sqlite3.DatabaseError: the database is damaged.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise NewerHistory(
            f"{path} was written by a newer relay (format {version}, this one reads {SCHEMA_VERSION}). Run that relay, "
            "or move the file away: the history then begins anew"
        )
    if not version:
        # SQLite takes both settings only before the first table exists. The second one lets SQLite give erased pages
        # back to the file system.
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    # SQLite overwrites deleted rows if that needs no extra write. An erasure always overwrites them.
    db.execute("PRAGMA secure_delete = FAST")
    if not version:
        with db.transaction():
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.begin_segment(1)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        os.chmod(path, 0o640)
    db.execute(_FEED)
    return bool(version)


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            # This also runs if the disk is full at the commit: the next transaction can't begin while this one is open.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

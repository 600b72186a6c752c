"""Defines the tables of the history's database, and opens connections to it.

The tables of a segment have its number in their names: `m7` has the messages of segment 7, and `p7` has their further
carrier message ids. `relay.history.history_database` explains segments. `docs/history.md` lists the data that the
history keeps.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final

import msgspec

#: Increase it if the tables change in a way that an older relay can't read.
SCHEMA_VERSION: Final = 1
_CACHE_KIB: Final = 16_384
#: The page size of the file. It is larger than SQLite's default, because a search reads the whole newest segment.
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
CREATE TABLE owed_lines (n INTEGER PRIMARY KEY, segment INTEGER NOT NULL, seq INTEGER NOT NULL);
CREATE TABLE open_ids (id BLOB PRIMARY KEY, segment INTEGER NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE sums (span INTEGER NOT NULL, bucket INTEGER NOT NULL, grp INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (span, bucket, grp)) WITHOUT ROWID;
CREATE TABLE took (span INTEGER NOT NULL, bucket INTEGER NOT NULL, account TEXT NOT NULL, class INTEGER NOT NULL,
    count INTEGER NOT NULL, PRIMARY KEY (span, bucket, account, class)) WITHOUT ROWID;
"""
#: The accounts' feeds (`relay.history.history_feed`). A history that an older relay began doesn't have this table.
_FEED: Final = (
    "CREATE TABLE IF NOT EXISTS feed (account TEXT NOT NULL, last_place INTEGER NOT NULL, first_place INTEGER NOT "
    "NULL, segment INTEGER NOT NULL, ended BLOB NOT NULL, PRIMARY KEY (account, last_place, first_place)) WITHOUT ROWID"
)
NEW_SEGMENT: Final = (
    "CREATE TABLE m{n} (seq INTEGER PRIMARY KEY, id BLOB NOT NULL, number BLOB NOT NULL, origin INTEGER NOT NULL, "
    "grp INTEGER NOT NULL, carrier_id BLOB, reference TEXT, validity INTEGER NOT NULL, submitted INTEGER, "
    "done INTEGER, carrier_done INTEGER, details BLOB)",
    # Carrier message ids that the row has no column for: those of a long message's parts, and of earlier handoffs.
    "CREATE TABLE p{n} (carrier_id BLOB NOT NULL, seq INTEGER NOT NULL)",
    "INSERT INTO segments VALUES ({n}, NULL, NULL, 0, 0)",
)
INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS m{n}_id ON m{n} (id)",
    "CREATE INDEX m{n}_number ON m{n} (number)",
    "CREATE INDEX m{n}_origin ON m{n} (origin)",
    "CREATE INDEX m{n}_grp ON m{n} (grp)",
    "CREATE INDEX m{n}_carrier_id ON m{n} (carrier_id) WHERE carrier_id IS NOT NULL",
    "CREATE INDEX m{n}_reference ON m{n} (reference) WHERE reference IS NOT NULL",
    "CREATE INDEX p{n}_carrier_id ON p{n} (carrier_id)",
    "UPDATE segments SET indexed = 1 WHERE number = {n}",
)

DROP_SEGMENT: Final = (
    "DROP TABLE m{n}",
    "DROP TABLE p{n}",
    "DELETE FROM segments WHERE number = {n}",
    "DELETE FROM open_ids WHERE segment = {n}",
)


class Cursor(msgspec.Struct, frozen=True, order=True):
    """Names a place in the journal: the number of a segment file, and an offset in that file."""

    sequence: int
    offset: int


class NewerHistory(Exception):
    """Says that a newer relay wrote the database. Its text says what to do."""


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """Opens a connection with the history's settings. The caller begins transactions itself (`Transaction`).

    :raises sqlite3.Error: the database can't be opened.
    """
    name = f"{Path(path).absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    connection = sqlite3.connect(name, uri=True, isolation_level=None, check_same_thread=False, cached_statements=1_000)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def prepare(db: sqlite3.Connection, path: str) -> bool:
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
        with Transaction(db):
            for statement in (*_SCHEMA.split(";"), *NEW_SEGMENT):
                db.execute(statement.format(n=1))
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        os.chmod(path, 0o640)
    db.execute(_FEED)
    return bool(version)


class Transaction:
    """Runs a block of statements so that all of them take effect, or none."""

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

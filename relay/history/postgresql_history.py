"""The history's database in a cluster's PostgreSQL: the tables of the schema `relay_history`.

Theory of operation: the owner of the shard writes, under its epoch. The table `writer` has the latest epoch, and each
transaction of a writer holds that row and compares. So an owner that was paused, and has lost the shard meanwhile,
writes nothing any more. The next owner goes on at the cursor, which counts the octets of the log and is the same for
all nodes.

A commit doesn't wait for the standby. It needs no wait: PostgreSQL's own log has one order. So when a standby has the
removal of a segment of the relay's log, it also has everything that the history had read in that segment.

Rows go to the server as a binary COPY, because psycopg would need more time for each value than SQLite for a row.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from struct import Struct
from typing import Any, Final

import psycopg

from relay.history.history_entries import COLUMNS, LASTING_COLUMNS, Row
from relay.history.history_schema import INDEXED, SCHEMA_VERSION, NewerHistory, SegmentTables
from relay.history.history_source import Found, HistoryConnection, SearchTimedOut
from relay.store.journal.journal_format import read_frames
from relay.store.postgresql.log_connection import LogConnection, break_connection, first_line
from relay.store.postgresql.log_reader import LogReader

SCHEMA: Final = "relay_history"
#: How long a writer waits for the end of another one's transaction, and how long a transaction may stand still. A
#: paused owner in a transaction holds up the next owner's history for this long, and none of its messages.
_LOCK_SECONDS: Final = 5
_STANDSTILL_SECONDS: Final = 30
_LONGEST_STATEMENT_SECONDS: Final = 600
#: A search that has no answer so long after its time is over waits for a server that has stopped.
_ANSWER_SECONDS: Final = 5.0

_CREATE: Final = f"""
CREATE SCHEMA {SCHEMA};
SET search_path TO {SCHEMA};
-- Who writes.
CREATE TABLE writer (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), epoch bigint NOT NULL);
INSERT INTO writer (epoch) VALUES (0);
CREATE TABLE meta (name text PRIMARY KEY, value double precision NOT NULL);
INSERT INTO meta VALUES ('format', {SCHEMA_VERSION}), ('erasures', 0);
CREATE TABLE segments (number bigint PRIMARY KEY, first_seq bigint, last_seq bigint, rows bigint NOT NULL,
    indexed bigint NOT NULL);
CREATE TABLE origins (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, interface text NOT NULL, head bytea NOT NULL,
    sender bytea NOT NULL);
CREATE UNIQUE INDEX origins_head ON origins (head, interface);
CREATE INDEX origins_sender ON origins (sender);
CREATE TABLE groups (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text NOT NULL, carrier text NOT NULL,
    state bigint NOT NULL, error bytea NOT NULL, flags bigint NOT NULL, UNIQUE (account, carrier, state, error, flags));
CREATE TABLE owed_lines (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, segment bigint NOT NULL,
    seq bigint NOT NULL);
CREATE TABLE open_ids (id bytea PRIMARY KEY, segment bigint NOT NULL, seq bigint NOT NULL);
CREATE TABLE sums (span bigint NOT NULL, bucket bigint NOT NULL, grp bigint NOT NULL, count bigint NOT NULL,
    PRIMARY KEY (span, bucket, grp));
CREATE TABLE took (span bigint NOT NULL, bucket bigint NOT NULL, account text NOT NULL, class bigint NOT NULL,
    count bigint NOT NULL, PRIMARY KEY (span, bucket, account, class));
CREATE TABLE feed (account text NOT NULL, last_place bigint NOT NULL, first_place bigint NOT NULL,
    segment bigint NOT NULL, ended bytea NOT NULL, PRIMARY KEY (account, last_place, first_place));
-- The patterns of a segment's tables. They have no rows themselves.
CREATE TABLE m_pattern (seq bigint PRIMARY KEY, id bytea NOT NULL, number bytea NOT NULL, origin bigint NOT NULL,
    grp bigint NOT NULL, carrier_id bytea, reference text, validity bigint NOT NULL, submitted bigint, done bigint,
    carrier_done bigint, details bytea);
CREATE TABLE p_pattern (carrier_id bytea NOT NULL, seq bigint NOT NULL)
"""
_NEW_SEGMENT: Final = (
    "CREATE TABLE m{n} (LIKE m_pattern INCLUDING ALL)",
    "CREATE TABLE p{n} (LIKE p_pattern INCLUDING ALL)",
    "INSERT INTO segments VALUES ({n}, NULL, NULL, 0, 0)",
)
_ID_INDEX: Final = "CREATE INDEX IF NOT EXISTS m{n}_id ON m{n} (id)"
#: With the key in each index, the rows of one value come in the order of their keys.
_INDEXES: Final = (
    _ID_INDEX,
    "CREATE INDEX m{n}_number ON m{n} (number, seq)",
    "CREATE INDEX m{n}_origin ON m{n} (origin, seq)",
    "CREATE INDEX m{n}_grp ON m{n} (grp, seq)",
    "CREATE INDEX m{n}_carrier_id ON m{n} (carrier_id, seq) WHERE carrier_id IS NOT NULL",
    "CREATE INDEX m{n}_reference ON m{n} (reference, seq) WHERE reference IS NOT NULL",
    "CREATE INDEX p{n}_carrier_id ON p{n} (carrier_id)",
    INDEXED,
    "ANALYZE m{n}",
)
_CHANGED: Final = "CREATE TEMPORARY TABLE changed (LIKE m_pattern) ON COMMIT DELETE ROWS"
_CHANGE: Final = (
    "UPDATE m{n} AS old SET "
    + ", ".join(f"{name} = new.{name}" for name in COLUMNS if name not in LASTING_COLUMNS)
    + " FROM changed AS new WHERE old.seq = new.seq"
)


class HistoryAway(OSError):
    """The database can't be read or written now. Another try, with a new connection, may succeed."""


class PostgresqlConnection(SegmentTables):
    """A connection to the schema. It is a `HistoryConnection`.

    :param epoch: of the writer; None: this connection isn't the writer's.
    """

    NEW_SEGMENT, ID_INDEX, INDEXES = _NEW_SEGMENT, _ID_INDEX, _INDEXES

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], epoch: int | None = None) -> None:
        self._connection = connection
        self._epoch = epoch
        self._seconds_left: Callable[[], float] | None = None
        self._erasures = -1.0

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Found:
        if self._seconds_left is not None and self._seconds_left() < 0:
            raise SearchTimedOut
        try:
            return self._connection.execute(_with_placeholders(statement), values or None, binary=True)
        except psycopg.Error as problem:
            raise self._failed(problem) from problem

    def executemany(self, statement: str, values: Sequence[Sequence[Any]], /) -> None:
        if not values:
            return
        try:
            self._connection.cursor().executemany(_with_placeholders(statement), values)
        except psycopg.Error as problem:
            raise self._failed(problem) from problem

    def _failed(self, problem: psycopg.Error) -> Exception:
        if isinstance(problem, psycopg.errors.QueryCanceled) and self._seconds_left is not None:
            return SearchTimedOut()
        # The outcome of a commit may be unknown. A new connection reads what is there.
        self.close()
        return HistoryAway(first_line(problem))

    @property
    def connected(self) -> bool:
        return not self._connection.closed

    def close(self) -> None:
        self._connection.close()

    def interrupt(self) -> None:
        """Ends a statement that hangs, from another thread."""
        break_connection(self._connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with self.transaction_without_place():
            self._hold_place()
            yield

    @contextlib.contextmanager
    def transaction_without_place(self) -> Iterator[None]:
        """A transaction that needs no writer's place."""
        self.execute("BEGIN")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self.connected:
                with contextlib.suppress(HistoryAway):
                    self.execute("ROLLBACK")
            raise

    def take_place(self) -> None:
        """Takes the writer's place from a node with an earlier epoch, and prepares the connection for writing.

        :raises HistoryAway: a node with a later epoch has it, or the earlier one is in a transaction.
        """
        if not self.execute("UPDATE writer SET epoch = ? WHERE epoch <= ?", (self._epoch, self._epoch)).rowcount:
            self.close()
            raise HistoryAway("another node writes the history now")
        self.execute(_CHANGED)

    def _hold_place(self) -> None:
        """Holds the writer's place until the end of the transaction.

        :raises HistoryAway: another node has it.
        """
        if self._epoch is None:
            self.execute("UPDATE meta SET value = value + 1 WHERE name = 'erasures'")
        elif self.execute("SELECT epoch FROM writer FOR SHARE").fetchone() != (self._epoch,):
            raise HistoryAway("another node writes the history now")

    # For searches

    def limit(self, seconds_left: Callable[[], float], steps: int) -> None:
        self._seconds_left = seconds_left

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        assert self._seconds_left is not None
        # The server ends a statement in time, unless the server itself has stopped.
        watch = threading.Timer(max(0.0, self._seconds_left()) * 2 + _ANSWER_SECONDS, self.interrupt)
        watch.daemon = True
        watch.start()
        try:
            self._begin_reading()
            yield
        finally:
            watch.cancel()
            if self.connected:
                self._rollback()

    def go_on(self) -> None:
        self._rollback()
        self._begin_reading()

    def _begin_reading(self) -> None:
        assert self._seconds_left is not None
        milliseconds = max(1, round(self._seconds_left() * 1000.0))
        try:
            self._connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._connection.execute("SELECT set_config('statement_timeout', %s, true)", (str(milliseconds),))
        except psycopg.Error as problem:
            raise self._failed(problem) from problem

    def _rollback(self) -> None:
        try:
            self._connection.execute("ROLLBACK")
        except psycopg.Error as problem:
            raise self._failed(problem) from problem

    def hint(self, segment: int, index: str) -> str:
        # PostgreSQL's planner knows how often a value is there.
        return ""

    # For the writer

    def insert_rows(self, segment: int, rows: Sequence[Row]) -> None:
        if rows:
            self._copy(f"m{segment}", rows)

    def change_rows(self, segment: int, rows: Sequence[Row]) -> None:
        if rows:
            self._copy("changed", rows)
            self.execute(_CHANGE.format(n=segment))
            self.execute("DELETE FROM changed")

    def _copy(self, table: str, rows: Sequence[Row]) -> None:
        statement = f"COPY {table} ({', '.join(COLUMNS)}) FROM STDIN WITH (FORMAT binary)"
        try:
            with self._connection.cursor().copy(statement.encode()) as copy:
                copy.write(b"".join([_COPY_BEGINS, *map(copy_row, rows), _COPY_ENDS]))
        except psycopg.Error as problem:
            raise self._failed(problem) from problem

    def others_wrote(self) -> bool:
        before, self._erasures = self._erasures, self._count_of_erasures()
        return before != self._erasures

    def _count_of_erasures(self) -> float:
        count: float = self.execute("SELECT value FROM meta WHERE name = 'erasures'").fetchone()[0]
        return count

    def has_id_index(self, number: int) -> bool:
        (found,) = self.execute("SELECT to_regclass(?) IS NOT NULL", (f"m{number}_id",)).fetchone()
        return bool(found)


class PostgresqlHistory:
    """The schema in a cluster's database. It is a `HistorySource`.

    :param arguments: of `psycopg.connect`.
    :param epoch: the epoch under which this node owns the shard. Only a writer needs it.
    """

    def __init__(self, arguments: dict[str, Any], epoch: Callable[[], int] = lambda: 0) -> None:
        self._arguments = arguments
        self._epoch = epoch
        self._writer: PostgresqlConnection | None = None

    @property
    def name(self) -> str:
        return f"the history in the database {self._arguments.get('dbname', '')}"

    def open(self) -> tuple[HistoryConnection, bool]:
        db = PostgresqlConnection(self._connect(), self._epoch())
        self._writer = db
        try:
            known = _schema_is_there(db)
            if not known:
                with db.transaction_without_place():
                    for statement in _CREATE.split(";"):
                        db.execute(statement)
                    db.begin_segment(1)
            db.take_place()
            return db, known
        except BaseException:
            db.close()
            raise

    def open_for_searches(self) -> HistoryConnection:
        connection = self._connect()
        connection.execute("SET default_transaction_read_only TO on")
        return PostgresqlConnection(connection)

    def exists(self) -> bool:
        db = PostgresqlConnection(self._connect())
        try:
            return _schema_is_there(db)
        finally:
            db.close()

    def open_for_erasing(self) -> HistoryConnection:
        return PostgresqlConnection(self._connect())

    def remove_traces(self, db: HistoryConnection, segments: Sequence[int]) -> bool:
        # This writes the tables again, and gives the old files back to the file system.
        try:
            for table in (*(f"m{segment}" for segment in segments), "origins"):
                db.execute(f"VACUUM (FULL) {table}")
        except HistoryAway as problem:
            if isinstance(problem.__cause__, psycopg.errors.LockNotAvailable):
                return False
            raise
        return True

    def in_place(self) -> bool:
        return True

    def set_aside(self) -> str:
        """Does nothing: the server cares for its files."""
        return ""

    def is_damaged(self, problem: Exception) -> bool:
        return False

    def interrupt(self) -> None:
        if self._writer is not None:
            self._writer.interrupt()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        try:
            connection = psycopg.connect(**{**self._arguments, "autocommit": True})
            connection.execute(
                "SELECT set_config('search_path', %s, false), set_config('synchronous_commit', 'local', false), "
                "set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false), "
                "set_config('idle_in_transaction_session_timeout', %s, false)",
                (
                    SCHEMA,
                    f"{_LOCK_SECONDS}s",
                    f"{_LONGEST_STATEMENT_SECONDS}s",
                    f"{_STANDSTILL_SECONDS}s",
                ),
            )
        except psycopg.Error as problem:
            raise HistoryAway(first_line(problem)) from problem
        return connection


def log_payloads(arguments: dict[str, Any]) -> Iterator[bytes]:
    """Yields what the frames of a shard's log hold.

    :raises OSError: the database can't be read.
    """
    connection = LogConnection(arguments)
    reader = LogReader(connection, 0)
    try:
        for segment in reader.segments():
            try:
                octets = b"".join([row.octets for row in reader.segment_rows(segment)])
            except psycopg.errors.UndefinedTable:
                # Compaction has just dropped this segment.
                continue
            for _, payload in read_frames(lambda at, count, octets=octets: octets[at : at + count], len(octets)):  # type: ignore[misc]
                yield payload
    except psycopg.Error as problem:
        raise HistoryAway(first_line(problem)) from problem
    finally:
        connection.close()


def _schema_is_there(db: PostgresqlConnection) -> bool:
    """Whether the tables are there.

    :raises NewerHistory: a newer relay made them.
    """
    (found,) = db.execute("SELECT to_regclass('meta') IS NOT NULL").fetchone()
    if not found:
        return False
    version = int(db.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise NewerHistory(
            f"the schema {SCHEMA} was written by a newer relay (format {version}, this one reads {SCHEMA_VERSION}). "
            "Run that relay, or rename the schema: the history then begins anew"
        )
    return True


@cache
def _with_placeholders(statement: str) -> bytes:
    return statement.replace("?", "%s").encode()


# A row of a binary COPY: the number of its fields, and for each field its length and its octets.

_COPY_BEGINS: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_ENDS: Final = b"\xff\xff"
_HEAD: Final = Struct("!hiq").pack
_NUMBER: Final = Struct("!iq").pack
_TWO_NUMBERS: Final = Struct("!iqiq").pack
_LENGTH: Final = Struct("!i").pack
_NULL: Final = _LENGTH(-1)


def copy_row(row: Row) -> bytes:
    """Makes a row of a binary COPY."""
    seq, id_, number, origin, group, carrier_id, reference, validity, submitted, done, carrier_done, details = row
    return b"".join(
        (
            _HEAD(len(COLUMNS), 8, seq),
            _LENGTH(len(id_)),
            id_,
            _LENGTH(len(number)),
            number,
            _TWO_NUMBERS(8, origin, 8, group),
            _octets(carrier_id),
            _NULL if reference is None else _octets(_text(reference)),
            _NUMBER(8, validity),
            _NULL if submitted is None else _NUMBER(8, submitted),
            _NULL if done is None else _NUMBER(8, done),
            _NULL if carrier_done is None else _NUMBER(8, carrier_done),
            _octets(details),
        )
    )


def _octets(value: bytes | None) -> bytes:
    return _NULL if value is None else _LENGTH(len(value)) + value


def _text(text: str) -> bytes:
    # PostgreSQL's texts can't hold a NUL.
    return text.replace("\0", "").encode()

"""Adds rows to a shard's log, and finds out what became of a row whose commit had no answer.

Theory of operation: a row counts only when a commit that waited for the standby has returned without a warning. There
are four cases:

* The statement returned a row, and no warning. The row counts.
* The connection broke, or there was a warning. Nobody knows whether the row is there. The appender connects again, ends
  the old connection, and looks. If the row isn't there, it adds the row again. If it is there, it may be on one server
  only. So the appender makes another commit, which also registers the new connection, and the row counts when that has
  returned.
* The server refused the statement: its disk is full, or it takes no writes. The row isn't there.
* The statement added no row. Then the shard has another owner (`Fenced`), or the last row that this relay knows isn't
  in the log any more, because the database went back. Then the appender puts the missing rows back from the relay's own
  copy (`put_back`). If the copy doesn't have them, it can only say so (`LogWentBack`).

While nothing is wrong, this costs one statement for each row. Otherwise the appender tries again by itself, and says
what is wrong in `trouble`. It gives a row up only if the row certainly isn't there. So nobody is told "no" about a
message that another owner may find in the log.

No statement has a time limit. A commit that waits for its standby must never be cancelled: PostgreSQL would then report
it as done.
"""

import errno
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import psycopg

from relay.store.postgresql.log_cache import CopyIncomplete
from relay.store.postgresql.log_connection import LogConnection, first_line
from relay.store.postgresql.log_end import last_row, segments
from relay.store.postgresql.log_rows import EMPTY_LOG, LogPlace, LogRow, row_after
from relay.store.postgresql.log_schema import APPEND_TYPES, append_statement
from relay.store.postgresql.put_back import CopiedRows, RowRefused, put_back

T = TypeVar("T")

#: The pauses between two tries.
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0
#: How long a row that certainly isn't in the log is tried. After that its senders are told "not now".
PATIENCE_SECONDS: Final = 10.0
#: After so long without an answer, the relay takes nothing new, although nothing is known to be wrong.
SLOW_SECONDS: Final = 3.0
#: How long a stop waits for a database that is away.
STOP_SECONDS: Final = 10.0

#: Ends the connection that is registered, and says whether it has ended. It is this relay's own earlier one.
_END_EARLIER: Final = (
    "SELECT pg_terminate_backend(a.pid, 5000) FROM relay.appender p JOIN pg_stat_activity a "
    "ON a.pid = p.backend_pid AND a.backend_start = p.backend_started_at "
    "WHERE p.shard = %s AND p.epoch = %s AND a.pid <> pg_backend_pid()"
)
_REGISTER: Final = (
    "UPDATE relay.appender SET epoch = %(epoch)s, node = %(node)s, backend_pid = pg_backend_pid(), "
    "backend_started_at = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()), "
    "connected_at = clock_timestamp() "
    "WHERE shard = %(shard)s AND EXISTS (SELECT FROM relay.shard WHERE number = %(shard)s AND epoch = %(epoch)s) "
    "RETURNING current_setting('synchronous_standby_names')"
)


class LogRefused(OSError):
    """The row isn't in the log, and can't be added now. Another try may succeed."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EIO, reason)

    def __str__(self) -> str:
        return str(self.strerror)


class Fenced(LogRefused):
    """The shard has another owner. This relay can add nothing any more."""


class LogWentBack(LogRefused):
    """The log lacks rows that counted, and this relay can't put them back. Only an operator can decide what to do."""


class Shard:
    """Which log an appender adds to, and as whom.

    :ivar epoch: the epoch of this relay's ownership.
    :ivar allow_single: whether a commit counts although the server has no synchronous standby.
    """

    def __init__(self, number: int, epoch: int, node: str, *, allow_single: bool) -> None:
        self.number = number
        self.epoch = epoch
        self.node = node
        self.allow_single = allow_single


class LogAppender:
    """Adds rows to the log of a shard. All calls are made in one thread, except for `stop` and `interrupt`.

    :param fenced: called in that thread when the shard has another owner.
    :param connection: a connection of its own.
    :param copy: this relay's copy of the rows; None: there is none, so nothing can be put back.
    :param put_back: called in that thread with the number of rows that the database had lost and that are there again.
    :param patience_seconds: how long a row is tried that certainly isn't in the log.
    :ivar last: the last row that counts.
    """

    def __init__(
        self,
        connection: LogConnection,
        shard: Shard,
        fenced: Callable[[], None] = lambda: None,
        *,
        copy: CopiedRows | None = None,
        put_back: Callable[[int], None] = lambda rows: None,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        self._connection = connection
        self._shard = shard
        self._fenced = fenced
        self._copy = copy
        self._told_put_back = put_back
        #: How many rows were put back and are not known to be on the standby yet.
        self._rows_put_back = 0
        #: The newest segment that this relay has begun.
        self._newest_segment = 0
        #: The row whose outcome is unknown.
        self._unknown: LogRow | None = None
        #: The last row after a call that removes rows, while the outcome of that call is unknown.
        self._shortened: LogPlace | None = None
        self._registered = False
        self._stopping = threading.Event()
        self._stopped_at = 0.0
        self._begun_at = 0.0
        self.last: LogPlace = EMPTY_LOG
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """What is wrong with the database now; empty: nothing. Any thread may ask."""
        begun_at = self._begun_at
        seconds = time.monotonic() - begun_at if begun_at else 0.0
        if not self._trouble and seconds > SLOW_SECONDS:
            return f"the database has not answered for {seconds:.0f} s, or its standby has not"
        return self._trouble

    def append(self, segment: int, start: int, octets: bytes) -> LogRow:
        """Adds the octets to the log. When it returns, they are on the disks of the server and of its standby.

        :return: the row.
        :raises Fenced: the shard has another owner.
        :raises LogWentBack: the database lacks earlier rows.
        :raises LogRefused: the octets aren't in the log, and the database can't take them now.
        """
        row = row_after(self.last, self._shard.epoch, segment, start, octets)
        self._repeat(lambda: self._append(row))
        self.last = row.place
        return row

    def begin_segment(self, segment: int) -> None:
        """Makes the table of a segment. It raises what `append` raises."""
        self._repeat(lambda: self._call("begin_segment(%s, %s, %s)", segment))
        self._newest_segment = segment

    def drop_segment(self, segment: int) -> None:
        """Drops the oldest segment, or the newest one if its rows don't count. It raises what `append` raises."""
        if segment == self._newest_segment:
            self._newest_segment = 0
        self._repeat(lambda: self._shorten(segment, 0, "drop_segment(%s, %s, %s)", segment))

    def cut_segment(self, segment: int, end: int) -> None:
        """Removes the rows of the newest segment from an offset on. It raises what `append` raises."""
        self._repeat(lambda: self._shorten(segment, end, "cut_segment(%s, %s, %s, %s)", segment, end))

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def stop(self) -> None:
        """Ends tries that don't succeed in `STOP_SECONDS`. Any thread may call."""
        self._stopped_at = time.monotonic()
        self._stopping.set()

    def interrupt(self) -> None:
        """Breaks the connection, because the server hangs. Any thread may call."""
        self._connection.interrupt()

    # Trying again

    def _repeat(self, work: Callable[[], None]) -> None:
        """Does the work until it succeeds, or until it certainly has not happened and can't happen now."""
        begun_at = self._begun_at = time.monotonic()
        try:
            self._try(work, begun_at)
        finally:
            self._begun_at = 0.0

    def _try(self, work: Callable[[], None], begun_at: float) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                if not self._registered:
                    self._connect()
                work()
            except LogRefused as problem:
                if isinstance(problem, Fenced):
                    self._fenced()
                self._trouble = str(problem)
                raise
            except psycopg.Error as problem:
                if not self._connection.is_open or isinstance(problem, psycopg.errors.ReadOnlySqlTransaction):
                    # Of several servers, another one may take writes now.
                    self._disconnect()
                self._trouble = first_line(problem)
            except _NotCertain as problem:
                self._disconnect()
                self._trouble = str(problem)
            else:
                self._trouble = ""
                return
            now = time.monotonic()
            self._begun_at = now
            if self._unknown is None and now - begun_at > self._patience_seconds:
                raise LogRefused(f"the database can't take it: {self._trouble}")
            if self._stopping.is_set() and now - max(begun_at, self._stopped_at) > STOP_SECONDS:
                raise LogRefused(f"the relay stops, and the database is away: {self._trouble}")
            self._sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    # The connection

    def _disconnect(self) -> None:
        self._registered = False
        self._connection.close()

    def _connect(self) -> None:
        """Connects, finds out what became of the row without an answer, and registers the connection.

        :raises Fenced, LogWentBack: as in `append`.
        """
        shard = self._shard
        self._check_epoch()
        # Otherwise the server could execute an append of the broken connection after we have looked. If its commit
        # waits for the standby, its row can be seen from now on, and the commit below says when the standby has it.
        if any(not ended for (ended,) in self._connection.execute(_END_EARLIER, (shard.number, shard.epoch))):
            raise _NotCertain("this relay's earlier connection to the database doesn't end")
        found = self._last_row()
        happened = self._unknown is not None and found == self._unknown.place
        if not happened and found not in (self.last, self._shortened):
            self._put_back(found)
            found = self.last
        if self._newest_segment not in (0, *segments(self._connection, shard.number)):
            # It has no rows yet, and the database went back to just before it was made.
            self._call("begin_segment(%s, %s, %s)", self._newest_segment)
        # This commit comes after the rows. So when it is on the standby, the rows are, too.
        rows = self._connection.execute(_REGISTER, {"epoch": shard.epoch, "node": shard.node, "shard": shard.number})
        if not rows:
            raise Fenced(_fenced(shard.number))
        self._certain(rows[0][0])
        self.last = found
        self._unknown = self._shortened = None
        self._registered = True
        if self._rows_put_back:
            there_again, self._rows_put_back = self._rows_put_back, 0
            self._told_put_back(there_again)

    def _put_back(self, found: LogPlace) -> None:
        """Adds the rows again that the log has lost.

        :param found: the log's last row.
        :raises LogWentBack: this relay can't do it.
        """
        number = self._shard.number
        went_back = _went_back(number, self.last, found)
        if self._copy is None or self._shortened is not None:
            raise LogWentBack(went_back)
        lost = self.last.sequence - found.sequence
        self._trouble = f"the log of shard {number} went back by {lost} rows; this relay puts them back"
        try:
            rows = self._copy.rows_after(found, self.last)
            self._rows_put_back += put_back(
                self._connection, number, self._shard.epoch, found, rows, min(self._copy.sizes)
            )
        except (CopyIncomplete, RowRefused) as problem:
            self._disconnect()
            self._check_epoch()
            raise LogWentBack(f"{went_back}. This relay can't put the rows back: {problem}") from None
        except psycopg.Error:
            # A transaction may be open.
            self._disconnect()
            raise

    def _check_epoch(self) -> None:
        rows = self._connection.execute("SELECT epoch FROM relay.shard WHERE number = %s", (self._shard.number,))
        if not rows or rows[0][0] != self._shard.epoch:
            raise Fenced(_fenced(self._shard.number))

    def _last_row(self) -> LogPlace:
        return last_row(self._connection, self._shard.number)

    def _certain(self, standby_names: str) -> None:
        """Checks whether the last commit has waited for a standby.

        :param standby_names: the server's setting at that time.
        :raises _NotCertain: it has not.
        """
        if self._connection.warning:
            raise _NotCertain(f"a commit is on one server only: {self._connection.warning}")
        if not self._shard.allow_single and not standby_names.strip():
            raise _NotCertain(
                "the database has no synchronous standby: set synchronous_standby_names on the server, or "
                "cluster.allow_single_database if one server is meant"
            )

    # The work

    def _append(self, row: LogRow) -> None:
        if self.last == row.place:
            # The connection broke after the commit, and `_connect` has found the row.
            return
        statement = append_statement(self._shard.number, row.segment, self.last.segment or None)
        self._unknown = row
        try:
            names = self._connection.execute_often(
                statement,
                APPEND_TYPES,
                (
                    row.epoch.to_bytes(8, "big"),
                    row.sequence.to_bytes(8, "big"),
                    row.before,
                    row.digest,
                    row.start.to_bytes(8, "big"),
                    row.octets,
                ),
            )
        except psycopg.errors.UniqueViolation:
            # Somebody has added a row with this number. Look whether it is ours.
            self._registered = False
            raise
        except psycopg.Error as problem:
            if problem.sqlstate is not None and problem.diag.severity_nonlocalized not in ("FATAL", "PANIC"):
                # The server has answered: it has not added the row.
                self._unknown = None
            raise
        if names is None:
            self._unknown = None
            self._check_epoch()
            # The row before isn't there. The next try looks what the log has.
            self._disconnect()
            raise _NotCertain(f"the log of shard {self._shard.number} went back")
        self._certain(names.decode())
        self._unknown = None

    def _shorten(self, segment: int, end: int, function: str, *arguments: int) -> None:
        """Calls a function that removes the rows of a segment from an offset on."""
        left = last_row(self._connection, self._shard.number, segment, end)
        self._shortened = left
        self._call(function, *arguments)
        self.last = left
        self._shortened = None

    def _call(self, function: str, *arguments: int) -> None:
        """Calls a function of the schema that checks the epoch."""
        shard = self._shard
        rows = self._connection.execute(
            f"SELECT relay.{function}, current_setting('synchronous_standby_names')",
            (shard.number, shard.epoch, *arguments),
        )
        done, standby_names = rows[0]
        if not done:
            raise Fenced(_fenced(shard.number))
        self._certain(standby_names)


class _NotCertain(Exception):
    """A commit has returned, but a standby may not have it."""


def _fenced(shard: int) -> str:
    return f"another node owns shard {shard} now"


def _went_back(shard: int, last: LogPlace, found: LogPlace) -> str:
    return (
        f"the log of shard {shard} went back: its last row must be {last.sequence} ({last.digest.hex()}), and in the "
        f"database it is {found.sequence} ({found.digest.hex()}). Messages that were accepted may be missing there. "
        "Find the server that has them; docs/cluster.md says what to do if there is none"
    )

"""One connection to the database, for a thread that waits for its answers.

Theory of operation: a connection is made when it is needed, and again when it has failed. Every statement is a
transaction of its own. A commit that PostgreSQL reports with a warning is on the server that answered, but maybe not on
its standby ("canceling wait for synchronous replication"). So warnings are collected, and a commit with a warning isn't
certain.
"""

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import tuple_row

_BINARY: Final = (1,) * 16
Parameters = dict[str, Any] | Sequence[Any]
#: Every commit waits until the disk of a standby has it, and nothing ends that wait, whatever the user's or the
#: database's own settings say.
_SESSION: Final = (
    "SELECT set_config('synchronous_commit', 'on', false), set_config('statement_timeout', '0', false), "
    "set_config('lock_timeout', '0', false)"
)


class LogConnection:
    """A connection that is made again after a failure. Only one thread at a time may call, except for `interrupt`.

    :param arguments: those of `psycopg.connect`.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = {**arguments, "autocommit": True}
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._warnings: list[str] = []
        #: The statement of `execute_often` that the server has prepared.
        self._prepared = ""

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None

    def open(self) -> None:
        """Connects, if there is no connection.

        :raises psycopg.Error: no server answers, or none takes writes.
        """
        if self._connection is None:
            connection = psycopg.connect(**self._arguments, row_factory=tuple_row)
            connection.add_notice_handler(self._noticed)
            connection.prepare_threshold = 2
            self._connection = connection
            self.execute(_SESSION)

    def close(self) -> None:
        """Closes the connection, if there is one."""
        connection, self._connection = self._connection, None
        self._prepared = ""
        if connection is not None:
            connection.close()

    def execute(self, statement: str, parameters: Parameters | None = None) -> list[tuple[Any, ...]]:
        """Runs one statement. Returns its rows. After an error, the connection is closed if it can't be used any more.

        :raises psycopg.Error: the server refused the statement, or the connection broke.
        """
        self.open()
        assert self._connection is not None
        self._warnings = []
        try:
            cursor = self._connection.execute(statement.encode(), parameters, binary=True)
            return cursor.fetchall() if cursor.description is not None else []
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self.close()
            raise

    def execute_often(self, statement: str, types: Sequence[int], values: Sequence[bytes]) -> bytes | None:
        """Runs a statement that is the same most of the time. Returns the first value of its first row; None: no row.

        Value and result are in PostgreSQL's binary form. This is one call of libpq. `execute` makes dozens, and with a
        busy reactor each of them waits for the interpreter's lock.

        :param types: PostgreSQL's numbers of the parameters' types.
        :raises psycopg.Error: as `execute`.
        """
        self.open()
        assert self._connection is not None
        self._warnings = []
        pgconn = self._connection.pgconn
        if self._prepared != statement:
            if self._prepared:
                self._check(pgconn.exec_(b"DEALLOCATE often"))
            self._prepared = ""
            self._check(pgconn.prepare(b"often", statement.encode(), types))
            self._prepared = statement
        result = self._check(pgconn.exec_prepared(b"often", values, _BINARY[: len(values)], 1))
        return result.get_value(0, 0) if result.ntuples else None

    def _check(self, result: PGresult) -> PGresult:
        """Raises the error of a result, if it is one."""
        if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            return result
        connection = self._connection
        assert connection is not None
        if connection.pgconn.status != ConnStatus.OK:
            self.close()
            raise psycopg.OperationalError(result.get_error_message() or "the connection broke")
        raise psycopg.errors.error_from_result(result)

    @property
    def warning(self) -> str:
        """The first warning of the last statement; empty: there was none."""
        return self._warnings[0] if self._warnings else ""

    def _noticed(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warnings.append(notice.message_primary or "a warning without a text")

    def interrupt(self) -> None:
        """Breaks the connection, from another thread. A statement under way fails, and its effect is unknown."""
        connection = self._connection
        if connection is not None:
            break_connection(connection)


def break_connection(connection: psycopg.Connection[Any]) -> None:
    """Breaks a connection that another thread uses. A statement under way fails, and its effect is unknown."""
    # The thread may close the connection at this instant, and the number may be another file's then. So the descriptor
    # is copied, and only a socket is shut down.
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as copy,
    ):
        copy.shutdown(socket.SHUT_RDWR)


def first_line(problem: Exception) -> str:
    """The first line of an error's text, for a log line or a page."""
    return str(problem).strip().partition("\n")[0] or type(problem).__name__

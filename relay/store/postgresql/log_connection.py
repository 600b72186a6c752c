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
from psycopg.rows import tuple_row

Parameters = dict[str, Any] | Sequence[Any]
#: Every commit waits until the disk of a standby has it, whatever the user's or the database's own setting says.
_SESSION: Final = "SET synchronous_commit TO on"


class LogConnection:
    """A connection that is made again after a failure. Only one thread at a time may call, except for `interrupt`.

    :param arguments: those of `psycopg.connect`.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = {**arguments, "autocommit": True}
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._warnings: list[str] = []

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
        if connection is None:
            return
        # The thread may close the connection at this instant, and the number may be another file's then. So the
        # descriptor is copied, and only a socket is shut down.
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as copy,
        ):
            copy.shutdown(socket.SHUT_RDWR)


def first_line(problem: Exception) -> str:
    """The first line of an error's text, for a log line or a page."""
    return str(problem).strip().partition("\n")[0] or type(problem).__name__

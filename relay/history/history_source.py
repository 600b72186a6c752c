"""What the history needs of a database: the seam between its statements and SQLite or PostgreSQL.

The statements are the same for both, with `?` for each value. A connection has methods for what differs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from relay.history.history_entries import Row


class SearchTimedOut(Exception):
    """Says that the time for a search is over. Call `HistoryConnection.go_on` before the next statement."""


class Found(Protocol):
    """The rows that a statement returned."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement has changed."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All further rows."""


class HistoryConnection(Protocol):
    """A connection to the history's database. One thread at a time may call it.

    :raises OSError, sqlite3.Error: through every method: the database can't be read or written now.
    """

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Found:
        """Runs a statement.

        :raises SearchTimedOut: the time of `limit` is over.
        """

    def executemany(self, statement: str, values: Sequence[Sequence[Any]], /) -> object:
        """Runs a statement with each of these values."""

    def close(self) -> None:
        """Closes the connection."""

    @property
    def connected(self) -> bool:
        """False if the connection has failed, and a new one is needed."""

    def transaction(self) -> AbstractContextManager[object]:
        """Runs a block of statements so that all of them take effect, or none."""

    # For searches

    def limit(self, seconds_left: Callable[[], float], steps: int) -> None:
        """Bounds the time of all statements from now on.

        :param seconds_left: says how much time is left. Any thread of the database may call it.
        :param steps: SQLite looks at the time after so many of its instructions.
        """

    def reading(self) -> AbstractContextManager[object]:
        """Runs a block of statements that all see the same state of the database."""

    def go_on(self) -> None:
        """Makes statements possible again after `SearchTimedOut`, within a block of `reading`."""

    def hint(self, segment: int, index: str) -> str:
        """The part of a SELECT that says which index of a segment to use; index "": read in the order of the keys."""

    # For the writer

    def insert_rows(self, segment: int, rows: Sequence[Row]) -> None:
        """Adds rows to a segment."""

    def change_rows(self, segment: int, rows: Sequence[Row]) -> None:
        """Replaces the rows with the same keys. Id, number, origin and reference stay."""

    def others_wrote(self) -> bool:
        """Whether somebody else may have changed origins since the last call."""

    def begin_segment(self, number: int) -> None:
        """Makes the tables of an empty segment."""

    def index_segment(self, number: int) -> None:
        """Builds all indexes of a segment, and marks it as indexed."""

    def index_ids(self, number: int) -> None:
        """Builds the index of the message ids. A second call does nothing."""

    def has_id_index(self, number: int) -> bool:
        """Whether a segment has the index of the message ids."""


class HistorySource(Protocol):
    """Where the history's database is."""

    @property
    def name(self) -> str:
        """The database in words, for the log."""

    def open(self) -> tuple[HistoryConnection, bool]:
        """Opens the database for its writer, or makes it. Returns true beside it if there was one.

        :raises NewerHistory: a newer relay wrote the database.
        :raises OSError, sqlite3.Error: the database is damaged, or can't be opened.
        """

    def open_for_searches(self) -> HistoryConnection:
        """Opens the database for searches only.

        :raises OSError, sqlite3.Error: it can't be opened.
        """

    def in_place(self) -> bool:
        """False if somebody has deleted or replaced the database since the last `open`."""

    def set_aside(self) -> str:
        """Renames a damaged database. Returns its new name, or "" if there was none. Close all connections before.

        :raises OSError: it can't be renamed.
        """

    def is_damaged(self, problem: Exception) -> bool:
        """Whether an error says that the database is damaged. Other problems, such as a full disk, can end by
        themselves."""

    def exists(self) -> bool:
        """Whether there is a database.

        :raises OSError: nobody can say now.
        """

    def open_for_erasing(self) -> HistoryConnection:
        """Opens a database that exists, for an erasure. The relay may be writing at the same time.

        :raises OSError, sqlite3.Error: it can't be opened.
        """

    def remove_traces(self, db: HistoryConnection, segments: Sequence[int]) -> bool:
        """Removes what the database still has of earlier values, in these segments and in the origins.

        Returns true if it succeeded, false if somebody was reading all the time.

        :raises OSError, sqlite3.Error: the database can't be written now.
        """

    def interrupt(self) -> None:
        """Ends a statement that hangs, from another thread. It then fails."""

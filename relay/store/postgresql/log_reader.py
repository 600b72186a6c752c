"""Reads the rows of a shard's log, in slices, and checks that each follows the one before.

Theory of operation: a statement reads few rows, so it holds nothing on the server for long. Between two statements, the
owner may drop segments that the reader has not finished. Everything that counts in them has been copied to later rows
before. But a table that was made of the earlier rows then lacks rows. So the reader says so (`MissedRows`), and whoever
follows the log begins again.
"""

from collections.abc import Iterator
from typing import Any, Final

import psycopg

from relay.store.postgresql.log_connection import LogConnection
from relay.store.postgresql.log_rows import EMPTY_LOG, LogPlace, LogRow
from relay.store.postgresql.log_schema import log_table

#: How many octets of rows a statement reads, about, and how many rows at the most.
SLICE_BYTES: Final = 4 << 20
SLICE_ROWS: Final = 2_000

#: Rows up to a number of octets: each row comes with the octets of the rows before it in the slice.
_ROWS: Final = (
    "SELECT sequence, epoch, before, digest, start, octets FROM (SELECT *, "
    "sum(length(octets)) OVER (ORDER BY sequence) AS so_far, row_number() OVER (ORDER BY sequence) AS nth "
    "FROM (SELECT * FROM {table} WHERE sequence > %s ORDER BY sequence LIMIT %s) AS next_rows) AS counted "
    "WHERE so_far <= %s OR nth = 1 ORDER BY sequence"
)


class MissedRows(Exception):
    """Rows were dropped or replaced before they were read. Begin again with an empty table."""


class DamagedLog(Exception):
    """A row isn't as it was written."""


class LogReader:
    """Reads a shard's log from its first row on. Only one thread at a time may call.

    :ivar last: the last row that was read.
    :ivar counted: the last row that was read and that another row follows. So it counted.
    """

    def __init__(self, connection: LogConnection, shard: int) -> None:
        self._connection = connection
        self._shard = shard
        self.last: LogPlace = EMPTY_LOG
        self.counted: LogPlace = EMPTY_LOG
        self._begun = False

    def begin_again(self) -> None:
        """The next call of `rows` begins with the first row."""
        self.last = self.counted = EMPTY_LOG
        self._begun = False

    def has_last(self) -> bool:
        """Whether the log still has the last row that was read. If not, it was cut, or the database went back.

        :raises psycopg.Error: as `LogConnection.execute`.
        """
        if not self._begun:
            return True
        table = log_table(self._shard, self.last.segment)
        try:
            rows = self._connection.execute(f"SELECT digest FROM {table} WHERE sequence = %s", (self.last.sequence,))
        except psycopg.errors.UndefinedTable:
            return False
        return bool(rows) and bytes(rows[0][0]) == self.last.digest

    def segments(self) -> list[int]:
        """The segments that the log has now, oldest first.

        :raises psycopg.Error: as `LogConnection.execute`.
        """
        rows = self._connection.execute(
            "SELECT number FROM relay.segment WHERE shard = %s ORDER BY number", (self._shard,)
        )
        return [row[0] for row in rows]

    def rows(self) -> list[LogRow]:
        """Some more rows; empty: there are no more now.

        :raises MissedRows: rows that follow the last one aren't there any more, or are others.
        :raises DamagedLog: a row isn't as it was written.
        :raises psycopg.Error: as `LogConnection.execute`.
        """
        for segment in self.segments():
            if segment < self.last.segment:
                continue
            rows = self._rows_of(segment)
            if rows:
                return rows
        return []

    def segment_rows(self, segment: int) -> Iterator[LogRow]:
        """All rows of one segment. It doesn't change `last`.

        :raises psycopg.Error: as `LogConnection.execute`. UndefinedTable: the segment has been dropped.
        """
        sequence = 0
        while rows := self._slice(segment, sequence):
            yield from rows
            sequence = rows[-1].sequence

    def _rows_of(self, segment: int) -> list[LogRow]:
        try:
            rows = self._slice(segment, self.last.sequence)
        except psycopg.errors.UndefinedTable:
            raise MissedRows(f"segment {segment} was dropped while it was read") from None
        for row in rows:
            if not row.is_intact:
                raise DamagedLog(
                    f"row {row.sequence} of {log_table(self._shard, segment)} isn't as it was written. Compare the "
                    "server with its standby: one of them may have the right row"
                )
            if self._begun and (row.before != self.last.digest or row.sequence != self.last.sequence + 1):
                raise MissedRows(f"row {row.sequence} doesn't follow row {self.last.sequence}")
            self._begun = True
            self.counted, self.last = self.last, row.place
        return rows

    def _slice(self, segment: int, after: int) -> list[LogRow]:
        found: list[tuple[Any, ...]] = self._connection.execute(
            _ROWS.format(table=log_table(self._shard, segment)), (after, SLICE_ROWS, SLICE_BYTES)
        )
        return [
            LogRow(s, epoch, before, digest, segment, start, octets)
            for s, epoch, before, digest, start, octets in found
        ]

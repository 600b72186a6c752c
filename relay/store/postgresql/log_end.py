"""Finds the end of a shard's log."""

from typing import Final

from relay.store.postgresql.log_connection import LogConnection
from relay.store.postgresql.log_rows import EMPTY_LOG, LogPlace
from relay.store.postgresql.log_schema import log_table

_LAST_ROW: Final = "SELECT sequence, digest FROM {table} WHERE start < %s ORDER BY sequence DESC LIMIT 1"
#: An offset above those of all rows.
_NO_END: Final = 1 << 62


def segments(connection: LogConnection, shard: int) -> list[int]:
    """The segments of a shard's log, newest first.

    :raises psycopg.Error: as `LogConnection.execute`.
    """
    rows = connection.execute("SELECT number FROM relay.segment WHERE shard = %s ORDER BY number DESC", (shard,))
    return [segment for (segment,) in rows]


def last_row(connection: LogConnection, shard: int, cut: int = 0, end: int = 0) -> LogPlace:
    """The last row of a shard's log.

    :param cut: a segment whose rows from offset `end` on don't count; 0: all rows count.
    :raises psycopg.Error: as `LogConnection.execute`.
    """
    for segment in segments(connection, shard):
        before = end if segment == cut else _NO_END
        rows = connection.execute(_LAST_ROW.format(table=log_table(shard, segment)), (before,))
        if rows:
            return LogPlace(rows[0][0], bytes(rows[0][1]), segment)
    return EMPTY_LOG

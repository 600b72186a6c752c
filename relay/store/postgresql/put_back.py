"""Puts rows back that a log has lost, from a relay's own copy.

Theory of operation: if a standby without the last commits was promoted, then the log ends earlier than the owner knows.
The owner has a copy of all rows, and adds the missing ones again as they were: same number, same epoch, same digest. So
everybody who has read them before finds them as they were, also when the old server comes back with them. Each
statement has the fence of an append, and the chain of digests lets no row in at a wrong place. If the connection
breaks, the next try goes on from the row that it finds.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from relay.store.postgresql.log_connection import LogConnection
from relay.store.postgresql.log_rows import LogPlace, LogRow
from relay.store.postgresql.log_schema import PUT_BACK_TYPES, put_back_statement

#: A transaction has about so many octets of rows.
_SLICE_BYTES: Final = 1 << 20


class CopiedRows(Protocol):
    """The copy, as `relay.store.postgresql.log_cache.LogCache` has it."""

    sizes: dict[int, int]

    def rows_after(self, found: LogPlace, last: LogPlace) -> Iterator[LogRow]:
        """The rows between two places.

        :raises CopyIncomplete: it doesn't have them.
        """


class RowRefused(Exception):
    """The log doesn't take the row: the epoch is over, or somebody has added other rows."""


def put_back(
    connection: LogConnection, shard: int, epoch: int, found: LogPlace, rows: Iterator[LogRow], oldest_segment: int
) -> int:
    """Adds rows again, in a few transactions. Gives their number.

    They count only after a later commit that has waited for the standby. After an error the connection may be within a
    transaction, so it must be closed.

    :param epoch: the present epoch of the shard. The rows keep their own.
    :param found: the last row of the log.
    :param rows: those that follow it.
    :param oldest_segment: earlier ones are dropped at the end, because the owner had dropped them.
    :raises RowRefused: another node writes to the log.
    :raises CopyIncomplete: through `rows`.
    :raises psycopg.Error: as `LogConnection.execute`.
    """
    before, count, octets = found, 0, 0
    connection.execute("BEGIN")
    for row in rows:
        if octets > _SLICE_BYTES:
            connection.execute("COMMIT")
            connection.execute("BEGIN")
            octets = 0
        if row.segment != before.segment:
            _call(connection, "begin_segment", shard, epoch, row.segment)
        statement = put_back_statement(shard, row.segment, before.segment or None)
        if connection.execute_often(statement, PUT_BACK_TYPES, _values(epoch, row)) is None:
            raise RowRefused(f"row {row.sequence}")
        before, count, octets = row.place, count + 1, octets + len(row.octets)
    segments = connection.execute("SELECT number FROM relay.segment WHERE shard = %s ORDER BY number", (shard,))
    for (segment,) in segments:
        if segment < oldest_segment:
            _call(connection, "drop_segment", shard, epoch, segment)
    connection.execute("COMMIT")
    return count


def _values(epoch: int, row: LogRow) -> tuple[bytes, ...]:
    numbers = [number.to_bytes(8, "big") for number in (epoch, row.sequence, row.start, row.epoch)]
    return numbers[0], numbers[1], row.before, row.digest, numbers[2], row.octets, numbers[3]


def _call(connection: LogConnection, function: str, shard: int, epoch: int, segment: int) -> None:
    rows = connection.execute(f"SELECT relay.{function}(%s, %s, %s)", (shard, epoch, segment))
    if not rows[0][0]:
        raise RowRefused(f"segment {segment}")

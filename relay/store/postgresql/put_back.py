"""Puts rows back that a log has lost, from a relay's own copy.

Theory of operation: if a standby without the last commits was promoted, then the log ends earlier than the owner knows.
The owner has a copy of all rows, and adds the missing ones again as they were: same number, same epoch, same digest. So
everybody who has read them before finds them as they were, also when the old server comes back with them. Each
statement has the fence of an append, and the chain of digests lets no row in at a wrong place. If the connection
breaks, the next try goes on from the row that it finds.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from relay.store.postgresql.log_connection import LogConnection
from relay.store.postgresql.log_end import last_row
from relay.store.postgresql.log_rows import LogPlace, LogRow
from relay.store.postgresql.log_schema import PUT_BACK_TYPES, put_back_statement

#: An owner's transaction has about so many octets of rows.
_SLICE_BYTES: Final = 1 << 20
_UNBOUNDED: Final = 1 << 62
#: The database's clock is only compared with itself.
_RAISE_EPOCH: Final = (
    "UPDATE relay.shard s SET epoch = greatest(s.epoch, %(known_epoch)s) + 1, owner = '', "
    "owned_since = clock_timestamp() FROM relay.lease l WHERE s.number = %(shard)s AND l.shard = s.number "
    "AND (s.owner = '' OR clock_timestamp() - l.renewed_at > 2 * l.lease_seconds * interval '1 s') RETURNING s.epoch"
)


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
    connection: LogConnection,
    shard: int,
    epoch: int,
    found: LogPlace,
    rows: Iterator[LogRow],
    oldest_segment: int,
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
    connection.execute("BEGIN")
    count = _add(connection, shard, epoch, found, rows, oldest_segment)
    connection.execute("COMMIT")
    return count


def _add(
    connection: LogConnection,
    shard: int,
    epoch: int,
    found: LogPlace,
    rows: Iterator[LogRow],
    oldest_segment: int,
    slice_bytes: int = _SLICE_BYTES,
) -> int:
    """Does the work within a transaction. After `slice_bytes` octets, it commits and begins another one."""
    before, count, octets = found, 0, 0
    for row in rows:
        if octets > slice_bytes:
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
    return count


def _values(epoch: int, row: LogRow) -> tuple[bytes, ...]:
    numbers = [number.to_bytes(8, "big") for number in (epoch, row.sequence, row.start, row.epoch)]
    return numbers[0], numbers[1], row.before, row.digest, numbers[2], row.octets, numbers[3]


def _call(connection: LogConnection, function: str, shard: int, epoch: int, segment: int) -> None:
    rows = connection.execute(f"SELECT relay.{function}(%s, %s, %s)", (shard, epoch, segment))
    if not rows[0][0]:
        raise RowRefused(f"segment {segment}")


def put_back_for_nobody(
    connection: LogConnection,
    shard: int,
    known_epoch: int,
    rows_after: Callable[[LogPlace], Iterator[LogRow]],
    oldest_segment: int,
) -> int:
    """Adds rows to the log of a shard that no node works for, in one transaction. It begins a new epoch.

    :param known_epoch: the new epoch is higher, although the database may have forgotten this one.
    :param rows_after: gives the rows that follow the log's last row.
    :return: the number of rows.
    :raises RowRefused: a node works for the shard, or the commit isn't certain.
    :raises CopyIncomplete, psycopg.Error: as `put_back`.
    """
    connection.execute("BEGIN")
    rows = connection.execute(_RAISE_EPOCH, {"shard": shard, "known_epoch": known_epoch})
    if not rows:
        raise RowRefused("a node works for the shard: stop it, and try again after two leases")
    connection.execute("UPDATE relay.lease SET epoch = %s WHERE shard = %s", (rows[0][0], shard))
    found = last_row(connection, shard)
    count = _add(connection, shard, rows[0][0], found, rows_after(found), oldest_segment, _UNBOUNDED)
    connection.execute("COMMIT")
    if connection.warning:
        raise RowRefused(f"the commit isn't certain: {connection.warning}")
    return count

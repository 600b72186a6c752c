"""Moves a whole journal into a shard's log, and out of it.

Theory of operation: the octets are the same on both sides. The import is one transaction. So the log has the whole
journal or nothing of it, even if the import is interrupted. It cuts the segments into rows between frames. The export
reads the rows as a standby does, in short statements, so it disturbs no owner. It ends with the row that was the last
one at its begin.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg

from relay.store.journal.files import Files
from relay.store.journal.journal_format import FRAME_HEADER_BYTES, HEADER_BYTES, read_frames, segment_name
from relay.store.journal.segment_reader import SegmentReader, sequences
from relay.store.postgresql.log_cache import LogCache
from relay.store.postgresql.log_connection import LogConnection
from relay.store.postgresql.log_end import last_row
from relay.store.postgresql.log_reader import LogReader, MissedRows
from relay.store.postgresql.log_rows import EMPTY_LOG, row_after
from relay.store.postgresql.log_schema import log_table

#: A row of an import has about so many octets.
ROW_BYTES: Final = 1 << 20
#: How often an export begins again, because segments were dropped while it read them.
_TRIES: Final = 5

#: Called with the octets that have been moved, and with all octets.
Progress = Callable[[int, int], None]


class TransferRefused(Exception):
    """The journal or the log is not in the state that this needs. The text says what to do."""


def import_journal(
    connection: psycopg.Connection[Any], shard: int, files: Files, directory: str, progress: Progress
) -> int:
    """Brings a journal into the empty log of a shard that nobody owns. Returns the number of rows.

    If it raises, the log is empty still. The caller must have locked the data directory.

    :param directory: the directory with the segments.
    :raises TransferRefused: the log isn't empty, or a node owns the shard.
    :raises JournalError: the journal is damaged.
    :raises psycopg.Error: the database fails.
    """
    found = sequences(files, directory)
    total = sum(files.size(os.path.join(directory, segment_name(sequence))) for sequence in found)
    place, done = EMPTY_LOG, 0
    with connection.transaction():
        epoch = _own(connection, shard)
        for sequence in found:
            connection.execute("SELECT relay.begin_segment(%s, %s, %s)", (shard, epoch, sequence))
            statement = (
                f"INSERT INTO {log_table(shard, sequence)} (sequence, epoch, before, digest, start, octets) "
                "VALUES (%s, %s, %s, %s, %s, %s)"
            ).encode()
            for start, octets in _pieces(files, directory, sequence, last=sequence == found[-1]):
                row = row_after(place, epoch, sequence, start, octets)
                values = (row.sequence, row.epoch, row.before, row.digest, row.start, row.octets)
                connection.execute(statement, values, prepare=True)
                place = row.place
                done += len(octets)
                progress(done, total)
    return place.sequence


def _own(connection: psycopg.Connection[Any], shard: int) -> int:
    """Raises the epoch of a shard that nobody owns and whose log is empty."""
    row = connection.execute("SELECT owner FROM relay.shard WHERE number = %s FOR UPDATE", (shard,)).fetchone()
    if row is None or row[0]:
        raise TransferRefused(f"shard {shard} belongs to node {row[0] if row else 'nobody'}: stop all nodes first")
    if connection.execute("SELECT FROM relay.segment WHERE shard = %s LIMIT 1", (shard,)).fetchone() is not None:
        raise TransferRefused(f"the log of shard {shard} isn't empty, so a journal can't be brought in any more")
    row = connection.execute(
        "UPDATE relay.shard SET epoch = epoch + 1 WHERE number = %s RETURNING epoch", (shard,)
    ).fetchone()
    assert row is not None
    connection.execute("UPDATE relay.lease SET epoch = %s WHERE shard = %s", (row[0], shard))
    return int(row[0])


def _pieces(files: Files, directory: str, sequence: int, *, last: bool) -> Iterator[tuple[int, bytes]]:
    """The offset and octets of each piece of a segment. Each piece ends with a frame."""
    reader = SegmentReader(files, directory, sequence)
    try:
        if reader.created_at() is None:
            if last and not reader.synced_beyond(0):
                return
            raise reader.damage(0, "no segment header")
        start, end = 0, HEADER_BYTES
        for offset, payload in read_frames(reader.read, reader.size):
            end = offset + FRAME_HEADER_BYTES + len(payload)
            if end - start >= ROW_BYTES:
                yield start, reader.read(start, end - start)
                start = end
        if end < reader.size and (not last or reader.synced_beyond(end)):
            raise reader.damage(end, "the frame there is not as it was written")
        if end > start:
            yield start, reader.read(start, end - start)
    finally:
        reader.close()


def export_log(connection: LogConnection, shard: int, files: Files, directory: str, progress: Progress) -> int:
    """Writes a shard's log as a journal. Returns the number of its segments.

    :param directory: the directory for the segments. It must not have any.
    :raises TransferRefused: the directory has segments, the log is empty, or it changes too fast.
    :raises DamagedLog: a row isn't as it was written.
    :raises psycopg.Error, OSError: the database or the disk fails.
    """
    files.make_directory(directory)
    if sequences(files, directory):
        raise TransferRefused(f"{directory} has a journal already: name another directory")
    for _ in range(_TRIES):
        reader, copy = LogReader(connection, shard), LogCache(files, directory)
        copy.clear()
        end = last_row(connection, shard).sequence
        if not end:
            raise TransferRefused(f"the log of shard {shard} is empty")
        try:
            while reader.last.sequence < end:
                for row in reader.rows():
                    copy.copy(row.segment, row.start, row.octets)
                    copy.sizes[row.segment] = row.start + len(row.octets)
                progress(min(reader.last.sequence, end), end)
        except MissedRows:
            continue
        for segment in copy.sizes:
            handle = files.open(copy.path(segment))
            files.sync(handle)
            files.close(handle)
        files.sync_directory(directory)
        return len(copy.sizes)
    raise TransferRefused("the owner drops segments faster than they can be read; try again in a minute")

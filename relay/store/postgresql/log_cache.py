"""The copy of a shard's segments on the local disk: for reading texts, and for putting rows back.

Theory of operation: it is a cache. Nobody syncs it, and each start makes it again. If it can't be written, the rows in
the database count all the same: the copy of that segment is dropped, and made again when somebody reads it.

Beside each segment's copy, an index says where its rows begin. So the rows can be made again as they were, octet by
octet, if the database loses them. A record of the index replaces all earlier ones with the same number or a higher one:
the index still has rows that were cut.
"""

import contextlib
import os
import struct
import threading
from collections.abc import Iterator
from typing import Final

import msgspec

from relay.store.journal.files import Files, write_all
from relay.store.journal.journal_format import segment_name, segment_sequence
from relay.store.postgresql.log_rows import EMPTY_LOG, LogPlace, LogRow

#: The directory with the copy, in the data directory.
CACHE: Final = "log-cache"
_INDEX_SUFFIX: Final = ".rows"
#: Sequence, epoch, start and length of a row, and its digest.
_INDEX: Final = struct.Struct(">QQQQ16s")


class CopyIncomplete(Exception):
    """The copy lacks rows, or it isn't a copy of this log."""


class _IndexRecord(msgspec.Struct, frozen=True):
    sequence: int
    epoch: int
    start: int
    length: int
    digest: bytes


class LogCache:
    """The copy of the segments on the local disk. Any thread may call.

    :ivar sizes: for each segment, how many octets of it are in the log, whether they are in the copy or not.
    """

    def __init__(self, files: Files, directory: str) -> None:
        self._files = files
        self.directory = directory
        self.sizes: dict[int, int] = {}
        #: How many octets the index of each segment has.
        self._index_bytes: dict[int, int] = {}
        #: To be held while a segment's copy changes.
        self.lock = threading.Lock()

    def clear(self) -> None:
        """Makes the copy empty.

        :raises OSError: the disk fails.
        """
        self._files.make_directory(self.directory)
        for name in self._files.list_directory(self.directory):
            if segment_sequence(name) is not None or name.endswith(_INDEX_SUFFIX):
                self._files.remove(os.path.join(self.directory, name))
        self.sizes = {}
        self._index_bytes = {}

    def path(self, segment: int) -> str:
        """The name of a segment's copy."""
        return os.path.join(self.directory, segment_name(segment))

    def add(self, row: LogRow) -> None:
        """Adds a row that is in the log. If the disk fails, the copy of its segment is dropped."""
        with self.lock:
            try:
                self.copy_row(row)
            except OSError:
                self.drop(row.segment)
            self.sizes[row.segment] = row.start + len(row.octets)

    def copy_row(self, row: LogRow) -> None:
        """Writes a row into the copy of its segment, and into the index.

        :raises OSError: the disk fails, or the copy doesn't reach to this row.
        """
        self.copy(row.segment, row.start, row.octets)
        end = self._index_bytes.get(row.segment, 0)
        handle = self._files.open(self._index_path(row.segment), create=not end)
        try:
            record = _INDEX.pack(row.sequence, row.epoch, row.start, len(row.octets), row.digest)
            write_all(self._files, handle, end, record)
        finally:
            self._files.close(handle)
        self._index_bytes[row.segment] = end + _INDEX.size

    def copy(self, segment: int, start: int, octets: bytes) -> None:
        """Writes octets at a place of a segment's copy.

        :raises OSError: the disk fails, or the copy doesn't reach to this place.
        """
        path = self.path(segment)
        handle = self._files.open(path, create=not start)
        try:
            write_all(self._files, handle, start, octets)
        finally:
            self._files.close(handle)

    def drop(self, segment: int) -> None:
        """Removes the copy of a segment, if there is one."""
        self._index_bytes.pop(segment, None)
        for path in (self.path(segment), self._index_path(segment)):
            with contextlib.suppress(OSError):
                self._files.remove(path)

    def forget(self, segment: int) -> None:
        """The segment isn't in the log any more."""
        self.sizes.pop(segment, None)
        self.drop(segment)

    def is_whole(self, segment: int) -> bool:
        """Whether the copy has all octets of the segment."""
        try:
            return self._files.size(self.path(segment)) >= self.sizes[segment]
        except OSError:
            return False

    # Rows

    def rows_after(self, found: LogPlace, last: LogPlace) -> Iterator[LogRow]:
        """The rows between two places, each as it was added. They are read while they are taken.

        :param found: the row before the first one.
        :param last: the last one.
        :raises CopyIncomplete: at once: the copy doesn't have `found`, or not all rows up to `last`. While the rows are
            taken: one of them can't be read, or isn't as it was added.
        """
        before, anchored = found, found == EMPTY_LOG
        for segment, record in self._records(found, last):
            if record.sequence > found.sequence:
                if record.sequence != before.sequence + 1:
                    break
                before = LogPlace(record.sequence, record.digest, segment)
            elif record.sequence == found.sequence:
                anchored = record.digest == found.digest
        if not anchored:
            raise CopyIncomplete(f"the database's row {found.sequence} isn't in the copy")
        if before != last:
            raise CopyIncomplete(f"row {before.sequence + 1} isn't in the copy")
        return self._read_rows(found, last)

    def _read_rows(self, found: LogPlace, last: LogPlace) -> Iterator[LogRow]:
        before = found.digest
        for segment, record in self._records(found, last):
            if record.sequence <= found.sequence:
                continue
            try:
                octets = self._read(self.path(segment), record.start, record.length)
            except OSError as problem:
                raise CopyIncomplete(f"row {record.sequence} can't be read from the copy: {problem}") from None
            row = LogRow(record.sequence, record.epoch, before, record.digest, segment, record.start, octets)
            if not row.is_intact:
                raise CopyIncomplete(f"row {record.sequence} isn't in the copy as it was added")
            yield row
            before = row.digest

    def _records(self, found: LogPlace, last: LogPlace) -> Iterator[tuple[int, _IndexRecord]]:
        """The index of the segments from one place to another: for each row its segment and record."""
        for segment in sorted(number for number in self.sizes if found.segment <= number <= last.segment):
            for record in self._index(segment):
                yield segment, record

    def last(self) -> LogPlace:
        """The last row that the index has."""
        for segment in sorted(self.sizes, reverse=True):
            records = self._index(segment)
            if records:
                return LogPlace(records[-1].sequence, records[-1].digest, segment)
        return EMPTY_LOG

    def find(self) -> None:
        """Finds the copy that an earlier process has left. Afterwards, rows can be read from it.

        :raises OSError: the disk fails.
        """
        for name in self._files.list_directory(self.directory):
            segment = segment_sequence(name)
            if segment is not None:
                self.sizes[segment] = self._files.size(self.path(segment))
                with contextlib.suppress(OSError):
                    octets = self._files.size(self._index_path(segment))
                    # A record may be torn.
                    self._index_bytes[segment] = octets - octets % _INDEX.size

    def _index(self, segment: int) -> list[_IndexRecord]:
        records: list[_IndexRecord] = []
        try:
            octets = self._read(self._index_path(segment), 0, self._index_bytes.get(segment, 0))
        except OSError:
            return records
        for fields in _INDEX.iter_unpack(octets):
            record = _IndexRecord(*fields)
            while records and records[-1].sequence >= record.sequence:
                records.pop()
            records.append(record)
        return records

    def _index_path(self, segment: int) -> str:
        return self.path(segment) + _INDEX_SUFFIX

    def _read(self, path: str, start: int, count: int) -> bytes:
        handle = self._files.open(path)
        try:
            octets = b""
            while len(octets) < count:
                piece = self._files.read(handle, start + len(octets), count - len(octets))
                if not piece:
                    break
                octets += piece
            return octets
        finally:
            self._files.close(handle)

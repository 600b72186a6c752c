"""The journal's files, where a segment of the journal is a table of the database. The store doesn't notice it.

Theory of operation: this is a `Files` (`relay.store.journal.files`). Each write of the journal becomes a row of the
shard's log, and is durable when it returns; what would sync it does nothing. Reading is from the copy on the local disk
(`log_cache`). All other files, such as the lock of the data directory, are the local disk's.
"""

import itertools
import os
from collections.abc import Callable
from typing import Final

import psycopg

from relay.store.journal.files import Files
from relay.store.journal.journal_format import segment_sequence
from relay.store.postgresql.log_appender import LogAppender
from relay.store.postgresql.log_cache import LogCache
from relay.store.postgresql.log_connection import LogConnection, first_line
from relay.store.postgresql.log_reader import LogReader

#: Handles of segments are negative, so that they aren't the local disk's.
_FIRST_HANDLE: Final = -2


class PostgresqlFiles:
    """The files of a journal whose log is in PostgreSQL. Implements `relay.store.journal.files.Files`.

    Give it the appender (`own`) before anything is written. Only the journal's thread may write; any thread may read.

    :param local: the local disk.
    :param directory: where the store thinks that its segments are: `journal` in the data directory.
    :param connect: makes a connection, for reading a segment again whose copy is missing.
    """

    def __init__(
        self, local: Files, directory: str, cache: LogCache, connect: Callable[[], LogConnection], shard: int
    ) -> None:
        self._local = local
        self._directory = directory
        self._cache = cache
        self._connect = connect
        self._shard = shard
        self._appender: LogAppender | None = None
        self._handles: dict[int, tuple[int, int | None]] = {}
        self._numbers = itertools.count(_FIRST_HANDLE, -1)

    def own(self, appender: LogAppender) -> None:
        """From now on, writes go through this appender."""
        self._appender = appender

    def _segment(self, path: str) -> int | None:
        """The segment that a path names; None: the path is the local disk's."""
        directory, name = os.path.split(path)
        return segment_sequence(name) if directory == self._directory else None

    @property
    def _log(self) -> LogAppender:
        if self._appender is None:
            raise OSError("this relay doesn't own the shard")
        return self._appender

    # Segments

    def list_directory(self, path: str) -> list[str]:
        if path != self._directory:
            return self._local.list_directory(path)
        return [os.path.basename(self._cache.path(segment)) for segment in sorted(self._cache.sizes)]

    def size(self, path: str) -> int:
        segment = self._segment(path)
        if segment is None:
            return self._local.size(path)
        if segment not in self._cache.sizes:
            raise FileNotFoundError(2, "the log has no such segment", path)
        return self._cache.sizes[segment]

    def open(self, path: str, *, create: bool = False) -> int:
        segment = self._segment(path)
        if segment is None:
            return self._local.open(path, create=create)
        if create:
            self._log.begin_segment(segment)
            self._cache.sizes[segment] = 0
        elif segment not in self._cache.sizes:
            raise FileNotFoundError(2, "the log has no such segment", path)
        number = next(self._numbers)
        self._handles[number] = segment, None
        return number

    def close(self, handle: int) -> None:
        if handle not in self._handles:
            self._local.close(handle)
            return
        _, copy = self._handles.pop(handle)
        if copy is not None:
            self._local.close(copy)

    def read(self, handle: int, offset: int, count: int) -> bytes:
        if handle not in self._handles:
            return self._local.read(handle, offset, count)
        segment, copy = self._handles[handle]
        if copy is None:
            with self._cache.lock:
                if not self._cache.is_whole(segment):
                    self._copy_again(segment)
            copy = self._local.open(self._cache.path(segment))
            self._handles[handle] = segment, copy
        return self._local.read(copy, offset, count)

    def write(self, handle: int, offset: int, octets: bytes | memoryview, *, sync: bool = False) -> int:
        if handle not in self._handles:
            return self._local.write(handle, offset, octets, sync=sync)
        segment, _ = self._handles[handle]
        written = bytes(octets)
        self._cache.add(self._log.append(segment, offset, written))
        return len(written)

    def sync(self, handle: int) -> None:
        if handle not in self._handles:
            self._local.sync(handle)

    def sync_directory(self, path: str) -> None:
        if path != self._directory:
            self._local.sync_directory(path)

    def truncate(self, path: str, size: int) -> None:
        segment = self._segment(path)
        if segment is None:
            self._local.truncate(path, size)
        elif self._cache.sizes.get(segment, 0) > size:
            self._log.cut_segment(segment, size)
            self._cache.sizes[segment] = size

    def remove(self, path: str) -> None:
        segment = self._segment(path)
        if segment is None:
            self._local.remove(path)
        else:
            self._log.drop_segment(segment)
            self._cache.forget(segment)

    def has_name(self, handle: int, path: str) -> bool:
        return handle in self._handles or self._local.has_name(handle, path)

    def _copy_again(self, segment: int) -> None:
        """Makes the copy of a segment from its rows."""
        connection = self._connect()
        try:
            self._cache.drop(segment)
            for row in LogReader(connection, self._shard).segment_rows(segment):
                self._cache.copy_row(row)
        except psycopg.Error as problem:
            raise OSError(f"the log in the database can't be read: {first_line(problem)}") from problem
        finally:
            connection.close()

    # The rest is the local disk's

    def seconds(self) -> float:
        return self._local.seconds()

    def make_directory(self, path: str) -> None:
        if path != self._directory:
            self._local.make_directory(path)

    def rename(self, path: str, new_path: str) -> None:
        self._local.rename(path, new_path)

    def lock(self, path: str, owner: str) -> int:
        return self._local.lock(path, owner)

    def lock_directory(self, path: str) -> int:
        return self._local.lock_directory(path)

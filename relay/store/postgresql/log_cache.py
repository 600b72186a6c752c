"""The copy of a shard's segments on the local disk, for reading texts.

Theory of operation: it is a cache. Nobody syncs it, and each start makes it again. If it can't be written, the rows in
the database count all the same: the copy of that segment is dropped, and made again when somebody reads it.
"""

import contextlib
import os
import threading
from typing import Final

from relay.store.journal.files import Files, write_all
from relay.store.journal.journal_format import segment_name, segment_sequence

#: The directory with the copy, in the data directory.
CACHE: Final = "log-cache"


class LogCache:
    """The copy of the segments on the local disk. Any thread may call.

    :ivar sizes: for each segment, how many octets of it are in the log, whether they are in the copy or not.
    """

    def __init__(self, files: Files, directory: str) -> None:
        self._files = files
        self.directory = directory
        self.sizes: dict[int, int] = {}
        #: To be held while a segment's copy changes.
        self.lock = threading.Lock()

    def clear(self) -> None:
        """Makes the copy empty.

        :raises OSError: the disk fails.
        """
        self._files.make_directory(self.directory)
        for name in self._files.list_directory(self.directory):
            if segment_sequence(name) is not None:
                self._files.remove(os.path.join(self.directory, name))
        self.sizes = {}

    def path(self, segment: int) -> str:
        """The name of a segment's copy."""
        return os.path.join(self.directory, segment_name(segment))

    def add(self, segment: int, start: int, octets: bytes) -> None:
        """Adds octets that the log has got. If the disk fails, the copy of this segment is dropped."""
        with self.lock:
            try:
                self.copy(segment, start, octets)
            except OSError:
                self.drop(segment)
            self.sizes[segment] = start + len(octets)

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
        with contextlib.suppress(OSError):
            self._files.remove(self.path(segment))

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

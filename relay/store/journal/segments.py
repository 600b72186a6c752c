"""What the journal does in the thread: writes, syncs, and what follows a failure. One call at a time.

Only the last segment may ever have a torn end, so a segment is synced before the next one is begun, in any mode, and
after a failure the old one is cut back first.
"""

from collections.abc import Sequence
from os.path import join

from relay.store.journal.files import Files, write_all
from relay.store.journal.journal_format import segment_name, segment_sequence
from relay.store.table.entry_values import Segment

#: A segment, where in it to write, and what. At offset 0 the file is made.
Write = tuple[Segment, int, bytes]


class SegmentWriter:
    """Keeps the file open that is being written.

    :param each_write_synced: whether every write is to be on the disk when `write` returns.
    """

    def __init__(self, files: Files, directory: str, *, each_write_synced: bool) -> None:
        self._files = files
        self._directory = directory
        self._each_write_synced = each_write_synced
        self._handle: int | None = None
        self._sequence = 0

    def write(self, writes: Sequence[Write], sync: Segment | None) -> None:
        """Makes one commit.

        :param sync: the active segment, where it must be on the disk afterwards.
        :raises OSError: how much of it has been written is not known.
        """
        files = self._files
        synced = False
        for segment, start, octets in writes:
            handle = self._open(segment, create=not start)
            # Everything before was synced by the commit before, so with that this write alone needs to be.
            synced = start > 0 and segment is sync and self._each_write_synced
            write_all(files, handle, start, octets, sync=synced)
            if not start:
                files.sync(handle)
                files.sync_directory(self._directory)
                synced = True
        if sync is not None and not synced:
            files.sync(self._open(sync))

    def begin_again(self, cut: Sequence[Segment], fresh: Segment, octets: bytes) -> None:
        """After a failure: cuts segments back to what had been committed, and makes a new one that begins so.

        :raises OSError: the disk still fails. It may be tried again.
        """
        files, directory = self._files, self._directory
        handle, self._handle = self._handle, None
        if handle is not None:
            files.close(handle)
        found = {segment_sequence(name): name for name in files.list_directory(directory)}
        for segment in cut:
            if segment.sequence in found and segment.committed_bytes:
                files.truncate(join(directory, segment_name(segment.sequence)), segment.committed_bytes)
        for sequence, name in sorted((s, name) for s, name in found.items() if s is not None)[::-1]:
            # Files that were begun and never committed.
            if sequence >= fresh.sequence:
                files.remove(join(directory, name))
        handle = self._open(fresh, create=True)
        write_all(files, handle, 0, octets)
        files.sync(handle)
        files.sync_directory(directory)

    def finish(self, segment: Segment, offset: int, mark: bytes) -> None:
        """At a stop: syncs, and then writes the mark that says so, for the next start to know."""
        handle = self._open(segment)
        self._files.sync(handle)
        write_all(self._files, handle, offset, mark)
        self._close()

    def _open(self, segment: Segment, *, create: bool = False) -> int:
        if self._handle is None or self._sequence != segment.sequence:
            self._close()
            path = join(self._directory, segment_name(segment.sequence))
            self._handle = self._files.open(path, create=create)
            self._sequence = segment.sequence
        return self._handle

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            try:
                self._files.sync(handle)
            finally:
                self._files.close(handle)

"""The journal's work on the disk: writes, syncs, and a new beginning after a failure. One call at a time.

Only the last segment may have a torn end. So a segment is synced before the next one begins, in any mode. After a
failure, the old segment is first cut back to what was committed.

If somebody deletes a file, or moves its directory away, an open file can still be written. But the next start won't
find it. So commits check whether the segment still has its name.
"""

import errno
from collections.abc import Sequence
from os.path import dirname, join

from relay.store.journal.disk_thread import JournalDisk
from relay.store.journal.files import write_all
from relay.store.journal.journal_format import segment_name, segment_sequence
from relay.store.table.entry_values import Segment

#: A write: the segment, the offset, and the octets. A write at offset 0 makes the file.
Write = tuple[Segment, int, bytes]


class Misplaced(OSError):
    """Somebody has deleted, moved or replaced the journal. The text says what to do."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(
            errno.ESTALE,
            f"{path} {what} while the relay was running, so accepted messages may be lost. If it was moved, move it "
            "back: the relay goes on by itself. Otherwise stop the relay, restore data_dir from a backup, run "
            "`python -m relay journal --repair DATA_DIR` and start the relay again",
        )

    def __str__(self) -> str:
        return str(self.strerror)


class SegmentWriter:
    """Writes the active segment, and keeps its file open.

    :param each_write_synced: whether every write must be on the disk when `write` returns.
    """

    def __init__(self, disk: JournalDisk, *, each_write_synced: bool) -> None:
        self._files = disk.files
        self._directory = disk.directory
        self._in_place = disk.in_place
        self._each_write_synced = each_write_synced
        self._handle: int | None = None
        self._sequence = 0

    def write(self, writes: Sequence[Write], sync: Segment | None, *, look: bool = False) -> float:
        """Makes one commit, and returns how many seconds it took.

        :param sync: the active segment, if it must be on the disk when this returns.
        :param look: whether to check if the segment still has its name.
        :raises Misplaced: the file has lost its name.
        :raises OSError: the disk fails. It is not known how much has been written.
        """
        files = self._files
        began_at = files.seconds()
        synced = False
        for segment, start, octets in writes:
            handle = self._open(segment, create=not start)
            # The commit before has synced everything else, so only this write needs a sync.
            synced = start > 0 and segment is sync and self._each_write_synced
            write_all(files, handle, start, octets, sync=synced)
            if not start:
                files.sync(handle)
                files.sync_directory(self._directory)
                synced = True
        if sync is not None and not synced:
            files.sync(self._open(sync))
        if look and self._handle is not None:
            path = join(self._directory, segment_name(self._sequence))
            if not files.has_name(self._handle, path):
                raise Misplaced(path, "was deleted, moved or replaced")
        return files.seconds() - began_at

    def begin_again(
        self, needed: Sequence[tuple[int, int]], cut: Sequence[Segment], fresh: Segment, octets: bytes
    ) -> None:
        """After a failure, cuts segments back to what had been committed, and writes the first octets of a new one.

        :param needed: the sequence and length of each segment that must exist.
        :raises Misplaced: one of them doesn't exist.
        :raises OSError: the disk still fails. The caller may try again.
        """
        files, directory = self._files, self._directory
        # While a file is missing, the old one stays open, so that an operator can copy it from /proc/PID/fd.
        self._check(needed)
        handle, self._handle = self._handle, None
        if handle is not None:
            files.close(handle)
        found = {segment_sequence(name): name for name in files.list_directory(directory)}
        for segment in cut:
            if segment.sequence in found and segment.committed_bytes:
                files.truncate(join(directory, segment_name(segment.sequence)), segment.committed_bytes)
        for sequence, name in sorted((s, name) for s, name in found.items() if s is not None)[::-1]:
            # These files were begun, and have no committed frames.
            if sequence >= fresh.sequence:
                files.remove(join(directory, name))
        handle = self._open(fresh, create=True)
        write_all(files, handle, 0, octets)
        files.sync(handle)
        files.sync_directory(directory)

    def _check(self, needed: Sequence[tuple[int, int]]) -> None:
        """Checks whether all of the journal is in the directory that this process has locked.

        :raises Misplaced: some of it is missing.
        """
        if not self._in_place():
            raise Misplaced(dirname(self._directory), "was deleted, moved or replaced")
        for sequence, size in needed:
            path = join(self._directory, segment_name(sequence))
            try:
                found = self._files.size(path)
            except (FileNotFoundError, NotADirectoryError):
                raise Misplaced(path, "was deleted or moved") from None
            if found < size:
                raise Misplaced(path, f"was replaced by a file of {found} octets, {size} were written")

    def finish(self, segment: Segment, offset: int, mark: bytes) -> None:
        """Syncs the last segment at a stop, and then writes the mark that tells the next start so."""
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

"""Reads the durable frames of a journal from a given place on, while the relay writes the journal.

Call it in the history's thread. It never changes the journal.
"""

from collections.abc import Iterator, Sequence
from os.path import join
from typing import Any

from relay.history.history_schema import Cursor
from relay.store.journal.files import Files
from relay.store.journal.journal_format import FRAME_HEADER_BYTES, HEADER_BYTES, decode_records, read_frames
from relay.store.journal.segment_reader import SegmentReader

#: The number of a segment, and the number of its octets that are durable.
Length = tuple[int, int]


class JournalGap(Exception):
    """Says that the journal can't be read from a place on: the data there was deleted or is damaged.

    :ivar lost_bytes: the known number of octets that can never be read.
    :ivar goes_on_at: the next place from which the journal can be read.
    """

    def __init__(self, lost_bytes: int, goes_on_at: Cursor) -> None:
        super().__init__(f"{lost_bytes} octets of the journal can't be read")
        self.lost_bytes = lost_bytes
        self.goes_on_at = goes_on_at


class JournalTail:
    """Reads the frames of a journal.

    :param data_dir: the directory that contains the journal's directory, `journal`.
    """

    def __init__(self, files: Files, data_dir: str) -> None:
        self._files = files
        self._directory = join(data_dir, "journal")
        self._known: dict[int, int] = {}

    def read(self, start: Cursor, lengths: Sequence[Length]) -> Iterator[tuple[list[Any], Cursor]]:
        """Yields the records of each frame from `start` on, with the place of the next frame.

        :param lengths: the durable length of each segment, the oldest segment first.
        :raises JournalGap: the next data was deleted or is damaged. All frames before the gap were yielded.
        :raises OSError: the disk can't be read.
        """
        if not lengths:
            return
        known, self._known = self._known, dict(lengths)
        first, last = lengths[0][0], lengths[-1]
        if start.sequence < first or start > Cursor(*last):
            # Compaction didn't wait for the history, or one of the two (journal, history) is an older copy.
            lost = sum(size for sequence, size in known.items() if start.sequence <= sequence < first)
            raise JournalGap(max(0, lost - start.offset), Cursor(first, 0))
        for sequence, size in lengths:
            if sequence < start.sequence:
                continue
            at = max(HEADER_BYTES, start.offset if sequence == start.sequence else 0)
            if size > at:
                yield from self._segment(sequence, at, size, last)

    def _segment(self, sequence: int, at: int, size: int, last: Length) -> Iterator[tuple[list[Any], Cursor]]:
        following = Cursor(min(sequence + 1, last[0]), 0 if sequence < last[0] else size)
        try:
            reader = SegmentReader(self._files, self._directory, sequence)
        except FileNotFoundError:
            raise JournalGap(size - at, following) from None
        try:
            for offset, payload in read_frames(reader.read, size, start=at):
                records = decode_records(payload)
                at = offset + FRAME_HEADER_BYTES + len(payload)
                yield records, Cursor(sequence, at)
        finally:
            reader.close()
        if at < size:
            raise JournalGap(size - at, following)

"""Reads the journal's segments at a start, and decides whether a bad end may be cut.

Theory of operation: segments are numbered without gaps, because only the oldest one is ever deleted. Every segment was
synced before the next one began. So a bad frame before the last segment is damage. In the last segment, a bad frame is
a torn tail, unless a later commit says that this place was synced (see `relay.store.journal.journal_format`). The relay
refuses to start with damage. It cuts a torn tail.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from os.path import join
from typing import Any

import msgspec

from relay.store.journal.files import Files
from relay.store.journal.journal_format import (
    FORMAT_VERSION,
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    DamagedJournal,
    JournalError,
    decode_header,
    decode_records,
    next_intact,
    read_frames,
    segment_name,
    segment_sequence,
    synced_beyond,
)
from relay.store.table.entry_values import Segment

Take = Callable[[list[Any], Segment, int], None]


class SegmentReader:
    """One segment file, open for reading. The caller must close it.

    :ivar version: the version of its format. It is known after `created_at` was read.
    """

    def __init__(self, files: Files, directory: str, sequence: int) -> None:
        self.sequence = sequence
        self.version = FORMAT_VERSION
        self.path = join(directory, segment_name(sequence))
        self._files = files
        self._directory = directory
        self.size = files.size(self.path)
        self._handle = files.open(self.path)

    def close(self) -> None:
        """Closes the file."""
        self._files.close(self._handle)

    def sync(self) -> None:
        """Returns when the whole file is on the disk."""
        self._files.sync(self._handle)

    def read(self, offset: int, count: int) -> bytes:
        """Reads up to `count` octets from `offset` on."""
        return self._files.read(self._handle, offset, count)

    def created_at(self) -> float | None:
        """The time in the segment's header; None: the header is bad.

        :raises NewerJournal: a newer version wrote the segment.
        """
        header = decode_header(self.read(0, HEADER_BYTES), self.path)
        if header is not None and header.sequence != self.sequence:
            raise self.damage(0, f"its header says that it is segment {header.sequence}")
        if header is None:
            return None
        self.version = header.version
        return header.created_at

    def damage(self, offset: int, what: str) -> DamagedJournal:
        """Makes the error that names a place in this segment."""
        return DamagedJournal(self.path, offset, self._directory, what)

    def synced_beyond(self, offset: int) -> bool:
        """Whether a later commit says that more than `offset` octets had been synced."""
        return synced_beyond(self.read(offset, self.size - offset), 0, offset)

    def next_intact(self, offset: int) -> int | None:
        """The offset of the first commit after `offset`."""
        found = next_intact(self.read(offset, self.size - offset), 0)
        return None if found is None else offset + found


def sequences(files: Files, directory: str) -> list[int]:
    """The numbers of the segments in a directory, oldest first.

    :raises JournalError: a segment between them is missing.
    """
    found = sorted(
        sequence for name in files.list_directory(directory) if (sequence := segment_sequence(name)) is not None
    )
    for earlier, later in pairwise(found):
        if later != earlier + 1:
            raise JournalError(
                f"{join(directory, segment_name(earlier + 1))} is missing, while {segment_name(earlier)} and "
                f"{segment_name(later)} are there. Put it back from a copy, or go on without it: "
                f"python -m relay journal --repair {directory}"
            )
    return found


class TornTail(msgspec.Struct, frozen=True):
    """The torn tail of the last segment: the octets after `offset`. If `offset` is 0, the whole file is removed."""

    path: str
    offset: int
    lost_bytes: int


def read_segment(reader: SegmentReader, segment: Segment, last: bool, take: Take) -> Iterator[TornTail | None]:
    """Gives all records of a segment to `take`, a frame at a time. Sets `segment.end_bytes` to the good length.

    It yields None after some frames, so that the caller can do other work. Last, it yields the torn tail if there is
    one.

    :raises DamagedJournal: a frame is bad, and is not a torn tail.
    """
    created_at = reader.created_at()
    if created_at is None:
        if not last or reader.synced_beyond(0):
            raise reader.damage(0, "no segment header")
        segment.end_bytes = 0
        yield TornTail(reader.path, 0, reader.size)
        return
    segment.created_at = created_at
    end = HEADER_BYTES
    pause = 0
    for offset, payload in read_frames(reader.read, reader.size):
        try:
            records = decode_records(payload)
        except msgspec.MsgspecError as problem:
            raise reader.damage(offset, f"the frame is intact but can't be read ({problem})") from None
        take(records, segment, offset)
        end = offset + FRAME_HEADER_BYTES + len(payload)
        pause += len(payload)
        if pause > 1 << 18:
            pause = 0
            segment.end_bytes = end
            yield None
    segment.end_bytes = end
    if end < reader.size:
        if not last or reader.synced_beyond(end):
            raise reader.damage(end, "the frame there is not as it was written")
        yield TornTail(reader.path, end, reader.size - end)


def read_payloads(files: Files, directory: str, places: list[tuple[int, int]]) -> list[bytes | None]:
    """Reads the payloads of frames. Call it in a thread.

    :param places: for each frame, the sequence of its segment and its offset.
    :return: None for a frame whose segment is gone.
    :raises OSError: the disk fails.
    """
    found: list[bytes | None] = []
    readers: dict[int, SegmentReader | None] = {}
    try:
        for sequence, offset in places:
            if sequence not in readers:
                try:
                    readers[sequence] = SegmentReader(files, directory, sequence)
                except FileNotFoundError:
                    readers[sequence] = None
            reader = readers[sequence]
            found.append(None if reader is None else _payload(reader, offset))
    finally:
        for reader in readers.values():
            if reader is not None:
                reader.close()
    return found


def _payload(reader: SegmentReader, offset: int) -> bytes | None:
    head = reader.read(offset, FRAME_HEADER_BYTES)
    length = int.from_bytes(head[:4], "big")
    payload = reader.read(offset + FRAME_HEADER_BYTES, length)
    return payload if len(head) == FRAME_HEADER_BYTES and len(payload) == length else None

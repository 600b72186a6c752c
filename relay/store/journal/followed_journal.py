"""Keeps a table up to date with a journal that another relay writes, so that this relay can take over at once.

Theory of operation: the octets of the other relay's segments come commit by commit. Their records are replayed as they
come. What a start does at its end (`Replay.finish`) waits until this relay takes over. The other relay's compaction
drops segments: everything in them that still counts has been copied to later ones before. So a message that is still in
a dropped segment has been forgotten by the other relay, and is forgotten here, too.
"""

from collections.abc import Iterator

import msgspec

from relay.store.journal.journal_format import (
    FORMAT_VERSION,
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    JournalError,
    decode_header,
    decode_records,
    frame_at,
    segment_name,
)
from relay.store.table.entry_values import Segment
from relay.store.table.replaying import Replay

#: How many octets are replayed in one turn of the reactor. That takes some milliseconds.
OCTETS_A_TURN = 1 << 18


class FollowedJournal:
    """Takes the octets of a journal in their order, until `finish`.

    :ivar replay: builds the table.
    """

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._segments: dict[int, Segment] = {}
        self._version = FORMAT_VERSION

    def octets(self, sequence: int, start: int, octets: bytes) -> Iterator[None]:
        """Replays the frames of one commit. It yields when the reactor should do other work.

        :param sequence: the segment.
        :param start: the offset of the octets in it.
        :raises JournalError: they aren't whole frames of the journal.
        """
        segment = self._segments.get(sequence)
        at = 0
        if segment is None:
            header = decode_header(octets[:HEADER_BYTES], segment_name(sequence)) if not start else None
            if header is None:
                raise JournalError(f"{segment_name(sequence)} of the log begins without a header")
            segment = self._segments[sequence] = Segment(sequence, header.created_at)
            self._version = header.version
            at = HEADER_BYTES
        paused_at = 0
        while at < len(octets):
            payload = frame_at(octets, at)
            if payload is None:
                raise JournalError(f"{segment_name(sequence)} of the log is damaged at offset {start + at}")
            try:
                records = decode_records(payload)
            except msgspec.MsgspecError as problem:
                raise JournalError(
                    f"{segment_name(sequence)} of the log can't be read at offset {start + at} ({problem}). A newer "
                    "relay may have written it"
                ) from None
            self._replay.frame(records, segment, start + at)
            at += FRAME_HEADER_BYTES + len(payload)
            if at - paused_at > OCTETS_A_TURN:
                paused_at = at
                yield
        segment.end_bytes = segment.committed_bytes = segment.synced_bytes = start + len(octets)

    def dropped(self, sequence: int) -> Iterator[None]:
        """Forgets what is still in a segment that the other relay has dropped, or in an earlier one. It yields when the
        reactor should do other work."""
        for number in [number for number in self._segments if number <= sequence]:
            del self._segments[number]
        return self._replay.forget_up_to(sequence)

    def finish(self, now: float) -> list[Segment]:
        """Finishes the table. Returns the segments, oldest first."""
        self._replay.finish(now)
        segments = [self._segments[sequence] for sequence in sorted(self._segments)]
        if segments and self._version < FORMAT_VERSION:
            # As `relay.store.journal.recovery` does.
            segments.append(Segment(segments[-1].sequence + 1, now))
        return segments

"""The segments of an open journal: gives each frame its place, and collects the frames of the next commit.

Theory of operation: a frame's place is the end of the active segment. If the active segment is long or old enough, a
new one begins. The commit with its first frame makes the file. For each segment three lengths are kept: appended
(`end_bytes`), committed, and synced (see `Segment`).
"""

from twisted.internet.interfaces import IReactorTime

from relay.config import daemon_config
from relay.store.journal.journal_format import HEADER_BYTES, SYNCED_FRAME_BYTES, encode_header, synced_frame
from relay.store.journal.segments import Write
from relay.store.table.entry_values import Segment


class FrameGroup:
    """The frames of one commit that go to one segment. Its first two elements are for the header and the mark."""

    __slots__ = ("frames", "segment", "start")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.start = segment.end_bytes
        self.frames: list[bytes] = [b"", b""]
        segment.end_bytes += SYNCED_FRAME_BYTES if self.start else HEADER_BYTES + SYNCED_FRAME_BYTES

    def seal(self) -> Write:
        """Makes the write of this group. After that, no frame may be added."""
        segment = self.segment
        if not self.start:
            self.frames[0] = encode_header(segment.sequence, segment.created_at)
        self.frames[1] = synced_frame(segment.synced_bytes)
        return segment, self.start, b"".join(self.frames)

    @property
    def octets(self) -> int:
        """The length of all frames."""
        return sum(map(len, self.frames))


class OpenSegments:
    """Keeps the list of segments, and the frames that wait for the next commit.

    :ivar all: every segment, oldest first. The last one is the active one.
    :ivar place: the segment and offset of the frame that was added last.
    """

    def __init__(self, found: list[Segment], settings: daemon_config.Journal, clock: IReactorTime) -> None:
        self._settings = settings
        self._clock = clock
        self._groups: list[FrameGroup] = []
        self.all = found
        if not found:
            found.append(Segment(1, clock.seconds()))
        self.place: tuple[Segment, int] = self.active, self.active.end_bytes

    @property
    def active(self) -> Segment:
        """The segment that is being written."""
        return self.all[-1]

    @property
    def total_bytes(self) -> int:
        """The length of all segments."""
        return sum(segment.end_bytes for segment in self.all)

    @property
    def waiting(self) -> bool:
        """Whether there are frames to commit."""
        return bool(self._groups)

    def add(self, frame: bytes) -> None:
        """Gives a frame its place, and collects it for the next commit."""
        groups = self._groups
        segment = self.active
        if segment.end_bytes >= self._settings.segment_bytes:
            self.begin_next()
        elif not groups:
            groups.append(FrameGroup(segment))
        group = groups[-1]
        segment = group.segment
        self.place = segment, segment.end_bytes
        segment.end_bytes += len(frame)
        group.frames.append(frame)

    def is_old(self, now: float) -> bool:
        """Whether the active segment has frames, and is so old that a new one must begin."""
        active = self.active
        return active.end_bytes > HEADER_BYTES and now - active.created_at >= self._settings.segment_seconds

    def begin_next(self) -> None:
        """Begins a new active segment. The next commit makes its file."""
        segment = Segment(self.active.sequence + 1, self._clock.seconds())
        self.all.append(segment)
        self._groups.append(FrameGroup(segment))

    def take(self) -> list[FrameGroup]:
        """Takes the collected frames for the next commit."""
        groups, self._groups = self._groups, []
        return groups

    def committed(self, groups: list[FrameGroup], *, synced: bool) -> None:
        """Notes that a commit has written these groups.

        :param synced: whether the active segment has been synced, too.
        """
        for group in groups:
            segment = group.segment
            if not group.start:
                for earlier in self.all:
                    if earlier.sequence < segment.sequence:
                        earlier.synced_bytes = earlier.committed_bytes
            segment.committed_bytes = group.start + group.octets
        if synced:
            self.active.synced_bytes = self.active.committed_bytes

    # After a failed commit

    def torn(self) -> list[Segment]:
        """The segments that are longer than what has been committed."""
        return [segment for segment in self.all if segment.end_bytes > segment.committed_bytes]

    def lengths(self) -> list[tuple[int, int]]:
        """The sequence and the committed length of each segment that has committed frames."""
        return [(segment.sequence, segment.committed_bytes) for segment in self.all if segment.committed_bytes]

    def successor(self) -> Segment:
        """Makes the segment that follows the last one with committed frames. It isn't in the list yet."""
        last = max((s.sequence for s in self.all if s.committed_bytes), default=self.all[0].sequence - 1)
        return Segment(last + 1, self._clock.seconds())

    def go_on_with(self, fresh: Segment, size: int, cut: list[Segment]) -> None:
        """Makes a new segment the active one, after a failure.

        :param fresh: the new segment.
        :param size: how many of its octets have been written.
        :param cut: segments whose uncommitted octets have been cut off.
        """
        for segment in cut:
            segment.end_bytes = segment.synced_bytes = segment.committed_bytes
        self.all[:] = [segment for segment in self.all if segment.committed_bytes]
        fresh.end_bytes = fresh.committed_bytes = fresh.synced_bytes = size
        self.all.append(fresh)

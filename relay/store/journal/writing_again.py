"""Makes the journal writable again after a failed commit, with a new segment.

Theory of operation: a failed sync is not repeated, because the kernel may have dropped the octets that it could not
write, and may report success the next time. Instead, the segment is cut back to what had been committed. Then a new
segment begins with all frames about events that have happened anyway. This is tried once a second. When the new segment
has been written and synced, the journal is writable again. The cut comes first, because only the last segment may have
a torn end. Before the cut, all segments must still exist: the relay doesn't go on with a journal that misses a part.
"""

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.store.journal.disk_thread import JournalDisk
from relay.store.journal.journal_format import encode_header, synced_frame
from relay.store.journal.open_segments import OpenSegments
from relay.store.journal.segments import SegmentWriter
from relay.store.table.entry_values import Segment

#: How often a new segment is tried.
PROBE_SECONDS = 1.0


class WritingAgain:
    """Keeps the frames that could not be written, and tries a new segment until it succeeds.

    :param mark: the journal's `mark`.
    :param succeeded: called with the mark that is durable now.
    :param failed: called with the reason each time that the disk fails.
    :ivar unwritten: frames about events that have happened, and that aren't on the disk.
    """

    log = Logger()

    def __init__(
        self,
        disk: JournalDisk,
        writer: SegmentWriter,
        segments: OpenSegments,
        clock: IReactorTime,
        *,
        mark: Callable[[], int],
        succeeded: Callable[[int], None],
        failed: Callable[[str], None],
    ) -> None:
        self._in_thread = disk.in_thread
        self._writer = writer
        self._segments = segments
        self._clock = clock
        self._mark = mark
        self._succeeded = succeeded
        self._failed = failed
        self._timer: IDelayedCall | None = None
        self._trying: Deferred[None] = succeed(None)
        self._stopped = False
        self.unwritten: list[bytes] = []

    def begin(self) -> None:
        """Tries after a second, and then each second until it succeeds."""
        if not self._stopped:
            self._timer = self._clock.callLater(PROBE_SECONDS, self._try)

    async def stop(self) -> None:
        """If another try is due later, tries now. This is the last try."""
        timer, self._timer = self._timer, None
        self._stopped = True
        if timer is not None:
            timer.cancel()
            self._try()
        await self._trying

    def _try(self) -> None:
        self._timer = None
        cut = self._segments.torn()
        needed = self._segments.lengths()
        fresh = self._segments.successor()
        frames = len(self.unwritten)
        octets = encode_header(fresh.sequence, fresh.created_at) + synced_frame(0) + b"".join(self.unwritten)
        mark = self._mark()
        done = self._in_thread(lambda: self._writer.begin_again(needed, cut, fresh, octets))
        done.addCallbacks(self._written, self._refused, callbackArgs=(cut, fresh, len(octets), frames, mark))
        done.addErrback(self._broken)
        self._trying = done

    def _written(self, _: object, cut: list[Segment], fresh: Segment, size: int, frames: int, mark: int) -> None:
        self._segments.go_on_with(fresh, size, cut)
        del self.unwritten[:frames]
        self._succeeded(mark)

    def _refused(self, failure: Failure) -> None:
        self._failed(str(failure.value))
        self.begin()

    def _broken(self, failure: Failure) -> None:
        self.log.failure("journal_callback_failed: an error in the relay itself", failure=failure)

"""The journal's writing side: frames are gathered, and one write and one fdatasync make them all durable.

Theory of operation: `append` gives a frame its place at once (the end of the active segment) and a Deferred. The first
frame of a quiet journal starts a commit at the end of the same turn of the reactor, so that all that one read led to
shares it. A commit runs in a thread; what is appended meanwhile gathers for the next one. When it returns, its
Deferreds fire in the order of their calls, and what has gathered is committed at once. Nothing waits for company: the
batches are as large as the disk is slow.

When a write or a sync fails, nothing of that commit or after it is taken for durable: every Deferred fails, and the
callers' `undo` is called for what must not have happened. A sync that failed is not tried again, because the kernel
may have dropped what it could not write and report success the next time. Instead the segment is cut back to what had
been committed, and once a second a new segment is begun with every frame that tells of something that did happen
(`keep`); when that has been written and synced, the journal is writable again. The cut comes first, because a segment
that isn't the last one must have no torn end.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.store.api import COMMIT_SECONDS_BOUNDS, StoreUnavailable
from relay.store.journal.files import Files
from relay.store.journal.journal_format import HEADER_BYTES, SYNCED_FRAME_BYTES, encode_header, synced_frame
from relay.store.journal.segments import SegmentWriter, Write
from relay.store.table.entry_values import Segment

T = TypeVar("T")
#: Runs a function in a thread and gives its result on the reactor thread.
InThread = Callable[[Callable[[], T]], "Deferred[T]"]

#: How often a broken journal tries a new segment, and how often `sync: interval` syncs.
PROBE_SECONDS = 1.0
SYNC_INTERVAL_SECONDS = 1.0


class _Group:
    """The frames of one commit that go to one segment. The first two places are for the header and the mark."""

    __slots__ = ("frames", "segment", "start")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.start = segment.end_bytes
        self.frames: list[bytes] = [b"", b""]
        segment.end_bytes += SYNCED_FRAME_BYTES if self.start else HEADER_BYTES + SYNCED_FRAME_BYTES

    def seal(self) -> Write:
        """What is to be written, and where."""
        segment = self.segment
        if not self.start:
            self.frames[0] = encode_header(segment.sequence, segment.created_at)
        self.frames[1] = synced_frame(segment.synced_bytes)
        return segment, self.start, b"".join(self.frames)


class _Entry:
    """A call that waits for its commit."""

    __slots__ = ("deferred", "frame", "keep", "result", "undo")

    def __init__(self, frame: bytes, result: Any, undo: Callable[[], None] | None, keep: bool) -> None:
        self.frame = frame
        self.result = result
        self.undo = undo
        self.keep = keep
        self.deferred: Deferred[Any] = Deferred()


class Journal:
    """See the module's text. Only the reactor thread may call.

    :ivar segments: all of them, oldest first; the last is the active one.
    :ivar place: segment and offset of the frame that was appended last.
    :ivar writable: false from a failed commit until a new segment has been written.
    :ivar reason: why not.
    :ivar durable_mark: what `mark` said when the last commit was closed that succeeded. A number that the caller raises
        before it appends is covered, frame and all, once this has reached it.
    """

    log = Logger()

    def __init__(
        self,
        files: Files,
        directory: str,
        segments: list[Segment],
        *,
        sync: str,
        segment_bytes: int,
        segment_seconds: float,
        clock: IReactorTime,
        in_thread: InThread[Any],
        mark: Callable[[], int] = lambda: 0,
    ) -> None:
        self._mark = mark
        self._mark_under_way = 0
        self.durable_mark = mark()
        self._writer = SegmentWriter(files, directory, each_write_synced=sync == "always")
        self._sync = sync
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._clock = clock
        self._in_thread = in_thread
        self.segments = segments
        self.writable = True
        self.reason = ""
        self._stopped = False
        self._groups: list[_Group] = []
        self._entries: list[_Entry] = []
        self._committing: list[_Entry] | None = None
        self._scheduled: IDelayedCall | None = None
        self._sync_timer: IDelayedCall | None = None
        self._probe_timer: IDelayedCall | None = None
        self._probing: Deferred[None] = succeed(None)
        self._idle: list[Deferred[None]] = []
        self._unwritten: list[bytes] = []
        self._synced_at = clock.seconds()
        self._begun_at = 0.0
        #: Failed commits, and calls refused because of one, since the start.
        self.failures = 0
        self.commits = 0
        self.committed_batches = 0
        self.committed_bytes = 0
        self.commit_seconds = 0.0
        self.commit_buckets = [0] * (len(COMMIT_SECONDS_BOUNDS) + 1)
        if not segments:
            self.segments.append(Segment(1, clock.seconds()))
        self.place: tuple[Segment, int] = self.active, self.active.end_bytes

    @property
    def open(self) -> bool:
        """Whether frames are taken."""
        return self.writable and not self._stopped

    @property
    def why_not(self) -> str:
        """Why frames are not taken; empty when they are."""
        return "the relay is stopping" if self._stopped else self.reason

    @property
    def active(self) -> Segment:
        """The segment that is being written."""
        return self.segments[-1]

    @property
    def total_bytes(self) -> int:
        """The length of all segments."""
        return sum(segment.end_bytes for segment in self.segments)

    # Appending

    def append(
        self, frame: bytes, result: T, undo: Callable[[], None] | None = None, keep: bool = True
    ) -> "Deferred[T]":
        """Adds a frame; `self.place` says where.

        :param frame: empty where there is nothing to write but the call must not be overtaken.
        :param result: what the Deferred fires with.
        :param undo: called when the frame could not be made durable.
        :param keep: whether the frame is to be written when the disk is back, although the Deferred has failed.
        :raises StoreUnavailable: through the Deferred.
        """
        if not self.open:
            return self._refuse(frame, undo, keep)
        if frame:
            group = self._groups[-1] if self._groups else self._begin_group()
            segment = group.segment
            if segment.end_bytes >= self._segment_bytes:
                group = self._roll()
                segment = group.segment
            self.place = segment, segment.end_bytes
            segment.end_bytes += len(frame)
            group.frames.append(frame)
        elif not self._entries and self._committing is None:
            return succeed(result)
        entry = _Entry(frame, result, undo, keep)
        self._entries.append(entry)
        if self._committing is None and self._scheduled is None:
            self._scheduled = self._clock.callLater(0, self._commit)
        return entry.deferred

    def _refuse(self, frame: bytes, undo: Callable[[], None] | None, keep: bool) -> "Deferred[Any]":
        self.failures += 1
        if undo is not None:
            undo()
        elif keep and frame and not self._stopped:
            self._unwritten.append(frame)
        return fail(StoreUnavailable(self.why_not))

    def roll(self, now: float) -> None:
        """Begins a new segment where the active one is old enough; its first frame makes the file."""
        active = self.active
        if not self.writable or self._stopped:
            return
        if active.end_bytes > HEADER_BYTES and now - active.created_at >= self._segment_seconds:
            self._roll()
            if self._committing is None and self._scheduled is None:
                self._scheduled = self._clock.callLater(0, self._commit)

    def _begin_group(self) -> _Group:
        segment = self.active
        if segment.end_bytes >= self._segment_bytes:
            return self._roll()
        group = _Group(segment)
        self._groups.append(group)
        return group

    def _roll(self) -> _Group:
        segment = Segment(self.active.sequence + 1, self._clock.seconds())
        self.segments.append(segment)
        group = _Group(segment)
        self._groups.append(group)
        return group

    # Committing

    def _commit(self) -> None:
        self._scheduled = None
        groups = self._groups
        self._committing = self._entries
        self._entries = []
        self._groups = []
        self._begun_at = self._clock.seconds()
        self._mark_under_way = self._mark()
        sync = self._sync == "always" or (
            self._sync == "interval" and self._begun_at - self._synced_at >= SYNC_INTERVAL_SECONDS
        )
        writes = [group.seal() for group in groups]
        active = self.active
        done = self._in_thread(lambda: self._writer.write(writes, active if sync else None))
        done.addCallbacks(self._committed, self._commit_failed, callbackArgs=(groups, sync))
        done.addErrback(self._broken)

    def _committed(self, _: object, groups: list[_Group], sync: bool) -> None:
        now = self._clock.seconds()
        # Not None while the Deferreds fire: what their callbacks append is committed below, not a turn later.
        entries, self._committing = self._committing or [], []
        self.durable_mark = self._mark_under_way
        self._count(now - self._begun_at, entries, groups)
        for group in groups:
            segment = group.segment
            if not group.start:
                for earlier in self.segments:
                    if earlier.sequence < segment.sequence:
                        earlier.synced_bytes = earlier.committed_bytes
            segment.committed_bytes = group.start + sum(map(len, group.frames))
        if sync:
            self._synced_at = now
            self.active.synced_bytes = self.active.committed_bytes
        elif groups and self._sync == "interval" and self._sync_timer is None:
            self._sync_timer = self._clock.callLater(SYNC_INTERVAL_SECONDS, self._sync_now)
        for entry in entries:
            entry.deferred.callback(entry.result)
        while self._entries and not self._groups:
            # Calls with nothing to write, which had to wait for what was under way.
            entries, self._entries = self._entries, []
            for entry in entries:
                entry.deferred.callback(entry.result)
        self._committing = None
        if self._groups:
            self._commit()
        self._say_if_idle()

    def _say_if_idle(self) -> None:
        if self._committing is None and self._scheduled is None and self._idle:
            waiting, self._idle = self._idle, []
            for deferred in waiting:
                deferred.callback(None)

    def _sync_now(self) -> None:
        self._sync_timer = None
        if self._committing is None and self._scheduled is None and self.writable and not self._stopped:
            self._commit()

    def _count(self, seconds: float, entries: list[_Entry], groups: list[_Group]) -> None:
        self.commits += 1
        self.committed_batches += len(entries)
        self.committed_bytes += sum(len(frame) for group in groups for frame in group.frames)
        self.commit_seconds += seconds
        for index, bound in enumerate(COMMIT_SECONDS_BOUNDS):
            if seconds <= bound:
                self.commit_buckets[index] += 1
                return
        self.commit_buckets[-1] += 1

    def idle(self) -> "Deferred[None]":
        """Fires when all that was appended so far has been committed, or has failed."""
        if self._committing is None and self._scheduled is None:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._idle.append(deferred)
        return deferred

    # Failing

    def _commit_failed(self, failure: Failure) -> None:
        problem = failure.value
        self.writable = False
        self.failures += 1
        self.reason = f"the journal can't be written: {problem}"
        if not failure.check(OSError):
            self.log.failure("journal_commit_failed: an error in the relay itself", failure=failure)
        self.log.error(
            "journal_unwritable: {reason}; no more messages are taken until a new segment can be written, which is "
            "tried every second",
            reason=self.reason,
        )
        entries = (self._committing or []) + self._entries
        self._committing, self._entries, self._groups = None, [], []
        for entry in entries:
            if entry.undo is not None:
                entry.undo()
            elif entry.keep and entry.frame:
                self._unwritten.append(entry.frame)
        for entry in entries:
            entry.deferred.errback(StoreUnavailable(self.reason))
        self._probe_timer = self._clock.callLater(PROBE_SECONDS, self._probe)
        self._say_if_idle()

    def _broken(self, failure: Failure) -> None:
        self.log.failure("journal_callback_failed: an error in the relay itself", failure=failure)

    def _probe(self) -> "Deferred[None]":
        """Tries to cut back what failed and to begin a new segment."""
        self._probe_timer = None
        cut = [segment for segment in self.segments if segment.end_bytes > segment.committed_bytes]
        last = max((s.sequence for s in self.segments if s.committed_bytes), default=self.segments[0].sequence - 1)
        fresh = Segment(last + 1, self._clock.seconds())
        frames = list(self._unwritten)
        octets = encode_header(fresh.sequence, fresh.created_at) + synced_frame(0) + b"".join(frames)
        self._mark_under_way = self._mark()
        done = self._in_thread(lambda: self._writer.begin_again(cut, fresh, octets))
        done.addCallbacks(self._recovered, self._probe_failed, callbackArgs=(cut, fresh, len(frames), len(octets)))
        done.addErrback(self._broken)
        self._probing = done
        return done

    def _recovered(self, _: object, cut: list[Segment], fresh: Segment, frames: int, size: int) -> None:
        for segment in cut:
            segment.end_bytes = segment.synced_bytes = segment.committed_bytes
        self.segments[:] = [segment for segment in self.segments if segment.committed_bytes]
        fresh.end_bytes = fresh.committed_bytes = fresh.synced_bytes = size
        self.segments.append(fresh)
        del self._unwritten[:frames]
        self.durable_mark = self._mark_under_way
        self._synced_at = self._clock.seconds()
        self.writable = True
        self.reason = ""
        self.log.info("journal_writable: the journal can be written again; messages are taken")
        # What was learnt while the new segment was being written.
        unwritten, self._unwritten = self._unwritten, []
        for frame in unwritten:
            self.append(frame, None).addErrback(_already_reported)
        self._say_if_idle()

    def _probe_failed(self, failure: Failure) -> None:
        self.reason = f"the journal can't be written: {failure.value}"
        if not self._stopped:
            self._probe_timer = self._clock.callLater(PROBE_SECONDS, self._probe)

    # Stopping

    async def stop(self) -> None:
        """Commits what there is, syncs in any mode, and closes. A second call does nothing.

        What could not be written until now is tried once more; if it can't be, the log says how much is lost.
        """
        if self._stopped:
            return
        await self.idle()
        if not self.writable:
            if self._probe_timer is not None:
                self._probe_timer.cancel()
                self._probe()
            await self._probing
            await self.idle()
        self._stopped = True
        for timer in (self._sync_timer, self._probe_timer):
            if timer is not None:
                timer.cancel()
        self._sync_timer = self._probe_timer = None
        if self.writable and self.active.committed_bytes:
            segment = self.active
            mark = segment.committed_bytes, synced_frame(segment.committed_bytes)
            try:
                await self._in_thread(lambda: self._writer.finish(segment, *mark))
            except OSError as problem:
                self.log.error("journal_close_failed: {reason}", reason=str(problem))
        elif not self.writable:
            self.log.error(
                "journal_left_unwritten: {count} batches of news could not be written before the stop",
                count=len(self._unwritten),
            )


def _already_reported(failure: Failure) -> None:
    failure.trap(StoreUnavailable)

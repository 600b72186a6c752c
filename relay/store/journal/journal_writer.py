"""Writes the journal: collects frames, and makes them durable with one write and one fdatasync.

Theory of operation: `append` gives a frame its place at once (the end of the active segment), and returns a Deferred.
If no commit is under way, the first frame starts one at the end of the same turn of the reactor. So all frames that one
read leads to are committed together. A commit runs in a thread, or on the reactor if there is little traffic and the
disk is fast (`relay.store.journal.commits_at_once`). Frames that are appended meanwhile are collected for the next one.
When a commit is done, its Deferreds fire in the order of their calls, and the collected frames are committed at once.
No commit waits for further frames, so commits get larger if the disk is slow.

When a write or a sync fails, no frame of that commit, and no later one, counts as durable. All their Deferreds fail,
and the callers' `undo` takes back changes that must not hold without the journal. Frames about events that have
happened anyway (`keep`) are written when the disk works again (see `relay.store.journal.writing_again`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.config import daemon_config
from relay.store.journal.commit_figures import CommitFigures
from relay.store.journal.commits_at_once import CommitsAtOnce
from relay.store.journal.disk_thread import JournalDisk
from relay.store.journal.journal_format import synced_frame
from relay.store.journal.open_segments import FrameGroup, OpenSegments
from relay.store.journal.segments import SegmentWriter
from relay.store.journal.writing_again import WritingAgain
from relay.store.store_values import StoreUnavailable
from relay.store.table.entry_values import Segment

T = TypeVar("T")

#: How often `sync: interval` syncs.
SYNC_INTERVAL_SECONDS = 1.0
#: The least time between two checks whether the segment still has its name. After each check the thread waits for the
#: interpreter's lock once more, which takes a busy relay more time than the two system calls.
LOOK_SECONDS = 0.05


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
    """Appends frames and commits them in groups. Only the reactor thread may call.

    :ivar writable: false from a failed commit until a new segment has been written.
    :ivar reason: why it isn't writable.
    :ivar durable_mark: the value of `mark` when the frames of the last successful commit were collected. A caller can
        raise its mark and then append a frame. The frame is durable when `durable_mark` has reached that value.
    :ivar at_once: says which commits the reactor makes itself.
    :ivar failures: how many commits failed since the start, and how many calls were refused because of that.
    """

    log = Logger()

    def __init__(
        self,
        disk: JournalDisk,
        found: list[Segment],
        settings: daemon_config.Journal,
        clock: IReactorTime,
        mark: Callable[[], int] = lambda: 0,
    ) -> None:
        self._in_thread = disk.in_thread
        self._thread_is_idle = disk.thread_is_idle
        self._clock = clock
        self._sync = settings.sync
        self._mark = mark
        self._mark_under_way = 0
        self.durable_mark = mark()
        self._segments = OpenSegments(found, settings, clock)
        self._writer = SegmentWriter(disk, each_write_synced=settings.sync == "always")
        self._again = WritingAgain(
            disk,
            self._writer,
            self._segments,
            clock,
            mark=mark,
            succeeded=self._writable_again,
            failed=self._still_unwritable,
        )
        self.writable = True
        self.reason = ""
        self._stopped = False
        self._held_up = ""
        self._entries: list[_Entry] = []
        self._committing: list[_Entry] | None = None
        self._scheduled: IDelayedCall | None = None
        self._sync_timer: IDelayedCall | None = None
        self._idle: list[Deferred[None]] = []
        self._synced_at = clock.seconds()
        self._looked_at = 0.0
        self._begun_at = 0.0
        self.failures = 0
        self.figures = CommitFigures()
        self.at_once = CommitsAtOnce()

    @property
    def open(self) -> bool:
        """Whether frames are accepted."""
        return self.writable and not self._stopped and not self._held_up

    @property
    def why_not(self) -> str:
        """Why frames are not accepted; empty: they are."""
        return "the relay is stopping" if self._stopped else self._held_up or self.reason

    @property
    def segments(self) -> list[Segment]:
        """All segments, oldest first. The last one is the active one."""
        return self._segments.all

    @property
    def active(self) -> Segment:
        """The segment that is being written."""
        return self._segments.active

    @property
    def place(self) -> tuple[Segment, int]:
        """The segment and offset of the frame that was appended last."""
        return self._segments.place

    @property
    def total_bytes(self) -> int:
        """The length of all segments."""
        return self._segments.total_bytes

    # Appending

    def append(
        self, frame: bytes, result: T, undo: Callable[[], None] | None = None, keep: bool = True
    ) -> "Deferred[T]":
        """Adds a frame to the next commit. `self.place` is then its place.

        :param frame: empty: there is nothing to write, and the Deferred fires after those of earlier calls.
        :param result: the value with which the Deferred fires.
        :param undo: called if the frame could not be made durable.
        :param keep: whether the frame is written when the disk works again, although the Deferred has failed.
        :raises StoreUnavailable: through the Deferred.
        """
        if not self.open:
            return self._refuse(frame, undo, keep)
        if frame:
            self._segments.add(frame)
        elif not self._entries and self._committing is None:
            return succeed(result)
        entry = _Entry(frame, result, undo, keep)
        self._entries.append(entry)
        self._commit_soon()
        return entry.deferred

    def _refuse(self, frame: bytes, undo: Callable[[], None] | None, keep: bool) -> "Deferred[Any]":
        self.failures += 1
        if undo is not None:
            undo()
        elif keep and frame and not self._stopped:
            self._again.unwritten.append(frame)
        return fail(StoreUnavailable(self.why_not))

    def roll(self, now: float) -> None:
        """Begins a new segment if the active one is old enough. Its first frame makes the file."""
        if self.open and self._segments.is_old(now):
            self._segments.begin_next()
            self._commit_soon()

    # Committing

    def hold_up(self, trouble: str) -> None:
        """Refuses frames from now on, if a commit is under way and there is a reason why it may take long. The commit
        goes on. When it has ended, frames are accepted again.

        :param trouble: the reason; empty: there is none.
        """
        if not trouble or self._committing is None or not self.writable:
            return
        if not self._held_up:
            self.log.error(
                "journal_held_up: {reason}; the relay accepts no messages until the commit under way has ended",
                reason=trouble,
            )
        self._held_up = trouble

    def _go_on(self) -> None:
        """A commit that was held up has ended."""
        self._held_up = ""
        self.log.info("journal_goes_on: the commit has ended; the relay accepts messages")
        self._write_refused()

    def _commit_soon(self) -> None:
        if self._committing is None and self._scheduled is None:
            self._scheduled = self._clock.callLater(0, self._commit)

    def _commit(self) -> None:
        self._scheduled = None
        groups = self._segments.take()
        self._committing = self._entries
        self._entries = []
        self._begun_at = self._clock.seconds()
        self._mark_under_way = self._mark()
        sync = self._sync == "always" or (
            self._sync == "interval" and self._begun_at - self._synced_at >= SYNC_INTERVAL_SECONDS
        )
        look = self._begun_at - self._looked_at >= LOOK_SECONDS
        if look:
            self._looked_at = self._begun_at
        writes = [group.seal() for group in groups]
        active = self.active
        work = partial(self._writer.write, writes, active if sync else None, look=look)
        done: Deferred[float] = execute(work) if self._may_do_at_once(groups) else self._in_thread(work)
        done.addCallbacks(self._committed, self._commit_failed, callbackArgs=(groups, sync))
        done.addErrback(self._broken)

    def _may_do_at_once(self, groups: list[FrameGroup]) -> bool:
        """Whether the reactor may make this commit itself, and doesn't need the thread."""
        # A new segment is a new file, which takes longer. The thread may be reading or deleting a file.
        if len(groups) != 1 or not groups[0].start or not self._thread_is_idle():
            return False
        return self.at_once.may_make(self._begun_at, len(self._committing or ()), groups[0].octets)

    def _committed(self, disk_seconds: float, groups: list[FrameGroup], sync: bool) -> None:
        now = self._clock.seconds()
        self.at_once.took(disk_seconds, now)
        # It is not None while the Deferreds fire. So frames that their callbacks append are committed below, and not in
        # the next turn.
        entries, self._committing = self._committing or [], []
        self.durable_mark = self._mark_under_way
        self.figures.count(now - self._begun_at, len(entries), sum(group.octets for group in groups))
        self._segments.committed(groups, synced=sync)
        if self._held_up:
            # Before the next commit takes its mark.
            self._go_on()
        if sync:
            self._synced_at = now
        elif groups and self._sync == "interval" and self._sync_timer is None:
            self._sync_timer = self._clock.callLater(SYNC_INTERVAL_SECONDS, self._sync_now)
        for entry in entries:
            entry.deferred.callback(entry.result)
        while self._entries and not self._segments.waiting:
            # These calls have nothing to write. They only had to wait for the commit that was under way.
            entries, self._entries = self._entries, []
            for entry in entries:
                entry.deferred.callback(entry.result)
        self._committing = None
        if self._segments.waiting:
            self._commit()
        self._say_if_idle()

    def _say_if_idle(self) -> None:
        if self._committing is None and self._scheduled is None and self._idle:
            waiting, self._idle = self._idle, []
            for deferred in waiting:
                deferred.callback(None)

    def _sync_now(self) -> None:
        self._sync_timer = None
        if self._committing is None and self._scheduled is None and self.open:
            self._commit()

    def idle(self) -> "Deferred[None]":
        """Fires when all frames appended so far have been committed, or have failed."""
        if self._committing is None and self._scheduled is None:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._idle.append(deferred)
        return deferred

    # Failing

    def _commit_failed(self, failure: Failure) -> None:
        self.writable = False
        self._held_up = ""
        self.failures += 1
        self.at_once.failed()
        self._still_unwritable(str(failure.value))
        if not failure.check(OSError):
            self.log.failure("journal_commit_failed: an error in the relay itself", failure=failure)
        self.log.error(
            "journal_unwritable: {reason}; the relay accepts no messages until it can write a new segment. It tries "
            "that every second",
            reason=self.reason,
        )
        entries = (self._committing or []) + self._entries
        self._committing, self._entries = None, []
        self._segments.take()
        for entry in entries:
            if entry.undo is not None:
                entry.undo()
            elif entry.keep and entry.frame:
                self._again.unwritten.append(entry.frame)
        for entry in entries:
            entry.deferred.errback(StoreUnavailable(self.reason))
        self._again.begin()
        self._say_if_idle()

    def _still_unwritable(self, problem: str) -> None:
        self.reason = f"the journal can't be written: {problem}"

    def _writable_again(self, mark: int) -> None:
        self.durable_mark = mark
        self._synced_at = self._clock.seconds()
        self.writable = True
        self.reason = ""
        self.log.info("journal_writable: the journal can be written again; the relay accepts messages")
        self._write_refused()
        self._say_if_idle()

    def _write_refused(self) -> None:
        """Appends the frames about events that were refused while nothing could be written."""
        unwritten, self._again.unwritten = self._again.unwritten, []
        for frame in unwritten:
            self.append(frame, None).addErrback(_already_reported)

    def _broken(self, failure: Failure) -> None:
        self.log.failure("journal_callback_failed: an error in the relay itself", failure=failure)

    # Stopping

    async def stop(self) -> None:
        """Commits all frames, syncs in any mode, and closes. A second call does nothing.

        Frames that could not be written before are tried once more. If that fails, the log says how many are lost.
        """
        if self._stopped:
            return
        await self.idle()
        await self._again.stop()
        await self.idle()
        self._stopped = True
        if self._sync_timer is not None:
            self._sync_timer.cancel()
            self._sync_timer = None
        if self.writable and self.active.committed_bytes:
            segment = self.active
            mark = segment.committed_bytes, synced_frame(segment.committed_bytes)
            try:
                await self._in_thread(lambda: self._writer.finish(segment, *mark))
            except OSError as problem:
                self.log.error("journal_close_failed: {reason}", reason=str(problem))
        elif not self.writable:
            self.log.error(
                "journal_left_unwritten: {count} batches could not be written before the stop, and are lost",
                count=len(self._again.unwritten),
            )


def _already_reported(failure: Failure) -> None:
    failure.trap(StoreUnavailable)

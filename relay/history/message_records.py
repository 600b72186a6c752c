"""Message records: one line of JSON for each message that has ended, for billing and disputes.

Theory of operation: the flow hands over the messages that a batch ended, once the journal has that durable. Their lines
gather in memory and are appended by one thread, a write at a time, with the journal's cadence: `sync: always` syncs
each write, `interval` one a second, `never` leaves it to the kernel. While the file can't be written (a full disk)
lines wait, up to a bound, and are tried again every second; the messages themselves are in the journal all the while.

A process that is killed between the journal's write and this one leaves lines unwritten. So a start compares the end of
the file with what the store says ended since, and writes what is missing: each message gets its line at least once, and
a second time only where a crash fell between the write and the comparison's reach.

A file that has no line yet has a beginning all the same: the first start with message records makes it, empty, before
anything can end. So a start that finds it knows that whatever ended since then belongs into it, and one that finds no
file knows that message records were just switched on: they begin now, not with all that the store still remembers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.history.record_file import RecordFile
from relay.history.record_line import known_ids, record_line
from relay.runtime.tasks import Tasks
from relay.store.api import StoreQueries
from relay.values.ids import id_text
from relay.values.messages import MessageView

#: Lines that may wait for the disk; beyond it the oldest are dropped (and found missing by the next start).
_MOST_WAITING = 200_000
#: Lines in one write.
_LINES_A_WRITE = 5_000
_PAUSE_SECONDS = 1.0
#: How much of the file's end a start looks at.
_TAIL_BYTES = 8 << 20
#: A crash loses lines of the last moments only; the rest of the file's end need not be compared.
_LOOK_BACK_SECONDS = 60.0
_FEED_PAGE = 1_000

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


class MessageRecords:
    """Writes the message records. Only the reactor thread may call.

    :param sync: the journal's `sync`.
    :param in_thread: runs a function in a thread.
    :param most_waiting: lines that may wait while the file can't be written; beyond it the oldest are lost.
    """

    log = Logger()

    def __init__(
        self, path: str, sync: str, clock: IReactorTime, in_thread: InThread, *, most_waiting: int = _MOST_WAITING
    ) -> None:
        self._file = RecordFile(path)
        self._sync = sync
        self._clock = clock
        self._in_thread = in_thread
        self._waiting: deque[bytes] = deque()
        self._most_waiting = most_waiting
        self._writing = False
        self._timer: IDelayedCall | None = None
        self._tasks = Tasks(self.log)
        self._unwritable = False
        self._stopping = False
        self._dropped = 0

    async def start(self, store: StoreQueries, accounts: Iterable[str]) -> int:
        """Writes the lines that the last run could not, and says how many; to be awaited before anything ends."""
        tail, changed_at = await self._in_thread(lambda: (self._file.tail(_TAIL_BYTES), self._file.changed_at()))
        ids, latest = known_ids(tail)
        # Without a line to go by, the file's own time says when it was begun, or when its one torn line was written.
        latest = latest or changed_at or 0.0
        if changed_at is None:
            # If we stop here, there is no file, and nothing that belongs into it has ended.
            await self._begin()
        if not latest:
            return 0
        missing = 0
        for account in accounts:
            cursor = 0
            while entries := await store.feed(account, cursor, _FEED_PAGE):
                cursor = entries[-1].cursor
                for entry in entries:
                    if entry.at >= latest - _LOOK_BACK_SECONDS and id_text(entry.id) not in ids:
                        view = await store.look_up(entry.id)
                        if view is not None and view.final:
                            self.add([view])
                            missing += 1
        return missing

    async def _begin(self) -> None:
        """Makes the file; where that can't be done, it is made with its first line."""
        begin = partial(self._file.begin, self._clock.seconds(), sync=self._sync != "never")
        try:
            await self._in_thread(begin)
        except OSError as problem:
            self._failed(problem)

    def add(self, ended: Sequence[MessageView]) -> None:
        """Takes messages that have ended; returns at once. Each is to be handed over once."""
        self._waiting.extend([record_line(view) for view in ended])
        while len(self._waiting) > self._most_waiting:
            self._waiting.popleft()
            self._dropped += 1
        self._write_soon()

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""
        return len(self._waiting)

    async def stop(self) -> None:
        """Writes what waits, as far as the disk allows, and closes."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._tasks.wait()
        if self._waiting and not self._unwritable:
            await self._write()
        if self._waiting:
            self.log.error("records_left_unwritten: {count} message records; the next start writes them",
                           count=len(self._waiting))  # fmt: skip
        await self._in_thread(self._file.close)

    def _write_soon(self) -> None:
        if self._writing or self._timer is not None or self._stopping:
            return
        if self._sync == "always" and not self._unwritable:
            self._tasks.start(self._write())
        else:
            self._timer = self._clock.callLater(_PAUSE_SECONDS, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self._tasks.start(self._write())

    async def _write(self) -> None:
        self._writing = True
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_LINES_A_WRITE, len(self._waiting)))]
                now = self._clock.seconds()
                append = partial(self._file.append, b"".join(batch), now, sync=self._sync != "never")
                try:
                    await self._in_thread(append)
                except OSError as problem:
                    self._waiting.extendleft(reversed(batch))
                    self._failed(problem)
                    return
                if self._unwritable:
                    self._unwritable = False
                    self.log.info("records_writable: message records can be written again; {dropped} lines are lost",
                                  dropped=self._dropped)  # fmt: skip
                    self._dropped = 0
        finally:
            self._writing = False
            if self._waiting:
                self._write_soon()

    def _failed(self, problem: OSError) -> None:
        if not self._unwritable:
            self._unwritable = True
            self.log.error(
                "records_unwritable: {path}: {reason}; tried again every second", path=self._file.path,
                reason=str(problem),
            )  # fmt: skip

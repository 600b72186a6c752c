"""Message records: one line of JSON for each message that has ended, for billing and disputes.

Theory of operation: the flow hands over the messages that a batch ended, once the journal has that durable. Their lines
gather in memory and are appended by one thread, a write at a time, with the journal's cadence: `sync: always` syncs
each write, `interval` one a second, `never` leaves it to the kernel. While the file can't be written (a full disk)
lines wait, and the write is tried again every second. Beyond a bound only the ids wait, and their lines are made from
what the store still knows when their turn comes. So the lines stand in the file in the order in which messages ended,
and at any moment the file lacks only the latest of them.

A process that is killed leaves these unwritten. So a start compares the end of the file with the store's feeds. In an
account's feed, everything after the last message that has a line is missing. An account without a line in the file's
end has only the times to go by. Two batches that end in the same moment may come in either order, so what ended in the
last minute of the file is compared message by message.

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
from relay.history.record_line import KnownLines, known_lines, record_line
from relay.runtime.tasks import Tasks
from relay.store.api import StoreQueries
from relay.values.ids import id_text
from relay.values.messages import MessageView

#: Lines that may wait for the disk; of what ends beyond it only the id waits.
_MOST_WAITING = 200_000
#: Ids that may wait; beyond it the oldest are lost. The store forgets ended messages long before that many.
_MOST_WAITING_IDS = 2_000_000
#: Lines in one write.
_LINES_A_WRITE = 5_000
#: Messages that are looked up between two writes: some milliseconds on the reactor's thread.
_LOOK_UPS_A_WRITE = 500
_PAUSE_SECONDS = 1.0
#: How much of the file's end a start looks at.
_TAIL_BYTES = 8 << 20
#: No line is longer. An end of the file that is shorter than `_TAIL_BYTES` by more than this is the whole file.
_LONGEST_LINE_BYTES = 256 << 10
#: Batches that end at the same time may be written in either order, within this time.
_LOOK_BACK_SECONDS = 60.0
_FEED_PAGE = 1_000

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


class MessageRecords:
    """Writes the message records. Only the reactor thread may call.

    :param sync: the journal's `sync`.
    :param in_thread: runs a function in a thread.
    :param most_waiting: lines that may wait while the file can't be written; beyond it only ids wait.
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
        #: Ended later than all in `_waiting`; they get their lines from the store.
        self._waiting_ids: deque[bytes] = deque(maxlen=_MOST_WAITING_IDS)
        self._store: StoreQueries | None = None
        self._writing = False
        self._timer: IDelayedCall | None = None
        self._tasks = Tasks(self.log)
        self._unwritable = False
        self._stopping = False
        self._lost = 0

    async def start(self, store: StoreQueries, accounts: Iterable[str]) -> int:
        """Writes the lines that the last run could not, and says how many; to be awaited before anything ends."""
        self._store = store
        tail, changed_at = await self._in_thread(lambda: (self._file.tail(_TAIL_BYTES), self._file.changed_at()))
        known = known_lines(tail)
        # Without a line to go by, the file's own time says when it was begun, or when its one torn line was written.
        since = (known.latest or changed_at or 0.0) - _LOOK_BACK_SECONDS
        if len(tail) > _TAIL_BYTES - _LONGEST_LINE_BYTES:
            # What ended before this may have its line before the end that we have read.
            since = max(since, known.earliest)
        if changed_at is None:
            # If we stop here, there is no file, and nothing that belongs into it has ended.
            await self._begin()
        if not known.latest and changed_at is None:
            return 0
        missing: list[tuple[int, bytes]] = []
        for account in accounts:
            missing += await _missing(store, account, known, since)
        # In the order in which they ended, so that a kill in the midst of this leaves a file that the next start can
        # go by.
        self._later([message_id for _, message_id in sorted(missing)])
        if missing:
            self._write_soon()
        return len(missing)

    async def _begin(self) -> None:
        """Makes the file; where that can't be done, it is made with its first line."""
        begin = partial(self._file.begin, self._clock.seconds(), sync=self._sync != "never")
        try:
            await self._in_thread(begin)
        except OSError as problem:
            self._failed(problem)

    def add(self, ended: Sequence[MessageView]) -> None:
        """Takes messages that have ended; returns at once. Each is to be handed over once."""
        room = 0 if self._waiting_ids else max(0, self._most_waiting - len(self._waiting))
        self._waiting.extend([record_line(view) for view in ended[:room]])
        self._later([view.id for view in ended[room:]])
        self._write_soon()

    def _later(self, ids: Sequence[bytes]) -> None:
        self._lost += max(0, len(self._waiting_ids) + len(ids) - _MOST_WAITING_IDS)
        self._waiting_ids.extend(ids)

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""
        return len(self._waiting) + len(self._waiting_ids)

    async def stop(self) -> None:
        """Writes what waits, as far as the disk allows, and closes."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._tasks.wait()
        if self._waiting and not self._unwritable:
            await self._write()
        if self.waiting:
            self.log.error("records_left_unwritten: {count} message records; the next start writes them",
                           count=self.waiting)  # fmt: skip
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
            while await self._lines_are_there():
                batch = [self._waiting.popleft() for _ in range(min(_LINES_A_WRITE, len(self._waiting)))]
                now = self._clock.seconds()
                append = partial(self._file.append, b"".join(batch), now, sync=self._sync != "never")
                try:
                    await self._in_thread(append)
                except OSError as problem:
                    self._waiting.extendleft(reversed(batch))
                    self._failed(problem)
                    return
        finally:
            self._writing = False
            if self.waiting:
                self._write_soon()
        self._say_it_is_written()

    async def _lines_are_there(self) -> bool:
        """Whether there are lines to be written now. Where only ids wait, makes lines of the first of them."""
        while not self._waiting and self._waiting_ids and self._store is not None and not self._stopping:
            for _ in range(min(_LOOK_UPS_A_WRITE, len(self._waiting_ids))):
                view = await self._store.look_up(self._waiting_ids.popleft())
                if view is not None and view.final:
                    self._waiting.append(record_line(view))
                else:
                    self._lost += 1
        return bool(self._waiting)

    def _say_it_is_written(self) -> None:
        if (self._unwritable or self._lost) and not self.waiting:
            self._unwritable = False
            self.log.info("records_writable: all message records are written; {dropped} lines are lost",
                          dropped=self._lost)  # fmt: skip
            self._lost = 0

    def _failed(self, problem: OSError) -> None:
        if not self._unwritable:
            self._unwritable = True
            self.log.error(
                "records_unwritable: {path}: {reason}; tried again every second", path=self._file.path,
                reason=str(problem),
            )  # fmt: skip


async def _missing(store: StoreQueries, account: str, known: KnownLines, since: float) -> Sequence[tuple[int, bytes]]:
    """The account's ended messages that have no line in the file, with their places in the feed.

    :param since: in seconds since 1970; of what ended before it, only what follows a message with a line is missing.
    """
    missing: list[tuple[int, bytes]] = []
    earlier: list[tuple[int, bytes]] = []
    has_lines = False
    cursor = 0
    while entries := await store.feed(account, cursor, _FEED_PAGE):
        cursor = entries[-1].cursor
        for entry in entries:
            if id_text(entry.id) in known.ids:
                has_lines = True
                earlier.clear()
            else:
                (missing if entry.at >= since else earlier).append((entry.cursor, entry.id))
    return missing + earlier if has_lines else missing

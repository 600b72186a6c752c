"""Writes message records: one line of JSON for each message that has ended, for billing and disputes.

Theory of operation: the flow passes the messages that a batch ended, after their end is durable in the journal. Their
lines wait in memory. One thread appends them to the file, one write at a time, and syncs as the journal does: with
`sync: always` after each write, with `interval` once a second; with `never`, the kernel decides. If the file can't be
written (full disk), the lines wait, and the relay tries again every second. If too many lines wait, only the ids of
further messages wait. Their lines are made later, from the messages that the store still knows. So the file has the
lines in the order in which the messages ended, and at any moment it lacks only the latest lines.

If the process is killed, these latest lines are not written. So a start compares the end of the file with the store's
feeds. In the feed of an account, all messages after the last one with a line lack theirs. If the end of the file has no
line of an account, the start compares times. Two batches that end at about the same time may be written in either
order. So the start checks each message that ended in the last minute of the file.

The first start with message records makes an empty file before any message can end. If a later start finds an empty
file, all messages that ended since the file was made need a line. If a start finds no file, message records have just
been switched on: they begin now, and messages that ended before get no line.
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
from relay.values.message_view import MessageView

#: Lines that may wait for the disk. If there are more, only the ids of further messages wait.
_MOST_WAITING = 200_000
#: Ids that may wait. If there are more, the oldest are lost; the store has forgotten their messages long before.
_MOST_WAITING_IDS = 2_000_000
#: Lines in one write.
_LINES_A_WRITE = 5_000
#: Messages that are looked up between two writes. This takes some milliseconds of the reactor's thread.
_LOOK_UPS_A_WRITE = 500
_PAUSE_SECONDS = 1.0
#: A start reads this much of the file's end.
_TAIL_BYTES = 8 << 20
#: No line is longer than this. If a start reads less than `_TAIL_BYTES` minus this, it has read the whole file.
_LONGEST_LINE_BYTES = 256 << 10
#: The file may have the lines of two batches in either order if the batches ended within this time.
_LOOK_BACK_SECONDS = 60.0
_FEED_PAGE = 1_000

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


class MessageRecords:
    """Writes the message records without a history. Only the reactor thread may call it.

    :param sync: the journal's setting `sync`.
    :param in_thread: runs a function in a thread.
    :param most_waiting: lines that may wait while the file can't be written. If there are more, only ids wait.
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
        #: Messages that ended later than all those in `_waiting`. The store has the data for their lines.
        self._waiting_ids: deque[bytes] = deque(maxlen=_MOST_WAITING_IDS)
        self._store: StoreQueries | None = None
        self._writing = False
        self._timer: IDelayedCall | None = None
        self._tasks = Tasks(self.log)
        self._unwritable = False
        self._stopping = False
        self._lost = 0

    async def start(self, store: StoreQueries, accounts: Iterable[str]) -> int:
        """Writes the lines that the last run could not write. Returns their number.

        Await it before any message can end.
        """
        self._store = store
        tail, changed_at = await self._in_thread(lambda: (self._file.tail(_TAIL_BYTES), self._file.changed_at()))
        known = known_lines(tail)
        # Without a readable line, we use the file's time: then the file was made, or its only (torn) line was written.
        since = (known.latest or changed_at or 0.0) - _LOOK_BACK_SECONDS
        if len(tail) > _TAIL_BYTES - _LONGEST_LINE_BYTES:
            # We have read only the end of the file. Lines of messages that ended earlier may stand before it.
            since = max(since, known.earliest)
        if changed_at is None:
            # If we stop here, then there is no file, and no message has ended that needs a line.
            await self._begin()
        if not known.latest and changed_at is None:
            return 0
        missing: list[tuple[int, bytes]] = []
        for account in accounts:
            missing += await _missing(store, account, known, since)
        # Write them in the order in which they ended. If the process is killed in between, the next start can find the
        # missing lines.
        self._later([message_id for _, message_id in sorted(missing)])
        if missing:
            self._write_soon()
        return len(missing)

    async def _begin(self) -> None:
        """Makes the file. If that fails, the first append makes it."""
        begin = partial(self._file.begin, self._clock.seconds(), sync=self._sync != "never")
        try:
            await self._in_thread(begin)
        except OSError as problem:
            self._failed(problem)

    def add(self, ended: Sequence[MessageView]) -> None:
        """Queues the lines of messages that have ended, and returns at once. Pass each message only once."""
        room = 0 if self._waiting_ids else max(0, self._most_waiting - len(self._waiting))
        self._waiting.extend([record_line(view) for view in ended[:room]])
        self._later([view.id for view in ended[room:]])
        self._write_soon()

    def _later(self, ids: Sequence[bytes]) -> None:
        self._lost += max(0, len(self._waiting_ids) + len(ids) - _MOST_WAITING_IDS)
        self._waiting_ids.extend(ids)

    @property
    def waiting(self) -> int:
        """The number of lines that are not written yet."""
        return len(self._waiting) + len(self._waiting_ids)

    async def stop(self) -> None:
        """Writes the waiting lines if the file can be written, and closes the file."""
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
        """Returns true if there are lines to write now. If only ids wait, it makes the lines of the first ones."""
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
    """Returns the account's ended messages that have no line in the file, with their places in the feed.

    :param since: in seconds since 1970. A message that ended earlier counts only if it comes after a message with a
        line in the feed.
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

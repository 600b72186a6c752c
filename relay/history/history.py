"""Runs the history as a service: once a second, its thread reads the new records of the journal.

Theory of operation: no message waits for the history, because the history reads the journal's files after the commit.
While the history can't write (full disk, damaged file), the journal's compaction waits for it, up to a limit. Beyond
the limit, compaction deletes records that the history hasn't read; the relay logs and counts them.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.history.history_schema import Cursor, NewerHistory
from relay.history.history_writer import Reached
from relay.history.journal_tail import Length
from relay.runtime.tasks import Tasks

#: Time between two reads of the journal. A search finds a message about this long after its acceptance.
PAUSE_SECONDS: Final = 1.0
#: Octets of the journal that may wait for the history. If there are more, compaction doesn't wait for it.
MOST_WAITING_BYTES: Final = 1 << 30
#: How long compaction waits for a history that makes no progress.
MOST_WAITING_SECONDS: Final = 600.0
#: A batch takes less than this, also when it builds the indexes of a large segment.
_LONGEST_BATCH_SECONDS: Final = 120.0
#: How long a stop waits for a batch that is under way.
_STOP_SECONDS: Final = 20.0
_EVERYTHING: Final = 1 << 62

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


class Writer(Protocol):
    """The part of `HistoryWriter` that the service calls, in the thread."""

    def open(self, lengths: Sequence[Length]) -> None:
        """Opens the database."""

    def catch_up(self, lengths: Sequence[Length], now: float) -> Reached:
        """Reads the journal from the cursor on, and writes its records to the database."""

    def interrupt(self) -> None:
        """Ends a statement that hangs. Any thread may call it."""

    def close(self) -> None:
        """Closes the database."""


class History:
    """Keeps the history up to date with the journal. Only the reactor thread may call it.

    :param lengths: returns the durable length of each journal segment.
    :param in_thread: runs a function in the history's thread.
    """

    log = Logger()

    def __init__(
        self, writer: Writer, lengths: Callable[[], Sequence[Length]], clock: IReactorTime, in_thread: InThread
    ) -> None:
        self._writer = writer
        self._lengths = lengths
        self._clock = clock
        self._in_thread = in_thread
        self._tasks = Tasks(self.log)
        self._timer: IDelayedCall | None = None
        self._cursor = Cursor(0, 0)
        self._moved_at = 0.0
        self._open = False
        self._stopping = False
        #: The reason why the history can't be written now; empty if it can be written.
        self.reason = ""
        #: As `Reached.lacking_bytes`.
        self.lacking_bytes = 0

    async def start(self) -> None:
        """Opens the database and begins to read the journal.

        Await it after the store has started, and before the relay accepts anything. If the database can't be opened,
        this method logs the reason, and the service tries again every second.
        """
        self._moved_at = self._clock.seconds()
        await self._try_to_open()
        self._timer = self._clock.callLater(0.0, self._woken)

    async def _try_to_open(self) -> None:
        lengths = self._lengths()
        try:
            await self._in_thread(lambda: self._writer.open(lengths))
        except (OSError, sqlite3.Error, NewerHistory) as problem:
            self._failed(problem)
        else:
            self._open = True

    def needed_from(self) -> int:
        """Tells compaction the number of the first journal segment that the history still has to read.

        If the history is too far behind, the result is a number above all segments, so compaction may delete them all.
        """
        stalled = self._clock.seconds() - self._moved_at > MOST_WAITING_SECONDS
        return _EVERYTHING if stalled or self.behind_bytes > MOST_WAITING_BYTES else self._cursor.sequence

    @property
    def behind_bytes(self) -> int:
        """Octets of the journal that the history still has to read."""
        behind = sum(size for sequence, size in self._lengths() if sequence >= self._cursor.sequence)
        return max(0, behind - self._cursor.offset)

    def _woken(self) -> None:
        self._timer = None
        self._tasks.start(self._catch_up())

    async def _catch_up(self) -> None:
        pause = PAUSE_SECONDS
        if not self._open:
            await self._try_to_open()
        if self._open and await self._read_on():
            pause = 0.0
        if not self._stopping:
            self._timer = self._clock.callLater(pause, self._woken)

    async def _read_on(self) -> bool:
        """Reads the next records of the journal. Returns true if more records are ready."""
        lengths, now = self._lengths(), self._clock.seconds()
        # A database server that stops without a word would hold the thread for ever.
        watch = self._clock.callLater(_LONGEST_BATCH_SECONDS, self._writer.interrupt)
        try:
            reached: Reached = await self._in_thread(lambda: self._writer.catch_up(lengths, now))
        except (OSError, sqlite3.Error) as problem:
            self._failed(problem)
            return False
        except Exception as problem:
            if not self.reason:
                self.log.failure("history_failed: an error in the relay itself while it wrote the history")
            self._failed(problem)
            return False
        finally:
            if watch.active():
                watch.cancel()
        if reached.cursor != self._cursor or not reached.more:
            self._cursor, self._moved_at = reached.cursor, self._clock.seconds()
        self.lacking_bytes = reached.lacking_bytes
        if self.reason:
            self.reason = ""
            self.log.info("history_writable: the history is written again")
        return reached.more

    def _failed(self, problem: Exception) -> None:
        if not self.reason:
            self.log.error(
                "history_unwritable: {reason}; tried again every second. Messages go their way meanwhile",
                reason=str(problem),
            )
        self.reason = str(problem)

    async def stop(self) -> None:
        """Reads the rest of the journal and closes the database.

        Call it when nothing writes to the journal any more. A second call does nothing.
        """
        if self._stopping:
            return
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        watch = self._clock.callLater(_STOP_SECONDS, self._writer.interrupt)
        await self._tasks.wait()
        if watch.active():
            watch.cancel()
        if self._open:
            while not self.reason and await self._read_on():
                pass
            self._open = False
            await self._in_thread(self._writer.close)

"""The history as a service: once a second its thread reads what the journal has got since.

Theory of operation: nothing on a message's way waits for the history. It reads the journal's files, behind the commit.
While it can't write (a full disk, a damaged file) the journal's compaction waits for it, but not beyond a bound; what
is deleted unread is logged and counted.
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

#: How often the journal is looked at; a message is found so long after it was accepted, at the latest.
PAUSE_SECONDS: Final = 1.0
#: Octets of the journal that may wait for the history. Beyond it compaction waits no longer.
MOST_WAITING_BYTES: Final = 1 << 30
#: How long compaction waits for a history that doesn't get on.
MOST_WAITING_SECONDS: Final = 600.0
_EVERYTHING: Final = 1 << 62

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


class Writer(Protocol):
    """The part of `HistoryWriter` that the service calls, in the thread."""

    def open(self, lengths: Sequence[Length]) -> None:
        """Opens the database."""

    def catch_up(self, lengths: Sequence[Length], now: float) -> Reached:
        """Reads on."""

    def close(self) -> None:
        """Closes the database."""


class History:
    """Keeps the history up with the journal. Only the reactor thread may call.

    :param lengths: gives the journal's segments, as far as they are durable.
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
        #: Why it can't be written now; empty when it can.
        self.reason = ""

    async def start(self) -> None:
        """Opens the database and begins to read. To be awaited after the store's start, before anything is accepted.
        Where it can't be opened that is logged and tried again."""
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
        """The number of the first journal segment that the history still has to read, for compaction. Where it is too
        far behind it needs none."""
        behind = sum(size for sequence, size in self._lengths() if sequence >= self._cursor.sequence)
        stalled = self._clock.seconds() - self._moved_at > MOST_WAITING_SECONDS
        return _EVERYTHING if stalled or behind > MOST_WAITING_BYTES + self._cursor.offset else self._cursor.sequence

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
        """Reads on; gives whether there is more to be read at once."""
        lengths, now = self._lengths(), self._clock.seconds()
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
        if reached.cursor != self._cursor or not reached.more:
            self._cursor, self._moved_at = reached.cursor, self._clock.seconds()
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
        """Reads what there is and closes. To be called when nothing changes the journal any more; a second call does
        nothing."""
        if self._stopping:
            return
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._tasks.wait()
        if self._open:
            while not self.reason and await self._read_on():
                pass
            self._open = False
            await self._in_thread(self._writer.close)

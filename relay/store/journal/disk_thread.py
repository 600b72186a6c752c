"""One thread for the disk.

Theory of operation: work is put in a queue and done in its order; results come back through the reactor. A thread pool
does the same for twice the processor time (measured: 90 µs a call, against 45 µs), which is paid for every commit.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from relay.store.journal.files import Files

T = TypeVar("T")
#: Runs a function in a thread and gives its result on the reactor thread.
InThread = Callable[[Callable[[], T]], "Deferred[T]"]
_Work = tuple[Callable[[], Any], "Deferred[Any]"] | None


class JournalDisk(NamedTuple):
    """Where the journal is, and how it is reached.

    :ivar directory: holds the segments.
    :ivar in_thread: makes one call on `files` at a time, away from the reactor.
    :ivar in_place: whether the data directory is still where this process locked it; called in the thread.
    """

    files: Files
    directory: str
    in_thread: InThread[Any]
    in_place: Callable[[], bool] = lambda: True


class DiskThread:
    """Call it with a function: the Deferred fires on the reactor thread with what the function gave or raised.

    The thread is started by the first call, so that a process may fork before. Only the reactor thread may call.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str = "journal") -> None:
        self._reactor = reactor
        self._name = name
        self._queue: SimpleQueue[_Work] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __call__(self, work: Callable[[], T]) -> "Deferred[T]":
        if self._thread is None:
            # A daemon thread: a process that ends without `stop` must not wait for a disk that hangs.
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        done: Deferred[T] = Deferred()
        self._queue.put((work, done))
        return done

    def stop(self) -> None:
        """Ends the thread when it has done what it was given; waits for it. A second call does nothing."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _run(self) -> None:
        call = self._reactor.callFromThread
        take = self._queue.get
        while (entry := take()) is not None:
            work, done = entry
            try:
                result = work()
            except BaseException:
                call(done.errback, Failure())
            else:
                call(done.callback, result)
            # Or the last commit's octets would stay in memory until the next.
            del entry, work, done

"""Runs coroutines that nobody awaits.

If nobody keeps the Deferred of a coroutine, its failure is reported late or never. So each service starts such
coroutines with `Tasks`, which logs failures at once, and lets a stop wait for the coroutines.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure


class Tasks:
    """Runs the coroutines of one service, and keeps them until they end.

    :param failed: gets the failure of a coroutine; None: it is logged as `task_failed`.
    """

    def __init__(self, log: Logger, failed: Callable[[Failure], None] | None = None) -> None:
        self._log = log
        self._failed = failed or self._log_failure
        self._running: set[_Running] = set()

    def start(self, begun: Coroutine[Deferred[Any], Any, Any]) -> None:
        """Runs a coroutine to its end. A failure is logged and ends this coroutine only."""
        # A coroutine that never has to wait, which is common, is not kept (1 us).
        try:
            awaited = begun.send(None)
        except StopIteration:
            return
        except Exception:
            self._failed(Failure())
            return
        running = _Running(begun, self._ended)
        self._running.add(running)
        running.wait_for(awaited)

    def _ended(self, running: "_Running", failure: Failure | None) -> None:
        self._running.discard(running)
        if failure is not None and not failure.check(CancelledError):
            self._failed(failure)

    def _log_failure(self, failure: Failure) -> None:
        self._log.failure("task_failed: an operation failed unexpectedly", failure=failure)

    async def wait(self) -> None:
        """Returns when all coroutines have ended."""
        if self._running:
            await DeferredList([running.ends() for running in self._running])

    async def cancel(self) -> None:
        """Cancels all coroutines, and returns when they have ended."""
        for running in tuple(self._running):
            running.cancel()
        await self.wait()


class _Running:
    """A coroutine that has begun, and waits for a Deferred.

    `Deferred.fromCoroutine` does the same, with a Deferred and a copy of the context variables for each coroutine. That
    takes three times as long (a webhook and an HTTP request have one coroutine each).

    :param ended: called with the failure of the coroutine, or with None.
    """

    __slots__ = ("_awaited", "_coroutine", "_ended", "_waiting")

    def __init__(
        self, coroutine: Coroutine[Deferred[Any], Any, Any], ended: Callable[["_Running", Failure | None], None]
    ) -> None:
        self._coroutine = coroutine
        self._ended = ended
        self._waiting: list[Deferred[None]] = []
        self._awaited: Deferred[Any]

    def wait_for(self, awaited: "Deferred[Any]") -> None:
        """Goes on with the coroutine when the Deferred that it awaits has fired."""
        self._awaited = awaited
        awaited.addBoth(self._go_on)

    def _go_on(self, result: Any) -> None:
        try:
            if isinstance(result, Failure):
                awaited = result.throwExceptionIntoGenerator(self._coroutine)
            else:
                awaited = self._coroutine.send(result)
        except StopIteration:
            self._end(None)
        except BaseException:
            self._end(Failure())
        else:
            self.wait_for(awaited)

    def _end(self, failure: Failure | None) -> None:
        self._ended(self, failure)
        for waiting in self._waiting:
            waiting.callback(None)

    def cancel(self) -> None:
        """Cancels the Deferred that the coroutine awaits."""
        self._awaited.cancel()

    def ends(self) -> "Deferred[None]":
        """Fires when the coroutine has ended."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting


class Drain:
    """Lets a stop wait until the last outstanding response has come, or the time is over.

    :param outstanding: returns the number of outstanding responses.
    """

    def __init__(self, outstanding: Callable[[], int], clock: IReactorTime) -> None:
        self._outstanding = outstanding
        self._clock = clock
        self._drained: Deferred[None] | None = None

    async def wait(self, limit_seconds: float) -> None:
        """Returns when no response is outstanding, after `limit_seconds` at the latest. Call it once only."""
        if self._outstanding():
            self._drained = Deferred()
            self._drained.addTimeout(limit_seconds, self._clock, lambda result, seconds: None)
            await self._drained

    def check(self) -> None:
        """Call it after each response that has come or was given up. It takes almost no time while nobody waits."""
        if self._drained is not None and not self._drained.called and not self._outstanding():
            self._drained.callback(None)

"""Runs coroutines that nobody awaits.

If nobody keeps the Deferred of a coroutine, its failure is reported late or never. So each service starts such
coroutines with `Tasks`, which logs failures at once, and lets a stop wait for the coroutines.
"""

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure


class Tasks:
    """Runs the coroutines of one service, and keeps them until they end."""

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._running: set[Deferred[Any]] = set()

    def start(self, begun: Coroutine[Deferred[Any], Any, Any]) -> None:
        """Runs a coroutine to its end. A failure is logged and ends this coroutine only."""
        # A coroutine that never has to wait, which is common, needs no Deferred (5 us).
        try:
            awaited = begun.send(None)
        except StopIteration:
            return
        except Exception:
            self._failed(Failure())
            return
        running = Deferred.fromCoroutine(_going_on(begun, awaited))
        self._running.add(running)
        running.addBoth(self._ended, running)

    def _ended(self, result: object, running: "Deferred[Any]") -> None:
        self._running.discard(running)
        if isinstance(result, Failure):
            self._failed(result)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("task_failed: an operation failed unexpectedly", failure=failure)

    async def wait(self) -> None:
        """Returns when all coroutines have ended."""
        if self._running:
            await DeferredList([_ends_with(running) for running in self._running])

    async def cancel(self) -> None:
        """Cancels all coroutines, and returns when they have ended."""
        for running in tuple(self._running):
            running.cancel()
        await self.wait()


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


def _ends_with(running: "Deferred[Any]") -> "Deferred[None]":
    ended: Deferred[None] = Deferred()

    def pass_on(result: object) -> object:
        ended.callback(None)
        return result

    running.addBoth(pass_on)
    return ended


@coroutine
def _going_on(begun: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    """The rest of a coroutine that has been begun and waits for something."""
    while True:
        step: Callable[[Any], Any] = begun.send
        try:
            value = yield awaited
        except BaseException as problem:
            step, value = begun.throw, problem
        try:
            awaited = step(value)
        except StopIteration as end:
            return end.value

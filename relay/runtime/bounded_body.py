"""Reading the body of an answer from a server that may be wrong or ill-willed: up to a size, and cancellable."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss


class BodyTooLarge(Exception):
    """The body is larger than what was allowed; the connection is closed."""


def read_body(response: Any, limit_bytes: int) -> "Deferred[bytes]":
    """The whole body of a treq response that nobody has read yet. Cancelling it closes the connection.

    :raises BodyTooLarge: through the Deferred, as whatever ended the connection before the body was whole.
    """
    reader = _Reader(limit_bytes)
    response.deliverBody(reader)
    return reader.read


class _Reader(Protocol):
    def __init__(self, limit_bytes: int) -> None:
        self.read: Deferred[bytes] = Deferred(lambda read: self._end(CancelledError()))
        self._room_bytes = limit_bytes
        self._pieces: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self._room_bytes -= len(data)
        if self._room_bytes < 0:
            self._end(BodyTooLarge("an answer larger than any that it should give"))
        else:
            self._pieces.append(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.read.called:
            return
        # PotentialDataLoss: an answer without a length, which ends where the connection does.
        if reason is None or reason.check(ResponseDone, PotentialDataLoss):
            self.read.callback(b"".join(self._pieces))
        else:
            # Half an answer could be a whole one to a shorter question.
            self.read.errback(reason)

    def _end(self, problem: Exception) -> None:
        self._pieces.clear()
        transport = self.transport
        if transport is not None:
            transport.loseConnection()
        if not self.read.called:
            self.read.errback(problem)

"""Reads the body of an HTTP response up to a size, because the server may be faulty or malicious."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss


class BodyTooLarge(Exception):
    """The body is larger than allowed; the connection is closed."""


def read_body(response: Any, limit_bytes: int) -> "Deferred[bytes]":
    """Reads the whole body of a treq response. If the Deferred is cancelled, the connection is closed.

    :raises BodyTooLarge: through the Deferred. If the connection ends too early, its error comes the same way.
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
            self._end(BodyTooLarge("the body of the response is larger than allowed"))
        else:
            self._pieces.append(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.read.called:
            return
        # PotentialDataLoss: the response has no length, and ends where the connection ends.
        if reason is None or reason.check(ResponseDone, PotentialDataLoss):
            self.read.callback(b"".join(self._pieces))
        else:
            # Half of a body may look like a whole one.
            self.read.errback(reason)

    def _end(self, problem: Exception) -> None:
        self._pieces.clear()
        transport = self.transport
        if transport is not None:
            transport.loseConnection()
        if not self.read.called:
            self.read.errback(problem)

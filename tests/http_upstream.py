"""A web client for tests: it keeps each request until the test answers it."""

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers


class Response:
    """A treq response. `body` None: it never ends."""

    def __init__(self, code: int, body: bytes | None = b"", **headers: str) -> None:
        self.code = code
        self.headers = Headers({name.replace("_", "-"): [value] for name, value in headers.items()})
        self.closed = False
        self._body = body

    def deliverBody(self, protocol: Any) -> None:
        protocol.makeConnection(self)
        if self._body is None:
            return
        for start in range(0, len(self._body), 65536):
            if not self.closed:
                protocol.dataReceived(self._body[start : start + 65536])
        protocol.connectionLost(Failure(ResponseDone()))

    def loseConnection(self) -> None:
        self.closed = True


class QueryOutcome:
    """One request that the session made; `answer` or `fail` it."""

    def __init__(self, method: str, url: bytes, headers: Any, data: bytes | None, options: dict[str, Any]) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.data = data
        self.options = options
        self.cancelled = False
        self.done: Deferred[Any] = Deferred(lambda _: setattr(self, "cancelled", True))

    @property
    def items(self) -> list[Any]:
        """What is in a POST's array."""
        return list(json.loads(self.data or b"[]"))

    def answer(self, code: int, body: object = b"", **headers: str) -> None:
        octets = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.done.callback(Response(code, octets, **headers))

    def take(self) -> None:
        """Every item is taken, under its own name (the item itself, or its key)."""
        names = [item if isinstance(item, str) else item["idempotency_key"] for item in self.items]
        self.answer(202, [{"id": f"id-{name}"} for name in names])


class Upstream:
    """The web client: keeps what is asked until the test answers, or answers as `at_once` says."""

    def __init__(self) -> None:
        self.asked: deque[QueryOutcome] = deque()
        self.at_once: Callable[[QueryOutcome], Any] | None = None

    def request(self, method: str, url: bytes, *, headers: Any, data: bytes | None, **options: Any) -> Any:
        asked = QueryOutcome(method, url, headers, data, options)
        if self.at_once is not None:
            result = self.at_once(asked)
            if isinstance(result, Exception):
                return fail(result)
            if result is not None:
                return succeed(result)
        self.asked.append(asked)
        return asked.done

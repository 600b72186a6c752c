"""A decision service in the test's hands."""

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from relay.config.route_config import Decisions
from relay.config.service_urls import ServiceUrl
from relay.decisions.decision_client import ServiceFailed
from relay.decisions.decision_service import DecisionService


class HandService:
    """Keeps each request until the test answers it.

    :ivar asked: the messages of each request that waits, oldest first, and its Deferred.
    :ivar urls: where each request went.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[list[dict[str, Any]], Deferred[bytes]]] = []
        self.urls: list[bytes] = []
        self.timeouts: list[float] = []

    def post(self, url: ServiceUrl, body: bytes, timeout_seconds: float) -> Deferred[bytes]:
        answer: Deferred[bytes] = Deferred()
        self.asked.append((msgspec.json.decode(body)["messages"], answer))
        self.urls.append(url.url.plain)
        self.timeouts.append(timeout_seconds)
        return answer

    def numbers(self) -> list[list[str]]:
        """The numbers in each request that waits."""
        return [[message["to"] for message in messages] for messages, _ in self.asked]

    def answer(
        self, decide: Callable[[dict[str, Any]], dict[str, Any]] = lambda message: {}, *, place: int = 0
    ) -> None:
        """Answers the request at this place of those that wait."""
        messages, answer = self.asked.pop(place)
        answer.callback(msgspec.json.encode({"decisions": [decide(message) for message in messages]}))

    def fail(self, reason: str = "timeout", *, place: int = 0) -> None:
        """Fails the request at this place of those that wait."""
        _, answer = self.asked.pop(place)
        answer.errback(ServiceFailed(reason))


def service_in_hand(clock: Clock, **settings: Any) -> tuple[DecisionService, HandService]:
    """A decision service's client, and the service behind it."""
    hand = HandService()
    wanted = Decisions(**({"url": "http://127.0.0.1:8900/decide"} | settings))
    return DecisionService(wanted, hand, clock), hand  # type: ignore[arg-type]

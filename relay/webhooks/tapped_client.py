"""Gives an operator's trace a copy of the requests that go to an account's URLs, and of what became of them."""

from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from relay.config.tls_config import NotificationTls
from relay.values.wire_tap import WireTap
from relay.webhooks.answer import Answer


class Client(Protocol):
    """Sends a request: the interface of `relay.webhooks.webhook_client.WebhookClient`.

    It never raises an exception because of the receiver.
    """

    async def send(
        self,
        url: str,
        headers: dict[bytes, list[bytes]],
        body: bytes | None,
        *,
        allow_private: bool,
        method: str = "POST",
        tls: NotificationTls | None = None,
    ) -> Answer:
        """Sends one request, and returns its answer or its failure within a time limit."""


class TappedClient:
    """Sends requests with another client, and gives `tap` a copy of each."""

    def __init__(self, client: Client, tap: WireTap, clock: IReactorTime) -> None:
        self._client = client
        self._tap = tap
        self._clock = clock

    async def send(
        self,
        url: str,
        headers: dict[bytes, list[bytes]],
        body: bytes | None,
        *,
        allow_private: bool,
        method: str = "POST",
        tls: NotificationTls | None = None,
    ) -> Answer:
        """Sends one request, see `Client.send`."""
        name, began_at = self._tap.request(method, url, headers, body), self._clock.seconds()
        outcome = "the request was cancelled"
        try:
            answer = await self._client.send(url, headers, body, allow_private=allow_private, method=method, tls=tls)
            outcome = f"{answer.text}, {len(answer.body)} octets" if answer.code else answer.text
            return answer
        finally:
            self._tap.answer(name, outcome, self._clock.seconds() - began_at)

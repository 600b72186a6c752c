"""Sends requests to the decision service over HTTP, by TCP or a unix socket."""

from typing import Any, Final, Protocol

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred

from relay.config.service_urls import ServiceUrl
from relay.runtime.bounded_body import BodyTooLarge, read_body
from relay.webhooks.connections import ReadyHeaders, common_headers
from relay.webhooks.socket_client import socket_client
from relay.webhooks.webhook_client import reason_of

#: The longest answer: about 200 octets for each decision of the largest request.
ANSWER_BYTES: Final = 200_000


class ServiceFailed(Exception):
    """The decision service gave no answer that can be used. The text says why."""


class DecisionPoster(Protocol):
    """Sends requests to the decision service."""

    async def post(self, url: ServiceUrl, body: bytes, timeout_seconds: float) -> bytes:
        """Returns the body of the answer.

        :raises ServiceFailed: no answer came in time, or one that isn't 200.
        """


class DecisionClient:
    """Sends requests to the decision service. It follows no redirects, and reads answers up to `ANSWER_BYTES`.

    :param http: a treq client that may reach private addresses.
    """

    def __init__(self, http: HTTPClient, reactor: Any) -> None:
        self._http = http
        self._reactor = reactor
        #: The client for the unix socket that was used last, and the socket's path.
        self._over_socket: tuple[str, HTTPClient] | None = None

    async def post(self, url: ServiceUrl, body: bytes, timeout_seconds: float) -> bytes:
        """See `DecisionPoster`."""
        asking = Deferred.fromCoroutine(self._exchange(url, body))
        try:
            status, content = await asking.addTimeout(timeout_seconds, self._reactor)
        except CancelledError:
            raise
        except BodyTooLarge:
            raise ServiceFailed(f"its answer has more than {ANSWER_BYTES} octets") from None
        except Exception as problem:
            raise ServiceFailed(reason_of(problem)) from None
        if status != 200:
            redirected = "; redirects are not followed" if 300 <= status < 400 else ""
            raise ServiceFailed(f"it answered {status}{redirected}")
        return content

    async def _exchange(self, url: ServiceUrl, body: bytes) -> tuple[int, bytes]:
        client = self._client_of(url.socket) if url.socket else self._http
        headers = common_headers(url.url)
        headers[b"Content-Type"] = [b"application/json"]
        response = await client.request(
            "POST",
            url.url.plain,
            headers=ReadyHeaders.of(headers),
            data=body,
            allow_redirects=False,
            unbuffered=True,
        )
        return response.code, await read_body(response, ANSWER_BYTES)

    def _client_of(self, path: str) -> HTTPClient:
        if self._over_socket is None or self._over_socket[0] != path:
            self._over_socket = (path, socket_client(self._reactor, path))
        return self._over_socket[1]

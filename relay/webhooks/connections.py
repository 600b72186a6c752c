"""Makes the treq clients for requests to URLs that customers chose, and the agent below them.

Clients that may reach private addresses have their own pool, so no other client can use their connections.
`relay.webhooks.checked_endpoints` makes the connections. `relay.webhooks.connection_pool` keeps them and reads the
answers.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IConsumer, IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.client import URI, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from relay.config.tls_config import NotificationTls
from relay.config.urls import WebUrl
from relay.runtime.direct_write import write_at_once
from relay.runtime.private_parts import ClientRequest, PoolAgent, TreqClient, set_headers
from relay.values.user_agent import USER_AGENT
from relay.values.work_gate import ALWAYS_OPEN, WorkGate
from relay.webhooks.answer import Answer
from relay.webhooks.checked_endpoints import CheckedEndpoints
from relay.webhooks.connection_pool import ConnectionPool, PooledConnection

_ORIGINS_REMEMBERED: Final = 1_000

#: How many clients with an account's TLS files the relay keeps.
_FILES_REMEMBERED: Final = 1_000

_USER_AGENT: Final = USER_AGENT.encode("ascii")


def common_headers(url: WebUrl, authorization: bytes = b"") -> dict[bytes, list[bytes]]:
    """Returns the first headers of every request, in the order in which curl sends them.

    Firewalls refuse requests without a User-Agent. Some firewalls also refuse requests with an unusual order of headers
    or without Accept.

    :param authorization: the value of the header Authorization; if it is empty, the URL's user and password make it.
    """
    headers = {b"Host": [url.authority]}
    authorization = authorization or url.authorization
    if authorization:
        headers[b"Authorization"] = [authorization]
    headers[b"User-Agent"] = [_USER_AGENT]
    headers[b"Accept"] = [b"*/*"]
    return headers


class RememberingAgent(PoolAgent):
    """Sends requests, and makes the endpoint of an origin only once: a new one for each request costs 100 µs."""

    pool: ConnectionPool

    def __init__(self, reactor: Any, factory: IAgentEndpointFactory, pool: ConnectionPool) -> None:
        super().__init__(reactor, pool=pool)
        self._factory = factory
        self._known: dict[bytes, tuple[tuple[bytes, bytes, int], IStreamClientEndpoint]] = {}

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> "Deferred[IResponse]":
        return self._request(method, uri, headers, bodyProducer, self.pool.getConnection)

    def request_on_new(
        self, method: bytes, uri: bytes, headers: Headers | None, bodyProducer: IBodyProducer | None
    ) -> "Deferred[IResponse]":
        """Sends a request over a new connection, also if others are idle."""
        return self._request(method, uri, headers, bodyProducer, self.pool.connect)

    def _request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None,
        body: IBodyProducer | None,
        connect: Callable[[Any, IStreamClientEndpoint], "Deferred[Any]"],
    ) -> "Deferred[IResponse]":
        key, endpoint, target = self._split(uri)
        request = OneWrite(method, target, headers, body, persistent=True)
        return connect(key, endpoint).addCallback(self._ask, key, endpoint, request)

    def request_on_idle(
        self, method: bytes, uri: bytes, headers: dict[bytes, list[bytes]], body: bytes | None
    ) -> "Deferred[Answer | IResponse | None] | None":
        """Sends a request over an idle connection, see `PooledConnection.ask`. None: no connection is idle."""
        key, _, target = self._split(uri)
        connection = self.pool.take_idle(key)
        if connection is None:
            return None
        return connection.ask(request_octets(method, target, headers.items(), body), method, self.pool, key)

    def _split(self, uri: bytes) -> tuple[Any, IStreamClientEndpoint, bytes]:
        """Returns a URL's key in the pool, its endpoint, and the target of its requests."""
        # The URLs come from `parse_url`: each has a path, and none has a fragment.
        slash = uri.index(b"/", 8)
        origin, target = uri[:slash], uri[slash:]
        known = self._known.get(origin)
        if known is None:
            parsed = URI.fromBytes(origin + b"/")
            if len(self._known) >= _ORIGINS_REMEMBERED:
                del self._known[next(iter(self._known))]
            endpoint = self._factory.endpointForURI(parsed)
            known = self._known[origin] = ((parsed.scheme, parsed.host, parsed.port), endpoint)
        return *known, target

    def _ask(
        self, connection: PooledConnection, key: Any, endpoint: IStreamClientEndpoint, request: "OneWrite"
    ) -> "Deferred[IResponse]":
        asking: Deferred[IResponse] = connection.request(request)
        if connection.relay_requests > 1:
            asking.addErrback(self._ask_again, connection, key, endpoint, request)
        return asking

    def _ask_again(
        self,
        failure: Failure,
        connection: PooledConnection,
        key: Any,
        endpoint: IStreamClientEndpoint,
        request: "OneWrite",
    ) -> "Failure | Deferred[IResponse]":
        """Sends a request again on a new connection if the server closed a kept connection without any answer.

        The server may have closed the kept connection just before the request came. If a server closes a new
        connection, it has seen the request; then the relay tries again only when the schedule says so.
        """
        problem: Any = failure.value
        if connection.relay_read or not isinstance(problem, ResponseNeverReceived):
            return failure
        if not any(reason.check(ConnectionClosed) for reason in problem.reasons):
            return failure
        connecting: Deferred[Any] = self.pool.connect(key, endpoint)
        return connecting.addCallback(self._ask, key, endpoint, request)


class HttpClients:
    """Keeps the treq clients for webhooks: for public addresses, for all addresses, and for an account's TLS files.

    Each client has its own pool, because clients have different rights and no client may use another's connection.

    :param policy: the policy for TLS without an account's files; if it is None, the relay trusts the system's
        authorities.
    :param gate: whether requests may be sent. It is asked when a new connection is there.
    :ivar public: the client for accounts that may reach public addresses only.
    :ivar any: the client for accounts that may reach all addresses, and for carriers.
    """

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS | None = None, gate: WorkGate = ALWAYS_OPEN) -> None:
        self._reactor = reactor
        self._gate = gate
        self._policy = policy
        self.public = self._made(False, None)
        self.any = self._made(True, None)
        self._with_files: dict[tuple[bool, NotificationTls], HTTPClient] = {}

    def __call__(self, allow_private: bool, files: NotificationTls | None) -> HTTPClient:
        """Returns the client for an account.

        :param files: the account's files for TLS. The client reads them at each connect, so it notices new files.
        """
        if files is None:
            return self.any if allow_private else self.public
        key = (allow_private, files)
        client = self._with_files.get(key)
        if client is None:
            if len(self._with_files) >= _FILES_REMEMBERED:
                # The pool of the oldest client closes its idle connections by itself.
                del self._with_files[next(iter(self._with_files))]
            client = self._with_files[key] = self._made(allow_private, files)
        return client

    def _made(self, allow_private: bool, files: NotificationTls | None) -> HTTPClient:
        endpoints = CheckedEndpoints(
            self._reactor, allow_private=allow_private, policy=self._policy, files=files, gate=self._gate
        )
        return PlainTreq(RememberingAgent(self._reactor, endpoints, ConnectionPool(self._reactor)))


# Faster parts for requests


class PlainTreq(TreqClient):
    """Sends requests through treq's interface, but without treq's optional layers.

    It keeps and sends no cookies, follows no redirects, and decompresses nothing (a small answer could fill the
    memory). The URL must already have the form that a request needs. treq spends half of its time in these layers (see
    docs/performance.md). Any treq client can replace this one, because the interface is the same.
    """

    def request(self, method: str, url: Any, **options: Any) -> Any:
        """Sends a request like `treq.client.HTTPClient.request`.

        It reads two options, `headers` (a `Headers`) and `data` (bytes), and ignores the others.
        """
        return self._sent(self.agent.request, method, url, options)

    def request_on_new(self, method: str, url: Any, **options: Any) -> Any:
        """Sends a request like `request`, but over a new connection, also if others are idle."""
        return self._sent(self.agent.request_on_new, method, url, options)

    def _sent(self, send: Callable[..., Any], method: str, url: Any, options: dict[str, Any]) -> Any:
        data = options.get("data")
        body = None if data is None else BytesBody(data)
        asked = send(method.encode("ascii"), url, options.get("headers"), body)
        return asked.addCallback(self.treq_response)

    def request_on_idle(
        self, method: str, url: bytes, headers: dict[bytes, list[bytes]], body: bytes | None
    ) -> "Deferred[Answer | IResponse | None] | None":
        """Sends a request without treq, over an idle connection. None: no connection is idle; call `request`.

        The Deferred fires with the answer, if it is plain; with the response, if it isn't; and with None if the server
        has closed the connection without any answer: then call `request_on_new`.
        """
        agent: RememberingAgent = self.agent
        return agent.request_on_idle(method.encode("ascii"), url, headers, body)


class ReadyHeaders(Headers):
    """Holds headers whose names are canonical already, so Twisted needn't check them: this saves 40 µs a request."""

    @classmethod
    def of(cls, headers: dict[bytes, list[bytes]]) -> Headers:
        """Makes headers of a dictionary without a check and without a copy.

        Names must be canonical, and values must have no line ends.
        """
        ready = cls.__new__(cls)
        set_headers(ready, headers)
        return ready


@implementer(IBodyProducer)
class BytesBody:
    """Writes a request body that is already in memory."""

    __slots__ = ("body", "length")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        consumer.write(self.body)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


class OneWrite(ClientRequest):
    """Writes a whole request in one call: Twisted's own way, through a producer, costs 70 µs more."""

    def writeTo(self, transport: Any) -> "Deferred[None]":
        producer = self.bodyProducer
        if not self.persistent or (producer is not None and type(producer) is not BytesBody):
            return super().writeTo(transport)  # type: ignore[no-any-return]
        body = None if producer is None else producer.body
        write_at_once(transport, request_octets(self.method, self.uri, self.headers.getAllRawHeaders(), body))
        return succeed(None)


def request_octets(
    method: bytes, target: bytes, headers: Iterable[tuple[bytes, Sequence[bytes]]], body: bytes | None
) -> bytes:
    """Returns the octets of a request."""
    parts = [b"%b %b HTTP/1.1" % (method, target)]
    for name, values in headers:
        for value in values:
            parts.append(b"%b: %b" % (name, value))
    if body is None:
        parts.append(b"Content-Length: 0\r\n\r\n" if method in (b"POST", b"PUT") else b"\r\n")
    else:
        parts.append(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    return b"\r\n".join(parts)

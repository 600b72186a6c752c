"""Requests to URLs that customers chose: the agent under treq, and what it writes.

Clients that may reach private addresses have a pool of their own, so that nobody else comes by one of their
connections. `relay.webhooks.checked_endpoints` makes the connections, `relay.webhooks.connection_pool` keeps them and
reads the answers.
"""

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

from relay.config.model import NotificationTls
from relay.config.urls import WebUrl
from relay.runtime.direct_write import write_at_once
from relay.runtime.private_parts import (
    ClientPool,
    ClientRequest,
    PoolAgent,
    TreqClient,
    set_headers,
)
from relay.values.user_agent import USER_AGENT
from relay.webhooks.checked_endpoints import CheckedEndpoints
from relay.webhooks.connection_pool import ConnectionPool, PooledConnection

_ORIGINS_REMEMBERED: Final = 1_000

#: Accounts with TLS files of their own whose clients are kept.
_FILES_REMEMBERED: Final = 1_000

_USER_AGENT: Final = USER_AGENT.encode("ascii")


def common_headers(url: WebUrl, authorization: bytes = b"") -> dict[bytes, list[bytes]]:
    """The headers that every request begins with, in the order in which curl sends them.

    Firewalls refuse requests without a User-Agent, and some take an unusual order or a missing Accept for a robot.

    :param authorization: the header's value; that of the URL's user and password where it is empty.
    """
    headers = {b"Host": [url.authority]}
    authorization = authorization or url.authorization
    if authorization:
        headers[b"Authorization"] = [authorization]
    headers[b"User-Agent"] = [_USER_AGENT]
    headers[b"Accept"] = [b"*/*"]
    return headers


class RememberingAgent(PoolAgent):
    """An agent that makes the endpoint of an origin once, not for every request (100 µs)."""

    def __init__(self, reactor: Any, factory: IAgentEndpointFactory, pool: ClientPool) -> None:
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
        # The URLs come from `parse_url`: there is a path, and no fragment.
        slash = uri.index(b"/", 8)
        origin, target = uri[:slash], uri[slash:]
        known = self._known.get(origin)
        if known is None:
            parsed = URI.fromBytes(origin + b"/")
            if len(self._known) >= _ORIGINS_REMEMBERED:
                del self._known[next(iter(self._known))]
            endpoint = self._factory.endpointForURI(parsed)
            known = self._known[origin] = ((parsed.scheme, parsed.host, parsed.port), endpoint)
        key, endpoint = known
        request = OneWrite(method, target, headers, bodyProducer, persistent=True)
        connecting: Deferred[Any] = self.pool.getConnection(key, endpoint)
        return connecting.addCallback(self._ask, key, endpoint, request)

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
        """Sends a request once more, on a fresh connection, if a kept one was closed without a word.

        The server may have closed it at the moment at which it was used again. One that closes a fresh connection has
        seen the request, and is left alone until the schedule says so.
        """
        problem: Any = failure.value
        if connection.relay_read or not isinstance(problem, ResponseNeverReceived):
            return failure
        if not any(reason.check(ConnectionClosed) for reason in problem.reasons):
            return failure
        connecting: Deferred[Any] = self.pool.connect(key, endpoint)
        return connecting.addCallback(self._ask, key, endpoint, request)


class HttpClients:
    """The treq clients for webhooks, each with a pool of its own: for public addresses, for any, and for TLS files.

    A connection is made for what one client may do, so no other client may come by it.

    :param policy: for TLS without files of an account; the system's certificates where it isn't given.
    :ivar public: for accounts that may reach public addresses only.
    :ivar any: for accounts that may reach all, and for carriers.
    """

    def __init__(self, reactor: Any, policy: IPolicyForHTTPS | None = None) -> None:
        self._reactor = reactor
        self._policy = policy
        self.public = self._made(False, None)
        self.any = self._made(True, None)
        self._with_files: dict[tuple[bool, NotificationTls], HTTPClient] = {}

    def __call__(self, allow_private: bool, files: NotificationTls | None) -> HTTPClient:
        """The client for an account.

        :param files: of the account, for TLS; they are read at each connect, so that new ones are used.
        """
        if files is None:
            return self.any if allow_private else self.public
        key = (allow_private, files)
        client = self._with_files.get(key)
        if client is None:
            if len(self._with_files) >= _FILES_REMEMBERED:
                # Its idle connections end by themselves.
                del self._with_files[next(iter(self._with_files))]
            client = self._with_files[key] = self._made(allow_private, files)
        return client

    def _made(self, allow_private: bool, files: NotificationTls | None) -> HTTPClient:
        endpoints = CheckedEndpoints(self._reactor, allow_private=allow_private, policy=self._policy, files=files)
        return PlainTreq(RememberingAgent(self._reactor, endpoints, ConnectionPool(self._reactor)))


# What makes a request cheap


class PlainTreq(TreqClient):
    """The treq client without its optional layers, for an agent that gives what it is asked for.

    No cookies are kept or sent, no redirects followed, nothing is unpacked (a small answer could be made to fill the
    memory) and the URL must be in the form of a request already. Half of what treq costs goes into those (see
    docs/performance.md); what is left is its interface, so that any treq client can stand in its place.
    """

    def request(self, method: str, url: Any, **options: Any) -> Any:
        """As `treq.client.HTTPClient.request`; of the options, `headers` (a `Headers`) and `data` (bytes) count."""
        data = options.get("data")
        body = None if data is None else BytesBody(data)
        asked = self.agent.request(method.encode("ascii"), url, options.get("headers"), body)
        return asked.addCallback(self.treq_response)


class ReadyHeaders(Headers):
    """Headers whose names are canonical already, so that nothing has to be looked at again (40 µs a request)."""

    @classmethod
    def of(cls, headers: dict[bytes, list[bytes]]) -> Headers:
        """Takes the dictionary as it is. Names must be canonical, values free of line ends."""
        ready = cls.__new__(cls)
        set_headers(ready, headers)
        return ready


@implementer(IBodyProducer)
class BytesBody:
    """A request body that is there already."""

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
    """A request that goes out in one write, instead of through a producer that is watched (70 µs)."""

    def writeTo(self, transport: Any) -> "Deferred[None]":
        producer = self.bodyProducer
        if not self.persistent or (producer is not None and type(producer) is not BytesBody):
            return super().writeTo(transport)  # type: ignore[no-any-return]
        parts = [b"%b %b HTTP/1.1" % (self.method, self.uri)]
        for name, values in self.headers.getAllRawHeaders():
            for value in values:
                parts.append(b"%b: %b" % (name, value))
        if producer is None:
            parts.append(b"Content-Length: 0\r\n\r\n" if self.method in (b"POST", b"PUT") else b"\r\n")
        else:
            parts.append(b"Content-Length: %d\r\n\r\n%b" % (producer.length, producer.body))
        write_at_once(transport, b"\r\n".join(parts))
        return succeed(None)

"""Connections to URLs that customers chose: the agent, the pool and the endpoints under treq.

The name is resolved, each address is checked, and the connection is made to an address that was checked: a name that
resolves to something else a moment later (DNS rebinding) wins nothing. Clients that may reach private addresses have
a pool of their own, so that nobody else comes by one of their connections.
"""

from collections.abc import Sequence
from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import (
    ConnectError,
    DNSLookupError,
)
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from relay.config.urls import address_problem
from relay.runtime.direct_write import write_at_once
from relay.runtime.private_parts import (
    ClientConnection,
    ClientFactory,
    ClientPool,
    ClientRequest,
    PoolAgent,
    TreqClient,
    set_headers,
)

CONNECT_SECONDS: Final = 5.0

#: An answer's header may not be larger than this (body included, as far as it is read).
ANSWER_BYTES: Final = 262_144

#: Idle connections kept to one host, and for how long. Most servers keep theirs for longer than this.
IDLE_CONNECTIONS: Final = 32
IDLE_SECONDS: Final = 45
SWEEP_SECONDS: Final = 5

_ORIGINS_REMEMBERED: Final = 1_000


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
        return self.pool.getConnection(key, endpoint).addCallback(_ask, request)


def _ask(connection: ClientConnection, request: "OneWrite") -> "Deferred[IResponse]":
    return connection.request(request)


class _BoundedHttpClient(ClientConnection):
    """Drops the connection when one answer grows out of all proportion."""

    relay_idle_since = 0.0
    _relay_read = 0

    def dataReceived(self, data: bytes) -> None:
        self._relay_read += len(data)
        if self._relay_read > ANSWER_BYTES:
            transport: Any = self.transport
            transport.abortConnection()
            return
        super().dataReceived(data)

    def request(self, request: Any) -> "Deferred[IResponse]":
        self._relay_read = 0
        return super().request(request)


class _BoundedHttpClientFactory(ClientFactory):
    protocol = _BoundedHttpClient


class _Pool(ClientPool):
    """Keeps idle connections, and looks through all of them now and then.

    Twisted's own has a delayed call for each time that a connection is put back (8 µs), and remembers every host for
    ever.
    """

    factory = _BoundedHttpClientFactory
    maxPersistentPerHost = IDLE_CONNECTIONS
    # A POST would not be repeated anyhow, and wrapping each connection for it costs.
    retryAutomatically = False

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self._expiry: IDelayedCall | None = None

    def getConnection(self, key: Any, endpoint: IStreamClientEndpoint) -> "Deferred[ClientConnection]":
        connections = self.idle.get(key)
        while connections:
            connection = connections.pop()
            if connection.state == "QUIESCENT":
                return succeed(connection)
        return self.connect(key, endpoint)

    def keep(self, key: Any, connection: "_BoundedHttpClient") -> None:
        connections = self.idle.setdefault(key, [])
        if len(connections) >= IDLE_CONNECTIONS:
            connections.pop(0).transport.loseConnection()
        connections.append(connection)
        connection.relay_idle_since = self.clock.seconds()
        if self._expiry is None:
            self._expiry = self.clock.callLater(SWEEP_SECONDS, self._end_idle)

    def _end_idle(self) -> None:
        self._expiry = None
        longest = self.clock.seconds() - IDLE_SECONDS
        for key, connections in list(self.idle.items()):
            kept = [c for c in connections if c.relay_idle_since > longest and c.state == "QUIESCENT"]
            for connection in connections:
                if connection not in kept:
                    connection.transport.loseConnection()
            if kept:
                self.idle[key] = kept
            else:
                del self.idle[key]
        if self.idle:
            self._expiry = self.clock.callLater(SWEEP_SECONDS, self._end_idle)

    def closeCachedConnections(self) -> "Deferred[None]":
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        closed: Deferred[None] = super().closeCachedConnections()
        return closed


def treq_clients(reactor: Any, policy: IPolicyForHTTPS | None = None) -> tuple[HTTPClient, HTTPClient]:
    """The two clients that a `WebhookClient` takes: for public addresses, and for any. Each has a pool of its own."""

    def client(allow_private: bool) -> HTTPClient:
        endpoints = CheckedEndpoints(reactor, allow_private=allow_private, policy=policy)
        agent = RememberingAgent(reactor, endpoints, _Pool(reactor))
        return PlainTreq(agent)

    return client(False), client(True)


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

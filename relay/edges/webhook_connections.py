"""Connections to URLs that customers chose: the agent, the pool and the endpoints under treq.

The name is resolved, each address is checked, and the connection is made to an address that was checked: a name that
resolves to something else a moment later (DNS rebinding) wins nothing. Clients that may reach private addresses have
a pool of their own, so that nobody else comes by one of their connections.
"""

from collections.abc import Sequence
from typing import Any, Final

from hyperlink import EncodedURL
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import (
    ConnectError,
    DNSLookupError,
)
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from twisted.web._newclient import (
    HTTP11ClientProtocol,
)
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from relay.core.urls import WebUrl, address_problem

CONNECT_SECONDS: Final = 5.0

#: An answer's header may not be larger than this (body included, as far as it is read).
ANSWER_BYTES: Final = 262_144

#: Idle connections kept to one host, and for how long. Most servers keep theirs for longer than this.
IDLE_CONNECTIONS: Final = 32
IDLE_SECONDS: Final = 45

_URLS_REMEMBERED: Final = 10_000


class AddressRefused(ConnectError):
    """A name resolved to addresses that this account may not reach."""

    def __init__(self, problem: str) -> None:
        super().__init__(string=problem)
        self.problem = problem


class RememberingAgent(Agent):
    """An agent that parses a URL and makes its endpoint once, not for every request (100 µs)."""

    def __init__(self, reactor: Any, factory: IAgentEndpointFactory, pool: HTTPConnectionPool) -> None:
        super().__init__(reactor, pool=pool)
        self._factory = factory
        self._known: dict[bytes, tuple[tuple[bytes, bytes, int], IStreamClientEndpoint, URI, bytes]] = {}

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> "Deferred[IResponse]":
        known = self._known.get(uri)
        if known is None:
            parsed = URI.fromBytes(uri)
            if len(self._known) >= _URLS_REMEMBERED:
                self._known.clear()
            endpoint = self._factory.endpointForURI(parsed)
            known = ((parsed.scheme, parsed.host, parsed.port), endpoint, parsed, parsed.originForm)
            self._known[uri] = known
        key, endpoint, parsed, target = known
        asked = self._requestWithEndpoint(key, endpoint, method, parsed, headers, bodyProducer, target)
        return asked.addCallback(_as_it_came)


def _as_it_came(response: IResponse) -> IResponse:
    """Hides the encoding of an answer's body from treq: a small answer could be made to fill the memory."""
    if response.headers.hasHeader(b"Content-Encoding"):
        response.headers.removeHeader(b"Content-Encoding")
    return response


class _BoundedHttpClient(HTTP11ClientProtocol):
    """Drops the connection when one answer grows out of all proportion."""

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


class _BoundedHttpClientFactory(_HTTP11ClientFactory):
    def buildProtocol(self, addr: IAddress | None) -> HTTP11ClientProtocol:
        return _BoundedHttpClient(self._quiescentCallback)


class _Pool(HTTPConnectionPool):
    _factory = _BoundedHttpClientFactory
    maxPersistentPerHost = IDLE_CONNECTIONS
    cachedConnectionTimeout = IDLE_SECONDS
    # A POST would not be repeated anyhow, and wrapping each connection for it costs.
    retryAutomatically = False


@implementer(IAgentEndpointFactory)
class CheckedEndpoints:
    """Makes endpoints that look at the addresses before they connect.

    :param allow_private: look at nothing.
    :param policy: for TLS; the system's certificates where it isn't given.
    """

    def __init__(self, reactor: Any, *, allow_private: bool, policy: IPolicyForHTTPS | None = None) -> None:
        self._reactor = reactor
        self._allow_private = allow_private
        self._policy = policy or BrowserLikePolicyForHTTPS()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        endpoint = _CheckedEndpoint(self._reactor, uri.host.decode("ascii"), uri.port, self._allow_private)
        if uri.scheme == b"https":
            return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return endpoint


@implementer(IStreamClientEndpoint)
class _CheckedEndpoint:
    def __init__(self, reactor: Any, host: str, port: int, allow_private: bool) -> None:
        self._reactor = reactor
        self._host = host.strip("[]")
        self._port = port
        self._allow_private = allow_private

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        if self._allow_private:
            return HostnameEndpoint(self._reactor, self._host, self._port, CONNECT_SECONDS).connect(protocolFactory)
        checking = _CheckingReactor(self._reactor)
        connecting = HostnameEndpoint(checking, self._host, self._port, CONNECT_SECONDS).connect(protocolFactory)

        def name_the_problem(failure: Failure) -> Failure:
            problem = checking.nameResolver.problem
            return Failure(AddressRefused(problem)) if problem and failure.check(DNSLookupError) else failure

        return connecting.addErrback(name_the_problem)


@implementer(IReactorPluggableNameResolver)
class _CheckingReactor:
    """The reactor, but names resolve to allowed addresses only. Used for one connection."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.nameResolver = _CheckingResolver(reactor.nameResolver)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        raise NotImplementedError("only for one connection")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IHostnameResolver)
class _CheckingResolver:
    def __init__(self, resolver: IHostnameResolver) -> None:
        self._resolver = resolver
        self.problem = ""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        receiver = _CheckingReceiver(self, resolutionReceiver)
        return self._resolver.resolveHostName(
            receiver,
            hostName,
            portNumber,
            addressTypes,
            transportSemantics,
        )


@implementer(IResolutionReceiver)
class _CheckingReceiver:
    def __init__(self, resolver: _CheckingResolver, receiver: IResolutionReceiver) -> None:
        self._resolver = resolver
        self._receiver = receiver

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:
        problem = address_problem(address.host)
        if problem is None:
            self._receiver.addressResolved(address)
        else:
            self._resolver.problem = problem

    def resolutionComplete(self) -> None:
        self._receiver.resolutionComplete()


def treq_clients(reactor: Any, policy: IPolicyForHTTPS | None = None) -> tuple[HTTPClient, HTTPClient]:
    """The two clients that a `WebhookClient` takes: for public addresses, and for any. Each has a pool of its own."""

    def client(allow_private: bool) -> HTTPClient:
        endpoints = CheckedEndpoints(reactor, allow_private=allow_private, policy=policy)
        agent = RememberingAgent(reactor, endpoints, _Pool(reactor))
        return HTTPClient(agent, NO_COOKIES, BytesBody)

    return client(False), client(True)


# What treq is given, so that it has less to do


@implementer(IBodyProducer)
class BytesBody:
    """A request body that is there already."""

    __slots__ = ("_body", "length")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> "Deferred[None]":
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


class _NoCookies(IndexableCookieJar):
    """Keeps no cookie and sends none: what one customer's server sets is nobody's business."""

    def add_cookie_header(self, request: object) -> None:
        pass

    def extract_cookies(self, response: object, request: object) -> None:
        pass


NO_COOKIES: Final = _NoCookies()


class _ReadyUrl(EncodedURL):
    """A URL that is in the form of the request line already. treq asks every URL to make itself so (90 µs)."""

    _relay_text: str

    def to_uri(self) -> EncodedURL:
        return self

    def to_text(self, with_password: bool = False) -> str:
        return self._relay_text


def ready_url(url: WebUrl) -> EncodedURL:
    text = url.plain.decode("ascii")
    parsed = EncodedURL.from_text(text)
    ready = _ReadyUrl(parsed.scheme, parsed.host, parsed.path, parsed.query, parsed.fragment, parsed.port)
    ready._relay_text = text
    return ready

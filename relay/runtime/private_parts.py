"""The private parts of Twisted and treq that the relay uses. Every other module uses the public names given here.

Any release of Twisted or treq may change a name that begins with an underscore. The relay needs some of these names,
because the public ways take too much time for each message (docs/performance.md has the figures). `PRIVATE_PARTS` lists
each name with the shape that the relay relies on, and a test compares the list with the installed release. setup.cfg
has an upper bound for both libraries. Raise it when that test passes with the new release.
"""

import inspect
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from treq.client import HTTPClient
from treq.response import _Response
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.tcp import Connection
from twisted.protocols.tls import BufferingTLSTransport, _AggregateSmallWrites
from twisted.web._newclient import HTTP11ClientProtocol, Request
from twisted.web.client import Agent, HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

#: A request that goes over a `ClientConnection`.
ClientRequest = Request


class PrivatePart(NamedTuple):
    """One private name of a library.

    :ivar distribution: the library that has it.
    :ivar owner: the module, or the module and the class, that has it.
    :ivar attribute: its name.
    :ivar shape: the parameters of a function or a class; the type of an attribute's first value.
    """

    distribution: str
    owner: str
    attribute: str
    shape: str

    def problem(self, instances: Mapping[str, object]) -> str | None:
        """Says how the part differs in the installed release; None: it is as the relay expects it.

        :param instances: for each owner an instance, because some attributes exist only on instances.
        """
        installed = f"{self.distribution} {version(self.distribution)}"
        owner = instances.get(self.owner) or _named(self.owner)
        if owner is None or not hasattr(owner, self.attribute):
            return f"{self.owner}.{self.attribute} is gone in {installed}"
        found = _shape(getattr(owner, self.attribute))
        if found != self.shape:
            return f"{self.owner}.{self.attribute} has changed in {installed}: {found}, expected {self.shape}"
        return None


_CHANNEL = "twisted.web.http.HTTPChannel"
_CLIENT = "twisted.web._newclient"
_POOL = "twisted.web.client.HTTPConnectionPool"
_TCP = "twisted.internet.tcp.Connection"
_TLS = "twisted.protocols.tls"
_TLS_TRANSPORT = f"{_TLS}.BufferingTLSTransport"

PRIVATE_PARTS: Final = (
    PrivatePart("treq", "treq.client.HTTPClient", "_agent", "Agent"),
    PrivatePart("treq", "treq.client.HTTPClient", "_cookiejar", "IndexableCookieJar"),
    PrivatePart("treq", "treq.response", "_Response", "(original, cookiejar)"),
    PrivatePart("twisted", _CHANNEL, "_abortingCall", "NoneType"),
    PrivatePart("twisted", _CHANNEL, "_buffer", "bytes"),
    PrivatePart("twisted", _CHANNEL, "_busyReceiving", "bool"),
    PrivatePart("twisted", _CHANNEL, "_dataBuffer", "list"),
    PrivatePart("twisted", _CHANNEL, "_handlingRequest", "bool"),
    PrivatePart("twisted", _CHANNEL, "_networkProducer", "StringTransport"),
    PrivatePart("twisted", _CHANNEL, "_respondToBadRequestAndDisconnect", "(self)"),
    PrivatePart("twisted", _CHANNEL, "_waitingForTransport", "bool"),
    PrivatePart("twisted", _CLIENT, "HTTP11ClientProtocol", "(quiescentCallback)"),
    PrivatePart("twisted", f"{_CLIENT}.HTTP11ClientProtocol", "_finishResponse", "(self, args, kwargs)"),
    PrivatePart("twisted", _CLIENT, "Request", "(method, uri, headers, bodyProducer, persistent)"),
    PrivatePart("twisted", f"{_CLIENT}.Request", "writeTo", "(self, transport)"),
    PrivatePart("twisted", "twisted.internet.endpoints.HostnameEndpoint", "_hostAsBytesAndText", "(host)"),
    PrivatePart("twisted", "twisted.web.client", "_HTTP11ClientFactory", "(quiescentCallback, metadata)"),
    PrivatePart("twisted", "twisted.web.client.Agent", "_pool", "HTTPConnectionPool"),
    PrivatePart("twisted", _POOL, "_connections", "dict"),
    PrivatePart("twisted", _POOL, "_factory", "(quiescentCallback, metadata)"),
    PrivatePart("twisted", _POOL, "_newConnection", "(self, key, endpoint)"),
    PrivatePart("twisted", _POOL, "_putConnection", "(self, key, connection)"),
    PrivatePart("twisted", _POOL, "_reactor", "Clock"),
    PrivatePart("twisted", "twisted.web.http_headers.Headers", "_rawHeaders", "dict"),
    PrivatePart("twisted", _TCP, "_tempDataBuffer", "list"),
    PrivatePart("twisted", _TCP, "_writeDisconnected", "bool"),
    PrivatePart("twisted", _TLS, "_AggregateSmallWrites", "(write, clock)"),
    PrivatePart("twisted", f"{_TLS}._AggregateSmallWrites", "_buffer", "list"),
    PrivatePart("twisted", _TLS_TRANSPORT, "_aggregator", "_AggregateSmallWrites"),
    PrivatePart("twisted", _TLS_TRANSPORT, "_appSendBuffer", "list"),
    PrivatePart("twisted", _TLS_TRANSPORT, "_handshakeDone", "bool"),
    PrivatePart("twisted", _TLS_TRANSPORT, "_lostTLSConnection", "bool"),
)


def _named(name: str) -> object | None:
    """The module or class of this name; None: there is none."""
    module, _, attribute = name.rpartition(".")
    try:
        return import_module(name)
    except ImportError:
        try:
            found: object = getattr(import_module(module), attribute, None)
        except ImportError:
            return None
        return found


def _shape(value: object) -> str:
    """A value's shape, as `PrivatePart.shape` writes it."""
    if not callable(value):
        return type(value).__name__
    function = value.__init__ if isinstance(value, type) else getattr(value, "__func__", value)  # type: ignore[misc]
    parameters = list(inspect.signature(function).parameters)
    if isinstance(value, type):
        del parameters[0]
    return f"({', '.join(parameters)})"


# Sockets


def waits_to_be_sent(connection: Connection) -> bool:
    """Whether the transport has data that the socket has not taken yet, or can't write any more."""
    return bool(connection.dataBuffer or connection._tempDataBuffer or connection._writeDisconnected)


def tls_waits(transport: BufferingTLSTransport) -> bool:
    """Whether a TLS transport has data that isn't encrypted yet, or can't write now."""
    aggregator = transport._aggregator
    return bool(
        not isinstance(aggregator, _AggregateSmallWrites)
        or aggregator._buffer
        or transport._appSendBuffer
        or transport._lostTLSConnection
        or not transport._handshakeDone
    )


class AsciiHostEndpoint(HostnameEndpoint):
    """Connects to a host whose name is ASCII (IDNA) already.

    Twisted's own endpoint looks at each name once more, and refuses those of private networks such as `my_host`.
    """

    @staticmethod
    def _hostAsBytesAndText(host: bytes | str) -> tuple[bool, bytes, str]:
        text = host.decode("ascii") if isinstance(host, bytes) else host
        return False, text.encode("ascii"), text


# Headers


def raw_headers(headers: Headers) -> Mapping[bytes, list[bytes]]:
    """All headers by their canonical names. `Headers.getRawHeaders` makes a name canonical first, which takes 1 µs."""
    values: dict[bytes, list[bytes]] = headers._rawHeaders
    return values


def set_headers(headers: Headers, values: dict[bytes, list[bytes]]) -> None:
    """Replaces all headers, without a check. Names must be canonical, and values must have no line ends."""
    headers._rawHeaders = values


# HTTP clients


class ClientConnection(HTTP11ClientProtocol):
    """A connection to an HTTP server. It tells its subclass when a response has ended."""

    def answer_ended(self, rest: bytes) -> None:
        """Called when a response has ended.

        :param rest: the octets after it, which belong to no response.
        """

    def _finishResponse(self, rest: bytes) -> None:
        self.answer_ended(rest)
        super()._finishResponse(rest)


class ClientFactory(_HTTP11ClientFactory):
    """Makes the connections of a `ClientPool`; `protocol` is their class."""

    protocol: type[ClientConnection] = ClientConnection

    def buildProtocol(self, addr: IAddress | None) -> ClientConnection:
        return self.protocol(self._quiescentCallback)


class ClientPool(HTTPConnectionPool):
    """A pool of connections for subclasses that keep idle ones: it calls `keep` when a connection becomes idle.

    :cvar factory: makes the connections.
    """

    factory: type[ClientFactory] = ClientFactory

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self._factory = self.factory

    @property
    def idle(self) -> dict[Any, list[Any]]:
        """The idle connections, by the key that the agent gave."""
        kept: dict[Any, list[Any]] = self._connections
        return kept

    @property
    def clock(self) -> IReactorTime:
        """The clock of the pool."""
        clock: IReactorTime = self._reactor
        return clock

    def connect(self, key: Any, endpoint: IStreamClientEndpoint) -> "Deferred[HTTP11ClientProtocol]":
        """Makes a new connection, even if there are idle ones."""
        connecting: Deferred[HTTP11ClientProtocol] = self._newConnection(key, endpoint)
        return connecting

    def keep(self, key: Any, connection: Any) -> None:
        """Takes a connection that has become idle."""
        raise NotImplementedError

    def _putConnection(self, key: Any, connection: Any) -> None:
        self.keep(key, connection)


class PoolAgent(Agent):
    """An agent that shows its pool to its subclass."""

    @property
    def pool(self) -> ClientPool:
        """The pool of its connections."""
        pool: Any = self._pool
        return pool  # type: ignore[no-any-return]


class TreqClient(HTTPClient):
    """A treq client that shows its subclass what a request needs."""

    @property
    def agent(self) -> Any:
        """The agent that sends the requests."""
        return self._agent

    def treq_response(self, response: Any) -> Any:
        """Wraps the agent's response as treq does."""
        return _Response(response, self._cookiejar)


# HTTP servers


class ServerConnection(HTTPChannel):
    """A client's connection that shows its subclass the state of twisted.web."""

    @property
    def nothing_read(self) -> bool:
        """Whether the next octet begins a request. Then the relay may read it itself, without twisted.web."""
        return bool(self.line_mode and not self._buffer and not self._busyReceiving)

    @property
    def handling(self) -> bool:
        """Whether a whole request has arrived and has no response yet."""
        return bool(self._handlingRequest)

    @handling.setter
    def handling(self, value: bool) -> None:
        self._handlingRequest = value

    @property
    def waits_for_transport(self) -> bool:
        """Whether the client must read some data before more can be written to it."""
        return bool(self._waitingForTransport)

    def take_back(self) -> bytes:
        """Removes the octets after the end of a request from twisted.web, and returns them."""
        rest: bytes = b"".join(self._dataBuffer) + self._buffer
        self._dataBuffer, self._buffer = [], b""
        return rest

    @property
    def network_producer(self) -> Any:
        """The object that reads from the socket."""
        return self._networkProducer

    @property
    def aborts_later(self) -> bool:
        """Whether the connection will be aborted if the client doesn't read what was written."""
        return self._abortingCall is not None

    def abort_later(self) -> None:
        """Aborts the connection after `abortTimeout` seconds, unless it has ended by then."""
        self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)

    def refuse_bad_request(self) -> None:
        """Answers data that isn't an HTTP request with an error, and closes the connection."""
        super()._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse_bad_request()

"""Stream connections in memory, on a simulated clock: they behave like sockets, without sockets.

A connection is a pair of transports. Octets that one end writes reach the other end a configurable time later, in
order, and in the chunks in which they were written. A connection can be cut at any instant; then the octets on their
way are lost. Everything happens in turns of the clock, so a run can be repeated.
"""

from collections.abc import Callable, Iterable
from functools import partial

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ITransport)
class MemoryTransport:
    """One end of a connection."""

    disconnecting = False

    def __init__(self, network: "MemoryNetwork", connection: "Connection", host: str, peer_host: str) -> None:
        self._network = network
        self._connection = connection
        self._host = host
        self._peer_host = peer_host
        self.protocol: IProtocol
        self.peer: MemoryTransport
        self._paused = False
        self._inbox: list[bytes] = []
        self.connected = True
        self._producer: object = None

    # What protocols call

    def write(self, data: bytes) -> None:
        if self.connected and not self.disconnecting and data:
            self._network.later(lambda: self.peer.arrive(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._network.later(lambda: self._connection.close(clean=True))

    def abortConnection(self) -> None:
        self._connection.close(clean=False)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", self._peer_host, 1)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self._host, 1)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is nothing to wait for in memory."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._network.later(self._drain)

    # What the network calls

    def arrive(self, data: bytes) -> None:
        self._inbox.append(data)
        self._drain()

    def _drain(self) -> None:
        while self._inbox and self.connected and not self._paused:
            self.protocol.dataReceived(self._inbox.pop(0))


class Connection:
    """A pair of transports with their protocols."""

    def __init__(self, network: "MemoryNetwork", client: IProtocol, server: IProtocol, address: str) -> None:
        self._network = network
        self.address = address
        self.client = MemoryTransport(network, self, "127.0.0.2", address)
        self.server = MemoryTransport(network, self, address, "127.0.0.2")
        self.client.peer, self.server.peer = self.server, self.client
        self.client.protocol, self.server.protocol = client, server
        self.open = True

    def close(self, clean: bool = False) -> None:
        """Ends the connection for both ends; what was on its way is gone. Harmless when repeated."""
        if not self.open:
            return
        self.open = False
        self._network.connections.remove(self)
        reason = ConnectionDone() if clean else ConnectionLost()
        for transport in (self.client, self.server):
            transport.connected = False
            self._network.later(partial(transport.protocol.connectionLost, Failure(reason)))


class MemoryNetwork:
    """Addresses that can be listened on and connected to."""

    def __init__(self, clock: IReactorTime, latency_seconds: float = 0.0) -> None:
        self._clock = clock
        self.latency_seconds = latency_seconds
        self._listening: dict[str, IProtocolFactory] = {}
        self.connections: list[Connection] = []

    def later(self, call: Callable[[], object]) -> None:
        """Runs a call one latency from now, in the order of the calls."""
        self._clock.callLater(self.latency_seconds, call)

    def listen(self, address: str, factory: IProtocolFactory) -> None:
        """Serves an address from now on."""
        self._listening[address] = factory

    def unlisten(self, address: str) -> None:
        """Refuses new connections to an address; those that exist stay."""
        self._listening.pop(address, None)

    def cut(self, address: str) -> int:
        """Cuts every connection to an address, and says how many there were."""
        victims = [connection for connection in self.connections if connection.address == address]
        for connection in victims:
            connection.close()
        return len(victims)

    def endpoint(self, address: str) -> "MemoryEndpoint":
        """A client endpoint for an address."""
        return MemoryEndpoint(self, address)

    def connect(self, address: str, factory: IProtocolFactory) -> "Deferred[IProtocol]":
        """Makes a connection, or fails as TCP does where nothing listens."""
        listening = self._listening.get(address)
        if listening is None:
            return fail(Failure(ConnectionRefusedError()))
        where: IAddress = IPv4Address("TCP", address, 1)
        client = factory.buildProtocol(where)
        server = listening.buildProtocol(where)
        if client is None or server is None:
            return fail(Failure(ConnectionRefusedError()))
        connection = Connection(self, client, server, address)
        self.connections.append(connection)
        server.makeConnection(connection.server)
        client.makeConnection(connection.client)
        return succeed(client)


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """Connects to one address of a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, address: str) -> None:
        self._network = network
        self._address = address

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        return self._network.connect(self._address, protocolFactory)

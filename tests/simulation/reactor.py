"""Time and connections for all processes of a simulation.

`Time` is the one clock. Each process (the relay between two starts, a carrier, a customer) uses it and the network
through a `ProcessReactor` of its own, which can be killed: after that nothing of this process happens any more, and its
connections end for the other side, as they do when a process dies.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.base import DelayedCall
from twisted.internet.defer import succeed
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IListeningPort,
    IReactorTCP,
    IReactorTime,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReactorTime)
class Time:
    """A clock that runs as fast as there is something to do. A heap: days pass in a second or two."""

    def __init__(self, start_at: float) -> None:
        self._now = start_at
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._count = itertools.count()

    def seconds(self) -> float:
        return self._now

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> IDelayedCall:
        call = DelayedCall(self._now + delay, callable, args, kw, lambda call: None, self._push, self.seconds)
        self._push(call)
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:
        return [call for _, _, call in self._heap if call.active()]

    def _push(self, call: DelayedCall) -> None:
        heapq.heappush(self._heap, (call.getTime(), next(self._count), call))

    def run_until(self, at: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Lets everything happen that is due up to an instant, or until `stop` says so."""
        heap = self._heap
        while heap and heap[0][0] <= at and not stop():
            due_at, _, call = heapq.heappop(heap)
            if call.cancelled or call.called:
                continue
            if call.getTime() > due_at:
                # It was delayed meanwhile.
                self._push(call)
                continue
            self._now = max(self._now, due_at)
            call.called = 1
            call.func(*call.args, **call.kw)
        if not stop():
            self._now = max(self._now, at)


@implementer(ITransport)
class Pipe:
    """One end of a connection between two processes."""

    disconnecting = False

    def __init__(self, process: "ProcessReactor", address: IPv4Address, peer_address: IPv4Address) -> None:
        self.process = process
        self._address = address
        self._peer_address = peer_address
        self.protocol: Any
        self.other: Pipe
        self.connected = True
        self.lost: Callable[[Failure], object] = lambda reason: None
        self._paused = False
        self._inbox: list[bytes] = []
        self._writing: list[bytes] = []

    def write(self, data: bytes) -> None:
        if self.connected and not self.disconnecting and data:
            self.process.wrote(data)
            if not self._writing:
                self.process.network.later(self._send)
            self._writing.append(data)

    def _send(self) -> None:
        """As TCP may: what was written in one turn arrives together."""
        data = b"".join(self._writing)
        self._writing.clear()
        if self.connected:
            self.process.network.later(lambda: self.other.arrive(data))

    def writeSequence(self, chunks: Iterable[bytes]) -> None:
        self.write(b"".join(chunks))

    def arrive(self, data: bytes) -> None:
        pieces = self.process.network.pieces(data)
        self._inbox.extend(pieces)
        self._drain()
        if sum(map(len, pieces)) < len(data):
            self.end(ConnectionLost())

    def _drain(self) -> None:
        while self._inbox and self.connected and not self._paused and self.process.runs:
            self.protocol.dataReceived(self._inbox.pop(0))

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            # Behind whatever has been written.
            later = self.process.network.later
            later(lambda: later(lambda: later(lambda: self.end(ConnectionDone()))))

    def abortConnection(self) -> None:
        self.end(ConnectionLost())

    def end(self, reason: Exception) -> None:
        """Ends both ends; what was on its way is gone. Harmless when repeated."""
        if self.connected:
            self.connected = self.other.connected = False
            self.process.network.pipes.discard(self)
            self.process.network.pipes.discard(self.other)
            for end in (self, self.other):
                end.process.callLater(0, end.lost, Failure(reason))

    def getPeer(self) -> IPv4Address:
        return self._peer_address

    def getHost(self) -> IPv4Address:
        return self._address

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is nothing to wait for."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Nothing is ever buffered here."""

    def unregisterProducer(self) -> None:
        """See `registerProducer`."""

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self.process.network.later(self._drain)


@implementer(IListeningPort)
class Port:
    """A listener of a process."""

    def __init__(self, process: "ProcessReactor", number: int, factory: Any) -> None:
        self.process = process
        self.number = number
        self.factory = factory

    def startListening(self) -> None:
        """It listens from the start."""

    def stopListening(self) -> Any:
        if self.process.network.ports.get(self.number) is self:
            del self.process.network.ports[self.number]
        return succeed(None)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", self.number)


class Network:
    """Ports and connections between processes.

    :ivar latency_seconds: from a write to its arrival.
    """

    def __init__(self, time: Time, latency_seconds: float = 0.002) -> None:
        self.time = time
        self.latency_seconds = latency_seconds
        self.ports: dict[int, Port] = {}
        self.pipes: set[Pipe] = set()
        #: How what arrives falls into reads. Where the pieces are less than the whole, the connection ends behind them.
        self.pieces: Callable[[bytes], list[bytes]] = lambda data: [data]
        self._next_port = 50_000

    def later(self, call: Callable[[], object]) -> None:
        self.time.callLater(self.latency_seconds, call)

    def free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    def cut(self, wanted: Callable[[Pipe], bool]) -> int:
        """Cuts the connections one of whose ends is wanted, and says how many ends that were."""
        # By port and not in the set's order, which differs from run to run.
        ends = sorted((pipe for pipe in self.pipes if wanted(pipe)), key=lambda pipe: pipe.getHost().port)
        for pipe in ends:
            pipe.end(ConnectionLost())
        return len(ends)


@implementer(IReactorTime, IReactorTCP)
class ProcessReactor:
    """What one process sees of the world."""

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self.dead = False
        #: What would have happened while the process was paused; None: it isn't.
        self._held: list[Callable[[], None]] | None = None
        #: Called with all that the process writes into connections.
        self.wrote: Callable[[bytes], object] = lambda data: None

    @property
    def runs(self) -> bool:
        """Whether it is neither dead nor paused."""
        return not self.dead and self._held is None

    def pause(self) -> None:
        """Stops the process, as SIGSTOP does: its connections stay, and what others send it waits."""
        if self._held is None:
            self._held = []

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        held, self._held = self._held or [], None
        for call in held:
            self.network.time.callLater(0, call)
        for pipe in sorted(self.network.pipes, key=lambda pipe: pipe.getHost().port):
            if pipe.process is self:
                self.callLater(0, pipe.resumeProducing)

    def seconds(self) -> float:
        return self.network.time.seconds()

    def callLater(self, delay: float, callable: Callable[..., object], *args: Any, **kw: Any) -> IDelayedCall:
        def run() -> None:
            if self._held is not None:
                self._held.append(run)
            elif not self.dead:
                callable(*args, **kw)

        return self.network.time.callLater(delay, run)

    def getDelayedCalls(self) -> list[IDelayedCall]:
        return self.network.time.getDelayedCalls()

    def callWhenRunning(self, callable: Callable[..., object], *args: Any, **kw: Any) -> None:
        """A process is simulated from where its reactor runs."""
        callable(*args, **kw)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:
        number = port or self.network.free_port()
        if number in self.network.ports:
            raise CannotListenError(interface, number, OSError("in use"))
        listening = self.network.ports[number] = Port(self, number, factory)
        return listening

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: object = None
    ) -> "Connector":
        connector = Connector(self, port, factory)
        factory.doStart()
        factory.startedConnecting(connector)
        self.callLater(self.network.latency_seconds, connector.go)
        return connector

    def kill(self) -> None:
        """Ends the process at this instant."""
        self.dead = True
        for number, port in tuple(self.network.ports.items()):
            if port.process is self:
                del self.network.ports[number]
        self.network.cut(lambda pipe: pipe.process is self)


@implementer(IConnector)
class Connector:
    """One attempt to connect."""

    def __init__(self, process: ProcessReactor, port: int, factory: Any) -> None:
        self._process = process
        self._port = port
        self._factory = factory
        self._pipe: Pipe | None = None
        self._given_up = False

    def go(self) -> None:
        if self._given_up:
            return
        network = self._process.network
        listening = network.ports.get(self._port)
        if listening is not None and not listening.process.runs:
            network.time.callLater(1.0, self.go)
            return
        ours = IPv4Address("TCP", "127.0.0.1", network.free_port())
        theirs = IPv4Address("TCP", "127.0.0.1", self._port)
        server = None if listening is None else listening.factory.buildProtocol(ours)
        if listening is None or server is None:
            self._factory.clientConnectionFailed(self, Failure(ConnectionRefusedError()))
            return
        client = self._factory.buildProtocol(theirs)
        near, far = Pipe(self._process, ours, theirs), Pipe(listening.process, theirs, ours)
        near.other, far.other = far, near
        near.protocol, far.protocol = client, server
        far.lost = server.connectionLost

        def lost(reason: Failure) -> None:
            client.connectionLost(reason)
            self._factory.clientConnectionLost(self, reason)

        near.lost = lost
        network.pipes.update((near, far))
        self._pipe = near
        server.makeConnection(far)
        client.makeConnection(near)

    def stopConnecting(self) -> None:
        self._given_up = True
        self._factory.clientConnectionFailed(self, Failure(ConnectionRefusedError()))

    def disconnect(self) -> None:
        if self._pipe is None:
            self.stopConnecting()
        else:
            self._pipe.loseConnection()

    def connect(self) -> None:
        raise NotImplementedError("ClientService makes a new attempt instead")

    def getDestination(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", self._port)

"""Writing at once keeps the order, however much the socket takes and however else the relay writes."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from relay.runtime.direct_write import write_at_once


class _Reader(Protocol):
    def __init__(self) -> None:
        self.received = bytearray()
        self.gone: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.gone.callback(None)


class _Writer(Protocol):
    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, reason: Any = None) -> None:
        self.gone.callback(None)


class SocketTests(TestCase):
    async def connected(self) -> tuple[_Writer, _Reader]:
        writer = _Writer()
        listener = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port: Any = await listener.listen(Factory.forProtocol(lambda: writer))
        self.addCleanup(port.stopListening)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        reader: _Reader = await connectProtocol(endpoint, _Reader())
        while writer.transport is None:
            await deferLater(reactor, 0.001)
        return writer, reader

    async def test_everything_arrives_in_order_also_through_a_full_socket(self) -> None:
        writer, reader = await self.connected()
        transport: Any = writer.transport
        pausing: Any = reader.transport
        pausing.pauseProducing()
        written = bytearray()
        # More than the socket's buffers hold, so that some of it has to wait.
        for number in range(400):
            piece = b"%05d" % number + b"x" * (number * 97 % 40_000)
            written += piece
            (transport.write if number % 3 == 0 else lambda data: write_at_once(transport, data))(piece)
        self.assertTrue(transport.dataBuffer or transport._tempDataBuffer)
        pausing.resumeProducing()
        await deferLater(reactor, 0.001)
        write_at_once(transport, b"the end")
        transport.loseConnection()
        await reader.gone
        self.assertEqual(bytes(reader.received), bytes(written) + b"the end")

    async def test_a_small_write_has_left_when_it_returns(self) -> None:
        writer, reader = await self.connected()
        transport: Any = writer.transport
        write_at_once(transport, b"hello")
        self.assertFalse(transport.dataBuffer or transport._tempDataBuffer)
        transport.loseConnection()
        await reader.gone
        self.assertEqual(bytes(reader.received), b"hello")

    async def test_a_connection_that_is_gone_is_noticed_by_the_reactor(self) -> None:
        writer, reader = await self.connected()
        transport: Any = writer.transport
        closing: Any = reader.transport
        closing.abortConnection()
        await reader.gone
        write_at_once(transport, b"hello")
        write_at_once(transport, b"hello")
        await writer.gone
        write_at_once(transport, b"into the void")


class OtherTransportTests(SynchronousTestCase):
    def test_other_transports_than_sockets_are_written_to_as_usual(self) -> None:
        transport = StringTransport()
        write_at_once(transport, b"a")
        transport.write(b"b")
        write_at_once(transport, b"c")
        self.assertEqual(transport.value(), b"abc")

"""Writing at once keeps the order, however much the socket takes and however else the relay writes."""

from collections.abc import Callable
from pathlib import Path
from select import select
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from relay.runtime.client_tls import ClientTlsEndpoint, read_certificates, read_key
from relay.runtime.direct_write import write_at_once
from tests import HUNG_SECONDS
from tests.certificates import Authority


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


class TlsSocketTests(TestCase):
    """Over TLS, with both ends in this process."""

    async def connected(self) -> tuple[_Writer, _Reader]:
        directory = Path(self.mktemp())
        directory.mkdir()
        authority = Authority(directory)
        key_file, certificate_file = authority.issue("server", "a.example")
        key, certificate = (
            ssl.KeyPair(read_key(str(key_file))),
            ssl.Certificate(read_certificates(str(certificate_file))[0]),
        )
        options = ssl.PrivateCertificate.fromCertificateAndKeyPair(certificate, key).options()
        reader = _Reader()
        factory = TLSMemoryBIOFactory(options, False, Factory.forProtocol(lambda: reader), reactor)
        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        endpoint = ClientTlsEndpoint(
            TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), "a.example", str(authority.file), "", ""
        )
        writer = await connectProtocol(endpoint, _Writer())
        return writer, reader

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await deferLater(reactor, 0.001)

    async def test_everything_arrives_in_order_also_before_the_handshake_and_through_a_full_socket(self) -> None:
        writer, reader = await self.connected()
        transport: Any = writer.transport
        write_at_once(transport, b"before the handshake;")
        await self.until(lambda: reader.received.endswith(b";"))
        pausing: Any = reader.transport
        pausing.pauseProducing()
        written = bytearray(reader.received)
        for number in range(400):
            piece = b"%05d" % number + b"x" * (number * 97 % 40_000)
            written += piece
            (transport.write if number % 3 == 0 else lambda data: write_at_once(transport, data))(piece)
        pausing.resumeProducing()
        await self.until(lambda: len(reader.received) == len(written))
        write_at_once(transport, b"the end")
        transport.loseConnection()
        await reader.gone
        self.assertEqual(bytes(reader.received), bytes(written) + b"the end")

    async def test_a_small_write_has_left_when_it_returns(self) -> None:
        writer, reader = await self.connected()
        transport: Any = writer.transport
        transport.write(b"first;")
        await self.until(lambda: reader.received.endswith(b";"))
        receiving: Any = reader.transport
        write_at_once(transport, b"hello")
        # The reactor doesn't run here, so only `write_at_once` itself can have sent them.
        select([receiving.transport.socket], [], [], HUNG_SECONDS)
        receiving.transport.doRead()
        self.assertEqual(bytes(reader.received), b"first;hello")
        transport.loseConnection()
        await reader.gone
        self.assertEqual(bytes(reader.received), b"first;hello")

    async def test_a_connection_that_is_gone_is_noticed_by_the_reactor(self) -> None:
        writer, reader = await self.connected()
        transport: Any = writer.transport
        transport.write(b"first;")
        await self.until(lambda: reader.received.endswith(b";"))
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

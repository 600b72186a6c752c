"""The PROXY protocol: the header in which a proxy names the client of a connection."""

import ipaddress
import struct
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from relay.runtime.proxy_header import NoProxyHeader, ProxyHeader, read_proxy_header
from relay.runtime.proxy_protocol import HEADER_SECONDS, ProxiedFactory

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
ports = st.integers(0, 0xFFFF)


def line(address: Any, port: int) -> bytes:
    """A header of version 1 for a client."""
    destination = "192.0.2.1" if address.version == 4 else "2001:db8::1"
    return f"PROXY TCP{address.version} {address} {destination} {port} 443\r\n".encode()


def binary(address: Any, port: int, further: bytes = b"", command: int = 0x21) -> bytes:
    """A header of version 2 for a client."""
    source: bytes = address.packed
    fields = source + bytes(len(source)) + struct.pack(">HH", port, 443) + further
    family = 0x11 if address.version == 4 else 0x21
    return SIGNATURE + struct.pack(">BBH", command, family, len(fields)) + fields


class Headers(SynchronousTestCase):
    @given(addresses, ports, st.binary(max_size=40), st.booleans(), st.binary(max_size=60))
    def test_the_client_is_read_and_what_follows_is_left(
        self, address: Any, port: int, rest: bytes, in_binary: bool, further: bytes
    ) -> None:
        header = binary(address, port, further) if in_binary else line(address, port)
        self.assertEqual(read_proxy_header(header + rest), ProxyHeader(len(header), (str(address), port)))

    @given(addresses, ports, st.booleans(), st.data())
    def test_a_header_that_came_in_part_is_waited_for(
        self, address: Any, port: int, in_binary: bool, data: st.DataObject
    ) -> None:
        header = binary(address, port, b"further") if in_binary else line(address, port)
        self.assertIsNone(read_proxy_header(header[: data.draw(st.integers(0, len(header) - 1))]))

    @given(
        st.one_of(
            st.binary(max_size=300),
            st.binary(max_size=60).map(SIGNATURE.__add__),
            st.binary(max_size=120).map(b"PROXY ".__add__),
        )
    )
    @example(b"PROXY TCP4 1.2.3.4\r\n")
    @example(b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n")
    @example(b"PROXY TCP4 ::1 ::1 1 2\r\n")
    @example(b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n")
    @example(b"PROXY TCP4 1.2.3.4 1.2.3.4 \xb2 2\r\n")
    @example(b"PROXY " + b"x" * 200)
    @example(SIGNATURE + b"\x21\x11\xff\xff")
    @example(SIGNATURE + b"\x21\x11\x00\x04abcd")
    @example(SIGNATURE + b"\x31\x11\x00\x00")
    def test_any_octets_are_read_or_waited_for_or_refused(self, octets: bytes) -> None:
        try:
            header = read_proxy_header(octets)
        except NoProxyHeader as problem:
            self.assertTrue(str(problem))
            return
        if header is None:
            # Nobody has to keep more than the longest header.
            self.assertLess(len(octets), 16 + 4_096)
        else:
            self.assertLessEqual(header.size_bytes, len(octets))
            if header.client is not None:
                ipaddress.ip_address(header.client[0])

    def test_a_proxy_that_speaks_for_itself_names_no_client(self) -> None:
        address = ipaddress.ip_address("203.0.113.9")
        for header in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN a b c\r\n", binary(address, 7, command=0x20),
                       SIGNATURE + b"\x21\x31\x00\x01x"):  # fmt: skip
            self.assertEqual(read_proxy_header(header), ProxyHeader(len(header), None))

    def test_no_other_beginning_is_a_header(self) -> None:
        for octets in (b"GET / HTTP/1.1\r\n", b"\0\0\0\x10", b"proxy TCP4", b"PROXY TCP5 a b c d\r\n"):
            with self.assertRaises(NoProxyHeader):
                read_proxy_header(octets)


class Kept(Protocol):
    """Keeps what it gets."""

    def __init__(self, address: Any) -> None:
        self.address = address
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class KeptFactory(Factory):
    """Makes connections while it has room.

    :ivar room: how many it makes yet.
    """

    room = 1

    def buildProtocol(self, addr: Any) -> Kept | None:
        if not self.room:
            return None
        self.room -= 1
        self.kept = Kept(addr)
        return self.kept


class Connections(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.behind = KeptFactory()
        self.factory = ProxiedFactory(self.behind, lambda host: host == "10.0.0.1", self.clock)
        self.proxy = IPv4Address("TCP", "10.0.0.1", 40_000)

    def connect(self) -> tuple[Any, Any]:
        protocol: Any = self.factory.buildProtocol(self.proxy)
        transport: Any = StringTransport(peerAddress=self.proxy)
        protocol.makeConnection(transport)
        return protocol, transport

    def test_the_listener_s_own_protocol_is_the_client_s_and_gets_what_follows_the_header(self) -> None:
        protocol, transport = self.connect()
        for octet in line(ipaddress.ip_address("203.0.113.9"), 7)[:-1]:
            protocol.dataReceived(bytes([octet]))
        protocol.dataReceived(b"\nhello")
        kept = self.behind.kept
        self.assertEqual((kept.address, kept.received), (IPv4Address("TCP", "203.0.113.9", 7), b"hello"))
        self.assertIs(transport.protocol, kept)
        self.assertIs(kept.transport, transport)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_proxy_that_speaks_for_itself_is_its_own_client(self) -> None:
        protocol, _ = self.connect()
        protocol.dataReceived(b"PROXY UNKNOWN\r\n")
        self.assertEqual(self.behind.kept.address, self.proxy)

    def test_nobody_but_trusted_proxies_may_connect_and_the_log_says_so_once_a_minute(self) -> None:
        stranger = IPv4Address("TCP", "203.0.113.9", 7)
        with capturedLogs() as events:
            self.assertEqual([self.factory.buildProtocol(stranger) for _ in range(3)], [None] * 3)
            self.assertEqual([event["address"] for event in events], ["203.0.113.9"])
            self.clock.advance(60)
            self.factory.buildProtocol(stranger)
        self.assertEqual((len(events), self.behind.room), (2, 1))

    def test_a_connection_without_a_header_is_closed(self) -> None:
        protocol, transport = self.connect()
        protocol.dataReceived(b"GET / HTTP/1.1\r\n")
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_connection_that_stays_silent_is_closed(self) -> None:
        _, transport = self.connect()
        self.clock.advance(HEADER_SECONDS)
        self.assertTrue(transport.disconnecting)

    def test_a_connection_that_ends_early_leaves_nothing_behind(self) -> None:
        protocol, _ = self.connect()
        protocol.dataReceived(b"PROXY")
        protocol.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_client_for_whom_the_listener_has_no_room_is_closed(self) -> None:
        self.behind.room = 0
        protocol, transport = self.connect()
        protocol.dataReceived(line(ipaddress.ip_address("203.0.113.9"), 7) + b"hello")
        self.assertTrue(transport.disconnecting)

"""The PROXY protocol on listeners: a proxy writes the client's address at the beginning of each connection.

Theory of operation: a listener whose description begins with `haproxy:` first builds a protocol that reads only this
header. After the header, the listener's own factory builds the protocol for the client's address, and that protocol
gets the transport. So no code stays in between. TLS begins after the header, as HAProxy sends it.

Anybody can write such a header. So only trusted proxies may connect to such a listener, and each of their connections
must begin with a header.
"""

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.runtime.proxy_header import NoProxyHeader, ProxyHeader, read_proxy_header

#: How long the header may take. A proxy writes it at once, in one piece.
HEADER_SECONDS: Final = 10.0
#: The time between two log lines, so that a stranger who connects again and again doesn't fill the log.
_LOG_SECONDS: Final = 60.0


class ProxiedFactory(Factory):
    """Reads the PROXY header at the beginning of each connection of another factory.

    :param behind: the listener's own factory. Its `buildProtocol` gets the client's address.
    :param trusts: says whether an address is that of a trusted proxy. Connections from others are refused.
    """

    noisy = False
    log = Logger()

    def __init__(self, behind: IProtocolFactory, trusts: Callable[[str], bool], clock: IReactorTime) -> None:
        self.behind = behind
        self.clock = clock
        self._trusts = trusts
        self._logged_at: float | None = None

    def startFactory(self) -> None:
        self.behind.doStart()

    def stopFactory(self) -> None:
        self.behind.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        host = getattr(addr, "host", "")
        if not self._trusts(host):
            self.refused(host, "it is not in trusted_proxies")
            return None
        return _HeaderProtocol(self, host)

    def refused(self, host: str, reason: str) -> None:
        """Logs that a connection was refused; once a minute at most."""
        now = self.clock.seconds()
        if self._logged_at is None or now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            self.log.warn("proxy_refused: a connection from {address}: {reason}", address=host, reason=reason)


class _HeaderProtocol(Protocol):
    """Reads the header, then gives the transport to the protocol of the listener's own factory."""

    def __init__(self, factory: ProxiedFactory, host: str) -> None:
        self._factory = factory
        self._host = host
        self._unread = b""
        self._late: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._late = self._factory.clock.callLater(HEADER_SECONDS, self._refuse, "it sent no PROXY header")

    def dataReceived(self, data: bytes) -> None:
        self._unread += data
        try:
            header = read_proxy_header(self._unread)
        except NoProxyHeader as problem:
            self._refuse(str(problem))
            return
        if header is not None:
            self._forget_time()
            self._give_away(header)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._forget_time()

    def _forget_time(self) -> None:
        if self._late is not None and self._late.active():
            self._late.cancel()

    def _refuse(self, reason: str) -> None:
        self._forget_time()
        self._factory.refused(self._host, reason)
        transport: Any = self.transport
        transport.abortConnection()

    def _give_away(self, header: ProxyHeader) -> None:
        transport: Any = self.transport
        address: Any = transport.getPeer()
        if header.client is not None:
            host, port = header.client
            address = (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)
        protocol: Any = self._factory.behind.buildProtocol(address)
        if protocol is None:
            transport.abortConnection()
            return
        rest = self._unread[header.size_bytes :]
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if rest:
            protocol.dataReceived(rest)

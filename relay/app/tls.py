"""TLS on listeners and towards carriers: endpoints whose certificates can be replaced while the relay runs.

Endpoint descriptions are Twisted's: `ssl:443:privateKey=key.pem:certKey=fullchain.pem` for a listener,
`tls:smpp.carrier.example:3550` for a carrier. These endpoints differ from Twisted's own: TLS 1.2 is the lowest version,
a certificate file may hold its whole chain, and key files that others may read are refused. The files are read again
when `refresh` is called (listeners) or a connection is made (carriers). Open connections keep the old certificate.

A carrier's certificate is always verified, against the system's authorities or `ca_file`, and for the host's name.
"""

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    clientFromString,
)
from twisted.internet.endpoints import serverFromString as twisted_server_from_string
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from relay.config.carrier_config import Carrier
from relay.config.endpoint_text import join_description, split_description
from relay.config.host_names import ascii_host
from relay.config.tls_config import CarrierTls
from relay.runtime.client_tls import ClientTlsEndpoint, TlsProblem, read_certificates, read_key
from relay.runtime.private_parts import AsciiHostEndpoint
from relay.runtime.proxy_protocol import ProxiedFactory

#: The names of the arguments after `ssl:`, in the order in which Twisted reads arguments without a name.
_SERVER_ARGUMENTS = ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog", "extraCertChain")
_CLIENT_ARGUMENTS = ("host", "port", "timeout", "bindAddress")


@implementer(IOpenSSLServerConnectionCreator)
class ServerCertificate:
    """A listener's key and certificate chain.

    :raises TlsProblem: a file can't be used. If `refresh` raises it, the old certificate stays in use.
    """

    def __init__(self, key_file: str, certificate_file: str, chain_file: str = "") -> None:
        self._files = (key_file, certificate_file, chain_file)
        self._context = self._read()

    def refresh(self) -> bool:
        """Reads the files again, for new connections. Returns whether the certificate has changed."""
        before = self.fingerprint
        self._context = self._read()
        return self.fingerprint != before

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._context, None)

    def _read(self) -> SSL.Context:
        key_file, certificate_file, chain_file = self._files
        key = read_key(key_file)
        certificate, *chain = read_certificates(certificate_file)
        if chain_file:
            chain.extend(read_certificates(chain_file))
        options = ssl.CertificateOptions(
            privateKey=key, certificate=certificate, extraCertChain=chain, raiseMinimumTo=ssl.TLSVersion.TLSv1_2
        )
        try:
            context: SSL.Context = options.getContext()
            context.check_privatekey()
        except SSL.Error as problem:
            raise TlsProblem(f"{key_file} is not the key of {certificate_file}'s first certificate") from problem
        #: The SHA-256 of the certificate in use, in hexadecimal.
        self.fingerprint = certificate.digest("sha256").decode()
        self.expires_at = certificate.to_cryptography().not_valid_after_utc.timestamp()
        return context


class _TlsFactory(TLSMemoryBIOFactory):
    """Refuses a connection if the factory behind it does. Twisted's own class would raise an exception."""

    def buildProtocol(self, addr: IAddress | None) -> TLSMemoryBIOProtocol | None:  # type: ignore[override]
        behind = self.wrappedFactory.buildProtocol(addr)
        return None if behind is None else self.protocol(self, behind)


@implementer(IStreamServerEndpoint)
class TlsServerEndpoint:
    """Listens with TLS on top of another endpoint.

    :ivar certificate: its certificate. Call its `refresh` when the files have changed.
    """

    def __init__(self, reactor: Any, below: Any, certificate: ServerCertificate) -> None:
        self._reactor = reactor
        self._below = below
        self.certificate = certificate

    def listen(self, protocolFactory: IProtocolFactory) -> "Deferred[IListeningPort]":
        listening: Deferred[IListeningPort] = self._below.listen(
            _TlsFactory(self.certificate, False, protocolFactory, self._reactor)
        )
        return listening


@implementer(IStreamServerEndpoint)
class ProxiedEndpoint:
    """Listens on another endpoint for proxies that write the client's address at the beginning of each connection.

    :param trusts: says whether an address is that of a trusted proxy.
    """

    def __init__(self, reactor: Any, below: Any, trusts: Callable[[str], bool]) -> None:
        self._reactor = reactor
        self._below = below
        self._trusts = trusts

    def listen(self, protocolFactory: IProtocolFactory) -> "Deferred[IListeningPort]":
        listening: Deferred[IListeningPort] = self._below.listen(
            ProxiedFactory(protocolFactory, self._trusts, self._reactor)
        )
        return listening


def server_endpoint(
    reactor: Any, description: str, trusts: Callable[[str], bool] = lambda host: False
) -> IStreamServerEndpoint:
    """Makes the endpoint of a description. For `ssl:` and `haproxy:` it uses the endpoints of this module.

    :param trusts: says whether an address is that of a trusted proxy. Only these may connect to a `haproxy:` endpoint.
    :raises TlsProblem, ValueError, TypeError, OSError: the description, or a file that it names, can't be used.
    """
    parts = split_description(description)
    proxied = parts[0] == "haproxy"
    if proxied:
        description = description.partition(":")[2]
        parts = parts[1:]
        if parts[:1] not in (["tcp"], ["tcp6"], ["ssl"], ["systemd"]):
            raise TlsProblem("write tcp:, tcp6:, ssl: or systemd: after haproxy:")
    if parts[0] != "ssl":
        endpoint: IStreamServerEndpoint = twisted_server_from_string(reactor, description)
        return ProxiedEndpoint(reactor, endpoint, trusts) if proxied else endpoint
    given = _arguments(parts[1:], _SERVER_ARGUMENTS, description)
    for unsupported in ("sslmethod", "dhParameters"):
        if unsupported in given:
            raise TlsProblem(f"leave {unsupported} out: the relay uses TLS 1.2 and 1.3, with ephemeral elliptic curves")
    interface = given.get("interface", "")
    backlog = int(given.get("backlog", "50"))
    port = int(given.get("port", ""))
    below: Any = (TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint)(reactor, port, backlog, interface)
    if proxied:
        # The PROXY header comes before the TLS handshake.
        below = ProxiedEndpoint(reactor, below, trusts)
    key_file = given.get("privateKey", "server.pem")
    certificate = ServerCertificate(key_file, given.get("certKey", key_file), given.get("extraCertChain", ""))
    return TlsServerEndpoint(reactor, below, certificate)


def carrier_endpoint(reactor: Any, carrier: Carrier) -> IStreamClientEndpoint:
    """Makes the endpoint of a carrier's `connect`, with its `tls` files.

    :raises TlsProblem, ValueError, TypeError, OSError: the description, or a file, can't be used.
    """
    parts = _ascii_hosts(split_description(carrier.connect))
    names = {part.partition("=")[0] for part in parts[1:] if "=" in part}
    if parts[0] != "tls" or (carrier.tls is None and names - set(_CLIENT_ARGUMENTS)):
        # With further arguments (such as trustRoots), Twisted's own endpoint is used.
        twisted_endpoint: IStreamClientEndpoint = clientFromString(reactor, join_description(parts))
        return twisted_endpoint
    given = _arguments(parts[1:], _CLIENT_ARGUMENTS, carrier.connect)
    below: dict[str, Any] = {}
    if "timeout" in given:
        below["timeout"] = float(given["timeout"])
    if "bindAddress" in given:
        below["bindAddress"] = (given["bindAddress"], 0)
    host, port = given.get("host", ""), int(given.get("port", ""))
    files = carrier.tls or CarrierTls()
    endpoint = ClientTlsEndpoint(
        AsciiHostEndpoint(reactor, host, port, **below), host, files.ca_file, files.certificate_file, files.key_file
    )
    endpoint.check()
    return endpoint


def _ascii_hosts(parts: list[str]) -> list[str]:
    """Writes the host names of a client's description in ASCII. Twisted and the system's resolver would use IDNA 2003.

    :raises ValueError: one of them isn't a host name.
    """
    scheme, *arguments = parts
    if scheme.lower() not in ("tcp", "ssl", "tls"):
        return parts
    written: list[str] = [scheme]
    for argument in arguments:
        name, separator, value = argument.rpartition("=")
        written.append(name + separator + ascii_host(value) if name in ("", "host", "hostname") else argument)
    return written


def _arguments(parts: list[str], names: tuple[str, ...], description: str) -> dict[str, str]:
    given: dict[str, str] = {}
    position = 0
    for part in parts:
        name, separator, value = part.partition("=")
        if not separator:
            if position >= len(names):
                raise TlsProblem(f"{description!r} has too many arguments")
            name, value = names[position], part
            position += 1
        elif name not in (*names, "dhParameters"):
            raise TlsProblem(f"{description!r} has an unknown argument {name!r}")
        given[name] = value
    return given

"""TLS on listeners and towards carriers: endpoints whose certificates can be replaced while the relay runs.

Endpoint descriptions are Twisted's: `ssl:443:privateKey=key.pem:certKey=fullchain.pem` for a listener,
`tls:smpp.carrier.example:3550` for a carrier. These endpoints differ from Twisted's own: TLS 1.2 is the lowest version,
a certificate file may hold its whole chain, and key files that others may read are refused. The files are read again
when `refresh` is called (listeners) or a connection is made (carriers). Open connections keep the old certificate.

A carrier's certificate is always verified, against the system's authorities or `ca_file`, and for the host's name.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from twisted.internet import ssl
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    clientFromString,
    wrapClientTLS,
)
from twisted.internet.endpoints import serverFromString as twisted_server_from_string
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from relay.config.model import Carrier, CarrierTls
from relay.runtime.proxy_protocol import ProxiedFactory

_CERTIFICATE_BEGINS = b"-----BEGIN CERTIFICATE-----"
_CERTIFICATE_ENDS = b"-----END CERTIFICATE-----"
#: The names of the arguments after `ssl:`, in the order in which Twisted reads arguments without a name.
_SERVER_ARGUMENTS = ("port", "privateKey", "certKey", "sslmethod", "interface", "backlog", "extraCertChain")
_CLIENT_ARGUMENTS = ("host", "port", "timeout", "bindAddress")


class TlsProblem(ValueError):
    """A certificate, key or description can't be used. The text names the file, and says what to do."""


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
        key = _read_key(key_file)
        certificate, *chain = _read_certificates(certificate_file)
        if chain_file:
            chain.extend(_read_certificates(chain_file))
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


@implementer(IStreamClientEndpoint)
class CarrierTlsEndpoint:
    """Connects to a carrier with TLS. It reads the certificate files at each connect, so that it uses new ones."""

    def __init__(self, reactor: Any, host: str, port: int, settings: CarrierTls, **below: Any) -> None:
        self._reactor = reactor
        self._host = host
        self._settings = settings
        self._below = HostnameEndpoint(reactor, host, port, **below)
        self._options()

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[IProtocol]":
        try:
            endpoint: Any = wrapClientTLS(self._options(), self._below)
        except (TlsProblem, OSError) as problem:
            return fail(problem)
        connecting: Deferred[IProtocol] = endpoint.connect(protocolFactory)
        return connecting

    def _options(self) -> Any:
        settings = self._settings
        trusted = None
        if settings.ca_file:
            authorities = [ssl.Certificate(certificate) for certificate in _read_certificates(settings.ca_file)]
            trusted = ssl.trustRootFromCertificates(authorities)
        ours = None
        chain: list[crypto.X509] = []
        if settings.certificate_file:
            certificate, *chain = _read_certificates(settings.certificate_file)
            key = ssl.KeyPair(_read_key(settings.key_file))
            ours = ssl.PrivateCertificate.fromCertificateAndKeyPair(ssl.Certificate(certificate), key)
        extra: dict[str, Any] = {"raiseMinimumTo": ssl.TLSVersion.TLSv1_2}
        if chain:
            extra["extraCertChain"] = chain
        return ssl.optionsForClientTLS(
            self._host, trustRoot=trusted, clientCertificate=ours, extraCertificateOptions=extra
        )


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
    parts = split_description(carrier.connect)
    names = {part.partition("=")[0] for part in parts[1:] if "=" in part}
    if parts[0] != "tls" or (carrier.tls is None and names - set(_CLIENT_ARGUMENTS)):
        # With further arguments (such as trustRoots), Twisted's own endpoint is used.
        endpoint: IStreamClientEndpoint = clientFromString(reactor, carrier.connect)
        return endpoint
    given = _arguments(parts[1:], _CLIENT_ARGUMENTS, carrier.connect)
    below: dict[str, Any] = {}
    if "timeout" in given:
        below["timeout"] = float(given["timeout"])
    if "bindAddress" in given:
        below["bindAddress"] = (given["bindAddress"], 0)
    host, port = given.get("host", ""), int(given.get("port", ""))
    return CarrierTlsEndpoint(reactor, host, port, carrier.tls or CarrierTls(), **below)


def split_description(description: str) -> list[str]:
    """Splits an endpoint description at its colons. `\\:` is a colon within an argument."""
    parts = [""]
    escaped = False
    for character in description:
        if escaped or character not in ":\\":
            parts[-1] += character
            escaped = False
        elif character == "\\":
            escaped = True
        else:
            parts.append("")
    return parts


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


def check_key_permissions(key_file: str) -> None:
    """Checks that only its owner and its group may read a key.

    :raises TlsProblem: others may read it. The text says what to do.
    :raises OSError: the file doesn't exist, or can't be examined.
    """
    mode = stat.S_IMODE(os.stat(key_file).st_mode)
    if mode & 0o007:
        raise TlsProblem(f"other users may read {key_file} (mode {mode:04o}): chmod o-rwx {key_file}")


def _read_key(key_file: str) -> crypto.PKey:
    check_key_permissions(key_file)
    try:
        return crypto.load_privatekey(crypto.FILETYPE_PEM, Path(key_file).read_bytes(), _no_passphrase)
    except (crypto.Error, ValueError, TypeError) as problem:
        raise TlsProblem(f"{key_file} has no private key in PEM form, or its key has a passphrase") from problem


def _no_passphrase(*_: object) -> bytes:
    # Without this, OpenSSL would ask for a passphrase on the terminal.
    return b""


def _read_certificates(certificate_file: str) -> list[crypto.X509]:
    try:
        found = [
            crypto.load_certificate(crypto.FILETYPE_PEM, block)
            for block in _pem_blocks(Path(certificate_file).read_bytes())
        ]
    except (crypto.Error, ValueError) as problem:
        raise TlsProblem(f"{certificate_file} has a certificate that can't be read") from problem
    if not found:
        raise TlsProblem(f"{certificate_file} has no certificate in PEM form")
    return found


def _pem_blocks(octets: bytes) -> Iterator[bytes]:
    start = octets.find(_CERTIFICATE_BEGINS)
    while start >= 0:
        end = octets.find(_CERTIFICATE_ENDS, start)
        if end < 0:
            raise ValueError("a certificate has no end")
        end += len(_CERTIFICATE_ENDS)
        yield octets[start:end] + b"\n"
        start = octets.find(_CERTIFICATE_BEGINS, end)

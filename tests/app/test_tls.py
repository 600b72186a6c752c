"""TLS with real certificates on real sockets: which certificates are shown, verified and refused."""

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from relay.app.tls import TlsServerEndpoint, carrier_endpoint, server_endpoint
from relay.config.carrier_config import Carrier
from relay.config.tls_config import CarrierTls
from relay.runtime.client_tls import TlsProblem
from tests.certificates import Authority
from tests.names import Names


class Peer(Protocol):
    """Remembers what it got, and what the other side showed."""

    def __init__(self) -> None:
        self.got = b""
        self.heard: Deferred[bytes] = Deferred()
        self.gone: Deferred[str] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        if not self.heard.called:
            self.heard.callback(data)

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        self.gone.callback(reason.getErrorMessage())
        if not self.heard.called:
            self.heard.errback(reason)

    @property
    def shown(self) -> str:
        """The fingerprint of the other side's certificate."""
        certificate = self.transport.getPeerCertificate()  # type: ignore[union-attr]
        return "" if certificate is None else certificate.digest("sha256").decode()


class Greeter(Peer):
    """Says hello once the handshake lets it. Nobody waits for what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard.addErrback(lambda _: None)

    def connectionMade(self) -> None:
        self.transport.write(b"hello")  # type: ignore[union-attr]


class TlsTestCase(TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.authority = Authority(self.directory)
        self.greeters: list[Greeter] = []

    async def listen(self, endpoint: IStreamServerEndpoint) -> int:
        factory = Factory()
        factory.noisy = False

        def build(address: object) -> Greeter:
            self.greeters.append(Greeter())
            return self.greeters[-1]

        factory.buildProtocol = build  # type: ignore[method-assign,assignment]
        port: IListeningPort = await endpoint.listen(factory)
        self.addCleanup(port.stopListening)
        return port.getHost().port  # type: ignore[attr-defined, no-any-return]

    async def connect(self, endpoint: IStreamClientEndpoint) -> Peer:
        factory = Factory.forProtocol(Peer)
        factory.noisy = False
        peer: Any = await endpoint.connect(factory)

        def close() -> Any:
            if not peer.gone.called:
                peer.transport.abortConnection()
            return peer.gone

        self.addCleanup(close)
        return peer  # type: ignore[no-any-return]


class ListenerTests(TlsTestCase):
    def server(self, *hosts: str, **issue: Any) -> TlsServerEndpoint:
        key, certificate = self.authority.issue("server", *(hosts or ("localhost",)), **issue)
        endpoint = server_endpoint(reactor, f"ssl:0:privateKey={key}:certKey={certificate}:interface=127.0.0.1")
        assert isinstance(endpoint, TlsServerEndpoint)
        return endpoint

    def client(self, port: int, **options: Any) -> Any:
        trusted = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(self.authority.file.read_bytes())])
        creator = ssl.optionsForClientTLS("localhost", trustRoot=trusted, extraCertificateOptions=options)
        return wrapClientTLS(creator, HostnameEndpoint(reactor, "localhost", port))

    async def test_a_client_that_trusts_the_authority_gets_through(self) -> None:
        peer = await self.connect(self.client(await self.listen(self.server())))
        self.assertEqual(b"hello", await peer.heard)

    async def test_a_connection_that_is_refused_behind_tls_is_closed_and_leaves_nothing_behind(self) -> None:
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda address: None  # type: ignore[method-assign,assignment]
        port = await self.server().listen(factory)
        self.addCleanup(port.stopListening)
        with self.assertRaises((ConnectionLost, ConnectionDone)):
            # It connects, is closed, and hears nothing. What the server logs as a failure would fail this test.
            peer = await self.connect(self.client(port.getHost().port))  # type: ignore[attr-defined]
            await peer.heard

    async def test_versions_below_tls_1_2_are_refused(self) -> None:
        port = await self.listen(self.server())
        peer = await self.connect(self.client(port, insecurelyLowerMinimumTo=ssl.TLSVersion.TLSv1_0,
                                              lowerMaximumSecurityTo=ssl.TLSVersion.TLSv1_1))  # fmt: skip
        await self.assertFailure(peer.heard, Exception)

    async def test_a_new_certificate_is_shown_after_a_refresh_and_open_connections_stay(self) -> None:
        endpoint = self.server()
        port = await self.listen(endpoint)
        before = await self.connect(self.client(port))
        await before.heard
        self.authority.issue("server", "localhost")
        unchanged = await self.connect(self.client(port))
        await unchanged.heard
        self.assertTrue(endpoint.certificate.refresh())
        after = await self.connect(self.client(port))
        await after.heard
        self.assertEqual(before.shown, unchanged.shown)
        self.assertEqual(endpoint.certificate.fingerprint, after.shown)
        self.assertNotEqual(before.shown, after.shown)
        self.greeters[0].transport.write(b" again")  # type: ignore[union-attr]
        while b"again" not in before.got:
            before.heard = Deferred()
            await before.heard

    async def test_a_refresh_with_a_key_that_does_not_fit_changes_nothing(self) -> None:
        endpoint = self.server()
        port = await self.listen(endpoint)
        _, certificate = self.authority.issue("other", "localhost")
        certificate.rename(self.directory / "server.pem")
        self.assertRaises(TlsProblem, endpoint.certificate.refresh)
        peer = await self.connect(self.client(port))
        self.assertEqual(b"hello", await peer.heard)

    def test_a_refresh_with_the_same_files_says_so(self) -> None:
        self.assertFalse(self.server().certificate.refresh())

    def test_a_key_that_others_may_read_is_refused_by_name(self) -> None:
        problem = self.assertRaises(TlsProblem, self.server, "localhost", mode=0o644)
        self.assertIn("server.key (mode 0644): chmod o-rwx", str(problem))

    def test_a_file_without_a_key_or_certificate_is_refused_by_name(self) -> None:
        key, certificate = self.authority.issue("server", "localhost")
        for file, expected in ((key, "server.key has no private key"), (certificate, "server.pem has no certif")):
            kept = file.read_bytes()
            file.write_bytes(b"nothing of the kind")
            problem = self.assertRaises(
                TlsProblem, server_endpoint, reactor, f"ssl:443:privateKey={key}:certKey={certificate}"
            )
            self.assertIn(expected, str(problem))
            file.write_bytes(kept)

    def test_old_protocol_switches_are_refused(self) -> None:
        key, certificate = self.authority.issue("server", "localhost")
        description = f"ssl:443:privateKey={key}:certKey={certificate}:sslmethod=TLSv1_METHOD"
        self.assertRaises(TlsProblem, server_endpoint, reactor, description)

    def test_other_endpoint_descriptions_are_left_to_twisted(self) -> None:
        self.assertIsInstance(server_endpoint(reactor, "tcp:0:interface=127.0.0.1"), TCP4ServerEndpoint)
        self.assertRaises(ValueError, server_endpoint, reactor, "nonsense")


class CarrierTests(TlsTestCase):
    async def carrier(self, *hosts: str, ask_for_certificate: bool = False) -> int:
        """A carrier's own server, made with Twisted's means and not ours."""
        key, certificate = self.authority.issue("carrier", *hosts)
        own = ssl.PrivateCertificate.loadPEM(certificate.read_bytes() + key.read_bytes())
        trusted = ssl.Certificate.loadPEM(self.authority.file.read_bytes())
        options = own.options(trusted) if ask_for_certificate else own.options()

        class Endpoint:
            def listen(self, factory: Any) -> Any:
                below = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
                return below.listen(TLSMemoryBIOFactory(options, False, factory, reactor))

        return await self.listen(Endpoint())  # type: ignore[arg-type]

    def settings(self, port: int, host: str = "localhost", **files: Any) -> Carrier:
        files = {"ca_file": str(self.authority.file)} | {name: str(file) for name, file in files.items()}
        return Carrier(connect=f"tls:{host}:{port}", tls=CarrierTls(**files))

    async def test_a_carrier_with_the_right_certificate_is_connected_to(self) -> None:
        port = await self.carrier("localhost")
        peer = await self.connect(carrier_endpoint(reactor, self.settings(port)))
        self.assertEqual(b"hello", await peer.heard)

    async def test_a_carrier_may_be_named_by_its_address(self) -> None:
        port = await self.carrier("127.0.0.1")
        peer = await self.connect(carrier_endpoint(reactor, self.settings(port, "127.0.0.1")))
        self.assertEqual(b"hello", await peer.heard)

    async def test_a_carrier_s_name_beyond_ascii_is_looked_up_and_verified_by_idna_2008(self) -> None:
        names = Names("127.0.0.1")
        install = reactor.installNameResolver  # type: ignore[attr-defined]
        self.addCleanup(install, install(names))
        port = await self.carrier("xn--fa-hia.example")
        peer = await self.connect(carrier_endpoint(reactor, self.settings(port, "faß.example")))
        self.assertEqual(b"hello", await peer.heard)
        self.assertEqual(["xn--fa-hia.example"], names.asked)

    def test_a_carrier_s_name_is_looked_up_by_idna_2008_without_tls_too(self) -> None:
        for connect in ("tcp:faß.example:2775", "tcp:port=2775:host=faß.example:timeout=9", "ssl:faß.example:2775"):
            memory = MemoryReactorClock()
            carrier_endpoint(memory, Carrier(connect=connect)).connect(Factory.forProtocol(Protocol))
            clients = memory.tcpClients or memory.sslClients
            self.assertEqual(("xn--fa-hia.example", 2775), clients[0][:2], connect)

    async def test_a_certificate_for_another_host_is_refused(self) -> None:
        port = await self.carrier("elsewhere.example")
        peer = await self.connect(carrier_endpoint(reactor, self.settings(port)))
        await self.assertFailure(peer.heard, Exception)
        self.assertEqual(b"", peer.got)

    async def test_a_certificate_of_an_unknown_authority_is_refused(self) -> None:
        port = await self.carrier("localhost")
        other = Authority(self.directory, "another authority")
        peer = await self.connect(carrier_endpoint(reactor, self.settings(port, ca_file=other.file)))
        await self.assertFailure(peer.heard, Exception)
        self.assertEqual(b"", peer.got)

    async def test_without_a_ca_file_the_system_s_authorities_decide(self) -> None:
        port = await self.carrier("localhost")
        peer = await self.connect(carrier_endpoint(reactor, Carrier(connect=f"tls:localhost:{port}")))
        await self.assertFailure(peer.heard, Exception)

    async def test_a_carrier_that_asks_for_a_certificate_gets_ours(self) -> None:
        port = await self.carrier("localhost", ask_for_certificate=True)
        key, certificate = self.authority.issue("relay", "relay.example")
        settings = self.settings(port, certificate_file=certificate, key_file=key)
        peer = await self.connect(carrier_endpoint(reactor, settings))
        self.assertEqual(b"hello", await peer.heard)
        ours = ssl.Certificate.loadPEM(certificate.read_bytes())
        self.assertEqual(ours.digest("sha256"), self.greeters[0].shown.encode())

    async def test_a_new_certificate_of_ours_is_shown_at_the_next_connect(self) -> None:
        port = await self.carrier("localhost", ask_for_certificate=True)
        key, certificate = self.authority.issue("relay", "relay.example")
        endpoint = carrier_endpoint(reactor, self.settings(port, certificate_file=certificate, key_file=key))
        self.authority.issue("relay", "relay.example")
        peer = await self.connect(endpoint)
        await peer.heard
        ours = ssl.Certificate.loadPEM(certificate.read_bytes())
        self.assertEqual(ours.digest("sha256"), self.greeters[0].shown.encode())

    def test_our_key_may_not_be_read_by_others_either(self) -> None:
        key, certificate = self.authority.issue("relay", "relay.example", mode=0o604)
        settings = self.settings(1, certificate_file=certificate, key_file=key)
        self.assertRaises(TlsProblem, carrier_endpoint, reactor, settings)

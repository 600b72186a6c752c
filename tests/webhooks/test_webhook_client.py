"""The webhook client: with treq's own stub, and with real sockets for tests about sockets."""

import gzip
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from treq.testing import StubTreq
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web._newclient import Request
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface import implementer

from relay.config.tls_config import NotificationTls
from relay.webhooks.answer import Answer
from relay.webhooks.connections import BytesBody, HttpClients, OneWrite, ReadyHeaders
from relay.webhooks.webhook_client import TOTAL_SECONDS, WebhookClient
from relay.webhooks.whole_answer import BODY_KEPT_BYTES
from tests.certificates import Authority
from tests.names import Names

HEADERS = {b"Content-Type": [b"application/json"], b"Webhook-Id": [b"id_1"]}


async def servers_closed() -> None:
    """Waits until each server in this process has seen that its connections are closed."""
    while any(isinstance(reader, Server) for reader in reactor.getReaders()):
        await deferLater(reactor, 0.001)


class Receiver(Resource):
    """Answers as `answer` says, and remembers what it got."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.code = 204
        self.body = b""
        self.headers: dict[bytes, bytes] = {}
        self.seen: list[Any] = []
        self.hold = False

    def render(self, request: Any) -> Any:
        self.seen.append(
            (request.method, request.uri, dict(request.requestHeaders.getAllRawHeaders()), request.content.read())
        )
        request.setResponseCode(self.code)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        return NOT_DONE_YET if self.hold else self.body


class StubbedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.receiver = Receiver()
        self.clock = Clock()
        stub: Any = StubTreq(self.receiver)
        self.stub = stub
        self.client = WebhookClient(lambda allow_private, tls: stub, self.clock)

    def send(self, url: str = "http://yoursite.com/in?a=1", **more: Any) -> Answer:
        sending = Deferred.fromCoroutine(
            self.client.send(url, dict(HEADERS), b'{"id": 1}', allow_private=False, **more)
        )
        self.stub.flush()
        answer: Answer = self.successResultOf(sending)
        return answer

    def test_the_request_is_what_was_asked_for_and_nothing_more(self) -> None:
        self.assertEqual(self.send(), Answer(204))
        method, uri, headers, body = self.receiver.seen[0]
        self.assertEqual((method, uri, body), (b"POST", b"/in?a=1", b'{"id": 1}'))
        self.assertEqual(headers[b"Host"], [b"yoursite.com"])
        self.assertNotIn(b"Cookie", headers)

    def test_a_user_and_password_in_the_url_become_a_header(self) -> None:
        self.send("http://me:secret@yoursite.com/in")
        _, uri, headers, _ = self.receiver.seen[0]
        self.assertEqual((uri, headers[b"Authorization"]), (b"/in", [b"Basic bWU6c2VjcmV0"]))

    def test_the_beginning_of_the_answers_body_is_kept(self) -> None:
        self.receiver.code, self.receiver.body = 500, b"x" * 5000
        answer = self.send()
        self.assertEqual((answer.code, answer.body), (500, b"x" * BODY_KEPT_BYTES))

    def test_redirects_are_not_followed(self) -> None:
        self.receiver.code, self.receiver.headers = 302, {b"Location": b"http://elsewhere.example/"}
        self.assertEqual(self.send().code, 302)
        self.assertEqual(len(self.receiver.seen), 1)

    def test_retry_after_is_passed_on(self) -> None:
        self.receiver.code, self.receiver.headers = 429, {b"Retry-After": b"30"}
        self.assertEqual(self.send().retry_after, "30")

    def test_a_text_that_is_no_url_is_answered_without_a_request(self) -> None:
        for text in ("", "gopher://x", "gopher://x"):
            self.assertEqual(self.send(text).code, 0)
        self.assertEqual(self.receiver.seen, [])

    def test_each_request_goes_to_its_own_url(self) -> None:
        urls = ["http://a.example/1", "http://a.example/1", "http://me:pw@b.example/2", "http://a.example/1"]
        for url in urls:
            self.send(url)
        seen = [(uri, headers.get(b"Authorization")) for _, uri, headers, _ in self.receiver.seen]
        self.assertEqual([uri for uri, _ in seen], [b"/1", b"/1", b"/2", b"/1"])
        self.assertEqual([bool(authorization) for _, authorization in seen], [False, False, True, False])

    def test_an_answer_that_never_comes_is_given_up_in_time(self) -> None:
        self.receiver.hold = True
        sending = Deferred.fromCoroutine(
            self.client.send("http://yoursite.com/", dict(HEADERS), b"{}", allow_private=False)
        )
        self.stub.flush()
        self.clock.advance(TOTAL_SECONDS - 0.1)
        self.assertNoResult(sending)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(sending), Answer(0, "timeout"))

    def test_a_get_has_no_body(self) -> None:
        sending = self.client.send("http://yoursite.com/cb", {}, None, allow_private=False, method="GET")
        done = Deferred.fromCoroutine(sending)
        self.stub.flush()
        self.assertEqual(self.successResultOf(done).code, 204)
        self.assertEqual(self.receiver.seen[0][0], b"GET")


class CountingSite(Site):
    """Counts the connections that are made to it."""

    connections = 0

    def buildProtocol(self, addr: Any) -> Any:
        self.connections += 1
        return super().buildProtocol(addr)


class Scripted(Protocol):
    """Answers every request with these octets."""

    octets = b""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self.octets)


class SocketTests(TestCase):
    """Against a real server on loopback."""

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.site = CountingSite(self.receiver)
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        self.port: Any = self.successResultOf(endpoint.listen(self.site))
        self.addCleanup(self.port.stopListening)
        self.clients = HttpClients(reactor)
        self.client = WebhookClient(self.clients, reactor)
        self.addCleanup(self.close)

    async def close(self) -> None:
        self.client.close()
        for http in (self.clients.public, self.clients.any):
            agent: Any = http._agent
            await agent._pool.closeCachedConnections()
        await servers_closed()

    def resolve_to(self, *addresses: str) -> Names:
        """Makes every name lead to these addresses."""
        install = reactor.installNameResolver  # type: ignore[attr-defined]
        names = Names(*addresses)
        self.addCleanup(install, install(names))
        return names

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port.getHost().port}/in"

    async def send(self, url: str, allow_private: bool = True) -> Answer:
        return await self.client.send(url, dict(HEADERS), b"{}", allow_private=allow_private)

    async def test_one_connection_serves_request_after_request(self) -> None:
        for _ in range(5):
            self.assertEqual((await self.send(self.url())).code, 204)
        self.receiver.code, self.receiver.body = 200, b"thanks"
        for _ in range(5):
            self.assertEqual((await self.send(self.url())).body, b"thanks")
        self.assertEqual(self.site.connections, 1)

    async def test_cookies_are_not_kept(self) -> None:
        self.receiver.headers = {b"Set-Cookie": b"a=b"}
        await self.send(self.url())
        await self.send(self.url())
        self.assertNotIn(b"Cookie", self.receiver.seen[1][2])

    async def test_a_compressed_answer_is_not_unpacked(self) -> None:
        bomb = gzip.compress(b"x" * 50_000_000)
        self.receiver.code, self.receiver.body = 200, bomb
        self.receiver.headers = {b"Content-Encoding": b"gzip"}
        self.assertEqual((await self.send(self.url())).body, bomb[:BODY_KEPT_BYTES])

    async def test_a_request_whose_connection_came_too_late_is_not_sent(self) -> None:
        """The process was paused while it connected, and another relay may send the request now."""

        class ShutGate:
            open = False

        client = WebhookClient(HttpClients(reactor, gate=ShutGate()), reactor)
        self.addCleanup(client.close)
        answer = await client.send(self.url(), dict(HEADERS), b"{}", allow_private=True)
        self.assertEqual(answer.code, 0)
        self.assertEqual(self.receiver.seen, [])

    async def test_a_private_address_is_refused_without_a_connection(self) -> None:
        for host in ("127.0.0.1", "localhost", "localhost.", "[::ffff:127.0.0.1]"):
            answer = await self.send(self.url(host), allow_private=False)
            self.assertEqual(answer.code, 0)
            self.assertIn(answer.reason[:26], ("refused: the name leads to", "no such host"), host)
        self.assertEqual(self.site.connections, 0)

    async def test_a_connection_of_an_account_that_may_is_not_lent_to_one_that_may_not(self) -> None:
        self.assertEqual((await self.send(self.url())).code, 204)
        self.assertEqual((await self.send(self.url(), allow_private=False)).code, 0)

    async def test_a_name_that_leads_inside_is_refused(self) -> None:
        self.resolve_to("10.0.0.1", "169.254.169.254", "::1")
        answer = await self.send("http://inside.example/", allow_private=False)
        self.assertIn("refused: the name leads to", answer.reason)

    async def test_a_name_beyond_ascii_is_looked_up_by_idna_2008(self) -> None:
        names = self.resolve_to("127.0.0.1")
        self.assertEqual((await self.send(self.url("faß.example"))).code, 204)
        self.assertEqual(names.asked, ["xn--fa-hia.example"])
        self.assertEqual(self.receiver.seen[0][2][b"Host"], [b"xn--fa-hia.example:%d" % self.port.getHost().port])

    async def test_the_addresses_of_a_name_beyond_ascii_are_checked_too(self) -> None:
        self.resolve_to("10.0.0.1")
        answer = await self.send(self.url("faß.example"), allow_private=False)
        self.assertIn("refused: the name leads to", answer.reason)

    async def test_odd_answers_count_and_each_has_a_connection_of_its_own(self) -> None:
        for octets in (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        ):
            kind = type("Odd", (Scripted,), {"octets": octets})
            with self.subTest(octets):
                answer = await self.serve(kind, "", 3, requests=3)
                self.assertEqual(answer.code, 200)

    async def test_each_failure_is_named(self) -> None:
        refused = await self.send("http://127.0.0.1:1/")
        self.assertEqual(refused.reason, "connection refused")
        self.resolve_to()
        self.assertEqual((await self.send("http://nowhere.example/")).reason, "no such host")

    async def test_a_receiver_that_closes_a_fresh_connection_without_an_answer_is_asked_once(self) -> None:
        class Rude(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.loseConnection()

        await self.serve(Rude, "connection closed", 1)

    async def test_a_receiver_that_does_not_speak_http_is_reported(self) -> None:
        class Other(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"220 mail.example ESMTP\r\n")

        await self.serve(Other, "no valid HTTP answer", 1)

    async def test_an_answer_without_end_is_cut_off(self) -> None:
        class Endless(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 400_000)

        answer = await self.serve(Endless, "", 1)
        self.assertEqual((answer.code, len(answer.body)), (200, BODY_KEPT_BYTES))

    async def test_headers_without_end_are_cut_off(self) -> None:
        class Endless(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.write(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0123456789abcdef\r\n" * 20_000)

        await self.serve(Endless, "connection closed", 1, at_least=1)

    async def serve(
        self, kind: type[Protocol], reason: str, connections: int, at_least: int = 0, requests: int = 1
    ) -> Answer:
        """Sends to a server of this kind; expects the reason."""
        opened: list[Protocol] = []

        class Counting(Factory):
            def buildProtocol(self, address: Any) -> Protocol:
                opened.append(kind())
                return opened[-1]

        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Counting())
        try:
            for _ in range(requests):
                answer = await self.send(f"http://127.0.0.1:{port.getHost().port}/")
        finally:
            await port.stopListening()
        self.assertEqual(answer.reason, reason)
        if not at_least:
            self.assertEqual(len(opened), connections)
        return answer


class CountingGate:
    """A gate that is open for a number of questions."""

    def __init__(self, opens: int) -> None:
        self._opens = opens
        self.asked = 0

    @property
    def open(self) -> bool:
        self.asked += 1
        return self.asked <= self._opens


class TlsFilesTests(TestCase):
    """Receivers over TLS that ask for our certificate, or whose authority nobody else knows."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.authority = Authority(Path(directory.name))
        self.shown: list[bytes] = []
        key, certificate = self.authority.issue("receiver", "localhost")
        own = ssl.PrivateCertificate.loadPEM(certificate.read_bytes() + key.read_bytes())
        trusted = ssl.Certificate.loadPEM(self.authority.file.read_bytes())
        shown = self.shown

        class Https(Scripted):
            octets = b"HTTP/1.1 204 No Content\r\n\r\n"

            def dataReceived(self, data: bytes) -> None:
                peer = ssl.Certificate.peerFromTransport(self.transport)
                shown.append(peer.digest("sha256"))
                super().dataReceived(data)

        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        https = TLSMemoryBIOFactory(own.options(trusted), False, Factory.forProtocol(Https), reactor)
        self.port: Any = self.successResultOf(endpoint.listen(https))
        self.addCleanup(self.port.stopListening)
        self.clients = HttpClients(reactor)
        self.client = WebhookClient(self.clients, reactor)
        self.key, self.certificate = self.authority.issue("relay", "relay.example")
        self.files = NotificationTls(str(self.authority.file), str(self.certificate), str(self.key))
        self.addCleanup(self.close)

    async def close(self) -> None:
        self.client.close()
        for files in (None, self.files):
            agent: Any = self.clients(True, files)._agent
            await agent._pool.closeCachedConnections()
        await servers_closed()

    async def send(self, files: NotificationTls | None) -> Answer:
        url = f"https://localhost:{self.port.getHost().port}/"
        return await self.client.send(url, {}, b"{}", allow_private=True, tls=files)

    def digest(self) -> bytes:
        digest: bytes = ssl.Certificate.loadPEM(self.certificate.read_bytes()).digest("sha256")
        return digest

    async def test_a_receiver_that_asks_for_a_certificate_gets_the_account_s(self) -> None:
        self.assertEqual(await self.send(self.files), Answer(204))
        self.assertEqual(self.shown, [self.digest()])

    async def test_a_request_is_not_sent_if_the_relay_may_send_no_more_after_the_handshake(self) -> None:
        """The process was paused within the handshake, and another relay may send the request now."""
        for opens in (1, 2):
            gate = CountingGate(opens)
            clients = HttpClients(reactor, gate=gate)
            client = WebhookClient(clients, reactor)
            url = f"https://localhost:{self.port.getHost().port}/"
            answer = await client.send(url, {}, b"{}", allow_private=True, tls=self.files)
            client.close()
            agent: Any = clients(True, self.files)._agent
            await agent._pool.closeCachedConnections()
            self.assertEqual((answer.code, len(self.shown)), (0, 0) if opens == 1 else (204, 1))
            # After the connection, and after the handshake.
            self.assertEqual(gate.asked, 2)

    async def test_a_handshake_that_fails_says_why_also_in_a_cluster(self) -> None:
        class OpenGate:
            open = True

        client = WebhookClient(HttpClients(reactor, gate=OpenGate()), reactor)
        answer = await client.send(
            f"https://localhost:{self.port.getHost().port}/", {}, b"{}", allow_private=True, tls=None
        )
        client.close()
        self.assertEqual((answer.code, answer.reason), (0, (await self.send(None)).reason))

    async def test_an_account_without_it_comes_by_no_connection_that_was_made_with_it(self) -> None:
        self.assertEqual((await self.send(self.files)).code, 204)
        answer = await self.send(None)
        self.assertEqual(answer.code, 0)
        self.assertIn("TLS", answer.reason)

    async def test_a_new_certificate_is_shown_with_the_next_connection(self) -> None:
        await self.send(self.files)
        first = self.digest()
        self.authority.issue("relay", "relay.example")
        agent: Any = self.clients(True, self.files)._agent
        await agent._pool.closeCachedConnections()
        await self.send(self.files)
        self.assertEqual(self.shown, [first, self.digest()])
        self.assertNotEqual(first, self.digest())

    async def test_files_that_can_not_be_used_fail_the_attempt_and_the_log_says_which(self) -> None:
        logged: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            logged.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.key.write_bytes(b"nothing of the kind")
        answer = await self.send(self.files)
        self.assertEqual(answer, Answer(0, "TLS: our certificate or the authorities can't be used"))
        (line,) = [line for line in logged if line.startswith("webhook_tls_files")]
        self.assertIn(str(self.key), line)


class OneWriteTests(SynchronousTestCase):
    """What goes out in one write is what Twisted's own request writes in many."""

    @given(
        st.sampled_from([b"POST", b"GET"]),
        st.from_regex(rb"/[!-~]{0,30}", fullmatch=True),
        st.dictionaries(
            st.sampled_from([b"Content-Type", b"Webhook-Id", b"Webhook-Signature", b"X-Relay-Attempt"]),
            st.lists(st.from_regex(rb"[!-~]{1,20}", fullmatch=True), min_size=1, max_size=2),
        ),
        st.none() | st.binary(max_size=50),
    )
    def test_writing_at_once_and_in_the_next_turn_write_the_same_octets(
        self, method: bytes, target: bytes, headers: dict[bytes, list[bytes]], body: bytes | None
    ) -> None:
        written = []
        headers = {b"Host": [b"a.example"], **headers}
        for kind, made in ((Request, Headers(headers)), (OneWrite, ReadyHeaders.of(dict(headers)))):
            transport = StringTransport()
            producer = None if body is None else BytesBody(body)
            self.successResultOf(kind(method, target, made, producer, persistent=True).writeTo(transport))
            head, _, rest = transport.value().partition(b"\r\n\r\n")
            first, *lines = head.split(b"\r\n")
            written.append((first, sorted(lines), rest))
        self.assertEqual(written[0], written[1])

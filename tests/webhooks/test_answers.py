"""Answers of real receivers, octet by octet: which of them count, and which connections are used again."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory, ISSLTransport, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import alsoProvides, implementer

from relay.webhooks.answer import Answer
from relay.webhooks.connection_pool import ConnectionPool
from relay.webhooks.connections import PlainTreq, RememberingAgent
from relay.webhooks.webhook_client import TOTAL_SECONDS, WebhookClient

ORDINARY = b"HTTP/1.1 204 No Content\r\nDate: today\r\n\r\n"


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class Receiver:
    """Every connection that is made, with what came over it."""

    transport: type[StringTransport] = StringTransport

    def __init__(self) -> None:
        self.connections: list[Any] = []

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[Any]":
        protocol: Any = protocolFactory.buildProtocol(None)  # type: ignore[arg-type]
        protocol.makeConnection(self.transport())
        self.connections.append(protocol)
        return succeed(protocol)

    def answer(self, *pieces: bytes) -> None:
        """Answers over the latest connection."""
        for piece in pieces:
            self.connections[-1].dataReceived(piece)

    def close(self, connection: int = -1, reason: type[Exception] = ConnectionDone) -> None:
        self.connections[connection].connectionLost(Failure(reason()))

    def closed_by_us(self, connection: int = -1) -> bool:
        closing: bool = self.connections[connection].transport.disconnecting
        return closing

    @property
    def requests(self) -> list[int]:
        """How many requests came over each connection."""
        return [c.transport.value().count(b" HTTP/1.1\r\n") for c in self.connections]


class AnswersTestCase(SynchronousTestCase):
    """A webhook client whose connections lead to a `Receiver`."""

    def setUp(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.clock = Clock()
        self.receiver = Receiver()
        http = PlainTreq(RememberingAgent(self.clock, self.receiver, ConnectionPool(self.clock)))
        self.client = WebhookClient(lambda allow_private, tls: http, self.clock)

    def send(self, url: str = "http://a.example/in") -> "Deferred[Answer]":
        return Deferred.fromCoroutine(
            self.client.send(url, {b"Content-Type": [b"application/json"]}, b"{}", allow_private=True)
        )

    def answered(self, *pieces: bytes) -> Answer:
        """Sends a request that is answered so."""
        sending = self.send()
        self.receiver.answer(*pieces)
        return self.successResultOf(sending)


class OddAnswersTests(AnswersTestCase):
    """The status counts, and the connection is closed and never used again."""

    ODD = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n",
        b"HTTP/1.1 200 OK\r\nthis line has no colon\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n: no name\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX-Nul: \0\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX-Large: " + b"x" * 20_000 + b"\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2.0\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1  200  OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1\t200\tOK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200OK\r\nContent-Length: 2\r\n\r\nok",
        b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 \xf6k\0\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: CLOSE\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 299 whatever\r\nContent-Length: x\r\n\r\n",
    )

    def test_an_odd_answer_counts_and_its_connection_is_closed(self) -> None:
        for octets in self.ODD:
            with self.subTest(octets):
                self.begin()
                self.assertTrue(self.answered(octets).ok)
                self.assertTrue(self.receiver.closed_by_us())
                self.assertTrue(self.answered(ORDINARY).ok)
                self.assertEqual(self.receiver.requests, [1, 1])

    def test_an_odd_answer_says_no_as_well(self) -> None:
        answer = self.answered(b"HTTP/1.1 503 Busy\r\nno colon\r\nRetry-After: 30\r\nContent-Length: +4\r\n\r\nbusy")
        self.assertEqual(answer, Answer(503, "", b"busy", "30"))

    def test_it_does_not_matter_how_an_odd_answer_is_cut(self) -> None:
        for octets in self.ODD:
            head, end, body = octets.rpartition(b"\r\n\r\n" if b"\r\n" in octets else b"\n\n")
            with self.subTest(octets):
                self.begin()
                pieces = [(head + end)[at : at + 1] for at in range(len(head + end))]
                self.assertTrue(self.answered(*pieces, body).ok)
                self.assertTrue(self.receiver.closed_by_us())

    def test_an_answer_that_breaks_off_after_its_status_counts(self) -> None:
        for octets in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no",
            b"HTTP/1.1 200 OK\r\n\r\nok",
        ):
            for reason in (ConnectionDone, ConnectionLost):
                with self.subTest(octets):
                    self.begin()
                    sending = self.send()
                    self.receiver.answer(octets)
                    self.receiver.close(reason=reason)
                    self.assertEqual(self.successResultOf(sending).code, 200)
                    self.assertEqual(self.receiver.requests, [1])

    def test_a_body_that_never_ends_leaves_the_status(self) -> None:
        for octets in (b"HTTP/1.1 200 OK\r\n\r\nok", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"):
            with self.subTest(octets):
                self.begin()
                sending = self.send()
                self.receiver.answer(octets)
                self.assertNoResult(sending)
                self.clock.advance(TOTAL_SECONDS + 1)
                self.assertEqual(self.successResultOf(sending), Answer(200, "", b"ok"))
                self.assertTrue(self.receiver.closed_by_us())

    def test_octets_that_are_no_answer_are_refused_at_once(self) -> None:
        for octets in (
            b"220 mail.example ESMTP\r\n",
            b"HTTP/1.1 99 What\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
            b"<html>\n",
        ):
            with self.subTest(octets):
                self.begin()
                self.assertEqual(self.answered(octets), Answer(0, "no valid HTTP answer"))
                self.assertTrue(self.receiver.closed_by_us())
                self.assertEqual(self.receiver.requests, [1])


class OrdinaryAnswersTests(AnswersTestCase):
    """The connection is used again."""

    ORDINARY = (
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 \r\ncontent-length:2\r\n\r\nok",
        b"HTTP/1.1 202 \xf6k\r\nContent-Length: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nDate: x\r\nDate: y\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        ORDINARY,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ORDINARY,
    )

    def test_an_ordinary_answer_leaves_the_connection_for_the_next_request(self) -> None:
        for octets in self.ORDINARY:
            with self.subTest(octets):
                self.begin()
                for _ in range(3):
                    self.assertTrue(self.answered(octets).ok)
                self.assertEqual(self.receiver.requests, [3])

    @given(st.sampled_from(ORDINARY), st.lists(st.integers(1, 100), max_size=5))
    def test_it_does_not_matter_how_an_answer_is_cut(self, octets: bytes, cuts: list[int]) -> None:
        self.begin()
        ends = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
        pieces = [octets[begin:end] for begin, end in pairwise(ends)]
        self.assertEqual(self.answered(octets), self.answered(*pieces))
        self.assertEqual(self.receiver.requests, [2])

    def test_octets_that_nobody_asked_for_close_the_connection(self) -> None:
        self.answered(ORDINARY)
        self.receiver.answer(b"HTTP/1.1 500 Not yours\r\n\r\n")
        self.assertTrue(self.receiver.closed_by_us())
        self.assertEqual(self.answered(ORDINARY).code, 204)
        self.assertEqual(self.receiver.requests, [1, 1])


class TlsTransport(StringTransport):
    """A connection over TLS, whose `loseConnection` waits until the other side says farewell as well."""

    aborted = False

    def __init__(self) -> None:
        super().__init__()
        alsoProvides(self, ISSLTransport)

    def loseConnection(self) -> None:
        raise AssertionError("the other side may never say farewell")

    def abortConnection(self) -> None:
        self.aborted = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass


class TlsTests(AnswersTestCase):
    def test_a_receiver_that_never_closes_its_side_of_tls_keeps_no_connection(self) -> None:
        for octets in (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", b"HTTP/2 204\r\n\r\n", b"220 mail\r\n"):
            with self.subTest(octets):
                self.begin()
                self.receiver.transport = TlsTransport
                self.answered(octets)
                self.assertTrue(self.receiver.connections[0].transport.aborted)


class SecondTryTests(AnswersTestCase):
    """A request is sent a second time only if it went over a kept connection that was closed without a word."""

    def test_a_fresh_connection_that_is_closed_without_an_answer_is_a_failure(self) -> None:
        sending = self.send()
        self.receiver.close()
        self.assertEqual(self.successResultOf(sending), Answer(0, "connection closed"))
        self.assertEqual(self.receiver.requests, [1])

    def test_a_kept_connection_that_is_closed_without_a_word_is_replaced_by_a_fresh_one(self) -> None:
        for reason in (ConnectionDone, ConnectionLost):
            self.begin()
            self.answered(ORDINARY)
            sending = self.send()
            self.receiver.close(reason=reason)
            self.receiver.answer(ORDINARY)
            self.assertEqual(self.successResultOf(sending).code, 204)
            self.assertEqual(self.receiver.requests, [2, 1])

    def test_the_second_try_takes_no_other_kept_connection(self) -> None:
        both = [self.send(), self.send()]
        for connection in self.receiver.connections:
            connection.dataReceived(ORDINARY)
        self.assertEqual([self.successResultOf(sending).code for sending in both], [204, 204])
        sending = self.send()
        self.receiver.close()
        self.assertEqual(self.receiver.requests, [1, 2, 1])
        self.receiver.answer(ORDINARY)
        self.assertEqual(self.successResultOf(sending).code, 204)

    def test_there_is_no_third_try(self) -> None:
        self.answered(ORDINARY)
        sending = self.send()
        self.receiver.close()
        self.receiver.close()
        self.assertEqual(self.successResultOf(sending), Answer(0, "connection closed"))
        self.assertEqual(self.receiver.requests, [2, 1])

    def test_a_kept_connection_that_is_closed_in_the_middle_of_an_answer_is_a_failure(self) -> None:
        self.answered(ORDINARY)
        sending = self.send()
        self.receiver.answer(b"HTTP/1")
        self.receiver.close()
        self.assertEqual(self.successResultOf(sending), Answer(0, "connection closed"))
        self.assertEqual(self.receiver.requests, [2])

    def test_the_time_limit_holds_for_both_tries_together(self) -> None:
        self.answered(ORDINARY)
        sending = self.send()
        self.clock.advance(TOTAL_SECONDS - 1)
        self.receiver.close()
        self.clock.advance(2)
        self.assertEqual(self.successResultOf(sending), Answer(0, "timeout"))


class RequestTests(AnswersTestCase):
    def test_a_request_is_written_as_curl_writes_it(self) -> None:
        self.send("http://me:pw@a.example:8080/in?x=1")
        head, _, body = self.receiver.connections[0].transport.value().partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.assertRegex(lines[3], rb"^User-Agent: sms-receipt-relay/[0-9.]+$")
        self.assertEqual(
            [*lines[:3], *lines[4:], body],
            [
                b"POST /in?x=1 HTTP/1.1",
                b"Host: a.example:8080",
                b"Authorization: Basic bWU6cHc=",
                b"Accept: */*",
                b"Content-Type: application/json",
                b"Content-Length: 2",
                b"{}",
            ],
        )

    def test_a_get_has_the_same_headers_and_no_length(self) -> None:
        Deferred.fromCoroutine(self.client.send("http://a.example/cb?id=1", {}, None, allow_private=True, method="GET"))
        lines = self.receiver.connections[0].transport.value().split(b"\r\n")
        self.assertEqual(
            [line.partition(b":")[0] for line in lines],
            [b"GET /cb?id=1 HTTP/1.1", b"Host", b"User-Agent", b"Accept", b"", b""],
        )

"""Answers that the relay reads by itself, held to Twisted's reading of the same octets."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from relay.webhooks.answer import Answer
from relay.webhooks.connection_pool import ConnectionPool
from relay.webhooks.connections import PlainTreq, RememberingAgent
from relay.webhooks.webhook_client import TOTAL_SECONDS, WebhookClient
from relay.webhooks.whole_answer import BODY_KEPT_BYTES, BODY_READ_BYTES, read_whole
from tests.webhooks import test_answers
from tests.webhooks.test_answers import ORDINARY

#: Answers, and octets that are none.
OCTETS = (
    *test_answers.OddAnswersTests.ODD,
    *test_answers.OrdinaryAnswersTests.ORDINARY,
    b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
    b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 429 Slowly\r\nRetry-After: 5\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n\r\nup to the end",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"220 mail.example ESMTP\r\n",
    ORDINARY + b"HTTP/1.1 200 Not yours\r\n\r\n",
    b"",
)

#: Headers as servers write them, and as they should not.
LINES = (
    b"Content-Length: 2",
    b"content-length:0",
    b"Content-Length: 3",
    b"Transfer-Encoding: chunked",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: Upgrade, close",
    b"Date: today",
    b"Set-Cookie: a=b",
    b"no colon",
    b" folded",
)


class TreqAlone(PlainTreq):
    """Leaves all answers to Twisted and treq."""

    def request_on_idle(self, *_: Any) -> None:
        return None


class SameAnswersTests(test_answers.AnswersTestCase):
    """The second request goes over a kept connection. Its answer is read in both ways."""

    def begin_with(self, treq: type[PlainTreq]) -> None:
        self.begin()
        http = treq(RememberingAgent(self.clock, self.receiver, ConnectionPool(self.clock)))
        self.client = WebhookClient(lambda allow_private, tls: http, self.clock)
        self.answered(ORDINARY)

    def outcome(self, treq: type[PlainTreq], pieces: list[bytes], end: type[Exception] | None) -> Any:
        """The second answer, and what became of both connections."""
        self.begin_with(treq)
        answers: list[Answer] = []
        self.send().addCallback(answers.append)
        for piece in pieces:
            if not self.receiver.closed_by_us():
                self.receiver.answer(piece)
        before_end = list(answers)
        if end is not None:
            self.receiver.close(reason=end)
        else:
            self.clock.advance(TOTAL_SECONDS + 1)
        closed = [connection.transport.disconnecting for connection in self.receiver.connections]
        third = self.send()
        self.receiver.answer(ORDINARY)
        self.successResultOf(third)
        written = [connection.transport.value() for connection in self.receiver.connections]
        return before_end, answers, closed, written

    def check(self, octets: bytes, cuts: list[int], end: type[Exception] | None) -> None:
        """Both ways give the same, whichever pieces the octets come in."""
        ends = sorted({0, len(octets), *(cut for cut in cuts if cut < len(octets))})
        pieces = [octets[begin:end] for begin, end in pairwise(ends)]
        self.assertEqual(self.outcome(PlainTreq, pieces, end), self.outcome(TreqAlone, pieces, end))

    def test_every_answer_is_read_as_twisted_reads_it(self) -> None:
        for octets in OCTETS:
            for end in (None, ConnectionDone, ConnectionLost):
                with self.subTest(octets[:60], end=end):
                    self.check(octets, [], end)

    @given(
        st.sampled_from(OCTETS),
        st.lists(st.integers(1, 100), max_size=3),
        st.sampled_from([None, ConnectionDone, ConnectionLost]),
    )
    def test_it_does_not_matter_how_an_answer_is_cut(
        self, octets: bytes, cuts: list[int], end: type[Exception] | None
    ) -> None:
        self.check(octets, cuts, end)

    @given(
        st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 202", b"HTTP/1.1 204 No Content", b"HTTP/1.1 404 No"]),
        st.lists(st.sampled_from(LINES), max_size=4),
        st.sampled_from([b"", b"ok", b"okok", b"2\r\nok\r\n0\r\n\r\n"]),
        st.lists(st.integers(1, 100), max_size=2),
    )
    def test_any_headers_are_read_as_twisted_reads_them(
        self, first: bytes, lines: list[bytes], body: bytes, cuts: list[int]
    ) -> None:
        self.check(b"\r\n".join([first, *lines, b"", b""]) + body, cuts, None)

    def test_a_plain_answer_is_read_without_twisted(self) -> None:
        self.begin_with(PlainTreq)
        sending = self.send()
        connection = self.receiver.connections[0]
        self.assertEqual(connection.state, "QUIESCENT")
        self.receiver.answer(ORDINARY)
        self.assertEqual(self.successResultOf(sending), Answer(204))

    def test_a_stop_closes_the_connection_of_a_request_under_way(self) -> None:
        for pieces in ((), (b"HTTP/1.1 200 OK\r\n",)):
            with self.subTest(pieces):
                self.begin_with(PlainTreq)
                sending = self.send()
                self.receiver.answer(*pieces)
                sending.cancel()
                self.assertTrue(self.receiver.closed_by_us())
                self.successResultOf(sending)


class ReadWholeTests(SynchronousTestCase):
    def test_an_answer_that_is_not_plain_is_left_to_twisted(self) -> None:
        for octets in (
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno",
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BODY_READ_BYTES + 1) + b"x" * (BODY_READ_BYTES + 1),
        ):
            with self.subTest(octets[:60]):
                self.assertIsNone(read_whole(octets))

    def test_of_a_long_body_the_beginning_is_kept(self) -> None:
        answer = read_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000)
        self.assertEqual(answer, Answer(200, "", b"x" * BODY_KEPT_BYTES))

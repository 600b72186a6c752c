"""Requests that come in one piece are read as twisted.web reads them when they come in several."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from relay.config.daemon_config import Limits
from relay.http.api_request import ApiRequest, Reply
from relay.http.site import ApiSite
from relay.http.whole_request import parse_whole

PLAIN = (
    b"POST /messages?a=1 HTTP/1.1\r\nHost: a.example\r\nauthorization: Basic eDp5\r\nContent-Type: application/json\r\n"
    b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}"
)

names = st.sampled_from(
    (
        *(b"Host", b"host", b"X-A", b"x-a", b"ETag", b"DNT", b"Content-Type", b"Cookie", b"Connection", b"Expect"),
        *(
            b"Content-Length",
            b"content-length",
            b"Transfer-Encoding",
            b"Bad Name",
            b"",
            b"X\xff",
            b" folded",
            b"\tfolded",
        ),
    )
)
values = st.sampled_from(
    (
        *(
            b"",
            b" ",
            b"a",
            b" a b ",
            b"\ta\t",
            b"1",
            b"+1",
            b"close",
            b"keep-alive",
            b"chunked",
            b"100-continue",
            b"a=b",
        ),
        *(b"x\ny", b"x\ry", b"x\0y", b"\xff", b"a:b"),
    )
)
first_lines = st.sampled_from(
    (
        *(b"POST / HTTP/1.1", b"GET /a?b HTTP/1.1", b"get / HTTP/1.1", b"GET / HTTP/1.0", b"GET  / HTTP/1.1", b"GET /"),
        *(b"GET / HTTP/2.0", b"GET /\x80 HTTP/1.1", b"G(T / HTTP/1.1", b"", b"GET /a b HTTP/1.1", b"* * HTTP/1.1"),
    )
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Requests of which many are odd in some way, and a good half are plain."""
    body = draw(st.sampled_from([b"", b"{}", b"x" * 30]))
    lines = [draw(st.sampled_from([b"POST /messages HTTP/1.1"]) | first_lines)]
    if draw(st.booleans()):
        lines += [b"Host: a.example", b"Accept: */*"]
    lines += [b"%b:%b" % pair for pair in draw(st.lists(st.tuples(names, values), max_size=3))]
    if body and draw(st.integers(0, 5)):
        lines.append(b"Content-Length: %d" % (len(body) + draw(st.sampled_from([0, 0, 0, 0, 1, -1, 10_000]))))
    return b"\r\n".join(lines) + draw(st.sampled_from([b"\r\n\r\n"] * 6 + [b"\n\n", b"\r\n"])) + body


class Listener:
    """A site whose requests are written down."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.clock = Clock()
        site = ApiSite(self.answer, Limits(request_bytes=1024), self.clock)
        self.transport = StringTransport()
        channel = site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 4000))
        assert channel is not None
        self.channel: Any = channel
        self.channel.makeConnection(self.transport)

    def answer(self, request: ApiRequest) -> None:
        headers = sorted((name, list(found)) for name, found in request.requestHeaders.getAllRawHeaders())
        self.seen.append((request.method, request.uri, request.path, request.query, headers, request.body()))
        request.reply(Reply(200, b"{}"))

    def receive(self, octets: bytes) -> None:
        """Octets come, unless the connection is being closed."""
        if not self.transport.disconnecting:
            self.channel.dataReceived(octets)
        while self.channel.site.turns.waiting:
            self.clock.advance(0.0)

    def outcome(self) -> tuple[Any, ...]:
        return self.seen, self.transport.value(), self.transport.disconnecting


class WholeRequestTests(SynchronousTestCase):
    def test_a_plain_request_is_read_in_one_go(self) -> None:
        whole = parse_whole(PLAIN, 1024)
        assert whole is not None
        self.assertEqual((whole.method, whole.target, whole.body), (b"POST", b"/messages?a=1", b"{}"))
        self.assertEqual(whole.headers[b"Authorization"], [b"Basic eDp5"])

    def test_unusual_requests_are_left_to_twisted(self) -> None:
        for old, new in (
            (b"Connection: keep-alive", b"Connection: close"),
            (b"Connection: keep-alive", b"Transfer-Encoding: chunked"),
            (b"Connection: keep-alive", b"Expect: 100-continue"),
            (b"Connection: keep-alive", b"Content-Length: 2"),
            (b"Connection: keep-alive", b"X: a\r\n b"),
            (b"HTTP/1.1", b"HTTP/1.0"),
            (b"Length: 2", b"Length: 3"),
            (b"Length: 2", b"Length: 1"),
            (b"Length: 2", b"Length: 2000"),
            (b"Length: 2", b"Length: +2"),
        ):
            self.assertIsNone(parse_whole(PLAIN.replace(old, new), 1024), new)

    @given(requests(), st.integers(1, 200))
    @example(PLAIN, 5)
    def test_a_request_in_one_piece_or_in_two_is_read_the_same(self, octets: bytes, cut: int) -> None:
        whole, pieces = Listener(), Listener()
        whole.receive(octets)
        for piece in (octets[:cut], octets[cut:]):
            if piece:
                pieces.receive(piece)
        self.assertEqual(whole.outcome(), pieces.outcome())

    @given(st.lists(requests(), min_size=2, max_size=4))
    def test_requests_one_after_the_other_on_one_connection_are_read_the_same(self, several: list[bytes]) -> None:
        apart, octet_by_octet = Listener(), Listener()
        for octets in several:
            apart.receive(octets)
            for octet in octets:
                octet_by_octet.receive(bytes([octet]))
        self.assertEqual(apart.outcome(), octet_by_octet.outcome())

    @given(st.binary(max_size=200))
    def test_any_octets_are_either_read_in_one_go_or_left_to_twisted(self, octets: bytes) -> None:
        parse_whole(octets, 1024)
        parse_whole(b"POST / HTTP/1.1\r\n" + octets + b"\r\n\r\n", 1024)

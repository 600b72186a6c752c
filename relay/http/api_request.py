"""Requests as the handlers get them, and replies as they give them.

It is twisted.web's request with less: no form is parsed where nobody asks for it, nothing goes to temporary files
(texts must not end up on disk), a reply is one write.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl

from twisted.python.failure import Failure
from twisted.web.http import Request as TwistedRequest
from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers

from relay.http.multipart import MULTIPART, multipart_fields
from relay.http.problems import PROBLEM_TYPE, Problem
from relay.http.whole_request import Whole
from relay.runtime.direct_write import write_at_once
from relay.runtime.private_parts import set_headers

JSON: Final = b"application/json"

#: Fields in a query or a form.
MOST_FIELDS: Final = 100

#: A longer body, or one of unknown length, is taken only once it is known whether its sender has logged in.
SMALL_BODY_BYTES: Final = 16_384


class Connection(Protocol):
    """What a request needs of the connection that it came on: `relay.http.http_connection.ApiConnection`."""

    transport: Any
    persistent: Any
    stranger: bool

    @property
    def request_bytes(self) -> int:
        """The largest body."""

    def second(self) -> int:
        """The time in whole seconds since 1970, for the Date header."""

    def write(self, data: bytes) -> None:
        """Writes to the client."""

    def address_of(self, request: "ApiRequest") -> str:
        """The client's address."""

    def handle(self, request: "ApiRequest") -> None:
        """Has a request answered."""

    def headers_received(self, request: "ApiRequest", length: int | None) -> None:
        """The head of a request is there; its body has this length, None: unknown."""

    def body_received(self, count: int) -> bool:
        """So many octets of a body have come; false: they are too many, and the request has been refused."""

    def logged_in(self, party: str, address: str) -> bool:
        """Somebody at this address has shown who they are; gives whether that is news."""

    def refuse(self, problem: Problem) -> None:
        """Answers what is no request, and closes."""


class Reply(NamedTuple):
    """What a request is answered with.

    :ivar then: called once the reply has been written, whether or not the client was still there.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Iterable[tuple[bytes, bytes]] = ()
    then: Callable[[], None] | None = None


def problem_reply(problem: Problem) -> Reply:
    """A problem document as a reply."""
    return Reply(problem.status, problem.body(), PROBLEM_TYPE, problem.headers)


@lru_cache(maxsize=256)
def _head(status: int, content_type: bytes, second: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Answer"
    lines = [
        b"HTTP/1.1 %d %b" % (status, phrase.encode()),
        b"Date: " + datetimeToString(second),
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
    ]
    if content_type:
        lines.append(b"Content-Type: " + content_type)
    return b"\r\n".join(lines)


class ApiRequest(TwistedRequest):
    """A request whose body is complete.

    :ivar address: the client's, also where a proxy stands between.
    :ivar gone: the client is no longer there; nobody reads a reply.
    :ivar query: what follows the question mark, undecoded.
    """

    channel: Connection  # type: ignore[assignment]
    transport: Any
    content: BytesIO
    address = ""
    gone = False
    query = b""
    _received_bytes = 0
    _refused = False

    def __init__(self, channel: Connection, queued: object = False) -> None:
        # Not twisted.web's own, which asks the system for both ends' addresses (10 µs), needed or not.
        self.notifications = []
        self.channel = channel
        self.transport = channel.transport
        self.requestHeaders = Headers()
        self.responseHeaders = Headers()
        self.received_cookies = {}
        self.cookies = []
        self.queued = False

    @property
    def client(self) -> Any:
        """Where the request comes from."""
        return self.transport.getPeer()

    @property
    def host(self) -> Any:
        """The address that it was sent to."""
        return self.transport.getHost()

    def received_whole(self, whole: Whole) -> None:
        """Takes a request that came in one piece, and has it answered."""
        set_headers(self.requestHeaders, whole.headers)
        self.content = BytesIO(whole.body)
        self.requestReceived(whole.method, whole.target, b"HTTP/1.1")

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()
        if length is not None and length > self.channel.request_bytes:
            self._refuse_size()
            return
        self.channel.headers_received(self, length)

    def handleContentChunk(self, data: bytes) -> None:
        if self._refused:
            return
        self._received_bytes += len(data)
        if self._received_bytes > self.channel.request_bytes:
            self._refuse_size()
        elif self.channel.body_received(len(data)):
            self.content.write(data)
        else:
            self._refused = True

    def refused(self) -> None:
        """Nothing more of it is taken: it has been answered already."""
        self._refused = True
        # Or twisted.web asks for the body.
        self.requestHeaders.removeHeader(b"Expect")

    def _refuse_size(self) -> None:
        """Answers before the body is there and closes: nobody should send it."""
        self.refused()
        self.channel.refuse(Problem(413, f"The request's body is larger than {self.channel.request_bytes} bytes."))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._refused:
            return
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, path, version
        if path[:7].lower() == b"http://" or path[:8].lower() == b"https://":
            # The absolute form, which every server must take (RFC 9112 section 3.2.2), as proxies write it.
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        self.path, _, self.query = path.partition(b"?")
        self.args = {}
        self.process()

    def process(self) -> None:
        self.address = self.channel.address_of(self)
        self.channel.handle(self)

    def logged_in(self, party: str) -> bool:
        """Somebody has shown who they are: the connection is no stranger's any more.

        Gives whether this is news; it is on every request of a proxy's connection.
        """
        return not self.gone and not self.finished and self.channel.logged_in(party, self.address)

    def connectionLost(self, reason: Failure) -> None:
        self.gone = True
        super().connectionLost(reason)

    def body(self) -> bytes:
        """The whole body."""
        return self.content.getvalue()

    def header(self, name: bytes) -> bytes | None:
        """A header's (first) value, by its canonical name."""
        values = self.requestHeaders.getRawHeaders(name)
        return values[0] if values else None

    def parameters(self) -> dict[str, str]:
        """The query's fields, the first of each name.

        :raises Problem: it can't be read.
        """
        return _fields(self.query)

    def form(self) -> dict[str, str]:
        """The body's fields, where it is application/x-www-form-urlencoded or multipart/form-data.

        :raises Problem: it can't be read.
        """
        body = self.body()
        if self.content_type == MULTIPART:
            return _text_fields(multipart_fields(self.header(b"Content-Type") or b"", body, MOST_FIELDS))
        if body.lstrip()[:1] in (b"{", b"["):
            # curl -d says that it is a form, whatever it is; no field of ours begins so.
            raise Problem(400, "The body is JSON and is sent as a form; add the header Content-Type: application/json.")
        return _fields(body)

    @property
    def content_type(self) -> bytes:
        """The body's media type in lower case, without parameters."""
        value = self.header(b"Content-Type")
        return value.partition(b";")[0].strip().lower() if value else b""

    def begin_stream(self, content_type: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Writes the head of a reply that has no end yet; `send` writes the rest, until `end_stream` or `gone`.

        What the handler returns afterwards is not written any more.
        """
        self.startedWriting = 1
        channel = self.channel
        # Without a length it is the connection's end that ends the reply.
        channel.persistent = 0
        lines = [_head(200, content_type, channel.second()), b"Connection: close"]
        lines += [b"%b: %b" % header for header in headers]
        channel.write(b"\r\n".join(lines) + b"\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Writes a piece of a stream; harmless when the client is gone."""
        if not self.gone and not self.finished:
            self.channel.write(data)

    def end_stream(self) -> None:
        """Ends a stream and its connection."""
        if not self.gone and not self.finished:
            self.finish()

    def reply(self, reply: Reply) -> None:
        """Writes the reply, once. Harmless when the client is gone."""
        if self.gone or self.finished:
            return
        self.startedWriting = 1
        channel = self.channel
        close = not channel.persistent
        octets = reply_octets(reply, channel.second(), close=close, with_body=self.method != b"HEAD")
        write_at_once(channel.transport, octets)
        self.finish()


def reply_octets(reply: Reply, second: int, *, close: bool, with_body: bool) -> bytes:
    """A reply as it is written."""
    parts = [_head(reply.status, reply.content_type if reply.body else b"", second)]
    for name, value in reply.headers:
        parts.append(b"%b: %b" % (name, value))
    if close:
        parts.append(b"Connection: close")
    if reply.status != 204 and reply.status != 304:
        parts.append(b"Content-Length: %d" % len(reply.body))
    parts.append(b"\r\n" + reply.body if with_body else b"\r\n")
    return b"\r\n".join(parts)


def _fields(encoded: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise Problem(400, "The fields are not percent-encoded UTF-8.") from None
    except ValueError:
        raise Problem(400, f"There are more than {MOST_FIELDS} fields.") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def _text_fields(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    try:
        for name, value in pairs:
            fields.setdefault(name.decode(), value.decode())
    except UnicodeDecodeError:
        raise Problem(400, "The fields are not UTF-8.") from None
    return fields

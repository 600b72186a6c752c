"""The requests that handlers get, and the replies that they return.

A request is twisted.web's, but does less. It parses a form only when a handler asks for it. It uses no temporary files,
because texts must not be on the disk. It writes a reply at once.
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
from relay.runtime.private_parts import raw_headers, set_headers

JSON: Final = b"application/json"

#: The most fields in a query or a form.
MOST_FIELDS: Final = 100

#: If a body is longer, or its length is unknown, the login is checked before the body is read.
SMALL_BODY_BYTES: Final = 16_384


class Connection(Protocol):
    """The connection of a request: `relay.http.http_connection.ApiConnection`."""

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
        """Gives a whole request to the handler."""

    def headers_received(self, request: "ApiRequest", length: int | None) -> None:
        """Tells that a request's head has arrived. `length` is that of the body; None: unknown."""

    def body_received(self, count: int) -> bool:
        """Tells that so many octets of a body have arrived. False: they are too many, and the request is refused."""

    def logged_in(self, party: str, address: str) -> bool:
        """Tells that a client at this address has logged in. Returns whether the connection didn't know that yet."""

    def refuse(self, problem: Problem) -> None:
        """Answers with a problem before the request is complete, and closes the connection."""


class Reply(NamedTuple):
    """The reply to a request.

    :ivar then: called after the reply has been written, even if the client has gone.
    """

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Iterable[tuple[bytes, bytes]] = ()
    then: Callable[[], None] | None = None


def problem_reply(problem: Problem) -> Reply:
    """Makes the reply with a problem document."""
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

    :ivar address: the address of the client, and not that of a trusted proxy.
    :ivar gone: whether the client has gone, so that nobody reads a reply.
    :ivar query: the part of the URL after the question mark, undecoded.
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
        # twisted.web's own __init__ isn't called: it asks the system for the addresses of both ends, which takes 10 µs.
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
        """The address from which the request comes."""
        return self.transport.getPeer()

    @property
    def host(self) -> Any:
        """The address to which the request was sent."""
        return self.transport.getHost()

    def received_whole(self, whole: Whole) -> None:
        """Takes a request that came in one piece, and gives it to the handler."""
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
        """Drops the rest of the request, which has been answered already."""
        self._refused = True
        # With this header, twisted.web would ask the client for the body.
        self.requestHeaders.removeHeader(b"Expect")

    def _refuse_size(self) -> None:
        """Answers before the body has arrived, and closes, so that the client doesn't send the rest."""
        self.refused()
        self.channel.refuse(Problem(413, f"The request's body is larger than {self.channel.request_bytes} bytes."))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._refused:
            return
        self.content.seek(0)
        self.method, self.uri, self.clientproto = command, path, version
        if path[:7].lower() == b"http://" or path[:8].lower() == b"https://":
            # Proxies write the absolute form. Every server must accept it (RFC 9112 section 3.2.2).
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        self.path, _, self.query = path.partition(b"?")
        self.args = {}
        self.process()

    def process(self) -> None:
        self.address = self.channel.address_of(self)
        self.channel.handle(self)

    def logged_in(self, party: str) -> bool:
        """Tells the connection that its client has logged in, and isn't a stranger any more.

        :return: whether the connection didn't know that yet. It is true for every request from a proxy.
        """
        return not self.gone and not self.finished and self.channel.logged_in(party, self.address)

    def connectionLost(self, reason: Failure) -> None:
        self.gone = True
        super().connectionLost(reason)

    def body(self) -> bytes:
        """The whole body."""
        return self.content.getvalue()

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its canonical name."""
        values = raw_headers(self.requestHeaders).get(name)
        return values[0] if values else None

    def parameters(self) -> dict[str, str]:
        """The fields of the query; of each name, the first.

        :raises Problem: the query can't be read.
        """
        return _fields(self.query)

    def form(self) -> dict[str, str]:
        """The fields of a body that is application/x-www-form-urlencoded or multipart/form-data.

        :raises Problem: the body can't be read.
        """
        body = self.body()
        if self.content_type == MULTIPART:
            return _text_fields(multipart_fields(self.header(b"Content-Type") or b"", body, MOST_FIELDS))
        if body.lstrip()[:1] in (b"{", b"["):
            # curl -d calls every body a form. No form field of ours begins like this.
            raise Problem(400, "The body is JSON but is sent as a form. Add the header Content-Type: application/json.")
        return _fields(body)

    @property
    def content_type(self) -> bytes:
        """The body's media type in lower case, without parameters."""
        value = self.header(b"Content-Type")
        return value.partition(b";")[0].strip().lower() if value else b""

    def begin_stream(self, content_type: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Writes the head of a stream. `send` writes the rest, until `end_stream` is called or the client has `gone`.

        The reply that the handler returns later is not written.
        """
        self.startedWriting = 1
        channel = self.channel
        # A reply without a length ends with the connection.
        channel.persistent = 0
        lines = [_head(200, content_type, channel.second()), b"Connection: close"]
        lines += [b"%b: %b" % header for header in headers]
        channel.write(b"\r\n".join(lines) + b"\r\n\r\n")

    def send(self, data: bytes) -> None:
        """Writes a piece of a stream. Does nothing if the client has gone."""
        if not self.gone and not self.finished:
            self.channel.write(data)

    def end_stream(self) -> None:
        """Ends a stream and its connection."""
        if not self.gone and not self.finished:
            self.finish()

    def reply(self, reply: Reply) -> None:
        """Writes the reply. Does nothing if the client has gone. May be called once only."""
        if self.gone or self.finished:
            return
        self.startedWriting = 1
        channel = self.channel
        close = not channel.persistent
        octets = reply_octets(reply, channel.second(), close=close, with_body=self.method != b"HEAD")
        write_at_once(channel.transport, octets)
        self.finish()


def reply_octets(reply: Reply, second: int, *, close: bool, with_body: bool) -> bytes:
    """The octets of a reply."""
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

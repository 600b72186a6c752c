"""The customers' HTTP listener: connections, limits, requests and replies, without any meaning yet.

It is twisted.web's protocol with a request class of its own, because a message costs little else than its HTTP
request: no form parsing where nobody asks for it, no temporary files (texts must not end up on disk), one write a
reply, no access log. What a request means is decided by the handler that the site is given.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import Request as TwistedRequest
from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers

from relay.config.model import Limits
from relay.http.problems import PROBLEM_TYPE, Problem
from relay.http.whole_request import Whole, parse_whole
from relay.runtime.direct_write import write_at_once
from relay.runtime.private_parts import ServerConnection, set_headers

JSON: Final = b"application/json"

#: A connection may be idle for this long, and a request may take this long to arrive.
REQUEST_SECONDS: Final = 60

#: How often connections are looked at for that.
SWEEP_SECONDS: Final = 5.0

#: Fields in a query or a form.
MOST_FIELDS: Final = 100


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

    :ivar gone: the client is no longer there; nobody reads a reply.
    :ivar query: what follows the question mark, undecoded.
    """

    channel: "ApiChannel"
    transport: Any
    content: BytesIO
    gone = False
    query = b""
    _received_bytes = 0
    _refused = False

    def __init__(self, channel: "ApiChannel", queued: object = False) -> None:
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
        if length is not None and length > self.channel.site.request_bytes:
            self._refuse_size()

    def handleContentChunk(self, data: bytes) -> None:
        if self._refused:
            return
        self._received_bytes += len(data)
        if self._received_bytes > self.channel.site.request_bytes:
            self._refuse_size()
            return
        self.content.write(data)

    def _refuse_size(self) -> None:
        """Answers before the body is there and closes: nobody should send it."""
        self._refused = True
        self.requestHeaders.removeHeader(b"Expect")
        limit = self.channel.site.request_bytes
        self.channel.refuse(Problem(413, f"The request's body is larger than {limit} bytes."))

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
        self.channel.site.handler(self)

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
        """The body's fields, where it is application/x-www-form-urlencoded.

        :raises Problem: it can't be read.
        """
        body = self.body()
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
        lines = [_head(200, content_type, channel.site.second()), b"Connection: close"]
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
        octets = _octets(reply, channel.site.second(), close=close, with_body=self.method != b"HEAD")
        write_at_once(channel.transport, octets)
        self.finish()


def _octets(reply: Reply, second: int, *, close: bool, with_body: bool) -> bytes:
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


class ApiChannel(ServerConnection):
    """One connection."""

    requestFactory: Any = ApiRequest
    #: The site's sweep watches the time: a delayed call for each request costs 12 µs.
    timeOut = None

    def __init__(self, site: "ApiSite", host: str) -> None:
        super().__init__()
        self.site = site
        self.relay_host = host
        self.callLater = site.clock.callLater  # type: ignore[method-assign,assignment]
        self._between_requests = True
        self._lost = False
        #: Whether the connection is on its way out.
        self.closing = False
        self._since = site.clock.seconds()

    def dataReceived(self, data: bytes) -> None:
        if self._between_requests:
            # The time limit counts from a request's first octet: who sends one octet at a time does not prolong it.
            self._between_requests = False
            self._since = self.site.clock.seconds()
            if self.persistent and self.nothing_read:
                whole = parse_whole(data, self.site.request_bytes)
                if whole is not None:
                    self._received_whole(whole)
                    return
        # Past HTTPChannel.dataReceived, which is there for the time limit that is watched elsewhere.
        LineReceiver.dataReceived(self, data)

    def _received_whole(self, whole: Whole) -> None:
        """Does what `allContentReceived` does for a request that came line by line."""
        request = ApiRequest(self)
        self.requests.append(request)
        self.handling = True
        self.setRawMode()
        request.received_whole(whole)

    def overdue(self, now: float) -> bool:
        """Whether nothing, or no whole request, has come for too long."""
        return not self.handling and now - self._since > REQUEST_SECONDS

    # twisted.web goes on reading while a request is answered, and answers at once what it has read: a client that sends
    # requests and reads no answers would have us keep all of them.

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self.paused = True
        self.network_producer.pauseProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.paused = False
        # What had been read already; nothing happens where a request is just being taken apart.
        LineReceiver.dataReceived(self, b"")

    def refuse(self, problem: Problem) -> None:
        """Answers what never became a request, and closes."""
        self.persistent = 0
        self.write(_octets(problem_reply(problem), self.site.second(), close=True, with_body=True))
        self.loseConnection()

    def refuse_bad_request(self) -> None:
        # twisted.web's own answer has no body.
        self.refuse(Problem(400, "This is not a valid HTTP/1.1 request."))

    def requestDone(self, request: Any) -> None:
        self._between_requests = True
        self._since = self.site.clock.seconds()
        super().requestDone(request)

    def loseConnection(self) -> None:
        # twisted.web sees to a client that doesn't read only where its time for a request is over.
        self.closing = True
        if not self.aborts_later and not self._lost:
            self.abort_later()
        super().loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._lost = True
        super().connectionLost(reason)
        self.site.closed(self)


class ApiSite(Factory):
    """Builds connections and holds them to their number.

    :param handler: gets each request when its body is complete; must not raise.
    :param limits: the configuration's.
    """

    noisy = False

    def __init__(self, handler: Callable[[ApiRequest], None], limits: Limits, clock: IReactorTime) -> None:
        self.handler = handler
        self.request_bytes = limits.request_bytes
        self._limits = limits
        self.clock = clock
        self._by_address: Counter[str] = Counter()
        self._channels: set[ApiChannel] = set()
        self._expiry: IDelayedCall | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._channels)

    def second(self) -> int:
        """The time in whole seconds since 1970, for the Date header."""
        return int(self.clock.seconds())

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        host = getattr(addr, "host", "")
        if len(self._channels) >= self._limits.connections:
            return None
        if self._by_address[host] >= self._limits.connections_per_address:
            return None
        channel = ApiChannel(self, host)
        self._channels.add(channel)
        if self._expiry is None:
            self._expiry = self.clock.callLater(SWEEP_SECONDS, self._end_overdue)
        self._by_address[host] += 1
        return channel

    def _end_overdue(self) -> None:
        self._expiry = None
        now = self.clock.seconds()
        for channel in tuple(self._channels):
            if not channel.closing and channel.overdue(now):
                channel.loseConnection()
        if self._channels:
            self._expiry = self.clock.callLater(SWEEP_SECONDS, self._end_overdue)

    def closed(self, channel: ApiChannel) -> None:
        """A connection has ended."""
        if channel in self._channels:
            self._channels.remove(channel)
            self._by_address[channel.relay_host] -= 1
            if not self._by_address[channel.relay_host]:
                del self._by_address[channel.relay_host]
            if not self._channels and self._expiry is not None:
                self._expiry.cancel()
                self._expiry = None

    def abort(self) -> None:
        """Ends every connection at once."""
        for channel in tuple(self._channels):
            transport: Any = channel.transport
            transport.abortConnection()

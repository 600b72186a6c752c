"""One HTTP connection of twisted.web, which handles one request at a time.

Theory of operation: the connection keeps the octets from its socket in `_unread`. `relay.runtime.fair_turns` calls
`step`, which gives twisted.web a piece of them: at most one request. When twisted.web has read the whole request, the
handler answers it at once or later. The connection takes back the octets that twisted.web has read after the request.
While more than `UNREAD_BYTES` are unread, the socket is not read.
"""

from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from relay.http.api_request import SMALL_BODY_BYTES, ApiRequest, problem_reply, reply_octets
from relay.http.before_login import BeforeLogin
from relay.http.problems import Problem, retry_after
from relay.http.whole_request import Whole, parse_whole
from relay.runtime.fair_turns import FairTurns
from relay.runtime.private_parts import ServerConnection
from relay.values.networks import network_of

#: How long a connection may be idle, and how long a request may take to arrive.
REQUEST_SECONDS: Final = 60

#: While more octets than this wait for their turn, the socket is not read.
UNREAD_BYTES: Final = 16_384

#: How much of a head, or of a body in chunks, is read in one step: 1,000 of the shortest headers or chunks, which take
#: 2 to 4 ms. Of a body whose length is known, a step reads everything that has arrived.
HEAD_STEP_BYTES: Final = 4_096
BODY_STEP_BYTES: Final = 1 << 20


class Site(Protocol):
    """The listener of the connections: `relay.http.site.ApiSite`."""

    clock: IReactorTime
    turns: FairTurns
    before_login: BeforeLogin
    request_bytes: int

    def handle(self, request: ApiRequest) -> None:
        """Gives a whole request to the handler."""

    def log_in_early(self, request: ApiRequest) -> None:
        """Looks for a login in a request's head, before its body has arrived."""

    def client_address(self, host: str, request: ApiRequest) -> str:
        """The address of the client that sent a request over a connection from `host`."""

    def closed(self, connection: "ApiConnection") -> None:
        """Tells that a connection has ended."""


class ApiConnection(ServerConnection):
    """Reads the requests of one connection from a client or a proxy.

    :ivar host: the address of the other end.
    :ivar party: the party whose time the connection uses, see `FairTurns`.
    :ivar is_proxy: whether the other end is a trusted proxy. Its connections bring requests of many clients.
    :ivar stranger: whether nobody has logged in on it.
    :ivar closing: whether it is being closed.
    """

    requestFactory: Any = ApiRequest
    #: The site checks the time of all connections. A delayed call for each request would take 12 µs.
    timeOut = None
    log = Logger()

    def __init__(self, site: Site, host: str, *, is_proxy: bool) -> None:
        super().__init__()
        self.site = site
        self.host = host
        self.is_proxy = is_proxy
        self.network = network_of(host)
        # A proxy's connections bring requests of many clients, so each of them is a party of its own.
        self.party = f"proxy {id(self)}" if is_proxy else self.network
        self.stranger = True
        self.in_line = False
        self.callLater = site.clock.callLater  # type: ignore[method-assign,assignment]
        self._unread = b""
        self._stepping = False
        self._step_bytes = HEAD_STEP_BYTES
        #: How many octets of the present body are counted as a stranger's.
        self._body_bytes = 0
        self._between_requests = True
        #: Whether the present request came in one piece, so that twisted.web has not read it.
        self._whole = False
        self._reading = True
        self._lost = False
        self.closing = False
        self._since = site.clock.seconds()

    # Reading

    def dataReceived(self, data: bytes) -> None:
        if self.closing:
            return
        self._unread = self._unread + data if self._unread else data
        if self._can_step():
            self.site.turns.ready(self)
        self._read_no_more()

    def _read_no_more(self) -> None:
        """Stops reading the socket while enough octets are unread.

        It must be called again whenever twisted.web resumes the socket: after each request, and when the transport has
        written all answers.
        """
        if len(self._unread) > UNREAD_BYTES and not self._lost:
            self._reading = False
            self.network_producer.pauseProducing()

    def _can_step(self) -> bool:
        return bool(self._unread) and not (self.handling or self.paused or self.closing or self._lost)

    def step(self) -> bool:
        """Reads one request, or a piece of one. If it is whole, gives it to the handler. `FairTurns` calls it."""
        if not self._can_step():
            return False
        self._stepping = True
        try:
            self._read_piece()
        except Exception:
            self.log.failure("http_connection_failed: a connection can't be read any more")
            transport: Any = self.transport
            transport.abortConnection()
            self._lost = True
        finally:
            self._stepping = False
        self._read_on()
        return self._can_step()

    def _read_piece(self) -> None:
        if self._between_requests:
            # The time limit counts from the first octet of a request. A client that sends octet by octet can't extend
            # it.
            self._between_requests = False
            self._since = self.site.clock.seconds()
            if self.persistent and self.nothing_read:
                whole = parse_whole(self._unread, self.site.request_bytes)
                if whole is not None:
                    self._unread = b""
                    self._received_whole(whole)
                    return
        count = self._step_bytes
        piece, self._unread = self._unread[:count], self._unread[count:]
        # HTTPChannel.dataReceived is skipped: it only sets the time limit, which the site checks.
        LineReceiver.dataReceived(self, piece)

    def _received_whole(self, whole: Whole) -> None:
        """Takes a request that came in one piece. `allContentReceived` does the same for one that came line by line."""
        request = ApiRequest(self)
        self.requests.append(request)
        self.handling = True
        self._whole = True
        request.received_whole(whole)

    def _read_on(self) -> None:
        """Reads the socket again if few octets are unread."""
        self._read_no_more()
        if self._reading or self.closing or self._lost or self.waits_for_transport:
            return
        if len(self._unread) <= UNREAD_BYTES:
            self._reading = True
            self.network_producer.resumeProducing()

    def overdue(self, now: float) -> bool:
        """Whether the connection has been idle for too long, or a request takes too long to arrive."""
        return not self.handling and now - self._since > REQUEST_SECONDS

    @property
    def answering(self) -> bool:
        """Whether a request is being answered, or waits for its turn."""
        return self.handling or self.in_line

    # Called by requests

    @property
    def request_bytes(self) -> int:
        """The largest body."""
        return self.site.request_bytes

    def second(self) -> int:
        """The time in whole seconds since 1970, for the Date header."""
        return int(self.site.clock.seconds())

    def address_of(self, request: ApiRequest) -> str:
        """The client's address."""
        return self.site.client_address(self.host, request) if self.is_proxy else self.host

    def handle(self, request: ApiRequest) -> None:
        """Gives a whole request to the handler, or refuses it if its sender has sent too many."""
        self._let_go_of_body()
        if self.is_proxy:
            # Each request from a proxy may be of another client.
            self.stranger = True
        if self.stranger:
            network = network_of(request.address) if self.is_proxy else self.network
            wait_seconds = self.site.before_login.request(network, self.site.clock.seconds())
            if wait_seconds > 0.0:
                detail = "Too many requests from your address without a login."
                self.persistent = 0
                request.reply(problem_reply(Problem(429, detail, headers=(retry_after(wait_seconds),))))
                return
        self.site.handle(request)

    def headers_received(self, request: ApiRequest, length: int | None) -> None:
        """Takes the head of a request. If its body is long, looks for a login, and decides how to read the body."""
        self._step_bytes = HEAD_STEP_BYTES if length is None else BODY_STEP_BYTES
        if length is None and not self.persistent and request.header(b"Connection") is None:
            # RFC 9112 section 6.1: a proxy between us may have read the body with another length.
            request.refused()
            self.refuse(Problem(400, "A body in chunks needs HTTP/1.1."))
        elif self.stranger and (length is None or length > SMALL_BODY_BYTES):
            request.address = self.address_of(request)
            self.site.log_in_early(request)

    def body_received(self, count: int) -> bool:
        """Counts octets of a stranger's body. False: there are too many, and the request is refused."""
        if not self.stranger or self.is_proxy:
            return True
        if self.site.before_login.received(self.network, count):
            self._body_bytes += count
            return True
        detail = "Your address sends too much without a login. Put the login into the head of the request."
        self.refuse(Problem(429, detail, headers=(retry_after(1.0),)))
        return False

    def _let_go_of_body(self) -> None:
        if self._body_bytes:
            self.site.before_login.let_go(self.network, self._body_bytes)
            self._body_bytes = 0

    def logged_in(self, party: str, address: str) -> bool:
        """Somebody at this address has shown who they are; gives whether that is news."""
        if not self.stranger and self.party == party:
            return False
        if self.stranger:
            self.stranger = False
            self._let_go_of_body()
            self.site.before_login.gone(self.network, self)
            self.site.before_login.was_login(network_of(address))
        if not self.is_proxy:
            self.party = party
        return True

    # Writing

    # twisted.web goes on reading while a request is being answered. So a client that sends requests and never reads the
    # answers could fill our memory with them.

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self.paused = True
        self.network_producer.pauseProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.paused = False
        self._read_no_more()
        self._go_on()

    def requestDone(self, request: Any) -> None:
        self._between_requests = True
        self._since = self.site.clock.seconds()
        self._step_bytes = HEAD_STEP_BYTES
        if self._whole and self.persistent:
            # twisted.web has read nothing of this request, so its reader needn't be set up for the next one (3 µs).
            del self.requests[0]
            self.handling = False
        else:
            # The octets that twisted.web has read after the request are taken back, so that the next request gets a
            # step of its own.
            self._unread = self.take_back() + self._unread
            super().requestDone(request)
        self._whole = False
        self._go_on()

    def _go_on(self) -> None:
        if self._stepping:
            return
        self._read_on()
        if self._can_step():
            self.site.turns.ready(self)

    def refuse(self, problem: Problem) -> None:
        """Answers with a problem before a request is complete, and closes the connection."""
        self.persistent = 0
        self.write(reply_octets(problem_reply(problem), self.second(), close=True, with_body=True))
        self.loseConnection()

    def refuse_bad_request(self) -> None:
        # twisted.web's own answer has no body.
        self.refuse(Problem(400, "This is not a valid HTTP/1.1 request."))

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse_bad_request()

    # The end

    def loseConnection(self) -> None:
        # twisted.web aborts the connection of a client that doesn't read only after its own time limit.
        self.closing = True
        self._unread = b""
        if not self.aborts_later and not self._lost:
            self.abort_later()
        super().loseConnection()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._lost = True
        self._unread = b""
        self._let_go_of_body()
        super().connectionLost(reason)
        self.site.closed(self)

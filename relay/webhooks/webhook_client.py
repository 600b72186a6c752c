"""Sends HTTP requests to URLs that customers chose, without danger for the operator's network.

The client uses treq and persistent connections.

* The client resolves the name, checks the address, and connects to the checked address. Accounts that may reach private
  addresses don't share connections with other accounts.
* The client follows no redirects, keeps no cookies, and uses no proxies.
* The whole request has a time limit, and the answer has a size limit. The receiver can't change them.

The client leaves out treq's optional layers. The agent below treq remembers endpoints, and writes a request in one
piece. If a connection is idle and the answer to a request is plain, treq isn't asked at all
(`relay.webhooks.whole_answer`).
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL
from service_identity import VerificationError
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)

from relay.config.tls_config import NotificationTls
from relay.config.urls import UrlProblem, WebUrl, parse_url
from relay.webhooks.answer import Answer
from relay.webhooks.checked_endpoints import AddressRefused, CertificateUnusable
from relay.webhooks.connections import PlainTreq, ReadyHeaders, common_headers
from relay.webhooks.whole_answer import BODY_KEPT_BYTES, BODY_READ_BYTES

#: The time limit of a request, from the first packet to the last octet of the answer.
TOTAL_SECONDS: Final = 15.0


_NO_URL: Final = WebUrl(False, "", 0, b"", b"")

Clients = Callable[[bool, NotificationTls | None], HTTPClient]


class WebhookClient:
    """Sends requests, and reports how they ended; it never raises an exception because of the receiver.

    :param clients: returns the treq client for a request, see `relay.webhooks.connections.HttpClients`.
    """

    def __init__(self, clients: Clients, clock: IReactorTime) -> None:
        self._clients = clients
        self._clock = clock
        self._last: tuple[str | None, WebUrl, dict[bytes, list[bytes]]] = None, _NO_URL, {}
        self._deadlines: deque[_Deadline] = deque()
        self._deadline_call: IDelayedCall | None = None

    async def send(
        self,
        url: str,
        headers: dict[bytes, list[bytes]],
        body: bytes | None,
        *,
        allow_private: bool,
        method: str = "POST",
        tls: NotificationTls | None = None,
    ) -> Answer:
        """Sends one request, and waits at most `TOTAL_SECONDS` for the answer.

        :param headers: the headers by canonical name; the client adds those of `common_headers` that are missing.
        :param allow_private: True if the request may go to private addresses.
        :param tls: the account's files for TLS. None: the client trusts the system's authorities, and shows no
            certificate of its own.
        """
        try:
            parsed, common = self._last[1:] if url == self._last[0] else self._taken_apart(url)
        except UrlProblem as problem:
            return Answer(0, str(problem))
        headers = {**common, **headers}
        deadline = _Deadline(self._clock.seconds() + TOTAL_SECONDS)
        self._watch(deadline)
        http = self._clients(allow_private, tls)
        try:
            return await _exchange(http, method, parsed.plain, headers, body, deadline, self._clock)
        except Exception as problem:
            return Answer(0, "timeout" if deadline.passed else reason_of(problem))
        finally:
            deadline.over = True

    def _taken_apart(self, url: str) -> tuple[WebUrl, dict[bytes, list[bytes]]]:
        """Returns a URL's parts and the first headers of its requests.

        It remembers them for the next request, which usually goes to the same URL (5 µs).

        :raises UrlProblem: it isn't a URL.
        """
        parsed = parse_url(url)
        self._last = url, parsed, common_headers(parsed)
        return self._last[1:]

    def close(self) -> None:
        """Cancels the timer; call this when no request is under way any more."""
        if self._deadline_call is not None:
            self._deadline_call.cancel()
            self._deadline_call = None

    # All deadlines are equally long, so they pass in the order in which they began. One delayed call serves them all.

    def _watch(self, deadline: "_Deadline") -> None:
        self._deadlines.append(deadline)
        if self._deadline_call is None:
            self._deadline_call = self._clock.callLater(TOTAL_SECONDS, self._check_deadlines)

    def _check_deadlines(self) -> None:
        self._deadline_call = None
        now = self._clock.seconds()
        deadlines = self._deadlines
        while deadlines and (deadlines[0].over or deadlines[0].at <= now):
            deadline = deadlines.popleft()
            if not deadline.over:
                deadline.pass_()
        if deadlines:
            self._deadline_call = self._clock.callLater(max(0.0, deadlines[0].at - now), self._check_deadlines)


class _Deadline:
    """Holds the time limit of one request, and cancels the request when the time is over."""

    __slots__ = ("at", "over", "passed", "waiting")

    def __init__(self, at: float) -> None:
        self.at = at
        self.over = False
        self.passed = False
        self.waiting: Deferred[Any] | None = None

    def pass_(self) -> None:
        self.passed = True
        if self.waiting is not None:
            self.waiting.cancel()


async def _exchange(
    http: HTTPClient,
    method: str,
    url: bytes,
    headers: dict[bytes, list[bytes]],
    body: bytes | None,
    deadline: _Deadline,
    clock: IReactorTime,
) -> Answer:
    response: Any = None
    quick = http.request_on_idle(method, url, headers, body) if isinstance(http, PlainTreq) else None
    if quick is not None:
        deadline.waiting = quick
        response = await quick
        if type(response) is Answer:
            return response
    if response is None:
        # If the server has closed an idle connection, other idle connections may be closed as well.
        request: Any = http.request if quick is None else http.request_on_new  # type: ignore[attr-defined]
        deadline.waiting = asked = request(
            method,
            url,
            headers=ReadyHeaders.of(headers),
            data=body,
            allow_redirects=False,
            unbuffered=True,
            reactor=clock,
        )
        response = await asked
    retry_after: str | None = None
    if response.code >= 400:
        values = response.headers.getRawHeaders("Retry-After")
        retry_after = values[0] if values else None
    if response.length == 0:
        return Answer(response.code, "", b"", retry_after)
    beginning = _Beginning()
    deadline.waiting = beginning.read
    response.deliverBody(beginning)
    return Answer(response.code, "", await beginning.read, retry_after)


class _Beginning(Protocol):
    """Reads a body to its end, keeps its beginning, and closes the connection if the body is too long."""

    def __init__(self) -> None:
        self.read: Deferred[bytes] = Deferred(self._give_up)
        self._kept = bytearray()
        self._seen = 0

    def dataReceived(self, data: bytes) -> None:
        room = BODY_KEPT_BYTES - len(self._kept)
        if room > 0:
            self._kept += data[:room]
        self._seen += len(data)
        if self._seen > BODY_READ_BYTES:
            self._abort()

    def connectionLost(self, reason: Failure | None = None) -> None:
        # Only the status line counts: an answer counts even if its body breaks off.
        if not self.read.called:
            self.read.callback(bytes(self._kept))

    def _give_up(self, read: "Deferred[bytes]") -> None:
        self._abort()
        self.connectionLost()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


# The causes of failures, in a few words


def reason_of(problem: BaseException) -> str:
    """Says why a request failed, in a few words that an operator understands."""
    if isinstance(problem, RequestGenerationFailed | RequestTransmissionFailed | ResponseFailed):
        causes = [reason_of(reason.value) for reason in problem.reasons]
        return next((cause for cause in causes if cause != "connection closed"), "connection closed")
    if isinstance(problem, AddressRefused):
        return f"refused: the name leads to {problem.problem}"
    if isinstance(problem, CertificateUnusable):
        return "TLS: our certificate or the authorities can't be used"
    if isinstance(problem, TimeoutError | DeferredTimeoutError | ConnectingCancelledError | CancelledError):
        return "timeout"
    if isinstance(problem, ConnectionRefusedError):
        return "connection refused"
    if isinstance(problem, DNSLookupError):
        return "no such host"
    if isinstance(problem, VerificationError):
        return "TLS: the certificate is for another host"
    if isinstance(problem, SSL.Error):
        details = problem.args[0] if problem.args else []
        words = details[0][-1] if isinstance(details, list) and details else "handshake failed"
        return f"TLS: {words}"
    if isinstance(problem, ConnectionDone | ConnectionClosed):
        return "connection closed"
    if isinstance(problem, ConnectError):
        return "can't connect"
    return "no valid HTTP answer"

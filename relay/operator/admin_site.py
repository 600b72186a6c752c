"""The admin listener: checks the password of each request, and gives the request to a page.

`AdminSite` asks for the password, keeps browsers of other sites out, and gives the request to one of its pages. A page
is a function from `AdminRequest` to `Reply`, or to an awaitable of one. `admin_pages` has the pages.
"""

import base64
import binascii
import math
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.config.model import Limits
from relay.http.api_request import ApiRequest
from relay.http.api_request import Reply as HttpReply
from relay.http.forwarded import TrustedProxies
from relay.http.login_limits import LoginLimits
from relay.http.problems import Problem
from relay.http.site import NO_PROXIES, ApiSite
from relay.runtime.fair_turns import FairTurns
from relay.values.secret import Secret

#: The user name that belongs to the password.
USER = "operator"
#: The largest body of a request. It has only a reason, or a list of ids.
MAX_BODY_BYTES = 262_144
#: How many wrong passwords one address may send in a minute.
MOST_FAILED_LOGINS = 20
#: The most connections at once: enough for a scraper, a few browsers with live figures, and a few commands.
MOST_CONNECTIONS = 200
#: Every request that changes something must carry this header. A page of another site can't make a browser send it.
ACTION_HEADER = "X-Relay-Action"


class AdminRequest(msgspec.Struct, frozen=True):
    """A request, as a page gets it.

    :ivar path: without leading slash, split: ["carriers", "tier1", "hold"].
    :ivar query: the first value of each parameter.
    :ivar peer: the client's address, for the audit record.
    """

    method: str
    path: list[str]
    query: Mapping[str, str]
    body: bytes
    peer: str


class Reply(msgspec.Struct, frozen=True):
    """The answer of a page."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def json_reply(value: object, status: int = 200) -> Reply:
    """A reply in JSON."""
    return Reply(status, "application/json", msgspec.json.encode(value) + b"\n")


def text_reply(text: str, status: int = 200, *headers: tuple[str, str]) -> Reply:
    """A reply in plain text."""
    return Reply(status, "text/plain; charset=utf-8", text.encode() + b"\n", headers)


Page = Callable[[AdminRequest], Reply | Awaitable[Reply]]


class AdminRoot:
    """Gives each request to the page of its first path element. `handle` is for `ApiSite`.

    :param pages: (method, first element) -> page; the first element of "/" is "".
    :param password: returns the password; None: requests need no password. It is called for each request.
    :param limits: counts the wrong passwords of each address, and says when it may try again.
    """

    log = Logger()

    def __init__(self, pages: Mapping[tuple[str, str], Page], password: Callable[[], Secret | None],
                 limits: LoginLimits) -> None:  # fmt: skip
        self._pages = dict(pages)
        self._password = password
        self._limits = limits

    def handle(self, request: ApiRequest) -> None:
        """Answers a request, now or later. Never raises."""
        reply = self._refusal(request) or self._page(request)
        if isinstance(reply, Reply):
            _write(request, reply)
            return
        working = Deferred.fromCoroutine(self._write_when_done(request, reply))
        # An action goes on if its client leaves, so that it isn't recorded and then done by half.
        if not working.called and request.method in (b"GET", b"HEAD"):
            request.notifyFinish().addErrback(lambda _: working.cancel())

    async def _write_when_done(self, request: ApiRequest, reply: Awaitable[Reply]) -> None:
        try:
            done = await reply
        except CancelledError:
            # The client has gone.
            return
        except Exception:
            done = self._failed()
        _write(request, done)

    def _page(self, request: ApiRequest) -> Reply | Awaitable[Reply]:
        path = [unquote_to_bytes(element).decode("utf-8", "replace") for element in request.path.split(b"/")[1:]]
        method = request.method.decode("latin-1")
        page = self._pages.get(("GET" if method == "HEAD" else method, path[0] if path else ""))
        if page is None:
            if path and any(known == path[0] for _, known in self._pages):
                return text_reply(f"{method} isn't for this page.", 405)
            return text_reply("No such page. There are: / /metrics /health/live /health/ready", 404)
        try:
            return page(AdminRequest(method, path, request.parameters(), request.body(), request.address))
        except Problem as problem:
            return text_reply(problem.document.detail, problem.status)
        except Exception:
            return self._failed()

    def _failed(self) -> Reply:
        self.log.failure("admin_failed: a page of the admin listener failed")
        return text_reply("The page failed. The log says why.", 500)

    def _refusal(self, request: ApiRequest) -> Reply | None:
        password = self._password()
        if password is not None:
            refusal = self._check(request, password)
            if refusal is not None:
                return refusal
        elif not _is_local_name((request.header(b"Host") or b"").decode("latin-1")):
            # Without a password the listener is on loopback. A web page could still reach it, if its own host name
            # resolves to loopback.
            return text_reply("Use an IP address or localhost in the URL, or set admin.password.", 403)
        request.logged_in(USER)
        if request.method not in (b"GET", b"HEAD") and request.header(ACTION_HEADER.encode()) is None:
            return text_reply(f"Requests that change something need the header {ACTION_HEADER}.", 403)
        return None

    def _check(self, request: ApiRequest, password: Secret) -> Reply | None:
        address = request.address
        authorization = (request.header(b"Authorization") or b"").decode("latin-1")
        right = _knows(authorization, password)
        wait_seconds = self._limits.wait_seconds(address, USER)
        if wait_seconds > 0.0 and not (right and self._limits.knows(address, USER, password)):
            # The answer must not show whether this password is right.
            retry = ("Retry-After", f"{math.ceil(wait_seconds)}")
            return text_reply("Too many failed logins; wait a minute.", 429, retry)
        if right:
            self._limits.succeeded(address, USER, password)
            return None
        if authorization:
            # A browser first asks without a password, and learns from the answer that it needs one.
            self._limits.failed(address, USER)
        challenge = ("WWW-Authenticate", 'Basic realm="relay", charset="UTF-8"')
        return text_reply(f"Log in as {USER!r} with the password of admin.password.", 401, challenge)


#: Headers besides those that every reply has.
_HEADERS = (
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Content-Security-Policy", b"default-src 'self'; style-src 'self'; frame-ancestors 'none'"),
)


def _write(request: ApiRequest, reply: Reply) -> None:
    headers = [*_HEADERS, *((name.encode(), value.encode()) for name, value in reply.headers)]
    request.reply(HttpReply(reply.status, reply.body, reply.content_type.encode(), headers))


def _knows(authorization: str, password: Secret) -> bool:
    kind, _, credentials = authorization.partition(" ")
    if kind.lower() != "basic":
        return False
    try:
        user, _, given = base64.b64decode(credentials, validate=True).decode("utf-8", "surrogateescape").partition(":")
    except (binascii.Error, ValueError):
        return False
    # Name and password are always both compared, so that the time doesn't tell which is wrong.
    right = password.matches(given)
    return right and user == USER


def _is_local_name(host: str) -> bool:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if name.lower() == "localhost":
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def admin_factory(
    root: AdminRoot, clock: IReactorTime, turns: FairTurns | None = None, proxies: TrustedProxies = NO_PROXIES
) -> ApiSite:
    """The factory for the admin listener's endpoints."""
    limits = Limits(
        request_bytes=MAX_BODY_BYTES,
        connections=MOST_CONNECTIONS,
        connections_per_address=MOST_CONNECTIONS,
        connections_before_login=MOST_CONNECTIONS,
    )
    return ApiSite(root.handle, limits, clock, turns, proxies)

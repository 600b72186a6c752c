"""The admin listener: finds out who sent a request, and gives the request to a page.

`AdminRoot` asks for the password, keeps browsers of other sites out, and gives the request to one of its pages. A page
is a function from `AdminRequest` to `Reply`, or to an awaitable of one. `admin_pages` has the pages.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.config.daemon_config import Limits
from relay.http.api_request import ApiRequest
from relay.http.api_request import Reply as HttpReply
from relay.http.forwarded import TrustedProxies
from relay.http.message_requests import FORMS
from relay.http.problems import Problem
from relay.http.site import NO_PROXIES, ApiSite
from relay.operator.operator_logins import USER, Actor, LoginRefused, Operator, OperatorLogins, role_for
from relay.runtime.fair_turns import FairTurns

#: The largest body of a request. It has only a reason, or a list of ids.
MAX_BODY_BYTES = 262_144
#: How many wrong passwords one address may send in a minute.
MOST_FAILED_LOGINS = 20
#: The most connections at once: enough for a scraper, a few browsers with live figures, and a few commands.
MOST_CONNECTIONS = 200
#: Every request that changes something must carry this header. A page of another site can't make a browser send it.
ACTION_HEADER = "X-Relay-Action"
#: The headers that pages get.
_PRECONDITIONS = ("If-Match", "If-None-Match")


class AdminRequest(msgspec.Struct, frozen=True):
    """A request, as a page gets it.

    :ivar path: without leading slash, split: ["carriers", "tier1", "hold"].
    :ivar query: the first value of each parameter.
    :ivar peer: the client's address, for the audit record.
    :ivar fields: the fields of a form of one of the pages below `/page/`.
    :ivar user: who asks.
    :ivar headers: `If-Match` and `If-None-Match`, if the request has them.
    """

    method: str
    path: list[str]
    query: Mapping[str, str]
    body: bytes
    peer: str
    fields: Mapping[str, str] = {}
    user: Operator = Operator(USER)
    headers: Mapping[str, str] = {}

    @property
    def actor(self) -> Actor:
        """Who asks, and from where, for the audit record."""
        return Actor(self.user.name, self.peer)


class Reply(msgspec.Struct, frozen=True):
    """The answer of a page."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def json_reply(value: object, status: int = 200, *headers: tuple[str, str]) -> Reply:
    """A reply in JSON."""
    return Reply(status, "application/json", msgspec.json.encode(value) + b"\n", headers)


def text_reply(text: str, status: int = 200, *headers: tuple[str, str]) -> Reply:
    """A reply in plain text."""
    return Reply(status, "text/plain; charset=utf-8", text.encode() + b"\n", headers)


Page = Callable[[AdminRequest], Reply | Awaitable[Reply]]


class AdminRoot:
    """Gives each request to the page of its first path element. `handle` is for `ApiSite`.

    :param pages: (method, first element) -> page; the first element of "/" is "".
    :param logins: says who sent a request.
    """

    log = Logger()

    def __init__(self, pages: Mapping[tuple[str, str], Page], logins: OperatorLogins) -> None:
        self._pages = dict(pages)
        self._logins = logins

    def handle(self, request: ApiRequest) -> None:
        """Answers a request, now or later. Never raises."""
        reply = self._reply(request)
        if isinstance(reply, Reply):
            _write(request, reply)
            return
        working = Deferred.fromCoroutine(self._write_when_done(request, reply))
        # An action goes on if its client leaves, so that it isn't recorded and then done by half.
        if not working.called and request.method in (b"GET", b"HEAD"):
            request.notifyFinish().addErrback(lambda _: working.cancel())

    def _reply(self, request: ApiRequest) -> Reply | Awaitable[Reply]:
        if not self._logins.needed and not _is_local_name((request.header(b"Host") or b"").decode("latin-1")):
            # Without a password the listener is on loopback. A web page could still reach it, if its own host name
            # resolves to loopback.
            return text_reply("Use an IP address or localhost in the URL, or set admin.password.", 403)
        authorization = (request.header(b"Authorization") or b"").decode("latin-1")
        try:
            found = self._logins.find(authorization, request.address)
        except LoginRefused as refused:
            return _refused(refused)
        return self._after_login(request, found) if isinstance(found, Operator) else self._when_known(request, found)

    async def _when_known(self, request: ApiRequest, found: "Deferred[Operator]") -> Reply:
        try:
            user = await found
        except LoginRefused as refused:
            return _refused(refused)
        reply = self._after_login(request, user)
        return reply if isinstance(reply, Reply) else await reply

    def _after_login(self, request: ApiRequest, user: Operator) -> Reply | Awaitable[Reply]:
        request.logged_in(user.name)
        reads = request.method in (b"GET", b"HEAD")
        if not reads and request.header(ACTION_HEADER.encode()) is None and not _is_form(request):
            return text_reply(f"Requests that change something need the header {ACTION_HEADER}.", 403)
        path = [unquote_to_bytes(element).decode("utf-8", "replace") for element in request.path.split(b"/")[1:]]
        if said := user.lacks(role_for(path, reads=reads)):
            return text_reply(said, 403)
        return self._page(request, path, user)

    async def _write_when_done(self, request: ApiRequest, reply: Awaitable[Reply]) -> None:
        try:
            done = await reply
        except CancelledError:
            # The client has gone.
            return
        except Exception:
            done = self._failed()
        _write(request, done)

    def _page(self, request: ApiRequest, path: list[str], user: Operator) -> Reply | Awaitable[Reply]:
        method = request.method.decode("latin-1")
        page = self._pages.get(("GET" if method == "HEAD" else method, path[0] if path else ""))
        if page is None:
            if path and any(known == path[0] for _, known in self._pages):
                return text_reply(f"{method} isn't for this page.", 405)
            return text_reply("No such page. There are: / /metrics /health/live /health/ready", 404)
        try:
            fields = request.form() if _is_form(request) else {}
            asked = request.parameters()
            headers = {
                name: value.decode("latin-1")
                for name in _PRECONDITIONS
                if (value := request.header(name.encode())) is not None
            }
            return page(AdminRequest(method, path, asked, request.body(), request.address, fields, user, headers))
        except Problem as problem:
            return text_reply(problem.document.detail, problem.status)
        except Exception:
            return self._failed()

    def _failed(self) -> Reply:
        self.log.failure("admin_failed: a page of the admin listener failed")
        return text_reply("The page failed. The log says why.", 500)


def _refused(refused: LoginRefused) -> Reply:
    """The answer to somebody who is not logged in."""
    if refused.wait_seconds > 0.0:
        return text_reply(str(refused), 429, ("Retry-After", f"{math.ceil(refused.wait_seconds)}"))
    return text_reply(str(refused), 401, ("WWW-Authenticate", 'Basic realm="relay", charset="UTF-8"'))


def _is_form(request: ApiRequest) -> bool:
    """Whether it is a form of a page for a browser. The page checks the token in it."""
    return request.path.startswith(b"/page/") and request.method == b"POST" and request.content_type in FORMS


#: Headers besides those that every reply has.
_HEADERS = (
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (
        b"Content-Security-Policy",
        b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
)


def _write(request: ApiRequest, reply: Reply) -> None:
    headers = [*_HEADERS, *((name.encode(), value.encode()) for name, value in reply.headers)]
    request.reply(HttpReply(reply.status, reply.body, reply.content_type.encode(), headers))


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

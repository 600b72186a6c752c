"""The admin listener: metrics, health, and the door to everything else that is the operator's.

`AdminSite` asks for the password, keeps browsers of other sites out, and gives the request to one of its pages. A page
is a function from `AdminRequest` to `Reply`, or to an awaitable of one; what the pages say is written elsewhere.
"""

import base64
import binascii
import math
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from ipaddress import ip_address
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from relay.http.failed_logins import FailedLogins
from relay.values.secret import Secret

#: Whom the password is asked of.
USER = "operator"
#: Requests' bodies are small here: a reason, a list of ids.
MAX_BODY_BYTES = 262_144
#: Wrong passwords that one address may say a minute.
MOST_FAILED_LOGINS = 20
#: Connections that are served at once: a scraper, a few browsers with their live numbers, a few commands.
MOST_CONNECTIONS = 200
#: Every request that changes something must carry this header. A page of another site can't make a browser send it.
ACTION_HEADER = "X-Relay-Action"


class AdminRequest(msgspec.Struct, frozen=True):
    """What a page gets to know.

    :ivar path: without leading slash, split: ["carriers", "tier1", "hold"].
    :ivar query: the first value of each parameter.
    :ivar peer: where it came from, for the audit record.
    """

    method: str
    path: list[str]
    query: Mapping[str, str]
    body: bytes
    peer: str


class Reply(msgspec.Struct, frozen=True):
    """What a page says."""

    status: int
    content_type: str
    body: bytes


def json_reply(value: object, status: int = 200) -> Reply:
    """A reply in JSON."""
    return Reply(status, "application/json", msgspec.json.encode(value) + b"\n")


def text_reply(text: str, status: int = 200) -> Reply:
    """A reply in plain text."""
    return Reply(status, "text/plain; charset=utf-8", text.encode() + b"\n")


Page = Callable[[AdminRequest], Reply | Awaitable[Reply]]


@implementer(IResource)
class AdminRoot(Resource):
    """Gives each request to the page of its first path element.

    :param pages: (method, first element) -> page; the first element of "/" is "".
    :param password: gives what is asked for, or None: nothing is. Looked at with each request.
    :param failed_logins: counts who says a wrong one, and says when to listen to them again.
    """

    isLeaf = True
    log = Logger()

    def __init__(self, pages: Mapping[tuple[str, str], Page], password: Callable[[], Secret | None],
                 failed_logins: FailedLogins) -> None:  # fmt: skip
        super().__init__()
        self._pages = dict(pages)
        self._password = password
        self._failed_logins = failed_logins

    def render(self, request: Request) -> int:
        reply: Reply | Awaitable[Reply] | None = self._refusal(request)
        if reply is None:
            wanted = AdminRequest(
                request.method.decode("latin-1"),
                [element.decode("utf-8", "replace") for element in request.postpath or []],
                {
                    name.decode("utf-8", "replace"): values[0].decode("utf-8", "replace")
                    for name, values in (request.args or {}).items()
                },
                request.content.read(MAX_BODY_BYTES + 1) if request.content is not None else b"",
                getattr(request.getClientAddress(), "host", ""),
            )
            reply = self._page(wanted)
        if isinstance(reply, Reply):
            _write(request, reply)
        else:
            self._write_when_done(request, reply)
        return NOT_DONE_YET

    def _write_when_done(self, request: Request, reply: Awaitable[Reply]) -> None:
        working = Deferred.fromCoroutine(_awaited(reply))
        gone = request.notifyFinish()
        gone.addErrback(lambda _: working.cancel())
        working.addErrback(self._failed)
        working.addCallback(lambda done: _write(request, done) if done is not None and not gone.called else None)

    def _page(self, wanted: AdminRequest) -> Reply | Awaitable[Reply]:
        first = wanted.path[0] if wanted.path else ""
        method = "GET" if wanted.method == "HEAD" else wanted.method
        page = self._pages.get((method, first))
        if page is None:
            if any(known == first for _, known in self._pages):
                return text_reply(f"{wanted.method} isn't for this page.", 405)
            return text_reply("No such page. There are: / /metrics /health/live /health/ready", 404)
        if len(wanted.body) > MAX_BODY_BYTES:
            return text_reply(f"The body is longer than {MAX_BODY_BYTES} bytes.", 413)
        try:
            return page(wanted)
        except Exception:
            return self._failed(Failure()) or text_reply("", 500)

    def _failed(self, failure: Failure) -> Reply | None:
        if failure.check(CancelledError):
            return None
        self.log.failure("admin_failed: a page of the admin listener failed", failure=failure)
        return text_reply("This failed; the log says why.", 500)

    def _refusal(self, request: Request) -> Reply | None:
        password = self._password()
        if password is not None:
            address = getattr(request.getClientAddress(), "host", "")
            wait_seconds = self._failed_logins.wait_seconds(address)
            if wait_seconds > 0.0:
                # Whether this password is the right one must not show.
                request.setHeader("Retry-After", f"{math.ceil(wait_seconds)}")
                return text_reply("Too many failed logins from your address; wait a minute.", 429)
            authorization = request.getHeader("Authorization") or ""
            if not _knows(authorization, password):
                if authorization:
                    # A browser asks once without, to be told how.
                    self._failed_logins.failed(address)
                request.setHeader("WWW-Authenticate", 'Basic realm="relay", charset="UTF-8"')
                return text_reply(f"Log in as {USER!r} with the password of admin.password.", 401)
        elif not _is_local_name(request.getHeader("Host") or ""):
            # Without a password the listener is on loopback, and what could reach it is a web page whose own name
            # has been made to point here.
            return text_reply("Ask by address or as localhost, or set admin.password.", 403)
        if request.method not in (b"GET", b"HEAD") and request.getHeader(ACTION_HEADER) is None:
            return text_reply(f"Requests that change something need the header {ACTION_HEADER}.", 403)
        return None


async def _awaited(reply: Awaitable[Reply]) -> Reply:
    return await reply


def _write(request: Request, reply: Reply) -> None:
    request.setResponseCode(reply.status)
    request.setHeader("Content-Type", reply.content_type)
    request.setHeader("Content-Length", str(len(reply.body)))
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("X-Content-Type-Options", "nosniff")
    request.setHeader("X-Frame-Options", "DENY")
    request.setHeader("Referrer-Policy", "no-referrer")
    request.setHeader("Content-Security-Policy", "default-src 'self'; style-src 'self'; frame-ancestors 'none'")
    if request.method != b"HEAD":
        request.write(reply.body)
    request.finish()


def _knows(authorization: str, password: Secret) -> bool:
    kind, _, credentials = authorization.partition(" ")
    if kind.lower() != "basic":
        return False
    try:
        user, _, given = base64.b64decode(credentials, validate=True).decode("utf-8", "surrogateescape").partition(":")
    except (binascii.Error, ValueError):
        return False
    # Both are looked at whatever the first one says.
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


class _BoundedRequest(Request):
    """Keeps no more of a body than shows that it is too long. twisted.web itself writes long ones to the disk, before
    anybody is asked for a password."""

    content: BytesIO

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        room = MAX_BODY_BYTES + 1 - self.content.tell()
        if room > 0:
            self.content.write(data[:room])


class _BoundedSite(Site):
    """Serves `MOST_CONNECTIONS` at once; more are closed without a word."""

    noisy = False
    _open = 0

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if self._open >= MOST_CONNECTIONS:
            return None
        protocol: Any = super().buildProtocol(addr)
        ended = protocol.connectionLost

        def connection_lost(reason: Failure = connectionDone) -> None:
            self._open -= 1
            ended(reason)

        protocol.connectionLost = connection_lost
        self._open += 1
        return protocol


def admin_factory(root: AdminRoot, reactor: Any) -> Site:
    """The factory for the admin listener's endpoints."""
    site = _BoundedSite(root, requestFactory=_BoundedRequest, timeout=60, reactor=reactor)
    # No access log: whatever is changed here leaves an audit record.
    site.log = lambda request: None  # type: ignore[method-assign]
    return site

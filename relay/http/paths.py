"""Finds the account and the handler of a request, and answers if the handler fails.

A handler is a coroutine function from request and account to `Reply`. Its exception becomes a problem document.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.accounts.api_keys import Use
from relay.http.api_request import ApiRequest, Reply, problem_reply
from relay.http.logins import Logins
from relay.http.problems import Problem, of_store
from relay.runtime.tasks import Tasks
from relay.store.store_values import StoreUnavailable

#: A handler that needs no login gets "" as the account.
Handler = Callable[[ApiRequest, str], Awaitable[Reply]]

_CHALLENGES: Final = (
    (b"WWW-Authenticate", b'Basic realm="relay", charset="UTF-8"'),
    (b"WWW-Authenticate", b'Bearer realm="relay"'),
)

_UNAUTHORIZED: Final = (
    "Log in: use HTTP Basic with the account's name and its API key, or 'Authorization: Bearer' with the key."
)

_READING: Final = frozenset({b"GET", b"HEAD"})

_OTHER_SITE: Final = "The Origin says that a page of another site sends this with a browser's login. Use a program."


def _from_another_site(request: ApiRequest) -> bool:
    """Whether a browser sends this request for a page that isn't ours.

    A browser remembers an API key that was entered, and adds it to every request to this host, whichever page sends the
    request. Any page may send a form, or a text that is JSON. Programs send no Origin.
    """
    origin = request.header(b"Origin")
    return origin is not None and origin.partition(b"://")[2].lower() != (request.header(b"Host") or b"").lower()


def _is_browser(request: ApiRequest) -> bool:
    """Whether a browser will show the answer to a person. Only browsers accept XHTML; some programs do accept HTML."""
    return b"application/xhtml+xml" in (request.header(b"Accept") or b"")


class _Route(NamedTuple):
    """What is done at a path with a method."""

    handler: Handler
    anybody: bool
    use: Use


class Router:
    """Gives each request to its handler. Register the handlers first, then give `handle` to the site."""

    log = Logger()

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        self._exact: dict[bytes, dict[bytes, _Route]] = {}
        self._patterns: list[tuple[tuple[bytes, ...], dict[bytes, _Route]]] = []
        self._tasks = Tasks(self.log, self._broken)
        #: Makes the reply about a problem that a browser shows to a person. Another package sets it.
        self.problem_page: Callable[[Problem], Reply] = problem_reply

    def add(self, method: str, path: str, handler: Handler, *, anybody: bool = False, use: Use | None = None) -> None:
        """Registers a handler.

        :param path: such as "/messages/{id}/notify". A name in braces matches one segment.
        :param anybody: whether the router asks for no login. The handler may ask for one itself.
        :param use: which keys may do this; None: a GET is for keys that read, anything else for keys without limits.
        """
        if "{" not in path:
            methods = self._exact.setdefault(path.encode(), {})
        else:
            pattern = tuple(b"" if part.startswith("{") else part.encode() for part in path.split("/")[1:])
            known = next((methods for have, methods in self._patterns if have == pattern), None)
            methods = {} if known is None else known
            if known is None:
                self._patterns.append((pattern, methods))
        methods[method.encode()] = _Route(handler, anybody, use or ("read" if method == "GET" else "all"))

    def handle(self, request: ApiRequest) -> None:
        """Answers a request, now or later. Never raises."""
        self._tasks.start(self._answer(request))

    def _broken(self, failure: Failure) -> None:
        self.log.failure("http_broken: an error while a reply was written, or in the work after it", failure=failure)

    async def stop(self) -> None:
        """Ends the handlers that are still running, such as long polls."""
        await self._tasks.cancel()

    async def _answer(self, request: ApiRequest) -> None:
        try:
            route = self._find(request)
            reply = await route.handler(request, "" if route.anybody else self._log_in(request, route.use))
        except Exception as error:
            problem = self._problem(request, error)
            reply = self.problem_page(problem) if _is_browser(request) else problem_reply(problem)
        try:
            request.reply(reply)
        finally:
            if reply.then is not None:
                reply.then()

    def _problem(self, request: ApiRequest, error: Exception) -> Problem:
        """What the client is told about an error."""
        if isinstance(error, Problem):
            return error
        if isinstance(error, StoreUnavailable):
            return of_store(error)
        if isinstance(error, CancelledError):
            return Problem(503, "The relay is stopping.", headers=((b"Retry-After", b"5"),))
        self.log.failure("http_failed: {method} {path} failed", method=request.method, path=request.path)
        return Problem(500, "An error in the relay. Its log has the details; tell its operator.")

    def _log_in(self, request: ApiRequest, use: Use) -> str:
        account = self._logins.by_authorization(request, use)
        if not account:
            raise Problem(401, _UNAUTHORIZED, headers=_CHALLENGES)
        if request.method not in _READING and _from_another_site(request):
            raise Problem(403, _OTHER_SITE)
        return account

    def _find(self, request: ApiRequest) -> _Route:
        path = request.path
        methods = self._exact.get(path)
        if methods is None:
            methods = self._match(path)
            if methods is None:
                raise Problem(404, "There is nothing at this path. The API is described at /docs.")
        found = methods.get(request.method)
        if found is None and request.method == b"HEAD":
            found = methods.get(b"GET")
        if found is None:
            allowed = b", ".join(sorted(methods))
            raise Problem(405, f"This path allows only {allowed.decode()}.", headers=((b"Allow", allowed),))
        return found

    def _match(self, path: bytes) -> dict[bytes, _Route] | None:
        segments = path.split(b"/")[1:]
        for pattern, methods in self._patterns:
            if len(pattern) == len(segments) and all(
                (want == have if want else have) for want, have in zip(pattern, segments, strict=True)
            ):
                return methods
        return None

"""Which handler a request goes to, whose request it is, and what becomes of a handler that fails.

A handler is a coroutine function from request and account to `Reply`; what it raises becomes a problem document.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.http.api_request import ApiRequest, Reply, problem_reply
from relay.http.logins import Logins
from relay.http.problems import Problem, of_store
from relay.store.api import StoreUnavailable

#: For a handler that anybody may call, the account is "".
Handler = Callable[[ApiRequest, str], Awaitable[Reply]]

_CHALLENGES: Final = (
    (b"WWW-Authenticate", b'Basic realm="relay", charset="UTF-8"'),
    (b"WWW-Authenticate", b'Bearer realm="relay"'),
)

_UNAUTHORIZED: Final = (
    "Say who you are: HTTP Basic with the account's name and its API key, or 'Authorization: Bearer' with the key."
)

_READING: Final = frozenset({b"GET", b"HEAD"})

_OTHER_SITE: Final = "A page of another site, as the Origin says, can't do this by a browser's login: use a program."


def _from_another_site(request: ApiRequest) -> bool:
    """Whether a browser sends this for a page that isn't ours.

    A browser that was given an API key remembers it, and would add it to what any page has it send: a form, or a text
    that happens to be JSON, needs nobody's leave. Programs send no Origin.
    """
    origin = request.header(b"Origin")
    return origin is not None and origin.partition(b"://")[2].lower() != (request.header(b"Host") or b"").lower()


class Router:
    """Takes requests from the site. Register handlers first, then hand `handle` to the site."""

    log = Logger()

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        self._exact: dict[bytes, dict[bytes, tuple[Handler, bool]]] = {}
        self._patterns: list[tuple[tuple[bytes, ...], dict[bytes, tuple[Handler, bool]]]] = []
        self._running: set[Deferred[None]] = set()

    def add(self, method: str, path: str, handler: Handler, *, anybody: bool = False) -> None:
        """Registers a handler.

        :param path: as in "/messages/{id}/notify"; what stands in braces matches one segment.
        :param anybody: don't ask for a login, or the handler asks for one in its own way.
        """
        if "{" not in path:
            methods = self._exact.setdefault(path.encode(), {})
        else:
            pattern = tuple(b"" if part.startswith("{") else part.encode() for part in path.split("/")[1:])
            known = next((methods for have, methods in self._patterns if have == pattern), None)
            methods = {} if known is None else known
            if known is None:
                self._patterns.append((pattern, methods))
        methods[method.encode()] = (handler, anybody)

    def handle(self, request: ApiRequest) -> None:
        """Answers a request, now or later. Never raises."""
        running = Deferred.fromCoroutine(self._answer(request))
        if not running.called:
            self._running.add(running)
        running.addBoth(self._ended, running)

    def _ended(self, result: object, running: "Deferred[None]") -> None:
        self._running.discard(running)
        if isinstance(result, Failure):
            self.log.failure("http_broken: an error while a reply was written or followed up", failure=result)

    async def stop(self) -> None:
        """Ends what is still being answered, long polls for instance."""
        for running in tuple(self._running):
            running.cancel()

    async def _answer(self, request: ApiRequest) -> None:
        try:
            handler, anybody = self._find(request)
            reply = await handler(request, "" if anybody else self._log_in(request))
        except Problem as problem:
            reply = problem_reply(problem)
        except StoreUnavailable as problem:
            reply = problem_reply(of_store(problem))
        except CancelledError:
            reply = problem_reply(Problem(503, "The relay is stopping.", headers=((b"Retry-After", b"5"),)))
        except Exception:
            self.log.failure("http_failed: {method} {path} failed", method=request.method, path=request.path)
            reply = problem_reply(Problem(500, "The relay made a mistake; its operator has been told."))
        try:
            request.reply(reply)
        finally:
            if reply.then is not None:
                reply.then()

    def _log_in(self, request: ApiRequest) -> str:
        account = self._logins.by_authorization(request)
        if not account:
            raise Problem(401, _UNAUTHORIZED, headers=_CHALLENGES)
        if request.method not in _READING and _from_another_site(request):
            raise Problem(403, _OTHER_SITE)
        return account

    def _find(self, request: ApiRequest) -> tuple[Handler, bool]:
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
            raise Problem(405, f"Here you can use {allowed.decode()} only.", headers=((b"Allow", allowed),))
        return found

    def _match(self, path: bytes) -> dict[bytes, tuple[Handler, bool]] | None:
        segments = path.split(b"/")[1:]
        for pattern, methods in self._patterns:
            if len(pattern) == len(segments) and all(
                (want == have if want else have) for want, have in zip(pattern, segments, strict=True)
            ):
                return methods
        return None

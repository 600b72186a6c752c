"""Decides who may see a page: checks logins, cookies and the token in every form, and keeps other sites out."""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from twisted.web.template import Tag

from relay.account_pages.html import Content, flatten, page
from relay.account_pages.login import login_page, problem_page
from relay.account_pages.page_values import AccountSuspended, Flash, Session, Sessions, TooManyAttempts
from relay.http.api_request import ApiRequest, Reply
from relay.http.message_requests import FORMS
from relay.http.paths import Handler
from relay.http.problems import Problem, of_store, retry_after
from relay.store.store_values import StoreUnavailable

SESSION_COOKIE: Final = "relay_session"
LOGIN_COOKIE: Final = "relay_login"

HTML: Final = b"text/html; charset=utf-8"

_POLICY: Final = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: Final = (
    (b"Content-Security-Policy", _POLICY),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"same-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Permissions-Policy", b"camera=(), geolocation=(), microphone=()"),
)

#: The paths to which a login may lead: only our own pages.
_OWN_PATH: Final = re.compile(r"/(my/(messages|settings|send|access)[A-Za-z0-9/?&=%+.-]*)?")

#: What the login page says to somebody whose login has ended, by what was wanted.
_ENDED: Final = {
    "page": "Your login has ended. Log in again.",
    "form": "Your login has ended, so the form was not sent. Log in and send it again.",
}

PageHandler = Callable[[ApiRequest, Session], Awaitable[Reply]]
FormHandler = Callable[[ApiRequest, Session, Mapping[str, str]], Awaitable[Reply]]


class Gate:
    """Checks requests, and gives them to handlers together with their session.

    :param alarm: makes the warning of an account that stands on all its pages.
    """

    def __init__(self, sessions: Sessions, alarm: Callable[[str], Tag]) -> None:
        self._sessions = sessions
        self._alarm = alarm

    def _answered(
        self, handler: Callable[[ApiRequest], Awaitable[Reply]]
    ) -> Callable[[ApiRequest, str], Awaitable[Reply]]:
        """Wraps a handler, so that its problems become pages instead of JSON documents."""

        async def answer(request: ApiRequest, account: str) -> Reply:
            try:
                await self._sessions.ready()
                return await handler(request)
            except StoreUnavailable as unavailable:
                problem = of_store(unavailable)
            except Problem as raised:
                problem = raised
            return problem_reply_page(problem)

        return answer

    def page(self, handler: PageHandler) -> Handler:
        """Makes a handler for a page that needs a login. Other visitors get the login page first."""

        async def answer(request: ApiRequest) -> Reply:
            session = self.session(request)
            if session is None:
                wanted = request.uri.decode("latin-1")
                return _log_in_first(request, wanted if wanted != "/" and _OWN_PATH.fullmatch(wanted) else "", "page")
            return await handler(request, session)

        return self._answered(answer)

    def form(self, handler: FormHandler) -> Handler:
        """Makes a handler for a form. It needs a login, and the token that proves that the form is ours."""

        async def answer(request: ApiRequest) -> Reply:
            session = self.session(request)
            if session is None:
                return _log_in_first(request, "", "form")
            fields = request.form() if request.content_type in FORMS else {}
            if not hmac.compare_digest(fields.get("csrf", "").encode(), session.csrf.encode()):
                detail = "The form came from another site, or it was too old. Go back, reload the page and try again."
                raise Problem(403, detail)
            return await handler(request, session, fields)

        return self._answered(answer)

    def open_page(self, handler: Callable[[ApiRequest], Awaitable[Reply]]) -> Handler:
        """Makes a handler for a page that needs no login."""
        return self._answered(handler)

    def session(self, request: ApiRequest) -> Session | None:
        """The session of a request; None: nobody is logged in."""
        token = cookie_of(request, SESSION_COOKIE)
        session = self._sessions.find(token, use=not _is_refresh(request)) if token else None
        if session is not None:
            request.logged_in(session.account)
        return session

    def shown(
        self,
        request: ApiRequest,
        session: Session,
        title: str,
        here: str,
        *content: Content,
        status: int = 200,
        headers: Sequence[tuple[bytes, bytes]] = (),
        **body: object,
    ) -> Reply:
        """Makes the reply with a page, see `relay.account_pages.html.page`.

        It takes the message that the next page shows once. The script that refreshes a page doesn't get it.
        """
        flash: Flash | None = None
        if not _is_refresh(request):
            flash, session.flash = session.flash, None
        made = page(session, title, here, *content, flash=flash, alarm=self._alarm(session.account), **body)
        return html_reply(made, status, headers)

    async def login_form(self, request: ApiRequest) -> Reply:
        """`GET /login`."""
        if self.session(request) is not None:
            return see("/")
        asked = request.parameters()
        return await self._ask_for_login(request, asked.get("next", ""), problem=_ENDED.get(asked.get("ended", ""), ""))

    async def _ask_for_login(
        self, request: ApiRequest, wanted: str, *, account: str = "", problem: str = "", missing: bool = False,
        status: int = 200, headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> Reply:  # fmt: skip
        token = self._sessions.new_token()
        cookie = _set_cookie(request, LOGIN_COOKIE, token, 3600)
        shown = login_page(
            token, wanted if _OWN_PATH.fullmatch(wanted) else "/", account=account, problem=problem, missing=missing
        )
        return html_reply(shown, status, (cookie, *headers))

    async def log_in(self, request: ApiRequest) -> Reply:
        """`POST /login`."""
        fields = request.form() if request.content_type in FORMS else {}
        account, key, wanted = fields.get("account", "").strip(), fields.get("key", ""), fields.get("next", "")
        sent, kept = fields.get("csrf", ""), cookie_of(request, LOGIN_COOKIE)
        if not sent or not hmac.compare_digest(sent.encode(), kept.encode()):
            problem = "The form was too old, or the browser refuses cookies. Try again."
            return await self._ask_for_login(request, wanted, account=account, problem=problem, status=403)
        if not account or not key:
            return await self._ask_for_login(request, wanted, account=account, missing=True, status=422)
        try:
            token = await self._sessions.log_in(request.address, account, key)
        except TooManyAttempts as attempts:
            wait = max(1, round(attempts.wait_seconds + 0.5))
            problem = f"Too many failed attempts. Try again in {wait} seconds."
            return await self._ask_for_login(
                request, wanted, account=account, problem=problem, status=429,
                headers=(retry_after(attempts.wait_seconds),),
            )  # fmt: skip
        except AccountSuspended:
            problem = "This account is suspended. Ask the operator of the relay."
            return await self._ask_for_login(request, wanted, account=account, problem=problem, status=403)
        if token is None:
            problem = "There is no account with this name and key."
            return await self._ask_for_login(request, wanted, account=account, problem=problem, status=403)
        request.logged_in(account)
        return see(
            wanted if _OWN_PATH.fullmatch(wanted) else "/",
            _set_cookie(request, SESSION_COOKIE, token, self._sessions.session_seconds),
            _set_cookie(request, LOGIN_COOKIE, "", 0),
        )

    async def log_out(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        """`POST /logout`."""
        await self._sessions.log_out(cookie_of(request, SESSION_COOKIE))
        return see("/login", _set_cookie(request, SESSION_COOKIE, "", 0))


def _log_in_first(request: ApiRequest, wanted: str, what: str) -> Reply:
    """Sends a visitor to the login page. If the visitor was logged in before, the page says so.

    :param wanted: the page that follows the login; "": the overview.
    :param what: what the visitor wanted, one of `_ENDED`.
    """
    asked = {"next": wanted} if wanted else {}
    headers = []
    if cookie_of(request, SESSION_COOKIE):
        asked["ended"] = what
        # It opens nothing any more. Later visits are first ones.
        headers.append(_set_cookie(request, SESSION_COOKIE, "", 0))
    return see(f"/login?{urlencode(asked)}" if asked else "/login", *headers)


def html_reply(tag: Tag, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    """Makes the reply with a page."""
    return Reply(status, flatten(tag), HTML, (*PAGE_HEADERS, *headers))


def problem_reply_page(problem: Problem) -> Reply:
    """Makes the page that shows a problem to a person."""
    document = problem.document
    return html_reply(problem_page(document.title, document.detail), problem.status, problem.headers)


def see(path: str, *headers: tuple[bytes, bytes]) -> Reply:
    """Makes the reply that sends the browser to another page. After a form, a reload then doesn't send it again."""
    return Reply(303, b"", HTML, ((b"Location", path.encode("latin-1")), *PAGE_HEADERS, *headers))


def _is_refresh(request: ApiRequest) -> bool:
    """Whether the request comes from the page's script, and not from a person."""
    return request.header(b"X-Live") is not None


def cookie_of(request: ApiRequest, name: str) -> str:
    """A cookie's value, or ""."""
    for pair in (request.header(b"Cookie") or b"").decode("latin-1").split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value
    return ""


def _set_cookie(request: ApiRequest, name: str, value: str, seconds: float) -> tuple[bytes, bytes]:
    text = f"{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds:.0f}"
    # A proxy that speaks TLS sets this header. A client that forges it only gets a cookie that it won't send.
    if request.isSecure() or request.header(b"X-Forwarded-Proto") == b"https":
        text += "; Secure"
    return b"Set-Cookie", text.encode()

"""The paths of My Account, and the handler of each."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.web.template import Tag

from relay.account_pages import message_pages, statistics
from relay.account_pages.access_site import AccessSite
from relay.account_pages.account_use import use_rows, use_title
from relay.account_pages.confirmation import REMOVE_URL, STOP_SIGNING, Question, confirmation
from relay.account_pages.delivery_stats import SPANS, Span
from relay.account_pages.first_steps import base_url, first_steps
from relay.account_pages.form_changes import Changes
from relay.account_pages.gate import PAGE_HEADERS, SESSION_COOKIE, Gate, cookie_of, problem_reply_page, see
from relay.account_pages.html import card, el, facts
from relay.account_pages.live import LiveUpdates
from relay.account_pages.message_site import MessageSite
from relay.account_pages.notification_health import NotificationHealth
from relay.account_pages.page_values import Flash, Session, Sessions, StatsSource
from relay.account_pages.send_site import SendSite
from relay.account_pages.settings_forms import DELIVERY_SETTINGS, delivery_card, secret_card, url_card
from relay.account_pages.static_files import STATIC, static_file
from relay.accounts.account_settings import UNSEEN_SECRET, SettingProblem
from relay.customers.bound_logins import LoginView
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers, SubmissionFlow, WebhookTester
from relay.http.http_api import HttpApi
from relay.http.problems import Problem
from relay.values.ids import RandomBytes, parse_id

#: How many messages the overview shows.
LATEST: Final = 8


class AccountPages:
    """Adds My Account to the customers' HTTP listener.

    :param api: the HTTP API. The pages are added to its router, and call it to submit messages and change settings.
    :param smpp_logins: gives the SMPP logins of an account.
    """

    def __init__(
        self,
        api: HttpApi,
        *,
        flow: SubmissionFlow,
        accounts: Customers,
        webhooks: WebhookTester,
        sessions: Sessions,
        page_stats: StatsSource,
        smpp_logins: Callable[[str], Iterable[LoginView]],
        clock: IReactorTime,
        random_bytes: RandomBytes,
    ) -> None:
        self._api = api
        self._flow = flow
        self._accounts = accounts
        self._sessions = sessions
        self._health = health = NotificationHealth(flow.store, accounts, webhooks, clock)
        self._gate = gate = Gate(sessions, health.alarm)
        self._page_stats = page_stats
        self._clock = clock
        self._changes = Changes(api.account, accounts, webhooks, clock, random_bytes)
        self._live = LiveUpdates(flow.store, sessions, page_stats, health.failing, clock)
        messages = MessageSite(gate, api, flow, accounts, webhooks, clock)
        access = AccessSite(gate, flow.store, accounts, api.key_uses, smpp_logins, clock, random_bytes)
        send = SendSite(gate, api.preparer, flow, accounts)
        api.router.problem_page = problem_reply_page
        add = partial(api.router.add, anybody=True)
        for name, content_type in STATIC.items():
            add("GET", f"/my/{name}", partial(self._give_static, static_file(name), content_type.encode()))
        add("GET", "/login", gate.open_page(gate.login_form))
        add("POST", "/login", gate.open_page(gate.log_in))
        add("GET", "/my/events", self._events)
        for path, handler in (
            ("/", self._overview),
            ("/my/messages", messages.list),
            ("/my/messages/export", messages.export),
            ("/my/messages/{id}", messages.message),
            ("/my/settings", self._settings),
            ("/my/send", send.show),
            ("/my/access", access.show),
        ):
            add("GET", path, gate.page(handler))
        for path, form_handler in (
            ("/logout", gate.log_out),
            ("/", self._set_url),
            ("/my/settings", self._change_settings),
            ("/my/secret", self._set_secret),
            ("/my/test", self._test),
            ("/my/send", send.send),
            ("/my/access", access.change),
            ("/my/messages/{id}/notify", messages.notify),
            ("/my/messages/replay", messages.replay),
            ("/my/messages/resend", messages.resend),
        ):
            add("POST", path, gate.form(form_handler))

    # Pages

    async def _overview(self, request: ApiRequest, session: Session) -> Reply:
        return await self._overview_page(request, session)

    async def _overview_page(
        self, request: ApiRequest, session: Session, *, entered: str | None = None, problem: str = ""
    ) -> Reply:
        account = session.account
        span = _span(request.parameters().get("span", ""))
        view = await self._page_stats.view(account, span)
        latest = await self._flow.store.recent(account, limit=LATEST)
        listed = message_pages.table(
            latest, self._accounts.get(account).error_codes, empty="No message yet.", caption="Latest messages"
        )
        return self._gate.shown(
            request,
            session,
            "My Account",
            "/",
            self._first_steps(request, account) if not latest and not any(view.totals.values()) else None,
            el("div", statistics.span_tabs(span), class_="finder"),
            statistics.tiles(view),
            statistics.charts(view),
            self._use_card(account),
            await self._health.card(account),
            url_card(session, self._api.account.report(account), "/", entered=entered, problem=problem),
            card(
                "Latest messages",
                el("div", listed, id="latest", data_live=True),
                el("p", el("a", "All messages", href="/my/messages"), class_="apart"),
            ),
            status=422 if problem else 200,
            data_events=f"/my/events?span={span.name}",
        )

    def _use_card(self, account: str) -> Tag | None:
        found = self._api.account.statement(account)
        if found is None:
            return None
        return card(use_title(found), facts(use_rows(found), id="use", data_live=True))

    def _first_steps(self, request: ApiRequest, account: str) -> Tag:
        settings = self._accounts.get(account)
        return first_steps(
            account,
            base_url(request),
            has_url=settings.notification_url is not None,
            tested=account in self._changes.tested,
            sender=settings.senders.default,
        )

    async def _settings(self, request: ApiRequest, session: Session) -> Reply:
        return await self._settings_page(request, session)

    async def _settings_page(
        self,
        request: ApiRequest,
        session: Session,
        *,
        url: str | None = None,
        url_problem: str = "",
        entered: dict[str, str] | None = None,
        problems: dict[str, str] | None = None,
    ) -> Reply:
        account = session.account
        settings = self._accounts.get(account)
        set_here = {name for name in DELIVERY_SETTINGS if self._accounts.setting(account, name) is not None}
        secret = self._accounts.setting(account, "notification_secret")
        unseen = self._accounts.setting(account, UNSEEN_SECRET) is not None
        old_until = self._changes.old_secret_until(account)
        return self._gate.shown(
            request,
            session,
            "Settings",
            "/my/settings",
            url_card(session, self._api.account.report(account), "/my/settings", entered=url, problem=url_problem),
            secret_card(session, settings, secret, old_until, unseen),
            delivery_card(session, settings, set_here, entered=entered, problems=problems),
            status=422 if url_problem or problems else 200,
        )

    def _confirm(
        self, request: ApiRequest, session: Session, action: str, fields: Mapping[str, str], question: Question
    ) -> Reply:
        content = confirmation(session, action, fields, question)
        return self._gate.shown(request, session, question.title, question.back, content)

    # Forms

    async def _set_url(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        """`POST /` and `POST /my/settings`: both pages have this form. So after a problem the address is the same."""
        url, action, here = fields.get("url", "").strip(), fields.get("action", "save"), request.path.decode("latin-1")
        if action == "remove" and not fields.get("sure"):
            return self._confirm(request, session, here, fields, REMOVE_URL)
        try:
            session.flash = await self._changes.url(session.account, action, url)
        except SettingProblem as problem:
            if here == "/":
                return await self._overview_page(request, session, entered=url, problem=str(problem))
            return await self._settings_page(request, session, url=url, url_problem=str(problem))
        return see(here)

    async def _change_settings(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        """`POST /my/settings`: the form with the URL, or that with the other settings."""
        change = self._set_delivery if fields.get("form") == "delivery" else self._set_url
        return await change(request, session, fields)

    async def _set_delivery(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        action = fields.get("action", "save")
        entered = {name: fields[name].strip() for name in DELIVERY_SETTINGS if name in fields}
        problems = await self._changes.delivery(session.account, action, entered)
        if problems:
            return await self._settings_page(request, session, entered=entered, problems=problems)
        words = (
            "The settings have the configuration's values again." if action == "reset" else "The settings are saved."
        )
        session.flash = Flash(True, words)
        return see("/my/settings")

    async def _set_secret(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        action = fields.get("action", "generate")
        if action == "remove" and not fields.get("sure"):
            return self._confirm(request, session, "/my/secret", fields, STOP_SIGNING)
        session.flash = await self._changes.secret(session.account, action)
        return see("/my/settings")

    async def _test(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        session.flash = await self._changes.test(session.account)
        return see(_back(fields))

    # The rest

    async def _events(self, request: ApiRequest, account: str) -> Reply:
        await self._sessions.ready()
        token = cookie_of(request, SESSION_COOKIE)
        session = self._sessions.find(token, use=False) if token else None
        if session is None:
            raise Problem(401, "Log in first.")
        asked = request.parameters()
        message_id = parse_id(asked.get("message", ""))
        error_codes = self._accounts.get(session.account).error_codes
        span = _span(asked.get("span", ""))
        return await self._live.stream(request, token, session.account, span, message_id, error_codes)

    async def _give_static(self, body: bytes, content_type: bytes, request: ApiRequest, account: str) -> Reply:
        return Reply(200, body, content_type, PAGE_HEADERS)


def _span(name: str) -> Span:
    return SPANS.get(name, SPANS["day"])


def _back(fields: Mapping[str, str]) -> str:
    return "/my/settings" if fields.get("back") == "/my/settings" else "/"

"""The paths of My Account, and the handler of each."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from math import inf, nextafter
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.web.template import Tag

from relay.account_pages import message_pages, statistics
from relay.account_pages.confirmation import REMOVE_URL, STOP_SIGNING, confirmation
from relay.account_pages.delivery_stats import SPANS, Span
from relay.account_pages.form_changes import Changes
from relay.account_pages.gate import PAGE_HEADERS, SESSION_COOKIE, Gate, cookie_of, html_reply, problem_reply_page, see
from relay.account_pages.html import button, card, el, form, page
from relay.account_pages.live import LiveUpdates
from relay.account_pages.page_values import Flash, Session, Sessions, StatsSource
from relay.account_pages.send_site import SendSite
from relay.account_pages.settings_forms import DELIVERY_SETTINGS, delivery_card, secret_card, url_card
from relay.account_pages.static_files import STATIC, static_file
from relay.accounts.account_settings import SettingProblem
from relay.history.export import Format
from relay.history.history_search import HistoryQuery
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers, SubmissionFlow, WebhookTester
from relay.http.cursors import NoCursor
from relay.http.http_api import HttpApi
from relay.http.list_calls import stream_export
from relay.http.problems import Problem
from relay.values.ids import RandomBytes, id_text, parse_id
from relay.values.messages import MessageView

#: How many messages one page of the list shows, and how many the overview shows.
LISTED: Final = 50
LATEST: Final = 8

#: The most given-up notifications that one press of the button sends again.
MOST_AGAIN: Final = 10_000


class AccountPages:
    """Adds My Account to the customers' HTTP listener.

    :param api: the HTTP API. The pages are added to its router, and call it to submit messages and change settings.
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
        clock: IReactorTime,
        random_bytes: RandomBytes,
    ) -> None:
        self._api = api
        self._flow = flow
        self._accounts = accounts
        self._sessions = sessions
        self._gate = gate = Gate(sessions)
        self._page_stats = page_stats
        self._clock = clock
        self._changes = Changes(api.account, accounts, webhooks, clock, random_bytes)
        self._live = LiveUpdates(flow.store, sessions, page_stats, clock)
        send = SendSite(gate, api.preparer, flow)
        api.router.problem_page = problem_reply_page
        add = partial(api.router.add, anybody=True)
        for name, content_type in STATIC.items():
            add("GET", f"/my/{name}", partial(self._give_static, static_file(name), content_type.encode()))
        add("GET", "/login", gate.open_page(gate.login_form))
        add("POST", "/login", gate.open_page(gate.log_in))
        add("GET", "/my/events", self._events)
        for path, handler in (
            ("/", self._overview),
            ("/my/messages", self._messages),
            ("/my/messages/export", self._export),
            ("/my/messages/{id}", self._message),
            ("/my/settings", self._settings),
            ("/my/send", send.show),
        ):
            add("GET", path, gate.page(handler))
        for path, form_handler in (
            ("/logout", gate.log_out),
            ("/", self._set_url),
            ("/my/settings", self._change_settings),
            ("/my/secret", self._set_secret),
            ("/my/test", self._test),
            ("/my/send", send.send),
            ("/my/messages/{id}/notify", self._notify),
            ("/my/messages/replay", self._replay),
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
        return html_reply(
            page(
                session,
                "My Account",
                "/",
                el("div", statistics.span_tabs(span), class_="finder"),
                statistics.tiles(view),
                statistics.charts(view),
                url_card(session, self._api.account.report(account), "/", entered=entered, problem=problem),
                card(
                    "Latest messages",
                    el("div", listed, id="latest", data_live=True),
                    el("p", el("a", "All messages", href="/my/messages"), class_="apart"),
                ),
                flash=self._gate.flash(request, session),
                data_events=f"/my/events?span={span.name}",
            ),
            422 if problem else 200,
        )

    async def _messages(self, request: ApiRequest, session: Session) -> Reply:
        account = session.account
        asked = request.parameters()
        show = asked.get("show", "all")
        if show not in message_pages.FILTERS:
            show = "all"
        search = asked.get("search", "").strip()[:60]
        if self._api.lists.questions is not None:
            return await self._searched(request, session, show, search, asked.get("after", ""))
        before, skip = _instant(asked.get("before", "")), _number(asked.get("skip", ""))
        views = await self._find(account, show, search, before, skip)
        shown, more = views[:LISTED], len(views) > LISTED
        older = message_pages.older_link(show, search, shown, skip) if more else None
        return self._list_page(request, session, show, search, shown, older, first=before is None)

    async def _searched(self, request: ApiRequest, session: Session, show: str, search: str, after: str) -> Reply:
        """A page of the list where there is a history to search."""
        cursors, account = self._api.account.cursors, session.account
        await cursors.ready()
        place: int | None = None
        if after:
            with contextlib.suppress(NoCursor):
                place = cursors.place(account, after)
        query = HistoryQuery(account=account, states=_states(show), after=place, limit=LISTED)
        found = await self._api.lists.find_text(search, query)
        older = None
        if found.cursor is not None:
            older = message_pages.next_link(show, search, cursors.texts(account, [found.cursor])[0], found.complete)
        return self._list_page(request, session, show, search, found.messages, older, first=place is None)

    def _list_page(
        self,
        request: ApiRequest,
        session: Session,
        show: str,
        search: str,
        shown: Sequence[MessageView],
        older: Tag | None,
        *,
        first: bool,
    ) -> Reply:
        account = session.account
        listed = message_pages.table(
            shown,
            self._accounts.get(account).error_codes,
            empty="No message like this." if search or show != "all" else "No message yet.",
            caption="Messages, newest first",
        )
        given_up = self._flow.store.given_up_count(account)
        return html_reply(
            page(
                session,
                "Messages",
                "/my/messages",
                _given_up_notice(session, given_up) if given_up else None,
                message_pages.finder(show, search),
                el("section", el("div", listed, id="messages", data_live=first), class_="card"),
                el("p", older, class_="more") if older is not None else None,
                el("p", "All of these as a file: ", *message_pages.export_links(show, search), class_="hint"),
                flash=self._gate.flash(request, session),
                data_events="/my/events" if first else None,
            )
        )

    async def _export(self, request: ApiRequest, session: Session) -> Reply:
        """What the list shows, all pages of it, as a file."""
        asked = request.parameters()
        kind: Format = "jsonl" if asked.get("format") == "jsonl" else "csv"
        show = asked.get("show", "all")
        query = HistoryQuery(account=session.account, states=_states(show))
        search = asked.get("search", "").strip()[:60]
        lists = self._api.lists
        if search:
            # The first meaning of the text that finds something, as on the page.
            query = await lists.meant_by(search, query)
        return await stream_export(request, lists, query, kind, f"messages.{kind}")

    async def _find(self, account: str, show: str, search: str, before: float | None, skip: int) -> list[MessageView]:
        """Finds the messages of a page, and one more if there is one.

        :param before: only messages that were accepted at this instant or before.
        :param skip: how many messages of the instant `before` earlier pages have shown.
        """
        until = None if before is None else nextafter(before, inf)
        found: list[MessageView] = []
        for state in message_pages.FILTERS[show][1]:
            found += await self._flow.store.recent(
                account, before=until, state=state, search=search, limit=LISTED + 1 + skip
            )
        # Stable: messages of the same instant stay in the store's order.
        found.sort(key=lambda view: -view.accepted_at)
        return found[skip : skip + LISTED + 1]

    async def _message(self, request: ApiRequest, session: Session) -> Reply:
        account = session.account
        view = await self._api.messages.find_anywhere(request.path.split(b"/")[3], account)
        settings = self._accounts.get(account)
        can_notify = bool(view.notification_url or settings.notification_url)
        return html_reply(
            page(
                session,
                "Message",
                "/my/messages",
                message_pages.details(session, view, settings.error_codes, can_notify=can_notify),
                flash=self._gate.flash(request, session),
                data_events=f"/my/events?message={id_text(view.id)}",
            )
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
        secret_set = self._accounts.setting(account, "notification_secret") is not None
        old_until = self._changes.old_secret_until(account)
        return html_reply(
            page(
                session,
                "Settings",
                "/my/settings",
                url_card(session, self._api.account.report(account), "/my/settings", entered=url, problem=url_problem),
                secret_card(session, settings, secret_set, old_until),
                delivery_card(session, settings, set_here, entered=entered, problems=problems),
                flash=self._gate.flash(request, session),
            ),
            422 if url_problem or problems else 200,
        )

    # Forms

    async def _set_url(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        """`POST /` and `POST /my/settings`: both pages have this form. So after a problem the address is the same."""
        url, action, here = fields.get("url", "").strip(), fields.get("action", "save"), request.path.decode("latin-1")
        if action == "remove" and not fields.get("sure"):
            return html_reply(confirmation(session, here, fields, REMOVE_URL))
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
            return html_reply(confirmation(session, "/my/secret", fields, STOP_SIGNING))
        session.flash = await self._changes.secret(session.account, action)
        return see("/my/settings")

    async def _test(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        session.flash = await self._changes.test(session.account)
        return see(_back(fields))

    async def _notify(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        view = await self._api.messages.find(request.path.split(b"/")[3], session.account)
        queues = await self._api.messages.notify_again(view, session.account)
        session.flash = Flash(True, "The notification will be sent again.")
        return see(f"/my/messages/{id_text(view.id)}")._replace(then=partial(self._flow.wake, queues))

    async def _replay(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        ids = await self._flow.store.given_up(session.account, 0.0, inf, MOST_AGAIN)
        count, queues = await self._api.account.notify_again(session.account, ids)
        session.flash = Flash(True, f"{count} notifications will be sent again.")
        return see("/my/messages")._replace(then=partial(self._flow.wake, queues))

    # The rest

    async def _events(self, request: ApiRequest, account: str) -> Reply:
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


def _instant(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value < inf else None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 4 else 0


def _states(show: str) -> frozenset[int] | None:
    """The states that a filter of the list means; None: all."""
    _, states = message_pages.FILTERS.get(show, message_pages.FILTERS["all"])
    return None if None in states else frozenset(state for state in states if state is not None)


def _given_up_notice(session: Session, count: int) -> Tag:
    words = "1 notification was" if count == 1 else f"{count:,} notifications were"
    return el(
        "div",
        el("p", f"{words} given up after days of retries."),
        form(session, "/my/messages/replay", button("Send them again"), class_="buttons"),
        class_="notice bad",
    )

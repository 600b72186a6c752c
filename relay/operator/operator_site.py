"""The operator's pages for a browser: finds the page of a path, does what a form asks for, and answers with HTML.

Theory of operation: a GET shows a page. An action has a page of its own, `/page/carriers/NAME/hold`, that asks before;
its form posts to the same path, the action is done, and the browser is sent to the page that shows the result. Nothing
needs JavaScript. Each form has a token that another site can't know, because it can't read these pages.
"""

import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from twisted.web.template import Tag

from relay.account_pages.delivery_stats import SPANS, DeliveryStatsView, Span
from relay.account_pages.html import Content, el, flatten, moment
from relay.account_pages.page_values import Flash
from relay.history.query_text import QueryProblem
from relay.operator import (
    account_views,
    carrier_views,
    inbound_views,
    operator_messages,
    overview_views,
    quality_views,
    trace_views,
)
from relay.operator.action_forms import ActionForms, Told
from relay.operator.action_questions import QUESTIONS
from relay.operator.actions import OperatorActions
from relay.operator.admin_site import AdminRequest, Reply
from relay.operator.balances import statement_of
from relay.operator.configuration_site import ConfigurationSite, ConfiguredDaemon
from relay.operator.configuration_views import audit_page
from relay.operator.inbound_search import InboundSearch
from relay.operator.message_search import MessageSearch
from relay.operator.operator_html import NAVIGATION, Frame, operator_page, path_of
from relay.operator.overview import Observer, Overview
from relay.operator.owed import OwedNotifications
from relay.operator.quality_looks import quality_question
from relay.operator.receipt_review import review
from relay.operator.receipt_views import receipts_page
from relay.operator.refusal import Refusal
from relay.operator.trace_lines import trace_text
from relay.routing.explanation import Explanation
from relay.store.store_values import StoreUnavailable
from relay.values.ids import id_text

_HTML: Final = "text/html; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
_REASON_CHARACTERS: Final = 200
#: Messages about actions that a browser has not fetched yet; the oldest is dropped.
_MOST_FLASHES: Final = 100


class Outcomes(Protocol):
    """Says how messages ended: `relay.account_pages.history_stats.HistoryStats`."""

    async def view(self, account: str | None, span: Span, carrier: str = "") -> DeliveryStatsView:
        """The counts of a span; None: of all accounts; "": of all carriers."""


class OperatorSite:
    """Makes the operator's pages.

    :param explain: explains a message's route; it returns a text if it can't.
    :param outcomes: counts how messages ended, from the history; None: there is none.
    :param new_token: returns a text that nobody can guess.
    """

    def __init__(
        self,
        daemon: ConfiguredDaemon,
        observer: Observer,
        actions: OperatorActions,
        search: MessageSearch,
        inbound: InboundSearch,
        explain: Callable[[Mapping[str, str]], Explanation | str],
        outcomes: Outcomes | None,
        new_token: Callable[[], str],
    ) -> None:
        self._daemon = daemon
        self._observer = observer
        self._actions = actions
        self._search = search
        self._inbound = inbound
        self._configuration = ConfigurationSite(daemon, actions, explain)
        self._outcomes = outcomes
        self._new_token = new_token
        self._forms = ActionForms(daemon.flow, actions, search, new_token)
        self._csrf = new_token()
        self._flashes: OrderedDict[str, Flash] = OrderedDict()
        self._owed = OwedNotifications(daemon.flow.store, observer.seconds)

    # Requests

    async def get(self, request: AdminRequest) -> Reply:
        """Answers a GET: shows a page."""
        look = self._observer.look()
        frame = self._frame(request, look)
        try:
            match request.path:
                case [""]:
                    return await self._overview(request, frame, look)
                case ["page", "carriers"]:
                    return self._carriers(frame, look)
                case ["page", "carriers", name]:
                    return await self._carrier(request, frame, name)
                case ["page", "quality"]:
                    by, only = quality_question(request.query)
                    content = quality_views.quality_page(self._observer.quality(by, only), by, only)
                    return _page(frame, "Quality", quality_views.PATH, *content)
                case ["page", "accounts"]:
                    return await self._accounts(frame, look)
                case ["page", "accounts", name]:
                    return await self._account(request, frame, name)
                case ["page", "messages"]:
                    return await self._messages(request, frame)
                case ["page", "messages", text]:
                    return await self._message(frame, text)
                case ["page", "inbound"]:
                    return await self._from_handsets(request, frame)
                case ["page", "receipts"]:
                    return await self._receipts(frame)
                case ["page", "configuration", *_]:
                    title, content = await self._configuration.page(request, frame)
                    return _page(frame, title, "/page/configuration", *content)
                case ["page", "traces"]:
                    shown = trace_views.traces_page(frame, self._actions.traces.all)
                    return _page(frame, "Traces", "/page/traces", *shown)
                case ["page", "traces", number]:
                    trace = self._actions.trace_of(number)
                    lines = trace.lines[-trace_views.LINES_SHOWN :]
                    shown = trace_views.trace_page(frame, trace.view, lines)
                    return _page(frame, f"Trace {number}", "/page/traces", *shown)
                case ["page", "traces", number, "download"]:
                    trace = self._actions.trace_of(number)
                    saved = ("Content-Disposition", f'attachment; filename="trace-{trace.number}.txt"')
                    return Reply(200, _TEXT, trace_text(trace.view, trace.lines).encode(), (saved,))
                case ["page", "audit"]:
                    records = await self._actions.audit()
                    return _page(frame, "Audit", "/page/audit", *audit_page(records))
                case ["page", kind, name, action] if (kind, action) in QUESTIONS:
                    asked = await self._forms.ask(request, frame, kind, name, action)
                    return _page(frame, asked.title, asked.here, *asked.content)
        except Refusal as problem:
            return _problem(frame, str(problem), problem.status)
        except StoreUnavailable as problem:
            return _problem(frame, f"This can't be looked up now: {problem.reason}", 503)
        return _problem(frame, "There is no such page.", 404)

    async def post(self, request: AdminRequest) -> Reply:
        """Answers a POST: does an action, and sends the browser to the page that shows the result."""
        look = self._observer.look()
        frame = self._frame(request, look)
        if look.cluster is not None and _stands_by(look):
            return _problem(frame, f"This relay {look.cluster.reason}; do it there.", 503)
        fields = request.fields
        if not hmac.compare_digest(fields.get("csrf", "").encode(), self._csrf.encode()):
            said = "The form came from another site, or from before a restart. Go back, reload the page and try again."
            return _problem(frame, said, 403)
        reason = fields.get("reason", "")[:_REASON_CHARACTERS]
        match request.path:
            case ["page", "configuration", "reload"]:
                return await self._done("/page/configuration", self._forms.reload(reason, request.actor))
            case ["page", kind, name, action] if (kind, action) in QUESTIONS:
                doing = self._forms.act(kind, name, action, reason, request)
                # A carrier that was removed has no page of its own any more.
                gone = (kind, action) in (("carriers", "unbind"), ("carriers", "dismiss"))
                back = path_of("receipts" if action == "dismiss" else kind) if gone else path_of(kind, name)
                if kind == "routes":
                    back = path_of("configuration")
                return await self._done(back, doing)
            case _:
                return _problem(frame, "There is no such action.", 404)

    async def _done(self, back: str, doing: Awaitable[Flash | Told]) -> Reply:
        try:
            done = await doing
            flash, back = (done.flash, done.path) if isinstance(done, Told) else (done, back)
        except Refusal as problem:
            flash = Flash(good=False, text=f"Refused: {problem}")
        except StoreUnavailable as problem:
            flash = Flash(good=False, text=f"It can't be recorded, and was not done: {problem.reason}")
        key = self._new_token()
        self._flashes[key] = flash
        while len(self._flashes) > _MOST_FLASHES:
            self._flashes.popitem(last=False)
        return Reply(303, _HTML, b"", (("Location", f"{back}?{urlencode({'told': key})}"),))

    def _frame(self, request: AdminRequest, look: Overview) -> Frame:
        flash = self._flashes.pop(request.query.get("told", ""), None)
        return Frame(self._csrf, look.readiness.ready, len(look.wrong), request.user, flash, _stands_by(look))

    # Pages

    async def _overview(self, request: AdminRequest, frame: Frame, look: Overview) -> Reply:
        span = _span(request)
        outcomes = None if self._outcomes is None else await self._outcomes.view(None, span)
        content = overview_views.overview_page(look, self._observer.history, span, outcomes, self._observer.started_at)
        return _page(frame, "Overview", "/", *content)

    def _since(self) -> Content:
        return el("span", "since ", moment(self._observer.started_at), ", when the relay started")

    def _carriers(self, frame: Frame, look: Overview) -> Reply:
        table = carrier_views.carriers_table(frame, look.carriers, self._since())
        return _page(frame, "Carriers", "/page/carriers", table)

    async def _carrier(self, request: AdminRequest, frame: Frame, name: str) -> Reply:
        look = self._observer.carrier(name)
        if look is None:
            raise Refusal(f"There is no carrier {name!r}.")
        out = await self._daemon.flow.store.receipts_out(name)
        content = carrier_views.carrier_page(frame, look, out, self._since())
        ended = await self._ended(request, path_of("carriers", name), carrier=name)
        return _page(frame, name, "/page/carriers", *content, *ended)

    async def _accounts(self, frame: Frame, look: Overview) -> Reply:
        owed = await self._owed.of_all()
        table = account_views.accounts_table(frame, look.accounts, owed, self._since())
        return _page(frame, "Accounts", "/page/accounts", table)

    async def _account(self, request: AdminRequest, frame: Frame, name: str) -> Reply:
        look = self._observer.account(name)
        if look is None:
            raise Refusal(f"There is no account {name!r}.")
        owed = await self._owed.of(name)
        given_up = self._daemon.flow.store.given_up_count(name)
        logins, now = self._daemon.sessions.bound.views(name), self._observer.seconds()
        found, use = statement_of(self._daemon.flow, name, now), None
        if found is not None:
            use = account_views.use_cards(frame, name, found, self._daemon.flow.store.top_ups(name))
        content = account_views.account_page(frame, look, owed, given_up, self._since(), logins, now, use)
        ended = await self._ended(request, path_of("accounts", name), account=name)
        return _page(frame, name, "/page/accounts", *content, *ended)

    async def _ended(self, request: AdminRequest, path: str, **only: str) -> list[Content]:
        """How the messages of a carrier or an account ended, from the history.

        :param only: `account` or `carrier`.
        """
        if self._outcomes is None:
            return []
        span = _span(request)
        outcomes = await self._outcomes.view(only.get("account"), span, only.get("carrier", ""))
        return overview_views.outcomes_section(path, span, outcomes, only)

    async def _messages(self, request: AdminRequest, frame: Frame) -> Reply:
        asked = {name: value.strip() for name, value in request.query.items() if name != "told" and value.strip()}
        problem = field = ""
        content: list[Content] = []
        try:
            found = await self._search.find(asked)
        except QueryProblem as wrong:
            problem, field = str(wrong), wrong.parameter
            if field not in operator_messages.FIELDS:
                content.append(el("p", problem, class_="wrong", role="alert"))
        else:
            if len(found.messages) == 1 and set(asked) == {"find"}:
                location = path_of("messages", id_text(found.messages[0].id))
                return Reply(303, _HTML, b"", (("Location", location),))
            empty = "No message is like this." if asked else "There is no message yet."
            table = operator_messages.messages_table(found.messages, empty)
            remark = el("p", found.remark, class_="hint") if found.remark else None
            content = [el("section", remark, table, class_="card")]
            if found.next is not None:
                content.append(operator_messages.next_page(asked, found.next, found.complete))
        form = el("section", operator_messages.search_form(asked, problem, field), class_="card")
        shown = _page(frame, "Messages", "/page/messages", form, *content)
        return Reply(422, _HTML, shown.body) if problem else shown

    async def _message(self, frame: Frame, text: str) -> Reply:
        found = await self._search.with_id(text)
        if not found:
            raise Refusal(f"No message has the id {text}.")
        if len(found) > 1:
            table = operator_messages.messages_table(found, "")
            return _page(frame, "Several messages have this id", "/page/messages", el("section", table, class_="card"))
        return _page(frame, "Message", "/page/messages", *operator_messages.message_page(frame, found[0]))

    async def _from_handsets(self, request: AdminRequest, frame: Frame) -> Reply:
        asked = {name: value.strip() for name, value in request.query.items() if value.strip()}
        found, problem = None, ""
        try:
            found = await self._inbound.find(asked)
        except QueryProblem as wrong:
            problem = str(wrong)
        shown = _page(frame, "From handsets", inbound_views.PATH, *inbound_views.inbound_page(asked, found, problem))
        return Reply(422, _HTML, shown.body) if problem else shown

    async def _receipts(self, frame: Frame) -> Reply:
        daemon = self._daemon
        found = await review(daemon.flow.store, list(daemon.config.accounts), self._actions.clock)
        return _page(frame, "Receipts", "/page/receipts", *receipts_page(frame, found))


def _stands_by(look: Overview) -> bool:
    """Whether another relay of the cluster works, so that this one has no carriers and accounts."""
    return look.cluster is not None and not look.cluster.epoch


def _page(frame: Frame, title: str, here: str, *content: Any) -> Reply:
    return Reply(200, _HTML, flatten(operator_page(frame, title, here, *content)))


def _problem(frame: Frame, text: str, status: int) -> Reply:
    title = "Not found" if status == 404 else "This can't be done"
    card: Tag = el("section", el("p", text[:1].upper() + text[1:], class_="wrong", role="alert"), class_="card")
    back = el("p", el("a", NAVIGATION[0][1], href="/"), class_="apart")
    return Reply(status, _HTML, flatten(operator_page(frame, title, "", card, back)))


def _span(request: AdminRequest) -> Span:
    """The span that a page with charts shows."""
    return SPANS.get(request.query.get("span", ""), SPANS["hour"])

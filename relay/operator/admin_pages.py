"""The pages of the admin listener.

A GET only reads, and costs the relay little. A POST changes something: it goes through `OperatorActions`, and is
recorded before it is done.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from secrets import token_bytes, token_urlsafe
from typing import Any, Protocol

import msgspec
from twisted.internet.threads import deferToThreadPool

from relay.account_pages.history_stats import HistoryStats
from relay.account_pages.static_files import STATIC, static_file
from relay.config.changes import ReloadResult
from relay.history.message_lists import MessageLists
from relay.http.forwarded import TrustedProxies
from relay.http.login_limits import LoginLimits
from relay.http.site import NO_PROXIES, ApiSite
from relay.operator import page_files
from relay.operator.action_answers import Done, answered, answered_search, reason_of
from relay.operator.actions import Operated, OperatorActions, ReplayRequest
from relay.operator.admin_site import (
    MOST_FAILED_LOGINS,
    AdminRequest,
    AdminRoot,
    Page,
    Reply,
    admin_factory,
    json_reply,
    text_reply,
)
from relay.operator.balances import BalanceReport, ToppedUpReport, TopUpRequest, balance_report
from relay.operator.entry_api import EntryApi
from relay.operator.entry_requests import EditsEntries
from relay.operator.health import readiness
from relay.operator.inbound_search import InboundSearch
from relay.operator.message_search import MessageSearch
from relay.operator.metrics import CONTENT_TYPE, Metrics
from relay.operator.operator_logins import Actor, InThread, OperatorLogins
from relay.operator.operator_site import OperatorSite, Outcomes
from relay.operator.overview import Looked, Observer
from relay.operator.purge import Purged, PurgeRequest
from relay.operator.quality_looks import quality_question
from relay.operator.receipt_review import review
from relay.operator.refusal import Refusal
from relay.operator.route_now import with_now
from relay.operator.time_line import TimeLine, time_line
from relay.operator.trace_calls import TraceCalls
from relay.operator.trace_lines import TraceView
from relay.routing.explanation import Explanation, explain
from relay.runtime.fair_turns import FairTurns
from relay.text.compose import InvalidText
from relay.values.instants import instant_of


class Administered(Looked, Operated, Protocol):
    """The parts of the daemon that the admin listener needs."""

    lists: MessageLists
    editor: EditsEntries | None

    def at_stop(self, close: Callable[[], Awaitable[None]]) -> None:
        """Registers a function that a stop awaits."""


class FoundMessages(msgspec.Struct, frozen=True):
    """What a search found. `next` is the parameter `after` of the next page; None: there is no more.

    :ivar complete: False: the search took too long; `next` goes on with it.
    """

    messages: list[TimeLine]
    next: str | None
    complete: bool


class AdminPages:
    """The pages, for `AdminRoot`.

    :param outcomes: counts how messages ended, for the overview; None: there is no history.
    """

    def __init__(
        self,
        daemon: Administered,
        metrics: Metrics,
        observer: Observer,
        actions: OperatorActions,
        outcomes: Outcomes | None = None,
    ) -> None:
        self._daemon = daemon
        self._metrics = metrics
        self._observer = observer
        self._actions = actions
        self._traces = TraceCalls(actions)
        store = daemon.flow.store
        self._search = MessageSearch(store, daemon.lists, lambda: daemon.config.accounts, observer.seconds)
        self._inbound = InboundSearch(store, lambda: daemon.config.accounts, observer.seconds)
        self._entries = EntryApi(lambda: daemon.config.admin, lambda: daemon.editor, actions)
        self._site = OperatorSite(
            daemon, observer, actions, self._search, self._inbound, self.explain, outcomes, token_urlsafe
        )

    def pages(self) -> dict[tuple[str, str], Page]:
        """The pages, by method and first element of the path."""
        return {
            ("GET", ""): self._site.get,
            ("GET", "page"): self._site.get,
            ("POST", "page"): self._site.post,
            ("GET", "my"): _shared_file,
            ("GET", "page.css"): lambda request: _file("text/css; charset=utf-8", page_files.STYLE),
            ("GET", "page.js"): lambda request: _file("text/javascript; charset=utf-8", page_files.SCRIPT),
            ("GET", "metrics"): self.metrics,
            ("GET", "health"): self.health,
            ("GET", "status"): self.status,
            ("GET", "messages"): self.messages,
            ("GET", "inbound"): self.inbound,
            ("GET", "route"): self.route,
            ("GET", "receipts"): self.receipts,
            ("GET", "audit"): self.audit,
            ("GET", "quality"): self.quality,
            ("GET", "carriers"): self.carrier,
            ("GET", "traces"): self._traces.get,
            ("POST", "traces"): self._traces.post,
            ("GET", "configuration"): self.configuration,
            ("POST", "configuration"): self.act_on_configuration,
            ("PUT", "configuration"): self.act_on_configuration,
            ("PATCH", "configuration"): self.act_on_configuration,
            ("DELETE", "configuration"): self.act_on_configuration,
            ("POST", "carriers"): self.act_on_carrier,
            ("GET", "accounts"): self.account,
            ("POST", "accounts"): self.act_on_account,
            ("POST", "routes"): self.act_on_route,
        }

    # Pages that only read

    def metrics(self, request: AdminRequest) -> Reply:
        """For Prometheus."""
        return Reply(200, CONTENT_TYPE, self._metrics.exposition())

    def health(self, request: AdminRequest) -> Reply:
        """/health/live says whether the process answers; /health/ready whether it can do its work, or why not."""
        match request.path[1:]:
            case ["live"]:
                return text_reply("alive")
            case ["ready"]:
                state = readiness(self._daemon)
                return json_reply(state, 200 if state.ready else 503)
            case _:
                return text_reply("There are /health/live and /health/ready.", 404)

    def status(self, request: AdminRequest) -> Reply:
        """The state of everything; see `Overview`."""
        return json_reply(self._observer.look())

    async def messages(self, request: AdminRequest) -> Reply:
        """/messages?id=ID: the messages with this id (ours or a carrier's), and all that is known of each. /messages?
        with other parameters searches them, see `relay.history.query_text`; `find` takes any of them as text."""
        wanted = request.query.get("id", "").strip()
        if not wanted or len(request.query) > 1:
            return await answered_search(self._find(request))
        return json_reply([time_line(view) for view in await self._search.with_id(wanted)])

    async def _find(self, request: AdminRequest) -> FoundMessages:
        found = await self._search.find(request.query)
        return FoundMessages([time_line(view) for view in found.messages], found.next, found.complete)

    async def inbound(self, request: AdminRequest) -> Reply:
        """/inbound[?account=NAME][&carrier=NAME][&number=DIGITS][&delivery=waiting][&before=PLACE][&limit=N]: messages
        from handsets, newest first, without their texts."""
        return await answered_search(self._inbound.find(request.query))

    def route(self, request: AdminRequest) -> Reply:
        """/route?account=NAME&from=SENDER&to=NUMBER[&tags=TAG,TAG][&at=TIME]: which carriers a message would go to, and
        why; without a time, to which of them it would go now."""
        explained = self.explain(request.query)
        return json_reply({"error": explained}, 422) if isinstance(explained, str) else json_reply(explained)

    def explain(self, asked: Mapping[str, str]) -> Explanation | str:
        """Explains the route of a message; a text: what is wrong with the parameters."""
        daemon = self._daemon
        account, source, to, at = (asked.get(name, "").strip() for name in ("account", "from", "to", "at"))
        tags = [tag for each in asked.get("tags", "").split(",") if (tag := each.strip())]
        if account not in daemon.config.accounts:
            return f"there is no account {account!r}"
        moment = instant_of(at) if at else self._observer.seconds()
        if moment is None:
            return "at: write a time with its offset from UTC, such as 2026-03-01T22:30Z"
        try:
            found = explain(daemon.flow.routes, account, source, to, moment, tags)
        except InvalidText as problem:
            return f"{problem.field}: {problem.reason}"
        # What is true now says nothing about another time.
        return found if at else with_now(found, account, daemon, self._observer.seconds())

    async def receipts(self, request: AdminRequest) -> Reply:
        """Receipts without a message, unreadable receipts, and the settings that would match them."""
        daemon = self._daemon
        return json_reply(await review(daemon.flow.store, list(daemon.config.accounts), self._actions.clock))

    async def audit(self, request: AdminRequest) -> Reply:
        """The records of operators' actions, newest first."""
        return json_reply(await self._actions.audit())

    def quality(self, request: AdminRequest) -> Reply:
        """/quality[?by=carrier,country,account][&carrier=NAME][&country=CODE][&account=NAME]: what carriers deliver."""
        by, only = quality_question(request.query)
        return json_reply(self._observer.quality(by, only))

    async def carrier(self, request: AdminRequest) -> Reply:
        """/carriers/NAME: the carrier's state, and how many parts that it took have no receipt yet."""
        match request.path[1:]:
            case [name] if (look := self._observer.carrier(name)) is not None:
                out = await self._daemon.flow.store.receipts_out(name)
                return json_reply(msgspec.structs.replace(look, receipts_out=out))
            case [name]:
                return json_reply({"error": f"there is no carrier {name!r}"}, 404)
            case _:
                return json_reply({"error": "there is /carriers/NAME"}, 404)

    async def account(self, request: AdminRequest) -> Reply:
        """/accounts/NAME/balance: what the account has used and paid, see `BalanceReport`."""
        return await answered(self._balance(request))

    async def _balance(self, request: AdminRequest) -> BalanceReport:
        match request.path[1:]:
            case [name, "balance"] if name in self._daemon.config.accounts:
                return balance_report(self._daemon.flow, name, self._observer.seconds())
            case [name, "balance"]:
                raise Refusal(f"there is no account {name!r}")
            case _:
                raise Refusal("there is /accounts/NAME/balance")

    async def configuration(self, request: AdminRequest) -> Reply:
        """/configuration: how the last reload went. /configuration/check: what a reload would do now. The others are of
        the admin API."""
        if EntryApi.has(request):
            return await self._entries.answer(request)
        match request.path[1:]:
            case []:
                return json_reply(None if self._daemon.reloader is None else self._daemon.reloader.last)
            case ["check"]:
                return await answered(self._actions.reload_dry_run())
            case _:
                return json_reply({"error": "there are /configuration and /configuration/check"}, 404)

    # Pages that change something

    async def act_on_configuration(self, request: AdminRequest) -> Reply:
        """POST /configuration/reload with {"reason": "..."}. It answers with a `ReloadResult`, also for a bad file. The
        others are of the admin API."""
        if EntryApi.has(request):
            return self._not_now() or await self._entries.answer(request)
        return await answered(self._on_configuration(request))

    async def act_on_carrier(self, request: AdminRequest) -> Reply:
        """POST /carriers/NAME/hold, /resume, /dismiss, and /unbind for one that drains, with {"reason": "..."}; /purge
        with `PurgeRequest`."""
        return self._not_now() or await answered(self._on_carrier(request))

    async def act_on_account(self, request: AdminRequest) -> Reply:
        """POST /accounts/NAME/unbind, /suspend, /unsuspend, /url-off, /url-on with {"reason"}, /purge with
        `PurgeRequest`, /replay with `ReplayRequest`, and /balance with `TopUpRequest`."""
        return self._not_now() or await answered(self._on_account(request))

    async def act_on_route(self, request: AdminRequest) -> Reply:
        """POST /routes/PLACE/purge with `PurgeRequest`; PLACE is the number in `routes[0]`."""
        return self._not_now() or await answered(self._on_route(request))

    def _not_now(self) -> Reply | None:
        """Refuses actions while another relay of the cluster works. It has the carriers and accounts."""
        membership = self._daemon.membership
        if membership is None or membership.state().epoch:
            return None
        return json_reply({"error": f"this relay {membership.state().reason}; do it there"}, 503)

    async def _on_configuration(self, request: AdminRequest) -> ReloadResult:
        if request.path[1:] != ["reload"] or request.method != "POST":
            raise Refusal("the action is POST /configuration/reload")
        return await self._actions.reload(reason_of(request), request.actor)

    async def _on_carrier(self, request: AdminRequest) -> Done | TraceView:
        actions = self._actions
        match request.path[1:]:
            case [name, "trace"]:
                return await self._traces.begin("carrier", name, request)
            case [name, "hold"]:
                return Done(await actions.hold(name, reason_of(request), request.actor))
            case [name, "resume"]:
                return Done(await actions.resume(name, reason_of(request), request.actor))
            case [name, "unbind"]:
                return Done(await actions.unbind_carrier(name, reason_of(request), request.actor))
            case [name, "purge"]:
                return await _purged(actions.purge_carrier, name, request)
            case [name, "dismiss"]:
                return Done(await actions.dismiss_evidence(name, reason_of(request), request.actor))
            case _:
                raise Refusal("the actions are /carriers/NAME/hold, /resume, /unbind, /purge, /trace and /dismiss")

    async def _on_route(self, request: AdminRequest) -> Done:
        match request.path[1:]:
            case [place, "purge"]:
                return await _purged(self._actions.purge_route, place, request)
            case _:
                raise Refusal("the action is /routes/PLACE/purge")

    async def _on_account(self, request: AdminRequest) -> Done | TraceView | ToppedUpReport:
        actions = self._actions
        match request.path[1:]:
            case [name, "trace"]:
                return await self._traces.begin("account", name, request)
            case [name, "unbind"]:
                return Done(await actions.unbind(name, reason_of(request), request.actor))
            case [name, "url-off"]:
                return Done(await actions.url_off(name, reason_of(request), request.actor))
            case [name, "url-on"]:
                return Done(await actions.url_on(name, reason_of(request), request.actor))
            case [name, "purge"]:
                return await _purged(actions.purge_account, name, request)
            case [name, "suspend"]:
                return Done(await actions.suspend(name, reason_of(request), request.actor))
            case [name, "unsuspend"]:
                return Done(await actions.unsuspend(name, reason_of(request), request.actor))
            case [name, "balance"]:
                topping_up = msgspec.json.decode(request.body or b"{}", type=TopUpRequest)
                return await actions.top_up(name, topping_up, request.actor)
            case [name, "replay"]:
                wanted = msgspec.json.decode(request.body or b"{}", type=ReplayRequest)
                replayed = await actions.replay(name, wanted, request.actor)
                will = "would" if wanted.dry_run else "will"
                said = f"{replayed.count} notifications of {name} {will} be sent again"
                return Done(said, replayed.count, replayed.passed_over)
            case _:
                raise Refusal(
                    "the actions are /accounts/NAME/unbind, suspend, unsuspend, purge, trace, url-off, url-on, "
                    "replay and balance"
                )


async def _purged(
    purge: Callable[[str, PurgeRequest, Actor], Awaitable[Purged]], name: str, request: AdminRequest
) -> Done:
    wanted = msgspec.json.decode(request.body or b"{}", type=PurgeRequest)
    purged = await purge(name, wanted, request.actor)
    if wanted.dry_run:
        return Done(f"{purged.count} messages would end", purged.count, route=purged.route)
    sent = f"; {purged.left} were sent meanwhile" if purged.left else ""
    return Done(f"{purged.count} messages have ended{sent}", purged.count, purged.left, purged.route)


def _shared_file(request: AdminRequest) -> Reply:
    """A file that My Account has, too: the style sheet, the script, the icon."""
    name = request.path[-1]
    if len(request.path) != 2 or name not in STATIC:
        return text_reply("No such file.", 404)
    return _file(STATIC[name], static_file(name))


def _file(content_type: str, body: bytes) -> Reply:
    return Reply(200, content_type, body)


def make_admin_site(
    daemon: Administered, reactor: Any, turns: FairTurns | None = None, proxies: TrustedProxies = NO_PROXIES
) -> tuple[str, Sequence[str], ApiSite]:
    """Makes the admin listener. Returns its configuration key, its endpoint descriptions, and its factory."""
    observer = Observer(daemon, reactor)
    observer.history.start()

    async def stop() -> None:
        observer.history.stop()

    daemon.at_stop(stop)
    actions = OperatorActions(daemon, reactor)

    async def end_traces() -> None:
        actions.traces.stop()

    daemon.at_stop(end_traces)
    daemon.quality.record = actions.record_own
    questions = daemon.lists.questions
    outcomes = None if questions is None else HistoryStats(questions, reactor)
    pages = AdminPages(daemon, Metrics(daemon, reactor.seconds), observer, actions, outcomes)
    limits = LoginLimits(MOST_FAILED_LOGINS, reactor.seconds)
    in_thread: InThread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    root = AdminRoot(pages.pages(), OperatorLogins(lambda: daemon.config.admin, limits, in_thread, token_bytes(32)))
    return "admin.listen", daemon.config.admin.listen, admin_factory(root, reactor, turns, proxies)

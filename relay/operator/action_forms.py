"""The forms of the operator's pages: what each asks before an action, and what happens when it is sent."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from relay.account_pages.html import Content
from relay.account_pages.page_values import Flash
from relay.operator.action_questions import QUESTIONS
from relay.operator.actions import OperatorActions, ReplayRequest
from relay.operator.admin_site import AdminRequest
from relay.operator.balances import statement_of, top_up_of
from relay.operator.message_search import MessageSearch
from relay.operator.operator_html import Frame, path_of, question
from relay.operator.operator_logins import Actor
from relay.operator.purge import Purged, PurgeRequest
from relay.operator.refusal import Refusal
from relay.operator.top_up_form import top_up_form, top_up_question, wanted_top_up
from relay.operator.trace_lines import Kind
from relay.operator.trace_views import minutes_field
from relay.operator.traces import TraceRequest
from relay.routing.flow import MessageFlow
from relay.values.ids import id_text


class Told(NamedTuple):
    """What an action has done, and the path of the page that shows it, if that isn't the page of what it concerned."""

    flash: Flash
    path: str


class Asked(NamedTuple):
    """A page that asks before an action.

    :ivar here: the path in the navigation to which it belongs.
    """

    title: str
    here: str
    content: Sequence[Content]


class ActionForms:
    """Asks before the operator's actions, and does them.

    :param new_token: returns a text that nobody can guess.
    :raises Refusal: from every call: the action can't be done, and nothing has changed.
    """

    def __init__(
        self, flow: MessageFlow, actions: OperatorActions, search: MessageSearch, new_token: Callable[[], str]
    ) -> None:
        self._flow = flow
        self._actions = actions
        self._search = search
        self._new_token = new_token

    async def ask(self, request: AdminRequest, frame: Frame, kind: str, name: str, action: str) -> Asked:
        """Makes the page that asks before an action.

        :param kind: with `action`, a key of `QUESTIONS`.
        """
        if said := frame.why_not(kind, name, action):
            # The form would be refused, too. It is better to say so before somebody fills it in.
            raise Refusal(said, 503 if frame.stands_by else 403)
        asked = QUESTIONS[kind, action]
        if action == "top-up":
            return Asked(asked.title.format(name), path_of(kind), [self._ask_top_up(request, frame, name)])
        text: Content = asked.text
        if action == "replay":
            count = (await self._actions.replay(name, ReplayRequest(dry_run=True), request.actor)).count
            text = f"These are {count:,} notifications. {asked.text}"
        fields: dict[str, str] = {}
        if action == "purge":
            purged = await self._purge(kind, name, PurgeRequest(dry_run=True), request.actor)
            text = f"{purged.count:,} messages wait. {asked.text}"
            if purged.route:
                text = f"The route is for {purged.route}. {text}"
                fields["route"] = purged.route
        here, back = path_of(kind), path_of(kind, name)
        if kind == "routes":
            here = back = path_of("configuration")
        elif action == "dismiss":
            back = path_of("receipts")
        controls = [minutes_field()] if action == "trace" else []
        card = question(frame, text, asked.words, path_of(kind, name, action), back, fields, controls)
        return Asked(asked.title.format(name), here, [card])

    def _ask_top_up(self, request: AdminRequest, frame: Frame, name: str) -> Content:
        """First asks for the amount. Then shows what the balance would be, and asks whether to add it."""
        now = self._actions.clock.seconds()
        found = statement_of(self._flow, name, now)
        if found is None or not found.prepaid:
            raise Refusal(f"{name} is not prepaid")
        asked = {field: request.query[field].strip() for field in ("amount", "key") if field in request.query}
        if "amount" not in asked:
            return top_up_form(name, found, {"key": self._new_token()})
        try:
            top_up = top_up_of(self._flow, name, wanted_top_up(asked), now, request.actor.user)
            return top_up_question(frame, top_up, found.balance, self._flow.store.top_ups(name))
        except Refusal as problem:
            return top_up_form(name, found, asked, problem)

    async def act(self, kind: str, name: str, action: str, reason: str, request: AdminRequest) -> Flash | Told:
        """Does an action after its form was sent.

        :param kind: with `action`, a key of `QUESTIONS`.
        """
        actions, by = self._actions, request.actor
        if action == "trace":
            return await self._trace("carrier" if kind == "carriers" else "account", name, reason, request)
        if kind == "traces":
            view = await actions.end_trace(name, reason, by)
            return Flash(good=True, text=f"Trace {view.number} has ended.")
        if (kind, action) == ("accounts", "replay"):
            count = (await actions.replay(name, ReplayRequest(reason=reason), by)).count
            return Flash(good=True, text=f"{count:,} notifications of {name} will be sent again.")
        if action == "purge":
            wanted = PurgeRequest(reason=reason, route=request.fields.get("route", ""))
            purged = await self._purge(kind, name, wanted, by)
            sent = f" {purged.left:,} were sent meanwhile." if purged.left else ""
            return Flash(good=True, text=f"{purged.count:,} messages have ended.{sent}")
        if action == "top-up":
            said = (await actions.top_up(name, wanted_top_up(request.fields, reason), by)).done
            return Flash(good=True, text=f"{said[:1].upper()}{said[1:]}.")
        if kind == "messages":
            found = await self._search.with_id(name)
            if not found:
                raise Refusal(f"no message has the id {name}")
            replay = ReplayRequest(ids=[id_text(found[0].id)], reason=reason)
            count = (await actions.replay(found[0].account, replay, by)).count
            said = "will be sent again" if count else "can't be sent again: the message is no longer in memory"
            return Flash(good=bool(count), text=f"The notification {said}.")
        does: dict[tuple[str, str], Callable[[str, str, Actor], Awaitable[str]]] = {
            ("carriers", "hold"): actions.hold,
            ("carriers", "resume"): actions.resume,
            ("carriers", "unbind"): actions.unbind_carrier,
            ("carriers", "dismiss"): actions.dismiss_evidence,
            ("accounts", "unbind"): actions.unbind,
            ("accounts", "suspend"): actions.suspend,
            ("accounts", "unsuspend"): actions.unsuspend,
            ("accounts", "url-off"): actions.url_off,
            ("accounts", "url-on"): actions.url_on,
        }
        said = await does[kind, action](name, reason, by)
        return Flash(good=True, text=f"{said}.")

    async def _trace(self, kind: Kind, name: str, reason: str, request: AdminRequest) -> Told:
        text = request.fields.get("minutes", "")
        if not text.isdecimal():
            raise Refusal("say for how many minutes", 422)
        view = await self._actions.trace(kind, name, TraceRequest(minutes=float(text), reason=reason), request.actor)
        return Told(Flash(good=True, text=f"{name} is being traced."), path_of("traces", str(view.number)))

    async def _purge(self, kind: str, name: str, wanted: PurgeRequest, by: Actor) -> Purged:
        actions = self._actions
        does = {"carriers": actions.purge_carrier, "accounts": actions.purge_account, "routes": actions.purge_route}
        return await does[kind](name, wanted, by)

    async def reload(self, reason: str, by: Actor) -> Flash:
        """Reloads the configuration after the form was sent."""
        result = await self._actions.reload(reason, by)
        if result.problems:
            return Flash(good=False, text="The file was refused, and the old configuration holds.")
        count = sum(change.live for change in result.changes)
        return Flash(good=True, text=f"{count} changes were applied.")

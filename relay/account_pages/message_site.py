"""The pages about messages: the list with its file, one message, and what sends notifications again."""

import contextlib
from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Final

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime
from twisted.web.template import Tag

from relay.account_pages import message_pages
from relay.account_pages.confirmation import confirmation
from relay.account_pages.gate import Gate, see
from relay.account_pages.html import button, el, form
from relay.account_pages.list_question import ListQuestion, question_of
from relay.account_pages.message_timeline import message_page
from relay.account_pages.page_values import Flash, Session
from relay.account_pages.resend_words import job_notice, picked_ids, question_about, told
from relay.history.export import Format
from relay.history.history_query import HistoryPage
from relay.history.query_text import QueryProblem
from relay.http.api_request import ApiRequest, Reply
from relay.http.collaborators import Customers, SubmissionFlow, WebhookTester
from relay.http.cursors import NoCursor
from relay.http.http_api import HttpApi
from relay.http.list_calls import stream_export
from relay.http.problems import Problem
from relay.http.resending import ResendCount
from relay.values.ids import id_text
from relay.values.instants import instant

#: The most given-up notifications that one press of a button sends again.
MOST_GIVEN_UP: Final = 10_000

#: How many messages one page of the list shows.
LISTED: Final = 50


class MessageSite:
    """Serves the paths below `/my/messages`."""

    def __init__(
        self,
        gate: Gate,
        api: HttpApi,
        flow: SubmissionFlow,
        accounts: Customers,
        webhooks: WebhookTester,
        clock: IReactorTime,
    ) -> None:
        self._gate = gate
        self._api = api
        self._flow = flow
        self._accounts = accounts
        self._webhooks = webhooks
        self._clock = clock

    async def list(self, request: ApiRequest, session: Session) -> Reply:
        """`GET /my/messages`."""
        question, after = question_of(request.parameters()), request.parameters().get("after", "")
        problems: dict[str, str] = {}
        found = HistoryPage([], None)
        older: Tag | None = None
        try:
            found = await self._find(session.account, question, after)
        except QueryProblem as problem:
            problems[problem.parameter] = "This must be a date with a time."
        if found.cursor is not None:
            older = await self._older_link(session.account, question, found)
        account = session.account
        listed = message_pages.table(
            found.messages,
            self._accounts.get(account).error_codes,
            empty="No message like this." if question.narrowed else "No message yet.",
            caption="Messages, newest first",
            pickable=True,
        )
        given_up = self._flow.store.given_up_count(account)
        return self._gate.shown(
            request,
            session,
            "Messages",
            "/my/messages",
            _given_up_notice(session, given_up) if given_up else None,
            el("div", job_notice(session, self._api.account.jobs.job(account)), id="job", data_live=not after),
            message_pages.finder(question, problems),
            form(
                session,
                "/my/messages/resend",
                el("section", el("div", listed, id="messages", data_live=not after), class_="card"),
                message_pages.resend_buttons(question) if found.messages else None,
            ),
            el("p", older, class_="more") if older is not None else None,
            el("p", "All of these as a file: ", *message_pages.export_links(question), class_="hint"),
            el("p", _MEMORY_ONLY, class_="hint") if self._api.lists.questions is None else None,
            status=422 if problems else 200,
            data_events=None if after else "/my/events",
        )

    async def _find(self, account: str, question: ListQuestion, after: str) -> HistoryPage:
        query = question.query(account, LISTED)
        place: int | None = None
        if after:
            cursors = self._api.account.cursors
            await cursors.ready()
            with contextlib.suppress(NoCursor):
                place = cursors.place(account, after)
        return await self._api.lists.find_text(question.search, replace(query, after=place))

    async def _older_link(self, account: str, question: ListQuestion, found: HistoryPage) -> Tag:
        assert found.cursor is not None
        cursors = self._api.account.cursors
        await cursors.ready()
        (after,) = cursors.texts(account, [found.cursor])
        words = "Older messages" if found.complete else "The search took too long: go on with older messages"
        return el("a", words, href=question.url(after=after), class_="button", rel="next")

    async def export(self, request: ApiRequest, session: Session) -> Reply:
        """`GET /my/messages/export`: what the list shows, all pages of it, as a file."""
        asked = request.parameters()
        kind: Format = "jsonl" if asked.get("format") == "jsonl" else "csv"
        question = question_of(asked)
        try:
            query = question.query(session.account, LISTED)
        except QueryProblem as problem:
            raise Problem(422, str(problem), problem.parameter) from None
        lists = self._api.lists
        # The first meaning of the text that finds something, as on the page.
        query = await lists.meant_by(question.search, query)
        return await stream_export(request, lists, query, kind, f"messages.{kind}")

    async def message(self, request: ApiRequest, session: Session) -> Reply:
        """`GET /my/messages/{id}`."""
        account = session.account
        view = await self._api.messages.find_anywhere(request.path.split(b"/")[3], account)
        settings = self._accounts.get(account)
        why_not = self._api.messages.resending.why_not(view)
        return self._gate.shown(
            request,
            session,
            "Message",
            "/my/messages",
            message_page(session, view, settings.error_codes, self._webhooks.built_again, why_not),
            data_events=f"/my/events?message={id_text(view.id)}",
        )

    async def notify(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        """`POST /my/messages/{id}/notify`."""
        view = await self._api.messages.find_anywhere(request.path.split(b"/")[3], session.account)
        queues = await self._api.messages.notify_again(view, session.account)
        session.flash = Flash(True, "The notification will be sent again.")
        return see(f"/my/messages/{id_text(view.id)}")._replace(then=partial(self._flow.wake, queues))

    async def resend(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        """`POST /my/messages/resend`: for picked messages, or for all of a list. It first says how many they are."""
        if fields.get("action") == "stop":
            self._api.account.jobs.stop(session.account)
            return see(question_of(fields).url())
        if fields.get("action") == "all":
            return await self._resend_list(request, session, fields)
        return await self._resend_picked(request, session, fields)

    async def _resend_picked(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        account, back, resending = session.account, question_of(fields).url(), self._api.messages.resending
        found = [await self._api.lists.look_up(message_id, account) for message_id in picked_ids(fields)]
        views = [view for view in found if view is not None and view.account == account]
        count = resending.counted(views)
        if not count.messages:
            return self._nothing(session, back)
        if not fields.get("sure"):
            return self._asked(request, session, fields, count, back)
        again = await resending.again(account, views)
        session.flash = Flash(True, f"{told(again.messages)} will be sent again.")
        return see(back)._replace(then=partial(self._flow.wake, again.queues))

    async def _resend_list(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        account, back, jobs = session.account, question_of(fields).url(), self._api.account.jobs
        question = question_of(fields)
        if not question.until:
            # What comes between the question and the answer is not meant.
            question = question._replace(until=instant(self._clock.seconds()))
        try:
            query = question.query(account, LISTED)
        except QueryProblem as problem:
            raise Problem(422, str(problem), problem.parameter) from None
        query = await self._api.lists.meant_by(question.search, query)
        count = await jobs.count(query)
        if not count.messages:
            return self._nothing(session, back)
        if not fields.get("sure"):
            return self._asked(request, session, dict(fields) | question.fields, count, back)
        jobs.start(account, query, count)
        session.flash = Flash(True, f"{told(count.messages)} will be sent again, the oldest first.")
        return see(back)

    def _nothing(self, session: Session, back: str) -> Reply:
        words = "No notification can be sent again: pick messages that have ended and have a notification URL."
        session.flash = Flash(False, words)
        return see(back)

    def _asked(
        self, request: ApiRequest, session: Session, fields: Mapping[str, str], count: ResendCount, back: str
    ) -> Reply:
        asked = question_about(count, back)
        content = confirmation(session, "/my/messages/resend", fields, asked)
        return self._gate.shown(request, session, asked.title, "/my/messages", content)

    async def replay(self, request: ApiRequest, session: Session, fields: Mapping[str, str]) -> Reply:
        """`POST /my/messages/replay`."""
        ids = await self._flow.store.given_up(session.account, 0.0, inf, MOST_GIVEN_UP)
        count, queues = await self._api.account.notify_again(session.account, ids)
        session.flash = Flash(True, f"{count} notifications will be sent again.")
        return see("/my/messages")._replace(then=partial(self._flow.wake, queues))


_MEMORY_ONLY: Final = (
    "The relay keeps the latest messages only. Its operator can have it keep every message for some weeks."
)


def _given_up_notice(session: Session, count: int) -> Tag:
    words = "1 notification was" if count == 1 else f"{count:,} notifications were"
    return el(
        "div",
        el("p", f"{words} given up after days of retries."),
        form(session, "/my/messages/replay", button("Send them again"), class_="buttons"),
        class_="notice bad",
    )

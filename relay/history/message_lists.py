"""Finds messages for customers and operators: in the history if there is one, otherwise in the store's memory.

Theory of operation: memory has all recent messages, and few older ones. The history has all older messages, but not
those of the last second. So an id is looked up in memory first. A list comes from the history, but its first page
begins with the messages in memory that are too new for the history. The history doesn't know which messages wait for
their time. All of them are in memory, so a list takes them from there. Without a history, a list has only the messages
in memory.
"""

from collections.abc import AsyncIterator, Sequence
from math import inf, nextafter
from typing import Final

from msgspec.structs import replace

from relay.history.history_entries import accepted_at_of, first_seq
from relay.history.history_numbers import Numbers
from relay.history.history_query import HistoryPage, HistoryQuery
from relay.history.history_questions import HistoryQuestions
from relay.store.api import StoreQueries
from relay.store.store_values import FeedEntry
from relay.values.ids import id_text
from relay.values.message_view import MessageView
from relay.values.messages import destination_of, source_of
from relay.values.states import SCHEDULED

#: The history may lack messages of this last time. For these, a list looks in memory.
_BEHIND_SECONDS: Final = 5.0
#: A search text with at least this many digits may be the beginning of an id.
_ID_DIGITS: Final = 6
_HEX: Final = frozenset("0123456789abcdef")


class MessageLists:
    """Finds messages in memory and in the history. Only the reactor thread may call it.

    :param questions: asks the history; None if there is no history.
    :param numbers: the setting `history.numbers`.
    """

    def __init__(
        self, store: StoreQueries, questions: HistoryQuestions | None = None, numbers: Numbers = "full"
    ) -> None:
        self._store = store
        self.questions = questions
        self._numbers = numbers

    async def look_up(self, message_id: bytes, account: str | None = None) -> MessageView | None:
        """Returns the message with this id from memory or from the history, or None if neither knows it.

        :param account: who asks. Its questions to the history wait behind its own only. None: the operator.
        :raises StoreBusy, StoreUnavailable: the history can't be asked now.
        """
        view = await self._store.look_up(message_id)
        if self.questions is None or (view is not None and not view.brought_back):
            return view
        # Of a message that was brought back, the history knows more.
        return await self.questions.look_up(message_id, account) or view

    async def find(self, query: HistoryQuery) -> HistoryPage:
        """Returns a page of the messages that match a query. Its `cursor` is the `after` of the next query.

        :param query: without a history, it must name an account, and it finds only messages in memory.
        :raises StoreBusy, StoreUnavailable: the query can't be answered now.
        """
        if self.questions is None:
            return await self._find_in_memory(query)
        page = await self._present(await self.questions.search(query), query)
        if query.account is None or query.after is not None or query.oldest_first or not page.complete:
            return page
        known = {view.id for view in page.messages}
        newest = page.messages[0].accepted_at if page.messages else 0.0
        recent = await self._store.recent(query.account, limit=query.limit)
        fresh = [
            view
            for view in recent
            if view.id not in known and view.accepted_at > newest - _BEHIND_SECONDS and matches(query, view)
        ]
        return await self._after_fresh(fresh[: query.limit], query) if fresh else page

    async def _after_fresh(self, fresh: Sequence[MessageView], query: HistoryQuery) -> HistoryPage:
        """Makes a first page that begins with messages that are too new for the history."""
        room = query.limit - len(fresh)
        if not room:
            # The next page repeats the messages of this millisecond. Otherwise it could miss one of them.
            return HistoryPage(fresh, first_seq(fresh[-1].accepted_at + 0.001))
        page = await self.questions.search(replace(query, limit=room)) if self.questions else HistoryPage([], None)
        page = await self._present(page, query)
        known = {view.id for view in fresh}
        return replace(page, messages=[*fresh, *(view for view in page.messages if view.id not in known)])

    async def _present(self, page: HistoryPage, query: HistoryQuery) -> HistoryPage:
        """Replaces messages that no carrier has taken by what memory knows of them.

        The page then has fewer messages than asked for, if some of them no longer meet the query.
        """
        messages = []
        for view in page.messages:
            if view.state == SCHEDULED and not view.final:
                view = await self._store.look_up(view.id) or view
                if not matches(query, view):
                    continue
            messages.append(view)
        return replace(page, messages=messages)

    async def feed(self, account: str, after: int, limit: int) -> Sequence[FeedEntry]:
        """Returns an account's final states in the order in which they were learnt, from the one after place `after`.

        :raises StoreBusy, StoreUnavailable: the history can't be asked now.
        """
        recent = await self._store.feed(account, after, limit)
        if self.questions is None or after >= self._store.feed_begins(account):
            return recent
        # Memory may lack some after this place, and the history those of the last second.
        known = {entry.cursor: entry for entry in await self.questions.feed(account, after, limit)}
        known |= {entry.cursor: entry for entry in recent}
        return [known[place] for place in sorted(known)[:limit]]

    async def all(self, query: HistoryQuery) -> AsyncIterator[Sequence[MessageView]]:
        """Yields all messages that match a query, page by page, as `find` finds them.

        :raises StoreBusy, StoreUnavailable: the query can't be answered now.
        """
        if self.questions is not None:
            async for messages in self.questions.all(query):
                yield (await self._present(HistoryPage(messages, None), query)).messages
            return
        after: int | None = None
        while True:
            page = await self._find_in_memory(replace(query, after=after, limit=500))
            if page.messages:
                yield page.messages
            after = page.cursor
            if after is None:
                return

    async def _find_in_memory(self, query: HistoryQuery) -> HistoryPage:
        """Returns a page of messages from memory, the newest first. It ignores the query's order.

        Its cursor is the key of a millisecond, plus the number of messages of that millisecond on earlier pages.
        """
        before, given = query.until, 0
        if query.after is not None:
            before, given = (
                nextafter(accepted_at_of(query.after) + 0.001, inf),
                query.after - first_seq(accepted_at_of(query.after)),
            )
        found: list[MessageView] = []
        limit = query.limit + given
        # The store knows few of the conditions. So ask it for more messages until enough of them match.
        asked = 4 * limit + 50
        while True:
            views, more = await self._recent(query, before, asked)
            found = [view for view in views if matches(query, view)]
            if len(found) > limit or not more:
                break
            asked *= 4
        if query.after is not None:
            same = first_seq(accepted_at_of(query.after))
            skipped = {view.id for view in [view for view in found if first_seq(view.accepted_at) == same][:given]}
            found = [view for view in found if view.id not in skipped and first_seq(view.accepted_at) <= same]
        page, more = found[: query.limit], len(found) > query.limit
        if not more:
            return HistoryPage(page, None)
        last = first_seq(page[-1].accepted_at)
        here = sum(first_seq(view.accepted_at) == last for view in page)
        if query.after is not None and last == first_seq(accepted_at_of(query.after)):
            here += given
        return HistoryPage(page, last + here)

    async def _recent(self, query: HistoryQuery, before: float | None, limit: int) -> tuple[list[MessageView], bool]:
        """Returns an account's latest messages that meet the conditions that the store knows, and if there are more."""
        search = query.number or query.number_end or query.id[:8]
        views: list[MessageView] = []
        more = False
        for state in (None,) if query.states is None else sorted(query.states):
            found = await self._store.recent(
                query.account or "", before=before, state=state, search=search, limit=limit
            )
            views += found
            more |= len(found) == limit and (query.since is None or found[-1].accepted_at >= query.since)
        # Stable: messages of the same instant stay in the store's order.
        views.sort(key=lambda view: -view.accepted_at)
        return views[:limit] if more else views, more

    def queries_of(self, text: str, query: HistoryQuery) -> list[HistoryQuery]:
        """Returns a query for each possible meaning of a search text, the most likely one first.

        A text may be an id or its beginning, a number or its end, a reference, or a carrier message id.

        :param query: the other conditions that a message must meet.
        """
        text = text.strip()
        plain = text.lower().replace("-", "")
        digits = text.lstrip("+").replace(" ", "")
        found = []
        if digits.isascii() and digits.isdigit():
            # A search for a number's end also finds the whole number. It needs full numbers in the history.
            key = "number_end" if self._numbers == "full" else "number"
            found.append(replace(query, **{key: digits}))
        if len(plain) >= _ID_DIGITS and len(plain) <= 32 and _HEX.issuperset(plain):
            found.insert(0 if not digits.isdigit() or "-" in text else 1, replace(query, id=plain))
        return [*found, replace(query, reference=text), replace(query, carrier_id=text)]

    async def find_text(self, text: str, query: HistoryQuery) -> HistoryPage:
        """Finds messages by a search text, with the first query of `queries_of` that finds any.

        :raises StoreBusy, StoreUnavailable: the query can't be answered now.
        """
        return await self.find(await self.meant_by(text, query))

    async def meant_by(self, text: str, query: HistoryQuery) -> HistoryQuery:
        """Returns the first query of `queries_of` that finds a message on any page.

        Without a text, it returns `query` itself. If no query finds a message, it returns the first one.

        :raises StoreBusy, StoreUnavailable: the query can't be answered now.
        """
        if not text:
            return query
        meanings = self.queries_of(text, query)
        for wanted in meanings:
            page = await self.find(replace(wanted, after=None, limit=1))
            if page.messages or not page.complete:
                return wanted
        return meanings[0]


def matches(query: HistoryQuery, view: MessageView) -> bool:
    """Returns true if a message meets all conditions of a query. The query's `after` and `limit` don't count."""
    destination = destination_of(view.addresses).decode("latin-1")
    error = view.carrier_error
    return all(
        (
            query.account is None or view.account == query.account,
            not query.id or id_text(view.id).replace("-", "").startswith(query.id.lower()),
            not query.number or destination == query.number,
            not query.number_end or destination.endswith(query.number_end),
            not query.reference or view.reference == query.reference,
            not query.sender or source_of(view.addresses).decode("latin-1") == query.sender,
            not query.carrier or view.carrier == query.carrier,
            not query.carrier_id or any(part.carrier_message_id == query.carrier_id for part in view.parts),
            query.states is None or view.state in query.states,
            query.scheduled is None or view.waits_for_its_time is query.scheduled,
            not query.error or error == query.error,
            not query.notification or _notification(view) == query.notification,
            query.ended is None or view.final is query.ended,
            query.since is None or view.accepted_at >= query.since,
            query.until is None or view.accepted_at < query.until,
        )
    )


def _notification(view: MessageView) -> str:
    """Returns the outcome of a message's notification (`NOTIFICATIONS`), as far as its view in memory tells it."""
    if view.owed:
        return "owed"
    if not view.attempts:
        return "none"
    return "delivered" if _taken(view.attempts[-1].answer) else "failed"


def _taken(answer: str) -> bool:
    return answer[:1] == "2" or answer == "ESME_ROK"

"""Lets the reactor's thread ask the history for messages and sums; the searches' thread answers.

One question is in the thread at a time. The others wait in a line for each account, and the accounts take turns. The
number of waiting questions is limited. Beyond the limit, a question fails with `StoreBusy`.
"""

import sqlite3
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from relay.history.history_query import HistoryPage, HistoryQuery, HistorySums
from relay.history.history_source import SearchTimedOut
from relay.store.store_values import FeedEntry, StoreBusy, StoreUnavailable
from relay.values.message_view import MessageView

#: Questions that may wait: of one account (or of the operator), and of all together.
MOST_WAITING_EACH: Final = 4
MOST_WAITING: Final = 32
#: Messages that an export reads at a time.
EXPORT_PAGE: Final = 500

InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]
_T = TypeVar("_T")


class Searching(Protocol):
    """The methods of `HistorySearch` that `HistoryQuestions` calls, in the searches' thread."""

    def search(self, query: HistoryQuery) -> HistoryPage:
        """Returns a page of the messages that match a query."""

    def sums(
        self, account: str | None, since: float, until: float, *, minutes: bool = False, carrier: str = ""
    ) -> HistorySums:
        """Counts the messages that were accepted in each hour or minute."""

    def feed(self, account: str, after: int, limit: int) -> Sequence[FeedEntry]:
        """Returns an account's final states after a place in its feed."""

    def close(self) -> None:
        """Closes the connection."""


class HistoryQuestions:
    """Asks the history for messages and sums. Only the reactor thread may call it.

    :param in_thread: runs a function in the searches' thread.
    """

    def __init__(self, search: Searching, in_thread: InThread) -> None:
        self._search = search
        self._in_thread = in_thread
        self._waiting: Counter[str] = Counter()
        #: The questions that wait for the thread, by account. The first account has the next turn.
        self._lines: dict[str, deque[Deferred[None]]] = {}
        self._busy = False

    async def search(self, query: HistoryQuery) -> HistoryPage:
        """Returns a page of the messages that match a query.

        :raises StoreBusy: too many questions wait.
        :raises StoreUnavailable: the history can't be read now.
        """
        page: HistoryPage = await self._ask(query.account, lambda: self._search.search(query))
        return page

    async def look_up(self, message_id: bytes, account: str | None = None) -> MessageView | None:
        """Returns the message with this id, or None if the history doesn't have it.

        :param account: finds only this account's message; None: that of any account.
        :raises StoreBusy, StoreUnavailable: as `search`.
        """
        page = await self.search(HistoryQuery(account=account, id=message_id.hex(), limit=1))
        return page.messages[0] if page.messages else None

    async def sums(
        self, account: str | None, since: float, until: float, *, minutes: bool = False, carrier: str = ""
    ) -> HistorySums:
        """Counts the messages that were accepted in each hour or minute from `since` to `until`, by outcome.

        :param account: counts only this account's messages; None counts those of all accounts.
        :param carrier: counts only the messages that this carrier had last, and no delivery times; "": all.
        :raises StoreBusy, StoreUnavailable: as `search`.
        """
        question = partial(self._search.sums, account, since, until, minutes=minutes, carrier=carrier)
        found: HistorySums = await self._ask(account, question)
        return found

    async def feed(self, account: str, after: int, limit: int) -> Sequence[FeedEntry]:
        """Returns an account's final states after a place in its feed, up to `limit` of them, in order.

        It may lack those of about the last second.

        :raises StoreBusy, StoreUnavailable: as `search`.
        """
        found: Sequence[FeedEntry] = await self._ask(account, partial(self._search.feed, account, after, limit))
        return found

    async def all(self, query: HistoryQuery) -> AsyncIterator[Sequence[MessageView]]:
        """Yields all messages that match a query, page by page. Ignores the query's `limit`.

        It reads a page only when the caller asks for it. A page is empty if the time of its search was over before the
        search had found a message. So the caller can stop also while nothing is found.

        :raises StoreBusy, StoreUnavailable: as `search`.
        """
        after = query.after
        while True:
            page = await self.search(replace(query, after=after, limit=EXPORT_PAGE))
            yield page.messages
            after = page.cursor
            if after is None:
                return

    async def _ask(self, account: str | None, question: Callable[[], _T]) -> _T:
        asker = account or ""
        if self._waiting[asker] >= MOST_WAITING_EACH or self._waiting.total() >= MOST_WAITING:
            raise StoreBusy("too many searches are waiting", 2.0)
        self._waiting[asker] += 1
        try:
            if self._busy:
                # A caller that cancels its question leaves the line.
                turn: Deferred[None] = Deferred(lambda cancelled: self._leave(asker, cancelled))
                self._lines.setdefault(asker, deque()).append(turn)
                await turn
            self._busy = True
            try:
                answer: _T = await self._in_thread(question)
            finally:
                self._next_turn()
        except SearchTimedOut:
            raise StoreUnavailable("the history can't be read in time") from None
        except (OSError, sqlite3.Error) as problem:
            raise StoreUnavailable(f"the history can't be read: {problem}") from None
        finally:
            self._waiting[asker] -= 1
            if not self._waiting[asker]:
                del self._waiting[asker]
        return answer

    def _next_turn(self) -> None:
        """Gives the thread to the next account, which then goes to the end of the line."""
        asker = next(iter(self._lines), None)
        if asker is None:
            self._busy = False
            return
        line = self._lines.pop(asker)
        turn = line.popleft()
        if line:
            self._lines[asker] = line
        turn.callback(None)

    def _leave(self, asker: str, turn: "Deferred[None]") -> None:
        line = self._lines[asker]
        line.remove(turn)
        if not line:
            del self._lines[asker]

    async def stop(self) -> None:
        """Closes the connection to the database. Call it when no more questions come."""
        await self._in_thread(self._search.close)

"""Finds messages for the operator: in the history if there is one, otherwise in memory, account by account."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from relay.history.history_query import HistoryQuery
from relay.history.message_lists import MessageLists
from relay.history.query_text import PARAMETERS, QueryProblem, query_of
from relay.store.api import StoreQueries
from relay.values.ids import parse_id
from relay.values.message_view import MessageView

#: Parameters of a search.
SEARCHED_BY: Final = (*PARAMETERS, "account", "find", "after")
#: So long a search in memory goes from account to account. It ends after the account in which the time is over.
_MOST_SECONDS: Final = 1.0
_NO_HISTORY: Final = (
    "These are the latest messages, which are in memory. With a history (history.days) a search finds older ones, too."
)


class Found(msgspec.Struct, frozen=True):
    """What a search found.

    :ivar next: the parameter `after` of the next page; None: there is none.
    :ivar complete: False: the search took too long.
    :ivar remark: a sentence for the operator about what was searched; "" if there is nothing to say.
    """

    messages: Sequence[MessageView]
    next: str | None = None
    complete: bool = True
    remark: str = ""


class MessageSearch:
    """Finds messages.

    :param accounts: returns the names of all accounts.
    :param seconds: returns the time.
    """

    def __init__(
        self,
        store: StoreQueries,
        lists: MessageLists,
        accounts: Callable[[], Iterable[str]],
        seconds: Callable[[], float],
    ) -> None:
        self._store = store
        self._lists = lists
        self._accounts = accounts
        self._seconds = seconds

    async def with_id(self, text: str) -> Sequence[MessageView]:
        """Returns the messages with this id: the relay's, or its beginning, or a carrier's.

        :raises StoreUnavailable: it can't be looked up now.
        """
        message_id = parse_id(text)
        view = None if message_id is None else await self._store.look_up(message_id)
        if view is not None:
            return [view]
        found = await self._store.find_carrier_id(text.encode("utf-8", "replace"))
        if not found and self._lists.questions is not None:
            found = (await self._lists.find_text(text, HistoryQuery())).messages
        return found

    async def find(self, asked: Mapping[str, str]) -> Found:
        """Returns a page of the messages that parameters ask for.

        :raises QueryProblem: a parameter is wrong.
        :raises StoreUnavailable: it can't be looked up now.
        """
        unknown = next((name for name in asked if name not in SEARCHED_BY), None)
        if unknown is not None:
            raise QueryProblem(unknown, f"There is no parameter '{unknown[:100]}'; there are {', '.join(SEARCHED_BY)}.")
        query = query_of(asked, asked.get("account") or None)
        if after := asked.get("after", ""):
            if not (after.isascii() and after.isdigit() and len(after) <= 19 and int(after) < 1 << 63):
                raise QueryProblem("after", "'after' must be the 'next' of an earlier answer.")
            query = replace(query, after=int(after))
        text = asked.get("find", "").strip()
        if self._lists.questions is None and query.account is None:
            return await self._in_all_accounts(text, query)
        page = await self._lists.find_text(text, query)
        remark = _NO_HISTORY if self._lists.questions is None else ""
        return Found(page.messages, None if page.cursor is None else str(page.cursor), page.complete, remark)

    async def _in_all_accounts(self, text: str, query: HistoryQuery) -> Found:
        """Searches the memory, one account after the other. It has no second page: name an account for that."""
        exact = await self.with_id(text) if text else ()
        if exact:
            return Found(sorted(exact, key=lambda view: view.accepted_at, reverse=True))
        ends_at = self._seconds() + _MOST_SECONDS
        found: list[MessageView] = []
        more = False
        complete = True
        for account in list(self._accounts()):
            if self._seconds() > ends_at:
                complete = False
                break
            page = await self._lists.find_text(text, replace(query, account=account))
            found += page.messages
            more = more or page.cursor is not None
        found.sort(key=lambda view: view.accepted_at, reverse=not query.oldest_first)
        remark = _NO_HISTORY
        if more or len(found) > query.limit:
            remark += " There are more: name an account to go through all of its messages."
        if not complete:
            remark += " The search took too long, and not all accounts were searched: name one."
        return Found(found[: query.limit], None, complete, remark)

"""Finds the messages whose notifications a customer wants again: those that were picked, or all of a list."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from relay.account_pages.confirmation import Question
from relay.account_pages.list_question import ListQuestion
from relay.history.history_query import HistoryQuery
from relay.history.message_lists import MessageLists
from relay.http.collaborators import Customers
from relay.store.api import StoreQueries
from relay.values.ids import parse_id
from relay.values.messages import MessageView

#: The most notifications that one press of a button sends again.
MOST_AGAIN: Final = 10_000

#: The beginning of the names of the boxes that pick a message.
PICK: Final = "pick-"


class Again(msgspec.Struct, frozen=True):
    """The messages that were found.

    :ivar ids: those whose notifications can be sent again.
    :ivar too_old: how many are in the history only, so that the relay can't notify of them any more.
    :ivar left_out: how many have not ended, or have no URL.
    :ivar complete: whether these are all; there may be more than `MOST_AGAIN`.
    """

    ids: list[bytes]
    too_old: int = 0
    left_out: int = 0
    complete: bool = True

    def question(self, back: str) -> Question:
        """What the customer is asked before the notifications are sent."""
        count = len(self.ids)
        notifications = "1 notification" if count == 1 else f"{count:,} notifications"
        said = ["The relay sends the latest notification of each of these messages once more."]
        if not self.complete:
            said.append(f"More than {MOST_AGAIN:,} messages are in the list: these are the newest of them.")
        if self.too_old:
            said.append(f"{self.too_old:,} messages are too old: the relay only knows how they ended.")
        if self.left_out:
            said.append(f"{self.left_out:,} messages have not ended yet, or have no notification URL.")
        return Question(f"Send {notifications} again?", " ".join(said), "Send again", back, dangerous=False)


class Resending:
    """Finds messages for a customer. It changes nothing."""

    def __init__(self, lists: MessageLists, store: StoreQueries, accounts: Customers) -> None:
        self._lists = lists
        self._store = store
        self._accounts = accounts

    async def picked(self, account: str, fields: Mapping[str, str]) -> Again:
        """The messages whose boxes were checked."""
        ids: list[bytes] = []
        wanted = [parse_id(name.removeprefix(PICK)) for name in fields if name.startswith(PICK)]
        for message_id in wanted:
            view = None if message_id is None else await self._store.look_up(message_id)
            if view is not None and view.account == account and self._can_notify(view):
                ids.append(view.id)
        return Again(ids, left_out=len(wanted) - len(ids))

    async def listed(self, account: str, question: ListQuestion) -> Again:
        """All messages of a list, the newest first.

        :raises QueryProblem: a time in the question is none.
        :raises StoreUnavailable: the list can't be read now.
        """
        query: HistoryQuery = await self._lists.meant_by(question.search, question.query(account, 1))
        ids: list[bytes] = []
        too_old = left_out = 0
        async for views in self._lists.all(replace(query, after=None)):
            for view in views:
                if not self._can_notify(view):
                    left_out += 1
                elif self._lists.questions is not None and await self._store.look_up(view.id) is None:
                    too_old += 1
                elif len(ids) >= MOST_AGAIN:
                    return Again(ids, too_old, left_out, complete=False)
                else:
                    ids.append(view.id)
        return Again(ids, too_old, left_out)

    def _can_notify(self, view: MessageView) -> bool:
        return view.final and bool(view.notification_url or self._accounts.notification_url(view.account))

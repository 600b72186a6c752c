"""Sends notifications of ended messages again, also of those that only the history still knows.

A notification that is sent again says how the message ended, as a first attempt. Texts aren't needed for it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime

from relay.http.collaborators import Customers
from relay.http.problems import Problem
from relay.store.api import Store
from relay.store.store_values import ReplayResult
from relay.values.message_view import MessageView
from relay.values.notifications import QueueKey

#: Messages that are handled in one turn of the reactor. That takes one or two milliseconds.
RESENT_A_TURN: Final = 250

_REASONS: Final = {
    "not-final": "The message has not ended yet. Its notification will come.",
    "no-notification-url": "Set one with PUT /account/notification-url, or poll GET /notifications.",
    "url-not-kept": "The message had a notification URL of its own, and its login or query isn't kept for so long.",
}


class ResendCount(msgspec.Struct, frozen=True):
    """How many of the messages that a search found can be told again.

    :ivar messages: those that can.
    :ivar not_ended: those that have not ended yet.
    :ivar no_url: those for which there is no notification URL.
    :ivar url_not_kept: those that had a URL of their own, of which the history has no login, query or fragment.
    :ivar complete: false: the search found more than the relay sends again at once. These are the oldest ones.
    """

    messages: int = 0
    not_ended: int = 0
    no_url: int = 0
    url_not_kept: int = 0
    complete: bool = True

    def __add__(self, other: "ResendCount") -> "ResendCount":
        return ResendCount(
            self.messages + other.messages,
            self.not_ended + other.not_ended,
            self.no_url + other.no_url,
            self.url_not_kept + other.url_not_kept,
            self.complete and other.complete,
        )


class Resending:
    """Makes notifications owed again."""

    def __init__(self, store: Store, accounts: Customers, clock: IReactorTime) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock

    def why_not(self, view: MessageView) -> str:
        """Says why a message can't be told again, as the kind of a problem. "": it can."""
        if not view.final:
            return "not-final"
        if view.notification_url:
            return "" if view.url_is_whole else "url-not-kept"
        return "" if self._accounts.notification_url(view.account) else "no-notification-url"

    def check(self, view: MessageView) -> None:
        """Does nothing if a message can be told again.

        :raises Problem: 409: it can't.
        """
        kind = self.why_not(view)
        if kind:
            raise Problem(409, _REASONS[kind], kind=kind)

    def counted(self, views: Iterable[MessageView]) -> ResendCount:
        """Counts which of these messages can be told again."""
        found = Counter(map(self.why_not, views))
        return ResendCount(found[""], found["not-final"], found["no-notification-url"], found["url-not-kept"])

    async def again(self, account: str, views: Sequence[MessageView]) -> ReplayResult:
        """Makes the notifications of an account's messages owed again. Those that can't be told again are left out.

        :raises StoreFull, StoreUnavailable: some may be owed again, and others not.
        """
        messages = 0
        queues: set[QueueKey] = set()
        ready = [view for view in views if not self.why_not(view)]
        for start in range(0, len(ready), RESENT_A_TURN):
            batch, now = ready[start : start + RESENT_A_TURN], self._clock.seconds()
            # The first call skips those that memory has forgotten, and the second one those that it knows.
            for result in (
                await self._store.notify_again(account, [view.id for view in batch], now),
                await self._store.notify_old(account, batch, now),
            ):
                messages += result.messages
                queues |= result.queues
        return ReplayResult(messages, frozenset(queues))

"""Messages with a key of their own (`idempotency_key` in an item of `POST /messages`).

Each is taken once, however often and in whichever array it comes.

Theory of operation: account and key make the message's id, always the same one. So the message is itself the memory of
its key: as durable as it, needing no room beside it, and there for as long as the message is, which is at least until
its notification has been handed over. What is known already is answered with its id and not taken again. A sender that
repeats a message may have missed its notification as well, so where the message has ended, that is sent once more.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from relay.http.collaborators import Customers, SubmissionFlow
from relay.http.problems import Problem
from relay.http.types import Accepted, MessageRequest
from relay.values.ids import id_of_key, id_text
from relay.values.messages import MessageView, QueueKey, destination_of

Item = MessageRequest | Problem


class Repeats(NamedTuple):
    """Which items are not to be taken again.

    :ivar answers: by the item's index: the id that it has, or the problem that its key is another message's.
    :ivar doubles: items with the key of an earlier one in the same request, by index, and that one's index.
    :ivar queues: to be woken after the answer: notifications that are sent once more.
    """

    answers: Mapping[int, Accepted | Problem]
    doubles: Mapping[int, int]
    queues: frozenset[QueueKey]


class ItemKeys:
    """Gives each keyed item its message id, and finds those that are known already."""

    def __init__(self, flow: SubmissionFlow, accounts: Customers, clock: IReactorTime) -> None:
        self._flow = flow
        self._accounts = accounts
        self._clock = clock
        self._taking: set[bytes] = set()

    @contextmanager
    def taking(self, account: str, items: Sequence[Item]) -> Iterator[Mapping[int, bytes]]:
        """Gives the id of each item that has a key, by its index. Until the end of the block nobody else gets them.

        :raises Problem: 409: a request with one of the keys is just being answered.
        """
        ids = {
            index: id_of_key(account, item.idempotency_key)
            for index, item in enumerate(items)
            if isinstance(item, MessageRequest) and item.idempotency_key is not None
        }
        # A copy of its own: what is given back must be what was taken.
        taking = frozenset(ids.values())
        if not self._taking.isdisjoint(taking):
            detail = "A message with one of these idempotency_keys is being accepted at this moment."
            raise Problem(409, detail, kind="idempotency-in-progress", headers=((b"Retry-After", b"1"),))
        self._taking |= taking
        try:
            yield ids
        finally:
            self._taking -= taking

    async def repeats(self, account: str, items: Sequence[Item], ids: Mapping[int, bytes]) -> Repeats:
        """Which of the items in `ids` have come before. What is answered with an id is durable when this returns.

        :raises StoreUnavailable: whether it is can't be said now.
        """
        store = self._flow.store
        firsts: dict[bytes, int] = {}
        doubles: dict[int, int] = {}
        answers: dict[int, Accepted | Problem] = {}
        asking = []
        for index, message_id in ids.items():
            first = firsts.setdefault(message_id, index)
            if first == index:
                asking.append((index, message_id, store.look_up(message_id)))
            elif _digits(items[index]) == _digits(items[first]):
                doubles[index] = first
            else:
                answers[index] = _conflict()
        ended: list[bytes] = []
        known = False
        for index, message_id, asked in asking:
            view = await asked
            if view is None:
                continue
            known = True
            if view.account != account or destination_of(view.addresses) != _digits(items[index]):
                answers[index] = _conflict()
                continue
            answers[index] = Accepted(id_text(message_id))
            if view.final and self._has_url(account, view):
                ended.append(message_id)
        if known:
            # They may have been accepted a moment ago; the answer must not leave before they are on disk.
            await self._flow.accept([])
        queues: frozenset[QueueKey] = frozenset()
        if ended:
            queues = (await store.notify_again(account, ended, self._clock.seconds())).queues
        return Repeats(answers, doubles, queues)

    def _has_url(self, account: str, view: MessageView) -> bool:
        return bool(view.notification_url or self._accounts.notification_url(account))


def _digits(item: Item) -> bytes:
    return item.to.removeprefix("+").encode("utf-8", "replace") if isinstance(item, MessageRequest) else b""


def _conflict() -> Problem:
    detail = "This idempotency_key was used for a message to another number."
    return Problem(409, detail, "idempotency_key", kind="idempotency-conflict")

"""Messages with a key of their own (`idempotency_key` in an item of `POST /messages`).

The relay accepts such a message once, however often it comes, and in whichever array.

Theory of operation: the message's id is computed from the account and the key, so it is always the same. If the relay
has a message with this id, it has accepted the key. It needs no other memory of keys. The relay keeps a message at
least until its notification is settled. An item whose message is known is answered with its id, and not accepted again.
A customer who repeats a message may also have missed its notification. So if the message has ended, its notification
is sent again.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, NamedTuple

from twisted.internet.interfaces import IReactorTime

from relay.http.collaborators import Customers, SubmissionFlow
from relay.http.message_reports import accepted
from relay.http.problems import Problem
from relay.http.types import Accepted, MessageRequest
from relay.values.ids import id_of_key
from relay.values.message_view import MessageView
from relay.values.messages import destination_of
from relay.values.notifications import QueueKey

Item = MessageRequest | Problem

_NO_KEYS: Final[AbstractContextManager[Mapping[int, bytes]]] = nullcontext({})


class Repeats(NamedTuple):
    """The items that must not be accepted again.

    :ivar answers: for each such item, by index: its id, or the problem that another message has its key.
    :ivar doubles: for each item whose key an earlier item of the request has, by index: the index of the earlier one.
    :ivar queues: the queues with notifications that are sent again. Wake them after the answer.
    """

    answers: Mapping[int, Accepted | Problem]
    doubles: Mapping[int, int]
    queues: frozenset[QueueKey]


class ItemKeys:
    """Gives each item with a key its message id, and finds the messages that are known already."""

    def __init__(self, flow: SubmissionFlow, accounts: Customers, clock: IReactorTime) -> None:
        self._flow = flow
        self._accounts = accounts
        self._clock = clock
        self._taking: set[bytes] = set()

    def taking(self, account: str, items: Sequence[Item]) -> AbstractContextManager[Mapping[int, bytes]]:
        """Gives the ids of the items with keys, by index. No other request gets these ids until the block ends.

        :raises Problem: 409: a request with one of the keys is being answered now.
        """
        ids = {
            index: id_of_key(account, item.idempotency_key)
            for index, item in enumerate(items)
            if isinstance(item, MessageRequest) and item.idempotency_key is not None
        }
        # Few items have a key, and a context manager of a generator takes 2 µs.
        return self._taking_ids(ids) if ids else _NO_KEYS

    @contextmanager
    def _taking_ids(self, ids: Mapping[int, bytes]) -> Iterator[Mapping[int, bytes]]:
        # A copy, because the same ids must be given back that were taken.
        taking = frozenset(ids.values())
        if not self._taking.isdisjoint(taking):
            detail = "A message with one of these idempotency_keys is being accepted now. Try again in a second."
            raise Problem(409, detail, kind="idempotency-in-progress", headers=((b"Retry-After", b"1"),))
        self._taking |= taking
        try:
            yield ids
        finally:
            self._taking -= taking

    async def repeats(self, account: str, items: Sequence[Item], ids: Mapping[int, bytes]) -> Repeats:
        """Finds the items in `ids` that have come before. Their messages are durable when this returns.

        :raises StoreUnavailable: the store can't make them durable now.
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
            answer = answers[index] = answer_of(account, view, items[index])
            if isinstance(answer, Problem):
                continue
            if view.final and self._has_url(account, view):
                ended.append(message_id)
        if known:
            # They may have been accepted a moment ago. The answer must not leave before they are durable.
            await self._flow.accept([])
        queues: frozenset[QueueKey] = frozenset()
        if ended:
            queues = (await store.notify_again(account, ended, self._clock.seconds())).queues
        return Repeats(answers, doubles, queues)

    def _has_url(self, account: str, view: MessageView) -> bool:
        return bool(view.notification_url or self._accounts.notification_url(account))


def answer_of(account: str, view: MessageView, item: object) -> Accepted | Problem:
    """The answer for an item whose message was accepted before: its id, unless its key belongs to another message."""
    if view.account != account or destination_of(view.addresses) != _digits(item):
        return _conflict()
    return accepted(view)


def _digits(item: object) -> bytes:
    return item.to.removeprefix("+").encode("utf-8", "replace") if isinstance(item, MessageRequest) else b""


def _conflict() -> Problem:
    detail = "This idempotency_key was used for a message to another number. Use a new key for each message."
    return Problem(409, detail, "idempotency_key", kind="idempotency-conflict")

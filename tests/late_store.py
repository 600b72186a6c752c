"""A store whose awaitables fire late and in bursts, like those of a store on the other side of a network.

It wraps another store: calls take effect there at once and in order, and only the answers wait. Code that works with
both doesn't depend on a store in the same process.
"""

import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from relay.store.store_values import (
    NO_IDS,
    NOBODY,
    AcceptedBefore,
    FeedEntry,
    Idempotency,
    KeptReceipts,
    OtherCarrier,
    ReadAgain,
    ReplayResult,
    StoreFigures,
    StoreResult,
)
from relay.values.carrier_reports import AmbiguousReceipt, AtCarrier, QueryOutcome, Receipt, Submitted
from relay.values.charge import AccountUse, ToppedUp, TopUp
from relay.values.ended_counts import EndedCounts
from relay.values.inbound import InboundMessage, InboundPart
from relay.values.inbound_lists import InboundListed, InboundWanted
from relay.values.message_view import MessageView
from relay.values.messages import Ending, FailedOver, Message, Pending, Replacement
from relay.values.notifications import Attempt, Claim, Notification, QueueKey, Recovery


class _Answer:
    """One call's answer: what its caller waits for, and what it will be."""

    __slots__ = ("arrived", "deferred", "result")

    def __init__(self) -> None:
        self.deferred: Deferred[Any] = Deferred()
        self.result: object = None
        self.arrived = False


class LateStore:
    """A store whose answers come late and in bursts.

    :param inner: the store that does the work.
    :param seed: makes the delays repeatable.
    :param longest_seconds: between two bursts.
    """

    def __init__(self, inner: Any, clock: IReactorTime, seed: int = 1, longest_seconds: float = 0.02) -> None:
        self.inner = inner
        self._clock = clock
        self._random = random.Random(seed)
        self._longest_seconds = longest_seconds
        self._answers: deque[_Answer] = deque()
        self._waiting = False
        #: How many answers came in one burst at most, and how many calls were answered.
        self.largest_burst = 0
        self.answered = 0

    def _late(self, awaitable: Awaitable[Any]) -> "Deferred[Any]":
        answer = _Answer()
        self._answers.append(answer)
        inner = awaitable if isinstance(awaitable, Deferred) else Deferred.fromCoroutine(awaitable)  # type: ignore[arg-type]
        inner.addBoth(self._arrived, answer)
        self._schedule()
        return answer.deferred

    def _arrived(self, result: object, answer: _Answer) -> None:
        answer.result = result
        answer.arrived = True
        self._schedule()

    def _schedule(self) -> None:
        if not self._waiting and self._answers and self._answers[0].arrived:
            self._waiting = True
            self._clock.callLater(self._random.uniform(0.0, self._longest_seconds), self._burst)

    def _burst(self) -> None:
        """Answers some of the calls whose turn it is, in the order in which they were made."""
        self._waiting = False
        limit = self._random.choice((1, 2, 5, 1000))
        count = 0
        while self._answers and self._answers[0].arrived and count < limit:
            answer = self._answers.popleft()
            count += 1
            if isinstance(answer.result, Failure):
                answer.deferred.errback(answer.result)
            else:
                answer.deferred.callback(answer.result)
        self.answered += count
        self.largest_burst = max(self.largest_burst, count)
        self._schedule()

    # A store's life

    async def start(self, *arguments: Any) -> None:
        await self.inner.start(*arguments)

    async def stop(self) -> None:
        await self.inner.stop()
        while self._answers:
            last = self._answers[-1].deferred
            done: Deferred[None] = Deferred()
            last.addBoth(_passed_on, done)
            await done

    # The store

    def accept(
        self,
        messages: Sequence[Message],
        idempotency: Idempotency | None = None,
        repeatable: Set[bytes] = NO_IDS,
        day: int = 0,
    ) -> "Deferred[AcceptedBefore | None]":
        return self._late(self.inner.accept(messages, idempotency, repeatable, day))

    def submitted(self, batch: Sequence[Submitted], sent_at: Sequence[float] = ()) -> "Deferred[StoreResult]":
        return self._late(self.inner.submitted(batch, sent_at))

    def replace(self, replacement: Replacement) -> "Deferred[bool]":
        return self._late(self.inner.replace(replacement))

    def sending(self, batch: Sequence[tuple[bytes, int]], carrier: str) -> "Deferred[None]":
        return self._late(self.inner.sending(batch, carrier))

    def receipts(self, batch: Sequence[Receipt]) -> "Deferred[StoreResult]":
        return self._late(self.inner.receipts(batch))

    def kept_receipts(self, after: tuple[int, int] | None, limit: int) -> "Deferred[KeptReceipts]":
        return self._late(self.inner.kept_receipts(after, limit))

    def reread(self, batch: Sequence[ReadAgain]) -> "Deferred[StoreResult]":
        return self._late(self.inner.reread(batch))

    def dismiss_evidence(self, carrier: str) -> "Deferred[int]":
        return self._late(self.inner.dismiss_evidence(carrier))

    def end(self, batch: Sequence[Ending]) -> "Deferred[StoreResult]":
        return self._late(self.inner.end(batch))

    def expire(self, now: float, askable: Mapping[str, int] = NOBODY) -> "Deferred[StoreResult]":
        return self._late(self.inner.expire(now, askable))

    def query_outcomes(self, batch: Sequence[QueryOutcome]) -> "Deferred[StoreResult]":
        return self._late(self.inner.query_outcomes(batch))

    def at_carriers(self, message_id: bytes) -> "Deferred[Sequence[AtCarrier]]":
        return self._late(self.inner.at_carriers(message_id))

    def claim(self, queue_key: QueueKey, limit: int, now: float) -> "Deferred[Claim]":
        return self._late(self.inner.claim(queue_key, limit, now))

    def settle(self, batch: Sequence[Attempt]) -> "Deferred[None]":
        return self._late(self.inner.settle(batch))

    def release(self, batch: Sequence[Notification]) -> None:
        self.inner.release(batch)

    def bring_forward(self, place: QueueKey, recovery: Recovery) -> None:
        self.inner.bring_forward(place, recovery)

    def subscribe(self, due: Callable[[Sequence[QueueKey]], None]) -> None:
        def late(queues: Sequence[QueueKey]) -> None:
            self._clock.callLater(self._random.uniform(0.0, self._longest_seconds), due, queues)

        self.inner.subscribe(late)

    def queues(self) -> "Deferred[Sequence[QueueKey]]":
        return self._late(self.inner.queues())

    def unsubmitted(self, after: tuple[bytes, int] | None, limit: int) -> "Deferred[Sequence[Pending]]":
        return self._late(self.inner.unsubmitted(after, limit))

    def connect_routes(self, other_carrier: OtherCarrier) -> None:
        self.inner.connect_routes(other_carrier)

    def failed_over(self, limit: int) -> "Deferred[FailedOver]":
        return self._late(self.inner.failed_over(limit))

    def scheduled_due(self, now: float, limit: int) -> "Deferred[Sequence[Pending]]":
        return self._late(self.inner.scheduled_due(now, limit))

    def scheduled_count(self, account: str) -> int:
        return self.inner.scheduled_count(account)  # type: ignore[no-any-return]

    def account_use(self, account: str) -> AccountUse:
        return self.inner.account_use(account)  # type: ignore[no-any-return]

    def top_up(self, top_up: TopUp) -> "Deferred[ToppedUp]":
        return self._late(self.inner.top_up(top_up))

    def top_ups(self, account: str) -> Sequence[TopUp]:
        return self.inner.top_ups(account)  # type: ignore[no-any-return]

    def bodies(self, parts: Sequence[tuple[bytes, int]]) -> "Deferred[Sequence[bytes | None]]":
        return self._late(self.inner.bodies(parts))

    def look_up(self, message_id: bytes) -> "Deferred[MessageView | None]":
        return self._late(self.inner.look_up(message_id))

    def find_carrier_id(self, carrier_message_id: bytes) -> "Deferred[Sequence[MessageView]]":
        return self._late(self.inner.find_carrier_id(carrier_message_id))

    def receipts_out(self, carrier: str) -> "Deferred[int]":
        return self._late(self.inner.receipts_out(carrier))

    def carriers(self) -> "Deferred[Sequence[str]]":
        return self._late(self.inner.carriers())

    def owed_by_account(self) -> "Deferred[Mapping[str, int]]":
        return self._late(self.inner.owed_by_account())

    def recent(
        self, account: str, *, before: float | None = None, state: int | None = None, search: str = "", limit: int = 50
    ) -> "Deferred[Sequence[MessageView]]":
        return self._late(self.inner.recent(account, before=before, state=state, search=search, limit=limit))

    def feed(self, account: str, after: int, limit: int) -> "Deferred[Sequence[FeedEntry]]":
        return self._late(self.inner.feed(account, after, limit))

    def feed_begins(self, account: str) -> int:
        place: int = self.inner.feed_begins(account)
        return place

    def notify_again(self, account: str, ids: Sequence[bytes], now: float) -> "Deferred[ReplayResult]":
        return self._late(self.inner.notify_again(account, ids, now))

    def notify_old(self, account: str, views: Sequence[MessageView], now: float) -> "Deferred[ReplayResult]":
        return self._late(self.inner.notify_old(account, views, now))

    def given_up(self, account: str, since: float, until: float, limit: int) -> "Deferred[Sequence[bytes]]":
        return self._late(self.inner.given_up(account, since, until, limit))

    def given_up_count(self, account: str) -> int:
        return self.inner.given_up_count(account)  # type: ignore[no-any-return]

    def learnt_between(self, account: str, since: float, until: float, limit: int) -> "Deferred[Sequence[bytes]]":
        return self._late(self.inner.learnt_between(account, since, until, limit))

    def owed_since(self, account: str) -> "Deferred[float | None]":
        return self._late(self.inner.owed_since(account))

    def ended_counts(self, after: int, limit: int) -> "Deferred[EndedCounts]":
        return self._late(self.inner.ended_counts(after, limit))

    def receive(self, batch: Sequence[InboundMessage]) -> "Deferred[StoreResult]":
        return self._late(self.inner.receive(batch))

    def keep_parts(self, batch: Sequence[InboundPart]) -> "Deferred[None]":
        return self._late(self.inner.keep_parts(batch))

    def kept_parts(self) -> "Deferred[Sequence[InboundPart]]":
        return self._late(self.inner.kept_parts())

    def look_up_inbound(self, message_id: bytes) -> "Deferred[MessageView | None]":
        return self._late(self.inner.look_up_inbound(message_id))

    def inbound_feed(self, account: str, after: int, limit: int) -> "Deferred[Sequence[MessageView]]":
        return self._late(self.inner.inbound_feed(account, after, limit))

    def latest_inbound(self, account: str, wanted: InboundWanted, limit: int) -> "Deferred[Sequence[InboundListed]]":
        return self._late(self.inner.latest_inbound(account, wanted, limit))

    def repeated(self, account: str, key: str) -> "Deferred[Idempotency | None]":
        return self._late(self.inner.repeated(account, key))

    def put_setting(self, account: str, name: str, value: str | None) -> "Deferred[None]":
        return self._late(self.inner.put_setting(account, name, value))

    def settings(self) -> "Deferred[Sequence[tuple[str, str, str]]]":
        return self._late(self.inner.settings())

    def orphans(self, limit: int) -> "Deferred[Sequence[Receipt]]":
        return self._late(self.inner.orphans(limit))

    def evidence(self, limit: int) -> "Deferred[Sequence[Receipt]]":
        return self._late(self.inner.evidence(limit))

    def unreadable(self, limit: int) -> "Deferred[Sequence[Receipt]]":
        return self._late(self.inner.unreadable(limit))

    def ambiguous(self, limit: int) -> "Deferred[Sequence[AmbiguousReceipt]]":
        return self._late(self.inner.ambiguous(limit))

    def figures(self) -> StoreFigures:
        return self.inner.figures()  # type: ignore[no-any-return]


def _passed_on(result: object, done: "Deferred[None]") -> object:
    done.callback(None)
    return result

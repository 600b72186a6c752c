"""Notifications to customers' URLs.

Theory of operation: the store keeps what is owed, in queues; a queue is an account's own URL, or a URL that came with
messages. When a queue is woken, as many notifications are claimed as may be sent, and posted, at most so many at once
to one URL and in all. What ended within one turn of the reactor is settled in one call: handed over, or owed again
later by the schedule, or given up. A queue with nothing to do has no object here; `DueQueues` remembers when something
falls due in it.

So a URL that is slow or dead takes its own places only, and its circuit opens (`relay.webhooks.circuit_breaker`). While
a circuit is open, or the URL is switched off or missing, nothing is claimed but to give up what has become too old.

When a URL is back, what failed there meanwhile is brought forward (`relay.webhooks.schedule` says what may be). A
fallback URL's success counts: what waits has failed at both URLs, and the customer can be told at one of them now.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.accounts.accounts import Accounts, Target
from relay.config.urls import UrlProblem, parse_url
from relay.runtime.tasks import Tasks
from relay.store.api import NotificationStore, StoreUnavailable
from relay.values.messages import Attempt, Channel, Notification, QueueKey, Verdict
from relay.webhooks.answer import Answer, Tested, UrlState
from relay.webhooks.callbacks import parse_callback
from relay.webhooks.circuit_breaker import CircuitBreaker
from relay.webhooks.delivery import LONGEST_PAUSE_SECONDS, WebhookDelivery
from relay.webhooks.due_queues import DueQueues
from relay.webhooks.recoveries import Recoveries
from relay.webhooks.schedule import WINDOW_SECONDS, Retry, retry_after_seconds, retry_of

#: Requests under way at once, to all URLs together.
MOST_IN_FLIGHT: Final = 1000

#: Claimed at once in a queue, for so many times its places: fewer calls to the store, and little to give back.
CLAIM_AHEAD: Final = 4
MOST_CLAIMED: Final = 1000

#: How long a batch waits for company after its first notification.
BATCH_SECONDS: Final = 0.2

#: How often a queue without a usable URL is looked at for what has become too old.
PARKED_SECONDS: Final = 3600.0

#: After a failure of the store.
STORE_PAUSE_SECONDS: Final = 1.0

#: Queues brought forward in one turn of the reactor.
BROUGHT_FORWARD_A_TURN: Final = 500

#: Attempts that the store could not take yet, above which nothing new is sent.
MOST_UNSETTLED: Final = 10_000

_BREAKERS_KEPT: Final = 10_000


class _Work:
    """A queue in which something is being done.

    :ivar ready: claimed, not sent yet.
    :ivar owed: the store may have more that is due.
    :ivar batch_due_at: when a batch goes that isn't full.
    :ivar queued: waits for a place among all requests.
    """

    __slots__ = ("batch_due_at", "breaker", "claiming", "in_flight", "owed", "queue_key", "queued", "ready")

    def __init__(self, queue_key: QueueKey, breaker: CircuitBreaker) -> None:
        self.queue_key = queue_key
        self.breaker = breaker
        self.ready: deque[Notification] = deque()
        self.owed = False
        self.claiming = False
        self.in_flight = 0
        self.queued = False
        self.batch_due_at = 0.0


class Webhooks:
    """Sends owed notifications to the customers' URLs, in time and with retries.

    What it did since the start is counted in `posts`, `delivered`, `retried` and `given_up`.

    :param fraction: random numbers from 0 to 1, for the jitter.
    """

    log = Logger()

    def __init__(
        self,
        store: NotificationStore,
        accounts: Accounts,
        delivery: WebhookDelivery,
        clock: IReactorTime,
        fraction: Callable[[], float],
    ) -> None:
        self.posts = self.delivered = self.retried = self.given_up = 0
        self._store = store
        self._accounts = accounts
        self._delivery = delivery
        self._clock = clock
        self._fraction = fraction
        self._posting = Tasks(self.log)
        self._tasks = Tasks(self.log)
        self._works: dict[QueueKey, _Work] = {}
        self._breakers: dict[tuple[str, str], CircuitBreaker] = {}
        self._waiting: deque[_Work] = deque()
        self._out: dict[int, Sequence[Notification]] = {}
        self._next_out = 0
        self._recoveries = Recoveries()
        self._due = DueQueues(clock, self._fell_due)
        # What the next turn of the reactor does: settle, and serve queues.
        self._ended: list[Attempt] = []
        self._to_serve: dict[QueueKey, _Work] = {}
        self._turn: IDelayedCall | None = None
        self._unsettled = 0
        self._stopping = False
        #: POSTs that are out at once; fewer where few files may be open.
        self.most_in_flight = MOST_IN_FLIGHT
        #: Hears how long each POST took: the metrics.
        self.on_post: Callable[[float], None] | None = None
        #: Hears of every attempt once it is settled: the metrics.
        self.on_settled: Callable[[Sequence[Attempt]], None] | None = None

    # For the flow, the daemon and the API

    async def start(self) -> None:
        """Wakes every queue in which something is owed."""
        for queue_key in await self._store.queues():
            if queue_key.channel == Channel.WEBHOOK:
                self.wake(queue_key)

    def wake(self, queue_key: QueueKey) -> None:
        """Something has become due in the queue. Cheap, and harmless when nothing has."""
        if self._stopping:
            return
        work = self._works.get(queue_key)
        if work is None:
            work = self._works[queue_key] = _Work(queue_key, self._breaker(queue_key))
        work.owed = True
        self._to_serve[queue_key] = work
        self._next_turn()

    def url_changed(self, account: str) -> None:
        """The account's notification settings have changed: what waited for that is tried at once."""
        for key, breaker in self._breakers.items():
            if key[0] == account:
                breaker.reset()
        self._delivery.url_changed(account)
        self.wake(QueueKey(account, Channel.WEBHOOK))

    def url_state(self, account: str) -> UrlState:
        """How the account's own URL is doing now."""
        breaker = self._breaker(QueueKey(account, Channel.WEBHOOK))
        target = self._accounts.target(account)
        return UrlState(
            target.off if target else "",
            breaker.failures,
            breaker.open,
            breaker.blocked_until(self._clock.seconds()),
            breaker.in_flight,
        )

    async def test(self, account: str, test_id: bytes) -> Tested:
        """Sends a made-up notification, see `WebhookDelivery.test`."""
        return await self._delivery.test(account, test_id)

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._out)

    async def stop(self, limit_seconds: float = 10.0) -> None:
        """Sends nothing more, lets requests under way end within the limit, and gives the rest back to the store."""
        self._stopping = True
        self._due.stop()
        for work in self._works.values():
            self._give_back(work)
        limit = self._clock.callLater(limit_seconds, self._abandon)
        await self._posting.wait()
        if limit.active():
            limit.cancel()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        await self._tasks.wait()
        if self._ended:
            # Once more; what the store still does not take is sent again after the next start.
            ended, self._ended = self._ended, []
            await self._settle(ended)
            if self._turn is not None:
                self._turn.cancel()
                self._turn = None

    def _abandon(self) -> None:
        for batch in self._out.values():
            self._store.release(batch)
        self._out.clear()
        self._tasks.start(self._posting.cancel())

    # Queues

    def _breaker(self, queue_key: QueueKey) -> CircuitBreaker:
        where = ""
        if queue_key.url:
            try:
                where = parse_url(parse_callback(queue_key.url).url).without_query
            except UrlProblem:
                where = queue_key.url
        key = (queue_key.account, where)
        breaker = self._breakers.get(key)
        if breaker is None:
            if len(self._breakers) >= _BREAKERS_KEPT:
                self._forget_breakers()
            target = self._accounts.target(queue_key.account)
            breaker = self._breakers[key] = CircuitBreaker(target.concurrency if target else 1)
        return breaker

    def _forget_breakers(self) -> None:
        in_use = {id(work.breaker) for work in self._works.values()}
        now = self._clock.seconds()
        for key, breaker in list(self._breakers.items()):
            if id(breaker) not in in_use and breaker.blocked_until(now) is None:
                del self._breakers[key]
                self._recoveries.forget(breaker)

    def _usable(self, queue_key: QueueKey) -> Target | None:
        """Where the queue's notifications go now; None while there is nowhere."""
        target = self._accounts.target(queue_key.account)
        if target is None or queue_key.url:
            return target
        if target.url is None or (target.off and target.fallback_url is None):
            return None
        return target

    def _fell_due(self, queue_key: QueueKey) -> None:
        if self._usable(queue_key) is None or self._breaker(queue_key).open:
            self._tasks.start(self._give_up_old(queue_key))
        else:
            self.wake(queue_key)

    async def _give_up_old(self, queue_key: QueueKey) -> None:
        """Gives up what waited longer than the schedule is long, for a URL that can't be used; then goes on."""
        now = self._clock.seconds()
        try:
            claim = await self._store.claim(queue_key, MOST_CLAIMED, now)
        except StoreUnavailable:
            self._due.at(queue_key, now + STORE_PAUSE_SECONDS)
            return
        old = [n for n in claim.notifications if _is_old(n, now)]
        if len(old) < len(claim.notifications):
            self._store.release([n for n in claim.notifications if not _is_old(n, now)])
        if old:
            self.given_up += len(old)
            self._ended += [Attempt(n, Verdict.GIVEN_UP, now, 0.0, "url unusable") for n in old]
        if claim.notifications or claim.next_due_at is not None:
            self.wake(queue_key)

    def _next_turn(self, delay_seconds: float = 0.0) -> None:
        if self._turn is None:
            self._turn = self._clock.callLater(delay_seconds, self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        if self._ended:
            ended, self._ended = self._ended, []
            self._tasks.start(self._settle(ended))
        # After `_settle`: what failed in the same turn is known to the store now.
        self._bring_forward()
        to_serve, self._to_serve = self._to_serve, {}
        for work in to_serve.values():
            self._serve(work)
        waiting = self._waiting
        while waiting and len(self._out) < self.most_in_flight:
            work = waiting.popleft()
            work.queued = False
            self._serve(work)

    def _bring_forward(self) -> None:
        for queue_key, recovery in self._recoveries.take(BROUGHT_FORWARD_A_TURN):
            self._store.bring_forward(queue_key, recovery)
            # Asks for a next turn, which takes the next ones.
            self.wake(queue_key)

    def _serve(self, work: _Work) -> None:
        """Sends what the queue may send, claims more where there is room, and drops the queue when it is done."""
        if self._stopping:
            self._give_back(work)
            return
        queue_key, breaker = work.queue_key, work.breaker
        now = self._clock.seconds()
        ready = work.ready
        while True:
            target = self._usable(queue_key)
            if target is None:
                self._park(work, now + PARKED_SECONDS)
                return
            breaker.most = target.concurrency
            batch = 1 if queue_key.url else target.batch
            if breaker.room(now) <= 0:
                blocked_until = breaker.blocked_until(now)
                if blocked_until is not None:
                    self._park(work, blocked_until)
                elif not work.in_flight:
                    # Other queues have the URL's places; the end of a request of theirs brings us back.
                    self._queue(work, breaker.waiting)
                return
            if len(self._out) >= self.most_in_flight or self._unsettled + len(self._ended) >= MOST_UNSETTLED:
                self._queue(work, self._waiting)
                return
            if not ready or (len(ready) < batch and now < work.batch_due_at):
                break
            if batch == 1:
                self._post(work, target, (ready.popleft(),), now)
            else:
                self._post(work, target, [ready.popleft() for _ in range(min(batch, len(ready)))], now)
                work.batch_due_at = now + BATCH_SECONDS
        if work.owed and not work.claiming and len(ready) < batch:
            limit = 1 if breaker.open else min(MOST_CLAIMED, CLAIM_AHEAD * target.concurrency)
            self._tasks.start(self._claim(work, max(limit, batch), batch))
        elif ready:
            self._due.at(queue_key, work.batch_due_at)
        else:
            self._drop_if_idle(work)

    async def _claim(self, work: _Work, limit: int, batch: int) -> None:
        queue_key = work.queue_key
        now = self._clock.seconds()
        work.claiming = True
        work.owed = False
        try:
            claim = await self._store.claim(queue_key, limit, now)
        except StoreUnavailable:
            self._due.at(queue_key, now + STORE_PAUSE_SECONDS)
            return
        finally:
            work.claiming = False
        if batch > 1 and claim.notifications and not work.ready:
            work.batch_due_at = now + BATCH_SECONDS
        work.ready.extend(claim.notifications)
        if claim.next_due_at is not None:
            if claim.next_due_at <= now and claim.notifications:
                work.owed = True
            else:
                self._due.at(queue_key, max(claim.next_due_at, now + 0.01))
        self._serve(work)

    def _queue(self, work: _Work, queue: deque[_Work]) -> None:
        if not work.queued:
            work.queued = True
            queue.append(work)

    def _park(self, work: _Work, until: float) -> None:
        self._give_back(work)
        self._due.at(work.queue_key, until)
        self._drop_if_idle(work)

    def _give_back(self, work: _Work) -> None:
        if work.ready:
            self._store.release(list(work.ready))
            work.ready.clear()

    def _drop_if_idle(self, work: _Work) -> None:
        if not (work.in_flight or work.claiming or work.ready or work.queued):
            self._works.pop(work.queue_key, None)

    # Requests

    def _post(self, work: _Work, target: Target, batch: Sequence[Notification], now: float) -> None:
        work.in_flight += 1
        work.breaker.began()
        self.posts += 1
        number = self._next_out
        self._next_out += 1
        self._out[number] = batch
        self._posting.start(self._attempt(work, target, batch, number, now))

    async def _attempt(
        self, work: _Work, target: Target, batch: Sequence[Notification], number: int, began_at: float
    ) -> None:
        queue_key = work.queue_key
        try:
            answer, text = await self._delivery.deliver(queue_key, target, batch, began_at)
        except CancelledError:
            answer, text = Answer(0, "stopped"), "stopped"
        except Exception:
            self.log.failure("webhook_broken: a webhook of {account} could not be sent", account=queue_key.account)
            answer, text = Answer(0, "internal error"), "internal error"
        work.in_flight -= 1
        if self._out.pop(number, None) is None:
            # Given back already, by a stop that could wait no longer.
            work.breaker.abandoned()
            return
        now = self._clock.seconds()
        seconds = now - began_at
        if self.on_post is not None:
            self.on_post(seconds)
        if answer.ok:
            self._recoveries.came_back(work.breaker, work.breaker.succeeded())
            self.delivered += len(batch)
            for notification in batch:
                self._ended.append(Attempt(notification, Verdict.DELIVERED, now, 0.0, text, seconds))
        else:
            asked = retry_after_seconds(answer.retry_after, now)
            pause = min(asked, LONGEST_PAUSE_SECONDS) if answer.code in (429, 503) else 0.0
            work.breaker.failed(
                now, throttled=answer.code == 429, retry_after_seconds=pause, unreached=answer.unreached
            )
            # One draw for the whole batch: it comes back together.
            fraction = self._fraction()
            for notification in batch:
                retry = retry_of(notification, answer, now, fraction, asked_seconds=asked, paused_seconds=pause)
                self._failed(work, notification, retry, text, now, seconds)
        breaker = work.breaker
        if work.owed or work.ready:
            self._to_serve[queue_key] = work
        else:
            self._drop_if_idle(work)
        while breaker.waiting:
            other: _Work = breaker.waiting.popleft()
            other.queued = False
            self._to_serve[other.queue_key] = other
            if breaker.in_flight and not breaker.open:
                break
        self._next_turn()

    def _failed(
        self, work: _Work, notification: Notification, retry: Retry | None, text: str, now: float, seconds: float
    ) -> None:
        if retry is None:
            self.given_up += 1
            self._ended.append(Attempt(notification, Verdict.GIVEN_UP, now, 0.0, text, seconds))
            return
        self.retried += 1
        self._ended.append(
            Attempt(notification, Verdict.RETRY, now, retry.due_at, text, seconds, retry.brought_forward_by)
        )
        self._recoveries.delayed(work.breaker, work.queue_key, retry, now)
        self._due.at(work.queue_key, retry.due_at)

    async def _settle(self, ended: Sequence[Attempt]) -> None:
        self._unsettled += len(ended)
        try:
            await self._store.settle(ended)
        except StoreUnavailable:
            # The store knows it all the same and writes it when it can. Settled again, a retry that has been made
            # meanwhile would be made once more.
            pass
        finally:
            self._unsettled -= len(ended)
        if self.on_settled is not None:
            self.on_settled(ended)


def _is_old(notification: Notification, now: float) -> bool:
    return now - (notification.owed_since or notification.done_at) > WINDOW_SECONDS

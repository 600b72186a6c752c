"""Notifications to customers' URLs.

Theory of operation: the store keeps what is owed, in queues, and says when something is due; a queue is an account's
own URL, or a URL that came with messages. A queue that is woken waits at its origin until it may send
(`relay.webhooks.places` shares the places out). Then as many notifications are claimed as may be sent, and posted. What
ended within one turn of the reactor is settled in one call: handed over, or owed again later by the schedule, or given
up. A queue with nothing to send passes its turn on. A queue with nothing to do has no object here.

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
from relay.runtime.alarms import Alarms
from relay.runtime.tasks import Tasks
from relay.store.api import NotificationStore, StoreUnavailable
from relay.values.inbound import INBOUND_URL
from relay.values.messages import Attempt, Channel, Notification, QueueKey, Recovery, Verdict
from relay.webhooks.answer import Answer, Tested, UrlState
from relay.webhooks.callbacks import parse_callback
from relay.webhooks.delivery import LONGEST_PAUSE_SECONDS, WebhookDelivery
from relay.webhooks.outcomes import Outcomes
from relay.webhooks.places import Destination, Origin, Path, Places
from relay.webhooks.schedule import WINDOW_SECONDS, retry_after_seconds, retry_of

#: Claimed at once in a queue, for so many times its places: fewer calls to the store, and little to give back.
CLAIM_AHEAD: Final = 4
MOST_CLAIMED: Final = 1000

#: Queues served in one turn of the reactor; a claim and a request cost some 0.2 ms.
SERVED_A_TURN: Final = 100

#: How long a batch waits for company after its first notification.
BATCH_SECONDS: Final = 0.2

#: How often a queue without a usable URL is looked at for what has become too old.
PARKED_SECONDS: Final = 3600.0

#: After a failure of the store.
STORE_PAUSE_SECONDS: Final = 1.0


class _Work:
    """A queue in which something is being done.

    :ivar path: the name of its URL's path; "" for the account's own URL.
    :ivar ready: claimed, not sent yet.
    :ivar owed: the store may have more that is due.
    :ivar batch_due_at: when a batch goes that isn't full.
    """

    __slots__ = ("batch_due_at", "claiming", "in_flight", "origin", "owed", "path", "queue_key", "ready")

    def __init__(self, queue_key: QueueKey, origin: Origin, path: str) -> None:
        self.queue_key = queue_key
        self.origin = origin
        self.path = path
        self.ready: deque[Notification] = deque()
        self.owed = True
        self.claiming = False
        self.in_flight = 0
        self.batch_due_at = 0.0


class Webhooks:
    """Sends owed notifications to the customers' URLs, in time and with retries.

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
        self._store = store
        self._accounts = accounts
        self._delivery = delivery
        self._clock = clock
        self._fraction = fraction
        self._posting = Tasks(self.log)
        self._tasks = Tasks(self.log)
        self.outcomes = Outcomes(store, self._tasks, self._store_took_some)
        self.places = Places()
        self._works: dict[QueueKey, _Work] = {}
        self._alarms: Alarms[QueueKey | Destination] = Alarms(clock, self._alarms_due)
        self._out: dict[int, Sequence[Notification]] = {}
        self._next_out = 0
        self._turn: IDelayedCall | None = None
        self._store_broken_until = 0.0
        self._stopping = False
        #: Hears how long each POST took: the metrics.
        self.on_post: Callable[[float], None] | None = None

    # For the flow, the daemon and the API

    async def start(self) -> None:
        """Wakes every queue in which something is due."""
        for queue_key in await self._store.queues():
            if queue_key.channel == Channel.WEBHOOK:
                self.wake(queue_key)

    def wake(self, queue_key: QueueKey) -> None:
        """Something has become due in the queue. Cheap, and harmless when nothing has."""
        if self._stopping:
            return
        work = self._works.get(queue_key)
        if work is None:
            origin = self._origin(queue_key)
        else:
            work.owed = True
            origin = work.origin
        self.places.wait(origin, queue_key)
        self._next_turn()

    def url_changed(self, account: str) -> None:
        """The account's notification settings have changed: what waited for that is tried at once."""
        for destination in self.places.destinations(account):
            destination.breaker.reset()
            self._opened(destination)
        self._delivery.url_changed(account)
        self.wake(QueueKey(account, Channel.WEBHOOK))
        self.wake(QueueKey(account, Channel.WEBHOOK, INBOUND_URL))

    def url_state(self, account: str) -> UrlState:
        """How the account's own URL is doing now."""
        breaker = self._origin(QueueKey(account, Channel.WEBHOOK)).breaker
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

    async def stop(self, limit_seconds: float) -> None:
        """Sends nothing more, lets requests under way end within the limit, and gives the rest back to the store."""
        self._stopping = True
        self._alarms.stop()
        for work in self._works.values():
            self._give_back(work)
        limit = self._clock.callLater(limit_seconds, self._abandon)
        await self._posting.wait()
        if limit.active():
            limit.cancel()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self.outcomes.settle()
        await self._tasks.wait()

    def _abandon(self) -> None:
        for batch in self._out.values():
            self._store.release(batch)
        self._out.clear()
        self._tasks.start(self._posting.cancel())

    # Turns

    def _next_turn(self) -> None:
        if self._turn is None:
            self._turn = self._clock.callLater(0.0, self._take_turn)

    def _store_took_some(self) -> None:
        if self.places.anybody_waits and not self._stopping:
            self._next_turn()

    def _take_turn(self) -> None:
        self._turn = None
        self.outcomes.settle()
        if self._stopping:
            return
        now = self._clock.seconds()
        if now < self._store_broken_until:
            return
        places = self.places
        for _ in range(SERVED_A_TURN):
            if self.outcomes.full:
                # A turn follows when the store has taken some of it.
                return
            origin = places.next_origin()
            if origin is None:
                return
            self._serve(origin, now)
        if places.anybody_waits:
            self._next_turn()

    def _serve(self, origin: Origin, now: float) -> None:
        """Lets one queue of an origin send, where the origin has room."""
        queue_key = next(iter(origin.waiting))
        target = self._usable(queue_key)
        if target is None:
            self._park(origin, queue_key, now)
            return
        origin.breaker.most = target.concurrency
        if origin.room(now) <= 0:
            # The end of a request, or the alarm, brings the origin back into the line.
            self._alarm_of(origin, now)
            return
        del origin.waiting[queue_key]
        work = self._works.get(queue_key)
        if work is None:
            work = self._works[queue_key] = _Work(queue_key, origin, self._names(queue_key)[1])
        path = origin.account.paths.all.get(work.path)
        if path is not None and path.room(now) <= 0:
            path.waiting[queue_key] = None
            self._give_back(work)
            self._alarm_of(path, now)
            self._drop_if_idle(work)
        else:
            batch = 1 if queue_key.url else target.batch
            if work.owed and not work.claiming and len(work.ready) < batch:
                self._tasks.start(self._claim(work, path, batch, target.concurrency))
            else:
                self._send(work, target, now)
        self.places.line_up(origin)

    async def _claim(self, work: _Work, path: Path | None, batch: int, concurrency: int) -> None:
        queue_key, origin = work.queue_key, work.origin
        now = self._clock.seconds()
        probing = origin.breaker.open or (path is not None and path.breaker.open)
        limit = MOST_CLAIMED if probing else max(batch, min(MOST_CLAIMED, CLAIM_AHEAD * concurrency))
        work.claiming = True
        work.owed = False
        origin.claiming += 1
        try:
            claim = await self._store.claim(queue_key, limit, now)
        except StoreUnavailable:
            work.owed = True
            self._store_broken_until = now + STORE_PAUSE_SECONDS
            self._alarms.at(queue_key, self._store_broken_until)
            return
        finally:
            work.claiming = False
            origin.claiming -= 1
        notifications = claim.notifications
        if self._stopping:
            self._store.release(notifications)
            return
        work.owed = work.owed or claim.more
        if probing:
            notifications = self._one_to_probe_with(work, notifications, batch, now)
        if batch > 1 and notifications and not work.ready:
            work.batch_due_at = now + BATCH_SECONDS
        work.ready.extend(notifications)
        target = self._usable(queue_key)
        if target is None:
            self._park(origin, queue_key, now)
        else:
            self._send(work, target, now)
        self.places.line_up(origin)
        self._next_turn()

    def _one_to_probe_with(
        self, work: _Work, claimed: Sequence[Notification], batch: int, now: float
    ) -> Sequence[Notification]:
        """Of what was claimed for an open circuit: gives up what waited longer than the schedule is long, and gives
        what the probe sends. The rest goes back to the store."""
        fresh = self._without_old(claimed, now)
        if len(fresh) > batch:
            self._store.release(fresh[batch:])
            work.owed = True
        return fresh[:batch]

    def _without_old(self, claimed: Sequence[Notification], now: float) -> Sequence[Notification]:
        old = [n for n in claimed if _is_old(n, now)]
        if not old:
            return claimed
        self.outcomes.add([Attempt(n, Verdict.GIVEN_UP, now, 0.0, "url unusable") for n in old])
        self._next_turn()
        return [n for n in claimed if not _is_old(n, now)]

    def _send(self, work: _Work, target: Target, now: float) -> None:
        """Posts what the queue has ready, as far as there is room; the queue waits again for the rest."""
        queue_key, origin, ready, places = work.queue_key, work.origin, work.ready, self.places
        batch = 1 if queue_key.url else target.batch
        path = origin.account.paths.all.get(work.path) if work.path else None
        while ready and (len(ready) >= batch or now >= work.batch_due_at):
            if (
                self._stopping
                or origin.room(now) <= 0
                or not places.may_begin(origin.account)
                or (path is not None and path.room(now) <= 0)
                # A 410 to the last one may have switched the URL off.
                or self._usable(queue_key) is None
            ):
                break
            if batch == 1:
                self._post(work, path, target, (ready.popleft(),), now)
            else:
                self._post(work, path, target, [ready.popleft() for _ in range(min(batch, len(ready)))], now)
                work.batch_due_at = now + BATCH_SECONDS
        if len(ready) >= batch or (ready and now >= work.batch_due_at) or (work.owed and not work.claiming):
            places.wait(origin, queue_key)
        elif ready:
            self._alarms.at(queue_key, work.batch_due_at)
        else:
            self._drop_if_idle(work)

    # Queues that can't send

    def _usable(self, queue_key: QueueKey) -> Target | None:
        """Where the queue's notifications go now; None while there is nowhere."""
        target = self._accounts.target(queue_key.account)
        if target is None or (queue_key.url and queue_key.url != INBOUND_URL):
            return target
        if queue_key.url:
            return None if target.inbound_url is None else target
        if target.url is None or (target.off and target.fallback_url is None):
            return None
        return target

    def _names(self, queue_key: QueueKey) -> tuple[str, str]:
        """The names of the queue's origin and path."""
        if not queue_key.url:
            return "", ""
        text = queue_key.url
        if text == INBOUND_URL:
            target = self._accounts.target(queue_key.account)
            text = (target.inbound_url if target else None) or INBOUND_URL
        try:
            url = parse_url(parse_callback(text).url)
        except UrlProblem:
            return queue_key.url, queue_key.url
        return url.origin, url.without_query

    def _origin(self, queue_key: QueueKey) -> Origin:
        target = self._accounts.target(queue_key.account)
        return self.places.origin(queue_key.account, self._names(queue_key)[0], target.concurrency if target else 1)

    def _alarm_of(self, destination: Destination, now: float) -> None:
        """Sets an alarm for a destination that is blocked by time. Where only requests take up its room, the end of
        one of them brings it back."""
        until = destination.breaker.blocked_until(now)
        if until is not None:
            self._alarms.at(destination, until)

    def _park(self, origin: Origin, queue_key: QueueKey, now: float) -> None:
        """Leaves a queue alone that has no usable URL, and looks now and then for what has become too old there."""
        origin.waiting.pop(queue_key, None)
        work = self._works.get(queue_key)
        if work is not None:
            self._give_back(work)
            self._drop_if_idle(work)
        self._alarms.at(queue_key, now + PARKED_SECONDS)
        self.places.line_up(origin)

    def _alarms_due(self, keys: Sequence[QueueKey | Destination]) -> None:
        for key in keys:
            if isinstance(key, Destination):
                self._opened(key)
            elif self._usable(key) is None:
                self._tasks.start(self._give_up_old(key))
            else:
                self.wake(key)

    def _opened(self, destination: Destination) -> None:
        """A destination may have room again: the queues that wait there stand in line again."""
        if isinstance(destination, Origin):
            self.places.line_up(destination)
        else:
            room = destination.room(self._clock.seconds())
            while destination.waiting and room > 0:
                queue_key = next(iter(destination.waiting))
                del destination.waiting[queue_key]
                self.wake(queue_key)
                room -= 1
        self._next_turn()

    async def _give_up_old(self, queue_key: QueueKey) -> None:
        """Gives up what waited longer than the schedule is long, for a URL that can't be used."""
        now = self._clock.seconds()
        try:
            claim = await self._store.claim(queue_key, MOST_CLAIMED, now)
        except StoreUnavailable:
            self._alarms.at(queue_key, now + STORE_PAUSE_SECONDS)
            return
        fresh = self._without_old(claim.notifications, now)
        if fresh:
            self._store.release(fresh)
        if claim.more and not fresh:
            self._alarms.at(queue_key, now)
        elif fresh:
            self._alarms.at(queue_key, now + PARKED_SECONDS)

    def _give_back(self, work: _Work) -> None:
        if work.ready:
            self._store.release(list(work.ready))
            work.ready.clear()
            work.owed = True

    def _drop_if_idle(self, work: _Work) -> None:
        if not (work.in_flight or work.claiming or work.ready):
            self._works.pop(work.queue_key, None)
            self.places.leave(work.origin, self._clock.seconds())

    # Requests

    def _post(self, work: _Work, path: Path | None, target: Target, batch: Sequence[Notification], now: float) -> None:
        work.in_flight += 1
        self.places.began(work.origin, path)
        number = self._next_out
        self._next_out += 1
        self._out[number] = batch
        self._posting.start(self._attempt(work, path, target, batch, number, now))

    async def _attempt(
        self,
        work: _Work,
        path: Path | None,
        target: Target,
        batch: Sequence[Notification],
        number: int,
        began_at: float,
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
        now = self._clock.seconds()
        if self._out.pop(number, None) is None:
            # Given back already, by a stop that could wait no longer.
            work.origin.breaker.abandoned()
            if path is not None:
                path.breaker.abandoned()
            self.places.ended(work.origin)
            return
        seconds = now - began_at
        if self.on_post is not None:
            self.on_post(seconds)
        if answer.ok:
            self._answered_well(work, path)
            self.outcomes.add([Attempt(n, Verdict.DELIVERED, now, 0.0, text, seconds) for n in batch])
        else:
            self._failed(work, path, batch, answer, text, now, seconds)
        self.places.ended(work.origin)
        if work.owed or work.ready:
            self.places.wait(work.origin, queue_key)
        else:
            self._drop_if_idle(work)
        if path is not None:
            self._opened(path)
            self.places.leave(path, now)
        self._next_turn()

    def _answered_well(self, work: _Work, path: Path | None) -> None:
        self._came_back(work, work.origin, work.origin.breaker.succeeded())
        if path is not None:
            self._came_back(work, path, path.breaker.succeeded())

    def _came_back(self, work: _Work, destination: Destination, recovery: Recovery) -> None:
        if recovery:
            self.outcomes.came_back(QueueKey(work.queue_key.account, Channel.WEBHOOK, destination.name), recovery)

    def _failed(
        self,
        work: _Work,
        path: Path | None,
        batch: Sequence[Notification],
        answer: Answer,
        text: str,
        now: float,
        seconds: float,
    ) -> None:
        asked = retry_after_seconds(answer.retry_after, now)
        pause = min(asked, LONGEST_PAUSE_SECONDS) if answer.code in (429, 503) else 0.0
        place = self._count_failure(work, path, answer, pause, now)
        # One draw for the whole batch: it comes back together.
        fraction = self._fraction()
        for n in batch:
            retry = retry_of(n, answer, now, fraction, asked_seconds=asked, paused_seconds=pause)
            if retry is None:
                attempt = Attempt(n, Verdict.GIVEN_UP, now, 0.0, text, seconds)
            else:
                attempt = Attempt(
                    n, Verdict.RETRY, now, retry.due_at, text, seconds, retry.brought_forward_by, place.name
                )
            self.outcomes.add([attempt])

    def _count_failure(
        self, work: _Work, path: Path | None, answer: Answer, pause_seconds: float, now: float
    ) -> Destination:
        """Counts a failure where it belongs, and gives that place: no answer is the origin's failure, a status the
        path's. An account's own URL has one place for both."""
        origin = work.origin
        place: Destination = origin
        if work.path:
            if answer.code:
                self._came_back(work, origin, origin.breaker.succeeded())
                if path is None:
                    path = self.places.failing_path(origin.account, work.path)
                    path.breaker.began()
                place = path
            elif path is not None:
                path.breaker.abandoned()
        place.breaker.failed(
            now, throttled=answer.code == 429, retry_after_seconds=pause_seconds, unreached=answer.unreached
        )
        self.places.leave(place, now)
        return place


def _is_old(notification: Notification, now: float) -> bool:
    return now - (notification.owed_since or notification.done_at) > WINDOW_SECONDS

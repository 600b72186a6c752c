"""Sends owed notifications to customers' URLs.

Theory of operation: the store keeps owed notifications in queues, and announces when one of them is due. Each
queue belongs to an account's own URL, or to a URL that came with messages. A queue that has work waits at its origin
until it may send (`relay.webhooks.places` decides when). Then the relay claims as many notifications as it may send
(`relay.webhooks.queue_claims`), and sends them (`relay.webhooks.attempts`). One call settles all attempts that ended in
one turn of the reactor: delivered, to be tried again by the schedule, or given up. If a queue has no notification to
send, the next queue gets the turn. An idle queue has no object here.

So a slow or dead URL uses only its own places, and its circuit opens (`relay.webhooks.circuit_breaker`). While a
circuit is open, the relay claims notifications only for a test request, and to give up those that are too old. If the
URL is switched off or missing, the relay claims notifications only to give up those that are too old.

When a URL works again, the store brings forward the retries that failed there (`relay.webhooks.schedule` has the rule).
A success at the fallback URL counts too: the retries failed at both URLs, and one of them works now.
"""

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.accounts.accounts import Accounts, Target
from relay.config.urls import UrlProblem, origin_and_path
from relay.runtime.alarms import Alarms
from relay.runtime.tasks import Tasks
from relay.store.api import NotificationStore
from relay.values.inbound import INBOUND_URL
from relay.values.notifications import Channel, Notification, QueueKey
from relay.values.wire_tap import WireTap
from relay.values.work_gate import ALWAYS_OPEN, WorkGate
from relay.webhooks.answer import Tested, UrlState
from relay.webhooks.attempts import Attempts
from relay.webhooks.callbacks import parse_callback
from relay.webhooks.delivery import WebhookDelivery
from relay.webhooks.outcomes import Outcomes
from relay.webhooks.places import Destination, Origin, Path, Places
from relay.webhooks.queue_claims import BATCH_SECONDS, PARKED_SECONDS, QueueClaims
from relay.webhooks.queue_work import QueueWork
from relay.webhooks.request import WebhookRequest
from relay.webhooks.url_health import UrlHealth

#: How many queues may be served in one turn of the reactor. A claim and a request cost about 0.2 ms.
SERVED_A_TURN: Final = 100

#: How many queues of one origin are served before the next origin's turn.
SERVED_AT_ONCE: Final = 10


class Webhooks:
    """Sends owed notifications to the customers' URLs when they are due, and tries failed ones again.

    :param fraction: returns random numbers from 0 to 1, for the jitter.
    :param gate: whether requests may be sent now. Whoever opens it wakes all queues.
    """

    log = Logger()

    def __init__(
        self,
        store: NotificationStore,
        accounts: Accounts,
        delivery: WebhookDelivery,
        clock: IReactorTime,
        fraction: Callable[[], float],
        gate: WorkGate = ALWAYS_OPEN,
    ) -> None:
        self._store = store
        self._gate = gate
        self._accounts = accounts
        self._delivery = delivery
        self._clock = clock
        self._tasks = Tasks(self.log)
        self.outcomes = Outcomes(store, self._tasks, self._store_took_some)
        self.places = Places()
        self.attempts = Attempts(store, delivery, self.places, self.outcomes, clock, fraction, self._ended)
        self._claims = QueueClaims(store, self.outcomes, clock)
        self._works: dict[QueueKey, QueueWork] = {}
        self._alarms: Alarms[QueueKey | Destination] = Alarms(clock, self._alarms_due)
        self._turn: IDelayedCall | None = None
        self._stopping = False

    # For the message flow, the daemon and the API

    async def start(self) -> None:
        """Wakes every queue of webhooks with due notifications."""
        for queue_key in await self._store.queues():
            if queue_key.channel == Channel.WEBHOOK:
                self.wake(queue_key)

    def wake(self, queue_key: QueueKey) -> None:
        """Makes the queue send its due notifications.

        The call costs little, and does no harm if nothing is due.
        """
        if self._stopping:
            return
        work = self._works.get(queue_key)
        if work is None:
            origin, path = self._place_of(queue_key)
        else:
            work.owed = True
            origin, path = work.origin, work.path
        self.places.wait(origin, queue_key, path)
        self._next_turn()

    def url_changed(self, account: str) -> None:
        """Tries the account's notifications at once, because its notification settings have changed."""
        for destination in self.places.destinations(account):
            destination.breaker.reset()
            self._opened(destination)
        self._delivery.url_changed(account)
        self.attempts.health.url_changed(account)
        self.wake(QueueKey(account, Channel.WEBHOOK))
        self.wake(QueueKey(account, Channel.WEBHOOK, INBOUND_URL))

    def url_state(self, account: str) -> UrlState:
        """Returns the present state of the account's own URL."""
        breaker = self._place_of(QueueKey(account, Channel.WEBHOOK))[0].breaker
        target = self._accounts.target(account)
        return UrlState(
            target.off if target else "",
            breaker.failures,
            breaker.open,
            breaker.blocked_until(self._clock.seconds()),
            breaker.in_flight,
        )

    def url_health(self, account: str) -> UrlHealth:
        """Returns how the attempts at the account's own URL have ended."""
        return self.attempts.health.health(account)

    def built_again(self, notification: Notification, at: float) -> WebhookRequest | None:
        """Makes the request of an earlier attempt again, see `WebhookDelivery.built_again`."""
        return self._delivery.built_again(notification, at)

    def tap(self, account: str, tap: WireTap | None) -> None:
        """Gives an operator's trace what goes to an account's URLs, see `WebhookDelivery.tap`."""
        self._delivery.tap(account, tap)

    async def test(self, account: str, test_id: bytes) -> Tested:
        """Sends a test notification, see `WebhookDelivery.test`."""
        return await self._delivery.test(account, test_id)

    async def stop(self, limit_seconds: float) -> None:
        """Stops sending, and waits until the requests under way have ended.

        :param limit_seconds: after this time, the relay cancels the requests and releases their notifications.
        """
        self._stopping = True
        self._claims.stop()
        self._alarms.stop()
        for work in self._works.values():
            self._claims.give_back(work)
        limit = self._clock.callLater(limit_seconds, lambda: self._tasks.start(self.attempts.abandon()))
        await self.attempts.wait()
        if limit.active():
            limit.cancel()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self.outcomes.settle()
        await self._tasks.wait()

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
        if now < self._claims.store_broken_until or not self._gate.open:
            return
        places, left = self.places, SERVED_A_TURN
        while left > 0:
            if self.outcomes.full:
                # The next turn comes when the store has settled some attempts.
                return
            origin = places.next_origin()
            if origin is None:
                return
            left -= self._serve(origin, now)
        if places.anybody_waits:
            self._next_turn()

    def _serve(self, origin: Origin, now: float) -> int:
        """Lets queues of an origin send while the origin has room; returns how many queues it looked at."""
        account, waiting = origin.account, origin.waiting
        served = 0
        while waiting and served < SERVED_AT_ONCE:
            served += 1
            queue_key, path_name = next(iter(waiting.items()))
            target = self._usable(queue_key)
            if target is None:
                self._park(origin, queue_key, now)
                continue
            origin.breaker.most = target.concurrency
            if origin.room(now) <= 0:
                # When a request ends, or at the alarm, the origin comes back into the line.
                self._alarm_of(origin, now)
                return served
            if not self.places.may_begin(account):
                break
            del waiting[queue_key]
            work = self._works.get(queue_key)
            if work is None:
                work = self._works[queue_key] = QueueWork(queue_key, origin, path_name)
            path = account.paths.all.get(path_name) if path_name else None
            if path is not None and path.room(now) <= 0:
                path.waiting[queue_key] = path_name
                self._claims.give_back(work)
                self._alarm_of(path, now)
                self._drop_if_idle(work, now)
                continue
            batch = 1 if queue_key.url else target.batch
            if work.owed and not work.claiming and len(work.ready) < batch:
                self._tasks.start(self._claim(work, path, batch, target.concurrency, now))
            else:
                self._send(work, target, now)
        self.places.line_up(origin)
        return served

    async def _claim(self, work: QueueWork, path: Path | None, batch: int, concurrency: int, now: float) -> None:
        queue_key = work.queue_key
        if not await self._claims.claim(work, path, batch, concurrency, now):
            if not self._stopping:
                self._alarms.at(queue_key, self._claims.store_broken_until)
            return
        now = self._clock.seconds()
        target = self._usable(queue_key)
        if target is None:
            self._park(work.origin, queue_key, now)
        else:
            self._send(work, target, now)
        self.places.line_up(work.origin)
        self._next_turn()

    def _send(self, work: QueueWork, target: Target, now: float) -> None:
        """Sends the queue's ready notifications while there is room; the queue waits again with the rest."""
        queue_key, origin, ready, places = work.queue_key, work.origin, work.ready, self.places
        batch = 1 if queue_key.url else target.batch
        path = origin.account.paths.all.get(work.path) if work.path else None
        begun = False
        while ready and (len(ready) >= batch or now >= work.batch_due_at):
            if (
                self._stopping
                or not self._gate.open
                or origin.room(now) <= 0
                or not places.may_begin(origin.account)
                or (path is not None and path.room(now) <= 0)
                # The answer to the request before may be 410, which switches the URL off.
                or (begun and self._usable(queue_key) is None)
            ):
                break
            begun = True
            if batch == 1:
                self.attempts.begin(work, path, target, (ready.popleft(),), now)
            else:
                self.attempts.begin(work, path, target, [ready.popleft() for _ in range(min(batch, len(ready)))], now)
                work.batch_due_at = now + BATCH_SECONDS
        if len(ready) >= batch or (ready and now >= work.batch_due_at) or (work.owed and not work.claiming):
            places.wait(origin, queue_key, work.path)
        elif ready:
            self._alarms.at(queue_key, work.batch_due_at)
        else:
            self._drop_if_idle(work, now)

    # Queues that can't send

    def _usable(self, queue_key: QueueKey) -> Target | None:
        """Returns the target of the queue's notifications; None while the account has no usable URL for them."""
        target = self._accounts.target(queue_key.account)
        if target is None or (queue_key.url and queue_key.url != INBOUND_URL):
            return target
        if queue_key.url:
            return None if target.inbound_url is None else target
        if target.url is None or (target.off and target.fallback_url is None):
            return None
        return target

    def _place_of(self, queue_key: QueueKey) -> tuple[Origin, str]:
        """Returns the queue's origin, and the name of its path."""
        account, _, url = queue_key
        origin = path = ""
        if url == INBOUND_URL:
            target = self._accounts.target(account)
            url = (target.inbound_url if target is not None else None) or INBOUND_URL
        if url:
            try:
                origin, path = origin_and_path(url if url.startswith("http") else parse_callback(url).url)
            except UrlProblem:
                origin = path = url
        return self.places.origin(account, origin, self._concurrency), path

    def _concurrency(self, account: str) -> int:
        target = self._accounts.target(account)
        return target.concurrency if target is not None else 1

    def _alarm_of(self, destination: Destination, now: float) -> None:
        """Sets an alarm for the end of a destination's pause or open circuit.

        If only requests under way take up the room, there is no alarm: the end of a request makes room.
        """
        until = destination.breaker.blocked_until(now)
        if until is not None:
            self._alarms.at(destination, until)

    def _park(self, origin: Origin, queue_key: QueueKey, now: float) -> None:
        """Puts a queue without a usable URL aside; an alarm later looks for notifications that are too old."""
        origin.waiting.pop(queue_key, None)
        work = self._works.get(queue_key)
        if work is not None:
            self._claims.give_back(work)
            self._drop_if_idle(work, now)
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
        """Puts the queues that wait at a destination back in line, because it may have room again."""
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
        seconds = await self._claims.give_up_old(queue_key)
        if seconds is not None:
            self._alarms.at(queue_key, self._clock.seconds() + seconds)
        self._next_turn()

    def _drop_if_idle(self, work: QueueWork, now: float) -> None:
        if work.idle:
            self._works.pop(work.queue_key, None)
            self.places.leave(work.origin, now)

    # Ends

    def _ended(self, work: QueueWork, path: Path | None, now: float) -> None:
        """Makes the queue wait for its next request after one has ended, or drops it if it is idle."""
        if work.owed or work.ready:
            self.places.wait(work.origin, work.queue_key, work.path)
        else:
            self._drop_if_idle(work, now)
        if path is not None:
            self._opened(path)
            self.places.leave(path, now)
        self._next_turn()

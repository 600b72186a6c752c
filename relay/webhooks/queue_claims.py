"""Claims due notifications of a queue, and gives up those that are too old."""

from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from relay.store.api import NotificationStore
from relay.store.store_values import StoreUnavailable
from relay.values.notifications import Attempt, Notification, QueueKey, Verdict
from relay.webhooks.outcomes import Outcomes
from relay.webhooks.places import Path
from relay.webhooks.queue_work import QueueWork
from relay.webhooks.schedule import WINDOW_SECONDS

#: One claim takes this many times the queue's concurrency: this saves calls to the store, and little is released.
CLAIM_AHEAD: Final = 4
MOST_CLAIMED: Final = 1000

#: After its first notification, a batch waits this long for more.
BATCH_SECONDS: Final = 0.2

#: How often the relay looks for notifications that are too old, in a queue without a usable URL.
PARKED_SECONDS: Final = 3600.0

#: How long the relay makes no claims after a failure of the store.
STORE_PAUSE_SECONDS: Final = 1.0


class QueueClaims:
    """Claims notifications for as many requests as may begin, and releases those that the relay doesn't send.

    :ivar store_broken_until: after a failure of the store, the relay makes no claims until this instant.
    """

    def __init__(self, store: NotificationStore, outcomes: Outcomes, clock: IReactorTime) -> None:
        self.store_broken_until = 0.0
        self._store = store
        self._outcomes = outcomes
        self._clock = clock
        self._stopping = False

    def stop(self) -> None:
        """Releases the notifications of all claims that are under way, because the relay sends nothing more."""
        self._stopping = True

    async def claim(self, work: QueueWork, path: Path | None, batch: int, concurrency: int, now: float) -> bool:
        """Claims the due notifications of a queue, and adds them to `work.ready`.

        If a circuit is open, this keeps only the notifications for one test request, and gives up those that are too
        old.

        :param batch: how many notifications one request takes.
        :param concurrency: how many requests may be under way at once.
        :returns: False if the claim failed: the store was not available, or `stop` was called.
        """
        origin = work.origin
        probing = origin.breaker.open or (path is not None and path.breaker.open)
        limit = MOST_CLAIMED if probing else max(batch, min(MOST_CLAIMED, CLAIM_AHEAD * concurrency))
        work.claiming = True
        work.owed = False
        origin.claiming += 1
        try:
            claim = await self._store.claim(work.queue_key, limit, now)
        except StoreUnavailable:
            work.owed = True
            self.store_broken_until = now + STORE_PAUSE_SECONDS
            return False
        finally:
            work.claiming = False
            origin.claiming -= 1
        notifications = claim.notifications
        if self._stopping:
            self._store.release(notifications)
            return False
        if claim.more:
            work.owed = True
        if probing:
            notifications = self._one_to_probe_with(work, notifications, batch, now)
        if batch > 1 and notifications and not work.ready:
            work.batch_due_at = now + BATCH_SECONDS
        work.ready.extend(notifications)
        return True

    def give_back(self, work: QueueWork) -> None:
        """Releases the claimed notifications of a queue that the relay doesn't send now."""
        if work.ready:
            self._store.release(list(work.ready))
            work.ready.clear()
            work.owed = True

    async def give_up_old(self, queue_key: QueueKey) -> float | None:
        """Gives up the notifications that are too old, in a queue without a usable URL.

        :returns: after how many seconds the caller should call again; None: the queue has nothing due.
        """
        now = self._clock.seconds()
        try:
            claim = await self._store.claim(queue_key, MOST_CLAIMED, now)
        except StoreUnavailable:
            return STORE_PAUSE_SECONDS
        fresh = self._without_old(claim.notifications, now)
        if fresh:
            self._store.release(fresh)
            return PARKED_SECONDS
        return 0.0 if claim.more else None

    def _one_to_probe_with(
        self, work: QueueWork, claimed: Sequence[Notification], batch: int, now: float
    ) -> Sequence[Notification]:
        """Returns the notifications for one test request; gives up those that are too old, and releases the rest."""
        fresh = self._without_old(claimed, now)
        if len(fresh) > batch:
            self._store.release(fresh[batch:])
            work.owed = True
        return fresh[:batch]

    def _without_old(self, claimed: Sequence[Notification], now: float) -> Sequence[Notification]:
        old = [n for n in claimed if _is_old(n, now)]
        if not old:
            return claimed
        self._outcomes.add([Attempt(n, Verdict.GIVEN_UP, now, 0.0, "url unusable") for n in old])
        return [n for n in claimed if not _is_old(n, now)]


def _is_old(notification: Notification, now: float) -> bool:
    return now - (notification.owed_since or notification.done_at) > WINDOW_SECONDS

"""Claims of what is due in a queue, and of what has become too old to be sent."""

from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from relay.store.api import NotificationStore, StoreUnavailable
from relay.values.messages import Attempt, Notification, QueueKey, Verdict
from relay.webhooks.outcomes import Outcomes
from relay.webhooks.places import Path
from relay.webhooks.queue_work import QueueWork
from relay.webhooks.schedule import WINDOW_SECONDS

#: Claimed at once in a queue, for so many times its places: fewer calls to the store, and little to give back.
CLAIM_AHEAD: Final = 4
MOST_CLAIMED: Final = 1000

#: How long a batch waits for company after its first notification.
BATCH_SECONDS: Final = 0.2

#: How often a queue without a usable URL is looked at for what has become too old.
PARKED_SECONDS: Final = 3600.0

#: After a failure of the store.
STORE_PAUSE_SECONDS: Final = 1.0


class QueueClaims:
    """Takes notifications from the store for as many requests as may begin, and gives back what isn't sent.

    :ivar store_broken_until: the store has failed, and is left alone until then.
    """

    def __init__(self, store: NotificationStore, outcomes: Outcomes, clock: IReactorTime) -> None:
        self.store_broken_until = 0.0
        self._store = store
        self._outcomes = outcomes
        self._clock = clock
        self._stopping = False

    def stop(self) -> None:
        """Nothing more is sent: what claims under way bring goes back."""
        self._stopping = True

    async def claim(self, work: QueueWork, path: Path | None, batch: int, concurrency: int, now: float) -> bool:
        """Claims what is due in a queue; it is in `work.ready` then.

        Where a circuit is open, no more is kept than the probe sends, and what waited for too long is given up.

        :param batch: notifications in one request.
        :param concurrency: requests under way at once.
        :returns: False where nothing came of it: the store has failed, or `stop` was called.
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
        """Gives back what is ready in a queue and won't be sent now."""
        if work.ready:
            self._store.release(list(work.ready))
            work.ready.clear()
            work.owed = True

    async def give_up_old(self, queue_key: QueueKey) -> float | None:
        """Gives up what waited longer than the schedule is long, for a URL that can't be used.

        :returns: after how many seconds to look again; None: the queue is empty.
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
        self._outcomes.add([Attempt(n, Verdict.GIVEN_UP, now, 0.0, "url unusable") for n in old])
        return [n for n in claimed if not _is_old(n, now)]


def _is_old(notification: Notification, now: float) -> bool:
    return now - (notification.owed_since or notification.done_at) > WINDOW_SECONDS

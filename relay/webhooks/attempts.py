"""Sends batches of notifications, and records the results for the notifications and for their URLs."""

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.accounts.accounts import Target
from relay.runtime.tasks import Tasks
from relay.store.api import NotificationStore
from relay.values.inbound import INBOUND_URL
from relay.values.notifications import Attempt, Channel, Notification, QueueKey, Recovery, Verdict
from relay.webhooks.answer import Answer
from relay.webhooks.delivery import LONGEST_PAUSE_SECONDS, Delivered, WebhookDelivery
from relay.webhooks.outcomes import Outcomes
from relay.webhooks.places import Destination, Path, Places
from relay.webhooks.queue_work import QueueWork
from relay.webhooks.schedule import retry_after_seconds, retry_of
from relay.webhooks.url_health import UrlHealthBook

#: The reason if the relay itself ended an attempt.
STOPPED: Final = "stopped"

#: `Attempts` calls this when a request has ended, with the request's queue, its path, and the instant.
Ended = Callable[[QueueWork, Path | None, float], None]


class Attempts:
    """Sends batches, counts successes and failures of each URL, and passes the outcomes on.

    :param fraction: returns random numbers from 0 to 1, for the jitter.
    :param ended: is called after each request, unless `abandon` was called before.
    :ivar health: how the attempts at accounts' own URLs ended.
    :ivar on_post: is called with the seconds that each request took; the metrics use it.
    """

    log = Logger()

    def __init__(
        self,
        store: NotificationStore,
        delivery: WebhookDelivery,
        places: Places,
        outcomes: Outcomes,
        clock: IReactorTime,
        fraction: Callable[[], float],
        ended: Ended,
    ) -> None:
        self.on_post: Callable[[float], None] | None = None
        self.health = UrlHealthBook(clock.seconds)
        self._store = store
        self._delivery = delivery
        self._places = places
        self._outcomes = outcomes
        self._clock = clock
        self._fraction = fraction
        self._ended = ended
        self._posting = Tasks(self.log)
        self._out: dict[int, Sequence[Notification]] = {}
        self._next_out = 0

    def begin(
        self, work: QueueWork, path: Path | None, target: Target, batch: Sequence[Notification], now: float
    ) -> None:
        """Begins an attempt to send the batch.

        The caller first checks that there is room for one more request.

        :param path: the path whose failures the relay remembers; None if it remembers none.
        """
        work.in_flight += 1
        self._places.began(work.origin, path)
        number = self._next_out
        self._next_out += 1
        self._out[number] = batch
        self._posting.start(self._attempt(work, path, target, batch, number, now))

    async def wait(self) -> None:
        """Waits until all requests have ended."""
        await self._posting.wait()

    async def abandon(self) -> None:
        """Releases all batches under way to the store, and cancels their requests."""
        for batch in self._out.values():
            self._store.release(batch)
        self._out.clear()
        await self._posting.cancel()

    async def _attempt(
        self,
        work: QueueWork,
        path: Path | None,
        target: Target,
        batch: Sequence[Notification],
        number: int,
        began_at: float,
    ) -> None:
        queue_key = work.queue_key
        try:
            ended = await self._delivery.deliver(queue_key, target, batch, began_at)
        except CancelledError:
            ended = Delivered(Answer(0, STOPPED), STOPPED, "")
        except Exception:
            self.log.failure("webhook_broken: a webhook of {account} could not be sent", account=queue_key.account)
            ended = Delivered(Answer(0, "internal error"), "internal error", "")
        answer, text = ended.answer, ended.text
        work.in_flight -= 1
        now = self._clock.seconds()
        if self._out.pop(number, None) is None:
            # `abandon` has released the batch already: the time for the stop was over.
            work.origin.breaker.abandoned()
            if path is not None:
                path.breaker.abandoned()
            self._places.ended(work.origin)
            return
        seconds = now - began_at
        if self.on_post is not None:
            self.on_post(seconds)
        if not queue_key.url:
            if answer.ok:
                self.health.succeeded(queue_key.account, len(batch))
            elif answer.reason != STOPPED:
                self.health.failed(queue_key.account, len(batch), text)
        if answer.ok:
            self._answered_well(work, path)
            body = _body_of(work, answer)
            self._outcomes.add(
                [Attempt(n, Verdict.DELIVERED, now, 0.0, text, seconds, url=ended.url, body=body) for n in batch]
            )
        else:
            self._failed(work, path, batch, ended, now, seconds)
        self._places.ended(work.origin)
        self._ended(work, path, now)

    def _answered_well(self, work: QueueWork, path: Path | None) -> None:
        self._came_back(work, work.origin, work.origin.breaker.succeeded())
        if path is not None:
            self._came_back(work, path, path.breaker.succeeded())

    def _came_back(self, work: QueueWork, destination: Destination, recovery: Recovery) -> None:
        if recovery:
            self._outcomes.came_back(QueueKey(work.queue_key.account, Channel.WEBHOOK, destination.name), recovery)

    def _failed(
        self,
        work: QueueWork,
        path: Path | None,
        batch: Sequence[Notification],
        ended: Delivered,
        now: float,
        seconds: float,
    ) -> None:
        answer, text, url = ended
        body = _body_of(work, answer)
        asked = retry_after_seconds(answer.retry_after, now)
        pause = min(asked, LONGEST_PAUSE_SECONDS) if answer.code in (429, 503) else 0.0
        place = self._count_failure(work, path, answer, pause, now)
        # The whole batch gets one random number, so it is due again at the same time.
        fraction = self._fraction()
        for n in batch:
            retry = retry_of(n, answer, now, fraction, asked_seconds=asked, paused_seconds=pause)
            if retry is None:
                attempt = Attempt(n, Verdict.GIVEN_UP, now, 0.0, text, seconds, url=url, body=body)
            else:
                attempt = Attempt(
                    n, Verdict.RETRY, now, retry.due_at, text, seconds, retry.brought_forward_by, place.name, url, body
                )
            self._outcomes.add([attempt])

    def _count_failure(
        self, work: QueueWork, path: Path | None, answer: Answer, pause_seconds: float, now: float
    ) -> Destination:
        """Counts a failure, and returns the origin or the path for which it counts.

        If no answer came, the origin has failed. If a status came, the path has failed. For an account's own URL, the
        origin counts both.
        """
        origin = work.origin
        place: Destination = origin
        if work.path:
            if answer.code:
                self._came_back(work, origin, origin.breaker.succeeded())
                if path is None:
                    path = self._places.failing_path(origin.account, work.path)
                    path.breaker.began()
                place = path
            elif path is not None:
                path.breaker.abandoned()
        place.breaker.failed(
            now, throttled=answer.code == 429, retry_after_seconds=pause_seconds, unreached=answer.unreached
        )
        self._places.leave(place, now)
        return place


def _body_of(work: QueueWork, answer: Answer) -> str:
    """The beginning of an answer's body, to be kept with the attempt.

    A program that gets messages from handsets may answer with their texts, and texts aren't kept.
    """
    return "" if not answer.body or work.queue_key.url == INBOUND_URL else answer.beginning

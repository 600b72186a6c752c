"""All messages of a list are told again, also those that memory has forgotten, and not too many at a time."""

from collections.abc import Iterable
from typing import Any

from relay.accounts.accounts import Accounts
from relay.config.account_config import Account
from relay.config.daemon_config import Limits
from relay.history.history_query import HistoryQuery
from relay.http.problems import Problem
from relay.http.resend_jobs import ResendJobs
from relay.http.resending import RESENT_A_TURN, ResendCount, Resending
from relay.store.store_values import StoreUnavailable
from relay.values.messages import Ending
from relay.values.notifications import Attempt, Channel, Notification, QueueKey, Verdict
from relay.values.states import REJECTED
from tests.history.test_message_lists import ListsCase
from tests.stores import NOW, message, message_id, started

HOOKED = QueueKey("hooked", Channel.WEBHOOK)
ALL = HistoryQuery(account="hooked")


class Flow:
    """What a job needs of the message flow."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.woken: list[QueueKey] = []

    def wake(self, queues: Iterable[QueueKey]) -> None:
        self.woken += queues


class ResendJobsTests(ListsCase):
    def setUp(self) -> None:
        super().setUp()
        self.done(self.store.stop())
        # The store forgets what has ended and is told.
        self.store = started(self.disk, self.clock, limits=Limits(finished=0))
        self.accounts = Accounts({"hooked": Account(notification_url="http://hooked.example/")})
        self.flow: Any = Flow(self.store)
        self.resending = Resending(self.store, self.accounts, self.clock)
        self.jobs = ResendJobs(self.resending, self.lists(history=True), self.flow, self.clock)

    def ended(self, count: int, first: int = 0, **fields: Any) -> None:
        """Messages that have ended, were told, and are forgotten."""
        numbers = range(first, first + count)
        self.done(self.store.accept([message(n, "hooked", registered_delivery=0, **fields) for n in numbers]))
        self.done(self.store.end([Ending(message_id(n), REJECTED, NOW) for n in numbers]))
        self.tell(count, QueueKey("hooked", Channel.WEBHOOK, fields.get("notification_url", "")))
        self.done(self.store.expire(self.clock.seconds()))
        while self.store.table.finished:
            self.done(self.store.expire(self.clock.seconds()))
        self.catch_up()

    def claim(self, queue: QueueKey = HOOKED) -> list[Notification]:
        return list(self.done(self.store.claim(queue, 10_000, self.clock.seconds())).notifications)

    def tell(self, count: int, queue: QueueKey = HOOKED, verdict: Verdict = Verdict.DELIVERED) -> list[Notification]:
        """The receiver takes what is owed now, which must be so many."""
        claimed = self.claim(queue)
        self.assertEqual(len(claimed), count)
        now = self.clock.seconds()
        self.done(self.store.settle([Attempt(n, verdict, now, now + 9000.0, "200") for n in claimed]))
        return claimed

    def count(self) -> ResendCount:
        counted: ResendCount = self.done(self.jobs.count(ALL))
        return counted

    def test_messages_that_memory_has_forgotten_are_told_once_more(self) -> None:
        self.ended(5)
        self.assertEqual(self.store.figures().messages, 0)
        self.assertEqual(self.count(), ResendCount(5))
        self.jobs.start("hooked", ALL, self.count())
        told = self.tell(5)
        self.assertEqual({(n.state, n.attempt) for n in told}, {(REJECTED, 1)})
        self.assertEqual(self.flow.woken, [HOOKED])
        self.assertEqual(self.jobs.job("hooked").state, "ended")  # type: ignore[union-attr]
        self.assertEqual(self.claim(), [])

    def test_what_can_not_be_told_again_is_counted_and_left_out(self) -> None:
        self.ended(1)
        self.ended(1, first=1, notification_url="http://own.example/hook?key=secret")
        self.ended(1, first=2, notification_url="http://own.example/hook")
        self.ended(1, first=3, notification_url="kannel:3:http://own.example/hook")
        self.done(self.store.accept([message(4, "hooked")]))
        self.catch_up()
        self.assertEqual(self.count(), ResendCount(2, not_ended=1, url_not_kept=2))
        self.jobs.start("hooked", ALL, self.count())
        self.tell(1)
        self.tell(1, QueueKey("hooked", Channel.WEBHOOK, "http://own.example/hook"))
        self.assertEqual(self.store.figures().owed, 0)

    def test_a_job_waits_for_attempts_before_it_goes_on(self) -> None:
        self.ended(5 * RESENT_A_TURN)
        job = self.jobs.start("hooked", ALL, self.count())
        self.clock.advance(60.0)
        self.assertEqual((job.state, job.resent), ("running", 2 * RESENT_A_TURN), "nobody takes them")
        # Failed attempts are attempts: a job doesn't wait for days for one message.
        self.tell(2 * RESENT_A_TURN, verdict=Verdict.RETRY)
        self.clock.advance(1.0)
        self.assertEqual(job.resent, 4 * RESENT_A_TURN)
        self.tell(2 * RESENT_A_TURN)
        self.clock.advance(1.0)
        self.tell(RESENT_A_TURN)
        self.assertEqual((job.state, job.resent), ("ended", 5 * RESENT_A_TURN))

    def test_an_account_has_one_job_which_can_be_stopped(self) -> None:
        self.ended(3 * RESENT_A_TURN)
        count = self.count()
        job = self.jobs.start("hooked", ALL, count)
        self.clock.advance(5.0)
        with self.assertRaises(Problem) as refused:
            self.jobs.start("hooked", ALL, count)
        self.assertEqual(refused.exception.status, 429)
        self.jobs.stop("hooked")
        self.clock.advance(2.0)
        self.tell(2 * RESENT_A_TURN)
        self.clock.advance(60.0)
        self.assertEqual((job.state, job.resent, self.claim()), ("stopped", 2 * RESENT_A_TURN, []))
        again = self.jobs.start("hooked", ALL, count)
        self.done(self.jobs.stop_all())
        self.assertNotEqual(again.state, "running")

    def test_a_job_goes_on_when_the_store_can_be_written_again(self) -> None:
        self.ended(2)
        count, at_once = self.count(), self.resending.again
        failures = [StoreUnavailable("the disk is full"), StoreUnavailable("the disk is full")]

        async def again(account: str, views: Any) -> Any:
            if failures:
                raise failures.pop()
            return await at_once(account, views)

        self.resending.again = again  # type: ignore[method-assign]
        job = self.jobs.start("hooked", ALL, count)
        self.clock.advance(5.0)
        self.assertEqual(job.state, "running")
        self.clock.advance(5.0)
        self.assertEqual((job.state, len(self.claim())), ("ended", 2))

    def test_a_job_that_never_can_go_on_says_why(self) -> None:
        self.ended(1)

        async def again(account: str, views: Any) -> Any:
            raise StoreUnavailable("the disk is full")

        count = self.count()
        self.resending.again = again  # type: ignore[method-assign]
        job = self.jobs.start("hooked", ALL, count)
        for _ in range(200):
            self.clock.advance(5.0)
        self.assertEqual((job.state, job.reason), ("failed", "the disk is full"))

    def test_nothing_and_too_much_are_refused(self) -> None:
        for count in (ResendCount(), ResendCount(100_000, complete=False)):
            with self.assertRaises(Problem) as refused:
                self.jobs.start("hooked", ALL, count)
            self.assertEqual(refused.exception.status, 422)

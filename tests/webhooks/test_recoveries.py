"""What may come ahead of its schedule when a URL is back, and which queues are looked at for it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.values.messages import Channel, Notification, QueueKey, Recovery
from relay.values.states import DELIVERED
from relay.webhooks.answer import Answer
from relay.webhooks.circuit_breaker import FAILURES_TO_OPEN, FIRST_OPEN_SECONDS, CircuitBreaker
from relay.webhooks.recoveries import Recoveries
from relay.webhooks.schedule import HASTENED_FROM_SECONDS, PAUSES_SECONDS, Retry, retry_of

recoveries = st.sampled_from(list(Recovery))
NOTHING, OUTAGE_ENDED, REACHED = Recovery


def notification(attempt: int, scheduled_at: float = 0.0, url: str = "") -> Notification:
    return Notification(
        bytes(16),
        "acme",
        Channel.WEBHOOK,
        DELIVERED,
        True,
        attempt,
        0.0,
        0.0,
        b"",
        url=url,
        scheduled_at=scheduled_at,
    )


def queue_key(number: int) -> QueueKey:
    return QueueKey("acme", Channel.WEBHOOK, f"http://one.example/?{number}")


class RetryTests(SynchronousTestCase):
    """What brings forward which failure."""

    def test_who_was_not_there_is_told_again_when_reached_and_who_refused_after_an_outage_only(self) -> None:
        for code, expected in (
            *((code, REACHED) for code in (0, 410, 502, 503, 504)),
            *((code, OUTAGE_ENDED) for code in (301, 400, 404, 429, 500, 501)),
        ):
            self.assertEqual(retry_of(notification(2), Answer(code), 50.0, 0.0), Retry(350.0, expected), code)

    def test_what_comes_in_some_seconds_anyhow_is_left_to_come(self) -> None:
        self.assertLess(PAUSES_SECONDS[1] * 1.1, HASTENED_FROM_SECONDS)
        self.assertEqual(retry_of(notification(1), Answer(0), 50.0, 0.0), Retry(55.0, NOTHING))

    def test_a_time_that_was_asked_for_holds_where_the_url_is_not_left_alone_until_then(self) -> None:
        def brought_forward_by(asked: float, paused: float) -> Recovery:
            retry = retry_of(notification(2), Answer(503), 50.0, 0.0, asked_seconds=asked, paused_seconds=paused)
            assert retry is not None
            return retry.brought_forward_by

        self.assertEqual([brought_forward_by(100.0, 100.0), brought_forward_by(7200.0, 3600.0)], [REACHED, NOTHING])

    @given(st.integers(1, 9), st.sampled_from([0, 400, 410, 500, 503]), st.floats(0, 5000), st.floats(0, 5000))
    def test_a_brought_forward_attempt_changes_nothing_but_what_the_receiver_asks_for(
        self, attempt: int, code: int, asked: float, ahead: float
    ) -> None:
        early = notification(attempt, scheduled_at=1000.0 + ahead)
        retry = retry_of(early, Answer(code), 1000.0, 0.5, asked_seconds=asked)
        self.assertEqual(retry, Retry(1000.0 + max(ahead, asked), NOTHING))

    def test_a_messages_own_url_that_is_gone_is_given_up(self) -> None:
        self.assertIsNone(retry_of(notification(1, url="http://a/"), Answer(410), 0.0, 0.0))
        self.assertIsNone(retry_of(notification(10), Answer(0), 0.0, 0.0))


class CircuitBreakerTests(SynchronousTestCase):
    """What a success means for others."""

    def ended(self, breaker: CircuitBreaker, *, unreached: bool | None = None, now: float = 0.0) -> Recovery | None:
        """A request that ends with success, or without."""
        breaker.began()
        if unreached is None:
            return breaker.succeeded()
        breaker.failed(now, throttled=False, retry_after_seconds=0.0, unreached=unreached)
        return None

    def test_a_success_after_refusals_means_nothing_and_after_absence_once_that_the_url_is_reached(self) -> None:
        breaker = CircuitBreaker(8)
        self.assertEqual(self.ended(breaker), NOTHING)
        self.ended(breaker, unreached=False)
        self.assertEqual(self.ended(breaker), NOTHING)
        self.ended(breaker, unreached=True)
        self.ended(breaker, unreached=False)
        self.assertEqual([self.ended(breaker), self.ended(breaker)], [REACHED, NOTHING])

    def test_the_success_that_closes_a_circuit_ends_an_outage_whatever_the_failures_were(self) -> None:
        for unreached in (True, False):
            breaker = CircuitBreaker(8)
            for _ in range(FAILURES_TO_OPEN):
                self.ended(breaker, unreached=unreached)
            # A probe that fails ends nothing.
            self.ended(breaker, unreached=True, now=FIRST_OPEN_SECONDS)
            self.assertTrue(breaker.open)
            self.assertEqual([self.ended(breaker), self.ended(breaker)], [OUTAGE_ENDED, NOTHING])

    def test_a_new_url_that_works_ends_the_old_ones_outage(self) -> None:
        breaker = CircuitBreaker(8)
        for _ in range(FAILURES_TO_OPEN):
            self.ended(breaker, unreached=True)
        breaker.reset()
        self.assertEqual(self.ended(breaker), OUTAGE_ENDED)


class RecoveriesTests(SynchronousTestCase):
    """Which queues are handed out."""

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("delayed"), st.integers(0, 1), st.integers(0, 5), recoveries),
                st.tuples(st.just("back"), st.integers(0, 1), st.just(0), recoveries),
                st.tuples(st.just("forget"), st.integers(0, 1), st.just(0), st.just(NOTHING)),
                st.tuples(st.just("take"), st.integers(1, 4), st.just(0), st.just(NOTHING)),
            ),
            max_size=40,
        )
    )
    def test_every_queue_that_still_waits_is_handed_out_when_its_url_is_back(self, steps: list[Any]) -> None:
        """Beside a plain model: sets of queues."""
        kept = Recoveries()
        urls = [CircuitBreaker(1), CircuitBreaker(1)]
        waiting: dict[tuple[int, int], set[QueueKey]] = {}
        back: set[QueueKey] = set()
        for step, number, which, recovery in steps:
            if step == "delayed":
                kept.delayed(urls[number], queue_key(which), Retry(100.0, recovery), 0.0)
                if recovery:
                    waiting.setdefault((number, recovery), set()).add(queue_key(which))
            elif step == "back":
                kept.came_back(urls[number], recovery)
                for url, brought_forward_by in list(waiting):
                    if url == number and 0 < recovery <= brought_forward_by:
                        back |= waiting.pop((url, brought_forward_by))
            elif step == "forget":
                kept.forget(urls[number])
                waiting = {key: queues for key, queues in waiting.items() if key[0] != number}
            else:
                taken = kept.take(number)
                self.assertLessEqual(len(taken), number)
                self.assertTrue({each for each, _ in taken} <= back)
                while number and taken:
                    taken += (more := kept.take(number))
                    number = len(more)
                # All of them now, so that one that is there twice does not trouble the model.
                self.assertEqual({each for each, _ in taken}, back)
                back.clear()
        self.assertGreaterEqual(len(kept), sum(map(len, waiting.values())))

    def test_queues_whose_time_has_passed_do_not_pile_up(self) -> None:
        kept, url = Recoveries(), CircuitBreaker(1)
        for second in range(20_000):
            kept.delayed(url, queue_key(second), Retry(second + 300.0, REACHED), float(second))
        self.assertLess(len(kept), 1_000)

    def test_what_waits_for_an_outages_end_is_kept_until_there_is_one(self) -> None:
        kept, url = Recoveries(), CircuitBreaker(1)
        kept.delayed(url, queue_key(1), Retry(300.0, OUTAGE_ENDED), 0.0)
        kept.delayed(url, queue_key(2), Retry(300.0, REACHED), 0.0)
        kept.came_back(url, REACHED)
        self.assertEqual(kept.take(9), [(queue_key(2), REACHED)])
        kept.came_back(url, OUTAGE_ENDED)
        self.assertEqual((kept.take(9), len(kept)), ([(queue_key(1), OUTAGE_ENDED)], 0))

"""The page's tiles and charts agree with an independent count, before and after a restart."""

import random
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred

from relay.account_pages.delivery_stats import SPANS, DeliveryStatsView
from relay.account_pages.history_stats import HistoryStats
from relay.history.history_questions import HistoryQuestions
from relay.store.store_values import StoreBusy
from relay.values.messages import Ending
from relay.values.states import REJECTED, UNDELIVERABLE
from tests.history.keeping import HistoryCase
from tests.stores import DAY, at_once, message, message_id, receipt, submitted


class HistoryStatsTests(HistoryCase):
    def view(self, span: str, account: str | None = "plain", carrier: str = "") -> DeliveryStatsView:
        stats = HistoryStats(HistoryQuestions(self.search, at_once), self.clock)
        view: DeliveryStatsView = self.done(stats.view(account, SPANS[span], carrier))
        return view

    def test_every_message_counts_once_by_how_it_ended_however_the_history_was_written(self) -> None:
        chance = random.Random(7)
        expected: Counter[str] = Counter()
        for number in range(300):
            now = self.clock.seconds()
            account = chance.choice(["plain", "other"])
            self.done(self.store.accept([message(number, account, accepted_at=now, expires_at=now + DAY)]))
            end = chance.choice(["delivered", "failed", "carrier-reject", "waiting", "delivered"])
            if end == "carrier-reject":
                self.done(self.store.end([Ending(message_id(number), REJECTED, now)]))
            elif end != "waiting":
                self.done(self.store.submitted([submitted(number)]))
                state = 2 if end == "delivered" else UNDELIVERABLE
                self.done(self.store.receipts([receipt(number, state, received_at=now + 3.0)]))
            if account == "plain":
                expected[end] += 1
            if chance.random() < 0.2:
                self.catch_up()
            if chance.random() < 0.02:
                self.reopen()
            self.clock.advance(chance.choice([0.0, 5.0]))
        self.catch_up()
        for span in ("hour", "day", "week"):
            view = self.view(span)
            self.assertEqual(view.totals, dict(expected), span)
            self.assertEqual(sum(view.durations), expected["delivered"])
            # Three seconds: the class up to five.
            self.assertEqual(view.durations[2], expected["delivered"])
        self.reopen()
        self.assertEqual(self.view("day").totals, dict(expected))

    def test_a_message_stands_in_the_bucket_of_its_acceptance(self) -> None:
        now = self.clock.seconds()
        self.done(self.store.accept([message(1, accepted_at=now - 600.0), message(2, accepted_at=now)]))
        self.catch_up()
        view = self.view("hour")
        waiting = [start for start, bucket in zip(view.starts, view.counts, strict=True) if bucket[3]]
        self.assertEqual(waiting, [(now - 600.0) // 60 * 60, now // 60 * 60])

    def test_a_carrier_s_messages_are_counted_alone(self) -> None:
        now = self.clock.seconds()
        self.done(self.store.accept([message(number, accepted_at=now) for number in range(3)]))
        self.done(self.store.submitted([submitted(0), submitted(1), submitted(2, carrier="tier2")]))
        self.done(self.store.receipts([receipt(0, received_at=now + 3.0)]))
        self.catch_up()
        counts = {"delivered": 1, "failed": 0, "carrier-reject": 0, "waiting": 1}
        view = self.view("day", None, "tier1")
        self.assertEqual((view.totals, sum(view.durations)), (counts, 0))
        self.assertEqual(self.view("day", None, "nobody").totals, dict.fromkeys(counts, 0))
        self.clock.advance(3 * DAY)
        self.assertEqual(self.view("day", None, "tier1").totals["waiting"], 1)

    def test_messages_that_wait_for_longer_than_the_span_are_counted_at_its_beginning(self) -> None:
        self.done(self.store.accept([message(1, accepted_at=self.clock.seconds())]))
        self.catch_up()
        self.clock.advance(3 * DAY)
        self.assertEqual(self.view("day").counts[0], [0, 0, 0, 1])

    def test_while_the_history_is_busy_the_last_numbers_are_shown(self) -> None:
        self.done(self.store.accept([message(1, accepted_at=self.clock.seconds())]))
        self.catch_up()
        questions = HistoryQuestions(self.search, at_once)
        stats = HistoryStats(questions, self.clock)
        first = self.done(stats.view("plain", SPANS["day"]))

        async def busy(*arguments: Any, **more: Any) -> Any:
            raise StoreBusy("too many searches are waiting")

        questions.sums = busy  # type: ignore[method-assign]
        self.clock.advance(2.0)
        self.assertEqual(self.done(stats.view("plain", SPANS["day"])), first)
        failed = self.failureResultOf(Deferred.fromCoroutine(stats.view("other", SPANS["day"])))
        failed.trap(StoreBusy)

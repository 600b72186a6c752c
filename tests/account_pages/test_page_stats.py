"""The account page's counts, read from the feed."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.account_pages.delivery_stats import SPANS, DeliveryStatsView
from relay.account_pages.page_stats import LONGEST_WAIT_SECONDS, SLICE, TALLIES_KEPT, PageStats
from relay.store.store_values import FeedEntry, StoreBusy
from relay.values.states import DELIVERED, ENROUTE, REJECTED
from tests.fakes import one_turn
from tests.simulated_disk import SimulatedDisk
from tests.stores import NOW, POLICIES, SettableClock, message, receipt, started, submitted, wait_for

DAY = SPANS["day"]


class FakeStore:
    """A feed, and how often it was asked."""

    def __init__(self) -> None:
        self.entries: list[FeedEntry] = []
        self.asked: list[int] = []
        self.held: Deferred[None] | None = None
        self.queries = 0
        self.slow: Clock | None = None

    async def feed(self, account: str, after: int, limit: int) -> Sequence[FeedEntry]:
        self.asked.append(after)
        if self.held is not None:
            await self.held
        return self.entries[after : after + limit]

    def recent(self, account: str, **_: Any) -> Deferred[Sequence[Any]]:
        self.queries += 1
        if self.slow is not None:
            self.slow.advance(0.01)
        return succeed([])

    def ended(self, count: int, state: int = DELIVERED) -> None:
        for _ in range(count):
            number = len(self.entries) + 1
            self.entries.append(FeedEntry(number, bytes(16), state, b"", NOW, NOW - 1.0))


class PageStatsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SettableClock()
        self.store = FakeStore()
        self.page_stats = PageStats(self.store, self.clock)  # type: ignore[arg-type]

    def look(self, account: str = "acme") -> "Deferred[DeliveryStatsView]":
        return Deferred.fromCoroutine(self.page_stats.view(account, DAY))

    def test_an_account_that_asks_too_much_sees_the_waiting_of_before(self) -> None:
        waiting = SimpleNamespace(accepted_at=NOW, final=False)
        self.store.recent = lambda account, **_: succeed([waiting])  # type: ignore[method-assign]
        before = self.successResultOf(self.look()).totals["waiting"]
        self.store.recent = lambda account, **_: fail(StoreBusy("20 questions wait"))  # type: ignore[method-assign]
        self.clock.advance(LONGEST_WAIT_SECONDS)
        self.assertEqual((before, self.successResultOf(self.look()).totals["waiting"]), (before, before))
        self.assertGreater(before, 0)

    def test_a_second_look_reads_only_what_is_new(self) -> None:
        self.store.ended(3)
        self.assertEqual(self.successResultOf(self.look()).totals["delivered"], 3)
        self.store.ended(2, REJECTED)
        totals = self.successResultOf(self.look()).totals
        self.assertEqual((totals["delivered"], totals["carrier-reject"]), (3, 2))
        self.assertEqual(self.store.asked, [0, 3])

    def test_a_long_feed_is_read_in_slices_between_which_others_have_their_turn(self) -> None:
        self.store.ended(3 * SLICE + 7)
        look = self.look()
        self.assertNoResult(look)
        for _ in range(3):
            self.clock.advance(0)
        self.assertEqual(self.successResultOf(look).totals["delivered"], 3 * SLICE + 7)

    def test_however_many_accounts_are_looked_at_a_turn_reads_one_slice(self) -> None:
        self.store.ended(3 * SLICE + 7)
        looks = [self.look(f"account{number}") for number in range(5)]
        # The first slice of each is a part of its own request.
        asked = [len(self.store.asked)]
        while not all(look.called for look in looks):
            one_turn(self.clock)
            asked.append(len(self.store.asked) - sum(asked))
        self.assertEqual(asked, [5] + [1] * 15)

    def test_an_account_that_asks_too_much_sees_what_was_read_before(self) -> None:
        self.store.ended(3)
        self.successResultOf(self.look())
        self.store.ended(2)
        self.store.held = fail(StoreBusy("20 questions wait"))
        self.assertEqual(self.successResultOf(self.look()).totals["delivered"], 3)
        self.store.held = None
        self.assertEqual(self.successResultOf(self.look()).totals["delivered"], 5)

    def test_two_looks_at_once_count_once(self) -> None:
        self.store.ended(5)
        self.store.held = Deferred()
        looks = [self.look(), self.look()]
        held, self.store.held = self.store.held, None
        held.callback(None)
        self.assertEqual([self.successResultOf(look).totals["delivered"] for look in looks], [5, 5])

    def test_waiting_messages_are_not_asked_for_more_often_than_it_is_cheap(self) -> None:
        self.store.slow = self.clock
        self.successResultOf(self.look())
        asked = self.store.queries
        self.successResultOf(self.look())
        self.assertEqual(self.store.queries, asked)
        self.clock.advance(3.1)
        self.successResultOf(self.look())
        self.assertGreater(self.store.queries, asked)

    def test_the_number_of_statistics_is_bounded(self) -> None:
        for number in range(TALLIES_KEPT + 10):
            self.successResultOf(self.look(f"account-{number}"))
        self.assertEqual(len(self.page_stats._kept), TALLIES_KEPT)

    def test_with_a_real_store_a_message_waits_and_then_is_delivered(self) -> None:
        self.assertIn("hooked", POLICIES)
        store = started(SimulatedDisk(), self.clock)
        page_stats = PageStats(store, self.clock)
        wait_for(self.clock, store.accept([message(1, "hooked"), message(2, "hooked")]))
        wait_for(self.clock, store.submitted([submitted(1), submitted(2)]))
        self.assertEqual(wait_for(self.clock, page_stats.view("hooked", DAY)).totals["waiting"], 2)
        wait_for(self.clock, store.receipts([receipt(1), receipt(2, ENROUTE, final=False)]))
        self.clock.advance(1.0)
        totals = wait_for(self.clock, page_stats.view("hooked", DAY)).totals
        self.assertEqual((totals["delivered"], totals["waiting"]), (1, 1))

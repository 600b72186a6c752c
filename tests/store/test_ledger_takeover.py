"""A relay that takes over in a cluster has the balances of the one before it, and goes on with them."""

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.store.store_values import StoreUnavailable
from relay.values.amounts import UNIT
from relay.values.charge import AccountUse, Charge, ToppedUp, TopUp
from relay.values.states import DELIVERED, REJECTED
from tests.simulated_database import SimulatedDatabase
from tests.store.test_simulated_log import SimulatedStore
from tests.stores import NOW, SettableClock, message, receipt, submitted, wait_for

PRICE = 35_000
PAID = Charge(PRICE, "EUR", prepaid=True, refunds=1 << REJECTED)
DAY = 20231114


class TakeOverTests(SynchronousTestCase):
    """Nodes on a simulated database. Small segments, so that compaction drops many."""

    def setUp(self) -> None:
        self.clock = SettableClock()
        self.database = SimulatedDatabase()
        #: What the balance must be.
        self.balance = 0
        self.counted = 0
        self.keys = 0

    def node(self) -> SimulatedStore:
        return SimulatedStore(self.database, self.clock, segment_bytes=3000, segment_seconds=30.0, text_hours=0.05)

    def result(self, awaitable: Any) -> Any:
        return wait_for(self.clock, awaitable)

    def top_up(self, node: SimulatedStore, key: str, amount: int = UNIT) -> ToppedUp:
        topped_up: ToppedUp = self.result(node.store.top_up(TopUp("plain", key, amount, "EUR", NOW, "alice")))
        if topped_up.earlier is None:
            self.balance += amount
        return topped_up

    def accept(self, node: SimulatedStore, number: int) -> None:
        accepted = message(number, accepted_at=self.clock.seconds(), charge=PAID)
        self.result(node.store.accept([accepted], day=DAY))
        self.balance -= PRICE
        self.counted += 1

    def traffic(self, node: SimulatedStore, numbers: range, randomness: random.Random) -> None:
        """Messages that are accepted, mostly taken, and partly rejected, with top-ups, and with time for compaction."""
        for number in numbers:
            if randomness.random() < 0.3:
                self.keys += 1
                self.top_up(node, f"payment-{self.keys}")
            self.accept(node, number)
            if randomness.random() < 0.8:
                state = randomness.choice((DELIVERED, DELIVERED, REJECTED))
                self.result(node.store.submitted([submitted(number)]))
                self.result(node.store.receipts([receipt(number, state)]))
                self.balance += PRICE if state == REJECTED else 0
            if randomness.random() < 0.2:
                self.clock.advance(randomness.choice((1.0, 40.0)))
                self.result(node.store.expire(self.clock.seconds()))
                self.clock.advance(1.0)

    def check(self, node: SimulatedStore) -> None:
        """The account's use is what it must be, and the relay knows each top-up."""
        expected = AccountUse(DAY if self.counted else 0, self.counted, self.counted, {"EUR": self.balance})
        self.assertEqual(node.store.account_use("plain"), expected)
        keys = {top_up.key for top_up in node.store.top_ups("plain")}
        self.assertEqual(keys, {f"payment-{number}" for number in range(1, self.keys + 1)})

    def test_a_standby_takes_over_with_the_owner_s_balance_and_a_third_node_after_it(self) -> None:
        for seed in range(5):
            self.setUp()
            self.database = SimulatedDatabase(seed)
            owner = self.node()
            owner.own("a")
            standby = self.node()
            standby.log.follow(standby.store)
            self.database.fault_share = 0.01
            self.traffic(owner, range(1, 100), random.Random(seed))
            self.database.fault_share = 0.0
            self.clock.advance(1.0)
            self.check(owner)
            self.assertGreater(min(self.database.primary.segments), 1, "compaction has dropped segments")
            standby.own("b")
            self.check(standby)
            self.traffic(standby, range(100, 120), random.Random(seed))
            # It has followed nothing, and begins with what compaction has written.
            third = self.node().own("c")
            self.check(third)  # type: ignore[arg-type]

    def test_a_top_up_counts_once_if_it_is_repeated_at_the_relay_that_takes_over(self) -> None:
        owner = self.node()
        owner.own("a")
        self.top_up(owner, "payment-1")
        self.keys = 1
        taker = self.node()
        taker.own("b")
        self.assertIsNotNone(self.top_up(taker, "payment-1").earlier)
        self.check(taker)

    def test_an_owner_that_was_taken_over_from_charges_and_refunds_nothing_any_more(self) -> None:
        owner = self.node()
        owner.own("a")
        self.top_up(owner, "payment-1")
        self.keys = 1
        self.accept(owner, 1)
        self.result(owner.store.submitted([submitted(1)]))
        taker = self.node()
        taker.own("b")
        for failing in (
            owner.store.accept([message(2, charge=PAID)], day=DAY),
            owner.store.top_up(TopUp("plain", "payment-2", UNIT, "EUR", NOW)),
        ):
            with self.assertRaises(StoreUnavailable):
                self.result(failing)
        self.check(owner)
        with self.assertRaises(StoreUnavailable):
            self.result(owner.store.receipts([receipt(1, REJECTED)]))
        self.check(taker)

    def test_a_price_that_the_owner_has_given_back_is_not_given_back_again(self) -> None:
        owner = self.node()
        owner.own("a")
        self.accept(owner, 1)
        self.result(owner.store.submitted([submitted(1)]))
        self.result(owner.store.receipts([receipt(1, REJECTED)]))
        self.balance += PRICE
        taker = self.node()
        taker.own("b")
        # The carrier has no answer, and sends the receipt again.
        self.result(taker.store.receipts([receipt(1, REJECTED)]))
        self.check(taker)

"""A world notices each way in which a relay could treat its customers' money wrongly.

The worlds of `test_worlds` have prepaid accounts, too, and say that nothing of the kind happens.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from relay.store.journal.journal_store import JournalStore
from relay.values.charge import TopUp
from relay.values.messages import Message
from tests.simulation.test_worlds import HISTORY, broken_in
from tests.simulation.world import Fault, World

#: A seed whose world has prices, and gives them back after each failure.
SEED = 3


class PaidWorld(World):
    """One whose accounts have money before they send."""

    def _became_ready(self) -> None:
        super()._became_ready()
        if not self.counts["topped up"]:
            for _ in range(4):
                self._top_up()


class FreeWorld(PaidWorld):
    """One whose relay takes messages without their charge."""

    def make_store(self, **options: Any) -> JournalStore:
        store = super().make_store(**options)
        accept = store.accept

        def accept_for_free(messages: Sequence[Message], *more: Any) -> Any:
            return accept([msgspec.structs.replace(m, charge=None) for m in messages], *more)

        store.accept = accept_for_free  # type: ignore[assignment, method-assign]
        return store


class ReplayingWorld(PaidWorld):
    """One whose relay counts charges otherwise in a replay than when they were made."""

    #: How often it counts a charge of the journal.
    times = 2

    def make_store(self, **options: Any) -> JournalStore:
        store = super().make_store(**options)
        ledger = store.table.ledger
        self.charge = charge = ledger.charge

        def charge_often(record: Any) -> None:
            for _ in range(self.times):
                charge(record)

        ledger.charge = charge_often  # type: ignore[method-assign]
        return store

    def _became_ready(self) -> None:
        self.daemon.store.table.ledger.charge = self.charge  # type: ignore[attr-defined]
        super()._became_ready()


class ForgettingWorld(ReplayingWorld):
    """One whose relay forgets the charges when it starts."""

    times = 0


class GenerousWorld(PaidWorld):
    """One whose relay gives each price back twice."""

    def make_store(self, **options: Any) -> JournalStore:
        store = super().make_store(**options)
        ledger = store.table.ledger
        refund = ledger.refund

        def refund_twice(record: Any) -> None:
            refund(record)
            refund(record)

        ledger.refund = refund_twice  # type: ignore[method-assign]
        return store


class SlowWorld(World):
    """One whose relay waits between the check of the balance and the charge."""

    def start_relay(self) -> None:
        super().start_relay()
        # So little that two batches want the same money.
        self.purse.amounts = (5,)
        flow, process = self.daemon.flow, self.relay_process
        accept = flow.accept

        async def accept_later(messages: Sequence[Message], *more: Any) -> Any:
            clock: Any = process
            await deferLater(clock, 5.0)
            return await accept(messages, *more)

        flow.accept = accept_later  # type: ignore[assignment, method-assign]


class RepeatingWorld(PaidWorld):
    """One whose relay doesn't know the key of a top-up again."""

    def make_store(self, **options: Any) -> JournalStore:
        store = super().make_store(**options)
        top_up = store.top_up

        def top_up_anew(wanted: TopUp) -> Any:
            self.counts["keys"] += 1
            return top_up(msgspec.structs.replace(wanted, key=f"{wanted.key}-{self.counts['keys']}"))

        store.top_up = top_up_anew  # type: ignore[assignment, method-assign]
        return store


class PurseTests(SynchronousTestCase):
    def test_a_world_notices_messages_that_cost_nothing(self) -> None:
        self.assertIn("has 1 SMS and the charge None", broken_in(FreeWorld(SEED, HISTORY)))

    def test_a_world_notices_charges_that_a_restart_doubles_or_forgets(self) -> None:
        for world in (ReplayingWorld, ForgettingWorld):
            self.assertIn("and its top-ups less its messages are", broken_in(world(SEED, HISTORY)), world)

    def test_a_world_notices_a_price_that_is_given_back_twice(self) -> None:
        self.assertIn("and its top-ups less its messages are", broken_in(GenerousWorld(SEED, HISTORY)))

    def test_a_world_notices_a_balance_under_zero(self) -> None:
        faults = [Fault(60.0 + 0.5 * n, "submit") for n in range(20)]
        self.assertIn("balance is under zero", broken_in(SlowWorld(SEED, faults)))

    def test_a_world_notices_a_top_up_that_is_lost_or_counted_under_another_key(self) -> None:
        self.assertIn("was answered, and the relay has None", broken_in(RepeatingWorld(SEED, HISTORY)))

    def test_a_world_with_the_same_faults_and_nothing_broken_has_charges_and_refunds(self) -> None:
        world = PaidWorld(SEED, HISTORY)
        self.assertEqual(broken_in(world), "")
        for what in ("topped up", "accepted", "given back"):
            self.assertGreater(world.counts[what], 0, what)

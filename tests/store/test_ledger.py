"""What accounts have used survives crashes, full disks and compaction, and is counted once."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.store.journal.journal_store import JournalStore
from relay.store.store_values import Idempotency, StoreUnavailable
from relay.store.table.ledger import TOP_UPS_KEPT
from relay.values.amounts import UNIT
from relay.values.charge import COUNTED, NOTHING_USED, AccountUse, Charge, ToppedUp, TopUp
from relay.values.failover_rule import FailoverRule
from relay.values.messages import Ending, Replacement
from relay.values.states import DELETED, REJECTED, UNDELIVERABLE
from tests.simulated_disk import SimulatedDisk
from tests.stores import NOW, SettableClock, message, message_id, receipt, started, state_of, submitted, wait_for

TODAY = 20231114


class LedgerTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SettableClock()
        self.disk = SimulatedDisk()
        self.store: JournalStore = self.start()

    def start(self, **options: Any) -> JournalStore:
        return started(self.disk, self.clock, segment_bytes=2000, **options)

    def accept(self, *numbers: int, day: int = TODAY, store: JournalStore | None = None, **fields: Any) -> None:
        batch = [message(n, **{"charge": COUNTED, **fields}) for n in numbers]
        wait_for(self.clock, (store or self.store).accept(batch, day=day))

    def after_a_crash(self) -> JournalStore:
        self.disk = self.disk.crash()
        return self.start()

    def compact(self) -> None:
        """Deletes all segments but the last one."""
        for n in range(1000, 1040):
            wait_for(self.clock, self.store.accept([message(n, account="other", registered_delivery=0)]))
            wait_for(self.clock, self.store.submitted([submitted(n)]))
            wait_for(self.clock, self.store.receipts([receipt(n)]))
        wait_for(self.clock, self.store._compaction._run(self.store._journal.segments[:-1]))


class LedgerTests(LedgerTestCase):
    def test_only_messages_with_a_charge_are_counted_and_only_for_their_account(self) -> None:
        self.assertEqual(self.store.account_use("plain"), NOTHING_USED)
        self.accept(1, 2)
        wait_for(self.clock, self.store.accept([message(3), message(4, charge=COUNTED)], day=TODAY))
        self.accept(5, charge=None)
        self.accept(6, account="other")
        self.assertEqual(self.store.account_use("plain"), AccountUse(TODAY, 3, 3))
        self.assertEqual(self.store.account_use("other"), AccountUse(TODAY, 1, 1))

    def test_another_day_counts_anew_and_another_month_too(self) -> None:
        self.accept(1, 2)
        self.accept(3, day=TODAY + 1)
        self.assertEqual(self.store.account_use("plain"), AccountUse(TODAY + 1, 1, 3))
        self.accept(4, day=20231201)
        self.assertEqual(self.store.account_use("plain"), AccountUse(20231201, 1, 1))
        self.accept(5, day=20241201)
        self.assertEqual(self.after_a_crash().account_use("plain"), AccountUse(20241201, 1, 1))

    def test_a_crash_neither_loses_nor_doubles_what_was_counted(self) -> None:
        self.accept(1, 2)
        again = self.after_a_crash()
        self.assertEqual(again.account_use("plain"), AccountUse(TODAY, 2, 2))
        self.assertEqual(state_of(again), state_of(self.store))

    def test_messages_that_could_not_be_made_durable_are_not_counted(self) -> None:
        self.accept(1)
        self.disk.write_error = OSError("no space")
        with self.assertRaises(StoreUnavailable):
            self.accept(2, day=TODAY)
        self.assertEqual(self.store.account_use("plain"), AccountUse(TODAY, 1, 1))

    def test_a_repeat_with_the_customer_s_own_key_is_not_counted_again(self) -> None:
        self.accept(1)
        repeat = [message(n, charge=COUNTED) for n in (1, 2)]
        wait_for(self.clock, self.store.accept(repeat, None, {message_id(1), message_id(2)}, TODAY))
        request = Idempotency("plain", "key", b"digest", b"answer", NOW)
        for n in (3, 4):
            wait_for(self.clock, self.store.accept([message(n, charge=COUNTED)], request, day=TODAY))
        self.assertEqual(self.store.account_use("plain"), AccountUse(TODAY, 3, 3))
        self.assertEqual(self.after_a_crash().account_use("plain"), AccountUse(TODAY, 3, 3))

    def test_a_message_that_is_replaced_is_counted_once_and_keeps_its_charge(self) -> None:
        self.accept(1)
        wait_for(self.clock, self.store.replace(Replacement(message_id(1), b"another body", 1, NOW + 60.0)))
        for store in (self.store, self.after_a_crash()):
            self.assertEqual(store.account_use("plain"), AccountUse(TODAY, 1, 1))
            self.assertEqual(wait_for(self.clock, store.look_up(message_id(1))).charge, COUNTED)

    def test_compaction_keeps_what_was_counted_and_the_charges_of_messages(self) -> None:
        self.accept(*range(1, 6))
        self.compact()
        self.assertNotIn("data/journal/000000000001.seg", self.disk.files)
        self.accept(6)
        again = self.after_a_crash()
        self.assertEqual(again.account_use("plain"), AccountUse(TODAY, 6, 6))
        self.assertEqual(wait_for(self.clock, again.look_up(message_id(1))).charge, COUNTED)
        self.assertEqual(state_of(again), state_of(self.store))


PAID = Charge(35_000, "EUR", prepaid=True, refunds=1 << REJECTED)


class BalanceTests(LedgerTestCase):
    def top_up(self, key: str = "one", amount: int = UNIT, store: JournalStore | None = None) -> ToppedUp:
        top_up = TopUp("plain", key, amount, "EUR", NOW, "operator", "paid")
        result: ToppedUp = wait_for(self.clock, (store or self.store).top_up(top_up))
        return result

    def balance(self, store: JournalStore | None = None) -> int:
        return (store or self.store).account_use("plain").balances.get("EUR", 0)

    def end(self, number: int, state: int) -> None:
        wait_for(self.clock, self.store.end([Ending(message_id(number), state, NOW + 1)]))

    def test_a_charge_is_taken_from_the_balance_with_the_message_and_survives_a_crash(self) -> None:
        self.top_up()
        self.accept(1, 2, charge=PAID)
        self.accept(3, charge=Charge(35_000, "EUR"))
        for store in (self.store, self.after_a_crash()):
            self.assertEqual(self.balance(store), UNIT - 70_000)

    def test_a_top_up_with_the_same_key_counts_once_also_after_a_crash_and_a_compaction(self) -> None:
        self.assertEqual(self.top_up(), ToppedUp(UNIT))
        earlier = self.store.top_ups("plain")[0]
        self.assertEqual(self.top_up(amount=5), ToppedUp(UNIT, earlier))
        self.accept(1, charge=PAID)
        self.compact()
        self.assertNotIn("data/journal/000000000001.seg", self.disk.files)
        again = self.after_a_crash()
        self.assertEqual(self.top_up(store=again), ToppedUp(UNIT - 35_000, earlier))
        self.assertEqual(again.top_ups("plain"), [earlier])

    def test_only_the_latest_top_ups_are_kept_and_the_balance_keeps_all_of_them(self) -> None:
        for n in range(TOP_UPS_KEPT + 3):
            self.top_up(f"key{n}", 1)
        for store in (self.store, self.after_a_crash()):
            self.assertEqual(self.balance(store), TOP_UPS_KEPT + 3)
            kept = store.top_ups("plain")
            self.assertEqual((len(kept), kept[0].key, kept[-1].key), (TOP_UPS_KEPT, f"key{TOP_UPS_KEPT + 2}", "key3"))

    def test_what_could_not_be_made_durable_changes_no_balance(self) -> None:
        self.top_up()
        self.disk.write_error = OSError("no space")
        with self.assertRaises(StoreUnavailable):
            self.top_up("two")
        with self.assertRaises(StoreUnavailable):
            self.accept(1, charge=PAID)
        self.assertEqual((self.balance(), len(self.store.top_ups("plain"))), (UNIT, 1))

    def test_a_price_is_given_back_once_if_the_message_ends_in_one_of_the_charge_s_states(self) -> None:
        self.top_up()
        self.accept(1, 2, 3, charge=PAID)
        wait_for(self.clock, self.store.submitted([submitted(2), submitted(3)]))
        self.end(1, REJECTED)
        self.end(1, REJECTED)
        wait_for(
            self.clock, self.store.receipts([receipt(2, REJECTED), receipt(2, REJECTED), receipt(3, UNDELIVERABLE)])
        )
        for store in (self.store, self.after_a_crash()):
            self.assertEqual(self.balance(store), UNIT - 35_000)
            views = [wait_for(self.clock, store.look_up(message_id(n))) for n in (1, 2, 3)]
            self.assertEqual([view.refunded for view in views], [True, True, False])

    def test_a_price_that_was_given_back_stays_so_after_compaction_and_is_not_given_back_twice(self) -> None:
        self.top_up()
        self.accept(1, charge=PAID)
        self.end(1, REJECTED)
        self.compact()
        again = self.after_a_crash()
        self.assertEqual(self.balance(again), UNIT)
        self.assertTrue(wait_for(self.clock, again.look_up(message_id(1))).refunded)
        self.assertEqual(state_of(again), state_of(self.store))

    def test_a_message_without_prepayment_is_marked_and_changes_no_balance(self) -> None:
        self.accept(1, charge=Charge(35_000, "EUR", refunds=1 << REJECTED))
        self.end(1, REJECTED)
        for store in (self.store, self.after_a_crash()):
            self.assertEqual(store.account_use("plain").balances, {})
            self.assertTrue(wait_for(self.clock, store.look_up(message_id(1))).refunded)

    def test_a_message_that_is_cancelled_before_its_time_costs_nothing(self) -> None:
        self.accept(1, charge=PAID, scheduled_at=NOW + 60.0)
        self.accept(2, charge=PAID)
        self.end(1, DELETED)
        self.end(2, DELETED)
        for store in (self.store, self.after_a_crash()):
            self.assertEqual(self.balance(store), -35_000)

    def test_a_message_that_ends_before_it_is_durable_and_never_becomes_so_leaves_the_balance_alone(self) -> None:
        self.top_up()
        self.disk.write_error = OSError("no space")
        accepting = self.store.accept([message(1, charge=PAID)], day=TODAY)
        ending = self.store.end([Ending(message_id(1), REJECTED, NOW + 1)])
        for failing in (accepting, ending):
            with self.assertRaises(StoreUnavailable):
                wait_for(self.clock, failing)
        self.disk.write_error = None
        self.clock.advance(1.1)
        self.assertEqual(self.top_up("two").balance, 2 * UNIT)
        self.assertEqual(self.balance(self.after_a_crash()), 2 * UNIT)

    def test_a_second_try_over_another_carrier_is_not_charged_again(self) -> None:
        self.store.connect_routes(lambda *asked: True)
        self.top_up()
        rule = FailoverRule((UNDELIVERABLE, REJECTED))
        self.accept(1, charge=PAID, failover=rule)
        wait_for(self.clock, self.store.submitted([submitted(1)]))
        wait_for(self.clock, self.store.receipts([receipt(1, REJECTED)]))
        self.assertEqual(self.balance(), UNIT - 35_000)
        wait_for(self.clock, self.store.failed_over(10))
        wait_for(self.clock, self.store.submitted([submitted(1, b"2", carrier="tier2")]))
        self.assertEqual(self.balance(self.after_a_crash()), UNIT - 35_000)

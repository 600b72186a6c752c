"""What accounts have used survives crashes, full disks and compaction, and is counted once."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.store.api import Idempotency, StoreUnavailable
from relay.store.journal.journal_store import JournalStore
from relay.values.charge import COUNTED, NOTHING_USED, AccountUse
from relay.values.messages import Replacement
from tests.simulated_disk import SimulatedDisk
from tests.stores import NOW, SettableClock, message, message_id, receipt, started, state_of, submitted, wait_for

TODAY = 20231114


class LedgerTests(SynchronousTestCase):
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

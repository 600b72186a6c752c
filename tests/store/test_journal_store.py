"""The embedded store passes the store's contract, alone and behind late answers."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relay.config import daemon_config
from relay.store.journal.journal_queries import COUNTED_A_TURN
from relay.store.store_values import Idempotency
from relay.store.table.entries import Row
from relay.store.table.entry_values import OWED_WEBHOOK
from relay.values.messages import Ending
from relay.values.notifications import Channel, QueueKey
from relay.values.states import REJECTED
from tests import store_contract
from tests.fakes import one_turn
from tests.late_store import LateStore
from tests.simulated_disk import SimulatedDisk
from tests.stores import DAY, NOW, SettableClock, make_store, message, message_id, started, wait_for


class JournalStoreContractTests(store_contract.StoreContract):
    """The contract, on the embedded store."""

    def make_store(self, limits: daemon_config.Limits) -> Any:
        self.disk = SimulatedDisk()
        self.limits = limits
        return started(self.disk, self.clock, limits=limits)

    def reopen(self) -> Any:
        self.disk = self.disk.crash()
        return started(self.disk, self.clock, limits=self.limits)

    def test_an_idempotency_key_whose_day_is_over_leaves_memory(self) -> None:
        for number in range(3):
            entry = Idempotency("plain", f"key{number}", b"digest", b"answer", NOW + number)
            self.result(self.store.accept([message(number)], entry))
        keys = self.store._keys  # type: ignore[attr-defined]
        self.result(self.store.expire(NOW + DAY))
        self.assertEqual(len(keys), 2)
        self.result(self.store.expire(NOW + DAY + 10))
        self.assertEqual(len(keys), 0)

    def test_very_many_queues_are_counted_and_listed_in_slices(self) -> None:
        """Each message with a notification URL of its own has a queue of its own."""
        queues = self.store.table.queues  # type: ignore[attr-defined]
        count = 3 * COUNTED_A_TURN
        for number in range(count):
            queue = queues.queue(QueueKey("hooked", Channel.WEBHOOK, f"https://example.com/{number}"))
            queue.owed = 1
            queue.ready.append(Row(b"", None, b"", None, flags=OWED_WEBHOOK))  # type: ignore[arg-type]
        questions: list[Any] = [self.store.owed_by_account, self.store.queues]
        for ask in questions:
            asked: Deferred[Any] = ask()
            turns = 0
            while not asked.called:
                one_turn(self.clock)
                turns += 1
            self.assertGreaterEqual(turns, 2)
            answer = self.successResultOf(asked)
            self.assertEqual(answer["hooked"] if isinstance(answer, dict) else len(set(answer)), count)


class WorkGateTests(SynchronousTestCase):
    def test_no_notification_is_claimed_while_the_gate_is_shut(self) -> None:
        class HandGate:
            open = False

        clock, gate = SettableClock(), HandGate()
        store = started(SimulatedDisk(), clock, gate=gate)
        wait_for(clock, store.accept([message(1, "plain", registered_delivery=1)]))
        wait_for(clock, store.end([Ending(message_id(1), REJECTED, NOW + 1)]))
        queue = QueueKey("plain", Channel.SMPP)
        self.assertEqual(len(wait_for(clock, store.claim(queue, 10, NOW + 10)).notifications), 0)
        gate.open = True
        self.assertEqual(len(wait_for(clock, store.claim(queue, 10, NOW + 10)).notifications), 1)


class LateStoreContractTests(store_contract.StoreContract):
    """The contract, where answers come late and in bursts."""

    def make_store(self, limits: daemon_config.Limits) -> Any:
        self.disk = SimulatedDisk()
        self.limits = limits
        return self._late()

    def reopen(self) -> Any:
        self.disk = self.disk.crash()
        return self._late()

    def _late(self) -> LateStore:
        late = LateStore(make_store(self.disk, self.clock, limits=self.limits), self.clock, seed=7)
        wait_for(self.clock, late.start())
        return late

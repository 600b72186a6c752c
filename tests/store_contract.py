"""The store's contract as tests. tests/store/test_journal_store.py runs it on every store.

A test case that inherits this class has `make_store` and, if the store survives its process, `reopen`. It imports this
module, not the class, because trial runs every test case among the names of a test module.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from relay.config import daemon_config
from relay.store.api import Store
from relay.store.store_values import AcceptedBefore, Idempotency, ReadAgain, StoreFull
from relay.values.carrier_reports import AmbiguousReceipt, Outcome, PartsReceipted, QueryOutcome, Receipt, Submitted
from relay.values.inbound import INBOUND_URL, InboundMessage, InboundPart
from relay.values.inbound_lists import InboundWanted
from relay.values.message_view import MessageView
from relay.values.messages import Ending, Replacement
from relay.values.notifications import Attempt, Channel, Notification, QueueKey, Recovery, Verdict
from relay.values.states import (
    ACCEPTED,
    DELETED,
    DELIVERED,
    ENROUTE,
    EXPIRED,
    REJECTED,
    SCHEDULED,
    UNDELIVERABLE,
    UNKNOWN,
)
from tests.stores import (
    ADDRESSES,
    DAY,
    NOW,
    SettableClock,
    message,
    message_id,
    numbers_in,
    receipt,
    receipt_from,
    submitted,
    wait_for,
)

SMPP = QueueKey("plain", Channel.SMPP)
WEBHOOK = QueueKey("hooked", Channel.WEBHOOK)

HANDSET, OTHER_HANDSET = b"447700900001", b"447700900002"


class StoreCase(SynchronousTestCase):
    """A store, and words for tests of it. Times are in seconds since 1970, near NOW."""

    store: Store
    clock: SettableClock

    def setUp(self) -> None:
        self.clock = SettableClock()
        self.store = self.make_store(daemon_config.Limits())

    # To be given by the test case

    def make_store(self, limits: daemon_config.Limits) -> Any:
        """A store with nothing in it, ready to be called."""
        raise NotImplementedError

    def reopen(self) -> Any:
        """The same store after a restart of the process; None where it has no life of its own."""
        return None

    # Words for the tests

    def result(self, awaitable: Any) -> Any:
        return wait_for(self.clock, awaitable)

    def sent(self, *numbers: int, account: str = "plain", **fields: Any) -> None:
        """Messages that a carrier has taken, under their numbers as ids."""
        self.result(self.store.accept([message(n, account, **fields) for n in numbers]))
        self.result(self.store.submitted([submitted(n) for n in numbers]))

    def claimed(self, queue_key: QueueKey = SMPP, limit: int = 100, now: float = NOW + 10) -> Sequence[Notification]:
        return self.result(self.store.claim(queue_key, limit, now)).notifications  # type: ignore[no-any-return]

    def numbers(self, items: Sequence[Any]) -> list[int]:
        return [int.from_bytes(item.id[1:], "big") for item in items]

    def view(self, number: int) -> Any:
        return self.result(self.store.look_up(message_id(number)))

    def after_restart(self) -> bool:
        reopened = self.reopen()
        if reopened is None:
            return False
        self.store = reopened
        return True

    def settle(
        self,
        notifications: Sequence[Notification],
        verdict: Verdict,
        due_at: float = 0.0,
        brought_forward_by: Recovery = Recovery.NOTHING,
    ) -> None:
        attempts = [
            Attempt(
                n, verdict, NOW + 20, due_at, "said", 0.5, brought_forward_by, url=f"http://{n.attempt}/", body="oh"
            )
            for n in notifications
        ]
        self.result(self.store.settle(attempts))


class StoreContract(StoreCase):
    """What every store does."""

    # Messages

    def test_an_accepted_message_is_known_and_waits_for_a_carrier(self) -> None:
        self.result(self.store.accept([message(1, reference="order 7")]))
        view = self.view(1)
        self.assertEqual((view.account, view.state, view.final), ("plain", SCHEDULED, False))
        self.assertEqual((view.reference, view.accepted_at, view.expires_at), ("order 7", NOW + 0.001, NOW + DAY))
        self.assertEqual(self.store.figures().unsubmitted, 1)

    def pending(self) -> dict[tuple[int, int], str]:
        waiting = self.result(self.store.unsubmitted(None, 100))
        return {(int.from_bytes(p.id[1:], "big"), p.part): p.in_doubt for p in waiting}

    def test_a_part_that_is_being_sent_is_in_doubt_until_its_outcome_is_known(self) -> None:
        self.result(self.store.accept([message(n) for n in range(1, 6)] + [message(6, parts=(b"one", b"two"))]))
        written = [(message_id(n), 0) for n in range(1, 5)] + [(message_id(6), 1)]
        self.result(self.store.sending(written, "tier1"))
        self.result(self.store.submitted([submitted(1)]))
        self.result(self.store.end([Ending(message_id(2), REJECTED, NOW + 1)]))
        self.result(self.store.sending([(message_id(3), 0)], ""))
        in_doubt = {(3, 0): "", (4, 0): "tier1", (5, 0): "", (6, 0): "", (6, 1): "tier1"}
        self.assertEqual(self.pending(), in_doubt)
        if self.after_restart():
            self.assertEqual(self.pending(), in_doubt)

    def test_only_what_waits_for_a_carrier_can_be_in_doubt(self) -> None:
        self.sent(1)
        self.result(self.store.accept([message(2)]))
        self.result(self.store.sending([(message_id(1), 0), (message_id(2), 7), (message_id(77), 0)], "tier1"))
        self.assertEqual(self.pending(), {(2, 0): ""})

    def test_an_unknown_id_is_no_message(self) -> None:
        self.assertIsNone(self.view(77))

    def test_a_call_is_seen_by_the_next_although_neither_has_fired(self) -> None:
        accepted = self.store.accept([message(1)])
        taken = self.store.submitted([submitted(1)])
        ended = self.store.receipts([receipt(1)])
        self.assertEqual(list(self.result(ended).outcomes), [Outcome.FINAL])
        self.result(accepted)
        self.result(taken)

    def test_awaitables_fire_in_the_order_of_the_calls(self) -> None:
        fired: list[str] = []
        calls: list[tuple[str, Any]] = [
            ("accept", self.store.accept([message(1)])),
            ("submitted", self.store.submitted([submitted(1)])),
            ("nothing", self.store.submitted([])),
            ("receipts", self.store.receipts([receipt(1)])),
            ("end", self.store.end([Ending(message_id(1), REJECTED, NOW)])),
        ]
        for name, awaitable in calls:
            awaitable.addCallback(lambda _, name=name: fired.append(name))
        for _, awaitable in calls:
            self.result(awaitable)
        self.assertEqual(fired, [name for name, _ in calls])

    def test_an_empty_batch_does_nothing_and_fires(self) -> None:
        self.result(self.store.accept([]))
        self.result(self.store.submitted([]))
        self.assertEqual(list(self.result(self.store.receipts([])).outcomes), [])
        self.result(self.store.end([]))
        self.result(self.store.settle([]))
        self.assertEqual(self.store.figures().messages, 0)

    def test_an_empty_batch_waits_for_what_was_accepted_before_it(self) -> None:
        accepted = self.store.accept([message(1)])
        fired: list[str] = []
        accepted.addCallback(lambda _: fired.append("accepted"))  # type: ignore[attr-defined]
        after = self.store.accept([])
        after.addCallback(lambda _: fired.append("after"))  # type: ignore[attr-defined]
        self.result(after)
        self.assertEqual(fired, ["accepted", "after"])

    def test_an_id_whose_message_is_forgotten_may_be_used_again(self) -> None:
        self.store = self.make_store(daemon_config.Limits(finished=0))
        self.sent(1, 2, registered_delivery=0)
        self.result(self.store.receipts([receipt(1, UNDELIVERABLE)]))
        self.result(self.store.expire(NOW + 5))
        self.assertIsNone(self.view(1))
        self.result(self.store.accept([message(1, account="hooked", reference="second life")]))
        self.result(self.store.submitted([submitted(1, b"77")]))
        for _ in range(2):
            view = self.view(1)
            self.assertEqual((view.reference, view.state, view.final), ("second life", ENROUTE, False))
            figures = self.store.figures()
            self.assertEqual((figures.messages, figures.awaiting_receipt, figures.finished), (2, 2, 0))
            if not self.after_restart():
                break
        late, right = self.result(self.store.receipts([receipt(1), receipt(b"77")])).outcomes
        self.assertEqual((late, right), (Outcome.ORPHAN, Outcome.FINAL))

    def test_over_the_bound_messages_are_refused_whole_and_ended_ones_make_room(self) -> None:
        self.store = self.make_store(daemon_config.Limits(messages=3))
        self.sent(1, 2)
        with self.assertRaises(StoreFull):
            self.result(self.store.accept([message(3), message(4)]))
        self.assertIsNone(self.view(3))
        self.result(self.store.accept([message(5)]))
        self.result(self.store.receipts([receipt(1)]))
        self.settle(self.claimed(), Verdict.DELIVERED)
        self.result(self.store.accept([message(6)]))

    def test_parts_without_a_carrier_are_handed_out_in_the_order_of_acceptance(self) -> None:
        self.result(self.store.accept([message(n, parts=(b"a", b"b") if n == 4 else (b"a",)) for n in range(1, 8)]))
        self.result(self.store.submitted([submitted(2), submitted(4, b"4-0", 0)]))
        found: list[tuple[int, int]] = []
        after = None
        for _ in range(10):
            pending = self.result(self.store.unsubmitted(after, 2))
            if not pending:
                break
            found += zip(self.numbers(pending), [p.part for p in pending], strict=True)
            after = pending[-1].id, pending[-1].part
        self.assertEqual(found, [(1, 0), (3, 0), (4, 1), (5, 0), (6, 0), (7, 0)])

    def test_going_on_after_a_part_that_has_been_taken_meanwhile_skips_nothing(self) -> None:
        self.result(self.store.accept([message(n) for n in range(1, 6)]))
        first = self.result(self.store.unsubmitted(None, 2))
        self.result(self.store.submitted([submitted(1), submitted(2)]))
        rest = self.result(self.store.unsubmitted((first[-1].id, 0), 10))
        self.assertEqual(self.numbers(rest), [3, 4, 5])

    def test_bodies_are_given_for_parts_that_wait_for_a_carrier_only(self) -> None:
        self.result(self.store.accept([message(1), message(2, parts=(b"one", b"two")), message(3)]))
        self.result(self.store.submitted([submitted(2, b"x", 0), submitted(3)]))
        parts = [(message_id(n), p) for n, p in ((1, 0), (2, 0), (2, 1), (3, 0), (9, 0), (1, 5))]
        bodies = self.result(self.store.bodies(parts))
        self.assertEqual(list(bodies), [b"body of 1", None, b"two", None, None, None])

    def replaced(self, number: int, body: bytes = b"new") -> bool:
        replacement = Replacement(message_id(number), body, 0, NOW + 2 * DAY)
        return bool(self.result(self.store.replace(replacement)))

    def test_a_message_that_waits_may_be_replaced_and_keeps_its_place(self) -> None:
        self.result(self.store.accept([message(n, reference=f"order {n}", priority=2) for n in (1, 2, 3)]))
        self.assertTrue(self.replaced(2))
        self.assertTrue(self.replaced(2, b"newer"))
        for _ in range(2):
            waiting = self.result(self.store.unsubmitted(None, 10))
            self.assertEqual((self.numbers(waiting), [p.priority for p in waiting]), ([1, 2, 3], [2, 2, 2]))
            self.assertEqual([p.expires_at for p in waiting], [NOW + DAY, NOW + 2 * DAY, NOW + DAY])
            bodies = self.result(self.store.bodies([(message_id(n), 0) for n in (1, 2)]))
            self.assertEqual(list(bodies), [b"body of 1", b"newer"])
            view = self.view(2)
            self.assertEqual((view.reference, view.accepted_at), ("order 2", NOW + 0.002))
            self.assertEqual(self.store.figures().unsubmitted, 3)
            if not self.after_restart():
                break
        # No receipt over SMPP is asked for any more.
        self.result(self.store.submitted([submitted(2), submitted(3)]))
        self.result(self.store.receipts([receipt(2), receipt(3)]))
        self.assertEqual(self.numbers(self.claimed()), [3])

    def due(self, now: float, limit: int = 100) -> list[int]:
        return self.numbers(self.result(self.store.scheduled_due(now, limit)))

    def unsubmitted(self) -> list[int]:
        return self.numbers(self.result(self.store.unsubmitted(None, 100)))

    def scheduled(self, *numbers: int, **fields: Any) -> None:
        """Messages that wait until so many seconds after NOW as their number says."""
        self.result(self.store.accept([message(n, scheduled_at=NOW + n, **fields) for n in numbers]))

    def test_scheduled_messages_wait_for_their_time_in_no_queue_and_over_restarts(self) -> None:
        self.scheduled(3000, 1000, 2000, parts=(b"one", b"two"))
        self.result(self.store.accept([message(1)]))
        for _ in range(2):
            self.assertEqual((self.unsubmitted(), self.due(NOW + 999)), ([1], []))
            figures = self.store.figures()
            self.assertEqual((figures.scheduled, figures.unsubmitted, figures.messages), (3, 1, 4))
            self.assertEqual([self.store.scheduled_count(name) for name in ("plain", "other")], [3, 0])
            view = self.view(2000)
            self.assertEqual((view.state, view.scheduled_at, view.waits_for_its_time), (SCHEDULED, NOW + 2000, True))
            if not self.after_restart():
                break
        self.assertEqual(self.due(NOW + 2000, limit=1), [1000, 1000])
        self.assertEqual((self.due(NOW + 2000), self.due(NOW + 2000)), ([2000, 2000], []))
        self.assertEqual(self.unsubmitted(), [1, 1000, 1000, 2000, 2000])
        self.assertEqual([self.view(n).waits_for_its_time for n in (1, 2000, 3000)], [False, False, True])
        bodies = self.result(self.store.bodies([(message_id(n), 1) for n in (1000, 3000)]))
        self.assertEqual((list(bodies), self.store.figures().scheduled), ([b"two", b"two"], 1))

    def test_the_tags_of_a_message_are_known_wherever_it_is_routed_and_over_restarts(self) -> None:
        self.result(self.store.accept([message(1, tags=("gold", "north")), message(2)]))
        self.scheduled(1000, tags=("late",))
        for _ in range(2):
            pending = self.result(self.store.unsubmitted(None, 10))
            self.assertEqual([p.tags for p in pending], [("gold", "north"), ()])
            self.assertEqual([self.view(n).tags for n in (1, 2, 1000)], [("gold", "north"), (), ("late",)])
            if not self.after_restart():
                break
        self.assertTrue(self.result(self.store.replace(Replacement(message_id(1), b"new", 1, NOW + DAY))))
        self.after_restart()
        self.assertEqual(self.view(1).tags, ("gold", "north"))
        [due] = self.result(self.store.scheduled_due(NOW + 1000, 10))
        self.assertEqual(due.tags, ("late",))

    def test_a_scheduled_message_whose_time_has_come_during_a_stop_is_sent_at_the_start(self) -> None:
        self.scheduled(1000)
        self.clock.advance(1001)
        if self.after_restart():
            self.assertEqual((self.unsubmitted(), self.due(NOW + 1001)), ([1000], []))
            self.assertFalse(self.view(1000).waits_for_its_time)

    def test_a_scheduled_message_that_is_cancelled_is_handed_out_no_more(self) -> None:
        self.scheduled(1000, 2000, registered_delivery=1)
        result = self.result(self.store.end([Ending(message_id(1000), DELETED, NOW + 1)]))
        self.assertEqual(result.queues, {SMPP})
        for _ in range(2):
            self.assertEqual((self.store.scheduled_count("plain"), self.view(1000).waits_for_its_time), (1, False))
            if not self.after_restart():
                break
        self.assertEqual((self.due(NOW + 5000), self.unsubmitted()), ([2000], [2000]))

    def test_a_replacement_gives_a_message_another_time_or_none(self) -> None:
        self.scheduled(1000, 2000, 3000)
        self.result(self.store.accept([message(1), message(2)]))
        for number, scheduled_at in ((1000, 0), (2000, NOW + 4000), (1, NOW + 1500), (2, NOW + 1600), (2, 0)):
            replacement = Replacement(message_id(number), b"new", 1, NOW + DAY, scheduled_at)
            self.assertTrue(self.result(self.store.replace(replacement)))
        for _ in range(2):
            self.assertEqual((sorted(self.unsubmitted()), self.store.scheduled_count("plain")), ([2, 1000], 3))
            if not self.after_restart():
                break
        self.assertEqual((self.due(NOW + 3500), self.due(NOW + 9000)), ([1, 3000], [2000]))
        self.assertEqual(sorted(self.unsubmitted()), [1, 2, 1000, 2000, 3000])

    def test_a_message_that_a_carrier_may_have_is_not_replaced(self) -> None:
        self.result(self.store.accept([message(1), message(2, parts=(b"one", b"two")), message(3), message(4)]))
        self.result(self.store.submitted([submitted(1)]))
        self.result(self.store.end([Ending(message_id(3), DELETED, NOW + 1)]))
        self.result(self.store.sending([(message_id(4), 0)], "tier1"))
        self.assertEqual([self.replaced(n) for n in (1, 2, 3, 4, 9)], [False] * 5)
        self.assertEqual(self.view(4).expires_at, NOW + DAY)

    # Correlation

    def test_a_final_receipt_ends_its_message_and_says_which_queue_to_wake(self) -> None:
        self.sent(1)
        answer = self.result(self.store.receipts([receipt(1, error=b"017")]))
        self.assertEqual(list(answer.outcomes), [Outcome.FINAL])
        self.assertEqual(answer.queues, {SMPP})
        self.assertEqual(answer.accepted_at, NOW + 0.001)
        view = self.view(1)
        self.assertEqual((view.state, view.final, view.carrier, view.carrier_error), (DELIVERED, True, "tier1", "017"))
        self.assertEqual(view.parts[0].carrier_message_id, "1")

    def test_a_receipt_is_found_under_any_of_its_keys_the_first_first(self) -> None:
        self.sent(1, 2)
        answer = self.result(self.store.receipts([receipt(b"", keys=(b"nothing", b"2", b"1"))]))
        self.assertEqual(list(answer.outcomes), [Outcome.FINAL])
        self.assertEqual((self.view(1).final, self.view(2).final), (False, True))

    def test_the_same_id_of_another_carrier_is_another_message(self) -> None:
        self.result(self.store.accept([message(1), message(2)]))
        self.result(self.store.submitted([submitted(1, b"7"), submitted(2, b"7", carrier="tier2")]))
        self.result(self.store.receipts([receipt(7, carrier="tier2")]))
        self.assertEqual((self.view(1).final, self.view(2).final), (False, True))
        self.assertEqual(self.numbers(self.result(self.store.find_carrier_id(b"7"))), [1, 2])

    def test_a_batch_of_receipts_tells_when_the_first_and_the_last_message_that_it_ended_were_accepted(self) -> None:
        self.sent(1, 2, 3)
        answer = self.result(
            self.store.receipts([receipt(99), receipt(2), receipt(2), receipt(3), receipt(1, ENROUTE, final=False)])
        )
        self.assertEqual((answer.first_accepted_at, answer.accepted_at), (NOW + 0.002, NOW + 0.003))
        answer = self.result(self.store.receipts([receipt(98), receipt(2)]))
        self.assertEqual((answer.first_accepted_at, answer.accepted_at), (0.0, 0.0))

    def test_receipts_that_a_carrier_still_owes_are_counted_by_part(self) -> None:
        self.sent(1, 2, 3)
        self.result(self.store.accept([message(4, parts=(b"a", b"b")), message(5), message(6)]))
        self.result(self.store.submitted([submitted(4, b"4a"), submitted(4, b"4b", part=1)]))
        self.result(self.store.submitted([submitted(5, carrier="tier2")]))
        self.assertEqual(self.result(self.store.receipts_out("tier1")), 5)
        self.result(self.store.receipts([receipt(1), receipt(2, ENROUTE, final=False), receipt(b"4a")]))
        self.result(self.store.end([Ending(message_id(3), UNKNOWN, NOW + 2)]))
        self.assertEqual(self.result(self.store.receipts_out("tier1")), 2)
        self.assertEqual(self.result(self.store.receipts_out("tier2")), 1)
        self.assertEqual(self.result(self.store.receipts_out("tier3")), 0)

    def test_carriers_with_outstanding_receipts_and_accounts_with_owed_notifications_are_listed(self) -> None:
        self.assertEqual(list(self.result(self.store.carriers())), [])
        self.assertEqual(self.result(self.store.owed_by_account()), {})
        self.sent(1, 2)
        self.sent(3, 4, account="hooked", notification_url="http://own/")
        self.result(self.store.accept([message(5)]))
        self.result(self.store.submitted([submitted(5, carrier="tier2")]))
        self.result(self.store.receipts([receipt(n) for n in (1, 3, 4)]))
        for _ in range(2):
            self.assertEqual(sorted(self.result(self.store.carriers())), ["tier1", "tier2"])
            # Those of "hooked" are owed over SMPP as well.
            self.assertEqual(self.result(self.store.owed_by_account()), {"plain": 1, "hooked": 4})
            if not self.after_restart():
                break
        self.settle(self.claimed(), Verdict.DELIVERED)
        self.assertEqual(self.result(self.store.owed_by_account()), {"hooked": 4})

    def test_an_id_given_twice_means_the_newest_and_is_counted(self) -> None:
        self.result(self.store.accept([message(1), message(2)]))
        self.result(self.store.submitted([submitted(1, b"7")]))
        self.result(self.store.submitted([submitted(2, b"7")]))
        self.result(self.store.receipts([receipt(7)]))
        self.assertEqual((self.view(1).state, self.view(2).state), (ENROUTE, DELIVERED))
        self.assertEqual(self.store.figures().ambiguous, 1)

    def to(self, *destinations: bytes) -> None:
        """Messages 1, 2 ... to these numbers, accepted."""
        batch = [message(n, addresses=numbers_in(b"12345", to)) for n, to in enumerate(destinations, 1)]
        self.result(self.store.accept(batch))

    def states(self, *numbers: int) -> list[int]:
        return [self.view(n).state for n in numbers]

    def test_of_messages_with_one_id_the_receipt_s_number_tells_which_one_is_meant(self) -> None:
        for restarts in (False, True):
            self.store = self.make_store(daemon_config.Limits())
            self.to(HANDSET, OTHER_HANDSET, b"447700900003")
            for number in (1, 2, 3):
                self.result(self.store.submitted([submitted(number, b"41", at=NOW + number)]))
            if restarts:
                self.after_restart()
            self.result(self.store.receipts([receipt_from(b"07700900001", b"41", UNDELIVERABLE)]))
            self.assertEqual(self.states(1, 2, 3), [UNDELIVERABLE, ENROUTE, ENROUTE])
            if restarts:
                self.after_restart()
            answer = self.result(self.store.receipts([receipt_from(OTHER_HANDSET, b"41", EXPIRED)]))
            self.assertEqual(list(answer.outcomes), [Outcome.FINAL])
            self.assertEqual(self.states(1, 2, 3), [UNDELIVERABLE, EXPIRED, ENROUTE])
            # The first message has ended; its number's second receipt is still its own.
            answer = self.result(self.store.receipts([receipt_from(HANDSET, b"41")]))
            self.assertEqual(list(answer.outcomes), [Outcome.CONTRADICTING])
            self.assertEqual(self.states(1, 2, 3), [UNDELIVERABLE, EXPIRED, ENROUTE])
            self.assertEqual(self.store.figures().ambiguous_receipts, 0)

    def test_parts_of_long_messages_are_distinguished_by_the_number_too(self) -> None:
        self.result(
            self.store.accept(
                [
                    message(1, parts=(b"a", b"b"), addresses=numbers_in(b"12345", HANDSET)),
                    message(2, parts=(b"a", b"b"), addresses=numbers_in(b"12345", OTHER_HANDSET)),
                ]
            )
        )
        for number in (1, 2):
            batch = [submitted(number, b"4%d" % part, part) for part in (1, 0)]
            self.result(self.store.submitted(batch))
        self.result(self.store.receipts([receipt_from(HANDSET, b"40"), receipt_from(HANDSET, b"41")]))
        self.assertEqual([self.view(n).final for n in (1, 2)], [True, False])

    def test_a_receipt_that_may_be_several_messages_goes_to_the_newest_and_is_shown_with_the_others(self) -> None:
        self.to(HANDSET, HANDSET)
        for number in (1, 2):
            self.result(self.store.submitted([submitted(number, b"41", at=NOW + number)]))
        self.result(self.store.receipts([receipt_from(HANDSET, b"41", received_at=NOW + 9)]))
        self.assertEqual(self.states(1, 2), [ENROUTE, DELIVERED])
        expected = AmbiguousReceipt("tier1", b"41", NOW + 9, message_id(2), (message_id(1),))
        self.assertEqual(list(self.result(self.store.ambiguous(10))), [expected])
        self.assertEqual(self.store.figures().ambiguous_receipts, 1)
        # The second receipt has one message left that it can mean.
        self.result(self.store.receipts([receipt_from(HANDSET, b"41", EXPIRED)]))
        self.assertEqual((self.states(1, 2), self.store.figures().ambiguous_receipts), ([EXPIRED, DELIVERED], 1))

    def test_a_number_is_not_compared_where_an_id_has_one_message(self) -> None:
        self.to(HANDSET)
        self.result(self.store.submitted([submitted(1, b"41")]))
        self.result(self.store.receipts([receipt_from(OTHER_HANDSET, b"41")]))
        self.assertEqual((self.states(1), self.store.figures().ambiguous_receipts), ([DELIVERED], 0))

    def test_a_receipt_before_its_response_waits_for_the_message_to_its_number(self) -> None:
        for restarts in (False, True):
            self.store = self.make_store(daemon_config.Limits())
            self.to(HANDSET, OTHER_HANDSET)
            early = [receipt_from(OTHER_HANDSET, b"41", UNDELIVERABLE), receipt_from(HANDSET, b"41", EXPIRED)]
            self.result(self.store.receipts(early))
            self.result(self.store.submitted([submitted(1, b"41")]))
            if restarts:
                self.after_restart()
            self.assertEqual(self.states(1, 2), [EXPIRED, SCHEDULED])
            self.assertEqual([r.state for r in self.result(self.store.orphans(10))], [UNDELIVERABLE])
            self.result(self.store.submitted([submitted(2, b"41")]))
            if restarts:
                self.after_restart()
            self.assertEqual((self.states(1, 2), self.store.figures().orphans), ([EXPIRED, UNDELIVERABLE], 0))

    def test_the_carriers_done_date_is_kept_beside_the_time_of_arrival(self) -> None:
        for restarts in (False, True):
            self.store = self.make_store(daemon_config.Limits())
            batch = [message(1), message(2, parts=(b"a", b"b")), message(3), message(4, user_message_reference=7)]
            self.result(self.store.accept(batch))
            taken = [submitted(1), submitted(2, b"2a"), submitted(2, b"2b", part=1), submitted(3), submitted(4)]
            self.result(self.store.submitted(taken))
            said = {b"1": NOW - 500, b"2a": NOW + 1.5, b"2b": NOW + 1, b"3": 0.0}
            self.result(self.store.receipts([receipt(key, carrier_done_at=at) for key, at in said.items()]))
            # What had come earlier is replaced.
            self.result(self.store.receipts([receipt(4, ENROUTE, final=False, carrier_done_at=NOW - 3)]))
            self.result(self.store.receipts([receipt(4)]))
            if restarts:
                self.after_restart()
            views = [self.view(n) for n in (1, 2, 3, 4)]
            self.assertEqual([v.carrier_done_at for v in views], [NOW - 500, NOW + 1.5, None, None])
            self.assertEqual([v.told_done_at for v in views], [NOW - 500, NOW + 1.5, NOW + 2, NOW + 2])
            self.assertEqual([v.done_at for v in views], [NOW + 2] * 4)
            told = {self.numbers([n])[0]: n for n in self.claimed()}
            self.assertEqual([told[n].told_done_at for n in (1, 2, 3, 4)], [v.told_done_at for v in views])
            self.assertEqual([told[n].user_message_reference for n in (1, 2, 3, 4)], [None, None, None, 7])

    def test_a_date_that_can_not_be_the_message_s_is_counted_and_the_arrival_counts(self) -> None:
        self.result(self.store.accept([message(n) for n in range(1, 6)] + [message(6, parts=(b"a", b"b"))]))
        self.result(self.store.submitted([submitted(n) for n in range(1, 6)]))
        self.result(self.store.submitted([submitted(6, b"6a"), submitted(6, b"6b", part=1)]))
        said = {
            b"1": NOW + 2 + DAY, b"2": NOW + 3 + DAY, b"3": NOW + 0.003 - DAY, b"4": NOW - DAY,
            b"5": NOW + 50 * 365 * DAY, b"6a": NOW + 1, b"6b": NOW + 2 * DAY,
        }  # fmt: skip
        self.result(self.store.receipts([receipt(2, ENROUTE, final=False, carrier_done_at=1.0)]))
        self.result(self.store.receipts([receipt(key, carrier_done_at=at) for key, at in said.items()]))
        self.assertEqual(dict(self.store.figures().implausible_dates), {"tier1": 5})
        for _ in range(2):
            dates = [self.view(n).carrier_done_at for n in range(1, 7)]
            self.assertEqual(dates, [NOW + 2 + DAY, None, NOW + 0.003 - DAY, None, None, NOW + 1])
            self.assertEqual([self.view(n).told_done_at for n in (2, 4, 5)], [NOW + 2] * 3)
            if not self.after_restart():
                break

    def test_a_network_s_error_is_the_carrier_s_where_it_has_no_other(self) -> None:
        self.sent(1, 2, 3)
        code = b"\3\0\x15"
        self.result(
            self.store.receipts(
                [
                    receipt(1, UNDELIVERABLE, error=b"", network_error_code=code),
                    receipt(2, UNDELIVERABLE, error=b"0B", network_error_code=code),
                    receipt(3, UNDELIVERABLE, error=b"", network_error_code=code),
                ]
            )
        )
        for _ in range(2):
            self.assertEqual([self.view(n).carrier_error for n in (1, 2, 3)], ["GSM 21", "0B", "GSM 21"])
            if not self.after_restart():
                break
        told = {self.numbers([n])[0]: n for n in self.claimed()}
        self.assertEqual((told[1].carrier_error, told[1].network_error_code), (b"GSM 21", code))

    def test_an_id_is_found_after_the_other_message_with_it_was_forgotten(self) -> None:
        self.to(HANDSET, OTHER_HANDSET)
        for number in (1, 2):
            self.result(self.store.submitted([submitted(number, b"41")]))
        self.result(self.store.receipts([receipt_from(OTHER_HANDSET, b"41")]))
        self.settle(self.claimed(), Verdict.DELIVERED)
        self.result(self.store.expire(NOW + 40 * DAY))
        self.assertEqual(self.numbers(self.result(self.store.find_carrier_id(b"41"))), [1])

    def test_a_receipt_before_its_response_waits_and_is_matched_by_it(self) -> None:
        self.result(self.store.accept([message(1)]))
        early = self.result(self.store.receipts([receipt(1, UNDELIVERABLE)]))
        self.assertEqual(list(early.outcomes), [Outcome.ORPHAN])
        self.assertEqual(len(self.result(self.store.orphans(10))), 1)
        answer = self.result(self.store.submitted([submitted(1)]))
        self.assertEqual((list(answer.outcomes), answer.queues), ([Outcome.FINAL], {SMPP}))
        self.assertEqual(self.view(1).state, UNDELIVERABLE)
        self.assertEqual(self.store.figures().orphans, 0)

    def test_an_orphan_never_matches_a_part_that_was_sent_after_it_came(self) -> None:
        """The carrier has used the id before, for a message that nobody knows any more."""
        self.result(self.store.accept([message(1), message(2), message(3, accepted_at=NOW + 5)]))
        self.result(self.store.receipts([receipt(n, received_at=NOW + 2) for n in (1, 2, 3)]))
        batch = [submitted(1), submitted(2), submitted(3)]
        answer = self.result(self.store.submitted(batch, [NOW + 1.9, NOW + 2.1, 0.0]))
        self.assertEqual(list(answer.outcomes), [Outcome.FINAL])
        self.assertEqual([self.view(n).final for n in (1, 2, 3)], [True, False, False])
        self.assertEqual(self.store.figures().orphans, 2)
        self.assertEqual(self.store.figures().ambiguous_receipts, 0)
        if self.after_restart():
            self.assertEqual([self.view(n).final for n in (1, 2, 3)], [True, False, False])
            self.assertEqual(self.store.figures().orphans, 2)

    def test_an_orphan_is_found_under_each_of_its_keys_but_once(self) -> None:
        self.result(self.store.accept([message(1), message(2)]))
        self.result(self.store.receipts([receipt(b"", keys=(b"1", b"2"))]))
        self.result(self.store.submitted([submitted(2), submitted(1)]))
        self.assertEqual((self.view(1).final, self.view(2).final), (False, True))

    def test_several_orphans_of_one_id_are_matched_in_their_order(self) -> None:
        self.result(self.store.accept([message(1)]))
        self.result(self.store.receipts([receipt(1, ENROUTE, final=False), receipt(1, EXPIRED), receipt(1)]))
        answer = self.result(self.store.submitted([submitted(1)]))
        self.assertEqual(list(answer.outcomes), [Outcome.INTERMEDIATE, Outcome.FINAL, Outcome.CONTRADICTING])
        self.assertEqual(self.view(1).state, EXPIRED)

    def kept(self, limit: int = 100) -> list[Receipt]:
        """All receipts that are kept, gone through in steps of `limit`."""
        receipts: list[Receipt] = []
        after: tuple[int, int] | None = None
        while True:
            page = self.result(self.store.kept_receipts(after, limit))
            self.assertLessEqual(len(page.receipts), limit)
            receipts += page.receipts
            after = page.after
            if after is None:
                return receipts

    def test_kept_receipts_are_gone_through_in_steps_each_once_and_the_oldest_first(self) -> None:
        self.result(self.store.receipts([receipt(n, received_at=NOW + n) for n in range(1, 8)]))
        self.result(self.store.receipts([receipt(b"", keys=(), received_at=NOW + n) for n in range(11, 14)]))
        expected = [*range(1, 8), *range(11, 14)]
        for limit in (1, 2, 3, 7, 100):
            self.assertEqual([r.received_at - NOW for r in self.kept(limit)], expected)

    def test_kept_receipts_that_are_read_otherwise_find_their_messages(self) -> None:
        self.sent(1, 2, 3)
        orphan = receipt(b"x1", UNDELIVERABLE, received_at=NOW + 2)
        unreadable = receipt(b"", None, keys=(), final=False, received_at=NOW + 3, raw=b"what came")
        other = receipt(b"x9", received_at=NOW + 4)
        self.result(self.store.receipts([orphan, unreadable, other]))
        again = [
            ReadAgain(orphan, receipt(1, UNDELIVERABLE, received_at=NOW + 2)),
            ReadAgain(unreadable, receipt(2, EXPIRED, received_at=NOW + 3, raw=b"what came")),
            ReadAgain(other, receipt(99, received_at=NOW + 4)),
        ]
        answer = self.result(self.store.reread(again))
        self.assertEqual(list(answer.outcomes), [Outcome.FINAL, Outcome.FINAL, Outcome.ORPHAN])
        self.assertEqual(answer.queues, {SMPP})
        for _ in range(2):
            views = [self.view(n) for n in (1, 2, 3)]
            self.assertEqual([(v.state, v.done_at) for v in views[:2]], [(UNDELIVERABLE, NOW + 2), (EXPIRED, NOW + 3)])
            self.assertFalse(views[2].final)
            self.assertEqual(self.kept(), [other])
            self.assertEqual((self.store.figures().orphans, self.store.figures().unreadable), (1, 0))
            self.assertEqual(sorted(self.numbers(self.claimed())), [1, 2])
            if not self.after_restart():
                break
        # What has been placed is not placed twice.
        answer = self.result(self.store.reread(again))
        self.assertEqual(list(answer.outcomes), [Outcome.ORPHAN] * 3)
        self.assertEqual((self.store.figures().repeated, self.store.figures().contradicting), (0, 0))

    def test_a_receipt_that_is_read_again_matches_no_younger_message_and_none_to_another_number(self) -> None:
        early, late = NOW - 100, NOW + 100
        self.to(HANDSET)
        self.result(self.store.submitted([submitted(1)]))
        for handset, at, outcome in (
            (HANDSET, early, Outcome.ORPHAN),
            (OTHER_HANDSET, late, Outcome.ORPHAN),
            (HANDSET, late, Outcome.FINAL),
        ):
            kept = receipt_from(handset, b"x1", UNDELIVERABLE, received_at=at)
            self.result(self.store.receipts([kept]))
            again = ReadAgain(kept, receipt_from(handset, 1, UNDELIVERABLE, received_at=at))
            self.assertEqual(list(self.result(self.store.reread([again])).outcomes), [outcome])
        self.assertEqual((self.states(1), self.store.figures().orphans), ([UNDELIVERABLE], 2))

    def test_a_receipt_that_is_read_again_ends_a_message_only_if_it_has_not_ended(self) -> None:
        self.sent(1)
        orphan = receipt(b"x1", UNDELIVERABLE, received_at=NOW + 2)
        self.result(self.store.receipts([orphan, receipt(1, received_at=NOW + 3)]))
        answer = self.result(self.store.reread([ReadAgain(orphan, receipt(1, UNDELIVERABLE, received_at=NOW + 2))]))
        self.assertEqual(list(answer.outcomes), [Outcome.CONTRADICTING])
        self.assertEqual((self.view(1).state, self.kept()), (DELIVERED, []))

    def test_of_receipts_that_came_in_one_read_only_those_that_were_placed_are_kept_no_more(self) -> None:
        self.sent(1)
        same = [receipt(b"", keys=(), received_at=NOW + 2, raw=b"one %d" % n) for n in range(3)]
        self.result(self.store.receipts([*same, *[receipt(b"x%d" % n, received_at=NOW + 2) for n in range(3)]]))
        self.result(self.store.reread([ReadAgain(same[1], receipt(1, received_at=NOW + 2))]))
        for _ in range(2):
            self.assertEqual([r.raw for r in self.kept()], [b"", b"", b"", b"one 0", b"one 2"])
            if not self.after_restart():
                break

    def test_orphans_are_bounded_by_count_and_age(self) -> None:
        self.store = self.make_store(daemon_config.Limits(orphans=2, orphan_seconds=60))
        self.result(self.store.receipts([receipt(n, received_at=NOW + n) for n in (1, 2, 3)]))
        self.assertEqual([r.keys[0] for r in self.result(self.store.orphans(10))], [b"3", b"2"])
        self.result(self.store.expire(NOW + 62.5))
        self.assertEqual([r.keys[0] for r in self.result(self.store.orphans(10))], [b"3"])
        self.assertEqual(self.store.figures().orphans_dropped, 2)

    def evidence(self, limit: int = 1000) -> list[bytes]:
        """The first keys of what is kept as evidence, oldest first."""
        kept = self.result(self.store.evidence(limit))
        return [r.keys[0] for r in sorted(kept, key=lambda r: r.received_at)]

    def late(self, *numbers: int, carrier: str = "tier1") -> list[Receipt]:
        """Receipts that match no message, one a millisecond, that have come and have waited in vain."""
        came = [receipt(b"x%d" % n, carrier=carrier, received_at=self.clock.seconds() + n / 1000) for n in numbers]
        self.result(self.store.receipts(came))
        self.clock.advance(61.0)
        self.result(self.store.expire(self.clock.seconds()))
        return came

    def matched(self, *numbers: int, carrier: str = "tier1") -> None:
        """Messages with these numbers that have got their receipts."""
        self.result(self.store.accept([message(n) for n in numbers]))
        self.result(self.store.submitted([submitted(n, carrier=carrier) for n in numbers]))
        answer = self.result(self.store.receipts([receipt(n, carrier=carrier) for n in numbers]))
        self.assertEqual(set(answer.outcomes), {Outcome.FINAL})

    def test_receipts_of_a_carrier_that_matches_nothing_are_kept_until_they_are_matched_or_dismissed(self) -> None:
        self.store = self.make_store(daemon_config.Limits(orphan_seconds=60.0))
        self.sent(*range(100, 103))
        self.clock.advance(1.0)
        came = self.late(*range(60))
        for _ in range(2):
            self.assertEqual(self.evidence(), [b"x%d" % n for n in range(60)])
            self.assertEqual([r.keys[0] for r in self.result(self.store.evidence(2))], [b"x59", b"x58"])
            figures = self.store.figures()
            self.assertEqual((figures.orphans, dict(figures.evidence)), (0, {"tier1": 60}))
            for limit in (7, 60, 200):
                self.assertEqual(self.kept(limit), came)
            self.result(self.store.expire(self.clock.seconds() + 3600.0))
            if not self.after_restart():
                break
        # An id that comes now is another message's.
        self.result(self.store.accept([message(1)]))
        self.assertEqual(list(self.result(self.store.submitted([submitted(1, b"x1")])).outcomes), [])
        again = ReadAgain(came[7], receipt(100, EXPIRED, received_at=came[7].received_at))
        for outcome in (Outcome.FINAL, Outcome.ORPHAN):
            self.assertEqual(list(self.result(self.store.reread([again])).outcomes), [outcome])
        for _ in range(2):
            self.assertEqual(self.states(100, 101, 1), [EXPIRED, ENROUTE, ENROUTE])
            self.assertEqual(self.evidence(), [b"x%d" % n for n in range(60) if n != 7])
            self.assertEqual(self.store.figures().orphans, 0)
            if not self.after_restart():
                break
        self.assertEqual(self.result(self.store.dismiss_evidence("tier1")), 59)
        self.assertEqual(self.result(self.store.dismiss_evidence("tier1")), 0)
        for _ in range(2):
            self.result(self.store.expire(self.clock.seconds() + DAY))
            self.assertEqual((self.evidence(), self.kept(), dict(self.store.figures().evidence)), ([], [], {}))
            if not self.after_restart():
                break

    def test_evidence_finds_no_younger_message_and_none_to_another_number(self) -> None:
        self.store = self.make_store(daemon_config.Limits(orphan_seconds=60.0))
        early, late = NOW - 100, NOW + 100
        self.to(HANDSET)
        self.result(self.store.submitted([submitted(1)]))
        cases = (
            (HANDSET, early, Outcome.ORPHAN),
            (OTHER_HANDSET, late, Outcome.ORPHAN),
            (HANDSET, late, Outcome.FINAL),
        )
        for number, (handset, at, _) in enumerate(cases):
            kept = receipt_from(handset, b"x%d" % number, UNDELIVERABLE, received_at=at)
            self.result(self.store.receipts([kept]))
        self.result(self.store.expire(NOW + 1000))
        self.assertEqual(len(self.evidence()), 3)
        for kept in self.result(self.store.evidence(10)):
            handset, at, outcome = cases[int(kept.keys[0][1:])]
            again = ReadAgain(kept, receipt_from(handset, 1, UNDELIVERABLE, received_at=at))
            self.assertEqual(list(self.result(self.store.reread([again])).outcomes), [outcome])
        self.assertEqual((self.states(1), len(self.evidence())), ([UNDELIVERABLE], 2))

    def test_of_a_carrier_whose_receipts_find_their_messages_a_few_strays_are_kept_no_longer_than_others(self) -> None:
        self.store = self.make_store(daemon_config.Limits(orphan_seconds=60.0))
        self.matched(*range(100))
        self.late(*range(4))
        for _ in range(2):
            self.result(self.store.expire(self.clock.seconds() + 1))
            self.assertEqual((self.evidence(), self.store.figures().orphans), ([], 0))
            if not self.after_restart():
                break

    def test_of_a_carrier_that_matches_far_less_than_it_used_to_receipts_are_kept(self) -> None:
        for restarts in (False, True):
            self.store = self.make_store(daemon_config.Limits(orphan_seconds=60.0))
            self.matched(*range(1000))
            self.matched(*range(1000, 1100), carrier="tier2")
            self.result(self.store.expire(self.clock.seconds()))
            if restarts:
                self.after_restart()
            self.late(0, carrier="tier2")
            self.assertEqual(self.evidence(), [])
            self.late(*range(60))
            self.assertEqual(dict(self.store.figures().evidence), {"tier1": 60})

    def test_receipts_before_their_responses_are_no_sign_of_a_wrong_dialect(self) -> None:
        self.store = self.make_store(daemon_config.Limits(orphan_seconds=60.0))
        self.result(self.store.accept([message(n) for n in range(50)]))
        self.result(self.store.receipts([receipt(n) for n in range(50)]))
        self.result(self.store.submitted([submitted(n) for n in range(50)]))
        self.late(1, 2)
        self.assertEqual(self.evidence(), [])

    def test_no_carrier_fills_the_others_share_of_the_evidence(self) -> None:
        self.store = self.make_store(daemon_config.Limits(orphans=10, orphan_seconds=60.0))
        self.late(*range(3), carrier="quiet")
        self.late(*range(100), carrier="busy")
        for _ in range(2):
            self.assertEqual(dict(self.store.figures().evidence), {"quiet": 3, "busy": 7})
            if not self.after_restart():
                break
        self.late(*range(3), carrier="other")
        self.late(*range(100), carrier="busy")
        self.assertEqual(dict(self.store.figures().evidence), {"quiet": 3, "busy": 4, "other": 3})
        self.result(self.store.dismiss_evidence("busy"))
        self.assertEqual(dict(self.store.figures().evidence), {"quiet": 3, "other": 3})

    def test_where_orphans_are_over_their_bound_the_oldest_are_kept_as_evidence(self) -> None:
        self.store = self.make_store(daemon_config.Limits(orphans=10))
        self.result(self.store.receipts([receipt(b"x%d" % n, received_at=NOW + n) for n in range(15)]))
        for _ in range(2):
            self.assertEqual(self.evidence(), [b"x%d" % n for n in range(5)])
            self.assertEqual((self.store.figures().orphans, len(self.kept())), (10, 15))
            if not self.after_restart():
                break

    def test_receipts_before_a_dismissal_are_no_evidence_and_those_after_it_are(self) -> None:
        self.store = self.make_store(daemon_config.Limits(orphan_seconds=60.0))
        self.late(1)
        self.result(self.store.receipts([receipt(b"x2", received_at=self.clock.seconds())]))
        self.result(self.store.dismiss_evidence("tier1"))
        self.assertEqual(self.store.figures().orphans, 1)
        self.late()
        self.assertEqual(self.evidence(), [])
        self.late(3)
        self.assertEqual(self.evidence(), [b"x3"])

    def test_unreadable_receipts_are_kept_for_the_operator(self) -> None:
        answer = self.result(
            self.store.receipts([receipt(b"", keys=(), raw=b"?"), receipt(5, None, final=False, raw=b"!")])
        )
        self.assertEqual(list(answer.outcomes), [Outcome.UNREADABLE] * 2)
        self.assertEqual([r.raw for r in self.result(self.store.unreadable(10))], [b"!", b"?"])

    def test_a_word_that_nobody_knows_is_for_the_operator_and_tells_the_customer_nothing(self) -> None:
        self.sent(1, registered_delivery=0x11)
        answer = self.result(self.store.receipts([receipt(1, UNKNOWN, final=False, stat=b"MAYBE")]))
        self.assertEqual((list(answer.outcomes), answer.queues), ([Outcome.UNREADABLE], frozenset()))
        self.assertEqual(self.view(1).state, ENROUTE)
        self.assertEqual([r.stat for r in self.result(self.store.unreadable(10))], [b"MAYBE"])

    def test_the_first_final_state_stays_for_ever(self) -> None:
        self.sent(1)
        answer = self.result(
            self.store.receipts(
                [
                    receipt(1, DELETED),
                    receipt(1, DELETED),
                    receipt(1, DELIVERED),
                    receipt(1, ENROUTE, final=False),
                ]
            )
        )
        self.assertEqual(
            list(answer.outcomes),
            [Outcome.FINAL, Outcome.REPEATED, Outcome.CONTRADICTING, Outcome.LATE_INTERMEDIATE],
        )
        self.result(self.store.end([Ending(message_id(1), REJECTED, NOW + 3)]))
        self.assertEqual(self.view(1).state, DELETED)
        self.assertEqual(len(self.claimed()), 1)
        figures = self.store.figures()
        self.assertEqual((figures.repeated, figures.contradicting), (1, 1))

    def test_a_final_state_that_nobody_can_read_is_unknown(self) -> None:
        self.sent(1, 2)
        self.result(self.store.receipts([receipt(1, None), receipt(2, 99)]))
        self.assertEqual((self.view(1).state, self.view(2).state), (UNKNOWN, UNKNOWN))

    def test_intermediate_states_are_shown_and_notified_if_asked_for(self) -> None:
        self.sent(1)
        self.sent(2, registered_delivery=0x11)
        self.sent(3, account="hooked-all", registered_delivery=0)
        self.sent(4, account="hooked", registered_delivery=0)
        answer = self.result(self.store.receipts([receipt(n, ACCEPTED, final=False) for n in (1, 2, 3, 4)]))
        self.assertEqual(list(answer.outcomes), [Outcome.INTERMEDIATE] * 4)
        self.assertEqual(answer.queues, {SMPP, QueueKey("hooked-all", Channel.WEBHOOK)})
        self.assertEqual([self.view(n).state for n in (1, 2, 3, 4)], [ACCEPTED] * 4)
        (told,) = self.claimed()
        self.assertEqual((told.state, told.final, self.numbers([told])), (ACCEPTED, False, [2]))

    def test_receipts_are_in_the_queue_of_the_login_that_submitted_their_messages(self) -> None:
        billing = QueueKey("plain", Channel.SMPP, "billing")
        self.sent(1)
        self.sent(2, 3, 4, login="billing")
        self.result(self.store.accept([message(5, login="billing")]))
        self.result(self.store.replace(Replacement(message_id(5), b"new", 1, NOW + DAY)))
        self.result(self.store.submitted([submitted(5)]))
        answer = self.result(self.store.receipts([receipt(n) for n in (1, 2, 3, 5)]))
        self.assertEqual(answer.queues, {SMPP, billing})
        self.settle(self.claimed(billing, limit=1), Verdict.DELIVERED)
        (given_back,) = self.claimed(billing, limit=1)
        self.assertEqual(given_back.queue_key, billing)
        self.store.release([given_back])
        if self.after_restart():
            self.assertEqual(set(self.result(self.store.queues())), {SMPP, billing})
        self.assertEqual(self.numbers(self.claimed()), [1])
        self.assertEqual(self.numbers(self.claimed(billing)), [3, 5])
        self.result(self.store.receipts([receipt(4)]))
        self.assertEqual(self.numbers(self.claimed(billing)), [4], "the queue is still there after it was empty")

    def test_the_mask_of_a_callback_says_whether_intermediate_states_are_told_there(self) -> None:
        asks, asks_not = "kannel:4:http://own/", "kannel:3:http://own/"
        self.sent(1, account="hooked", registered_delivery=0, notification_url=asks)
        self.sent(2, account="hooked-all", registered_delivery=0, notification_url=asks_not)
        answer = self.result(self.store.receipts([receipt(n, ACCEPTED, final=False) for n in (1, 2)]))
        self.assertEqual(answer.queues, {QueueKey("hooked", Channel.WEBHOOK, asks)})

    def test_a_carriers_own_word_is_kept_beside_the_state(self) -> None:
        self.sent(1, 2, 3)
        self.result(self.store.accept([message(4, parts=(b"a", b"b"))]))
        self.result(self.store.submitted([submitted(4, b"p0", 0), submitted(4, b"p1", 1)]))
        self.result(
            self.store.receipts(
                [
                    receipt(1, UNDELIVERABLE, own_word=b"FAILED"),
                    receipt(2, UNDELIVERABLE),
                    receipt(3, ENROUTE, final=False, own_word=b"BUFFRED"),
                    receipt(b"p0", DELIVERED, own_word=b"DLV"),
                    receipt(b"p1", DELIVERED),
                ]
            )
        )
        for _ in range(2):
            words = [[part.carrier_stat for part in self.view(n).parts] for n in (1, 2, 3, 4)]
            self.assertEqual(words, [["FAILED"], [""], ["BUFFRED"], ["DLV", ""]])
            self.assertEqual([self.view(n).state for n in (1, 2, 3, 4)], [UNDELIVERABLE] * 2 + [ENROUTE, DELIVERED])
            self.after_restart()

    def test_an_intermediate_state_is_notified_once(self) -> None:
        self.sent(1, registered_delivery=0x11)
        enroute = receipt(1, ENROUTE, final=False)
        answer = self.result(self.store.receipts([enroute, enroute]))
        self.assertEqual(list(answer.outcomes), [Outcome.INTERMEDIATE, Outcome.REPEATED])
        self.assertEqual(len(self.claimed()), 1)

    def test_a_final_state_replaces_an_intermediate_one_that_was_not_notified(self) -> None:
        self.sent(1, registered_delivery=0x11)
        self.result(self.store.receipts([receipt(1, ENROUTE, final=False), receipt(1)]))
        self.assertEqual([(n.state, n.final) for n in self.claimed()], [(DELIVERED, True)])

    def test_an_unwanted_final_state_ends_the_owed_notification_of_the_intermediate_one(self) -> None:
        self.sent(1, registered_delivery=0x10)
        self.result(self.store.receipts([receipt(1, ENROUTE, final=False), receipt(1)]))
        self.assertEqual(self.claimed(), [])
        self.assertEqual(self.store.figures().owed, 0)

    def test_a_final_state_during_the_attempt_for_an_intermediate_one_is_notified_as_well(self) -> None:
        self.sent(1, registered_delivery=0x11)
        self.result(self.store.receipts([receipt(1, ENROUTE, final=False)]))
        first = self.claimed()
        self.result(self.store.receipts([receipt(1)]))
        self.settle(first, Verdict.RETRY, NOW + 500)
        (second,) = self.claimed()
        self.assertEqual((second.state, second.attempt), (DELIVERED, 1))
        self.settle([second], Verdict.DELIVERED)
        self.assertEqual(self.store.figures().owed, 0)

    def test_a_final_state_waits_for_the_attempt_that_tells_an_earlier_one(self) -> None:
        for verdict in (Verdict.DELIVERED, Verdict.RETRY, Verdict.GIVEN_UP, None):
            with self.subTest(verdict):
                self.setUp()
                queue = QueueKey("hooked-all", Channel.WEBHOOK)
                self.sent(1, account="hooked-all", registered_delivery=0)
                self.result(self.store.receipts([receipt(1, ENROUTE, final=False)]))
                first = self.claimed(queue)
                self.result(self.store.receipts([receipt(1)]))
                self.assertEqual(self.claimed(queue), [])
                announced: list[QueueKey] = []
                self.store.subscribe(announced.extend)
                if verdict is None:
                    self.store.release(first)
                else:
                    self.settle(first, verdict, NOW + 500)
                    for _ in range(20):
                        self.clock.advance(0.01)
                    self.assertEqual(announced, [queue])
                (second,) = self.claimed(queue)
                self.assertEqual((second.state, second.final, second.attempt), (DELIVERED, True, 1))
                self.settle([second], Verdict.DELIVERED)
                self.assertEqual((self.claimed(queue), self.store.figures().owed), ([], 0))

    # Progress

    PROGRESS = QueueKey("hooked-progress", Channel.WEBHOOK)

    def accept_for_progress(self, *numbers: int, **fields: Any) -> None:
        self.result(
            self.store.accept([message(n, "hooked-progress", registered_delivery=0, **fields) for n in numbers])
        )

    def test_that_a_carrier_has_taken_a_message_is_told_once_where_asked_for(self) -> None:
        self.accept_for_progress(1)
        self.sent(2, account="hooked-all", registered_delivery=0)
        answer = self.result(self.store.submitted([submitted(1)]))
        self.assertEqual(answer.queues, {self.PROGRESS})
        self.after_restart()
        (told,) = self.claimed(self.PROGRESS)
        self.assertEqual((self.numbers([told]), told.state, told.final), ([1], ENROUTE, False))
        self.settle([told], Verdict.DELIVERED)
        # A second submission of the part, and the carrier's own report of the same state, say nothing new.
        self.result(self.store.submitted([submitted(1, b"again")]))
        answer = self.result(self.store.receipts([receipt(1, ENROUTE, final=False)]))
        self.assertEqual(list(answer.outcomes), [Outcome.REPEATED])
        self.assertEqual(self.claimed(self.PROGRESS), [])
        self.result(self.store.receipts([receipt(1, ACCEPTED, final=False)]))
        self.assertEqual([n.state for n in self.claimed(self.PROGRESS)], [ACCEPTED])
        self.assertEqual(self.claimed(QueueKey("hooked-all", Channel.WEBHOOK)), [])

    def test_of_a_long_message_it_is_told_when_carriers_have_all_parts(self) -> None:
        self.accept_for_progress(1, parts=(b"a", b"b"))
        self.assertEqual(self.result(self.store.submitted([submitted(1, b"p1", 1)])).queues, frozenset())
        self.assertEqual(self.result(self.store.submitted([submitted(1, b"p0", 0)])).queues, {self.PROGRESS})
        self.assertEqual([n.state for n in self.claimed(self.PROGRESS)], [ENROUTE])

    def test_what_came_before_the_response_is_told_instead(self) -> None:
        self.accept_for_progress(1, 2)
        self.result(self.store.receipts([receipt(1), receipt(2, ACCEPTED, final=False)]))
        self.result(self.store.submitted([submitted(1), submitted(2)]))
        told = self.claimed(self.PROGRESS)
        self.assertEqual({(n.state, n.final) for n in told}, {(DELIVERED, True), (ACCEPTED, False)})

    def test_a_final_state_replaces_progress_that_was_not_told(self) -> None:
        self.accept_for_progress(1)
        self.result(self.store.submitted([submitted(1)]))
        self.result(self.store.receipts([receipt(1)]))
        (told,) = self.claimed(self.PROGRESS)
        self.assertEqual((told.state, told.final), (DELIVERED, True))

    # Messages from handsets

    FROM_HANDSETS = QueueKey("hooked", Channel.WEBHOOK, INBOUND_URL)

    def inbound(self, number: int, account: str = "hooked", **fields: Any) -> InboundMessage:
        values: dict[str, Any] = {"carrier": "tier1", "received_at": NOW, "addresses": ADDRESSES, "data_coding": 0,
                                  "octets": b"hello"}  # fmt: skip
        return InboundMessage(message_id(number), account, **(values | fields))

    def test_a_message_from_a_handset_is_owed_until_it_is_handed_over_and_survives_restarts(self) -> None:
        answer = self.result(self.store.receive([self.inbound(1, octets=b"one"), self.inbound(2, octets=b"two")]))
        self.assertEqual(answer.queues, {self.FROM_HANDSETS})
        for _ in range(2):
            self.after_restart()
            told = self.claimed(self.FROM_HANDSETS)
            self.assertEqual([n.inbound.octets for n in told if n.inbound is not None], [b"one", b"two"])
            self.assertEqual((self.claimed(WEBHOOK), self.store.figures().owed), ([], 2))
            self.store.release(told)
        first, second = self.claimed(self.FROM_HANDSETS)
        self.settle([first], Verdict.DELIVERED)
        self.settle([second], Verdict.RETRY, NOW + 500)
        self.after_restart()
        self.assertEqual(self.claimed(self.FROM_HANDSETS), [])
        (again,) = self.claimed(self.FROM_HANDSETS, now=NOW + 501)
        self.assertEqual((self.numbers([again]), again.attempt), ([2], 2))
        self.settle([again], Verdict.GIVEN_UP)
        self.assertEqual(self.result(self.store.notify_again("hooked", [message_id(1)], NOW + 600)).messages, 1)
        self.assertEqual(self.numbers(self.claimed(self.FROM_HANDSETS, now=NOW + 601)), [1])

    def test_messages_from_handsets_have_a_feed_of_their_own_and_are_no_messages_of_the_customer(self) -> None:
        self.result(self.store.receive([self.inbound(1), self.inbound(2, account="plain", webhook=False, smpp=True)]))
        self.result(self.store.accept([message(3, "hooked")]))
        self.result(self.store.end([Ending(message_id(3), REJECTED, NOW)]))
        self.result(self.store.receive([self.inbound(4, missing=(2,), parts=3, reference=7)]))
        for _ in range(2):
            found = self.result(self.store.inbound_feed("hooked", 0, 10))
            self.assertEqual([view.inbound.parts for view in found], [1, 3])
            self.assertEqual(self.numbers(found), [1, 4])
            cursor = found[0].inbound.cursor
            self.assertEqual(self.numbers(self.result(self.store.inbound_feed("hooked", cursor, 10))), [4])
            self.assertEqual(self.numbers(self.result(self.store.inbound_feed("hooked", 0, 1))), [1])
            self.assertEqual(self.numbers(self.result(self.store.feed("hooked", 0, 10))), [3])
            self.assertEqual(self.numbers(self.result(self.store.recent("hooked"))), [3])
            self.assertEqual((self.view(1), self.result(self.store.look_up_inbound(message_id(3)))), (None, None))
            view = self.result(self.store.look_up_inbound(message_id(4)))
            self.assertEqual((view.inbound.missing, view.owed), ((2,), ["webhook"]))
            self.assertEqual([n.inbound.octets for n in self.claimed(SMPP) if n.inbound], [b"hello"])
            # What an account gets over SMPP alone has no URL to be sent to again.
            self.assertEqual(self.result(self.store.notify_again("plain", [message_id(2)], NOW)).messages, 0)
            self.after_restart()

    def test_the_latest_messages_from_handsets_are_found_by_carrier_number_and_state_of_delivery(self) -> None:
        other = numbers_in(b"447700900999", b"12345")
        self.result(self.store.receive([self.inbound(1), self.inbound(2, carrier="tier2", addresses=other)]))
        self.result(self.store.receive([self.inbound(3), self.inbound(4, webhook=False, smpp=True)]))
        self.result(self.store.receive([self.inbound(5, account="plain", webhook=False, smpp=True)]))
        self.result(self.store.accept([message(6, "hooked")]))
        claimed = {n.inbound.id: n for n in self.claimed(self.FROM_HANDSETS) if n.inbound is not None}
        self.settle([claimed[message_id(1)]], Verdict.DELIVERED)
        self.settle([claimed[message_id(2)]], Verdict.GIVEN_UP)
        self.store.release([claimed[message_id(3)]])

        def latest(limit: int = 10, **wanted: Any) -> list[Any]:
            found = self.result(self.store.latest_inbound("hooked", InboundWanted(**wanted), limit))
            return [(self.numbers([each.view])[0], each.delivery) for each in found]

        for _ in range(2):
            self.assertEqual([(4, "waiting"), (3, "waiting"), (2, "failed"), (1, "delivered")], latest())
            self.assertEqual([(2, "failed")], latest(carrier="tier2"))
            self.assertEqual([(2, "failed")], latest(number="900999"))
            self.assertEqual([(4, "waiting"), (3, "waiting")], latest(delivery="waiting"))
            self.assertEqual([(1, "delivered")], latest(delivery="delivered"))
            self.assertEqual([(4, "waiting")], latest(1))
            found = self.result(self.store.latest_inbound("hooked", InboundWanted(), 2))
            self.assertEqual([(2, "failed"), (1, "delivered")], latest(before=found[1].view.inbound.cursor))
            self.assertEqual([], self.result(self.store.latest_inbound("nobody", InboundWanted(), 10)))
            self.after_restart()

    def test_parts_from_handsets_are_kept_until_the_message_is_received(self) -> None:
        parts = [InboundPart("tier1", NOW, ADDRESSES, 7, 2, number, 0, b"part") for number in (1, 2)]
        other = InboundPart("tier1", NOW, ADDRESSES, 8, 2, 1, 0, b"part")
        self.result(self.store.keep_parts([parts[0], other]))
        self.result(self.store.keep_parts([parts[0]]))
        self.after_restart()
        self.assertCountEqual(self.result(self.store.kept_parts()), [parts[0], other])
        self.result(self.store.receive([self.inbound(1, parts=2, reference=7)]))
        self.assertEqual(self.result(self.store.kept_parts()), [other])
        # A message that nobody wants only forgets its parts.
        self.result(self.store.receive([self.inbound(2, account="", parts=2, reference=8)]))
        self.after_restart()
        self.assertEqual(self.result(self.store.kept_parts()), [])
        self.assertEqual((self.store.figures().messages, self.store.figures().owed), (1, 1))

    def test_a_part_submitted_twice_is_found_under_both_ids(self) -> None:
        self.sent(1)
        self.result(self.store.submitted([submitted(1, b"again")]))
        self.assertEqual(self.view(1).parts[0].carrier_message_id, "again")
        answer = self.result(self.store.receipts([receipt(1), receipt(b"again")]))
        self.assertEqual(list(answer.outcomes), [Outcome.FINAL, Outcome.REPEATED])

    def test_a_late_response_for_an_ended_message_changes_nothing_but_its_ids(self) -> None:
        self.result(self.store.accept([message(1)]))
        self.result(self.store.end([Ending(message_id(1), UNKNOWN, NOW)]))
        self.result(self.store.submitted([submitted(1)]))
        answer = self.result(self.store.receipts([receipt(1)]))
        self.assertEqual(list(answer.outcomes), [Outcome.CONTRADICTING])
        self.assertEqual(self.view(1).state, UNKNOWN)

    # The relay's own verdict

    def test_a_message_ended_by_the_relay_is_notified(self) -> None:
        self.result(self.store.accept([message(1)]))
        answer = self.result(self.store.end([Ending(message_id(1), REJECTED, NOW + 1, b"0x45", "tier1")]))
        self.assertEqual(answer.queues, {SMPP})
        view = self.view(1)
        self.assertEqual((view.state, view.carrier, view.carrier_error), (REJECTED, "tier1", "0x45"))
        self.assertEqual([n.state for n in self.claimed()], [REJECTED])

    def test_ending_an_unknown_message_is_no_error(self) -> None:
        self.assertEqual(self.result(self.store.end([Ending(message_id(9), REJECTED, NOW)])).queues, frozenset())

    # Long messages

    def long(self, count: int, mode: PartsReceipted = PartsReceipted.ALL, account: str = "plain") -> None:
        self.result(self.store.accept([message(1, account, parts=tuple(b"part" for _ in range(count)))]))
        self.result(
            self.store.submitted([submitted(1, b"p%d" % p, p, parts_receipted=int(mode)) for p in range(count)])
        )

    def test_a_long_message_is_delivered_when_all_its_parts_are(self) -> None:
        self.long(3)
        answer = self.result(self.store.receipts([receipt(b"p2"), receipt(b"p0"), receipt(b"p1")]))
        self.assertEqual(list(answer.outcomes), [Outcome.PART, Outcome.PART, Outcome.FINAL])
        (told,) = self.claimed()
        self.assertEqual((told.state, told.parts), (DELIVERED, 3))

    def test_a_long_message_ends_as_the_worst_of_its_parts(self) -> None:
        self.long(3)
        parts = [receipt(b"p0"), receipt(b"p1", UNDELIVERABLE, error=b"33"), receipt(b"p2", EXPIRED, error=b"44")]
        self.result(self.store.receipts(parts))
        view = self.view(1)
        self.assertEqual((view.state, view.carrier_error), (UNDELIVERABLE, "33"))
        self.assertEqual([p.state for p in view.parts], [DELIVERED, UNDELIVERABLE, EXPIRED])

    def test_if_only_the_first_part_gets_a_receipt_that_receipt_decides(self) -> None:
        self.long(3, PartsReceipted.FIRST)
        answer = self.result(self.store.receipts([receipt(b"p0")]))
        self.assertEqual((list(answer.outcomes), self.view(1).state), ([Outcome.FINAL], DELIVERED))

    def test_if_only_the_last_part_gets_a_receipt_that_receipt_decides(self) -> None:
        self.long(3, PartsReceipted.LAST)
        answer = self.result(self.store.receipts([receipt(b"p0"), receipt(b"p2")]))
        self.assertEqual(list(answer.outcomes), [Outcome.PART, Outcome.FINAL])

    def test_if_any_part_may_get_the_receipt_the_first_receipt_decides(self) -> None:
        self.long(3, PartsReceipted.ANY)
        answer = self.result(self.store.receipts([receipt(b"p1", REJECTED)]))
        self.assertEqual((list(answer.outcomes), self.view(1).state), ([Outcome.FINAL], REJECTED))

    def test_a_long_message_waits_until_its_last_part_is_taken(self) -> None:
        self.result(self.store.accept([message(1, parts=(b"a", b"b"))]))
        first = int(PartsReceipted.FIRST)
        self.result(self.store.submitted([submitted(1, b"p0", 0, parts_receipted=first)]))
        answer = self.result(self.store.receipts([receipt(b"p0")]))
        self.assertEqual((list(answer.outcomes), self.view(1).final), ([Outcome.PART], False))
        answer = self.result(self.store.submitted([submitted(1, b"p1", 1, parts_receipted=first)]))
        self.assertEqual((answer.queues, self.view(1).state), ({SMPP}, DELIVERED))

    # What time does

    def test_a_message_that_no_carrier_took_expires(self) -> None:
        self.result(self.store.accept([message(1, expires_at=NOW + 100)]))
        self.result(self.store.expire(NOW + 101))
        self.assertFalse(self.view(1).final)
        answer = self.result(self.store.expire(NOW + 1000))
        self.assertEqual((answer.queues, self.view(1).state), ({SMPP}, EXPIRED))

    def test_a_message_whose_receipt_never_comes_ends_as_unknown(self) -> None:
        self.sent(1)
        self.result(self.store.expire(NOW + 4 * DAY - 1))
        self.assertFalse(self.view(1).final)
        answer = self.result(self.store.expire(NOW + 4 * DAY + 1))
        self.assertEqual((answer.queues, self.view(1).state), ({SMPP}, UNKNOWN))

    def test_an_account_may_choose_no_notification_of_unanswered_messages(self) -> None:
        self.sent(1, account="silent")
        answer = self.result(self.store.expire(NOW + 4 * DAY + 1))
        self.assertEqual((answer.queues, self.view(1).state), (frozenset(), UNKNOWN))
        self.assertEqual(self.store.figures().owed, 0)

    def test_a_part_that_never_hears_back_ends_alone(self) -> None:
        self.long(2)
        self.result(self.store.receipts([receipt(b"p0")]))
        self.result(self.store.expire(NOW + 4 * DAY + 1))
        view = self.view(1)
        self.assertEqual(([p.state for p in view.parts], view.state), ([DELIVERED, UNKNOWN], UNKNOWN))

    def test_a_long_message_without_any_receipt_ends_silently_where_the_account_wants_that(self) -> None:
        for mode in (PartsReceipted.ALL, PartsReceipted.LAST, PartsReceipted.ANY):
            self.setUp()
            self.long(3, mode, account="silent")
            answer = self.result(self.store.expire(NOW + 4 * DAY + 1))
            self.assertEqual((answer.queues, self.view(1).state, self.view(1).final), (frozenset(), UNKNOWN, True))
            self.assertEqual(self.store.figures().owed, 0)

    def test_one_receipt_for_any_part_is_enough_for_the_notification_of_a_long_message(self) -> None:
        for said in (receipt(b"p0"), receipt(b"p0", ENROUTE, final=False), receipt(b"p0", UNKNOWN)):
            self.setUp()
            self.long(3, account="silent")
            self.result(self.store.receipts([said]))
            self.result(self.store.expire(NOW + 4 * DAY + 1))
            self.assertEqual((self.view(1).state, self.store.figures().owed), (UNKNOWN, 2))

    def overdue(self, **room: int) -> Any:
        """What is to be asked for, long after everything is due."""
        return self.result(self.store.expire(NOW + 4 * DAY + 1, room or {"tier1": 10})).overdue

    def test_a_carrier_that_answers_queries_is_queried_before_its_message_ends(self) -> None:
        self.sent(1)
        self.assertEqual(self.result(self.store.expire(NOW + 4 * DAY - 1, {"tier1": 10})).overdue, ())
        [part] = self.overdue()
        self.assertEqual(
            (part.id, part.part, part.carrier, part.carrier_message_id, part.given_id, part.addresses),
            (message_id(1), 0, "tier1", b"1", b"1", ADDRESSES),
        )
        self.assertFalse(self.view(1).final)
        self.assertEqual(list(self.overdue()), [])
        self.result(self.store.receipts([receipt(1, UNDELIVERABLE)]))
        self.assertEqual(self.view(1).state, UNDELIVERABLE)
        self.assertEqual(list(self.overdue()), [])

    def test_other_carriers_are_not_queried_and_their_messages_end(self) -> None:
        self.sent(1)
        self.assertEqual(list(self.overdue(tier2=10)), [])
        self.assertEqual(self.view(1).state, UNKNOWN)

    def test_a_carrier_is_asked_no_more_than_it_has_room_for_and_the_rest_waits(self) -> None:
        self.sent(1, 2, 3)
        self.assertEqual(len(self.overdue(tier1=2)), 2)
        self.assertEqual(len(self.overdue(tier1=0)), 0)
        self.assertEqual([self.view(n).final for n in (1, 2, 3)], [False] * 3)
        self.assertEqual(len(self.overdue(tier1=2)), 1)

    def test_a_carrier_without_room_or_away_keeps_a_message_for_an_hour_only(self) -> None:
        self.sent(1)
        self.result(self.store.expire(NOW + 4 * DAY + 3599, {"tier1": 0}))
        self.assertFalse(self.view(1).final)
        answer = self.result(self.store.expire(NOW + 4 * DAY + 3601, {"tier1": 10}))
        self.assertEqual((list(answer.overdue), self.view(1).state), ([], UNKNOWN))

    def test_a_query_without_any_result_is_repeated(self) -> None:
        self.sent(1)
        self.assertEqual(len(self.overdue()), 1)
        answer = self.result(self.store.expire(NOW + 4 * DAY + 1000, {"tier1": 10}))
        self.assertEqual(list(answer.overdue), [])
        answer = self.result(self.store.expire(NOW + 4 * DAY + 1300, {"tier1": 10}))
        self.assertEqual([part.id for part in answer.overdue], [message_id(1)])

    def test_a_message_without_any_receipt_ends_as_unknown_as_the_account_wishes(self) -> None:
        self.sent(1)
        self.sent(2, account="silent")
        self.assertEqual(len(self.overdue()), 2)
        answer = self.result(
            self.store.query_outcomes([QueryOutcome(message_id(n), 0, NOW + 4 * DAY + 2) for n in (1, 2)])
        )
        self.assertEqual((answer.queues, self.view(1).state, self.view(2).state), ({SMPP}, UNKNOWN, UNKNOWN))
        self.assertEqual(self.store.figures().owed, 1)

    def test_a_message_under_way_is_waited_for_once_more_and_no_longer(self) -> None:
        self.sent(1)
        self.overdue()
        self.result(self.store.query_outcomes([QueryOutcome(message_id(1), 0, NOW + 4 * DAY + 2, NOW + 5 * DAY)]))
        self.assertEqual(list(self.overdue()), [])
        self.assertFalse(self.view(1).final)
        self.after_restart()
        self.assertEqual(list(self.overdue()), [])
        self.assertFalse(self.view(1).final)
        # Asked a last time.
        answer = self.result(self.store.expire(NOW + 5 * DAY + 1, {"tier1": 10}))
        self.assertEqual([part.id for part in answer.overdue], [message_id(1)])
        self.result(self.store.query_outcomes([QueryOutcome(message_id(1), 0, NOW + 5 * DAY + 2, NOW + 6 * DAY)]))
        self.assertEqual(self.view(1).state, UNKNOWN)

    def test_each_overdue_part_of_a_long_message_is_asked_for_by_itself(self) -> None:
        self.long(3)
        self.result(self.store.receipts([receipt(b"p1")]))
        self.assertEqual([(part.part, part.given_id) for part in self.overdue()], [(0, b"p0"), (2, b"p2")])
        self.result(self.store.query_outcomes([QueryOutcome(message_id(1), 0, NOW + 4 * DAY + 2, NOW + 5 * DAY)]))
        self.result(self.store.query_outcomes([QueryOutcome(message_id(1), 2, NOW + 4 * DAY + 2)]))
        view = self.view(1)
        self.assertEqual(([p.state for p in view.parts], view.final), ([ENROUTE, DELIVERED, UNKNOWN], False))
        self.after_restart()
        self.assertEqual(list(self.overdue()), [])
        self.result(self.store.receipts([receipt(b"p0")]))
        self.assertEqual((self.view(1).final, self.view(1).state), (True, UNKNOWN))

    def test_queries_interrupted_by_a_restart_are_repeated(self) -> None:
        self.sent(1)
        self.assertEqual(len(self.overdue()), 1)
        if self.after_restart():
            self.assertEqual([part.id for part in self.overdue()], [message_id(1)])

    def test_an_id_that_means_a_newer_message_is_not_asked_about(self) -> None:
        self.result(self.store.accept([message(1), message(2)]))
        self.result(self.store.submitted([submitted(1, b"7")]))
        self.result(self.store.submitted([submitted(2, b"7", receipt_due_at=NOW + 9 * DAY)]))
        self.assertEqual(list(self.overdue()), [])
        self.assertEqual((self.view(1).state, self.view(2).final), (UNKNOWN, False))

    def test_a_message_to_which_the_carrier_gave_no_id_is_not_asked_about(self) -> None:
        self.result(self.store.accept([message(1)]))
        self.result(self.store.submitted([Submitted(message_id(1), 0, "tier1", b"", NOW + 1, NOW + 4 * DAY)]))
        self.assertEqual(list(self.overdue()), [])
        self.assertEqual(self.view(1).state, UNKNOWN)

    def test_ids_are_kept_as_their_carrier_wrote_them_if_they_are_given(self) -> None:
        self.result(self.store.accept([message(1), message(2, parts=(b"a", b"b")), message(3, reference="r")]))
        self.result(
            self.store.submitted(
                [
                    submitted(1, b"171", given_id=b"0xAB"),
                    submitted(2, b"172", 0, given_id=b"0xAC"),
                    submitted(2, b"173", 1, given_id=b""),
                    submitted(3, b"174", given_id=b"0xAE"),
                ]
            )
        )
        self.result(self.store.receipts([receipt(b"174")]))
        for _ in range(2):
            found = [self.result(self.store.at_carriers(message_id(n))) for n in (1, 2, 3)]
            self.assertEqual(
                [[(part.part, part.carrier_message_id, part.given_id) for part in parts] for parts in found],
                [[(0, b"171", b"0xAB")], [(0, b"172", b"0xAC"), (1, b"173", b"173")], []],
            )
            self.after_restart()
        self.assertEqual(self.view(1).parts[0].carrier_message_id, "171")

    def test_an_id_given_later_takes_the_place_of_the_earlier_one_as_it_was_written(self) -> None:
        self.result(self.store.accept([message(1)]))
        self.result(self.store.submitted([submitted(1, b"171", given_id=b"0xAB")]))
        self.result(self.store.submitted([submitted(1, b"k", carrier="tier2")]))
        [part] = self.result(self.store.at_carriers(message_id(1)))
        self.assertEqual((part.carrier, part.carrier_message_id, part.given_id), ("tier2", b"k", b"k"))

    def test_answers_about_what_has_ended_or_never_was_change_nothing(self) -> None:
        self.sent(1)
        self.result(self.store.accept([message(2)]))
        self.result(self.store.receipts([receipt(1)]))
        nonsense = [(1, 0), (1, 5), (2, 0), (2, 7), (9, 0)]
        self.result(
            self.store.query_outcomes(
                [QueryOutcome(message_id(n), p, NOW + 5, until) for n, p in nonsense for until in (0.0, NOW + 9)]
            )
        )
        self.assertEqual((self.view(1).state, self.view(2).state, self.view(2).final), (DELIVERED, SCHEDULED, False))
        self.assertEqual(list(self.result(self.store.at_carriers(message_id(9)))), [])
        self.assertEqual(list(self.result(self.store.at_carriers(message_id(2)))), [])

    def test_a_receipt_that_nobody_fetches_is_given_up(self) -> None:
        self.sent(1)
        self.result(self.store.receipts([receipt(1)]))
        self.result(self.store.expire(NOW + 3601))
        self.assertEqual(self.store.figures().owed, 1)
        self.result(self.store.expire(NOW + 3603))
        self.assertEqual((self.store.figures().owed, self.claimed()), (0, []))

    def test_finished_messages_are_kept_up_to_the_bound_the_oldest_going_first(self) -> None:
        self.store = self.make_store(daemon_config.Limits(finished=2))
        self.sent(1, 2, 3, 4, registered_delivery=0)
        self.result(self.store.receipts([receipt(n) for n in (2, 1, 3)]))
        self.result(self.store.expire(NOW + 5))
        self.assertEqual([self.view(n) is None for n in (1, 2, 3, 4)], [False, True, False, False])
        self.assertEqual(self.numbers(self.result(self.store.recent("plain"))), [4, 3, 1])

    def test_finished_messages_are_kept_for_so_long(self) -> None:
        self.store = self.make_store(daemon_config.Limits(finished_hours=1))
        self.sent(1, registered_delivery=0)
        self.result(self.store.receipts([receipt(1)]))
        self.result(self.store.expire(NOW + 3600))
        self.assertIsNotNone(self.view(1))
        self.result(self.store.expire(NOW + 3603))
        self.assertIsNone(self.view(1))

    def test_a_message_with_an_owed_notification_is_not_forgotten(self) -> None:
        self.store = self.make_store(daemon_config.Limits(finished=0, finished_hours=1))
        self.sent(1, account="hooked")
        self.result(self.store.receipts([receipt(1)]))
        self.result(self.store.expire(NOW + 10 * DAY))
        self.assertEqual(len(self.claimed(WEBHOOK)), 1)

    # Notifications

    def test_registered_delivery_says_which_final_states_are_notified(self) -> None:
        told: dict[int, list[int]] = {}
        for asked in (0, 1, 2, 3):
            for state in (DELIVERED, UNDELIVERABLE):
                number = asked * 10 + state
                self.sent(number, registered_delivery=asked)
                self.result(self.store.receipts([receipt(number, state)]))
                told.setdefault(asked, []).extend(n.state for n in self.claimed())
        self.assertEqual(told, {0: [], 1: [DELIVERED, UNDELIVERABLE], 2: [UNDELIVERABLE], 3: [DELIVERED]})

    def test_every_message_of_an_account_with_a_url_is_notified_there_and_over_smpp_if_asked_for(self) -> None:
        self.sent(1, account="hooked")
        self.sent(2, account="hooked", registered_delivery=0, interface="http")
        answer = self.result(self.store.receipts([receipt(1), receipt(2)]))
        smpp = QueueKey("hooked", Channel.SMPP)
        self.assertEqual(answer.queues, {WEBHOOK, smpp})
        self.assertEqual(self.numbers(self.claimed(WEBHOOK)), [1, 2])
        self.assertEqual(self.numbers(self.claimed(smpp)), [1])

    def test_a_message_with_its_own_url_has_its_own_queue(self) -> None:
        self.sent(1, account="hooked", notification_url="http://a/", registered_delivery=0)
        self.sent(2, account="plain", notification_url="http://b/", registered_delivery=0)
        answer = self.result(self.store.receipts([receipt(1), receipt(2)]))
        own = QueueKey("hooked", Channel.WEBHOOK, "http://a/")
        self.assertEqual(answer.queues, {own, QueueKey("plain", Channel.WEBHOOK, "http://b/")})
        (told,) = self.claimed(own)
        self.assertEqual((told.url, told.queue_key), ("http://a/", own))
        self.settle([told], Verdict.DELIVERED)
        self.assertEqual(list(self.result(self.store.queues())), [QueueKey("plain", Channel.WEBHOOK, "http://b/")])

    def test_a_notification_tells_all_that_its_writer_needs(self) -> None:
        self.sent(1, account="hooked", reference="r", registered_delivery=0)
        self.result(self.store.receipts([receipt(1, EXPIRED, error=b"12", network_error_code=b"\x03\0\x05")]))
        (told,) = self.claimed(WEBHOOK)
        self.assertEqual(
            told,
            Notification(
                id=message_id(1),
                account="hooked",
                channel=Channel.WEBHOOK,
                state=EXPIRED,
                final=True,
                attempt=1,
                accepted_at=NOW + 0.001,
                done_at=NOW + 2,
                addresses=message(1).addresses,
                carrier_error=b"12",
                network_error_code=b"\x03\0\x05",
                reference="r",
                owed_since=NOW + 2,
            ),
        )

    def test_a_claimed_notification_is_not_claimed_again(self) -> None:
        self.sent(1, 2, 3)
        self.result(self.store.receipts([receipt(n) for n in (1, 2, 3)]))
        self.assertEqual(self.numbers(self.claimed(limit=2)), [1, 2])
        self.assertEqual(self.numbers(self.claimed()), [3])
        self.assertEqual(self.claimed(), [])

    def test_a_claim_says_whether_more_is_due_and_the_store_announces_the_next_when_it_is_due(self) -> None:
        announced = self.announced()
        self.sent(1, 2)
        self.result(self.store.receipts([receipt(1), receipt(2)]))
        now = self.clock.seconds()
        claim = self.result(self.store.claim(SMPP, 1, now))
        self.assertTrue(claim.more)
        self.settle(claim.notifications, Verdict.RETRY, now + 300)
        self.claimed(now=now)
        self.assertFalse(self.result(self.store.claim(SMPP, 1, now)).more)
        self.clock.advance(now + 299.0 - self.clock.seconds())
        self.assertEqual(announced, [])
        self.pass_seconds(2.0)
        self.assertEqual(announced, [SMPP])
        self.pass_seconds(600.0)
        self.assertEqual(announced, [SMPP])
        self.assertEqual(len(self.claimed(now=self.clock.seconds())), 1)

    def test_retries_of_very_many_queues_are_announced_in_batches_by_one_delayed_call(self) -> None:
        batches: list[int] = []
        self.store.subscribe(lambda queues: batches.append(len(queues)))
        count = 1_200
        numbers = range(1, count + 1)
        for n in numbers:
            self.sent(n, account="hooked", registered_delivery=0, notification_url=f"http://a/{n}")
        self.result(self.store.receipts([receipt(n) for n in numbers]))
        calls = len(self.clock.getDelayedCalls())
        told = [n for key in self.result(self.store.queues()) for n in self.claimed(key)]
        now = self.clock.seconds()
        self.settle(told, Verdict.RETRY, now + 300)
        self.assertLessEqual(len(self.clock.getDelayedCalls()), calls + 2)
        self.clock.advance(now + 300.0 - self.clock.seconds())
        self.pass_seconds(1.0)
        self.assertEqual(sum(batches), count)
        self.assertLess(len(batches), 10)

    def announced(self) -> list[QueueKey]:
        """The queues that the store announces from now on."""
        announced: list[QueueKey] = []
        self.store.subscribe(announced.extend)
        return announced

    def pass_seconds(self, seconds: float) -> None:
        """Some time passes, in steps, so that what comes late comes."""
        for _ in range(20):
            self.clock.advance(seconds / 20)

    def test_released_notifications_come_first_in_their_order(self) -> None:
        self.sent(1, 2, 3)
        self.result(self.store.receipts([receipt(n) for n in (1, 2, 3)]))
        self.store.release(self.claimed(limit=2))
        again = self.claimed()
        self.assertEqual((self.numbers(again), [n.attempt for n in again]), ([1, 2, 3], [1, 1, 1]))

    def test_a_retry_is_due_at_its_time_and_counted(self) -> None:
        self.sent(1, account="hooked", registered_delivery=0)
        self.result(self.store.receipts([receipt(1)]))
        self.settle(self.claimed(WEBHOOK), Verdict.RETRY, NOW + 300)
        self.assertEqual(self.claimed(WEBHOOK, now=NOW + 299), [])
        (again,) = self.claimed(WEBHOOK, now=NOW + 300)
        self.assertEqual(again.attempt, 2)
        self.settle([again], Verdict.DELIVERED)
        view = self.view(1)
        self.assertEqual(
            [(a.channel, a.attempt, a.answer) for a in view.attempts], [("webhook", n, "said") for n in (1, 2)]
        )
        self.assertEqual((view.owed, self.claimed(WEBHOOK, now=NOW + 9999)), ([], []))

    def test_of_many_attempts_the_last_few_are_kept_also_after_a_restart(self) -> None:
        self.sent(1, account="hooked", registered_delivery=0)
        self.result(self.store.receipts([receipt(1)]))
        for number in range(30):
            now = NOW + 300.0 * number
            self.settle(self.claimed(WEBHOOK, now=now), Verdict.RETRY, now + 300.0)
        kept = [a.attempt for a in self.view(1).attempts]
        self.assertEqual(kept, list(range(31 - len(kept), 31)))
        self.assertLessEqual(len(kept), 12)
        if self.after_restart():
            said = [(a.attempt, a.url, a.body) for a in self.view(1).attempts]
            self.assertEqual(said, [(number, f"http://{number}/", "oh") for number in kept])

    def waiting(self, *brought_forward_by: Recovery) -> None:
        """Notifications on the webhook, from number 1 on, whose second attempts are due later and later."""
        numbers = range(1, len(brought_forward_by) + 1)
        self.sent(*numbers, account="hooked", registered_delivery=0)
        self.result(self.store.receipts([receipt(n) for n in numbers]))
        for told, recovery in zip(self.claimed(WEBHOOK), brought_forward_by, strict=True):
            self.settle([told], Verdict.RETRY, NOW + 300 + self.numbers([told])[0], recovery)

    def test_a_recovery_makes_due_what_waits_for_it_or_for_less(self) -> None:
        self.waiting(Recovery.NOTHING, Recovery.OUTAGE_ENDED, Recovery.REACHED, Recovery.REACHED)
        self.assertEqual(self.claimed(WEBHOOK), [])
        self.store.bring_forward(WEBHOOK, Recovery.REACHED)
        claim = self.result(self.store.claim(WEBHOOK, 1, NOW + 30))
        self.assertEqual((self.numbers(claim.notifications), claim.more), ([3], True))
        self.assertEqual(self.numbers(self.claimed(WEBHOOK)), [4])
        self.store.bring_forward(WEBHOOK, Recovery.OUTAGE_ENDED)
        claim = self.result(self.store.claim(WEBHOOK, 10, NOW + 30))
        self.assertEqual((self.numbers(claim.notifications), claim.more), ([2], False))
        self.store.bring_forward(QueueKey("nobody", Channel.WEBHOOK), Recovery.REACHED)

    def test_a_brought_forward_attempt_is_the_last_one_once_more_and_takes_nothing_from_the_schedule(self) -> None:
        self.waiting(Recovery.REACHED)
        self.store.bring_forward(WEBHOOK, Recovery.REACHED)
        [early] = self.claimed(WEBHOOK)
        self.assertEqual((early.attempt, early.scheduled_at), (1, NOW + 301))
        self.store.release([early])
        self.assertEqual(self.claimed(WEBHOOK), [early])
        self.settle([early], Verdict.RETRY, early.scheduled_at)
        self.store.bring_forward(WEBHOOK, Recovery.REACHED)
        self.assertEqual(self.claimed(WEBHOOK, now=NOW + 300), [])
        self.after_restart()
        [planned] = self.claimed(WEBHOOK, now=NOW + 301)
        self.assertEqual((planned.attempt, planned.scheduled_at), (2, 0.0))
        self.assertEqual([a.attempt for a in self.view(1).attempts], [1, 1])

    def test_a_brought_forward_retry_that_reaches_its_own_time_first_is_the_next_attempt(self) -> None:
        self.waiting(Recovery.REACHED)
        self.store.bring_forward(WEBHOOK, Recovery.REACHED)
        [told] = self.claimed(WEBHOOK, now=NOW + 301)
        self.assertEqual((told.attempt, told.scheduled_at), (2, 0.0))

    def test_a_newer_state_is_notified_as_a_first_attempt_whatever_was_brought_forward(self) -> None:
        self.sent(1, account="hooked-all", registered_delivery=0)
        queue_key = QueueKey("hooked-all", Channel.WEBHOOK)
        self.result(self.store.receipts([receipt(1, ENROUTE, final=False)]))
        self.settle(self.claimed(queue_key), Verdict.RETRY, NOW + 300, Recovery.REACHED)
        self.store.bring_forward(queue_key, Recovery.REACHED)
        self.result(self.store.receipts([receipt(1)]))
        [told] = self.claimed(queue_key)
        self.assertEqual((told.attempt, told.state, told.scheduled_at), (1, DELIVERED, 0.0))
        self.settle([told], Verdict.DELIVERED)
        self.assertEqual((self.claimed(queue_key, now=NOW + DAY), self.store.figures().owed), ([], 0))

    def test_after_a_restart_the_schedule_holds(self) -> None:
        self.waiting(Recovery.REACHED)
        self.store.bring_forward(WEBHOOK, Recovery.REACHED)
        if self.after_restart():
            self.assertEqual(self.claimed(WEBHOOK, now=NOW + 300), [])
            self.store.bring_forward(WEBHOOK, Recovery.OUTAGE_ENDED)
            self.assertEqual(self.claimed(WEBHOOK, now=NOW + 300), [])
            self.assertEqual([n.attempt for n in self.claimed(WEBHOOK, now=NOW + 301)], [2])

    def test_retries_written_while_the_clock_was_ahead_are_due_when_the_schedule_says(self) -> None:
        self.clock.rightNow = NOW + DAY
        self.sent(1, account="hooked", registered_delivery=0)
        self.result(self.store.accept([message(2, accepted_at=NOW + DAY, expires_at=NOW + DAY + 3600)]))
        self.result(self.store.receipts([receipt(1, received_at=NOW + DAY)]))
        tried = [
            Attempt(n, Verdict.RETRY, NOW + DAY, NOW + DAY + 300, "said", 0.5)
            for n in self.claimed(WEBHOOK, now=NOW + DAY)
        ]
        self.result(self.store.settle(tried))
        self.clock.rightNow = NOW
        if self.after_restart():
            now = self.clock.seconds()
            self.assertEqual(self.claimed(WEBHOOK, now=NOW + 299), [])
            self.assertEqual(self.numbers(self.claimed(WEBHOOK, now=now + 301)), [1])
            self.assertLessEqual(self.view(2).expires_at, now + 3600)

    def test_after_a_clock_was_ahead_a_receipt_is_awaited_no_longer_than_its_time(self) -> None:
        ahead = NOW + DAY
        self.clock.rightNow = ahead
        dated: dict[str, Any] = {"accepted_at": ahead, "expires_at": ahead + 60}
        self.result(self.store.accept([message(1, **dated), message(2, parts=(b"a", b"b"), **dated)]))
        taken = [(1, b"", 0), (2, b"20", 0), (2, b"21", 1)]
        for number, key, part in taken:
            self.result(self.store.submitted([submitted(number, key, part, at=ahead, receipt_due_at=ahead + 300)]))
        self.clock.rightNow = NOW
        if self.after_restart():
            self.result(self.store.expire(self.clock.seconds() + 299))
            self.assertEqual([self.view(number).final for number in (1, 2)], [False, False])
            self.result(self.store.expire(self.clock.seconds() + 301))
            self.assertEqual([self.view(number).final for number in (1, 2)], [True, True])

    def test_a_queue_that_fails_does_not_hold_up_another_channel(self) -> None:
        self.sent(1, account="hooked")
        self.result(self.store.receipts([receipt(1)]))
        self.settle(self.claimed(WEBHOOK), Verdict.RETRY, NOW + 300)
        self.settle(self.claimed(QueueKey("hooked", Channel.SMPP)), Verdict.DELIVERED)
        self.assertEqual(self.view(1).owed, ["webhook"])

    def test_given_up_notifications_are_listed_and_can_be_sent_again(self) -> None:
        self.sent(1, 2, account="hooked", registered_delivery=0)
        self.result(self.store.receipts([receipt(1), receipt(2)]))
        self.settle(self.claimed(WEBHOOK), Verdict.GIVEN_UP)
        self.assertEqual(self.claimed(WEBHOOK, now=NOW + DAY), [])
        self.assertEqual(self.store.given_up_count("hooked"), 2)
        given_up = self.result(self.store.given_up("hooked", NOW + 20, NOW + 21, 10))
        self.assertEqual(sorted(given_up), sorted([message_id(1), message_id(2)]))
        self.assertEqual(len(self.result(self.store.given_up("hooked", NOW, NOW + 21, 1))), 1)
        self.assertEqual(list(self.result(self.store.given_up("hooked", NOW, NOW + 20, 10))), [])
        again = self.result(self.store.notify_again("hooked", [message_id(1)] * 2, NOW + 50))
        self.assertEqual((again.messages, again.queues), (1, {WEBHOOK}))
        (again,) = self.claimed(WEBHOOK, now=NOW + 50)
        self.assertEqual((again.id, again.attempt, again.owed_since), (message_id(1), 1, NOW + 50))
        self.assertEqual(list(self.result(self.store.given_up("hooked", NOW, NOW + DAY, 10))), [message_id(2)])
        self.assertEqual((self.store.given_up_count("hooked"), self.store.given_up_count("nobody")), (1, 0))

    def forgotten(self, number: int, **fields: Any) -> MessageView:
        """A message that has ended, was told and is forgotten, as the history would know it."""
        self.sent(number, account="hooked", registered_delivery=0, **fields)
        self.result(self.store.receipts([receipt(number, error=b"000")]))
        view: MessageView = self.view(number)
        self.settle(
            self.claimed(QueueKey("hooked", Channel.WEBHOOK, fields.get("notification_url", ""))), Verdict.DELIVERED
        )
        self.result(self.store.expire(NOW + 30))
        self.assertIsNone(self.view(number))
        return msgspec.structs.replace(view, owed=[])

    def test_a_message_that_was_forgotten_is_taken_back_to_be_told_again_and_then_forgotten(self) -> None:
        self.store = self.make_store(daemon_config.Limits(finished=0))
        view = self.forgotten(1, reference="order 7")
        own = self.forgotten(2, notification_url="http://own.example/")
        feed = list(self.result(self.store.feed("hooked", 0, 10)))
        again = self.result(self.store.notify_old("hooked", [view, own, view], NOW + 600))
        own_queue = QueueKey("hooked", Channel.WEBHOOK, "http://own.example/")
        self.assertEqual((again.messages, again.queues), (2, {WEBHOOK, own_queue}))
        for _ in range(2):
            back = self.view(1)
            self.assertTrue(back.brought_back)
            same = msgspec.structs.replace(view, owed=["webhook"], brought_back=True, expires_at=back.expires_at)
            self.assertEqual(same, back)
            told = self.claimed(WEBHOOK, now=NOW + 601)
            self.assertEqual([(n.id, n.state, n.attempt, n.owed_since, n.carrier_error, n.reference) for n in told],
                             [(view.id, DELIVERED, 1, NOW + 600, b"000", "order 7")])  # fmt: skip
            self.assertEqual(self.numbers(self.claimed(own_queue, now=NOW + 601)), [2])
            self.assertEqual(self.store.figures().owed, 2)
            self.assertEqual([e for e in self.result(self.store.feed("hooked", 0, 10)) if e not in feed], [])
            if not self.after_restart():
                return
        told = self.claimed(WEBHOOK, now=NOW + 602)
        self.settle([*told, *self.claimed(own_queue, now=NOW + 602)], Verdict.DELIVERED)
        self.result(self.store.expire(NOW + 603))
        self.assertEqual((self.view(1), self.view(2), self.store.figures().messages), (None, None, 0))

    def test_a_message_that_the_store_knows_is_not_taken_back(self) -> None:
        self.sent(1, account="hooked")
        self.result(self.store.receipts([receipt(1)]))
        self.sent(2, account="hooked")
        views = [self.view(1), msgspec.structs.replace(self.view(2), id=message_id(3))]
        again = self.result(self.store.notify_old("hooked", views, NOW + 600))
        self.assertEqual((again.messages, self.view(3)), (0, None))

    def test_no_more_messages_are_taken_back_than_there_is_room_for(self) -> None:
        self.store = self.make_store(daemon_config.Limits(finished=0, messages=2))
        view = self.forgotten(1)
        self.sent(2, 3, account="hooked")
        with self.assertRaises(StoreFull):
            self.result(self.store.notify_old("hooked", [view], NOW + 600))
        self.assertIsNone(self.view(1))

    def test_a_late_receipt_for_a_message_that_was_taken_back_matches_nothing(self) -> None:
        self.store = self.make_store(daemon_config.Limits(finished=0))
        view = self.forgotten(1)
        self.result(self.store.notify_old("hooked", [view], NOW + 600))
        self.assertEqual(self.result(self.store.receipts([receipt(1)])).outcomes, [Outcome.ORPHAN])

    def test_an_account_learns_since_when_it_is_owed_a_notification(self) -> None:
        self.assertIsNone(self.result(self.store.owed_since("nobody")))
        self.sent(1, 2, 3, account="hooked", registered_delivery=0)
        self.assertIsNone(self.result(self.store.owed_since("hooked")))
        for number in (1, 2, 3):
            self.result(self.store.receipts([receipt(number, received_at=NOW + number)]))
        self.assertEqual(self.result(self.store.owed_since("hooked")), NOW + 1)
        first, second, third = self.claimed(WEBHOOK)
        self.assertEqual(self.result(self.store.owed_since("hooked")), NOW + 1, "an attempt is under way")
        self.settle([first], Verdict.DELIVERED)
        self.settle([second], Verdict.RETRY, NOW + 300)
        self.assertEqual(self.result(self.store.owed_since("hooked")), NOW + 2)
        self.settle([third], Verdict.GIVEN_UP)
        self.settle(self.claimed(WEBHOOK, now=NOW + 300), Verdict.DELIVERED)
        self.assertIsNone(self.result(self.store.owed_since("hooked")))

    def test_an_account_finds_its_own_final_states_of_a_span_of_time(self) -> None:
        self.sent(1, 2, 3, account="hooked")
        self.sent(4, account="silent")
        at = {1: NOW + 20, 2: NOW + 22, 3: NOW + 21, 4: NOW + 21}
        self.result(self.store.receipts([receipt(n, received_at=when) for n, when in at.items()]))

        def learnt(account: str, since: float, until: float, limit: int = 10) -> list[bytes]:
            return list(self.result(self.store.learnt_between(account, since, until, limit)))

        self.assertEqual(learnt("hooked", NOW + 20, NOW + 22), [message_id(1), message_id(3)])
        self.assertEqual(learnt("hooked", NOW, NOW + 60, 2), [message_id(1), message_id(2)])
        self.assertEqual((learnt("hooked", NOW + 23, NOW + 60), learnt("nobody", NOW, NOW + 60)), ([], []))

    def test_only_finished_messages_of_the_account_itself_are_sent_again(self) -> None:
        self.sent(1, account="hooked")
        self.sent(2, account="silent")
        self.result(self.store.receipts([receipt(2)]))
        ids = [message_id(1), message_id(2), message_id(3)]
        again = self.result(self.store.notify_again("hooked", ids, NOW))
        self.assertEqual((again.messages, again.queues), (0, frozenset()))

    def test_settling_an_unknown_message_is_no_error(self) -> None:
        self.sent(1)
        self.result(self.store.receipts([receipt(1)]))
        (told,) = self.claimed()
        stranger = Notification(message_id(9), "plain", Channel.SMPP, 2, True, 1, NOW, NOW, b"")
        self.settle([stranger, told], Verdict.DELIVERED)
        self.assertEqual(self.store.figures().owed, 0)

    # Questions

    def test_recent_messages_come_newest_first_and_can_be_filtered(self) -> None:
        for n in range(1, 6):
            to = b"\0\0%d\0\0\x00491700000%d\0" % (100 + n, n)
            self.sent(n, addresses=to)
        self.sent(9, account="hooked")
        self.result(self.store.receipts([receipt(2)]))
        recent = self.store.recent
        self.assertEqual(self.numbers(self.result(recent("plain"))), [5, 4, 3, 2, 1])
        self.assertEqual(self.numbers(self.result(recent("plain", limit=2))), [5, 4])
        self.assertEqual(self.numbers(self.result(recent("plain", before=NOW + 0.004))), [3, 2, 1])
        self.assertEqual(self.numbers(self.result(recent("plain", state=DELIVERED))), [2])
        self.assertEqual(self.numbers(self.result(recent("plain", search="+4917000003"))), [3])
        self.assertEqual(self.numbers(self.result(recent("plain", search="0003"))), [3])
        by_id = self.view(4).id.hex()
        uuid = "-".join((by_id[:8], by_id[8:12], by_id[12:16], by_id[16:20], by_id[20:]))
        self.assertEqual(self.numbers(self.result(recent("plain", search=uuid))), [4])
        self.assertEqual(self.result(recent("nobody")), [])

    def test_the_feed_gives_each_final_state_once_in_the_order_of_its_learning(self) -> None:
        self.sent(1, 2, 3)
        self.sent(4, account="hooked")
        self.result(self.store.receipts([receipt(2), receipt(4), receipt(1, EXPIRED, error=b"9")]))
        first = self.result(self.store.feed("plain", 0, 1))
        self.assertEqual(self.numbers(first), [2])
        rest = self.result(self.store.feed("plain", first[0].cursor, 10))
        self.assertEqual([(e.state, e.carrier_error, e.at) for e in rest], [(EXPIRED, b"9", NOW + 2)])
        self.result(self.store.receipts([receipt(3)]))
        self.assertEqual(self.numbers(self.result(self.store.feed("plain", rest[-1].cursor, 10))), [3])

    def test_ended_messages_are_counted_by_carrier_account_and_country(self) -> None:
        self.sent(1, 2, 3)
        self.sent(4, account="hooked")
        self.sent(5, addresses=numbers_in(b"12345", b"+18765550100"))
        late = [receipt(2, received_at=NOW + 8), receipt(4), receipt(5, UNDELIVERABLE)]
        self.result(self.store.receipts([receipt(1), *late, receipt(3, EXPIRED)]))
        counted = self.result(self.store.ended_counts(0, 100))
        found = {tuple(group): list(counts) for group, counts in counted.groups.items()}
        plain = found["tier1", "plain", "44"]
        self.assertEqual(plain[:3], [2, 1, 0])
        # One within a second after the carrier took it, the other within ten seconds.
        self.assertEqual((plain[3], plain[6], sum(plain[3:])), (1, 1, 2))
        self.assertEqual(found["tier1", "hooked", "44"][:3], [1, 0, 0])
        self.assertEqual(found["tier1", "plain", "1"][:3], [0, 1, 0])
        self.assertEqual(len(found), 3)
        again = self.result(self.store.ended_counts(counted.place, 100))
        self.assertEqual((again.place, again.groups), (counted.place, {}))

    def test_ended_messages_are_counted_once_however_few_at_a_time(self) -> None:
        self.sent(*range(1, 8))
        self.sent(8, 9, account="hooked")
        self.result(self.store.receipts([receipt(number) for number in (8, 1, 2, 9, 3, 4, 5, 6, 7)]))
        place, delivered = 0, 0
        for _ in range(5):
            counted = self.result(self.store.ended_counts(place, 2))
            self.assertLessEqual(sum(counts[0] for counts in counted.groups.values()), 2)
            delivered += sum(counts[0] for counts in counted.groups.values())
            place = counted.place
        self.assertEqual((delivered, place), (9, self.store.figures().feed_place))

    def test_only_messages_that_a_carrier_had_and_that_were_not_deleted_are_counted_as_ended(self) -> None:
        self.sent(1, 2)
        self.result(self.store.accept([message(3), message(4), message(5)]))
        refused = Ending(message_id(3), REJECTED, NOW + 1, b"ESME_RINVSRCADR", "tier2")
        deleted = Ending(message_id(1), DELETED, NOW + 1)
        expired = Ending(message_id(4), EXPIRED, NOW + 1)
        self.result(self.store.end([refused, deleted, expired]))
        inbound = InboundMessage(message_id(9), "plain", "tier1", NOW, numbers_in(HANDSET, b"12345"), 0, b"x")
        self.result(self.store.receive([inbound]))
        counted = self.result(self.store.ended_counts(0, 100))
        found = {tuple(group): list(counts[:3]) for group, counts in counted.groups.items()}
        self.assertEqual(found, {("tier2", "plain", "44"): [0, 1, 0]})

    def test_a_message_without_a_receipt_is_counted_as_unanswered_and_not_as_failed(self) -> None:
        self.sent(1, 2)
        self.result(self.store.receipts([receipt(2, UNKNOWN, error=b"")]))
        self.clock.advance(5 * DAY)
        self.result(self.store.expire(self.clock.seconds()))
        counted = self.result(self.store.ended_counts(0, 100))
        (counts,) = counted.groups.values()
        self.assertEqual(list(counts[:3]), [0, 1, 1])

    def test_an_idempotency_key_is_remembered_for_a_day(self) -> None:
        entry = Idempotency("plain", "key", b"digest", b"answer", self.clock.seconds())
        self.result(self.store.accept([message(1)], entry))
        self.assertEqual(self.result(self.store.repeated("plain", "key")), entry)
        self.assertIsNone(self.result(self.store.repeated("hooked", "key")))
        self.clock.advance(DAY + 1)
        self.assertIsNone(self.result(self.store.repeated("plain", "key")))

    def test_a_request_with_a_known_key_accepts_nothing_and_gets_the_earlier_one(self) -> None:
        earlier = Idempotency("plain", "key", b"digest", b"answer", self.clock.seconds())
        first = self.store.accept([message(1)], earlier)
        # The first one isn't durable yet.
        again = self.store.accept([message(2)], Idempotency("plain", "key", b"other", b"other", self.clock.seconds()))
        other = self.store.accept([message(3)], Idempotency("hooked", "key", b"", b"", self.clock.seconds()))
        self.assertIsNone(self.result(first))
        self.assertEqual(self.result(again), AcceptedBefore(earlier))
        self.assertIsNone(self.result(other))
        self.assertIsNone(self.view(2))
        self.assertIsNotNone(self.view(3))
        self.clock.advance(DAY + 1)
        later = Idempotency("plain", "key", b"new", b"new", self.clock.seconds())
        self.assertIsNone(self.result(self.store.accept([message(4)], later)))

    def test_messages_whose_ids_are_made_of_keys_are_accepted_once(self) -> None:
        ids = frozenset(message_id(n) for n in (1, 2, 3))
        self.assertIsNone(self.result(self.store.accept([message(1), message(2)], None, ids)))
        self.result(self.store.submitted([submitted(1)]))
        before = self.result(self.store.accept([message(n) for n in (1, 2, 3, 4)], None, ids))
        self.assertEqual(self.numbers(before.messages), [1, 2])
        self.assertEqual([view.state for view in before.messages], [ENROUTE, SCHEDULED])
        self.assertEqual(self.store.figures().messages, 4)
        self.assertEqual(self.store.figures().unsubmitted, 3)
        before = self.result(self.store.accept([message(1)], None, ids))
        self.assertEqual(self.numbers(before.messages), [1])
        if self.after_restart():
            self.assertEqual((self.store.figures().messages, self.store.figures().unsubmitted), (4, 3))

    def test_settings_are_kept_and_taken_back(self) -> None:
        self.result(self.store.put_setting("plain", "notification_url", "http://a/"))
        self.result(self.store.put_setting("plain", "notify", "all"))
        self.result(self.store.put_setting("plain", "notify", None))
        self.assertEqual(list(self.result(self.store.settings())), [("plain", "notification_url", "http://a/")])

    # A restart

    def test_everything_survives_a_restart(self) -> None:
        self.result(self.store.accept([message(1, priority=2)], Idempotency("plain", "k", b"d", b"a", NOW)))
        self.sent(2, 3, 4, 5, account="hooked", registered_delivery=0)
        self.result(self.store.receipts([receipt(3), receipt(4), receipt(5), receipt(99)]))
        self.settle(self.claimed(WEBHOOK, limit=1), Verdict.DELIVERED)
        self.settle(self.claimed(WEBHOOK, limit=1), Verdict.RETRY, NOW + 300)
        self.result(self.store.put_setting("plain", "notify", "all"))
        cursor = self.result(self.store.feed("hooked", 0, 10))[-1].cursor
        views = [self.view(n) for n in (1, 2, 3, 4, 5)]
        if not self.after_restart():
            return
        self.assertEqual([self.view(n) for n in (1, 2, 3, 4, 5)], views)
        self.assertEqual(self.numbers(self.result(self.store.unsubmitted(None, 10))), [1])
        self.assertEqual([p.priority for p in self.result(self.store.unsubmitted(None, 10))], [2])
        self.assertEqual(list(self.result(self.store.bodies([(message_id(1), 0)]))), [b"body of 1"])
        self.assertEqual(list(self.result(self.store.queues())), [WEBHOOK])
        claim = self.result(self.store.claim(WEBHOOK, 10, NOW + 30))
        self.assertEqual((self.numbers(claim.notifications), claim.more), ([5], False))
        self.assertEqual(list(self.result(self.store.settings())), [("plain", "notify", "all")])
        self.assertIsNotNone(self.result(self.store.repeated("plain", "k")))
        self.assertEqual(self.result(self.store.orphans(5))[0].keys, (b"99",))
        self.result(self.store.receipts([receipt(2)]))
        self.assertGreater(self.result(self.store.feed("hooked", cursor, 10))[0].cursor, cursor)

    def test_a_claim_does_not_survive_a_restart(self) -> None:
        self.sent(1)
        self.result(self.store.receipts([receipt(1)]))
        self.claimed()
        if self.after_restart():
            self.assertEqual(self.numbers(self.claimed()), [1])

    def test_an_orphan_is_matched_across_a_restart(self) -> None:
        self.result(self.store.accept([message(1)]))
        self.result(self.store.receipts([receipt(1)]))
        if self.after_restart():
            answer = self.result(self.store.submitted([submitted(1)]))
            self.assertEqual((list(answer.outcomes), answer.queues), ([Outcome.FINAL], {SMPP}))

"""What every store does with messages that may go to another carrier. tests/store/test_failover.py runs it.

A test case that inherits this class has `make_store` and, if the store survives its process, `reopen`, as for
`tests.store_contract`.
"""

from collections.abc import Collection, Sequence
from typing import Any

from relay.config import daemon_config
from relay.values.carrier_reports import Outcome, PartsReceipted
from relay.values.failover_rule import FailoverRule
from relay.values.messages import Ending, Pending, Replacement
from relay.values.notifications import Attempt, Verdict
from relay.values.states import DELETED, DELIVERED, ENROUTE, EXPIRED, REJECTED, UNDELIVERABLE
from tests.store_contract import SMPP, StoreCase
from tests.stores import DAY, NOW, message, message_id, receipt, submitted

RULE = FailoverRule((UNDELIVERABLE, REJECTED))


class FailoverContract(StoreCase):
    """A message goes to another carrier after one could not deliver it, and its customer hears one outcome."""

    def setUp(self) -> None:
        super().setUp()
        self.carriers = ["tier1", "tier2", "tier3"]
        self.asked: list[Collection[str]] = []
        self.store.connect_routes(self.other_carrier)

    def after_restart(self) -> bool:
        reopened = super().after_restart()
        self.store.connect_routes(self.other_carrier)
        return reopened

    def other_carrier(
        self, account: str, addresses: bytes, accepted_at: float, tags: tuple[str, ...], tried: Collection[str]
    ) -> bool:
        self.asked.append(tried)
        return any(name not in tried for name in self.carriers)

    def taken(self, *numbers: int, rule: FailoverRule = RULE, **fields: Any) -> None:
        """Messages with this rule that tier1 has taken, under their numbers as ids."""
        self.sent(*numbers, failover=rule, **fields)

    def failed(self, *numbers: int, state: int = UNDELIVERABLE, **fields: Any) -> list[Outcome]:
        """Receipts that say that these messages failed."""
        answer = self.result(self.store.receipts([receipt(n, state, **fields) for n in numbers]))
        return list(answer.outcomes)

    def going_on(self) -> Sequence[Pending]:
        return list(self.result(self.store.failed_over(100)).parts)

    def taken_by(self, carrier: str, *numbers: int, key: bytes = b"") -> None:
        self.result(self.store.submitted([submitted(n, key, carrier=carrier, at=NOW + 5) for n in numbers]))

    def told(self) -> list[tuple[int, int]]:
        """The notifications that are owed now: number and state. They are handed over."""
        claimed = self.claimed(SMPP)
        self.result(self.store.settle([Attempt(n, Verdict.DELIVERED, NOW + 20) for n in claimed]))
        return [(int.from_bytes(n.id[1:], "big"), n.state) for n in claimed]

    def test_a_message_that_failed_goes_to_another_carrier_and_its_customer_hears_only_the_last_outcome(self) -> None:
        self.taken(1)
        self.assertEqual(self.failed(1, error=b"027"), [Outcome.FAILED_OVER])
        self.assertEqual(self.told(), [])
        self.assertEqual((self.view(1).state, self.view(1).final), (ENROUTE, False))
        (part,) = self.going_on()
        self.assertEqual((part.id, part.part, part.tried), (message_id(1), 0, ("tier1",)))
        self.assertEqual(list(self.result(self.store.bodies([(part.id, 0)]))), [b"body of 1"])
        self.taken_by("tier2", 1)
        self.result(self.store.receipts([receipt(1, carrier="tier2")]))
        self.assertEqual(self.told(), [(1, DELIVERED)])
        view = self.view(1)
        self.assertEqual((view.carrier, view.state, view.carrier_error), ("tier2", DELIVERED, "000"))
        shown = [[(part.carrier, part.state, part.carrier_error) for part in parts] for parts in view.rounds]
        self.assertEqual(shown, [[("tier1", UNDELIVERABLE, "027")], [("tier2", DELIVERED, "000")]])
        self.assertEqual(view.tried, ("tier1",))
        if self.after_restart():
            self.assertEqual(self.view(1), view)
            self.assertEqual(self.told(), [])

    def test_a_message_that_goes_on_is_handed_out_once_and_after_a_restart_with_those_that_wait(self) -> None:
        self.taken(1, 2)
        self.result(self.store.accept([message(3)]))
        self.failed(1, 2)
        self.assertEqual(self.numbers(self.going_on()), [1, 2])
        self.assertEqual(self.numbers(self.going_on()), [])
        self.assertEqual(self.pending(), {(3, 0): ""})
        self.assertEqual(self.store.figures().unsubmitted, 3)
        if self.after_restart():
            self.assertEqual(self.pending(), {(1, 0): "", (2, 0): "", (3, 0): ""})
            tried = [p.tried for p in self.result(self.store.unsubmitted(None, 10))]
            self.assertEqual(tried, [("tier1",), ("tier1",), ()])
            self.assertEqual(self.numbers(self.going_on()), [])
            self.assertEqual(list(self.result(self.store.bodies([(message_id(1), 0)]))), [b"body of 1"])

    def pending(self) -> dict[tuple[int, int], str]:
        waiting = self.result(self.store.unsubmitted(None, 100))
        return {(int.from_bytes(p.id[1:], "big"), p.part): p.in_doubt for p in waiting}

    def test_no_other_carrier_no_more_time_another_state_or_another_error_end_a_message(self) -> None:
        self.taken(1, 2, 3)
        self.taken(4, rule=FailoverRule((UNDELIVERABLE,), (b"027",)))
        self.taken(5, rule=FailoverRule((UNDELIVERABLE,), (b"027",)))
        self.carriers = ["tier1"]
        self.assertEqual(self.failed(1), [Outcome.FINAL])
        self.carriers = ["tier1", "tier2"]
        self.assertEqual(self.failed(2, received_at=NOW + DAY), [Outcome.FINAL])
        self.assertEqual(self.failed(3, state=EXPIRED), [Outcome.FINAL])
        self.assertEqual(self.failed(4, error=b"001"), [Outcome.FINAL])
        self.assertEqual(self.failed(5, error=b"027"), [Outcome.FAILED_OVER])
        states = [UNDELIVERABLE, UNDELIVERABLE, EXPIRED, UNDELIVERABLE]
        self.assertEqual(self.told(), list(zip([1, 2, 3, 4], states, strict=True)))

    def test_a_message_goes_on_as_often_as_its_rule_says(self) -> None:
        self.taken(1, rule=FailoverRule((UNDELIVERABLE,), times=2))
        self.failed(1)
        self.taken_by("tier2", 1)
        self.assertEqual(self.failed(1, carrier="tier2"), [Outcome.FAILED_OVER])
        self.assertEqual(self.numbers(self.going_on()), [1])
        self.taken_by("tier3", 1)
        self.carriers.append("tier4")
        self.assertEqual(self.failed(1, carrier="tier3"), [Outcome.FINAL])
        self.assertEqual(self.told(), [(1, UNDELIVERABLE)])
        self.assertEqual(self.asked[-1], ("tier1", "tier2"))
        self.assertEqual(self.store.figures().failed_over, {"tier1": 1, "tier2": 1})

    def test_a_late_delivery_by_the_first_carrier_ends_a_message_that_still_waits_and_its_parts_are_dropped(
        self,
    ) -> None:
        self.taken(1, 2)
        self.failed(1, 2)
        self.result(self.store.receipts([receipt(1)]))
        # The flow has not fetched the first message yet.
        self.assertEqual(self.numbers(self.going_on()), [2])
        self.assertEqual(list(self.result(self.store.receipts([receipt(2)])).outcomes), [Outcome.FINAL])
        found = self.result(self.store.failed_over(10))
        self.assertEqual((found.parts, list(found.dropped)), ([], [(message_id(2), 1, NOW + DAY)]))
        self.assertEqual(self.told(), [(1, DELIVERED), (2, DELIVERED)])
        view = self.view(2)
        self.assertEqual((view.carrier, view.parts[0].carrier_message_id), ("tier1", "2"))
        if self.after_restart():
            self.assertEqual(self.view(2), view)
            self.assertEqual(self.pending(), {})

    def test_a_late_delivery_wins_while_the_second_carrier_has_the_message_and_is_recorded_only_after_its_end(
        self,
    ) -> None:
        self.taken(1, 2)
        self.failed(1, 2)
        self.going_on()
        self.taken_by("tier2", 1, 2)
        self.result(self.store.receipts([receipt(1)]))
        self.failed(2, carrier="tier2")
        self.assertEqual(self.told(), [(1, DELIVERED), (2, UNDELIVERABLE)])
        late = self.result(self.store.receipts([receipt(1, UNDELIVERABLE, carrier="tier2"), receipt(2)]))
        self.assertEqual(list(late.outcomes), [Outcome.CONTRADICTING, Outcome.CONTRADICTING])
        self.assertEqual(self.told(), [])
        view = self.view(1)
        self.assertEqual((view.state, view.carrier, self.view(2).state), (DELIVERED, "tier1", UNDELIVERABLE))
        if self.after_restart():
            self.assertEqual(self.view(1), view)
            self.assertEqual(self.told(), [])

    def test_a_response_of_the_second_carrier_after_the_end_changes_nothing_but_the_record(self) -> None:
        self.taken(1)
        self.failed(1)
        self.going_on()
        self.result(self.store.receipts([receipt(1)]))
        self.taken_by("tier2", 1)
        view = self.view(1)
        self.assertEqual((view.state, view.carrier), (DELIVERED, "tier1"))
        self.assertEqual([parts[0].carrier for parts in view.rounds], ["tier1", "tier2"])
        self.assertEqual(self.failed(1, carrier="tier2"), [Outcome.CONTRADICTING])

    def test_repeated_and_intermediate_receipts_of_an_earlier_carrier_change_nothing(self) -> None:
        self.taken(1)
        self.failed(1)
        again = [receipt(1, UNDELIVERABLE), receipt(1, ENROUTE, final=False), receipt(1, EXPIRED)]
        outcomes = list(self.result(self.store.receipts(again)).outcomes)
        self.assertEqual(outcomes, [Outcome.REPEATED, Outcome.LATE_INTERMEDIATE, Outcome.CONTRADICTING])
        self.assertEqual((self.view(1).state, self.told()), (ENROUTE, []))

    def test_a_late_response_of_an_earlier_carrier_belongs_to_its_round(self) -> None:
        self.taken(1)
        self.failed(1)
        self.going_on()
        self.taken_by("tier2", 1)
        self.taken_by("tier1", 1, key=b"late")
        self.assertEqual(self.view(1).carrier, "tier2")
        self.result(self.store.receipts([receipt(b"late")]))
        self.assertEqual(self.told(), [(1, DELIVERED)])

    # No receipt

    def test_without_a_receipt_in_time_a_message_goes_on_and_the_first_carrier_may_still_deliver_it(self) -> None:
        rule = FailoverRule((UNDELIVERABLE,), no_receipt_seconds=60.0)
        self.taken(1, 2, 3, rule=rule)
        self.result(self.store.receipts([receipt(3)]))
        self.result(self.store.expire(NOW + 60))
        self.assertEqual(self.numbers(self.going_on()), [])
        self.result(self.store.expire(NOW + 62))
        self.assertEqual(sorted(self.numbers(self.going_on())), [1, 2])
        self.taken_by("tier2", 1, 2)
        self.result(self.store.expire(NOW + 1000))
        self.assertEqual(self.numbers(self.going_on()), [])
        self.result(self.store.receipts([receipt(1), receipt(2, UNDELIVERABLE, carrier="tier2")]))
        self.assertEqual(sorted(self.told()), [(1, DELIVERED), (2, UNDELIVERABLE), (3, DELIVERED)])
        self.assertEqual(list(self.result(self.store.receipts([receipt(2)])).outcomes), [Outcome.CONTRADICTING])
        self.assertEqual([parts[0].state for parts in self.view(2).rounds], [DELIVERED, UNDELIVERABLE])

    def test_the_wait_for_a_receipt_goes_on_over_a_restart(self) -> None:
        self.taken(1, rule=FailoverRule((), no_receipt_seconds=60.0))
        if self.after_restart():
            self.result(self.store.expire(NOW + 60))
            self.assertEqual(self.numbers(self.going_on()), [])
            self.result(self.store.expire(NOW + 62))
            self.assertEqual(self.numbers(self.going_on()), [1])

    def test_a_message_without_another_carrier_is_waited_for_although_no_receipt_came(self) -> None:
        self.carriers = ["tier1"]
        self.taken(1, rule=FailoverRule((), no_receipt_seconds=60.0))
        self.result(self.store.expire(NOW + 62))
        self.assertEqual(self.numbers(self.going_on()), [])
        self.result(self.store.receipts([receipt(1)]))
        self.assertEqual(self.told(), [(1, DELIVERED)])

    # Long messages

    def long_message(self, mode: PartsReceipted = PartsReceipted.ALL) -> None:
        self.result(self.store.accept([message(1, parts=(b"first", b"second"), failover=RULE)]))
        self.result(self.store.submitted([submitted(1, b"a%d" % p, p, parts_receipted=mode) for p in range(2)]))

    def test_a_long_message_goes_on_as_a_whole_when_its_last_part_has_ended(self) -> None:
        self.long_message()
        self.assertEqual(self.failed(1, keys=(b"a1",)), [Outcome.PART])
        self.assertEqual(self.going_on(), [])
        self.result(self.store.receipts([receipt(b"a0")]))
        parts = self.going_on()
        self.assertEqual([part.part for part in parts], [0, 1])
        self.assertEqual(list(self.result(self.store.bodies([(p.id, p.part) for p in parts]))), [b"first", b"second"])
        self.result(self.store.submitted([submitted(1, b"b%d" % p, p, carrier="tier2") for p in range(2)]))
        self.result(self.store.receipts([receipt(b"b0", carrier="tier2")]))
        self.assertEqual(self.told(), [])
        self.result(self.store.receipts([receipt(b"b1", carrier="tier2")]))
        self.assertEqual(self.told(), [(1, DELIVERED)])
        shown = [[(part.carrier, part.state) for part in parts] for parts in self.view(1).rounds]
        first = [("tier1", DELIVERED), ("tier1", UNDELIVERABLE)]
        self.assertEqual(shown, [first, [("tier2", DELIVERED), ("tier2", DELIVERED)]])

    def test_a_late_delivery_of_the_missing_part_completes_the_first_carrier_s_delivery(self) -> None:
        self.long_message()
        self.result(self.store.receipts([receipt(b"a0"), receipt(b"a1", UNDELIVERABLE)]))
        self.going_on()
        self.result(self.store.submitted([submitted(1, b"b0", 0, carrier="tier2")]))
        self.result(self.store.receipts([receipt(b"a1")]))
        self.assertEqual(self.told(), [(1, DELIVERED)])
        self.assertEqual(list(self.result(self.store.failed_over(10)).dropped), [(message_id(1), 1, NOW + DAY)])
        view = self.view(1)
        self.assertEqual([(part.carrier, part.state) for part in view.parts], [("tier1", DELIVERED)] * 2)
        if self.after_restart():
            self.assertEqual(self.view(1), view)

    def test_a_late_delivery_of_one_of_two_failed_parts_decides_nothing(self) -> None:
        self.long_message()
        self.result(self.store.receipts([receipt(b"a0", UNDELIVERABLE), receipt(b"a1", UNDELIVERABLE)]))
        self.assertEqual(list(self.result(self.store.receipts([receipt(b"a1")])).outcomes), [Outcome.PART])
        self.assertEqual((self.told(), self.view(1).final), ([], False))
        if self.after_restart():
            self.assertEqual([part.state for part in self.view(1).rounds[0]], [UNDELIVERABLE, DELIVERED])

    # What else may happen to a message between two carriers

    def test_a_receipt_before_the_response_of_the_second_carrier_is_matched_by_it(self) -> None:
        self.taken(1, rule=FailoverRule((UNDELIVERABLE,), times=2))
        self.failed(1)
        self.going_on()
        self.failed(1, carrier="tier2")
        answer = self.result(self.store.submitted([submitted(1, carrier="tier2")]))
        self.assertEqual(list(answer.outcomes), [Outcome.FAILED_OVER])
        self.assertEqual([p.tried for p in self.going_on()], [("tier1", "tier2")])
        if self.after_restart():
            (part,) = self.result(self.store.unsubmitted(None, 10))
            self.assertEqual(part.tried, ("tier1", "tier2"))

    def test_a_message_between_two_carriers_is_not_replaced_and_may_be_cancelled(self) -> None:
        self.taken(1)
        self.failed(1)
        self.assertFalse(self.result(self.store.replace(Replacement(message_id(1), b"new", 1, NOW + DAY))))
        self.result(self.store.end([Ending(message_id(1), DELETED, NOW + 3)]))
        self.assertEqual((self.told(), self.going_on()), ([(1, DELETED)], []))

    def test_a_message_between_two_carriers_expires(self) -> None:
        self.taken(1)
        self.failed(1)
        self.going_on()
        self.result(self.store.expire(NOW + DAY + 3600))
        self.assertEqual(self.told(), [(1, EXPIRED)])

    def test_ids_of_all_carriers_are_forgotten_with_the_message(self) -> None:
        self.store = self.make_store(daemon_config.Limits(finished=0))
        self.store.connect_routes(self.other_carrier)
        self.taken(1)
        self.failed(1)
        self.going_on()
        self.taken_by("tier2", 1)
        self.result(self.store.receipts([receipt(1, carrier="tier2")]))
        self.assertEqual(self.told(), [(1, DELIVERED)])
        self.result(self.store.expire(NOW + 100))
        self.assertIsNone(self.view(1))
        self.assertEqual(self.result(self.store.find_carrier_id(b"1")), [])

    def test_a_carrier_that_failed_is_counted_when_the_message_ends_at_another(self) -> None:
        self.taken(1, 2)
        self.failed(1, 2)
        self.going_on()
        self.taken_by("tier2", 1)
        self.assertEqual(self.counted(), {})
        self.result(self.store.receipts([receipt(1, carrier="tier2")]))
        # The second message has not been taken by tier2 when tier1 delivers it after all.
        self.result(self.store.receipts([receipt(2, received_at=NOW + 9)]))
        self.assertEqual(self.counted(), {"tier1": [1, 1, 0], "tier2": [1, 0, 0]})

    def test_a_carrier_that_was_silent_is_counted_as_unanswered(self) -> None:
        self.taken(1, rule=FailoverRule((), no_receipt_seconds=60.0))
        self.clock.advance(100.0)
        self.result(self.store.expire(self.clock.seconds()))
        self.going_on()
        self.taken_by("tier2", 1)
        self.result(self.store.receipts([receipt(1, carrier="tier2")]))
        self.assertEqual(self.counted(), {"tier1": [0, 0, 1], "tier2": [1, 0, 0]})

    def counted(self) -> dict[str, list[int]]:
        """By carrier: how many messages it delivered, failed to deliver, and said nothing about."""
        found = self.result(self.store.ended_counts(0, 100))
        return {group.carrier: list(counts[:3]) for group, counts in found.groups.items()}

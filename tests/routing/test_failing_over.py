"""Messages that go to another carrier, as the message flow sends them: a real store, and carriers that note all."""

import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.route_config import Failover, Route
from relay.routing.carrier_order import CarrierOrder, RouteCarriers, failover_rule, without
from relay.routing.flow import MessageFlow
from relay.routing.routes import Routes
from relay.store.store_values import StoreUnavailable
from relay.values.failover_rule import FailoverRule
from relay.values.messages import Message, Replacement, Submission
from relay.values.states import DELIVERED, EXPIRED, REJECTED, SKIPPED, UNDELIVERABLE, UNKNOWN
from tests.routing.test_flow import ADDRESSES, FakeLink, Rates
from tests.simulated_disk import SimulatedDisk
from tests.stores import DAY, NOW, SettableClock, receipt, started, submitted, wait_for


class FailingOverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SettableClock()
        self.disk = SimulatedDisk()
        self.store = started(self.disk, self.clock)
        self.flow = self.make_flow(Failover(on=["UNDELIV"], no_receipt_seconds=60.0))

    def make_flow(self, failover: Failover | None) -> MessageFlow:
        self.links = {"tier1": FakeLink(), "tier2": FakeLink()}
        flow = MessageFlow(
            store=self.store,
            rates=Rates(),
            routes=Routes([Route(carriers=["tier1", "tier2"], failover=failover)]),
            clock=self.clock,
            random_bytes=random.Random(1).randbytes,
            validity_seconds=DAY,
        )
        flow.connect(self.links, {})
        return flow

    def taken(self, **fields: Any) -> Message:
        """A message that tier1 has taken."""
        prepared = self.flow.prepare("plain", [Submission(ADDRESSES, (b"body",), **fields)])[0]
        assert isinstance(prepared, Message)
        wait_for(self.clock, self.flow.accept([prepared]))
        self.flow.dispatch([prepared])
        self.links["tier1"].offered.clear()
        taken = msgspec.structs.replace(submitted(0, b"a"), id=prepared.id)
        wait_for(self.clock, self.store.submitted([taken]))
        return prepared

    def housekeeping(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        wait_for(self.clock, self.flow.housekeeping(self.clock.seconds()))

    def receipt(self, key: bytes = b"a", state: int = UNDELIVERABLE, carrier: str = "tier1") -> None:
        wait_for(self.clock, self.flow.follow_up(self.store.receipts([receipt(key, state, carrier)])))

    def view(self, message: Message) -> Any:
        return wait_for(self.clock, self.store.look_up(message.id))

    def offered(self) -> list[list[bytes]]:
        return [[part.id for part in self.links[name].offered] for name in ("tier1", "tier2")]

    def test_a_message_goes_to_the_next_carrier_without_its_text_in_memory(self) -> None:
        message = self.taken()
        self.receipt()
        self.assertEqual(self.offered(), [[], []])
        self.housekeeping()
        self.assertEqual(self.offered(), [[], [message.id]])
        (part,) = self.links["tier2"].offered
        self.assertEqual((part.body, part.carriers, part.expires_at), (None, ("tier2",), message.expires_at))
        self.housekeeping()
        self.assertEqual(self.offered(), [[], [message.id]])

    def test_what_still_waits_is_dropped_when_the_first_carrier_has_delivered_after_all(self) -> None:
        message = self.taken()
        self.receipt()
        self.housekeeping()
        self.receipt(state=DELIVERED)
        self.housekeeping()
        self.assertTrue(self.flow.cancelled.take(message.id, self.links["tier2"].offered[0]))
        self.assertEqual((self.view(message).state, self.view(message).carrier), (DELIVERED, "tier1"))

    def test_without_another_carrier_a_message_ends_at_once(self) -> None:
        message = self.taken()
        self.flow.reroute(self.flow.routes, {"tier1": self.links["tier1"]}, DAY)
        self.receipt()
        self.assertEqual((self.view(message).state, self.view(message).final), (UNDELIVERABLE, True))

    def test_a_message_whose_other_carrier_is_removed_meanwhile_ends_as_rejected(self) -> None:
        message = self.taken()
        self.receipt()
        self.flow.reroute(Routes([Route(carriers=["tier1"])]), {"tier1": self.links["tier1"]}, DAY)
        self.housekeeping()
        self.assertEqual((self.view(message).state, self.offered()), (REJECTED, [[], []]))

    def test_after_a_restart_a_message_goes_only_to_a_carrier_that_has_not_had_it(self) -> None:
        message = self.taken()
        self.receipt()
        self.disk = self.disk.kill()
        self.store = started(self.disk, self.clock)
        self.flow = self.make_flow(None)
        wait_for(self.clock, self.flow.resume())
        self.assertEqual(self.offered(), [[], [message.id]])
        self.housekeeping()
        self.assertEqual(self.offered(), [[], [message.id]])

    def test_parts_of_a_removed_carrier_go_to_none_that_has_had_the_message(self) -> None:
        message = self.taken()
        self.receipt()
        self.housekeeping()
        moved = list(self.links["tier2"].offered)
        self.links["tier2"].offered.clear()
        wait_for(self.clock, self.flow.send_anew(moved))
        self.assertEqual(self.offered(), [[], [message.id]])

    def test_a_message_that_an_earlier_carrier_may_still_deliver_is_neither_cancelled_nor_replaced(self) -> None:
        message = self.taken()
        self.housekeeping(62.0)
        self.assertEqual(self.offered(), [[], [message.id]])
        self.assertFalse(wait_for(self.clock, self.flow.cancel(message.id)))
        replacement = Replacement(message.id, b"new", 1, NOW + DAY)
        self.assertFalse(wait_for(self.clock, self.flow.replace(replacement)))
        self.assertFalse(self.view(message).final)

    def test_a_message_that_failed_at_the_first_carrier_can_be_cancelled_while_it_waits_for_the_second(self) -> None:
        message = self.taken()
        self.receipt()
        self.housekeeping()
        self.assertTrue(wait_for(self.clock, self.flow.cancel(message.id)))
        self.assertTrue(self.flow.cancelled.take(message.id, self.links["tier2"].offered[0]))

    def test_while_the_disk_fails_a_message_does_not_go_on_and_later_it_does(self) -> None:
        message = self.taken()
        self.disk.sync_error = OSError("failed")
        with self.assertRaises(StoreUnavailable):
            self.receipt()
        self.housekeeping()
        self.assertEqual(self.offered(), [[], []])
        self.disk.sync_error = None
        self.clock.advance(2.0)
        self.housekeeping()
        self.assertEqual(self.offered(), [[], [message.id]])

    def test_a_route_without_the_key_gives_no_rule_and_neither_does_a_schedule_that_carriers_keep(self) -> None:
        message = self.taken()
        self.assertEqual(message.failover, FailoverRule((UNDELIVERABLE,), (), 60.0, 1))
        for link in self.links.values():
            link.can_schedule = True
        submission = Submission(ADDRESSES, (b"body",), scheduled_seconds=60.0, scheduled_parts=(b"body at",))
        passed_on = self.flow.prepare("plain", [submission])[0]
        assert isinstance(passed_on, Message)
        self.assertEqual((passed_on.parts, passed_on.failover), ((b"body at",), None))
        self.flow = self.make_flow(None)
        self.assertIsNone(self.taken().failover)


class RuleTests(SynchronousTestCase):
    """What a route's key means."""

    def test_the_customer_s_words_stand_for_all_states_that_are_told_so(self) -> None:
        rule = failover_rule(Failover(on=["UNKNOWN", "REJECTD"], errors=["027"]))
        assert rule is not None
        self.assertEqual(rule.states, (UNKNOWN, REJECTED, SKIPPED))
        self.assertTrue(rule.applies(SKIPPED, b"027"))
        self.assertFalse(rule.applies(UNKNOWN, b""))
        self.assertFalse(rule.applies(EXPIRED, b"027"))

    def test_only_a_rule_for_rejected_messages_sends_them_on_after_each_refusal(self) -> None:
        for failover, goes_on in (
            (Failover(), True),
            (Failover(on=["UNDELIV"]), False),
            (Failover(errors=["ESME_RINVMSGLEN"]), True),
            (Failover(errors=["027"]), False),
        ):
            carriers = CarrierOrder(Route(carriers=["a", "b"], failover=failover)).of(b"44")
            assert isinstance(carriers, RouteCarriers)
            self.assertIs(carriers.go_on_after(b"ESME_RINVMSGLEN"), goes_on)

    @given(st.lists(st.sampled_from("abcd"), unique=True), st.sets(st.sampled_from("abcd")), st.booleans())
    def test_the_other_carriers_keep_their_order_and_the_settings_of_the_route(
        self, names: list[str], gone: set[str], plain: bool
    ) -> None:
        failover = None if plain else Failover()
        carriers = CarrierOrder(Route(carriers=[*names], failover=failover)).of(b"44")
        others = without(carriers, gone)
        self.assertEqual(others, tuple(name for name in names if name not in gone))
        self.assertIs(type(others), type(carriers))
        if isinstance(carriers, RouteCarriers) and isinstance(others, RouteCarriers):
            self.assertIs(others.failover, carriers.failover)

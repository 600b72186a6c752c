"""Messages from handsets, while the disk fails, parts are missing, or too many of them wait."""

import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.handset_messages import HandsetMessages
from relay.config.account_config import Account
from relay.config.carrier_config import Carrier, InboundRule
from relay.config.daemon_config import Limits
from relay.routing.flow import MessageFlow
from relay.routing.routes import Routes
from relay.smpp.message_codec import decode_message
from relay.text.compose import compose
from relay.values import smpp_constants as c
from relay.values.inbound import INBOUND_URL
from relay.values.notifications import Channel, QueueKey
from relay.values.pdus import MessagePdu
from tests.routing.test_flow import Rates
from tests.simulated_disk import SimulatedDisk
from tests.stores import SettableClock, started, wait_for

NO_SPACE = OSError(28, "No space left on device")
TEXT = "STOP " + "all of this at once, please. " * 10
FROM_HANDSETS = QueueKey("hooked", Channel.WEBHOOK, INBOUND_URL)


def parts_of(text: str, reference: int = 1, sender: str = "447700900001") -> list[MessagePdu]:
    bodies = compose(sender, "12345", text, reference=reference)[1]
    return [decode_message(c.DELIVER_SM, number, body) for number, body in enumerate(bodies)]


class HandsetMessagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = SettableClock()
        self.disk = SimulatedDisk()
        self.carrier: Carrier | None = Carrier(
            connect="tcp:h:1",
            inbound=[InboundRule(account="hooked", keyword="STOP*"), InboundRule(account="plain", keyword="OTHER")],
        )
        self.open()

    def open(self) -> None:
        """Opens the store, at first and after a restart."""
        self.store: Any = started(self.disk, self.clock)
        flow = MessageFlow(
            store=self.store, rates=Rates(), routes=Routes([]), clock=self.clock,
            random_bytes=random.Random(1).randbytes, validity_seconds=60.0,
        )  # fmt: skip
        accounts = {"hooked": Account(inbound_url="https://example.com/"), "plain": Account()}
        self.handsets = HandsetMessages(
            flow, accounts.get, lambda name: self.carrier, lambda account, pdu: None, self.clock,
            random.Random(2).randbytes, Limits(inbound_parts=4, inbound_part_seconds=600.0),
        )  # fmt: skip
        wait_for(self.clock, self.handsets.start())

    def take(self, *pdus: MessagePdu) -> list[str]:
        """What the carrier is answered."""
        taken = [self.handsets.take("tier1", pdu) for pdu in pdus]
        return [c.status_name(wait_for(self.clock, answer)) for answer in taken if isinstance(answer, Deferred)]

    def received(self) -> list[tuple[bytes, tuple[int, ...]]]:
        """What the account is owed: texts, and the numbers of missing parts."""
        claim = wait_for(self.clock, self.store.claim(FROM_HANDSETS, 99, self.clock.seconds()))
        self.store.release(claim.notifications)
        return [(n.inbound.octets, n.inbound.missing) for n in claim.notifications]

    def test_a_part_that_can_not_be_made_durable_is_left_with_the_carrier(self) -> None:
        first, second = parts_of(TEXT)[:2]
        self.disk.write_error = NO_SPACE
        self.assertEqual(self.take(first), ["ESME_RX_T_APPN"])
        self.disk.write_error = None
        self.clock.advance(1.1)
        self.assertEqual(self.take(first, second), ["ESME_ROK"] * 2)
        self.assertEqual(self.received(), [(TEXT.encode(), ())])

    def test_a_last_part_that_can_not_be_made_durable_is_left_with_the_carrier_and_the_others_stay(self) -> None:
        first, second = parts_of(TEXT)
        self.assertEqual(self.take(first), ["ESME_ROK"])
        self.disk.write_error = NO_SPACE
        self.assertEqual(self.take(second), ["ESME_RX_T_APPN"])
        self.disk.write_error = None
        self.clock.advance(1.1)
        self.assertEqual(self.received(), [])
        self.disk = self.disk.crash()
        self.open()
        self.assertEqual(self.take(second), ["ESME_ROK"])
        self.assertEqual(self.received(), [(TEXT.encode(), ())])
        self.assertEqual(self.take(first, second), ["ESME_ROK"] * 2)
        self.clock.advance(700.0)
        self.assertEqual(len(self.received()), 1)

    def test_over_the_bound_the_oldest_message_goes_without_its_missing_parts(self) -> None:
        firsts = [parts_of(TEXT, reference)[0] for reference in range(5)]
        self.assertEqual(self.take(*firsts), ["ESME_ROK"] * 5)
        self.assertEqual(self.received(), [(TEXT.encode()[:153], (2,))])
        self.assertEqual(self.handsets.counts, {"received": 1, "incomplete": 1, "unwanted": 0})

    def test_over_the_bound_the_handset_with_most_parts_loses_and_the_older_message_of_another_stays(self) -> None:
        other = parts_of("STOP " + TEXT, sender="447700900002")
        flood = [parts_of(TEXT, reference)[0] for reference in range(8)]
        self.take(other[0])
        for part in flood:
            self.assertEqual(self.take(part), ["ESME_ROK"])
        self.assertEqual(self.received(), [(TEXT.encode()[:153], (2,))] * 5)
        self.assertEqual(self.take(other[1]), ["ESME_ROK"])
        self.assertEqual(self.received()[5:], [(b"STOP " + TEXT.encode(), ())])

    def test_while_the_disk_is_broken_nothing_is_lost_and_nothing_spins(self) -> None:
        self.take(*[parts_of(TEXT, reference)[0] for reference in range(4)])
        self.disk.write_error = NO_SPACE
        self.assertEqual(self.take(parts_of(TEXT, 4)[0]), ["ESME_RX_T_APPN"])
        self.clock.advance(601.0)
        self.disk.write_error = None
        for _ in range(130):
            self.clock.advance(1.0)
        self.assertEqual(len(self.received()), 5)

    def test_a_first_word_that_nobody_has_a_rule_for_drops_the_message_and_its_parts(self) -> None:
        self.assertEqual(self.take(*parts_of("hello " + TEXT)), ["ESME_ROK"] * 2)
        self.assertEqual((self.received(), self.handsets.counts["unwanted"]), ([], 1))
        self.assertEqual(wait_for(self.clock, self.store.kept_parts()), [])

    def test_without_its_first_part_a_message_goes_to_the_account_of_the_number_and_no_later_word_decides(self) -> None:
        text = "STOP " + "x" * 148 + "OTHER words"
        self.take(parts_of(text)[1])
        self.clock.advance(601.0)
        self.clock.advance(1.0)
        self.assertEqual(self.received(), [(b"OTHER words", (1,))])

    def test_without_its_first_part_a_message_goes_by_the_rule_without_a_keyword(self) -> None:
        rules = [InboundRule(account="plain", keyword="OTHER"), InboundRule(account="hooked")]
        self.carrier = Carrier(connect="tcp:h:1", inbound=rules)
        self.take(parts_of("hello " + "x" * 147 + "OTHER words")[1])
        self.clock.advance(601.0)
        self.clock.advance(1.0)
        self.assertEqual(self.received(), [(b"OTHER words", (1,))])

    def test_the_parts_of_a_message_that_come_again_at_once_are_the_same_message(self) -> None:
        self.take(*parts_of(TEXT))
        self.clock.advance(290.0)
        self.assertEqual(self.take(*parts_of(TEXT)), ["ESME_ROK"] * 2)
        self.clock.advance(700.0)
        self.assertEqual(self.received(), [(TEXT.encode(), ())])

    def test_an_equal_message_with_the_same_reference_is_another_message_when_it_comes_later(self) -> None:
        self.take(*parts_of(TEXT))
        self.clock.advance(310.0)
        self.assertEqual(self.take(*parts_of(TEXT)), ["ESME_ROK"] * 2)
        self.assertEqual(self.received(), [(TEXT.encode(), ())] * 2)

    def test_a_later_message_that_begins_as_an_earlier_one_keeps_its_first_part(self) -> None:
        other = TEXT[:160] + "But not this."
        self.take(*parts_of(TEXT))
        self.clock.advance(310.0)
        self.assertEqual(self.take(*parts_of(other)), ["ESME_ROK"] * 2)
        self.assertEqual(self.received(), [(TEXT.encode(), ()), (other.encode(), ())])

    def test_after_an_unexpected_error_of_the_store_the_carrier_sends_again_and_the_message_comes(self) -> None:
        def broken(batch: object) -> None:
            raise ValueError("broken")

        receive, self.store.receive = self.store.receive, broken
        self.assertEqual(self.take(*parts_of(TEXT)), ["ESME_ROK", "ESME_RX_T_APPN"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.store.receive = receive
        self.assertEqual(self.take(parts_of(TEXT)[1]), ["ESME_ROK"])
        self.assertEqual(self.received(), [(TEXT.encode(), ())])

    def test_another_message_with_the_same_reference_does_not_replace_parts_that_were_answered(self) -> None:
        other = "STOP " + "and another thing, please. " * 10
        for part in (parts_of(TEXT)[0], *parts_of(other)):
            self.assertEqual(self.take(part), ["ESME_ROK"])
        self.assertEqual(self.received(), [(TEXT.encode()[:153], (2,)), (other.encode(), ())])

    def test_while_parts_that_were_answered_can_not_be_made_durable_another_message_does_not_replace_them(self) -> None:
        other = "STOP " + "and another thing, please. " * 10
        self.take(parts_of(TEXT)[0])
        self.disk.write_error = NO_SPACE
        self.assertEqual(self.take(parts_of(other)[0]), ["ESME_RX_T_APPN"])
        self.disk.write_error = None
        self.clock.advance(1.1)
        for part in parts_of(other):
            self.assertEqual(self.take(part), ["ESME_ROK"])
        self.assertEqual(self.received(), [(TEXT.encode()[:153], (2,)), (other.encode(), ())])

    def test_the_rules_of_a_carrier_that_is_gone_hold_for_the_parts_that_it_left(self) -> None:
        self.take(parts_of(TEXT)[0])
        self.carrier = None
        self.clock.advance(601.0)
        self.clock.advance(1.0)
        self.assertEqual(self.received(), [(TEXT.encode()[:153], (2,))])

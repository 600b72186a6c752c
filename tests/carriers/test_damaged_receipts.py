"""Receipts in damaged PDUs: the relay acknowledges them, reads as much as it can, and keeps them for the operator."""

from twisted.internet.defer import Deferred, succeed

from relay.smpp.message_codec import encode_address, message_body
from relay.values.pdus import MessagePdu
from relay.values.states import DELIVERED, ENROUTE
from tests.carriers.test_queries import QuestionsTestCase
from tests.stores import wait_for

ADDRESSES = encode_address(1, 1, b"447700900123") + encode_address(5, 0, b"RELAY")


class DamagedReceiptTests(QuestionsTestCase):
    def deliver(self, *bodies: bytes) -> None:
        """Has the carrier send these as deliver_sm."""
        mailbox = self.carrier._mailboxes["relay"]
        mailbox.waiting.extend(bodies)
        mailbox.pump()
        self.turn()

    def receipt(self, text: bytes) -> bytes:
        return message_body(addresses=ADDRESSES, short_message=text, esm_class=0x04)

    def test_a_receipt_with_a_wrong_sm_length_is_still_read(self) -> None:
        self.link()
        [message] = self.submit()
        [given] = self.carrier._remembered
        body = self.receipt(b"id:%b stat:DELIVRD err:000 text:hello" % given)
        self.deliver(body[:-3])
        self.assertEqual(self.view(message).state, DELIVERED)
        self.assertEqual((self.carrier.counters.acked, self.carrier.counters.nacked), (1, 0))

    def test_an_unreadable_receipt_is_acknowledged_and_shown_with_its_octets(self) -> None:
        link = self.link()
        [message] = self.submit()
        body = self.receipt(b"id:7 stat:DELIVRD")
        cut = body[: len(ADDRESSES) + 3]
        self.deliver(cut, self.receipt(b"\xff\xfe"), cut)
        self.assertEqual((self.carrier.counters.acked, self.carrier.counters.nacked), (3, 0))
        kept = wait_for(self.clock, self.store.unreadable(10))
        self.assertEqual(sorted(len(receipt.raw) for receipt in kept), [len(cut), len(cut), len(ADDRESSES) + 13])
        self.assertEqual([receipt.raw for receipt in kept].count(cut), 2)
        self.assertEqual((link.intake.outcomes[7], self.store.figures().unreadable), (3, 3))
        self.assertEqual(self.view(message).state, ENROUTE)

    def test_a_handset_s_acknowledgement_that_is_damaged_is_not_handed_on(self) -> None:
        link = self.link(mobile_originated="plain")
        handed: list[bytes] = []

        def hand_over(carrier: str, pdu: MessagePdu) -> Deferred[int]:
            handed.append(pdu.body)
            return succeed(0)

        link.intake._mobile_originated = hand_over
        for esm_class in (0x08, 0x10, 0x18):
            whole = message_body(addresses=ADDRESSES, short_message=b"thank you", esm_class=esm_class)
            self.deliver(whole, whole[:-3])
            self.assertEqual(handed.pop(), whole)
        self.assertEqual((handed, self.carrier.counters.acked, self.carrier.counters.nacked), ([], 3, 3))

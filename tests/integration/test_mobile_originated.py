"""Messages from handsets: from a carrier to the receivers of the account that the configuration names."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from relay.smpp.message_codec import encode_address, message_body, message_octets, tlv
from relay.values import smpp_constants as c
from tests.fakes import ScriptedCarrier
from tests.integration.harness import IntegrationTestCase, smpp_account, smpp_carrier, until
from tests.ports import free_port
from tests.smpp.bodies import data_body

ADDRESSES = encode_address(1, 1, b"447700900001") + encode_address(3, 0, b"60300")


class MobileOriginatedTests(IntegrationTestCase):
    async def world(self, **carrier: Any) -> None:
        self.carrier = ScriptedCarrier(reactor)
        port = free_port()
        listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(self.carrier)
        self.addCleanup(until, "the carrier's sessions are closed", lambda: not self.carrier.open)
        self.addCleanup(listening.stopListening)
        self.daemon = await self.relay(
            accounts={"acme": smpp_account(), "other": smpp_account("other", api_key="other")},
            carriers={"scripted": smpp_carrier(port, **carrier)},
            routes=[{"carriers": ["scripted"]}],
        )
        await until("the relay has bound", lambda: self.carrier.bound)

    async def answers(self, count: int) -> list[str]:
        """The statuses with which the relay has answered the carrier."""
        await until("the relay has answered", lambda: len(self.carrier.answers) >= count)
        return [c.status_name(status) for _, status in self.carrier.answers]

    def deliver(self, *texts: bytes) -> None:
        bodies = [message_body(addresses=ADDRESSES, short_message=text, registered_delivery=0) for text in texts]
        self.carrier.bound[0].deliver(*bodies)

    async def test_without_the_setting_messages_from_handsets_are_refused(self) -> None:
        await self.world()
        customer = await self.esme(self.daemon.smpp_port)
        self.deliver(b"hello", b"id:1 stat:DELIVRD err:000")
        self.assertEqual(await self.answers(2), ["ESME_RX_P_APPN"] * 2)
        self.assertEqual((customer.others, customer.receipts), ([], []))

    async def test_messages_from_handsets_go_to_a_receiver_of_the_account_octet_for_octet(self) -> None:
        await self.world(mobile_originated="acme")
        customer = await self.esme(self.daemon.smpp_port)
        other = await self.esme(self.daemon.smpp_port, "other")
        self.deliver(b"hello", b"id:1 stat:DELIVRD err:000")
        self.assertEqual(await self.answers(2), ["ESME_ROK"] * 2)
        self.assertEqual([pdu.short_message for pdu in customer.others], [b"hello", b"id:1 stat:DELIVRD err:000"])
        self.assertEqual([pdu.addresses for pdu in customer.others], [ADDRESSES] * 2)
        self.assertEqual(other.others, [])
        self.assertEqual(await self.metric(self.daemon, "relay_mobile_originated_total", carrier="scripted"), 2)

    async def test_a_data_sm_arrives_as_the_deliver_sm_that_says_the_same(self) -> None:
        await self.world(mobile_originated="acme")
        customer = await self.esme(self.daemon.smpp_port)
        tlvs = tlv(c.TAG_MESSAGE_PAYLOAD, b"a long story") + tlv(0x1403, b"vendor")
        session = self.carrier.bound[0]
        body = data_body(addresses=ADDRESSES, data_coding=3, tlvs=tlvs)
        session.session.request(c.DATA_SM, [(body, body)], session.clock.seconds())
        session.flush()
        self.assertEqual(await self.answers(1), ["ESME_ROK"])
        [pdu] = customer.others
        self.assertEqual((pdu.command_id, pdu.addresses, pdu.data_coding), (c.DELIVER_SM, ADDRESSES, 3))
        self.assertEqual((message_octets(pdu), pdu.body[pdu.tlvs_at :]), (b"a long story", tlvs))

    async def test_the_carrier_gets_the_customers_answer(self) -> None:
        await self.world(mobile_originated="acme")
        customer = await self.esme(self.daemon.smpp_port)
        customer.answer = lambda pdu: c.ESME_RX_R_APPN
        self.deliver(b"hello")
        self.assertEqual(await self.answers(1), ["ESME_RX_R_APPN"])

    async def test_without_a_receiver_or_an_answer_the_carrier_keeps_the_message(self) -> None:
        await self.world(mobile_originated="acme")
        self.deliver(b"nobody is there")
        self.assertEqual(await self.answers(1), ["ESME_RX_T_APPN"])
        customer = await self.esme(self.daemon.smpp_port)
        customer.answer = lambda pdu: None
        self.deliver(b"no answer")
        await until("the customer has it", lambda: customer.all_read == 1)
        customer.abort()
        self.assertEqual(await self.answers(2), ["ESME_RX_T_APPN"] * 2)

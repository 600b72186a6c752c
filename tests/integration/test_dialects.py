"""Receipts in every order and with every way of writing ids, on real sockets."""

import itertools
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

from relay.smpp.message_codec import tlv
from relay.smpp.other_codec import decode_query_sm_resp, query_sm_body
from relay.values import smpp_constants as c
from relay.values.pdus import MessagePdu
from relay.values.states import UNDELIVERABLE
from tests.fakes import FastEsme, ScriptedCarrier, ScriptedSession, receipt_body, submit_body
from tests.integration.harness import (
    IntegrationTestCase,
    Relay,
    SimulatorPort,
    smpp_account,
    smpp_carrier,
    until,
    within,
)
from tests.ports import free_port


async def all_come_home(esme: FastEsme, count: int) -> None:
    """Submits messages and waits until the receipt of each is home, once."""
    before = len(esme.receipts)
    answers = await within(60, esme.submit([submit_body(f"4477{n:08}") for n in range(count)]))
    assert {status for status, _ in answers} == {c.ESME_ROK}
    await until(f"{count} receipts are home", lambda: len(esme.receipts) >= before + count, 30)
    assert sorted(r.message_id for r in esme.receipts[before:]) == sorted(message_id for _, message_id in answers)


class Ids(IntegrationTestCase):
    """For each pair of ways to write ids: 1,000 messages, and every receipt finds its message."""

    #: The simulator's ways for response and receipt, and the dialect that brings them together.
    PAIRS = {
        "uuid": ("uuid", "same", {}),
        "decimal_hex": ("decimal", "hex", {"response_id": {"base": "decimal"}, "receipt_id": {"base": "hex"}}),
        "hex_decimal": ("hex", "decimal", {"response_id": {"base": "hex"}, "receipt_id": {"base": "decimal"}}),
        "case": ("hex", "upper_hex", {}),
        "zeros": (
            "decimal",
            "padded",
            {"response_id": {"strip_zeros": True}, "receipt_id": {"strip_zeros": True}},
        ),
        "prefix": ("prefixed", "decimal", {"response_id": {"strip_prefix": "sim-"}}),
        "suffix": ("decimal", "suffixed", {"receipt_id": {"strip_suffix": "-sim"}}),
        "truncated": ("suffixed", "decimal", {"response_id": {"truncate": 15}}),
        "low_32_bits": (
            "decimal",
            "low_32",
            {
                "response_id": {"base": "decimal", "low_32_bits": True},
                "receipt_id": {"base": "decimal", "low_32_bits": True},
            },
        ),
    }

    async def test_every_receipt_finds_its_message_whatever_the_ids_look_like(self) -> None:
        carriers: dict[str, Any] = {}
        routes: list[dict[str, Any]] = []
        for n, (name, (response_id, receipt_id, dialect)) in enumerate(self.PAIRS.items()):
            simulator = await self.simulator(response_id=response_id, receipt_id=receipt_id)
            carriers[name] = smpp_carrier(simulator.port, dialect=dialect)
            routes.append({"prefix": str(100 + n), "carriers": [name]})
        relay = await self.relay(accounts={"acme": smpp_account()}, carriers=carriers, routes=routes)
        esme = await self.esme(relay.smpp_port)
        for n, name in enumerate(self.PAIRS):
            answers = await within(60, esme.submit([submit_body(f"{100 + n}{i:08}") for i in range(1000)]))
            self.assertEqual({status for status, _ in answers}, {c.ESME_ROK}, name)
            await until(f"all receipts of dialect {name} are home", lambda: len(esme.receipts) >= 1000, 30)
            self.assertEqual(sorted(r.message_id for r in esme.receipts), sorted(i for _, i in answers), name)
            esme.receipts.clear()
        self.assertEqual(await self.metric(relay, "relay_store_orphans"), 0)


class Orders(IntegrationTestCase):
    """Receipts that come at unexpected moments, from the simulated carrier."""

    async def world(self, carrier: dict[str, Any] | None = None, **simulator: Any) -> tuple[Relay, FastEsme]:
        self.carrier: SimulatorPort = await self.simulator(**simulator)
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"sim": smpp_carrier(self.carrier.port, **(carrier or {}))},
            routes=[{"carriers": ["sim"]}],
        )
        await relay.carrier_bound(self.carrier)
        return relay, await self.esme(relay.smpp_port)

    async def test_receipts_that_come_before_the_responses_find_their_messages(self) -> None:
        relay, esme = await self.world(receipt_first=True, receipt_delay_seconds=0.3)
        await all_come_home(esme, 500)
        self.assertEqual(await self.metric(relay, "relay_store_orphans"), 0)

    async def test_receipts_without_text_find_their_messages(self) -> None:
        _, esme = await self.world(tlv_only=True)
        await all_come_home(esme, 500)

    async def test_receipts_on_the_other_bind_find_their_messages(self) -> None:
        _, esme = await self.world({"bind": "transmitter+receiver"}, receipt_delay_seconds=0.0)
        await all_come_home(esme, 500)

    async def test_receipts_spread_over_several_binds_find_their_messages(self) -> None:
        relay, esme = await self.world({"binds": 3}, receipt_delay_seconds=0.0)
        await relay.carrier_bound(self.carrier, 3)
        await all_come_home(esme, 500)
        self.assertEqual(await self.metric(relay, "relay_store_orphans"), 0)

    async def test_receipts_sent_twice_and_after_an_intermediate_are_notified_once(self) -> None:
        _, esme = await self.world(duplicate_share=1.0, intermediate=True)
        await all_come_home(esme, 300)
        await until("the carrier's receipts are acknowledged", self.carrier.all_home)
        self.assertEqual(len(esme.receipts), 300)

    async def test_throttled_messages_are_sent_again(self) -> None:
        _, esme = await self.world(throttle_share=0.02)
        await all_come_home(esme, 300)
        self.assertGreater(self.carrier.counters.throttled, 0)

    async def test_connections_that_drop_cost_no_message_its_notification(self) -> None:
        _, esme = await self.world(drop_share=0.01)
        answers = await within(60, esme.submit([submit_body(f"4477{n:08}") for n in range(300)]))
        accepted = {message_id for status, message_id in answers if status == c.ESME_ROK}
        self.assertEqual(len(accepted), 300)
        await until("all receipts are home", lambda: {r.message_id for r in esme.receipts} >= accepted, 60)
        self.assertGreater(self.carrier.counters.dropped, 0)

    async def test_receipts_that_come_after_a_restart_find_their_messages(self) -> None:
        relay, esme = await self.world(receipt_delay_seconds=2.0)
        answers = await within(60, esme.submit([submit_body(f"4477{n:08}") for n in range(300)]))
        accepted = {message_id for _, message_id in answers}
        await until("the carrier has them all", lambda: self.carrier.counters.taken >= 300)
        relay.kill()
        await relay.start()
        back = await self.esme(relay.smpp_port)
        await until("all receipts are home", lambda: {r.message_id for r in back.receipts} >= accepted, 30)


class Scripted(IntegrationTestCase):
    """Orders of events that only a carrier made for it produces."""

    async def world(self, **carrier: Any) -> None:
        self.ids = (f"{n}" for n in itertools.count(1))
        self.carrier = ScriptedCarrier(reactor)
        port = free_port()
        listening = await TCP4ServerEndpoint(reactor, port, interface="127.0.0.1").listen(self.carrier)
        self.addCleanup(until, "the carrier's sessions are closed", lambda: not self.carrier.open)
        self.addCleanup(listening.stopListening)
        self.daemon = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"scripted": smpp_carrier(port, **carrier)},
            routes=[{"carriers": ["scripted"]}],
        )
        await until("the relay has bound", lambda: self.carrier.bound)
        self.customer = await self.esme(self.daemon.smpp_port)

    async def submit_one(self) -> str:
        answers: list[tuple[int, str]] = await within(10, self.customer.submit([submit_body("447700900001")]))
        [(status, message_id)] = answers
        self.assertEqual(status, c.ESME_ROK)
        return message_id

    async def home(self, count: int = 1) -> list[tuple[str, str]]:
        await until("the receipts are home", lambda: len(self.customer.receipts) >= count)
        return [(receipt.message_id, receipt.stat) for receipt in self.customer.receipts]

    async def acknowledged(self, count: int) -> None:
        """Waits until the relay has acknowledged `count` receipts, all with ESME_ROK."""
        await until("the receipts are acknowledged", lambda: len(self.carrier.answers) >= count)
        self.assertEqual({status for _, status in self.carrier.answers}, {c.ESME_ROK})

    def taking(self, session: ScriptedSession, pdu: MessagePdu) -> None:
        session.queue_answer(pdu, next(self.ids).encode())

    async def test_a_receipt_in_the_same_segment_before_its_response_finds_its_message(self) -> None:
        await self.world()

        def receipt_then_response(session: ScriptedSession, pdu: MessagePdu) -> None:
            carrier_id = next(self.ids)
            session.queue_deliver(receipt_body(carrier_id, "UNDELIV"))
            session.queue_answer(pdu, carrier_id.encode())

        self.carrier.on_submit = receipt_then_response
        message_id = await self.submit_one()
        self.assertEqual(await self.home(), [(message_id, "UNDELIV")])

    async def test_a_receipt_in_the_same_segment_after_its_response_finds_its_message(self) -> None:
        await self.world()

        def response_then_receipt(session: ScriptedSession, pdu: MessagePdu) -> None:
            carrier_id = next(self.ids)
            session.queue_answer(pdu, carrier_id.encode())
            session.queue_deliver(receipt_body(carrier_id, "EXPIRED"))

        self.carrier.on_submit = response_then_receipt
        message_id = await self.submit_one()
        self.assertEqual(await self.home(), [(message_id, "EXPIRED")])

    async def test_a_receipt_acknowledged_before_its_response_came_finds_its_message(self) -> None:
        await self.world()
        asked: list[tuple[ScriptedSession, MessagePdu]] = []
        self.carrier.on_submit = lambda session, pdu: asked.append((session, pdu))
        message_id = await self.submit_one()
        await until("the carrier has the message", lambda: asked)
        session, pdu = asked[0]
        session.deliver(receipt_body("77", "UNDELIV"))
        await self.acknowledged(1)
        self.assertEqual(self.customer.receipts, [])
        session.queue_answer(pdu, b"77")
        session.flush()
        self.assertEqual(await self.home(), [(message_id, "UNDELIV")])

    async def test_a_receipt_that_came_before_its_response_is_matched_after_a_restart(self) -> None:
        await self.world()
        asked: list[tuple[ScriptedSession, MessagePdu]] = []
        self.carrier.on_submit = lambda session, pdu: asked.append((session, pdu))
        message_id = await self.submit_one()
        await until("the carrier has the message", lambda: asked)
        asked[0][0].deliver(receipt_body("77", "UNDELIV"))
        await self.acknowledged(1)
        self.daemon.kill()
        await until("the carrier has noticed", lambda: not self.carrier.bound)
        await self.daemon.start()
        # In doubt, so it is submitted again; only then its id becomes known.
        await until("the carrier has it again", lambda: len(asked) == 2)
        self.customer = await self.esme(self.daemon.smpp_port)
        self.assertEqual(await self.metric(self.daemon, "relay_store_orphans"), 1)
        session, pdu = asked[1]
        session.queue_answer(pdu, b"77")
        session.flush()
        self.assertEqual(await self.home(), [(message_id, "UNDELIV")])
        self.assertEqual(await self.metric(self.daemon, "relay_store_orphans"), 0)

    async def test_a_receipt_that_comes_after_a_restart_finds_its_message(self) -> None:
        await self.world()
        self.carrier.on_submit = self.taking
        message_id = await self.submit_one()
        await until("the carrier has it", lambda: self.carrier.submits)
        # A round trip behind the response, so that this has been read when the relay is killed.
        self.carrier.bound[0].deliver(receipt_body("1", "ENROUTE"))
        await self.acknowledged(1)
        self.daemon.kill()
        await until("the carrier has noticed", lambda: not self.carrier.bound)
        await self.daemon.start()
        await until("the relay has bound", lambda: self.carrier.bound)
        self.customer = await self.esme(self.daemon.smpp_port)
        self.carrier.bound[0].deliver(receipt_body("1", "EXPIRED"))
        self.assertEqual(await self.home(), [(message_id, "EXPIRED")])
        self.assertEqual(len(self.carrier.submits), 1)

    async def test_the_first_of_two_finals_wins(self) -> None:
        await self.world()
        self.carrier.on_submit = self.taking
        first, second = await self.submit_one(), await self.submit_one()
        await until("the carrier has both", lambda: len(self.carrier.submits) == 2)
        session = self.carrier.bound[0]
        session.deliver(receipt_body("1", "UNDELIV"), receipt_body("1", "DELIVRD"), receipt_body("2", "DELIVRD"))
        await self.acknowledged(3)
        self.assertEqual(sorted(await self.home(2)), sorted([(first, "UNDELIV"), (second, "DELIVRD")]))

    async def test_an_intermediate_after_the_final_is_ignored(self) -> None:
        await self.world()
        self.carrier.on_submit = self.taking
        first, second = await self.submit_one(), await self.submit_one()
        await until("the carrier has both", lambda: len(self.carrier.submits) == 2)
        session = self.carrier.bound[0]
        session.deliver(receipt_body("1"), receipt_body("1", "ENROUTE"), receipt_body("2", "ACCEPTD"))
        session.deliver(receipt_body("2", "DELETED"))
        await self.acknowledged(4)
        self.assertEqual(sorted(await self.home(2)), sorted([(first, "DELIVRD"), (second, "DELETED")]))

    async def test_unreadable_receipts_and_orphans_are_acknowledged_and_delay_nobody(self) -> None:
        await self.world()
        self.carrier.on_submit = self.taking
        message_id = await self.submit_one()
        await until("the carrier has it", lambda: self.carrier.submits)
        session = self.carrier.bound[0]
        garbage = b"\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\0\x05\xff\xfe\0\x80\x81"
        session.deliver(garbage, receipt_body("4711"), receipt_body("1", "NONSENSE"), receipt_body("1"))
        await self.acknowledged(4)
        self.assertEqual([home for home, _ in await self.home()], [message_id])

    async def test_a_delivery_acknowledgement_that_another_sender_forged_ends_no_message(self) -> None:
        await self.world()
        self.carrier.on_submit = self.taking
        message_id = await self.submit_one()
        await until("the carrier has it", lambda: self.carrier.submits)
        session = self.carrier.bound[0]
        session.deliver(receipt_body("1", "REJECTD", esm_class=0x08))
        await until("the relay has answered", lambda: self.carrier.answers)
        self.assertEqual(self.carrier.answers[0][1], c.ESME_RX_P_APPN)
        session.deliver(receipt_body("1", "DELIVRD"))
        self.assertEqual(await self.home(), [(message_id, "DELIVRD")])

    async def test_an_unmarked_receipt_with_both_parameters_of_the_network_ends_its_message(self) -> None:
        await self.world()
        self.carrier.on_submit = self.taking
        first, second = await self.submit_one(), await self.submit_one()
        await until("the carrier has both", lambda: len(self.carrier.submits) == 2)
        session = self.carrier.bound[0]
        for number, esm_class in ((b"1", 0), (b"2", 2)):
            tlvs = b"\x04\x27\0\x01\x05" + b"\0\x1e\0\x02" + number + b"\0"
            session.deliver(receipt_body(number.decode(), "UNDELIV", esm_class=esm_class, tlvs=tlvs))
        await self.acknowledged(2)
        self.assertEqual(sorted(await self.home(2)), sorted([(first, "UNDELIV"), (second, "UNDELIV")]))

    async def test_query_sm_gives_the_number_of_a_network_s_error(self) -> None:
        await self.world()
        self.carrier.on_submit = self.taking
        for number, (error, code, expected) in enumerate(
            (("", b"\3\0\x15", 21), ("034", b"\3\0\x15", 34), ("", b"\3\4\1", 0), ("", b"", 0)), 1
        ):
            message_id = await self.submit_one()
            await until("the carrier has it", lambda number=number: len(self.carrier.submits) == number)
            tlvs = tlv(c.TAG_NETWORK_ERROR_CODE, code) if code else b""
            self.carrier.bound[0].deliver(receipt_body(str(number), "UNDELIV", error, tlvs=tlvs))
            await self.home(number)
            answer = await within(10, self.customer.ask(c.QUERY_SM, query_sm_body(message_id.encode(), 0, 0, b"")))
            self.assertEqual(decode_query_sm_resp(answer.body)[2:], (UNDELIVERABLE, expected))

    async def test_an_id_with_a_blank_inside_finds_its_message(self) -> None:
        await self.world()
        self.carrier.on_submit = lambda session, pdu: session.queue_answer(pdu, b"AB 12")
        message_id = await self.submit_one()
        await until("the carrier has it", lambda: self.carrier.submits)
        self.carrier.bound[0].deliver(receipt_body("AB 12", "EXPIRED"))
        self.assertEqual(await self.home(), [(message_id, "EXPIRED")])

    async def test_a_message_that_is_no_receipt_is_refused(self) -> None:
        await self.world()
        session = self.carrier.bound[0]
        session.deliver(receipt_body("1", esm_class=0))
        await until("the relay has answered", lambda: self.carrier.answers)
        self.assertEqual(self.carrier.answers[0][1], c.ESME_RX_P_APPN)

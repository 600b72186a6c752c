"""query_sm to carriers before a message is given up, and customers' cancel_sm passed on, over real sockets."""

from typing import Any

from relay.smpp.message_codec import encode_address
from relay.smpp.other_codec import cancel_sm_body, decode_query_sm_resp, query_sm_body
from relay.values import smpp_constants as c
from tests.fakes import FastEsme, submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within

SOURCE = encode_address(1, 1, b"4477001")
NULL = b"\0\0\0"


class QuestionsTestCase(IntegrationTestCase):
    async def world(
        self, carrier: dict[str, Any], name: str = "relay", validity_seconds: float = 1.0, **simulator: Any
    ) -> tuple[Relay, FastEsme]:
        """A relay whose messages are valid for a second, its simulated carrier, and a customer."""
        self.carrier = await self.simulator(**simulator)
        relay = await self.relay(
            name,
            accounts={"acme": smpp_account()},
            carriers={"sim": smpp_carrier(self.carrier.port, **carrier)},
            routes=[{"carriers": ["sim"]}],
            validity_seconds=validity_seconds,
        )
        await relay.carrier_bound(self.carrier)
        return relay, await self.esme(relay.smpp_port)

    async def submit(self, esme: FastEsme, count: int) -> list[str]:
        """The ids of so many messages that the relay has accepted and the carrier taken."""
        before = self.carrier.counters.taken
        answers = await within(30, esme.submit([submit_body(f"4477{n:08}") for n in range(count)]))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await until("the carrier has taken them", lambda: self.carrier.counters.taken >= before + count)
        return [message_id for _, message_id in answers]

    async def long_message(self, relay: Relay) -> str:
        """The id of a message of three parts, submitted over HTTP, once its carrier has taken it."""
        body = {"to": "447700900123", "from": "4477001", "text": "x" * 400}
        status, answer = await self.http("POST", relay, "/messages", body)
        self.assertEqual(status, 202)
        await until("the carrier has its parts", lambda: self.carrier.counters.taken == 3)
        return str(answer["id"])

    async def ended(self, relay: Relay, message_id: str, word: str) -> Any:
        """The message once it has this status."""
        found: Any = {}

        async def has_it() -> bool:
            nonlocal found
            _, found = await self.http("GET", relay, f"/messages/{message_id}")
            return bool(found["status"] == word)

        await until(f"it is {word}", has_it)
        return found


class Queries(QuestionsTestCase):
    #: Receipts are waited for for as long after the validity.
    ASKED = {"query_sm": True, "receipt_hours": 1.0 / 3600}

    async def test_the_answer_of_a_silent_carrier_to_a_query_reaches_the_customer(self) -> None:
        dialect = {"response_id": {"base": "hex"}, "receipt_id": {"base": "decimal"}}
        relay, esme = await self.world(
            {**self.ASKED, "dialect": dialect},
            silent_share=1.0,
            states={"UNDELIV": 1.0},
            response_id="upper_hex",
            receipt_delay_seconds=0.1,
        )
        messages = await self.submit(esme, 50)
        await until("all have heard", lambda: len(esme.receipts) >= 50)
        self.assertEqual(sorted(r.message_id for r in esme.receipts), sorted(messages))
        self.assertEqual({(r.stat, r.error) for r in esme.receipts}, {("UNDELIV", "005")})
        self.assertEqual((self.carrier.counters.queried, self.carrier.counters.receipts_sent), (50, 0))
        queries = await self.metric(relay, "relay_carrier_questions_total", command="query_sm", result="answered")
        self.assertEqual(queries, 50)

    async def test_each_part_of_a_long_message_is_asked_about(self) -> None:
        relay, _ = await self.world(self.ASKED, silent_share=1.0, receipt_delay_seconds=0.1)
        message = await self.long_message(relay)
        found = await self.ended(relay, message, "DELIVRD")
        self.assertEqual((found["parts"], self.carrier.counters.queried), (3, 3))

    async def test_a_query_is_made_also_after_the_relay_was_killed(self) -> None:
        relay, esme = await self.world(
            {"query_sm": True, "receipt_hours": 3.0 / 3600},
            silent_share=1.0,
            response_id="upper_hex",
            receipt_delay_seconds=0.1,
        )
        messages = await self.submit(esme, 20)
        await until("the carrier's answers are in the journal", lambda: len(relay.journal("Submitted")) >= 20)
        relay.kill()
        await relay.start()
        back = await self.esme(relay.smpp_port)
        await until("all have heard", lambda: len(back.receipts) >= 20)
        self.assertEqual({r.message_id for r in back.receipts}, set(messages))
        self.assertEqual({r.stat for r in back.receipts}, {"DELIVRD"})

    async def test_a_carrier_that_knows_no_query_sm_costs_no_message_its_end(self) -> None:
        relay, esme = await self.world(self.ASKED, silent_share=1.0, refuse_questions=True)
        messages = await self.submit(esme, 5)
        await until("all have heard", lambda: len(esme.receipts) >= 5)
        self.assertEqual({r.message_id for r in esme.receipts}, set(messages))
        self.assertEqual({(r.stat, r.error) for r in esme.receipts}, {("UNKNOWN", "007")})
        self.assertEqual(self.carrier.counters.queried, 5)
        self.assertIn("carrier_knows_no_questions", relay.log())

    async def test_a_message_under_way_is_waited_for_and_its_receipt_still_counts(self) -> None:
        # Due after 4 seconds, asked about within one more, waited for three more.
        asked = {"query_sm": True, "receipt_hours": 3.0 / 3600}
        _, esme = await self.world(asked, receipt_delay_seconds=3600.0, states={"EXPIRED": 1.0})
        [message] = await self.submit(esme, 1)
        await until("it is asked about", lambda: self.carrier.counters.queried == 1)
        self.carrier.carrier.end_all()
        await until("it has heard", lambda: esme.receipts)
        self.assertEqual([(r.message_id, r.stat) for r in esme.receipts], [(message, "EXPIRED")])
        await until("the receipt is acknowledged", lambda: self.carrier.counters.acked == 1)
        self.assertEqual(self.carrier.counters.queried, 1)


class Cancels(QuestionsTestCase):
    async def ask(self, esme: FastEsme, message_id: str, addresses: bytes = SOURCE + NULL) -> str:
        """The name of the status with which a cancel_sm is answered."""
        answer = await within(30, esme.ask(c.CANCEL_SM, cancel_sm_body(message_id.encode(), addresses)))
        return c.status_name(answer.command_status)

    async def test_a_message_that_a_carrier_has_taken_is_cancelled_at_the_carrier(self) -> None:
        _, esme = await self.world({"cancel_sm": True}, receipt_delay_seconds=30.0, response_id="upper_hex")
        first, second = await self.submit(esme, 2)
        self.assertEqual(await self.ask(esme, first), "ESME_ROK")
        await until("its receipt is home", lambda: esme.receipts)
        self.assertEqual([(r.message_id, r.stat, r.error) for r in esme.receipts], [(first, "DELETED", "004")])
        self.assertEqual(self.carrier.counters.cancelled, 1)
        self.assertEqual(await self.ask(esme, first), "ESME_RCANCELFAIL")
        # Addresses that are not the message's, and then those that are.
        for wrong in (encode_address(1, 1, b"4477002") + NULL, encode_address(2, 1, b"4477001") + NULL):
            self.assertEqual(await self.ask(esme, second, wrong), "ESME_RCANCELFAIL")
        self.assertEqual(await self.ask(esme, second, SOURCE + encode_address(1, 1, b"999")), "ESME_RCANCELFAIL")
        self.assertEqual(self.carrier.counters.cancelled, 1)
        whole = SOURCE + encode_address(1, 1, b"447700000001")
        self.assertEqual(await self.ask(esme, second, whole), "ESME_ROK")

    async def test_a_query_must_name_the_messages_own_source_where_it_names_one(self) -> None:
        _, esme = await self.world({}, receipt_delay_seconds=30.0)
        [message] = await self.submit(esme, 1)
        for source, expected in ((b"", c.ESME_ROK), (b"4477001", c.ESME_ROK), (b"4477002", c.ESME_RQUERYFAIL)):
            answer = await within(10, esme.ask(c.QUERY_SM, query_sm_body(message.encode(), 0, 0, source)))
            self.assertEqual(answer.command_status, expected, source)

    async def test_without_the_setting_and_where_the_carrier_refuses_the_message_goes_on(self) -> None:
        for name, carrier, refuse in (("unset", {}, False), ("refused", {"cancel_sm": True}, True)):
            _, esme = await self.world(carrier, name, receipt_delay_seconds=1.0, refuse_questions=refuse)
            receipts = esme.receipts
            [message] = await self.submit(esme, 1)
            self.assertEqual(await self.ask(esme, message), "ESME_RCANCELFAIL")
            await until("its receipt is home", receipts.__len__)
            self.assertEqual([(r.message_id, r.stat) for r in receipts], [(message, "DELIVRD")])

    async def test_every_part_of_a_long_message_is_cancelled(self) -> None:
        relay, esme = await self.world({"cancel_sm": True}, receipt_delay_seconds=30.0)
        message = await self.long_message(relay)
        self.assertEqual(await self.ask(esme, message, NULL + NULL), "ESME_ROK")
        found = await self.ended(relay, message, "DELETED")
        self.assertEqual((found["error"], self.carrier.counters.cancelled), ("004", 3))

    async def test_a_carrier_that_is_away_can_not_cancel(self) -> None:
        relay, esme = await self.world({"cancel_sm": True}, receipt_delay_seconds=30.0)
        [message] = await self.submit(esme, 1)
        await until("the carrier's answer is in the journal", lambda: relay.journal("Submitted"))
        await self.carrier.close()
        self.assertEqual(await self.ask(esme, message), "ESME_RCANCELFAIL")

    async def test_a_message_that_waits_in_the_queue_is_cancelled_and_never_sent(self) -> None:
        relay, esme = await self.world({"window": 1, "rate": 1.0}, validity_seconds=60.0, receipt_delay_seconds=0.1)
        answers = await within(10, esme.submit([submit_body(f"4477{n:08}") for n in range(4)]))
        third = answers[2][1]
        self.assertEqual(await self.ask(esme, third), "ESME_ROK")
        await until("all have ended", lambda: len(esme.receipts) >= 4)
        self.assertEqual({r.message_id: r.stat for r in esme.receipts}[third], "DELETED")
        self.assertEqual(self.carrier.counters.submits, 3)
        self.assertEqual(await self.metric(relay, "relay_carrier_queue"), 0)


class Chains(QuestionsTestCase):
    async def test_a_relay_asks_and_cancels_through_another_one(self) -> None:
        upper, _ = await self.world({"cancel_sm": True}, receipt_delay_seconds=30.0)
        lower = await self.relay(
            "lower",
            accounts={"acme": smpp_account()},
            carriers={
                "upper": smpp_carrier(
                    upper.smpp_port, system_id="acme", password="secret08", cancel_sm=True, query_sm=True
                )
            },
            routes=[{"carriers": ["upper"]}],
        )
        esme = await self.esme(lower.smpp_port)
        [message] = await self.submit(esme, 1)
        answer = await within(10, esme.ask(c.QUERY_SM, query_sm_body(message.encode(), 1, 1, b"4477001")))
        self.assertEqual(decode_query_sm_resp(answer.body)[2], 1)
        body = cancel_sm_body(message.encode(), SOURCE + NULL)
        answer = await within(10, esme.ask(c.CANCEL_SM, body))
        self.assertEqual(answer.command_status, c.ESME_ROK)
        await until("its receipt is home", lambda: esme.receipts)
        self.assertEqual([(r.message_id, r.stat) for r in esme.receipts], [(message, "DELETED")])
        self.assertEqual(self.carrier.counters.cancelled, 1)

"""Messages for later, replaced and cancelled while they wait, over real sockets and over the death of the relay."""

import datetime
from typing import Any

from relay.smpp.message_codec import encode_address, message_body
from relay.smpp.other_codec import cancel_sm_body, decode_query_sm_resp, query_sm_body
from relay.values import smpp_constants as c
from relay.values.states import ENROUTE
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within

SOURCE = encode_address(1, 1, b"4477001")
ADDRESSES = SOURCE + encode_address(1, 1, b"447700900123")
IN_AN_HOUR = b"000000010000000R"
LONG_PAST = b"200101000000000+"


class ScheduledTests(IntegrationTestCase):
    async def world(self) -> Relay:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"sim": smpp_carrier(self.carrier.port)},
            routes=[{"carriers": ["sim"]}],
        )
        await relay.carrier_bound(self.carrier)
        return relay

    async def send(self, relay: Relay, seconds: float) -> tuple[str, datetime.datetime]:
        """Submits a message over HTTP for so many seconds from now: its id and its time."""
        send_at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        body = {"to": "447700900123", "from": "4477001", "text": "later", "send_at": send_at.isoformat()}
        status, answer = await self.http("POST", relay, "/messages", body)
        self.assertEqual(status, 202, answer)
        return str(answer["id"]), send_at

    async def look(self, relay: Relay, message_id: str) -> Any:
        _, found = await self.http("GET", relay, f"/messages/{message_id}")
        return found

    async def test_it_is_sent_at_its_time_although_the_relay_was_killed_meanwhile(self) -> None:
        relay = await self.world()
        soon, send_at = await self.send(relay, 3.0)
        late, _ = await self.send(relay, 3600.0)
        relay.kill()
        await relay.start()
        found: Any = {}

        async def delivered() -> bool:
            nonlocal found
            found = await self.look(relay, soon)
            return bool(found.get("status") == "DELIVRD")

        await until("it is delivered", delivered)
        self.assertGreaterEqual(datetime.datetime.fromisoformat(found.get("learnt_at", found["done_at"])), send_at)
        found = await self.look(relay, late)
        self.assertEqual((found["status"], found["send_status"], found["carrier"]), ("SCHEDULED", "pending", ""))
        self.assertEqual(await self.metric(relay, "relay_store_messages_by_stage", stage="scheduled"), 1)
        self.assertEqual(self.carrier.counters.submits, 1)

    async def test_it_can_be_cancelled_over_http(self) -> None:
        relay = await self.world()
        message, _ = await self.send(relay, 3600.0)
        for _ in range(2):
            status, found = await self.http("DELETE", relay, f"/messages/{message}")
            self.assertEqual((status, found["status"]), (200, "DELETED"))
        relay.kill()
        await relay.start()
        self.assertEqual((await self.look(relay, message))["status"], "DELETED")

    async def test_over_smpp_it_is_asked_after_replaced_and_cancelled(self) -> None:
        relay = await self.world()
        esme = await self.esme(relay.smpp_port)
        body = message_body(addresses=ADDRESSES, schedule_delivery_time=IN_AN_HOUR, short_message=b"one")
        answers = await within(10, esme.submit([body, body]))
        (first_status, first), (second_status, second) = answers
        self.assertEqual((first_status, second_status), (c.ESME_ROK, c.ESME_ROK))
        answer = await within(10, esme.ask(c.QUERY_SM, query_sm_body(first.encode(), 1, 1, b"4477001")))
        self.assertEqual(decode_query_sm_resp(answer.body)[2], ENROUTE)
        # The other text is in the journal: it is what goes out after the relay's death.
        await self.check_replaced(esme, first, IN_AN_HOUR, b"another one")
        relay.kill()
        await relay.start()
        await relay.carrier_bound(self.carrier)
        esme = await self.esme(relay.smpp_port)
        answer = await within(10, esme.ask(c.CANCEL_SM, cancel_sm_body(second.encode(), SOURCE + b"\0\0\0")))
        self.assertEqual(answer.command_status, c.ESME_ROK)
        await self.check_replaced(esme, first, LONG_PAST, b"now")
        await until("both have heard", lambda: len(esme.receipts) == 2)
        self.assertEqual({r.message_id: r.stat for r in esme.receipts}, {first: "DELIVRD", second: "DELETED"})
        self.assertEqual(self.carrier.counters.submits, 1)
        await self.check_replaced(esme, first, b"", b"too late", c.ESME_RREPLACEFAIL)

    async def check_replaced(
        self, esme: Any, message_id: str, schedule: bytes, text: bytes, expected: int = c.ESME_ROK
    ) -> None:
        """Sends a replace_sm."""
        fields = (message_id.encode(), SOURCE, schedule, bytes((1, 0, len(text))), text)
        answer = await within(10, esme.ask(c.REPLACE_SM, b"%b\0%b%b\0\0%b%b" % fields))
        self.assertEqual(answer.command_status, expected)

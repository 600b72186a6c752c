"""Quotas over real sockets, and over the death of the relay."""

from typing import Any

from relay.smpp.message_codec import encode_address, message_body
from relay.values import smpp_constants as c
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, within

BODY = message_body(
    addresses=encode_address(1, 1, b"4477001") + encode_address(1, 1, b"447700900123"), short_message=b"one"
)


class ChargingTests(IntegrationTestCase):
    async def world(self, **account: Any) -> Relay:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1)
        relay = await self.relay(
            accounts={"acme": smpp_account(**account)},
            carriers={"sim": smpp_carrier(self.carrier.port)},
            routes=[{"carriers": ["sim"]}],
        )
        await relay.carrier_bound(self.carrier)
        return relay

    def messages(self, count: int) -> list[dict[str, str]]:
        return [{"to": f"44770090000{n}", "from": "RELAY", "text": "hello"} for n in range(count)]

    async def test_a_quota_counts_over_all_interfaces_and_over_the_death_of_the_relay(self) -> None:
        relay = await self.world(quota={"monthly": 4, "time_zone": "Asia/Tokyo"})
        status, answers = await self.http("POST", relay, "/messages", self.messages(2))
        self.assertEqual(status, 202, answers)
        esme = await self.esme(relay.smpp_port)
        [(status, _)] = await within(10, esme.submit([BODY]))
        self.assertEqual(status, c.ESME_ROK)
        relay.kill()
        await relay.start()
        await relay.carrier_bound(self.carrier)
        _, answers = await self.http("POST", relay, "/messages", self.messages(2))
        self.assertIn("id", answers[0])
        self.assertEqual((answers[1]["status"], answers[1]["type"]), (429, "/docs#problem-quota-exceeded"))
        self.assertIn("4 messages a month (quota.monthly)", answers[1]["detail"])
        esme = await self.esme(relay.smpp_port)
        [(status, _)] = await within(10, esme.submit([BODY]))
        self.assertEqual(status, c.ESME_RTHROTTLED)
        status, answer = await self.http("POST", relay, "/messages", self.messages(1)[0])
        self.assertEqual((status, answer["type"]), (429, "/docs#problem-quota-exceeded"))

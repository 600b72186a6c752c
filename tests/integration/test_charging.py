"""Quotas, prices and balances over real sockets, and over the death of the relay."""

import subprocess
import sys
from typing import Any

from twisted.internet.threads import deferToThread

from relay.smpp.message_codec import encode_address, message_body
from relay.values import smpp_constants as c
from tests import HUNG_SECONDS
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within

BODY = message_body(
    addresses=encode_address(1, 1, b"4477001") + encode_address(1, 1, b"447700900123"), short_message=b"one"
)


class ChargingTests(IntegrationTestCase):
    async def world(self, *, states: dict[str, float] | None = None, **account: Any) -> Relay:
        self.carrier = await self.simulator(receipt_delay_seconds=0.1, states=states or {"DELIVRD": 1.0})
        relay = await self.relay(
            accounts={"acme": smpp_account(**account)},
            carriers={"sim": smpp_carrier(self.carrier.port)},
            routes=[{"carriers": ["sim"]}],
            prices={"retail": {"currency": "EUR", "by_prefix": {"44": "0.035", "49": "0"}}},
            history={"days": 1},
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

    async def balance(self, relay: Relay, *arguments: str) -> str:
        """What `relay balance acme` prints."""
        command = [sys.executable, "-m", "relay", "balance", "acme", "--admin", f"http://127.0.0.1:{relay.admin_port}"]
        done = await deferToThread(
            subprocess.run, [*command, *arguments], capture_output=True, text=True, timeout=HUNG_SECONDS, check=False
        )
        return str(done.stdout or done.stderr)

    async def test_a_prepaid_account_pays_for_each_message_once_whatever_happens_to_the_relay(self) -> None:
        relay = await self.world(prices="retail", prepaid=True)
        # Read at the next start.
        relay.configuration["http"] |= {"jasmin": True}
        status, answer = await self.http("POST", relay, "/messages", self.messages(1)[0])
        self.assertEqual((status, answer["type"]), (402, "/docs#problem-no-credit"))
        esme = await self.esme(relay.smpp_port)
        [(status, _)] = await within(10, esme.submit([BODY]))
        self.assertEqual(status, c.ESME_RSUBMITFAIL)
        paid = ("--add", "0.12", "--key", "invoice-7", "--reason", "paid by bank")
        self.assertEqual(await self.balance(relay, *paid), "0.12 EUR added; the balance of acme is 0.12 EUR\n")
        said = "nothing was changed: this key was used before; the balance of acme is 0.12 EUR\n"
        relay.kill()
        await relay.start()
        await relay.carrier_bound(self.carrier)
        self.assertEqual(await self.balance(relay, *paid), said)
        self.assertIn("take a new key", await self.balance(relay, "--add", "5", "--key", "invoice-7"))
        status, answer = await self.http("POST", relay, "/messages", self.messages(1)[0] | {"text": "x" * 161})
        self.assertEqual((status, answer["price"], answer["currency"]), (202, "0.07", "EUR"))
        relay.kill()
        await relay.start()
        await relay.carrier_bound(self.carrier)
        _, answers = await self.http("POST", relay, "/messages", self.messages(2))
        self.assertEqual([one.get("price", one.get("status")) for one in answers], ["0.035", 402])
        shown = await self.balance(relay)
        self.assertIn("balance     0.015 EUR\n", shown)
        self.assertIn("invoice-7", shown)
        _, report = await self.http("GET", relay, "/account")
        self.assertEqual((report["use"]["balance"], report["use"]["messages_this_month"]), ("0.015", 2))
        _, found = await self.http("GET", relay, f"/messages/{answer['id']}")
        self.assertEqual((found["price"], found["currency"], found["refunded"]), ("0.07", "EUR", False))
        login = "username=acme&password=key"
        _, left = await self.http("GET", relay, f"/balance?{login}")
        _, rate = await self.http("GET", relay, f"/rate?{login}&to=447700900123&content={'x' * 161}")
        self.assertEqual((left["balance"], rate["submit_sm_count"], rate["unit_rate"]), (0.015, 2, 0.035))

    async def test_the_price_of_a_rejected_message_is_given_back_and_shown_everywhere(self) -> None:
        relay = await self.world(states={"REJECTD": 1.0}, prices="retail", prepaid=True, refund=["REJECTD"])
        await self.balance(relay, "--add", "1", "--key", "a")
        _, answer = await self.http("POST", relay, "/messages", self.messages(1)[0])
        found: Any = {}

        async def refunded() -> bool:
            nonlocal found
            _, found = await self.http("GET", relay, f"/messages/{answer['id']}")
            return bool(found["refunded"])

        await until("its price is given back", refunded)
        self.assertEqual((found["status"], found["price"]), ("REJECTD", "0.035"))
        self.assertIn("balance     1.00 EUR\n", await self.balance(relay))
        relay.kill()
        await relay.start()
        self.assertIn("balance     1.00 EUR\n", await self.balance(relay))
        listed: Any = {}

        async def refund_listed() -> bool:
            nonlocal listed
            _, listed = await self.http("GET", relay, "/messages?status=REJECTD")
            return any(one.get("refunded") for one in listed["messages"])

        await until("the list shows it, too", refund_listed)
        self.assertEqual(listed["messages"][0]["price"], "0.035")

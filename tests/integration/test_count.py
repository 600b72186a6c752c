"""Tiles, charts, lists, searches and files agree with an independent count, before and after kills.

Theory of operation: how a message ends is in its number, because each beginning of a number has a carrier of its own.
So the test knows every count without asking the relay. `make count` does the same with 200,000 messages.
"""

import csv
import html
import os
import random
import re
import sys
import time
from collections import Counter
from typing import Any, Final

import treq
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.client import Agent

from tests import PATIENCE
from tests.fakes import submit_body
from tests.integration.account_browser import get_page
from tests.integration.harness import (
    IntegrationTestCase,
    Relay,
    http_reactor,
    smpp_account,
    smpp_carrier,
    until,
    within,
)

MESSAGES: Final = int(os.environ.get("RELAY_COUNT", "2000"))
BATCH: Final = 100
#: The beginning of a number, how the carrier that gets these numbers behaves, and how their messages end.
OUTCOMES: Final[dict[str, tuple[dict[str, Any], str, str]]] = {
    "4470": ({}, "DELIVRD", "delivered"),
    "4471": ({"states": {"UNDELIV": 1.0}}, "UNDELIV", "failed"),
    "4472": ({"states": {"EXPIRED": 1.0}}, "EXPIRED", "failed"),
    "4473": ({"reject_share": 1.0}, "REJECTD", "carrier-reject"),
    "4474": ({"silent_share": 1.0}, "ENROUTE", "waiting"),
}
#: The keys of the accounts.
KEYS: Final = {"acme": "key", "web": "web-key"}
SHARES: Final = (0.7, 0.1, 0.08, 0.07, 0.05)
#: The tiles. The last one counts the messages that have not ended.
TILES: Final = ("delivered", "failed", "carrier-reject", "waiting")


class CountTests(IntegrationTestCase):
    timeout = 3600.0

    async def start(self) -> Relay:
        self.receiver = await self.webhooks()
        carriers, routes = {}, []
        self.simulators = []
        for prefix, (settings, _, _) in OUTCOMES.items():
            simulator = await self.simulator(receipt_delay_seconds=0.2, **settings)
            self.simulators.append(simulator)
            carriers[f"of-{prefix}"] = smpp_carrier(simulator.port)
            routes.append({"prefix": prefix, "carriers": [f"of-{prefix}"]})
        relay = await self.relay(
            accounts={
                "acme": smpp_account(),
                "web": {"api_key": "web-key", "allow_private_urls": True, "notification_url": self.receiver.url},
            },
            carriers=carriers,
            routes=routes,
            history={"days": 90},
            # Memory forgets nearly all of them.
            limits={"finished": MESSAGES // 10},
        )
        await self.all_bound(relay)
        #: By account: how often each status is expected.
        self.expected: dict[str, Counter[str]] = {"acme": Counter(), "web": Counter()}
        #: The numbers of each account's messages.
        self.numbers: dict[str, list[str]] = {"acme": [], "web": []}
        #: The message ids, by number.
        self.ids: dict[str, str] = {}
        self.random = random.Random(11)
        self.requests = 0
        return relay

    async def all_bound(self, relay: Relay) -> None:
        for simulator in self.simulators:
            await relay.carrier_bound(simulator)

    def batch(self, account: str) -> list[str]:
        """Numbers for the next messages of an account, which are counted from now on."""
        begin = len(self.numbers["acme"]) + len(self.numbers["web"])
        prefixes = self.random.choices(list(OUTCOMES), SHARES, k=BATCH)
        made = [f"{prefix}{begin + n:08}" for n, prefix in enumerate(prefixes)]
        self.numbers[account] += made
        self.expected[account].update(OUTCOMES[prefix][1] for prefix in prefixes)
        return made

    async def submit_over_smpp(self, relay: Relay, batches: int) -> None:
        esme = await self.esme(relay.smpp_port)
        for _ in range(batches):
            numbers = self.batch("acme")
            answers = await within(60, esme.submit([submit_body(number) for number in numbers]))
            self.assertEqual({status for status, _ in answers}, {0})
            self.ids.update((number, message_id) for number, (_, message_id) in zip(numbers, answers, strict=True))
        # Nobody is bound for the last receipts: they stay owed, which changes no count.
        esme.abort()
        await esme.gone

    async def submit_over_http(self, relay: Relay, batches: int) -> None:
        for _ in range(batches):
            await self.post(relay, self.batch("web"))

    async def post(self, relay: Relay, numbers: list[str]) -> None:
        """One request, made again until it is answered. Its key makes the repetition harmless."""
        self.requests += 1
        key = f"request {self.requests}"
        items = [{"to": number, "from": "RELAY", "text": "x", "reference": f"order {number}"} for number in numbers]
        deadline = time.monotonic() + 60 * PATIENCE
        while True:
            try:
                status, answer = await self.http(
                    "POST", relay, "/messages", items, account="web", key="web-key", headers=[("Idempotency-Key", key)]
                )
            except Exception:
                # The relay was killed meanwhile.
                status, answer = 0, None
            if status == 202:
                self.ids.update((number, item["id"]) for number, item in zip(numbers, answer, strict=True))
                return
            self.assertIn(status, (0, 429, 503), answer)
            self.assertLess(time.monotonic(), deadline)
            await deferLater(reactor, 0.1)

    async def tiles(self, relay: Relay, account: str) -> tuple[Counter[str], Counter[str]]:
        """The counts of the tiles, and the sums of the chart's columns."""
        page = await get_page(relay, "/?span=day", account, KEYS[account])
        tiles: Counter[str] = Counter()
        for kind in TILES:
            (count,) = re.findall(rf'data-count="{kind}"[^>]*>([\d,]+)<', page)
            tiles[kind] = int(count.replace(",", ""))
        (table,) = re.findall(r"Messages over time as a table.*?</table>", page, re.DOTALL)
        sums: Counter[str] = Counter()
        for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)[1:]:
            cells = re.findall(r'<td class="number">(?:<a[^>]*>)?(\d+)', row)
            for kind, cell in zip(tiles, cells, strict=True):
                sums[kind] += int(cell)
        return tiles, sums

    def words(self, account: str) -> Counter[str]:
        """What the tiles must say."""
        found = Counter(dict.fromkeys(TILES, 0))
        for _, status, tile in OUTCOMES.values():
            found[tile] += self.expected[account][status]
        return found

    async def settle(self, relay: Relay, seconds: float) -> None:
        """Waits until the tiles say what they must."""
        for account in self.expected:

            async def settled(account: str = account) -> bool:
                return (await self.tiles(relay, account))[0] == self.words(account)

            await until(f"all messages of {account} have ended", settled, seconds)

    async def compare(self, relay: Relay) -> None:
        """Compares everything that counts with the test's own count."""
        for account, expected in self.expected.items():
            tiles, sums = await self.tiles(relay, account)
            self.assertEqual((tiles, sums), (self.words(account), self.words(account)), account)
            for status in sorted(expected):
                listed = await self.listed(relay, account, status)
                self.assertEqual(len(listed), len(set(listed)), status)
                wanted = [n for n in self.numbers[account] if OUTCOMES[n[:4]][1] == status]
                self.assertEqual((len(listed), set(listed)), (expected[status], set(wanted)), f"{account} {status}")
            for number in self.random.sample(self.numbers[account], 20):
                for asked in (f"to={number}", f"to_end={number[4:]}", f"id={self.ids[number]}"):
                    _, found = await self.http("GET", relay, f"/messages?{asked}", account=account, key=KEYS[account])
                    self.assertEqual([(m["to"], m["status"]) for m in found["messages"]],
                                     [(number, OUTCOMES[number[:4]][1])], asked)  # fmt: skip
            rows = list(
                csv.DictReader(
                    (await get_page(relay, "/my/messages/export?format=csv", account, KEYS[account])).splitlines()
                )
            )
            self.assertEqual(Counter(row["status"] for row in rows), expected)
            self.assertEqual({row["to"] for row in rows}, set(self.numbers[account]))
        await self.compare_operator(relay)

    async def listed(self, relay: Relay, account: str, status: str) -> list[str]:
        """The numbers of all messages that the API lists with a status, page by page."""
        found: list[str] = []
        after = ""
        while True:
            path = f"/messages?status={status}&limit=500{after}"
            _, page = await self.http("GET", relay, path, account=account, key=KEYS[account])
            found += [message["to"] for message in page["messages"]]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    async def compare_operator(self, relay: Relay) -> None:
        """The operator's chart counts the messages of all accounts."""
        page = await self.operator_page(relay, "/?span=day")
        (chart,) = re.findall(r"How messages ended in the last 24 hours: ([^\"]*)\.", html.unescape(page))[:1]
        found = Counter({kind: int(count.replace(",", "")) for count, kind in re.findall(r"([\d,]+) ([a-z-]+)", chart)})
        self.assertEqual(found, sum((self.words(account) for account in self.expected), Counter()))

    async def operator_page(self, relay: Relay, path: str) -> str:
        client = treq.client.HTTPClient(Agent(reactor, pool=self.pool))
        response = await client.get(f"http://127.0.0.1:{relay.admin_port}{path}", reactor=http_reactor)
        return await response.text()

    async def test_all_that_counts_agrees_with_an_independent_count_before_and_after_kills(self) -> None:
        began = time.monotonic()
        relay = await self.start()
        batches = MESSAGES // BATCH
        smpp, http = batches * 3 // 10, batches // 5
        await self.submit_over_smpp(relay, smpp)
        await self.submit_over_http(relay, http)
        # A kill in the midst of receipts, webhooks, the history's writing, and a request.
        posting: Deferred[None] = Deferred.fromCoroutine(self.post(relay, self.batch("web")))
        await deferLater(reactor, 0.05)
        relay.kill()
        await relay.start()
        await within(120, posting)
        await self.all_bound(relay)
        await self.submit_over_smpp(relay, batches * 6 // 10 - smpp)
        await self.submit_over_http(relay, batches - batches * 6 // 10 - http - 1)
        sent = time.monotonic()
        count = len(self.numbers["acme"]) + len(self.numbers["web"])
        self.assertEqual(count, batches * BATCH)
        await self.settle(relay, 60 + MESSAGES / 200)
        settled = time.monotonic()
        await self.compare(relay)
        compared = time.monotonic()
        relay.kill()
        await relay.start()
        await self.compare(relay)
        print(
            f"\n{count} messages: {sent - began:.0f} s to submit, {settled - sent:.0f} s until all had ended, "
            f"{compared - settled:.0f} s to compare; again after a kill {time.monotonic() - compared:.0f} s",
            file=sys.stderr,
        )

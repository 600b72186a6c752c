"""Relays in a row: receipts go back through each of them, also if one of the relays is killed."""

import random

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost

from relay.values import smpp_constants as c
from tests.fakes import FastEsme, submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within


class Chain(IntegrationTestCase):
    """customer -> A -> B -> C -> simulated carrier, each relay a process."""

    async def chain(self) -> None:
        self.carrier = await self.simulator(receipt_delay_seconds=0.2)
        self.c = self.link("c", self.carrier.port)
        self.b = self.link("b", self.c.smpp_port)
        self.a = self.link("a", self.b.smpp_port)
        for relay in (self.c, self.b, self.a):
            relay.launch()
        for relay in (self.c, self.b, self.a):
            await relay.ready()

    def link(self, name: str, upstream_port: int) -> Relay:
        return self.prepare_relay(
            name,
            accounts={"down": smpp_account(max_binds=10)},
            carriers={"up": smpp_carrier(upstream_port, system_id="acme", password="secret08", in_doubt="resend")},
            routes=[{"carriers": ["up"]}],
        )

    async def test_every_notification_comes_home_through_all_of_them(self) -> None:
        await self.chain()
        esme = await self.esme(self.a.smpp_port)
        answers = await within(60, esme.submit([submit_body(f"4477{n:08}") for n in range(1000)]))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await until("all receipts are home", lambda: len(esme.receipts) >= 1000, 60)
        self.assertEqual(
            sorted((receipt.message_id, receipt.stat) for receipt in esme.receipts),
            sorted((message_id, "DELIVRD") for _, message_id in answers),
        )

    async def test_nothing_accepted_is_without_its_notification_when_one_is_killed_in_mid_traffic(self) -> None:
        await self.chain()
        esme = await self.esme(self.a.smpp_port)
        submitted: Deferred[list[tuple[int, str]]] = esme.submit([submit_body(f"4477{n:08}") for n in range(3000)])
        await until("traffic flows both ways", lambda: len(esme.receipts) > 100, 60)
        self.b.kill()
        # The customer's side doesn't notice: A goes on taking messages while B is away.
        answers = await within(60, submitted)
        answers += await within(60, esme.submit([submit_body(f"4478{n:08}") for n in range(1000)]))
        accepted = {message_id for status, message_id in answers if status == c.ESME_ROK}
        self.assertEqual(len(accepted), 4000)
        self.assertLess(len({receipt.message_id for receipt in esme.receipts}), 4000)
        await self.b.start()
        await until("what waited at A flows again", lambda: self.carrier.counters.taken > 3100, 60)
        self.b.kill()
        await self.b.start()
        await until(
            "every accepted message has its notification",
            lambda: {receipt.message_id for receipt in esme.receipts} >= accepted,
            90,
        )
        self.assertEqual({receipt.stat for receipt in esme.receipts}, {"DELIVRD"})

    async def test_nothing_accepted_is_without_its_notification_whichever_of_them_is_killed(self) -> None:
        await self.chain()
        randomness = random.Random(5)
        visits: list[FastEsme] = []
        accepted: set[str] = set()
        killing = True

        async def kill_some() -> None:
            nonlocal killing
            for relay in (self.a, self.c, self.b, self.a):
                await task.deferLater(reactor, randomness.uniform(0.1, 0.8))
                relay.kill()
                await relay.start()
            killing = False

        async def submit_some() -> None:
            """A customer that binds again whenever A is gone, and counts what A said it had taken."""
            while killing:
                try:
                    esme = await self.esme(self.a.smpp_port)
                except (ConnectError, ConnectionDone, ConnectionLost):
                    await task.deferLater(reactor, 0.02)
                    continue
                visits.append(esme)
                while killing and not esme.lost:
                    answers = await esme.submit([submit_body(f"4477{n:08}") for n in range(100)])
                    accepted.update(message_id for status, message_id in answers if status == c.ESME_ROK)
                    await task.deferLater(reactor, 0.02)

        await within(60, gatherResults([Deferred.fromCoroutine(kill_some()), Deferred.fromCoroutine(submit_some())]))
        self.assertGreater(len(accepted), 1000)
        if visits[-1].lost:
            visits.append(await self.esme(self.a.smpp_port))
        await until(
            "every accepted message has its notification",
            lambda: {receipt.message_id for esme in visits for receipt in esme.receipts} >= accepted,
            60,
        )

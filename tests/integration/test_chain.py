"""Relays in a row: receipts come home hop by hop, through a relay that dies on the way too."""

from twisted.internet.defer import Deferred

from relay.core.smpp import constants as c
from tests.fakes import FastEsme, submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within


class Chain(IntegrationTestCase):
    """customer -> A -> B -> C -> simulated carrier, each relay a process."""

    timeout = 180

    async def chain(self) -> FastEsme:
        self.carrier = await self.simulator(receipt_delay_seconds=0.2)
        self.c = self.link("c", self.carrier.port)
        self.b = self.link("b", self.c.smpp_port)
        self.a = self.link("a", self.b.smpp_port)
        for relay in (self.c, self.b, self.a):
            relay.launch()
        for relay in (self.c, self.b, self.a):
            await relay.ready()
        return await self.esme(self.a.smpp_port)

    def link(self, name: str, upstream_port: int) -> Relay:
        return self.prepare_relay(
            name,
            accounts={"down": smpp_account(max_binds=10)},
            carriers={"up": smpp_carrier(upstream_port, system_id="acme", password="secret08", in_doubt="resend")},
            routes=[{"carriers": ["up"]}],
        )

    async def test_every_notification_comes_home_through_all_of_them(self) -> None:
        esme = await self.chain()
        answers = await within(60, esme.submit([submit_body(f"4477{n:08}") for n in range(1000)]))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await until("all receipts are home", lambda: len(esme.receipts) >= 1000, 60)
        self.assertEqual(
            sorted((receipt.message_id, receipt.stat) for receipt in esme.receipts),
            sorted((message_id, "DELIVRD") for _, message_id in answers),
        )

    async def test_nothing_accepted_is_without_its_notification_when_one_is_killed_in_mid_traffic(self) -> None:
        esme = await self.chain()
        submitted: Deferred[list[tuple[int, str]]] = esme.submit([submit_body(f"4477{n:08}") for n in range(3000)])
        await until("traffic flows both ways", lambda: len(esme.receipts) > 100, 60)
        self.b.kill()
        # The customer's side doesn't notice: A goes on taking messages while B is away.
        answers = await within(60, submitted)
        await self.b.start()
        accepted = [message_id for status, message_id in answers if status == c.ESME_ROK]
        self.assertEqual(len(accepted), 3000)
        await until(
            "every accepted message has its notification",
            lambda: {receipt.message_id for receipt in esme.receipts} >= set(accepted),
            90,
        )
        self.assertEqual({receipt.stat for receipt in esme.receipts}, {"DELIVRD"})

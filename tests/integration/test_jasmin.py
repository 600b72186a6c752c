"""Jasmin in the middle of a chain: a relay's carrier, and another relay's customer."""

import contextlib
from unittest import SkipTest

from twisted.internet import reactor, task
from twisted.internet.threads import deferToThread

from benchmarks import jasmin
from benchmarks.gateways import PASSWORD
from relay.values import smpp_constants as c
from tests import PATIENCE
from tests.fakes import submit_body
from tests.integration.harness import ROOT, IntegrationTestCase, smpp_account, smpp_carrier, until, within

#: Where .ci/make-tools installs it.
HOME = ROOT / "var" / "jasmin"
COUNT = 20


class JasminTests(IntegrationTestCase):
    async def test_messages_and_receipts_pass_through_jasmin_between_two_relays(self) -> None:
        if not jasmin.installed(HOME):
            raise SkipTest("Jasmin, RabbitMQ or Redis isn't installed: .ci/make-tools")
        carrier = await self.simulator()
        back = await self.relay(
            "back",
            accounts={"jasmin": smpp_account("jasmin", PASSWORD)},
            carriers={"tier1": smpp_carrier(carrier.port)},
            routes=[{"carriers": ["tier1"]}],
        )
        directory = self.directory / "jasmin"
        directory.mkdir()
        stack = contextlib.ExitStack()
        self.addCleanup(deferToThread, stack.close)
        middle = jasmin.jasmin(directory, HOME.resolve(), back.smpp_port, 60.0 * PATIENCE)
        gateway = await deferToThread(stack.enter_context, middle)
        front = await self.relay(
            "front",
            accounts={"acme": smpp_account()},
            carriers={"jasmin": smpp_carrier(gateway.smpp_port, system_id=jasmin.LOGIN, password=PASSWORD)},
            routes=[{"carriers": ["jasmin"]}],
        )
        await until("Jasmin has bound", lambda: "customer_bound: jasmin" in back.log())
        await until("the front relay has bound", lambda: "carrier_bound: jasmin" in front.log())
        esme = await self.esme(front.smpp_port)
        before = 0
        while not esme.receipts:
            # Jasmin forwards receipts only once all of its processes are connected, and doesn't say when they are.
            before += 1
            await within(60, esme.submit([submit_body("447700900999")]))
            for _ in range(50):
                await task.deferLater(reactor, 0.1, lambda: None)
                if esme.receipts:
                    break
        got = len(esme.receipts)
        answers = await within(60, esme.submit([submit_body(f"4477009{n:05}") for n in range(COUNT)]))
        self.assertEqual({c.ESME_ROK}, {status for status, _ in answers})
        await until("every receipt is home", lambda: len(esme.receipts) >= got + COUNT, 60)
        self.assertEqual(carrier.counters.taken, before + COUNT)

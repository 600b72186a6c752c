"""The simulated carrier on real sockets, and as a process."""

import re
import signal
import subprocess
import sys

from twisted.internet.threads import deferToThread

from tests.integration.harness import ROOT, IntegrationTestCase, smpp_account, until, within
from tests.integration.smpplib_customer import submit_and_read
from tests.ports import free_port


class Simulator(IntegrationTestCase):
    async def test_smpplib_gets_a_receipt_for_every_message(self) -> None:
        simulator = await self.simulator(states={"DELIVRD": 0.5, "UNDELIV": 0.5})
        customer = await within(60, deferToThread(submit_and_read, simulator.port, 300))
        self.assertEqual(len(set(customer.ids)), 300)
        self.assertEqual(sorted(message_id for message_id, _ in customer.receipts), sorted(customer.ids))
        self.assertEqual({stat for _, stat in customer.receipts}, {"DELIVRD", "UNDELIV"})
        await until("all receipts are acknowledged", simulator.all_home)

    async def test_inside_the_relay_it_is_a_carrier_like_any_other(self) -> None:
        simulator = {"receipt_delay_seconds": 0.01, "states": {"EXPIRED": 1.0}}
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"sim": {"kind": "simulator", "simulator": simulator}},
            routes=[{"carriers": ["sim"]}],
        )
        customer = await within(30, deferToThread(submit_and_read, relay.smpp_port, 50))
        self.assertEqual(sorted(customer.receipts), sorted((message_id, "EXPIRED") for message_id in customer.ids))
        self.assertEqual(await relay.stop(), 0, relay.log())

    async def test_as_a_process_it_says_where_it_listens_and_what_it_did(self) -> None:
        port = free_port()
        log = self.directory / "log"
        with log.open("wb") as output:
            options = ["--receipt-delay-seconds=0.01", "--states=DELIVRD=0.9,UNDELIV=0.1", "--seed=7"]
            process = subprocess.Popen(
                [sys.executable, "-m", "relay", "simulate", f"--listen=tcp:{port}:interface=127.0.0.1", *options],
                stdout=output,
                stderr=output,
                cwd=ROOT,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        await until(
            "the simulator listens",
            lambda: f"listening on 127.0.0.1:{port}" in log.read_text() or process.poll() is not None,
        )
        self.assertIsNone(process.poll(), log.read_text())
        customer = await within(30, deferToThread(submit_and_read, port, 50))
        self.assertEqual(len(customer.receipts), 50)
        process.send_signal(signal.SIGTERM)
        await until("it ends", lambda: process.poll() is not None)
        self.assertEqual(process.returncode, 0, log.read_text())
        counts = dict(re.findall(r"(\w+)=(\d+)", log.read_text()))
        self.assertEqual((counts["submits"], counts["receipts_owed"], counts["acked"]), ("50", "50", "50"))

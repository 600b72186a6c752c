"""Steady traffic for as long as asked (`make soak SECONDS=3600`): nothing may grow without bound."""

import os
import time
from pathlib import Path

from twisted.internet import reactor, task

from relay.core.smpp import constants as c
from tests.fakes import submit_body
from tests.integration.harness import IntegrationTestCase, smpp_account, smpp_carrier, until, within

SECONDS = float(os.environ.get("RELAY_SOAK_SECONDS", "10"))
ROWS = 10


class Soak(IntegrationTestCase):
    timeout = int(SECONDS) + 120

    async def test_memory_files_and_the_journal_stay_where_they_were(self) -> None:
        carrier = await self.simulator(receipt_delay_seconds=0.0)
        relay = await self.relay(
            accounts={"acme": smpp_account()},
            carriers={"sim": smpp_carrier(carrier.port)},
            routes=[{"carriers": ["sim"]}],
            journal={"segment_bytes": 65_536},
            limits={"finished": 500},
        )
        await relay.carrier_bound(carrier)
        esme = await self.esme(relay.smpp_port)
        assert relay.process is not None
        files = Path(f"/proc/{relay.process.pid}/fd")
        data = Path(relay.configuration["data_dir"])
        rows = []
        begun_at = time.monotonic()
        print("\n    seconds  messages  RSS MB  files  journal MB  round ms")
        sent = 0
        while len(rows) < ROWS:
            round_at = time.monotonic()
            answers = await within(30, esme.submit([submit_body("447700900001")] * 100))
            self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
            await until("the receipts are home", lambda: len(esme.receipts) >= 100)
            esme.receipts.clear()
            sent += 100
            now = time.monotonic()
            if now - begun_at >= SECONDS * (len(rows) + 1) / ROWS:
                size = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
                row = (relay.resident_bytes() / 1e6, len(list(files.iterdir())), size / 1e6)
                rows.append(row)
                print(
                    f"    {now - begun_at:7.0f}  {sent:8}  {row[0]:6.1f}  {row[1]:5}  {row[2]:10.2f}"
                    f"  {(now - round_at) * 1000:8.1f}"
                )
            await task.deferLater(reactor, 0.1)
        half = rows[ROWS // 2 - 1]
        self.assertLess(rows[-1][0], half[0] * 1.2 + 10, "memory grows")
        self.assertLess(rows[-1][1], half[1] + 5, "open files grow")
        self.assertLess(rows[-1][2], half[2] * 2 + 5, "the journal grows")

"""Steady traffic for a given time (`make soak SECONDS=3600`): nothing may grow without limit.

One customer uses SMPP, and its receipts come back. The other one uses HTTP, with webhooks and an Idempotency-Key for
each request; half of its messages go to a carrier that writes other ids into receipts than into responses. These
receipts become orphans, and the messages end without a receipt. So everything that can expire does expire here, with
limits that are reached soon.
"""

import itertools
import os
import statistics
import time
from pathlib import Path

from twisted.internet import reactor, task

from relay.values import smpp_constants as c
from tests import HUNG_SECONDS
from tests.fakes import FastEsme, submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, smpp_carrier, until, within

SECONDS = float(os.environ.get("RELAY_SOAK_SECONDS", "10"))
ROWS = 10
#: What the relay may hold: see `limits` below.
FINISHED = 500
KEYS = 1_000
ORPHAN_SECONDS = 30.0


class Soak(IntegrationTestCase):
    timeout = HUNG_SECONDS + SECONDS

    async def test_memory_files_and_the_journal_stay_where_they_were(self) -> None:
        carrier = await self.simulator(receipt_delay_seconds=0.0)
        misnaming = await self.simulator(receipt_delay_seconds=0.0, receipt_id="uuid")
        self.receiver = await self.webhooks()
        hooked = smpp_account("hooked", notification_url=self.receiver.url, notification_batch=100)
        relay = await self.relay(
            accounts={"acme": smpp_account(), "hooked": hooked | {"api_key": "hooked-key"}},
            carriers={
                "sim": smpp_carrier(carrier.port),
                "misnaming": smpp_carrier(misnaming.port, receipt_hours=0.001),
            },
            routes=[{"carriers": ["sim"]}, {"prefix": "49", "carriers": ["misnaming"]}],
            journal={"segment_bytes": 65_536},
            limits={"finished": FINISHED, "idempotency_keys": KEYS, "orphan_seconds": ORPHAN_SECONDS},
            validity_seconds=60,
        )
        await relay.carrier_bound(carrier)
        await relay.carrier_bound(misnaming)
        esme = await self.esme(relay.smpp_port)
        assert relay.process is not None
        files = Path(f"/proc/{relay.process.pid}/fd")
        data = Path(relay.configuration["data_dir"])
        rows: list[tuple[float, ...]] = []
        numbers = itertools.count()
        begun_at = time.monotonic()
        print("\n    seconds  messages  RSS MB  files  journal MB  messages held  orphans  round ms: median  most")
        sent = 0
        taken: list[float] = []
        while len(rows) < ROWS:
            round_at = time.monotonic()
            await self.one_round(relay, esme, next(numbers))
            sent += 110
            now = time.monotonic()
            taken.append(now - round_at)
            if now - begun_at >= SECONDS * (len(rows) + 1) / ROWS:
                size = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
                held = await self.metric(relay, "relay_store_messages")
                orphans = await self.metric(relay, "relay_store_orphans")
                row = (relay.resident_bytes() / 1e6, len(list(files.iterdir())), size / 1e6)
                rows.append(row)
                print(
                    f"    {now - begun_at:7.0f}  {sent:8}  {row[0]:6.1f}  {row[1]:5}  {row[2]:10.2f}  {held:13.0f}"
                    f"  {orphans:7.0f}  {statistics.median(taken) * 1000:16.1f}  {max(taken) * 1000:4.0f}",
                    flush=True,
                )
                taken.clear()
            await task.deferLater(reactor, 0.1)
        half = rows[ROWS // 2 - 1]
        self.assertLess(rows[-1][0], half[0] * 1.2 + 10, "memory grows")
        self.assertLess(rows[-1][1], half[1] + 5, "open files grow")
        self.assertLess(rows[-1][2], half[2] * 2 + 5, "the journal grows")

    async def one_round(self, relay: Relay, esme: FastEsme, number: int) -> None:
        """100 messages over SMPP, with their receipts, and 10 over HTTP."""
        answers = await within(30, esme.submit([submit_body("447700900001")] * 100))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await until("the receipts are home", lambda: len(esme.receipts) >= 100)
        esme.receipts.clear()
        message = {"from": "447700900000", "text": "hello"}
        batch = [message | {"to": to} for to in ("+447700900001", "+491700000001") for _ in range(5)]
        key = [("Idempotency-Key", f"round-{number}")]
        status, _ = await self.http("POST", relay, "/messages", batch, account="hooked", key="hooked-key", headers=key)
        self.assertEqual(status, 202)
        self.receiver.posts.clear()

"""Kills the relay with SIGKILL at any instant, again and again, under load: nothing that was accepted is lost.

The relay, its carriers and the webhook receiver are processes; only the relay is killed. Every accepted message has a
destination of its own. So at the end each one is checked: at the customers by id, and at the carriers by destination.
If something came twice, it must have been in flight at a kill. `make crash KILLS=20 SEED=7` runs it for longer and
prints its figures.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor, task

from tests import HUNG_SECONDS
from tests.integration.crash_load import Customers
from tests.integration.harness import ROOT, IntegrationTestCase, Relay, smpp_account, smpp_carrier, until
from tests.ports import free_port

KILLS = int(os.environ.get("CRASH_KILLS", "4"))
SEED = int(os.environ.get("CRASH_SEED", "1"))
RESENT, ENDED = "44770", "44771"


class Peer:
    """A process of `tests.integration.crash_peers`."""

    def __init__(self, directory: Path, kind: str, name: str) -> None:
        self.port = free_port()
        self._file = directory / name
        self._file.touch()
        arguments = [sys.executable, "-m", "tests.integration.crash_peers", kind, str(self.port), str(self._file)]
        self.process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE)

    async def listening(self) -> None:
        assert self.process.stdout is not None
        stdout = self.process.stdout
        os.set_blocking(stdout.fileno(), False)
        await until("the peer listens", lambda: stdout.readline() or self.process.poll() is not None)
        assert self.process.poll() is None, "the peer ended"

    def notes(self) -> list[tuple[float, str]]:
        """What it saw: when, and what."""
        lines = self._file.read_text().splitlines()
        return [(float(at), what) for at, _, what in (line.partition("\t") for line in lines)]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class PeersTestCase(IntegrationTestCase):
    """A relay with two carriers and a webhook receiver, each a process."""

    async def peer(self, kind: str, name: str) -> Peer:
        peer = Peer(self.directory, kind, name)
        self.addCleanup(peer.end)
        await peer.listening()
        return peer

    async def loaded_relay(self, again: Peer, once: Peer, **more: Any) -> Relay:
        """A relay whose carrier `again` gets what is in doubt once more, and `once` doesn't; by number."""
        receiver = self.receiver = await self.peer("receiver", "receiver")
        hooked = {
            "api_key": "hooked-key",
            "notification_url": f"http://127.0.0.1:{receiver.port}/notifications",
            "allow_private_urls": True,
        }
        return await self.relay(
            accounts={"acme": smpp_account(), "hooked": hooked},
            carriers={
                "again": smpp_carrier(again.port, window=100),
                "once": smpp_carrier(once.port, window=100, in_doubt="end"),
            },
            routes=[{"prefix": RESENT, "carriers": ["again"]}, {"prefix": ENDED, "carriers": ["once"]}],
            **more,
        )


class CrashTests(PeersTestCase):
    timeout = HUNG_SECONDS + 8 * KILLS

    async def kill_at_random(self, relay: Relay, randomness: random.Random) -> float:
        """Lets the relay run for a while, kills it, and starts it again; gives the time of the kill."""
        await task.deferLater(reactor, randomness.uniform(0.1, 2.0))
        relay.kill()
        killed_at = time.time()
        relay.launch()
        return killed_at

    async def test_nothing_accepted_is_lost_and_only_what_was_in_flight_comes_twice(self) -> None:
        randomness = random.Random(SEED)
        again, once = await self.peer("carrier", "again"), await self.peer("carrier", "once")
        relay = await self.loaded_relay(again, once)
        receiver = self.receiver
        customers = Customers([relay.smpp_port], [relay.http_port], randomness, [RESENT, ENDED])
        kills: list[float] = []
        for _ in range(KILLS):
            # Most kills hit a relay at work; every fourth one that is still starting.
            if randomness.random() < 0.75:
                await relay.ready()
            kills.append(await self.kill_at_random(relay, randomness))
        await relay.ready()
        accepted = len(customers.smpp_accepted)
        await until("it takes messages again", lambda: len(customers.smpp_accepted) > accepted)
        await customers.stop()
        if customers.esmes[-1].lost:
            await customers.bound()

        smpp_ids, http_ids = set(customers.smpp_accepted.values()), set(customers.http_accepted.values())

        def notified() -> dict[str, dict[str, str]]:
            return {(body := json.loads(text))["id"]: body for _, text in receiver.notes()}

        try:
            await until("every receipt came", lambda: set(customers.receipts) >= smpp_ids, 30)
            await until("every notification came", lambda: set(notified()) >= http_ids, 40)
        finally:
            lost = smpp_ids - set(customers.receipts) | http_ids - set(notified())
            report = self.report(customers, kills, again, once, receiver, lost)
            await customers.leave()
            print(f"\n{report}", file=sys.stderr)
        self.assertEqual(len(lost), 0, report)

        # Answered 202 once, whatever happened to the connection: the key kept it one message.
        self.assertEqual(len(http_ids), len(customers.http_accepted))
        # POSTs without an answer, and those whose answers wait for the disk; likewise submit_sm.
        self.assert_in_flight("webhooks", [json.loads(text)["id"] for _, text in receiver.notes()], len(kills), 3 * 8)
        self.assert_in_flight("submit_sm", [to for _, to in again.notes()], len(kills), 2 * 100)
        # Receipts carry no time; a session has no more than its window of them unanswered.
        window = relay.configuration["smpp"]["window"]
        self.assertLessEqual(len(customers.receipts) - len(set(customers.receipts)), len(kills) * window)
        # The carrier whose messages are ended when in doubt never gets one twice.
        self.assertEqual([to for to, count in Counter(to for _, to in once.notes()).items() if count > 1], [])
        self.assertEqual(await relay.stop(), 0)

    def assert_in_flight(self, what: str, names: list[str], kills: int, most: int) -> None:
        """What came twice is no more than what can be under way at a kill."""
        twice = [name for name, count in Counter(names).items() if count > 1]
        self.assertLessEqual(len(twice), kills * most, f"{what} that came twice")
        self.assertLessEqual(len(names) - len(set(names)), kills * most, f"{what} that came more than once")

    def report(
        self, customers: Customers, kills: list[float], again: Peer, once: Peer, receiver: Peer, lost: set[str]
    ) -> str:
        def twice(names: list[str]) -> int:
            return len(names) - len(set(names))

        notices = [json.loads(text) for _, text in receiver.notes()]
        unknown = sum(notice["status"] == "UNKNOWN" for notice in notices)
        unknown += sum(receipt.stat == "UNKNOWN" for esme in customers.esmes for receipt in esme.receipts)
        return (
            f"crash run, seed {SEED}: {len(kills)} kills, "
            f"{len(customers.smpp_accepted)} messages accepted over SMPP and {len(customers.http_accepted)} over HTTP, "
            f"{len(lost)} lost; twice: {twice(customers.receipts)} receipts, "
            f"{twice([notice['id'] for notice in notices])} webhooks, "
            f"{twice([to for _, to in again.notes()])} submit_sm with in_doubt: resend, "
            f"{twice([to for _, to in once.notes()])} with in_doubt: end; {unknown} ended UNKNOWN"
        )

"""Sends nearly correct input to both listeners: the daemon goes on, and other clients notice nothing.

Seconds and seed come from the environment (`make fuzz SECONDS=600 SEED=7`). Without them the run is short, and its seed
is always the same. If an input makes a run fail, it is kept in tests/data/fuzz, and every later run sends it again.
"""

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, DeferredList

from relay.values import smpp_constants as c
from tests import HUNG_SECONDS
from tests.fakes import submit_body
from tests.fuzz import http_cases, smpp_cases
from tests.fuzz.mutations import pieces
from tests.integration.harness import IntegrationTestCase, smpp_account, smpp_carrier, until, within

SECONDS = float(os.environ.get("RELAY_FUZZ_SECONDS", "8"))
SEED = int(os.environ.get("RELAY_FUZZ_SEED", "1"))
CORPUS = Path(__file__).resolve().parents[1] / "data" / "fuzz"

#: Connections at once, and until the bystander is asked again.
TOGETHER = 40
ROUND = 400
FEWEST = 50
#: Words that no log may have, whatever anybody sends.
UNFORESEEN = ("Traceback", "Unhandled", "_broken:", "_failed:", "log_line_failed", "Exception")


class Listeners(IntegrationTestCase):
    timeout = HUNG_SECONDS + SECONDS

    async def world(self) -> None:
        self.carrier = await self.simulator()
        self.daemon = await self.relay(
            accounts={
                "acme": smpp_account(max_binds=1000),
                "other": smpp_account("other", api_key="other-key"),
            },
            carriers={"sim": smpp_carrier(self.carrier.port)},
            routes=[{"carriers": ["sim"]}],
            http={"listen": [], "kannel": True, "jasmin": True},
            limits={"connections_per_address": 1000},
        )
        await self.daemon.carrier_bound(self.carrier)
        self.bystander = await self.esme(self.daemon.smpp_port, "other")
        self.seen_of_log = 0

    def prepare_relay(self, name="relay", **configuration):  # type: ignore[no-untyped-def]
        relay = super().prepare_relay(name, **configuration)
        relay.configuration["http"]["listen"] = [f"tcp:{relay.http_port}:interface=127.0.0.1"]
        relay.configuration["smpp"]["failed_binds_a_minute"] = 1_000_000
        return relay

    async def undisturbed(self) -> None:
        """The bystander's session from before still works both ways, HTTP too, and the log shows no surprise."""
        assert self.daemon.process is not None
        self.assertIsNone(self.daemon.process.poll(), "the daemon has ended")
        before = len(self.bystander.receipts)
        answers = await within(20, self.bystander.submit([submit_body("447700900001")] * 3))
        self.assertEqual({status for status, _ in answers}, {c.ESME_ROK})
        await until("the bystander's receipts are home", lambda: len(self.bystander.receipts) >= before + 3)
        self.assertFalse(self.bystander.lost)
        status, _ = await self.http("GET", self.daemon, "/account", account="other", key="other-key")
        self.assertEqual(status, 200)
        log = self.daemon.log_file.read_text(errors="replace")
        for number, line in enumerate(log[self.seen_of_log :].splitlines()):
            for word in UNFORESEEN:
                self.assertNotIn(word, line, f"line {number} of the log")
        self.seen_of_log = len(log)

    async def connection(self, port: int, octets: bytes, choice: random.Random) -> None:
        """Sends what one connection has to say, reads what comes, and closes after a moment at the most."""
        peer = await self.raw(port)
        for piece in pieces(octets, choice):
            if peer.closed:
                break
            peer.write(piece)
            await task.deferLater(reactor, 0)
        # A pause long enough for the answers of a daemon that is not busy; nothing depends on its length.
        for _ in range(choice.choice((1, 3, 10))):
            if peer.closed:
                break
            await task.deferLater(reactor, 0.01)
        if not peer.closed:
            peer.abort()
        await within(10, peer.gone)
        self.assertNotIn(b"HTTP/1.1 500", peer.received)

    async def fuzz(self, name: str, port: int, make: Callable[[random.Random], bytes]) -> None:
        choice = random.Random(SEED)
        kept = [path.read_bytes() for path in sorted(CORPUS.glob(f"{name}-*.bin"))]
        cases: Iterator[bytes] = iter(kept)
        ends = time.monotonic() + SECONDS
        sent = 0
        while True:
            round_of: list[bytes] = list(cases)
            # However slow the machine is, there are enough cases to say something.
            while len(round_of) < ROUND and (time.monotonic() < ends or sent + len(round_of) <= FEWEST):
                batch = [make(choice) for _ in range(TOGETHER)]
                await self.send_all(name, port, batch, choice)
                round_of += batch
            if kept:
                await self.send_all(name, port, kept, choice)
                kept = []
            sent += len(round_of)
            try:
                await self.undisturbed()
            except BaseException:
                self.keep(name, round_of)
                raise
            if time.monotonic() >= ends and sent > FEWEST:
                break
        self.assertGreater(sent, FEWEST)

    async def send_all(self, name: str, port: int, batch: list[bytes], choice: random.Random) -> None:
        seeds = [random.Random(choice.random()) for _ in batch]
        sending = [
            Deferred.fromCoroutine(self.connection(port, octets, seed))
            for octets, seed in zip(batch, seeds, strict=True)
        ]
        try:
            for _, result in await DeferredList(sending, consumeErrors=True):
                if result is not None:
                    result.raiseException()
        except BaseException:
            self.keep(name, batch)
            raise

    def keep(self, name: str, octets: list[bytes]) -> None:
        """Writes what was sent since all was well, one file a connection, to be cut down by hand."""
        directory = CORPUS / f"suspects-{name}"
        directory.mkdir(parents=True, exist_ok=True)
        for one in octets:
            (directory / f"{name}-{hashlib.sha256(one).hexdigest()[:12]}.bin").write_bytes(one)

    async def test_pdus_of_every_command_with_anything_wrong_cost_only_their_sender(self) -> None:
        await self.world()
        await self.fuzz("smpp", self.daemon.smpp_port, smpp_cases.one_connection)

    async def test_requests_with_anything_wrong_cost_only_their_sender(self) -> None:
        await self.world()
        await self.fuzz("http", self.daemon.http_port, http_cases.one_connection)

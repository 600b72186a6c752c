"""Carriers with HTTP APIs of their own, over sockets: a message goes out, and its receipt becomes a notification."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.server import NOT_DONE_YET, Request

from relay.config.carrier_config import Simulator
from relay.simulator.simulated_api import ReceiptPoster, SimulatedApi, api_site
from relay.simulator.vendor_apis import VENDORS, ApiMessage, Telnyx
from relay.values import smpp_constants as c
from tests.fakes import submit_body
from tests.integration.harness import ROOT, IntegrationTestCase, Relay, smpp_account, until, within
from tests.ports import free_port

SYSTEM_ID = "AC0123456789"
PASSWORD = "secret+/8"
TOKEN = "a-token-of-40-characters-at-the-most"


class FaultyApi(SimulatedApi):
    """A simulated API that answers some requests in a way of its own."""

    #: Called with each request before it is handled; what it returns, if not None, is the answer.
    before: Callable[[Request], bytes | int | None] = staticmethod(lambda request: None)

    def render(self, request: Request) -> bytes | int:
        kept = self.before(request)
        return super().render(request) if kept is None else kept


class HttpCarrierTestCase(IntegrationTestCase):
    async def api(self, preset: str) -> FaultyApi:
        """A simulated API that listens. It takes messages to +44 only."""
        self.taken: list[ApiMessage] = []
        settings = Simulator(receipt_delay_seconds=0.05, destination_begins="44")
        poster = ReceiptPoster(reactor)
        api = FaultyApi(
            preset, settings, reactor, random.Random(1), poster.post, lambda name, message: self.taken.append(message)
        )
        self.api_port = free_port()
        listening = await TCP4ServerEndpoint(reactor, self.api_port, interface="127.0.0.1").listen(api_site(api))
        self.addCleanup(poster.stop)
        self.addCleanup(lambda: maybeDeferred(listening.stopListening))
        self.addCleanup(api.stop)
        return api

    async def relay_to(self, preset: str, **more: Any) -> Relay:
        """A relay whose only carrier is the simulated API."""
        receiver = self.receiver = await self.webhooks()
        relay = self.prepare_relay()
        carrier = {
            "kind": "api",
            "connect": f"http://127.0.0.1:{self.api_port}",
            "system_id": SYSTEM_ID,
            "password": PASSWORD,
            "signing_secret": Telnyx().public_key if preset == "telnyx" else TOKEN,
            "reconnect_min_seconds": 0.1,
            "api": {"preset": preset, "public_url": f"http://127.0.0.1:{relay.http_port}"},
        }
        relay.configuration |= {
            "accounts": {"acme": smpp_account(notification_url=receiver.url)},
            "carriers": {"up": carrier | more},
            "routes": [{"carriers": ["up"]}],
        }
        return await relay.start()

    async def post(self, relay: Relay, to: str, text: str = 'Grüße, 100 % & "more"') -> tuple[int, Any]:
        return await self.http("POST", relay, "/messages", {"to": to, "from": "ACME", "text": text})


class PresetTests(HttpCarrierTestCase):
    async def deliver(self, preset: str) -> None:
        """One message is delivered, and one is refused."""
        api = await self.api(preset)
        relay = await self.relay_to(preset)
        texts = ['Grüße, 100 % & "more"', "привет " * 40]
        for text in texts:
            self.assertEqual((await self.post(relay, "447700900123", text))[0], 202)
        await until("both are delivered", lambda: len(self.receiver.posts) == 2)
        self.assertEqual({post.json["status"] for post in self.receiver.posts}, {"DELIVRD"})
        self.assertEqual(sorted(taken.text for taken in self.taken), sorted(texts))
        self.assertEqual({(taken.sender, taken.secret) for taken in self.taken}, {("ACME", PASSWORD)})
        await until("both receipts are answered", lambda: api.counters.acked == 2)
        self.assertEqual((api.counters.nacked, api.counters.malformed), (0, 0))
        self.assertEqual((await self.post(relay, "4912345678"))[0], 202)
        await until("the other one is refused", lambda: len(self.receiver.posts) == 3)
        self.assertEqual(self.receiver.posts[-1].json["status"], "REJECTD")
        # Nobody else can send receipts.
        status, _ = await self.http("POST", relay, "/carriers/up/receipts", {"id": "x", "status": "delivered"})
        self.assertEqual(status, 401)
        self.assertIn("carrier_notification_refused", relay.log())

    async def test_twilio(self) -> None:
        await self.deliver("twilio")

    async def test_vonage(self) -> None:
        await self.deliver("vonage")

    async def test_infobip(self) -> None:
        await self.deliver("infobip")

    async def test_telnyx(self) -> None:
        await self.deliver("telnyx")

    async def test_a_plain_json_api(self) -> None:
        await self.deliver("json")

    def test_every_shipped_api_has_a_simulator_and_a_test(self) -> None:
        tested = {name.rpartition("_")[2] for name in dir(self) if name.startswith("test_")}
        self.assertLessEqual(set(VENDORS) - {"json"}, tested)


class DocumentedCommandTests(HttpCarrierTestCase):
    """`relay simulate --api`, as docs/http-carriers.md has it."""

    PAGE = (ROOT / "docs/http-carriers.md").read_text("utf-8")

    async def simulate(self, *arguments: str) -> Path:
        """Runs the documented command on a free port. Returns the file with its output."""
        line = next(line.strip() for line in self.PAGE.splitlines() if line.startswith("    python -m relay simulate"))
        _, *words = line.split()
        self.api_port = free_port()
        words = [word.replace("tcp:8090:", f"tcp:{self.api_port}:") for word in words]
        log = self.directory / "simulator.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *words, *arguments], stdout=output, stderr=subprocess.STDOUT, cwd=ROOT
            )
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        await until("it listens", lambda: "listening on" in log.read_text() or self.process.poll() is not None)
        self.assertIsNone(self.process.poll(), log.read_text())
        return log

    async def stopped(self, log: Path) -> str:
        """Stops the command. Returns its output."""
        self.process.send_signal(signal.SIGTERM)
        await until("it ends", lambda: self.process.poll() is not None)
        self.assertEqual(0, self.process.returncode, log.read_text())
        return log.read_text()

    async def test_the_documented_command_and_configuration_deliver_messages(self) -> None:
        log = await self.simulate("--receipt-delay-seconds=0.01", "--states=DELIVRD=0.5,UNDELIV=0.5")
        relay = self.prepare_relay()
        receiver = await self.webhooks()
        after = self.PAGE.partition("relay's own listener:")[2].partition("```yaml")[2]
        settings = yaml.safe_load(after.partition("```")[0])
        carrier = settings["carriers"]["twilio"]
        carrier["connect"] = carrier["connect"].replace("8090", str(self.api_port))
        carrier["api"]["public_url"] = carrier["api"]["public_url"].replace("8080", str(relay.http_port))
        relay.configuration |= {
            "accounts": {"acme": smpp_account(notification_url=receiver.url)},
            "carriers": settings["carriers"],
            "routes": [{"carriers": ["twilio"]}],
        }
        await relay.start()
        for number in range(20):
            self.assertEqual(202, (await self.post(relay, f"4477009001{number:02}"))[0])
        await until("all have ended", lambda: len(receiver.posts) == 20)
        self.assertEqual({"DELIVRD", "UNDELIV"}, {post.json["status"] for post in receiver.posts})
        said = await self.stopped(log)
        self.assertIn("requests=20 taken=20 throttled=0 rejected=0 dropped=0 malformed=0 receipts_owed=20", said)

    async def test_telnyx_s_public_key_is_printed(self) -> None:
        log = await self.simulate("--api=telnyx", "--states=DELIVRD")
        relay = await self.relay_to("telnyx", signing_secret=log.read_text().split()[1])
        self.assertEqual((await self.post(relay, "447700900123"))[0], 202)
        await until("it is delivered", lambda: len(self.receiver.posts) == 1)
        self.assertEqual("DELIVRD", self.receiver.posts[0].json["status"])
        self.assertRegex(await self.stopped(log), "^signing_secret: [A-Za-z0-9+/=]{44}\nlistening on ")


class FaultTests(HttpCarrierTestCase):
    async def test_an_smpp_customer_s_message_goes_to_the_api_after_it_is_back(self) -> None:
        api = await self.api("twilio")
        failing = [503, 500, 401]

        def fail(request: Request) -> bytes | int | None:
            if not failing:
                return None
            request.setResponseCode(failing.pop(0))
            return b"{}"

        api.before = fail
        relay = await self.relay_to("twilio", throttle_seconds=0.1)
        esme = await self.esme(relay.smpp_port)
        [(status, _)] = await within(10, esme.submit([submit_body("447700900123", b"hello")]))
        self.assertEqual(status, c.ESME_ROK)
        await until("its receipt has come", lambda: len(esme.receipts) == 1)
        self.assertEqual((failing, esme.receipts[0].stat, len(self.taken)), ([], "DELIVRD", 1))

    async def test_a_message_that_a_killed_relay_had_sent_is_in_doubt_after_the_start(self) -> None:
        api = await self.api("json")
        asked: list[Request] = []

        def say_nothing(request: Request) -> bytes | int | None:
            asked.append(request)
            request.notifyFinish().addErrback(lambda failure: None)
            return NOT_DONE_YET

        api.before = say_nothing
        relay = await self.relay_to("json", in_doubt="end")
        self.assertEqual((await self.post(relay, "447700900123"))[0], 202)
        await until("it has been sent", lambda: len(asked) == 1)
        relay.kill()
        await relay.start()
        await until("it has ended", lambda: len(self.receiver.posts) == 1)
        self.assertEqual((self.receiver.posts[0].json["status"], len(asked)), ("UNKNOWN", 1))

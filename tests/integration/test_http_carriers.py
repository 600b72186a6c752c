"""Carriers with HTTP APIs of their own, over sockets: a message goes out, and its receipt becomes a notification."""

import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import DeferredList, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.http import Request
from twisted.web.server import Site

from relay.values import smpp_constants as c
from tests.fakes import submit_body
from tests.integration.harness import IntegrationTestCase, Relay, smpp_account, until, within
from tests.ports import free_port
from tests.simulated_apis import APIS, PASSWORD, PUBLIC_KEY, SYSTEM_ID, SimulatedApi

TOKEN = "a-token-of-40-characters-at-the-most"


class HttpCarrierTestCase(IntegrationTestCase):
    async def api(self, preset: str) -> SimulatedApi:
        """A simulated API that listens."""
        api = SimulatedApi(preset, time.time, reactor)
        site = Site(api)
        site.noisy = False
        self.api_port = free_port()
        listening = await TCP4ServerEndpoint(reactor, self.api_port, interface="127.0.0.1").listen(site)
        self.addCleanup(lambda: maybeDeferred(listening.stopListening))
        self.addCleanup(lambda: DeferredList(api.sending, consumeErrors=True))
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
            "signing_secret": PUBLIC_KEY if preset == "telnyx" else TOKEN,
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
        self.assertEqual(sorted(taken.text for taken in api.taken.values()), sorted(texts))
        self.assertEqual({taken.sender for taken in api.taken.values()}, {"ACME"})
        self.assertEqual(api.answered, [204, 204])
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
        self.assertLessEqual(set(APIS) - {"json"}, tested)


class FaultTests(HttpCarrierTestCase):
    async def test_an_smpp_customer_s_message_goes_to_the_api_after_it_is_back(self) -> None:
        api = await self.api("twilio")
        failing = [503, 500, 401]

        def fail(request: Request) -> bytes | None:
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
        self.assertEqual((failing, esme.receipts[0].stat, len(api.taken)), ([], "DELIVRD", 1))

    async def test_a_message_that_a_killed_relay_had_sent_is_in_doubt_after_the_start(self) -> None:
        api = await self.api("json")
        asked: list[Request] = []

        def say_nothing(request: Request) -> bytes | None:
            from twisted.web.server import NOT_DONE_YET

            asked.append(request)
            request.notifyFinish().addErrback(lambda failure: None)
            return NOT_DONE_YET  # type: ignore[return-value]

        api.before = say_nothing
        relay = await self.relay_to("json", in_doubt="end")
        self.assertEqual((await self.post(relay, "447700900123"))[0], 202)
        await until("it has been sent", lambda: len(asked) == 1)
        relay.kill()
        await relay.start()
        await until("it has ended", lambda: len(self.receiver.posts) == 1)
        self.assertEqual((self.receiver.posts[0].json["status"], len(asked)), ("UNKNOWN", 1))

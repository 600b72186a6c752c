"""Simulated HTTP APIs: what they refuse, and receipts that the relay's own reader takes as the vendor's."""

import json
from base64 import b64decode
from collections.abc import Mapping
from io import BytesIO
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.api_adapter import ApiAdapter
from relay.carriers.api_presets import API_PRESETS
from relay.carriers.api_receipts import ApiReceiptReader, ReceiptRequest
from relay.config.api_config import Api
from relay.config.carrier_config import Carrier, Simulator
from relay.simulator.decisions import WORDS
from relay.simulator.simulated_api import MOST_POSTS, RETRY_SECONDS, SimulatedApi
from relay.simulator.vendor_apis import VENDORS, ApiCall, ApiMessage, NotTaken, Telnyx, vendor_api
from relay.text.passthrough import RawPart
from relay.values.secret import Secret
from relay.values.smpp_constants import ESME_ROK, ESME_RTHROTTLED

NOW = 1_700_000_000.0


def carrier(preset: str) -> Carrier:
    secret = Telnyx(1).public_key if preset == "telnyx" else "token"
    return Carrier(
        kind="api", connect="http://127.0.0.1:1", system_id="AC1", password=Secret("secret+/8"),
        signing_secret=Secret(secret), api=Api(preset=preset, public_url="https://relay.example.org"),  # type: ignore[arg-type]
    )  # fmt: skip


def call(preset: str, text: str = "Grüße", validity_seconds: float = 172_800.0) -> ApiCall:
    """The request that the relay makes."""
    part = RawPart("447700900123", "ACME", text, 8, b"", b"")
    request = ApiAdapter("up", carrier(preset)).request(part, "name", validity_seconds)
    assert request is not None and request.body is not None
    headers = {name.decode().lower(): values[0].decode() for name, values in request.headers.items()}
    path = request.url.removeprefix("http://127.0.0.1:1")
    login = b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode() if preset == "twilio" else ":"
    user, _, password = login.partition(":")
    return ApiCall(path, user, password, lambda name: headers.get(name.lower(), ""), request.body)


class VendorTests(SynchronousTestCase):
    def test_every_preset_has_a_vendor(self) -> None:
        self.assertEqual(set(VENDORS), set(API_PRESETS))

    def test_each_takes_what_the_relay_sends_and_gives_an_id_that_the_relay_finds(self) -> None:
        for preset in VENDORS:
            vendor = vendor_api(preset, 1)
            for validity_seconds in (0.0, 3600.0, 1e6):
                message = vendor.read(call(preset, validity_seconds=validity_seconds))
                self.assertEqual(("Grüße", "ACME"), (message.text, message.sender), preset)
            name = vendor.name(1 << 40)
            status, document = vendor.accepted(name, message)
            answer = ApiAdapter("up", carrier(preset)).answer(status, json.dumps(document).encode())
            self.assertEqual((ESME_ROK, name.encode()), answer, preset)

    def test_throttling_and_refusals_mean_to_the_relay_what_the_vendor_means(self) -> None:
        for preset in VENDORS:
            vendor, adapter = vendor_api(preset, 1), ApiAdapter("up", carrier(preset))
            status, document = vendor.throttled()
            self.assertEqual(ESME_RTHROTTLED, adapter.answer(status, json.dumps(document).encode())[0], preset)
            status, document = vendor.refused(vendor.read(call(preset)))
            refused = adapter.answer(status, json.dumps(document).encode())[0]
            self.assertNotIn(refused, (ESME_ROK, ESME_RTHROTTLED), preset)

    def test_receipts_prove_whose_they_are_and_say_each_state(self) -> None:
        for preset in VENDORS:
            vendor, reader = vendor_api(preset, 1), ApiReceiptReader("up", carrier(preset))
            message = vendor.read(call(preset))
            for word in (*vendor.states, "ENROUTE"):
                headers, body = vendor.receipt(vendor.name(7), message, word, NOW)
                token = message.callback.rpartition("receipts")[2].strip("/")
                asked = self.request(headers, body, token)
                reader.check(asked, NOW)
                [receipt] = reader.read(asked, NOW)
                self.assertEqual((vendor.name(7).lower().encode(),), receipt.keys, preset)
                if word in WORDS:
                    self.assertEqual((WORDS[word].state, True), (receipt.state, receipt.final), (preset, word))
                else:
                    self.assertFalse(receipt.final, (preset, word))

    def request(self, headers: Mapping[str, str], body: bytes, token: str) -> ReceiptRequest:
        named = {name.lower(): value for name, value in headers.items()}
        return ReceiptRequest(token, lambda name: named.get(name.lower(), ""), named["content-type"], body)

    def test_a_request_that_lacks_something_is_refused(self) -> None:
        for preset in VENDORS:
            right = call(preset)
            for wrong in (
                right._replace(path="/nowhere"),
                right._replace(body=b""),
                right._replace(body=b"[]"),
                right._replace(header=lambda name: "", password=""),
                call(preset, text=""),
            ):
                if preset == "vonage" and wrong.body == right.body and wrong.path == right.path:
                    # Its login is in the form, and a form needs its content type.
                    wrong = wrong._replace(body=right.body.replace(b"api_key", b"key"))
                self.assertRaises(NotTaken, vendor_api(preset, 1).read, wrong)


class FakePosts:
    """Takes posts, and answers them as a test says."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        self.statuses: list[int] = []

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> "Deferred[int]":
        self.posts.append((url, body))
        return succeed(self.statuses.pop(0) if self.statuses else 204)


class FakeRequest:
    """A request of twisted.web, as far as the simulated API reads it."""

    def __init__(self, call: ApiCall) -> None:
        self.path = call.path.encode()
        self.getHeader = call.header
        self.content = BytesIO(call.body)
        self.status: int | None = None
        self.dropped = False

    def getUser(self) -> bytes:
        return b""

    getPassword = getUser

    def setResponseCode(self, status: int) -> None:
        self.status = status

    def setHeader(self, name: str, value: str) -> None:
        pass

    def loseConnection(self) -> None:
        self.dropped = True


class SimulatedApiTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.posts = FakePosts()
        self.taken: list[ApiMessage] = []

    def api(self, **settings: Any) -> SimulatedApi:
        made = Simulator(**{"receipt_delay_seconds": 2.0} | settings)
        note = lambda name, message: self.taken.append(message)  # noqa: E731
        return SimulatedApi("json", made, self.clock, Random(made.seed), self.posts, note)

    def send(self, api: SimulatedApi) -> int | None:
        """Sends a message. Returns the status of the answer; None: the connection is dropped."""
        asked = call("json")
        request = FakeRequest(asked)
        api.render(cast("Any", request))
        return None if request.dropped else request.status

    def test_a_receipt_is_posted_after_the_delay(self) -> None:
        api = self.api()
        self.assertEqual(202, self.send(api))
        self.clock.advance(1.9)
        self.assertEqual([], self.posts.posts)
        self.clock.advance(0.2)
        [(url, body)] = self.posts.posts
        self.assertEqual("https://relay.example.org/carriers/up/receipts/token", url)
        self.assertEqual("delivered", json.loads(body)["status"])
        self.assertEqual((1, 1, 0), (api.counters.receipts_owed, api.counters.acked, api.counters.nacked))

    def test_a_receipt_that_is_not_taken_is_posted_again(self) -> None:
        api = self.api()
        self.posts.statuses = [503, 401]
        self.send(api)
        self.clock.pump([2.0, RETRY_SECONDS, RETRY_SECONDS, RETRY_SECONDS])
        self.assertEqual(3, len(self.posts.posts))
        self.assertEqual((3, 1, 2), (api.counters.receipts_sent, api.counters.acked, api.counters.nacked))

    def test_a_receipt_that_nobody_ever_takes_is_given_up(self) -> None:
        api = self.api()
        self.posts.statuses = [500] * 10_000
        self.send(api)
        self.clock.pump([2.0, *[RETRY_SECONDS] * (MOST_POSTS + 10)])
        self.assertEqual(MOST_POSTS, len(self.posts.posts))

    def test_shares_decide_what_becomes_of_messages(self) -> None:
        answers: list[tuple[dict[str, Any], int | None]] = [
            ({"throttle_share": 1.0}, 429),
            ({"reject_share": 1.0}, 422),
            ({"destination_begins": "49"}, 422),
            ({"destination_begins": "44"}, 202),
            ({"drop_share": 1.0}, None),
        ]
        for settings, status in answers:
            self.assertEqual(status, self.send(self.api(**settings)), settings)
        self.assertEqual(1, len(self.taken))
        self.clock.advance(3.0)
        expected: list[tuple[dict[str, Any], list[str]]] = [
            ({"silent_share": 1.0}, []),
            ({"duplicate_share": 1.0}, ["delivered", "delivered"]),
            ({"intermediate": True}, ["enroute", "delivered"]),
            ({"states": {"UNDELIV": 1.0}}, ["undelivered"]),
        ]
        for settings, words in expected:
            self.posts.posts.clear()
            self.send(self.api(**settings))
            self.clock.pump([0.0, 3.0])
            self.assertEqual(words, [json.loads(body)["status"] for _, body in self.posts.posts], settings)

    def test_settings_that_it_cannot_use_are_refused(self) -> None:
        for settings, said in (
            ({"response_id": "hex"}, "response-id: it is for SMPP only"),
            ({"states": {"ACCEPTD": 1.0}}, "states: json can't say ACCEPTD; it has DELIVRD"),
            ({"states": {"NONSENSE": 1.0}}, "states: NONSENSE: not a final state"),
        ):
            self.assertIn(said, str(self.assertRaises(ValueError, self.api, **settings)))

    def test_after_a_stop_nothing_is_posted(self) -> None:
        api = self.api()
        self.send(api)
        self.successResultOf(Deferred.fromCoroutine(api.stop()))
        self.clock.advance(10.0)
        self.assertEqual([], self.posts.posts)
        self.assertEqual([], self.clock.getDelayedCalls())

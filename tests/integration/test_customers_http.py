"""The promises of the HTTP API to customers' programs, with a relay process that is also stopped and killed."""

import signal
from collections.abc import Iterable
from typing import Any

from standardwebhooks import Webhook
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.web.http import Request

from relay.accounts.signing import new_secret
from relay.values import smpp_constants as c
from tests.fakes import submit_body
from tests.integration.harness import IntegrationTestCase, Post, Relay, WebhookReceiver, smpp_account, until, within
from tests.ports import free_port

MESSAGE = {"to": "+447700900001", "from": "RELAY", "text": "Hello"}
SIMULATED: dict[str, Any] = {
    "carriers": {"sim": {"kind": "simulator", "simulator": {"receipt_delay_seconds": 0.05}}},
    "routes": [{"carriers": ["sim"]}],
}


class Recorder(WebhookReceiver):
    """Records every request, refused or not, with the time at which it came."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[float, Post]] = []
        self.extra: dict[str, str] = {}

    def render(self, request: Request) -> bytes:
        headers = {k.decode().lower(): v[0].decode() for k, v in request.requestHeaders.getAllRawHeaders()}
        assert request.content is not None
        post = Post(request.uri.decode(), headers, request.content.read())
        self.requests.append((reactor.seconds(), post))
        for name, value in self.extra.items():
            request.setHeader(name, value)
        request.setResponseCode(self.status)
        return b"seen"


def settled(relay: Relay, ids: Iterable[str]) -> list[dict[str, Any]]:
    """The attempts to notify of these messages that have ended, as they stand in the journal."""
    wanted = set(ids)
    return [record for record in relay.journal("Settled") if record["id"] in wanted]


class CustomersHttpTests(IntegrationTestCase):
    async def recorder(self, status: int = 204) -> Recorder:
        recorder = Recorder()
        recorder.status = status
        self.addCleanup(lambda: Deferred.fromCoroutine(recorder.close()))
        await recorder.listen()
        return recorder

    async def submit(self, relay: Relay, **more: Any) -> str:
        status, answer = await self.http("POST", relay, "/messages", MESSAGE | more)
        self.assertEqual(status, 202, answer)
        message_id: str = answer["id"]
        return message_id

    async def test_an_idempotency_key_holds_over_a_kill(self) -> None:
        relay = await self.relay(accounts={"acme": smpp_account()}, **SIMULATED)
        key = [("Idempotency-Key", "order-7")]
        first = await self.http("POST", relay, "/messages", MESSAGE, headers=key)
        relay.kill()
        await relay.start()
        self.assertEqual(await self.http("POST", relay, "/messages", MESSAGE, headers=key), first)
        status, problem = await self.http("POST", relay, "/messages", MESSAGE | {"text": "Other"}, headers=key)
        self.assertEqual((status, problem["type"]), (409, "/docs#problem-idempotency-conflict"))

    async def test_a_retry_goes_on_where_it_was_after_a_kill(self) -> None:
        recorder = await self.recorder(500)
        relay = await self.relay(accounts={"acme": smpp_account(notification_url=recorder.url)}, **SIMULATED)
        message_id = await self.submit(relay)
        await until("the first attempt is in the journal", lambda: relay.journal("Settled"))
        self.assertEqual([record["id"] for record in relay.journal("Settled")], [message_id])
        relay.kill()
        recorder.status = 204
        await relay.start()
        await until("the second attempt was made", lambda: len(recorder.requests) >= 2)
        (first_at, first), (second_at, second) = recorder.requests
        self.assertEqual((first.headers["x-relay-attempt"], second.headers["x-relay-attempt"]), ("1", "2"))
        self.assertEqual(first.headers["webhook-id"], second.headers["webhook-id"])
        self.assertGreaterEqual(second_at - first_at, 4.9)

    async def test_a_signed_batch_is_verified_by_the_standard_library_for_it(self) -> None:
        secret = new_secret(lambda count: b"k" * count)
        recorder = await self.recorder()
        account = smpp_account(notification_url=recorder.url, notification_secret=secret, notification_batch=10)
        relay = await self.relay(accounts={"acme": account}, **SIMULATED)
        status, answers = await self.http("POST", relay, "/messages", [MESSAGE] * 25)
        self.assertEqual(status, 202)
        notified: list[dict[str, str]] = []

        def all_came() -> bool:
            notified[:] = [
                each for _, post in recorder.requests for each in Webhook(secret).verify(post.body, post.headers)
            ]
            return len(notified) >= 25

        await until("all were notified", all_came)
        self.assertEqual(sorted(each["id"] for each in notified), sorted(answer["id"] for answer in answers))
        self.assertLess(len(recorder.requests), 15)

    async def test_a_url_that_says_410_is_off_also_after_a_restart_until_it_is_set_again(self) -> None:
        recorder = await self.recorder(410)
        relay = await self.relay(accounts={"acme": smpp_account(notification_url=recorder.url)}, **SIMULATED)
        await self.submit(relay)
        await until("the URL was called", lambda: recorder.requests)
        await until("the relay knows that it is off", lambda: "webhook_url_off" in relay.log())
        self.assertEqual(await relay.stop(), 0)
        await relay.start()
        _, account = await self.http("GET", relay, "/account")
        self.assertIn("410", account["notification_url_state"])
        recorder.status = 204
        before = len(recorder.requests)
        message_id = await self.submit(relay)
        await until_ended(self, relay, message_id)
        self.assertEqual(len(recorder.requests), before)
        status, _ = await self.http("PUT", relay, "/account/notification-url", {"url": recorder.url})
        self.assertEqual(status, 200)
        await until("what waited came", lambda: len(recorder.requests) >= before + 2)

    async def test_a_url_set_through_the_api_outlives_a_kill(self) -> None:
        recorder = await self.recorder()
        relay = await self.relay(accounts={"acme": smpp_account()}, **SIMULATED)
        await self.http("PUT", relay, "/account/notification-url", {"url": recorder.url})
        relay.kill()
        await relay.start()
        message_id = await self.submit(relay)
        await until("it was notified there", lambda: recorder.requests)
        self.assertEqual(recorder.requests[0][1].json["id"], message_id)

    async def test_a_receiver_s_token_comes_from_a_file_changes_with_a_reload_and_is_never_logged(self) -> None:
        recorder = await self.recorder()
        token = self.directory / "token"
        token.write_text("first-s3cret\n")
        account = smpp_account(
            notification_url=recorder.url,
            notification_token={"file": str(token)},
            notification_headers={"X-Api-Key": "third-s3cret", "User-Agent": "Acme"},
        )
        relay = await self.relay(accounts={"acme": account}, **SIMULATED)
        await self.submit(relay)
        await until("it was notified", lambda: recorder.requests)
        token.write_text("second-s3cret\n")
        assert relay.process is not None
        relay.process.send_signal(signal.SIGHUP)
        await until("the file is taken up", lambda: "config_reloaded" in relay.log())
        await self.submit(relay, notification_url=f"{recorder.url}/own")
        await until("the second was notified", lambda: len(recorder.requests) >= 2)
        headers = [post.headers for _, post in recorder.requests]
        self.assertEqual([h["authorization"] for h in headers], ["Bearer first-s3cret", "Bearer second-s3cret"])
        self.assertEqual({(h["x-api-key"], h["user-agent"]) for h in headers}, {("third-s3cret", "Acme")})
        self.assertIn("accounts.acme.notification_token", relay.log())
        self.assertNotIn("s3cret", relay.log())

    async def test_one_dead_url_delays_nobody_else(self) -> None:
        dead = await self.raw_listener()
        recorder = await self.recorder()
        accounts = {
            "acme": smpp_account(notification_url=f"http://127.0.0.1:{dead}/"),
            "other": {"api_key": "other", "allow_private_urls": True, "notification_url": recorder.url},
        }
        relay = await self.relay(accounts=accounts, **SIMULATED)
        begun_at = reactor.seconds()
        _, answers = await self.http("POST", relay, "/messages", [MESSAGE] * 500)
        await self.http("POST", relay, "/messages", [MESSAGE] * 100, account="other", key="other")
        await until("the others' all came", lambda: len(recorder.requests) >= 100)
        given_up = settled(relay, [answer["id"] for answer in answers])
        # An attempt at the dead URL is given up after 15 seconds. If the others' took less, they waited for none of
        # these attempts; on a machine so busy that they took more, nobody can tell.
        if reactor.seconds() - begun_at < 15:
            self.assertEqual(given_up, [])

    async def test_many_urls_of_one_silent_host_delay_nobody_else_and_no_stop(self) -> None:
        dead = await self.raw_listener()
        recorder = await self.recorder()
        accounts = {
            "acme": smpp_account(notification_concurrency=8),
            "other": {"api_key": "other", "allow_private_urls": True, "notification_url": recorder.url},
        }
        relay = await self.relay(accounts=accounts, shutdown_seconds=1, **SIMULATED)
        begun_at = reactor.seconds()
        ids: list[str] = []
        for first in range(0, 2_000, 1_000):
            own = [
                MESSAGE | {"notification_url": f"http://127.0.0.1:{dead}/{number}?of={number}"}
                for number in range(first, first + 1_000)
            ]
            status, answers = await self.http("POST", relay, "/messages", own)
            self.assertEqual(status, 202)
            ids += [answer["id"] for answer in answers]
        await until("the host was called", lambda: self.silent)
        await self.http("POST", relay, "/messages", [MESSAGE] * 100, account="other", key="other")
        await until("the others' all came", lambda: len(recorder.requests) >= 100)
        # However many URLs: one host has as many requests as the account allows, and each ends after 15 seconds.
        self.assertLessEqual(len(self.silent), 8 * (1 + int((reactor.seconds() - begun_at) / 15)))
        before = len(settled(relay, ids))
        self.assertEqual(await relay.stop(), 0)
        if reactor.seconds() - begun_at < 15:
            # The stop has waited for none of the requests to end by itself.
            self.assertEqual(len(settled(relay, ids)), before)
        await self.close_listener()
        answering = Recorder()
        answering.port = dead
        self.addCleanup(lambda: Deferred.fromCoroutine(answering.close()))
        await answering.listen()
        await relay.start()
        await until("each was told at its own URL", lambda: len({p.path for _, p in answering.requests}) == 2_000, 60)
        self.assertEqual({post.json["id"] for _, post in answering.requests}, set(ids))

    async def raw_listener(self) -> int:
        """A port where connections are taken and nothing is ever said; `silent` holds all that were made."""
        from twisted.internet.protocol import Factory, Protocol

        silent: list[Protocol] = []
        self.silent = silent
        still_open: set[Protocol] = set()

        class Silent(Protocol):
            def connectionMade(self) -> None:
                silent.append(self)
                still_open.add(self)

            def connectionLost(self, reason: Any = None) -> None:
                still_open.discard(self)

        endpoint = TCP4ServerEndpoint(reactor, free_port(), interface="127.0.0.1")
        port: Any = await endpoint.listen(Factory.forProtocol(Silent))

        async def close() -> None:
            await maybeDeferred(port.stopListening)
            for each in list(still_open):
                transport: Any = each.transport
                transport.abortConnection()
            await until("its connections are closed", lambda: not still_open)

        self.close_listener = close
        self.addCleanup(lambda: Deferred.fromCoroutine(close()))
        number: int = port.getHost().port
        return number

    async def test_the_feed_skips_nothing_while_new_ones_arrive(self) -> None:
        relay = await self.relay(accounts={"acme": smpp_account()}, **SIMULATED)
        accepted: list[str] = []

        async def submit_all() -> None:
            for _ in range(20):
                _, answers = await self.http("POST", relay, "/messages", [MESSAGE] * 10)
                accepted.extend(answer["id"] for answer in answers)

        async def read_all() -> list[str]:
            seen: list[str] = []
            after = 0
            while len(seen) < 200:
                _, feed = await self.http("GET", relay, f"/notifications?after={after}&limit=7&wait=5")
                self.assertGreater(len(feed["notifications"]), 0)
                seen += [each["id"] for each in feed["notifications"]]
                after = feed["next"]
            return seen

        reading = Deferred.fromCoroutine(read_all())
        await within(60, gatherResults([Deferred.fromCoroutine(submit_all()), reading]))
        self.assertEqual(sorted(await reading), sorted(accepted))

    async def test_notifications_of_a_span_of_time_or_given_up_can_be_sent_again(self) -> None:
        recorder = await self.recorder()
        relay = await self.relay(accounts={"acme": smpp_account(notification_url=recorder.url)}, **SIMULATED)
        message_id = await self.submit(relay)
        await until("it was notified", lambda: recorder.requests)
        await until_recorded(self, relay, message_id, 1)
        status, answer = await self.http("POST", relay, "/notifications/replay", {"since": "2020-01-01T00:00:00Z"})
        self.assertEqual((status, answer), (202, {"messages": 1}))
        await until("it was notified again", lambda: len(recorder.requests) >= 2)
        self.assertEqual(recorder.requests[0][1].body, recorder.requests[1][1].body)

    async def test_the_rate_is_one_whichever_way_messages_come(self) -> None:
        relay = await self.relay(accounts={"acme": smpp_account(rate=1, burst=20)}, **SIMULATED)
        status, _ = await self.http("POST", relay, "/messages", [MESSAGE] * 20)
        self.assertEqual(status, 202)
        status, problem = await self.http("POST", relay, "/messages", [MESSAGE] * 20)
        self.assertEqual((status, problem["type"]), (429, "/docs#problem-rate-limit"))
        esme = await self.esme(relay.smpp_port)
        statuses = [status for status, _ in await esme.submit([submit_body("447700900001")] * 20)]
        self.assertIn(c.ESME_RTHROTTLED, statuses)

    async def test_a_customer_of_kannel_and_one_of_jasmin_get_their_callbacks(self) -> None:
        recorder = await self.recorder()
        relay = self.prepare_relay(accounts={"acme": smpp_account()}, **SIMULATED)
        relay.configuration["http"] |= {"kannel": True, "jasmin": True}
        await relay.start()
        callback = f"http%3A%2F%2F127.0.0.1%3A{recorder.port}%2Fdlr"
        login = "username=acme&password=key&from=RELAY&to=447700900001"
        status, answer = await self.http(
            "GET",
            relay,
            f"/cgi-bin/sendsms?{login}&text=Hi&dlr-mask=3&dlr-url={callback}%3Ftype%3D%25d%26to%3D%25p%26by%3D%25i",
        )
        self.assertEqual((status, answer), (202, b"0: Accepted for delivery"))
        await until("Kannel's callback came", lambda: recorder.requests)
        self.assertEqual(recorder.requests[0][1].path, "/dlr?type=1&to=447700900001&by=sim")
        status, answer = await self.http(
            "GET", relay, f"/send?{login}&content=Hi&dlr=yes&dlr-level=2&dlr-method=POST&dlr-url={callback}"
        )
        self.assertEqual(status, 200)
        await until("Jasmin's callback came", lambda: len(recorder.requests) >= 2)
        self.assertIn(b"message_status=DELIVRD&level=2", recorder.requests[1][1].body)


async def until_ended(case: IntegrationTestCase, relay: Relay, message_id: str) -> None:
    """Waits until a message has its final state."""

    async def ended() -> bool:
        return (await case.http("GET", relay, f"/messages/{message_id}"))[1]["done_at"] is not None

    await until("it has ended", ended)


async def until_recorded(case: IntegrationTestCase, relay: Relay, message_id: str, attempts: int) -> None:
    """Waits until so many attempts of a message's notification are known to the relay."""

    async def recorded() -> bool:
        return len((await case.http("GET", relay, f"/messages/{message_id}"))[1]["attempts"]) >= attempts

    await until(f"{attempts} attempts are known", recorded)

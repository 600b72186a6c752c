"""Webhooks: who gets which notification and when, and how little a bad URL costs the others."""

from collections.abc import Mapping, Sequence
from typing import Any

from standardwebhooks import Webhook
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.account_settings import URL_OFF
from relay.accounts.accounts import Accounts
from relay.accounts.signing import new_secret
from relay.config.account_config import Account
from relay.config.tls_config import NotificationTls
from relay.values.notifications import Channel, Notification, QueueKey, Recovery, Verdict
from relay.values.secret import Secret
from relay.values.states import UNDELIVERABLE
from relay.values.work_gate import ALWAYS_OPEN, WorkGate
from relay.webhooks.answer import Answer
from relay.webhooks.delivery import WebhookDelivery
from relay.webhooks.places import MOST_IN_FLIGHT, REMEMBERED
from relay.webhooks.queue_claims import BATCH_SECONDS
from relay.webhooks.schedule import PAUSES_SECONDS, WINDOW_SECONDS, Retry
from relay.webhooks.webhook_sender import SERVED_A_TURN, Webhooks
from tests.webhooks.webhook_fakes import OK, FakeClient, OwingStore, Sent, notification

URL = "http://yoursite.com/sms/notifications"
LANE = QueueKey("acme", Channel.WEBHOOK)
REFUSED = Answer(0, "connection refused")


class RecordingTap:
    """A trace that remembers each request and what became of it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def opened(self, what: str) -> str:
        raise AssertionError("this is no SMPP")

    def octets(self, connection: str, data: bytes, *, sent: bool) -> None:
        raise AssertionError("this is no SMPP")

    def note(self, connection: str, what: str) -> None:
        raise AssertionError("this is no SMPP")

    def request(self, method: str, url: str, headers: Mapping[bytes, Sequence[bytes]], body: bytes | None) -> str:
        return f"{method} {url}"

    def answer(self, request: str, what: str, seconds: float) -> None:
        method, _, url = request.partition(" ")
        self.seen.append((method, url, what.partition(",")[0]))


class WebhooksTestCase(SynchronousTestCase):
    """A service over a fake store and a fake client, on a clock of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000.0)
        self.store: Any = OwingStore()
        self.client = FakeClient(self.clock)
        self.wall = self.clock.seconds
        self.gate: WorkGate = ALWAYS_OPEN
        self.build()

    def build(self, **settings: Any) -> None:
        settings.setdefault("notification_url", URL)
        accounts = {
            "acme": Account(**settings),
            "other": Account(notification_url="http://other.example/"),
        }
        self.accounts = Accounts(accounts)
        self.webhooks = Webhooks(
            self.store,
            self.accounts,
            WebhookDelivery(self.store, self.accounts, self.client, self.clock, self.wall),
            self.clock,
            lambda: 0.0,
            self.gate,
        )
        self.store.announce(self.clock, self.announced)

    def announced(self, queues: Sequence[QueueKey]) -> None:
        for queue_key in queues:
            self.webhooks.wake(queue_key)

    def owe(self, count: int, first: int = 0, **more: Any) -> None:
        """Owes `count` notifications and wakes their queue."""
        owed = [notification(number, **more) for number in range(first, first + count)]
        self.store.owe(*owed)
        self.webhooks.wake(owed[0].queue_key)
        self.turn()

    def turn(self, times: int = 20) -> None:
        """Lets the reactor turn."""
        for _ in range(times):
            self.clock.advance(0)

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            self.turn(3)
            seconds -= step

    def verdicts(self) -> list[Verdict]:
        return [attempt.verdict for attempt in self.store.attempts]


class DeliveryTests(WebhooksTestCase):
    def test_the_body_has_exactly_the_five_fields(self) -> None:
        self.owe(1)
        self.assertEqual(
            self.client.sent[0].fields,
            {
                "url": URL,
                "id": "00000000-0000-0000-0000-000000000000",
                "send_status": "delivered",
                "status": "DELIVRD",
                "error": "000",
            },
        )
        self.assertEqual(self.verdicts(), [Verdict.DELIVERED])

    def test_a_signature_carries_the_system_s_time_whatever_the_relay_s_own_clock_shows(self) -> None:
        self.wall = lambda: 2_000_000.0
        self.build()
        self.owe(1)
        self.assertEqual(self.client.sent[0].headers[b"Webhook-Timestamp"], [b"2000000"])

    def test_a_trace_gets_the_requests_of_its_account_and_their_answers_while_it_runs(self) -> None:
        tap = RecordingTap()
        self.webhooks.tap("acme", tap)
        self.owe(1)
        self.owe(1, first=1, account="other")
        self.client.answer = lambda sent: Answer(0, "timeout")
        self.owe(1, first=2)
        self.assertEqual([("POST", URL, "204"), ("POST", URL, "timeout")], tap.seen)
        self.webhooks.tap("acme", None)
        self.owe(1, first=3)
        self.assertEqual(2, len(tap.seen))
        self.assertEqual(4, len(self.client.sent))

    def test_the_attempt_is_recorded_with_the_answer_and_how_long_it_took(self) -> None:
        waiting: Deferred[Answer] = Deferred()
        self.client.answer = lambda sent: waiting
        self.owe(1)
        self.pass_time(2.0)
        waiting.callback(Answer(201))
        self.turn()
        attempt = self.store.attempts[0]
        self.assertEqual((attempt.answer, round(attempt.seconds)), ("201", 2))

    def test_the_attempt_is_recorded_with_its_url_and_the_beginning_of_the_answer(self) -> None:
        self.client.answer = lambda sent: Answer(500, body=b"No\r\nroom " + b"x" * 200)
        self.owe(1)
        (attempt,) = self.store.attempts
        self.assertEqual(attempt.url, URL)
        self.assertEqual(attempt.body, "No  room " + "x" * 91)

    def test_the_url_that_is_recorded_is_the_one_that_answered_and_has_no_secrets(self) -> None:
        self.build(notification_fallback_url="http://user:pass@second.example/hook?key=secret#x")
        self.client.answer = lambda sent: Answer(500) if sent.url == URL else OK
        self.owe(1)
        self.owe(1, 1, url="kannel:3:http://elsewhere.example/dlr?t=%d&to=%p")
        self.assertEqual(
            [attempt.url for attempt in self.store.attempts],
            ["http://second.example/hook", "kannel:3:http://elsewhere.example/dlr"],
        )

    def test_a_post_of_many_notifications_is_one_post_for_the_metrics(self) -> None:
        self.build(notification_batch=10)
        posts: list[float] = []
        self.webhooks.attempts.on_post = posts.append
        self.owe(10)
        self.turn()
        self.assertEqual((len(self.client.sent), len(posts)), (1, 1))

    def test_the_carriers_own_error_is_in_a_header_only(self) -> None:
        self.owe(1, state=UNDELIVERABLE, carrier_error=b"27\xff")
        sent = self.client.sent[0]
        self.assertEqual(sent.fields["error"], "005")
        self.assertEqual(sent.headers[b"X-Relay-Carrier-Error"], [b"27?"])

    def test_an_account_that_asks_for_it_gets_the_carriers_error_in_the_body(self) -> None:
        self.build(error_codes="carrier")
        self.owe(1, state=UNDELIVERABLE, carrier_error=b"027")
        self.assertEqual(self.client.sent[0].fields["error"], "027")

    def test_an_account_may_have_forms(self) -> None:
        self.build(notification_format="form")
        self.owe(1)
        self.assertEqual(
            self.client.sent[0].body,
            b"url=http%3A%2F%2Fyoursite.com%2Fsms%2Fnotifications&id=00000000-0000-0000-0000-000000000000"
            b"&send_status=delivered&status=DELIVRD&error=000",
        )

    def test_a_messages_own_url_gets_its_notification(self) -> None:
        self.owe(1, url="https://elsewhere.example/cb?m=1")
        self.assertEqual(self.client.sent[0].url, "https://elsewhere.example/cb?m=1")
        self.assertEqual(self.client.sent[0].fields["url"], "https://elsewhere.example/cb?m=1")

    def test_every_request_has_the_headers_that_the_account_s_receivers_ask_for(self) -> None:
        self.build(
            notification_headers={"X-Key": Secret("k"), "user-agent": Secret("Acme")},
            notification_token=Secret("t"),
            notification_fallback_url="http://second.example/",
            notification_tls=NotificationTls("ca.pem"),
        )
        self.client.answer = lambda sent: Answer(500) if sent.url == URL else OK
        self.owe(1)
        self.owe(1, 1, url="http://own.example/")
        self.owe(1, 2, url="kannel:3:http://elsewhere.example/dlr?t=%d")
        self.owe(1, 3, url="jasmin:2:POST:http://elsewhere.example/dlr")
        self.assertEqual(len(self.client.sent), 5)
        for sent in self.client.sent:
            self.assertEqual(
                (sent.headers[b"X-Key"], sent.headers[b"User-Agent"], sent.headers[b"Authorization"], sent.tls),
                ([b"k"], [b"Acme"], [b"Bearer t"], NotificationTls("ca.pem")),
            )

    def test_no_other_account_s_requests_have_them(self) -> None:
        self.build(notification_token=Secret("t"), notification_tls=NotificationTls("ca.pem"))
        self.owe(1, account="other")
        sent = self.client.sent[0]
        self.assertEqual((b"Authorization" in sent.headers, sent.tls), (False, None))

    def test_a_header_of_the_relay_s_own_wins(self) -> None:
        # The configuration would be refused. A mistake there must not forge what receivers rely on.
        self.build(notification_headers={"Webhook-Id": Secret("forged"), "X-Relay-Attempt": Secret("9")})
        self.owe(1)
        sent = self.client.sent[0]
        self.assertEqual(sent.headers[b"X-Relay-Attempt"], [b"1"])
        self.assertNotEqual(sent.headers[b"Webhook-Id"], [b"forged"])

    def test_a_reload_changes_them_for_what_waits_too(self) -> None:
        self.build(notification_token=Secret("old"))
        self.client.answer = lambda sent: Answer(401)
        self.owe(1)
        self.accounts.replace({"acme": Account(notification_url=URL, notification_token=Secret("new"))})
        self.client.answer = lambda sent: OK
        self.pass_time(PAUSES_SECONDS[1] + 1)
        self.assertEqual(
            [sent.headers[b"Authorization"] for sent in self.client.sent], [[b"Bearer old"], [b"Bearer new"]]
        )

    def test_the_customer_is_not_shown_them_with_a_test(self) -> None:
        self.build(notification_headers={"X-Key": Secret("hidden")}, notification_token=Secret("hidden"))
        tested = self.successResultOf(Deferred.fromCoroutine(self.webhooks.test("acme", b"\1" * 16)))
        self.assertEqual(self.client.sent[0].headers[b"X-Key"], [b"hidden"])
        self.assertNotIn("hidden", repr(tested))
        self.assertNotIn("hidden", repr(self.accounts.target("acme")))

    def test_a_callback_of_another_gateways_manner_is_made_as_it_is_there(self) -> None:
        self.owe(1, url="kannel:3:http://elsewhere.example/dlr?t=%d&to=%p")
        self.assertEqual(self.client.sent[0].method, "GET")
        self.assertEqual(self.client.sent[0].url, "http://elsewhere.example/dlr?t=1&to=447700900123")
        self.assertEqual(self.verdicts(), [Verdict.DELIVERED])

    def test_events_that_a_callback_did_not_ask_for_are_settled_without_a_request(self) -> None:
        self.owe(1, url="kannel:2:http://elsewhere.example/dlr?t=%d")
        self.assertEqual(self.client.sent, [])
        self.assertEqual(self.store.attempts[0].answer, "not asked for")

    def test_everything_owed_goes_and_is_settled_in_batches(self) -> None:
        self.owe(500)
        self.turn(200)
        self.assertEqual(len(self.client.sent), 500)
        self.assertEqual(self.store.still_owed, 0)
        self.assertLess(self.store.settles, 100)
        self.assertLess(self.store.claims, 100)

    def test_notifications_owed_before_a_start_are_sent(self) -> None:
        self.store.owe(notification(1), notification(2, account="other"))
        self.successResultOf(Deferred.fromCoroutine(self.webhooks.start()))
        self.turn()
        self.assertEqual({sent.url for sent in self.client.sent}, {URL, "http://other.example/"})

    def test_a_queue_with_nothing_to_do_is_forgotten(self) -> None:
        self.owe(3)
        self.assertEqual(self.webhooks._works, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])


class _HandGate:
    """A gate that the test opens and shuts."""

    open = True


class WorkGateTests(WebhooksTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hand = _HandGate()
        self.gate = self.hand
        self.build(notification_concurrency=1)

    def test_nothing_is_posted_while_it_is_shut_also_not_what_was_claimed_before(self) -> None:
        waiting: Deferred[Answer] = Deferred()
        self.client.answer = lambda sent: waiting
        self.owe(5)
        self.assertEqual(len(self.client.sent), 1)
        self.hand.open = False
        self.client.answer = lambda sent: Answer(200)
        waiting.callback(Answer(200))
        self.pass_time(60.0)
        self.assertEqual(len(self.client.sent), 1)
        # Whoever opens it wakes the queues.
        self.hand.open = True
        self.webhooks.wake(QueueKey("acme", Channel.WEBHOOK))
        self.pass_time(5.0)
        self.assertEqual(len(self.client.sent), 5)


class SignatureTests(WebhooksTestCase):
    def signed_with(self, secret: str, sent: Sent) -> object:
        headers = {name.decode(): values[0].decode() for name, values in sent.headers.items()}
        return Webhook(secret).verify(sent.body, headers)

    def setUp(self) -> None:
        super().setUp()
        # The library compares timestamps with the real clock.
        import time

        self.clock.advance(time.time() - self.clock.seconds())
        self.secret = new_secret(lambda count: b"s" * count)
        self.old = new_secret(lambda count: b"o" * count)

    def test_the_standard_library_for_it_accepts_our_signature(self) -> None:
        self.build(notification_secret=Secret(self.secret))
        self.owe(1)
        self.assertEqual(self.signed_with(self.secret, self.client.sent[0]), self.client.sent[0].fields)

    def test_while_a_secret_is_changed_both_are_accepted_and_then_the_new_one_only(self) -> None:
        self.build()
        self.accounts.apply_setting("acme", "notification_secret", self.secret)
        until = self.clock.seconds() + 60.0
        self.accounts.apply_setting("acme", "notification_secret_old", f"{until:.0f} {self.old}")
        self.owe(1)
        for secret in (self.secret, self.old):
            self.assertEqual(self.signed_with(secret, self.client.sent[0]), self.client.sent[0].fields)
        self.clock.advance(61.0)
        self.owe(1)
        self.assertEqual(len(self.client.sent[1].headers[b"Webhook-Signature"][0].split()), 1)

    def test_the_id_stays_the_same_over_retries(self) -> None:
        self.client.answer = lambda sent: Answer(500) if len(self.client.sent) == 1 else OK
        self.owe(1)
        self.pass_time(10.0)
        first, second = self.client.sent
        self.assertEqual(first.headers[b"Webhook-Id"], second.headers[b"Webhook-Id"])
        self.assertEqual([s.headers[b"X-Relay-Attempt"] for s in (first, second)], [[b"1"], [b"2"]])


class RetryTests(WebhooksTestCase):
    def test_a_failure_is_tried_again_by_the_schedule_and_then_given_up(self) -> None:
        self.client.answer = lambda sent: Answer(500)
        self.owe(1)
        for pause in PAUSES_SECONDS[1:]:
            sent = len(self.client.sent)
            self.clock.advance(pause - 1.0)
            self.turn(3)
            self.assertEqual(len(self.client.sent), sent)
            self.clock.advance(1.5)
            self.turn(3)
            self.assertEqual(len(self.client.sent), sent + 1)
        self.assertEqual(self.verdicts(), [Verdict.RETRY] * 9 + [Verdict.GIVEN_UP])
        self.pass_time(60.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_anything_but_2xx_is_a_failure(self) -> None:
        for answer in (Answer(301), Answer(404), Answer(302), Answer(100), Answer(0, "timeout")):
            self.store.attempts.clear()
            self.client.answer = lambda sent, answer=answer: answer  # type: ignore[misc]
            self.owe(1, account="other")
            self.assertEqual(self.verdicts(), [Verdict.RETRY], answer)

    def test_a_receivers_retry_after_is_honoured(self) -> None:
        self.client.answer = lambda sent: Answer(503, retry_after="120")
        self.owe(1)
        self.assertEqual(self.store.attempts[0].due_at, self.clock.seconds() + 120.0)

    def test_the_schedule_goes_on_where_it_was_after_a_restart(self) -> None:
        self.client.answer = lambda sent: Answer(500)
        self.owe(1)
        self.successResultOf(Deferred.fromCoroutine(self.webhooks.stop(10.0)))
        self.build()
        self.successResultOf(Deferred.fromCoroutine(self.webhooks.start()))
        self.turn()
        self.assertEqual(len(self.client.sent), 1)
        self.pass_time(6.0)
        self.assertEqual(self.client.sent[1].headers[b"X-Relay-Attempt"], [b"2"])

    def test_a_settlement_that_a_broken_store_could_not_write_is_not_made_again(self) -> None:
        waiting: Deferred[Answer] = Deferred()
        self.client.answer = lambda sent: waiting
        self.owe(1)
        self.store.broken = True
        waiting.callback(Answer(503))
        self.pass_time(1.0)
        self.store.broken = False
        self.client.answer = lambda sent: OK
        self.pass_time(60.0)
        self.assertEqual(self.verdicts(), [Verdict.RETRY, Verdict.DELIVERED])
        self.assertEqual(len(self.client.sent), 2)

    def test_a_store_that_is_broken_for_a_while_delays_only(self) -> None:
        self.store.broken = True
        self.owe(5)
        self.assertEqual(self.client.sent, [])
        self.store.broken = False
        self.pass_time(3.0)
        self.assertEqual(len(self.client.sent), 5)


class BadUrlTests(WebhooksTestCase):
    def test_a_url_gets_no_more_at_once_than_the_account_says(self) -> None:
        self.build(notification_concurrency=3)
        self.client.answer = lambda sent: Deferred()
        self.owe(50)
        self.assertEqual(len(self.client.sent), 3)

    def test_a_url_that_never_answers_delays_nobody_else(self) -> None:
        self.client.answer = lambda sent: Deferred() if sent.url == URL else OK
        self.owe(1000)
        self.owe(20, account="other")
        self.assertEqual(sum(sent.url != URL for sent in self.client.sent), 20)

    def build_accounts(self, count: int) -> list[str]:
        """So many accounts without URLs of their own."""
        names = [f"account{number}" for number in range(count)]
        self.accounts = Accounts({name: Account() for name in names})
        self.webhooks = Webhooks(
            self.store,
            self.accounts,
            WebhookDelivery(self.store, self.accounts, self.client, self.clock),
            self.clock,
            lambda: 0.0,
        )
        return names

    def owe_own_urls(self, account: str, count: int, first: int = 0, host: str = "") -> None:
        """Messages with URLs of their own, each on a host of its own unless `host` names one for all."""
        for number in range(first, first + count):
            name = host or f"host{number}"
            each = notification(number, account=account, url=f"http://{name}.example/cb/{number}")
            self.store.owe(each)
            self.webhooks.wake(each.queue_key)
        self.turn(count // 50 + 20)

    def hold_answers(self) -> list[Deferred[Answer]]:
        """Requests wait for the test to answer them."""
        held: list[Deferred[Answer]] = []

        def answer(sent: Sent) -> Deferred[Answer]:
            held.append(Deferred())
            return held[-1]

        self.client.answer = answer
        return held

    def test_no_more_than_so_many_requests_are_under_way_in_all(self) -> None:
        self.hold_answers()
        for number, name in enumerate(self.build_accounts(MOST_IN_FLIGHT // 8)):
            self.owe_own_urls(name, 11, first=100 * number)
        self.assertLessEqual(self.client.in_flight, MOST_IN_FLIGHT)
        self.assertGreater(self.client.in_flight, MOST_IN_FLIGHT * 0.9)

    def test_an_account_takes_no_more_places_than_are_free_so_that_a_newcomer_finds_some_at_once(self) -> None:
        self.hold_answers()
        first, second, third = self.build_accounts(3)
        self.owe_own_urls(first, 2 * MOST_IN_FLIGHT)
        self.assertEqual(self.client.in_flight, MOST_IN_FLIGHT // 2)
        self.owe_own_urls(second, 2 * MOST_IN_FLIGHT, first=10_000)
        self.assertEqual(self.client.in_flight, MOST_IN_FLIGHT * 3 // 4)
        self.owe_own_urls(third, 20, first=20_000)
        self.assertEqual(self.client.in_flight, MOST_IN_FLIGHT * 3 // 4 + 20)

    def test_a_place_that_becomes_free_goes_to_who_waits_for_it(self) -> None:
        held = self.hold_answers()
        self.owe_own_urls("acme", MOST_IN_FLIGHT // 2 + 10)
        self.assertEqual(len(self.client.sent), MOST_IN_FLIGHT // 2)
        for waiting in held[:10]:
            waiting.callback(OK)
        self.turn()
        self.assertEqual(len(self.client.sent), MOST_IN_FLIGHT // 2 + 10)

    def test_a_dead_host_with_very_many_urls_takes_the_places_of_one_url(self) -> None:
        self.build(notification_concurrency=8)
        self.client.answer = lambda sent: Deferred() if "dead" in sent.url else OK
        self.owe_own_urls("acme", 3_000, host="dead")
        self.assertEqual(self.client.in_flight, 8)
        self.owe(1, account="other", first=9_000)
        self.assertEqual(self.client.sent[-1].url, "http://other.example/")

    def test_a_request_that_ends_wakes_as_many_queues_as_there_is_room_for(self) -> None:
        held = self.hold_answers()
        self.owe_own_urls("acme", 5_000, host="one")
        looks, claims = self.webhooks.places.looks, self.store.claims
        for waiting in held[:8]:
            waiting.callback(OK)
        self.turn()
        self.assertEqual(len(held), 16)
        self.assertLess(self.webhooks.places.looks - looks, 40)
        self.assertLess(self.store.claims - claims, 20)

    def test_a_queue_with_nothing_to_send_passes_its_turn_on(self) -> None:
        held = self.hold_answers()
        self.owe_own_urls("acme", 8, host="one")
        for number in range(200):
            self.webhooks.wake(notification(number, url=f"http://one.example/empty/{number}").queue_key)
        self.owe_own_urls("acme", 1, first=500, host="one")
        held[0].callback(OK)
        self.turn()
        self.assertTrue(self.client.sent[-1].url.endswith("/cb/500"))

    def test_very_many_queues_are_served_some_a_turn(self) -> None:
        claims: list[int] = []
        for number in range(1_000):
            each = notification(number, url=f"http://host{number}.example/cb")
            self.store.owe(each)
            self.webhooks.wake(each.queue_key)
        while self.store.still_owed:
            before = self.store.claims
            # `Clock.advance` would go on as long as there is something to do.
            for call in self.clock.getDelayedCalls():
                if call.getTime() <= self.clock.seconds():
                    self.clock.calls.remove(call)  # type: ignore[arg-type]
                    call.func()  # type: ignore[attr-defined]
            claims.append(self.store.claims - before)
        self.assertLessEqual(max(claims), SERVED_A_TURN)

    def test_urls_without_number_leave_nothing_behind(self) -> None:
        for number in range(20):
            self.owe_own_urls("acme", 250, first=1_000 * number)
        self.assertEqual(self.store.still_owed, 0)
        self.assertEqual((len(self.webhooks.places), self.webhooks._works), (0, {}))

    def test_of_urls_without_number_that_fail_the_latest_are_remembered(self) -> None:
        for answer in (REFUSED, Answer(500)):
            self.build()
            self.client.answer = lambda sent, answer=answer: answer  # type: ignore[misc]
            for number in range(6):
                self.owe_own_urls("acme", 250, first=1_000 * number)
            self.assertLessEqual(len(self.webhooks.places), REMEMBERED)

    def test_a_path_that_says_no_stops_itself_and_not_its_neighbours(self) -> None:
        self.client.answer = lambda sent: Answer(500) if "/bad" in sent.url else OK
        for number in range(200):
            each = notification(number, url=f"http://one.example/{'bad' if number % 2 else 'good'}?id={number}")
            self.store.owe(each)
            self.webhooks.wake(each.queue_key)
        self.turn(50)
        self.assertEqual(sum("/good" in sent.url for sent in self.client.sent), 100)
        self.assertLess(sum("/bad" in sent.url for sent in self.client.sent), 30)
        self.client.answer = lambda sent: OK
        self.pass_time(700.0)
        self.assertEqual(self.store.still_owed, 0)

    def test_a_host_that_refuses_connections_stops_all_its_paths(self) -> None:
        self.client.answer = lambda sent: REFUSED
        self.owe_own_urls("acme", 500, host="one")
        self.assertLess(len(self.client.sent), 30)
        self.client.answer = lambda sent: OK
        self.pass_time(700.0)
        self.assertEqual(self.store.still_owed, 0)

    def test_messages_urls_that_differ_in_the_query_share_their_places(self) -> None:
        self.build(notification_concurrency=4)
        held: list[Deferred[Answer]] = []
        self.client.answer = lambda sent: held[-1] if held.append(Deferred()) is None else OK  # type: ignore[func-returns-value]
        for number in range(30):
            each = notification(number, url=f"http://one.example/cb?id={number}")
            self.store.owe(each)
            self.webhooks.wake(each.queue_key)
        self.turn()
        self.assertEqual(len(self.client.sent), 4)
        while len(held) < 30:
            for waiting in held:
                if not waiting.called:
                    waiting.callback(OK)
            self.turn()
        self.assertEqual(self.client.most_in_flight, 4)

    def test_after_failures_in_a_row_the_circuit_opens_and_one_probe_goes_at_a_time(self) -> None:
        self.client.answer = lambda sent: Answer(0, "connection refused")
        self.owe(200)
        first = len(self.client.sent)
        self.assertLess(first, 30)
        self.assertTrue(self.webhooks.url_state("acme").circuit_open)
        self.pass_time(100.0)
        self.assertLessEqual(len(self.client.sent) - first, 4)

    def test_a_circuit_closes_by_itself_and_everything_flows(self) -> None:
        self.client.answer = lambda sent: Answer(0, "connection refused")
        self.owe(200)
        self.client.answer = lambda sent: OK
        self.pass_time(400.0)
        self.assertEqual(self.store.still_owed, 0)
        self.assertFalse(self.webhooks.url_state("acme").circuit_open)

    def test_a_receiver_that_asks_for_time_gets_it(self) -> None:
        self.client.answer = lambda sent: Answer(429, retry_after="60") if len(self.client.sent) == 1 else OK
        self.owe(1)
        self.owe(100, first=1)
        self.pass_time(55.0)
        self.assertEqual(len(self.client.sent), 1)
        self.pass_time(10.0)
        self.assertEqual(self.store.still_owed, 0)

    def test_the_health_counts_attempts_at_the_accounts_own_url(self) -> None:
        self.client.answer = lambda sent: Answer(503)
        self.build()
        self.owe(3)
        health = self.webhooks.url_health("acme")
        self.assertEqual((health.delivered, health.failed, health.last_error), (0, 3, "503"))
        self.assertIsNotNone(health.failing_since)
        self.client.answer = lambda sent: OK
        self.pass_time(10.0)
        health = self.webhooks.url_health("acme")
        self.assertEqual((health.delivered, health.failed, health.failing_since), (3, 3, None))

    def test_410_switches_the_url_off_and_what_is_owed_waits_for_a_new_one(self) -> None:
        self.client.answer = lambda sent: Answer(410)
        self.build(notification_concurrency=1)
        self.owe(20)
        self.assertEqual(len(self.client.sent), 1)
        self.assertEqual(self.webhooks.url_state("acme").off, "410")
        self.assertEqual(self.store.settings[0][:2], ("acme", URL_OFF))
        self.client.answer = lambda sent: OK
        self.accounts.apply_setting("acme", "notification_url", "http://new.example/")
        self.webhooks.url_changed("acme")
        self.pass_time(10.0)
        self.assertEqual(self.store.still_owed, 0)
        self.assertEqual(self.client.sent[-1].url, "http://new.example/")

    def test_a_notification_that_waits_for_a_url_longer_than_the_schedule_is_given_up(self) -> None:
        self.build(notification_url=None)
        self.owe(5)
        self.assertEqual(self.store.attempts, [])
        self.clock.advance(WINDOW_SECONDS)
        self.pass_time(3700.0, step=100.0)
        self.assertEqual(self.verdicts(), [Verdict.GIVEN_UP] * 5)

    def test_a_second_url_gets_what_the_first_one_refuses(self) -> None:
        self.build(notification_fallback_url="http://second.example/")
        self.client.answer = lambda sent: Answer(500) if sent.url == URL else OK
        self.owe(1)
        self.assertEqual([sent.url for sent in self.client.sent], [URL, "http://second.example/"])
        self.assertEqual(self.client.sent[1].fields["url"], URL)
        self.assertEqual(self.store.attempts[0].answer, "500, fallback 204")
        self.assertEqual(self.verdicts(), [Verdict.DELIVERED])

    def test_a_first_url_that_keeps_failing_is_skipped_for_a_while(self) -> None:
        self.build(notification_fallback_url="http://second.example/")
        self.client.answer = lambda sent: Answer(0, "timeout") if sent.url == URL else OK
        self.owe(100)
        self.turn(100)
        self.assertEqual(self.store.still_owed, 0)
        self.assertLess(sum(sent.url == URL for sent in self.client.sent), 30)


class RecoveryTests(WebhooksTestCase):
    """What failed while a URL was away, once it is back."""

    def away(self, count: int, answer: Answer = REFUSED, **more: Any) -> None:
        """The URL is away for some minutes, in which notifications come and fail, most of them once or twice."""
        self.client.answer = lambda sent: answer
        self.owe(count, **more)
        self.pass_time(240.0)

    def attempts_of(self, number: int) -> list[int]:
        named = [attempt for attempt in self.store.attempts if attempt.notification.id == number.to_bytes(16, "big")]
        return [attempt.notification.attempt for attempt in named]

    def test_notifications_delayed_by_an_outage_come_when_it_is_over_and_not_by_the_schedule(self) -> None:
        self.build(notification_concurrency=3)
        self.away(12)
        self.pass_time(5 * 3600.0, step=5.0)
        self.assertTrue(self.webhooks.url_state("acme").circuit_open)
        # The probes have failed with one after the other. The next one that is due ends it.
        hour_hence = self.clock.seconds() + 3600.0
        self.assertGreater(sum(due_at > hour_hence for due_at, _ in self.store.owed[LANE]), 5)
        self.owe(1, first=99)
        self.client.answer = lambda sent: OK
        self.client.most_in_flight = 0
        self.pass_time(700.0)
        self.assertEqual(self.store.still_owed, 0)
        self.assertEqual(self.verdicts().count(Verdict.GIVEN_UP), 0)

    def delayed(self, *waiting: Notification) -> None:
        """These have failed and wait for an hour, as the service has told the store."""
        retry = Retry(self.clock.seconds() + 3600.0, Recovery.REACHED)
        for each in waiting:
            self.store.owe(each, due_at=retry.due_at)
            place = "/".join(each.url.split("/")[:3])
            self.store.brought_forward_by[each.id] = (retry.brought_forward_by, place)

    def test_notifications_that_come_back_take_no_more_places_than_the_url_has(self) -> None:
        self.build(notification_concurrency=3)
        self.delayed(*[notification(number) for number in range(300)])
        self.client.answer = lambda sent: REFUSED
        self.owe(1, first=900)
        held: list[Deferred[Answer]] = []
        self.client.answer = lambda sent: held[-1] if held.append(Deferred()) is None else OK  # type: ignore[func-returns-value]
        self.owe(1, first=901)
        while self.store.still_owed:
            for each in held:
                if not each.called:
                    each.callback(OK)
            self.pass_time(1.0, step=0.1)
        self.assertEqual(self.client.most_in_flight, 3)

    def test_a_notification_that_fails_in_the_turn_in_which_another_is_taken_is_sent_again_with_it(self) -> None:
        self.build(notification_concurrency=2)
        self.client.answer = lambda sent: REFUSED
        self.owe(1)
        held: list[Deferred[Answer]] = []
        self.client.answer = lambda sent: held[-1] if held.append(Deferred()) is None else OK  # type: ignore[func-returns-value]
        self.pass_time(6.0)
        self.owe(1, first=1)
        second, other = held
        self.client.answer = lambda sent: OK
        second.callback(REFUSED)
        other.callback(OK)
        self.turn()
        self.assertEqual((self.store.still_owed, self.attempts_of(0)), (0, [1, 2, 2]))

    def test_messages_own_urls_of_one_host_come_back_together(self) -> None:
        count = 300
        self.delayed(*[notification(number, url=f"http://one.example/cb?id={number}") for number in range(count)])
        self.delayed(notification(count, url="http://else.example/cb"))
        self.client.answer = lambda sent: REFUSED
        self.owe(1, first=count + 1, url="http://one.example/cb?id=1")
        self.client.answer = lambda sent: OK
        self.owe(1, first=count + 2, url="http://one.example/cb?id=2")
        self.turn(200)
        # The other URL's, and the one that was refused just now and has five seconds to wait.
        self.assertEqual(self.store.still_owed, 2)

    def test_a_notification_that_reaches_the_customer_brings_forward_the_few_that_did_not(self) -> None:
        for answer in (REFUSED, Answer(0, "timeout"), Answer(502), Answer(503), Answer(504)):
            self.build()
            self.store.attempts.clear()
            self.away(2, answer)
            self.assertFalse(self.webhooks.url_state("acme").circuit_open)
            self.assertEqual(self.store.still_owed, 2)
            self.client.answer = lambda sent: OK
            self.owe(1, first=2)
            self.assertEqual(self.store.still_owed, 0, answer)
            # The second attempt failed, and is made once more.
            self.assertEqual(self.attempts_of(0), [1, 2, 2])

    def test_a_notification_that_the_customer_refused_waits_for_its_time_although_others_are_sent_again(self) -> None:
        for code in (400, 404, 422, 429, 500):
            self.store = OwingStore()
            self.build()
            for number in range(200):
                # One is always refused, and every third is not reached before it is taken.
                bad, absent = Answer(code), number % 3 == 2
                self.client.answer = lambda sent, bad=bad, absent=absent: (  # type: ignore[misc]
                    bad if sent.fields["id"].endswith("0000") else REFUSED if absent else OK
                )
                self.owe(1, first=number)
                self.pass_time(1.0)
            self.assertEqual(self.attempts_of(0), [1, 2], code)

    def test_after_an_outage_what_was_refused_is_tried_once_more_and_then_by_the_schedule(self) -> None:
        began_at = self.clock.seconds()
        refuse_all = True
        self.client.answer = lambda sent: Answer(500) if refuse_all or sent.fields["id"].endswith("0000") else OK
        self.owe(1)
        self.pass_time(10.0)
        # Outage after outage, while everything that is taken ends one.
        for number in range(1, 60):
            refuse_all = True
            self.owe(20, first=100 * number)
            self.pass_time(10.0)
            self.assertTrue(self.webhooks.url_state("acme").circuit_open)
            refuse_all = False
            self.pass_time(60.0)
            self.assertFalse(self.webhooks.url_state("acme").circuit_open)
        hour_later = self.clock.seconds() - began_at
        planned = [a for a in self.store.attempts if a.notification.id == bytes(16) and not a.notification.scheduled_at]
        instants = [a.at - began_at for a in planned]
        # As many as without any of that, and none later than the circuit put it off.
        self.assertEqual([a.notification.attempt for a in planned], [1, 2, 3, 4])
        for at, pause in zip(instants[1:], (5.0, 305.0, 2105.0), strict=True):
            self.assertTrue(pause <= at < pause + 200.0, instants)
        self.assertGreater(hour_later, 3600.0)
        # One more before each of the schedule, at the most.
        self.assertEqual(self.attempts_of(0), [1, 2, 2, 3, 3, 4, 4])

    def test_a_notification_ends_no_sooner_than_without(self) -> None:
        began_at = self.clock.seconds()
        self.client.answer = lambda sent: REFUSED if sent.fields["id"].endswith("0000") else OK
        self.owe(1)
        number = 1
        while Verdict.GIVEN_UP not in self.verdicts():
            # It is never reached; the next one always is.
            self.owe(1, first=number)
            self.pass_time(200.0, step=50.0)
            number += 1
        self.assertGreaterEqual(self.clock.seconds() - began_at, sum(PAUSES_SECONDS))
        self.assertLess(self.clock.seconds() - began_at, WINDOW_SECONDS)
        self.assertEqual(sorted(set(self.attempts_of(0))), list(range(1, 11)))
        self.assertEqual(len(self.attempts_of(0)), 10 + 8)

    def test_a_receiver_that_names_a_time_is_left_alone_until_then_and_no_longer(self) -> None:
        self.client.answer = lambda sent: Answer(503, retry_after="100")
        self.owe(1)
        self.pass_time(110.0)
        self.assertEqual(self.verdicts(), [Verdict.RETRY] * 2)
        self.client.answer = lambda sent: OK
        self.owe(1, first=1)
        self.pass_time(80.0)
        self.assertEqual(len(self.client.sent), 2)
        # Its 100 seconds are over: the second one, and with it the one that the schedule has for 200 seconds later.
        self.pass_time(20.0)
        self.assertEqual((self.store.still_owed, len(self.client.sent)), (0, 4))

    def test_a_notification_that_was_postponed_longer_than_its_url_is_not_brought_forward(self) -> None:
        self.client.answer = lambda sent: Answer(503, retry_after="7200")
        self.owe(1)
        self.client.answer = lambda sent: OK
        self.owe(1, first=1)
        self.pass_time(7100.0, step=50.0)
        self.assertEqual(self.store.still_owed, 1)
        self.pass_time(200.0, step=50.0)
        self.assertEqual(self.store.still_owed, 0)

    def test_the_second_url_brings_what_failed_at_both(self) -> None:
        self.build(notification_fallback_url="http://second.example/")
        self.away(2)
        self.client.answer = lambda sent: REFUSED if sent.url == URL else OK
        self.owe(1, first=2)
        self.assertEqual(self.store.still_owed, 0)

    def test_a_new_url_brings_what_failed_at_the_old_one(self) -> None:
        self.away(2)
        self.client.answer = lambda sent: OK if sent.url == "http://new.example/" else REFUSED
        self.accounts.apply_setting("acme", "notification_url", "http://new.example/")
        self.webhooks.url_changed("acme")
        self.owe(1, first=2)
        self.assertEqual(self.store.still_owed, 0)

    def test_a_stop_in_between_leaves_all_to_the_schedule(self) -> None:
        self.away(2)
        self.client.answer = lambda sent: OK
        self.owe(1, first=2)
        self.away(2, first=3)
        self.successResultOf(Deferred.fromCoroutine(self.webhooks.stop(10.0)))
        self.assertEqual((self.store.still_owed, self.store.claimed), (2, set()))
        # The store's own alarm is the only one.
        self.store.alarms.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BatchTests(WebhooksTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.build(notification_batch=100)

    def test_notifications_go_together_up_to_the_limit(self) -> None:
        self.owe(250)
        self.pass_time(1.0, step=0.1)
        self.assertEqual([len(sent.fields) for sent in self.client.sent], [100, 100, 50])
        self.assertEqual(self.store.still_owed, 0)

    def test_a_batch_waits_no_longer_than_so_for_company(self) -> None:
        self.owe(3)
        self.assertEqual(self.client.sent, [])
        self.pass_time(BATCH_SECONDS + 0.01, step=0.05)
        self.assertEqual(len(self.client.sent), 1)
        self.assertEqual(len(self.client.sent[0].fields), 3)

    def test_company_that_comes_in_time_goes_along(self) -> None:
        self.store.owe(notification(1))
        self.webhooks.wake(LANE)
        self.pass_time(0.1, step=0.05)
        self.store.owe(notification(2))
        self.webhooks.wake(LANE)
        self.pass_time(0.15, step=0.05)
        self.assertEqual([len(sent.fields) for sent in self.client.sent], [2])

    def test_a_refused_batch_comes_back_whole_under_the_same_id(self) -> None:
        self.client.answer = lambda sent: Answer(500) if len(self.client.sent) == 1 else OK
        self.owe(7)
        self.pass_time(8.0, step=0.1)
        first, second = self.client.sent
        self.assertEqual(first.body, second.body)
        self.assertEqual(first.headers[b"Webhook-Id"], second.headers[b"Webhook-Id"])
        self.assertEqual(self.verdicts(), [Verdict.RETRY] * 7 + [Verdict.DELIVERED] * 7)


class StopTests(WebhooksTestCase):
    def test_a_stop_waits_for_what_is_under_way_and_gives_the_rest_back(self) -> None:
        waiting: Deferred[Answer] = Deferred()
        self.client.answer = lambda sent: waiting
        self.build(notification_concurrency=1)
        self.owe(4)
        stopping = Deferred.fromCoroutine(self.webhooks.stop(10.0))
        self.assertNoResult(stopping)
        waiting.callback(OK)
        self.successResultOf(stopping)
        self.assertEqual(self.verdicts(), [Verdict.DELIVERED])
        self.assertEqual((len(self.store.owed[LANE]), self.store.claimed), (3, set()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_stop_does_not_wait_for_ever(self) -> None:
        self.client.answer = lambda sent: Deferred()
        self.owe(4)
        stopping = Deferred.fromCoroutine(self.webhooks.stop(10.0))
        self.clock.advance(10.0)
        self.turn()
        self.successResultOf(stopping)
        self.assertEqual((len(self.store.owed[LANE]), self.store.claimed), (4, set()))

    def test_nothing_is_sent_after_a_stop(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.webhooks.stop(10.0)))
        self.owe(1)
        self.assertEqual(self.client.sent, [])


class TestNotificationTests(WebhooksTestCase):
    def test_a_test_notification_shows_the_receivers_answer(self) -> None:
        self.client.answer = lambda sent: Answer(500, body=b"no such table")
        tested = self.successResultOf(Deferred.fromCoroutine(self.webhooks.test("acme", b"\1" * 16)))
        self.assertEqual((tested.answer.code, tested.answer.body), (500, b"no such table"))
        self.assertEqual(tested.request.headers[b"X-Relay-Test"], [b"1"])
        self.assertEqual(self.store.attempts, [])

    def test_without_a_url_there_is_nothing_to_test(self) -> None:
        self.build(notification_url=None)
        failed = Deferred.fromCoroutine(self.webhooks.test("acme", b"\1" * 16))
        self.failureResultOf(failed, LookupError)

"""The parts of webhooks: schedule, signatures, bodies, requests, circuit breaker."""

from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qs

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from twisted.trial.unittest import SynchronousTestCase

from relay.accounts.signing import new_secret, secret_key, signature
from relay.values.notifications import Channel, Notification
from relay.values.states import CUSTOMER_WORDS, DELIVERED, FINAL_STATES, UNKNOWN
from relay.webhooks.body import batch_body, batch_webhook_id, form_body, header_safe, json_body, webhook_id
from relay.webhooks.circuit_breaker import FAILURES_TO_OPEN, FIRST_OPEN_SECONDS, LONGEST_OPEN_SECONDS, CircuitBreaker
from relay.webhooks.request import webhook_request
from relay.webhooks.schedule import PAUSES_SECONDS, next_attempt_at, retry_after_seconds

URL = "http://yoursite.com/sms/notifications?a=1&b=\"ü'"

notifications = st.builds(
    Notification,
    id=st.binary(min_size=16, max_size=16),
    account=st.just("acme"),
    channel=st.just(Channel.WEBHOOK),
    state=st.integers(0, 12),
    final=st.just(True),
    attempt=st.integers(1, 10),
    accepted_at=st.just(0.0),
    done_at=st.just(0.0),
    addresses=st.just(b""),
    carrier_error=st.binary(max_size=6),
)


class RetryTests(SynchronousTestCase):
    def test_the_schedule_is_the_documented_one(self) -> None:
        pauses = [next_attempt_at(attempt, 0.0, 0.0) for attempt in range(1, 11)]
        hours = [3600.0 * h for h in (2, 5, 10, 14, 20, 24)]
        self.assertEqual(pauses, [5.0, 300.0, 1800.0, *hours, None])

    @given(st.integers(1, len(PAUSES_SECONDS) - 1), st.floats(0, 1), st.floats(0, 1e9))
    def test_jitter_adds_a_tenth_at_the_most(self, attempt: int, fraction: float, now: float) -> None:
        due_at = next_attempt_at(attempt, now, fraction)
        assert due_at is not None
        self.assertTrue(-1e-6 <= due_at - now - PAUSES_SECONDS[attempt] <= PAUSES_SECONDS[attempt] * 0.1 + 1e-6)

    def test_the_later_of_schedule_and_retry_after_counts(self) -> None:
        self.assertEqual(next_attempt_at(1, 100.0, 0.0, 60.0), 160.0)
        self.assertEqual(next_attempt_at(2, 100.0, 0.0, 60.0), 400.0)
        self.assertEqual(next_attempt_at(1, 0.0, 0.0, 1e12), 86_400.0)

    def test_retry_after_may_be_a_number_or_a_date(self) -> None:
        now = 1_700_000_000.0
        date = format_datetime(datetime.fromtimestamp(now + 90, UTC), usegmt=True)
        self.assertEqual(retry_after_seconds("120", now), 120.0)
        self.assertEqual(retry_after_seconds(date, now), 90.0)

    @given(st.none() | st.text(max_size=40))
    def test_any_other_value_asks_for_nothing(self, value: str | None) -> None:
        self.assertTrue(0.0 <= retry_after_seconds(value, 1_700_000_000.0) <= 86_400.0)

    def test_a_date_that_has_passed_asks_for_nothing(self) -> None:
        self.assertEqual(retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT", 1_700_000_000.0), 0.0)


class SigningTests(SynchronousTestCase):
    @given(st.binary(min_size=24, max_size=64), st.text(max_size=50))
    def test_the_specifications_own_library_makes_the_same_signature(self, key: bytes, body: str) -> None:
        import base64

        secret = "whsec_" + base64.b64encode(key).decode()
        at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        ours = signature([secret_key(secret)], b"msg_1", b"%d" % at.timestamp(), body.encode("utf-8", "replace"))
        theirs = Webhook(secret).sign("msg_1", at, body.encode("utf-8", "replace").decode())
        self.assertEqual(ours.decode(), theirs)

    def test_a_secret_that_is_none_is_refused_without_being_shown(self) -> None:
        for secret in ("", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", "x" * 200):
            problem = self.assertRaises(ValueError, secret_key, secret)
            if secret:
                self.assertNotIn(secret, str(problem))

    def test_prefix_and_padding_may_be_left_out(self) -> None:
        secret = new_secret(lambda count: b"k" * count)
        self.assertEqual(secret_key(secret), b"k" * 32)
        self.assertEqual(secret_key(secret.removeprefix("whsec_").rstrip("=")), b"k" * 32)


class BodyTests(SynchronousTestCase):
    @given(notifications, st.sampled_from(["standard", "carrier"]))
    def test_json_and_form_say_the_same_five_strings(self, notification: Notification, error_codes: str) -> None:
        decoded = msgspec.json.decode(json_body(notification, URL, error_codes))
        self.assertEqual(list(decoded), ["url", "id", "send_status", "status", "error"])
        self.assertEqual({type(value) for value in decoded.values()}, {str})
        form = parse_qs(form_body(notification, URL, error_codes).decode(), keep_blank_values=True)
        self.assertEqual({name: values[0] for name, values in form.items()}, decoded)
        self.assertEqual(decoded["url"], URL)

    @given(notifications)
    def test_the_words_are_the_contracts(self, notification: Notification) -> None:
        decoded = msgspec.json.decode(json_body(notification, URL, "standard"))
        words = CUSTOMER_WORDS.get(notification.state, CUSTOMER_WORDS[UNKNOWN])
        self.assertEqual((decoded["status"], decoded["send_status"]), (words.status, words.send_status))
        if not (notification.state == DELIVERED and notification.carrier_error == b"002"):
            self.assertEqual(decoded["error"], words.error)

    @given(st.lists(notifications, min_size=1, max_size=5))
    def test_a_batch_is_an_array_of_the_same_objects(self, batch: list[Notification]) -> None:
        decoded = msgspec.json.decode(batch_body(batch, URL, "standard"))
        self.assertEqual(decoded, [msgspec.json.decode(json_body(n, URL, "standard")) for n in batch])

    def test_each_state_of_a_message_has_an_id_of_its_own_and_attempts_share_it(self) -> None:
        one = Notification(b"i" * 16, "acme", Channel.WEBHOOK, DELIVERED, True, 1, 0.0, 0.0, b"")
        again = msgspec.structs.replace(one, attempt=2)
        self.assertEqual(webhook_id(one), webhook_id(again))
        self.assertEqual(batch_webhook_id([one]), batch_webhook_id([again]))
        ids = {webhook_id(msgspec.structs.replace(one, state=state)) for state in FINAL_STATES}
        self.assertGreaterEqual(len(ids), 6)

    @given(st.binary(max_size=100))
    def test_a_carriers_words_can_not_break_a_header(self, value: bytes) -> None:
        safe = header_safe(value)
        self.assertLessEqual(len(safe), 64)
        self.assertTrue(all(0x20 < octet < 0x7F for octet in safe))

    @given(notifications)
    def test_a_request_carries_what_the_specification_asks_for(self, notification: Notification) -> None:
        request = webhook_request(
            [notification], URL, form=False, array=False, error_codes="standard", keys=[b"k" * 24], now=1_700_000_000.9
        )
        self.assertEqual(request.headers[b"Webhook-Timestamp"], [b"1700000000"])
        self.assertEqual(request.headers[b"Content-Type"], [b"application/json"])
        self.assertTrue(request.headers[b"Webhook-Signature"][0].startswith(b"v1,"))
        self.assertEqual(request.headers[b"X-Relay-Attempt"], [b"%d" % notification.attempt])
        self.assertEqual(b"X-Relay-Carrier-Error" in request.headers, bool(notification.carrier_error))

    def test_the_customer_s_reference_comes_back_percent_encoded(self) -> None:
        for reference, header in (("order 7/é", [b"order%207%2F%C3%A9"]), (None, None), ("", None)):
            notification = Notification(
                b"i" * 16, "acme", Channel.WEBHOOK, DELIVERED, True, 1, 0.0, 0.0, b"", reference=reference
            )
            request = webhook_request(
                [notification], URL, form=False, array=False, error_codes="standard", keys=[], now=1.0
            )
            self.assertEqual(request.headers.get(b"X-Relay-Reference"), header)


class CircuitBreakerTests(SynchronousTestCase):
    def fail(self, breaker: CircuitBreaker, now: float, **more: object) -> None:  # type: ignore[override]
        breaker.began()
        breaker.failed(now, **({"throttled": False, "retry_after_seconds": 0.0} | more))  # type: ignore[arg-type]

    def opened(self, now: float = 0.0) -> CircuitBreaker:
        breaker = CircuitBreaker(8)
        for _ in range(FAILURES_TO_OPEN):
            self.fail(breaker, now)
        return breaker

    def test_the_circuit_opens_after_failures_in_a_row_only(self) -> None:
        breaker = CircuitBreaker(8)
        for _ in range(FAILURES_TO_OPEN - 1):
            self.fail(breaker, 0.0)
        breaker.began()
        breaker.succeeded()
        self.fail(breaker, 0.0)
        self.assertFalse(breaker.open)
        self.assertTrue(self.opened().open)

    def test_while_it_is_open_one_probe_goes_at_a_time(self) -> None:
        breaker = self.opened()
        self.assertEqual(breaker.room(0.0), 0)
        self.assertEqual(breaker.blocked_until(0.0), FIRST_OPEN_SECONDS)
        self.assertEqual(breaker.room(FIRST_OPEN_SECONDS), 1)
        breaker.began()
        self.assertEqual(breaker.room(FIRST_OPEN_SECONDS), 0)

    def test_a_probe_that_fails_doubles_the_pause_up_to_a_limit(self) -> None:
        breaker, now, pauses = self.opened(), 0.0, []
        for _ in range(8):
            until = breaker.blocked_until(now)
            assert until is not None
            pauses.append(until - now)
            now = until
            self.fail(breaker, now)
        self.assertEqual(pauses[:3], [FIRST_OPEN_SECONDS, 2 * FIRST_OPEN_SECONDS, 4 * FIRST_OPEN_SECONDS])
        self.assertEqual(pauses[-1], LONGEST_OPEN_SECONDS)

    def test_a_probe_that_succeeds_closes_it_and_the_url_is_pressed_more_and_more(self) -> None:
        breaker = self.opened()
        rooms = []
        for _ in range(40):
            breaker.began()
            breaker.succeeded()
            rooms.append(breaker.room(FIRST_OPEN_SECONDS))
        self.assertFalse(breaker.open)
        self.assertEqual(rooms, sorted(rooms))
        self.assertEqual((rooms[0], rooms[-1]), (2, 8))

    def test_429_halves_what_goes_at_once(self) -> None:
        breaker = CircuitBreaker(8)
        self.fail(breaker, 0.0, throttled=True)
        self.assertEqual(breaker.room(0.0), 4)

    def test_a_receiver_that_names_a_time_is_left_alone_until_then(self) -> None:
        breaker = CircuitBreaker(8)
        self.fail(breaker, 0.0, retry_after_seconds=30.0)
        self.assertEqual((breaker.room(29.9), breaker.room(30.0)), (0, 8))

    @given(st.lists(st.tuples(st.sampled_from(["ok", "fail", "429", "later"]), st.floats(0, 50)), max_size=80))
    def test_room_is_never_more_than_allowed_and_something_always_goes_again(
        self, steps: list[tuple[str, float]]
    ) -> None:
        breaker, now = CircuitBreaker(5), 0.0
        for what, pause in steps:
            now += pause
            self.assertLessEqual(breaker.room(now), 5)
            if breaker.room(now) <= 0:
                until = breaker.blocked_until(now)
                assert until is not None
                # Not their difference: that is rounded once more.
                self.assertLessEqual(until, now + LONGEST_OPEN_SECONDS)
                now = until
            self.assertGreaterEqual(breaker.room(now), 1)
            breaker.began()
            if what == "ok":
                breaker.succeeded()
            else:
                later = 20.0 if what == "later" else 0.0
                breaker.failed(now, throttled=what == "429", retry_after_seconds=later)

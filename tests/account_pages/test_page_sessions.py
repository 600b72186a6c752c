"""Logins to the account page."""

import random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from relay.account_pages import page_sessions
from relay.account_pages.page_sessions import PageSessions
from relay.account_pages.page_values import TooManyAttempts
from relay.accounts.accounts import Accounts
from relay.config.account_config import Account
from relay.store.store_values import StoreUnavailable
from relay.values.secret import Secret
from tests.http.http_driver import FakeStore

KEY = "k" * 24
ADDRESS = "192.0.2.1"


class PageSessionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.accounts = Accounts({"acme": Account(api_key=Secret(KEY)), "other": Account(api_key=Secret("o" * 24))})
        self.store = FakeStore()
        self.restart()

    def restart(self) -> None:
        """Another process, with what the store has kept."""
        store: Any = self.store
        self.sessions = PageSessions(self.accounts, store, random.Random(1).randbytes, self.clock.seconds)
        self.successResultOf(Deferred.fromCoroutine(self.sessions.ready()))

    def attempt(self, address: str, account: str, key: str) -> str | None:
        """A login that need not succeed.

        :raises TooManyAttempts: it isn't even tried.
        """
        attempted = Deferred.fromCoroutine(self.sessions.log_in(address, account, key))
        failures: list[Failure] = []
        attempted.addErrback(failures.append)
        if failures:
            failures[0].raiseException()
        return self.successResultOf(attempted)

    def log_in(self, account: str = "acme", key: str = KEY, address: str = ADDRESS) -> str:
        token = self.attempt(address, account, key)
        assert token is not None
        return token

    def log_out(self, token: str) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.sessions.log_out(token)))

    def test_a_token_finds_its_session_and_nothing_else_does(self) -> None:
        token = self.log_in()
        session = self.sessions.find(token)
        assert session is not None
        self.assertEqual(session.account, "acme")
        for other in (token[:-1], token + "x", "", session.csrf):
            self.assertIsNone(self.sessions.find(other))

    def test_no_token_is_kept(self) -> None:
        token = self.log_in()
        self.assertNotIn(token, repr((self.sessions._sessions, self.store.kept)))
        self.assertNotIn(KEY, repr(self.store.kept))

    def test_a_session_that_rests_or_is_too_old_has_ended(self) -> None:
        resting, used = self.log_in(), self.log_in()
        for _ in range(11):
            self.clock.advance(3600.0)
            self.assertIsNotNone(self.sessions.find(used))
        self.assertIsNone(self.sessions.find(resting))
        self.clock.advance(3600.0)
        self.assertIsNone(self.sessions.find(used))
        self.assertEqual(len(self.sessions), 0)

    def test_a_look_that_no_person_caused_does_not_prolong_a_session(self) -> None:
        token = self.log_in()
        self.clock.advance(page_sessions.IDLE_SECONDS - 1.0)
        self.assertIsNotNone(self.sessions.find(token, use=False))
        self.clock.advance(1.0)
        self.assertIsNone(self.sessions.find(token))

    def test_a_new_api_key_and_an_account_that_is_gone_end_the_sessions(self) -> None:
        mine, others = self.log_in(), self.log_in("other", "o" * 24)
        self.accounts.replace({"acme": Account(api_key=Secret("n" * 24))})
        self.assertIsNone(self.sessions.find(mine))
        self.assertIsNone(self.sessions.find(others))

    def test_logins_survive_a_restart_until_their_time_is_over(self) -> None:
        token = self.log_in()
        session = self.sessions.find(token)
        assert session is not None
        csrf = session.csrf
        self.clock.advance(1.0)
        self.restart()
        session = self.sessions.find(token)
        assert session is not None
        self.assertEqual((session.account, session.csrf), ("acme", csrf))
        self.assertIsNone(self.sessions.find(token + "x"))
        self.clock.advance(page_sessions.SESSION_SECONDS)
        self.restart()
        self.assertIsNone(self.sessions.find(token))

    def test_what_has_ended_before_a_restart_is_not_there_after_it(self) -> None:
        left, kept = self.log_in(), self.log_in()
        self.log_out(left)
        self.restart()
        self.assertIsNone(self.sessions.find(left))
        self.assertIsNotNone(self.sessions.find(kept))
        self.accounts.replace({"acme": Account(api_key=Secret("n" * 24))})
        self.restart()
        self.assertIsNone(self.sessions.find(kept), "the account has another key")

    def test_the_store_forgets_sessions_that_have_ended(self) -> None:
        for _ in range(25):
            self.log_in()
        self.assertEqual(sum(value is not None for value in self.store.kept.values()), 20)
        self.clock.advance(page_sessions.SESSION_SECONDS)
        self.restart()
        self.log_in()
        self.assertEqual(sum(value is not None for value in self.store.kept.values()), 1)

    def test_a_customer_can_log_in_and_out_while_the_disk_is_full(self) -> None:
        self.store.put_setting = self._refuse  # type: ignore[method-assign]
        token = self.log_in()
        self.assertIsNotNone(self.sessions.find(token))
        self.log_out(token)
        self.assertIsNone(self.sessions.find(token))

    def _refuse(self, account: str, name: str, value: str | None) -> "Deferred[None]":
        return fail(StoreUnavailable("the disk is full"))

    def test_of_one_account_the_oldest_session_makes_room(self) -> None:
        other = self.log_in("other", "o" * 24)
        tokens = [self.log_in() for _ in range(25)]
        alive = [self.sessions.find(token) is not None for token in tokens]
        self.assertEqual(alive, [False] * 5 + [True] * 20)
        self.assertIsNotNone(self.sessions.find(other))

    def test_logging_out_ends_one_session_and_may_be_done_twice(self) -> None:
        one, two = self.log_in(), self.log_in()
        self.log_out(one)
        self.log_out(one)
        self.assertIsNone(self.sessions.find(one))
        self.assertIsNotNone(self.sessions.find(two))

    def test_failures_are_limited_by_address_whatever_the_account(self) -> None:
        for number in range(10):
            self.assertIsNone(self.attempt(ADDRESS, f"guess-{number}", "x"))
        error = self.assertRaises(TooManyAttempts, self.attempt, ADDRESS, "acme", KEY)
        self.assertAlmostEqual(error.wait_seconds, 60.0)
        self.assertIsNotNone(self.attempt("198.51.100.1", "acme", KEY), "others are not held up")

    def test_failures_are_limited_by_account_and_each_further_address_has_one_try_a_minute(self) -> None:
        for number in range(10):
            self.attempt(f"198.51.100.{number}", "acme", "x")
        self.assertIsNone(self.attempt("203.0.113.9", "acme", "y"), "its one try")
        self.assertRaises(TooManyAttempts, self.attempt, "203.0.113.9", "acme", KEY)
        self.clock.advance(60.0)
        self.assertIsNotNone(self.attempt("203.0.113.9", "acme", KEY))

    def test_wrong_keys_from_anywhere_do_not_lock_the_owner_out(self) -> None:
        for number in range(50):
            try:
                self.attempt(f"198.51.100.{number}", "acme", "x")
            except TooManyAttempts:
                continue
        self.assertIsNotNone(self.attempt("203.0.113.9", "acme", KEY))

    def test_a_key_that_was_right_before_passes_whatever_others_say_from_the_same_address(self) -> None:
        self.log_in()
        for _ in range(10):
            self.attempt(ADDRESS, "acme", "x")
        self.assertRaises(TooManyAttempts, self.attempt, ADDRESS, "acme", "x")
        self.assertRaises(TooManyAttempts, self.attempt, ADDRESS, "other", "o" * 24)
        self.log_in()

    def test_logins_that_succeed_cost_nothing(self) -> None:
        for _ in range(50):
            self.log_in()
        self.assertLessEqual(len(self.sessions), 20)

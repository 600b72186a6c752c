"""The counts of attempts at an account's own URL."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.webhooks.url_health import UrlHealth, UrlHealthBook


class UrlHealthTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.book = UrlHealthBook(self.clock.seconds)

    def test_an_account_without_attempts_has_none_since_the_start(self) -> None:
        self.clock.advance(5.0)
        self.assertEqual(self.book.health("acme"), UrlHealth(1000.0))

    def test_it_fails_since_the_first_failure_after_the_last_success(self) -> None:
        self.book.failed("acme", 1, "503")
        self.book.succeeded("acme", 2)
        self.assertIsNone(self.book.health("acme").failing_since)
        for error in ("timeout", "connection refused"):
            self.clock.advance(10.0)
            self.book.failed("acme", 3, error)
        expected = UrlHealth(1000.0, 2, 7, "connection refused", 1020.0, 1010.0)
        self.assertEqual(self.book.health("acme"), expected)
        self.assertEqual(self.book.health("other"), UrlHealth(1000.0))

    def test_a_new_url_does_not_inherit_the_failures_of_the_old_one(self) -> None:
        self.book.failed("acme", 1, "503")
        self.book.url_changed("acme")
        self.assertEqual(self.book.health("acme"), UrlHealth(1000.0, 0, 1))

"""Wrong keys are limited; customers with a right key can still log in."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.http.login_limits import LoginLimits
from relay.values.secret import Secret

KEY = Secret("k" * 24)


class LoginLimitsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limits = LoginLimits(3, self.clock.seconds)

    def fail_from(self, address: str, account: str = "", times: int = 3) -> None:
        for _ in range(times):
            self.limits.failed(address, account)

    def test_over_the_limit_an_address_waits_until_its_minute_is_over(self) -> None:
        self.fail_from("192.0.2.1", times=2)
        self.assertEqual(self.limits.wait_seconds("192.0.2.1"), 0.0)
        self.clock.advance(20.0)
        self.fail_from("192.0.2.1", times=1)
        self.assertEqual(self.limits.wait_seconds("192.0.2.1"), 40.0)
        self.assertEqual(self.limits.wait_seconds("192.0.2.2"), 0.0)
        self.clock.advance(40.0)
        self.assertEqual(self.limits.wait_seconds("192.0.2.1"), 0.0)

    def test_all_of_an_ipv6_customers_addresses_count_as_one(self) -> None:
        for number in range(3):
            self.limits.failed(f"2001:db8::{number}")
        self.assertGreater(self.limits.wait_seconds("2001:db8::9"), 0.0)
        self.assertEqual(self.limits.wait_seconds("2001:db8:0:1::9"), 0.0)

    def test_over_an_accounts_limit_an_address_has_one_try_a_minute(self) -> None:
        for number in range(3):
            self.limits.failed(f"192.0.2.{number}", "acme")
        self.assertEqual(self.limits.wait_seconds("203.0.113.9", "acme"), 0.0)
        self.limits.failed("203.0.113.9", "acme")
        self.assertEqual(self.limits.wait_seconds("203.0.113.9", "acme"), 60.0)
        self.assertEqual(self.limits.wait_seconds("203.0.113.9", "other"), 0.0)

    def test_a_key_is_known_where_it_was_right_before_and_nowhere_else(self) -> None:
        self.limits.succeeded("192.0.2.1", "acme", KEY)
        self.assertTrue(self.limits.knows("192.0.2.1", "acme", Secret("k" * 24)))
        self.assertFalse(self.limits.knows("192.0.2.2", "acme", KEY))
        self.assertFalse(self.limits.knows("192.0.2.1", "other", KEY))
        self.assertFalse(self.limits.knows("192.0.2.1", "acme", Secret("n" * 24)), "the account has a new key")
        self.assertFalse(self.limits.knows("192.0.2.1", "acme", None))

    def test_the_memory_of_failed_logins_is_bounded(self) -> None:
        for number in range(40_000):
            self.limits.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
            self.limits.succeeded(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "acme", KEY)
        self.assertLessEqual(len(self.limits._failed), 30_000)
        self.assertLessEqual(len(self.limits._known), 20_000)
        self.clock.advance(61.0)
        self.limits.failed("192.0.2.1")
        self.assertEqual(len(self.limits._failed), 1)

    def test_without_a_limit_nothing_is_counted(self) -> None:
        limits = LoginLimits(0, self.clock.seconds)
        for _ in range(100):
            limits.failed("192.0.2.1", "acme")
        self.assertEqual((bool(limits), limits.wait_seconds("192.0.2.1", "acme")), (False, 0.0))

"""Connections and failed binds by address."""

from twisted.trial.unittest import SynchronousTestCase

from relay.customers.bind_guard import BindGuard


class BindGuardTests(SynchronousTestCase):
    def test_an_address_holds_no_more_than_its_share_of_connections(self) -> None:
        guard = BindGuard(5, connections=10, connections_per_address=2)
        self.assertEqual([guard.opened("192.0.2.1") for _ in range(3)], [True, True, False])
        self.assertTrue(guard.opened("192.0.2.2"))

    def test_a_closed_connection_makes_room(self) -> None:
        guard = BindGuard(5, connections=10, connections_per_address=1)
        guard.opened("192.0.2.1")
        guard.closed("192.0.2.1")
        self.assertTrue(guard.opened("192.0.2.1"))

    def test_all_addresses_together_have_a_limit(self) -> None:
        guard = BindGuard(5, connections=2, connections_per_address=2)
        self.assertEqual([guard.opened(f"192.0.2.{n}") for n in range(3)], [True, True, False])

    def test_failed_binds_close_the_door_for_a_minute_and_for_this_address_only(self) -> None:
        guard = BindGuard(3, connections=10, connections_per_address=10)
        for second in range(3):
            self.assertTrue(guard.may_try("192.0.2.1", float(second)))
            guard.failed("192.0.2.1", float(second))
        self.assertFalse(guard.may_try("192.0.2.1", 10.0))
        self.assertTrue(guard.may_try("192.0.2.2", 10.0))
        self.assertTrue(guard.may_try("192.0.2.1", 60.0))

    def test_a_fault_in_a_new_minute_counts_anew(self) -> None:
        guard = BindGuard(2, connections=10, connections_per_address=10)
        guard.failed("192.0.2.1", 0.0)
        guard.failed("192.0.2.1", 1.0)
        guard.failed("192.0.2.1", 61.0)
        self.assertTrue(guard.may_try("192.0.2.1", 62.0))

    def test_old_addresses_are_forgotten(self) -> None:
        guard = BindGuard(2, connections=100, connections_per_address=10)
        for n in range(1000):
            guard.failed(f"2001:db8::{n:x}", float(n))
        self.assertLessEqual(len(guard._failed), 101)

    def test_the_addresses_of_one_ipv6_network_count_as_one(self) -> None:
        guard = BindGuard(failed_a_minute=2, connections=10, connections_per_address=2)
        guard.failed("2001:db8::1", 0.0)
        guard.failed("2001:db8::ffff:2", 0.0)
        self.assertEqual((guard.may_try("2001:db8::3", 0.0), guard.may_try("2001:db8:0:1::1", 0.0)), (False, True))
        self.assertEqual([guard.opened(f"2001:db8::{n}") for n in range(3)], [True, True, False])
        guard.closed("2001:db8::0")
        guard.closed("2001:db8::1")
        self.assertTrue(guard.opened("2001:db8::9"))

"""How the customers share the relay's one thread."""

from twisted.trial.unittest import SynchronousTestCase

from relay.runtime.fair_share import (
    ALONE_BYTES,
    LONGEST_PAUSE_SECONDS,
    PAUSES,
    TOGETHER_BYTES,
    TOGETHER_SECONDS,
    FairShare,
)


class FairShareTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turns = FairShare()

    def test_a_customer_who_is_alone_gets_large_reads_and_no_pauses(self) -> None:
        for second in range(100):
            self.turns.heard("acme", float(second))
            self.assertEqual(self.turns.worked(second + 0.0, second + 0.5), 0.0)
            self.assertEqual(self.turns.wait_seconds(second + 0.5), 0.0)
        self.assertEqual(self.turns.octets, ALONE_BYTES)

    def test_a_session_that_is_not_bound_does_not_count_as_a_customer(self) -> None:
        self.turns.heard("acme", 1.0)
        self.turns.heard("", 1.1)
        self.turns.heard("acme", 1.2)
        self.assertEqual(self.turns.octets, ALONE_BYTES)

    def test_reads_are_small_while_two_customers_were_active_lately(self) -> None:
        self.turns.heard("acme", 1.0)
        self.turns.heard("other", 2.0)
        self.assertEqual(self.turns.octets, TOGETHER_BYTES)
        self.turns.heard("other", 2.0 + TOGETHER_SECONDS - 0.1)
        self.assertEqual(self.turns.octets, TOGETHER_BYTES)
        self.turns.heard("other", 2.0 + TOGETHER_SECONDS)
        self.assertEqual(self.turns.octets, ALONE_BYTES)

    def test_heavy_work_is_followed_by_a_pause_and_the_pauses_of_many_add_up(self) -> None:
        self.turns.heard("acme", 1.0)
        self.turns.heard("other", 1.0)
        self.assertAlmostEqual(self.turns.worked(1.0, 1.001), PAUSES * 0.001)
        self.assertAlmostEqual(self.turns.wait_seconds(1.001), PAUSES * 0.001)
        # Somebody else's, right behind it: that one comes after both.
        self.assertAlmostEqual(self.turns.worked(1.001, 1.003), PAUSES * 0.003 - 0.002)
        self.assertEqual(self.turns.wait_seconds(1.1), 0.0)

    def test_no_pause_is_longer_than_the_longest(self) -> None:
        self.turns.heard("acme", 1.0)
        self.turns.heard("other", 1.0)
        for _ in range(10):
            self.assertLessEqual(self.turns.worked(1.0, 5.0), LONGEST_PAUSE_SECONDS)
        self.assertLessEqual(self.turns.wait_seconds(5.0), LONGEST_PAUSE_SECONDS)

    def test_a_clock_that_is_set_back_makes_nobody_wait_longer_than_the_longest_pause(self) -> None:
        self.turns.heard("acme", 1000.0)
        self.turns.heard("other", 1000.0)
        self.turns.worked(1000.0, 1001.0)
        self.assertLessEqual(self.turns.wait_seconds(10.0), LONGEST_PAUSE_SECONDS)
        self.assertLessEqual(self.turns.worked(1000.0, 10.0), LONGEST_PAUSE_SECONDS)

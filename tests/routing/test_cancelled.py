"""Cancelled messages whose parts may stand in queues."""

from twisted.trial.unittest import SynchronousTestCase

from relay.routing.cancelled import Withdrawn


class WithdrawnTests(SynchronousTestCase):
    def test_each_part_of_a_message_is_found_and_then_it_is_forgotten(self) -> None:
        withdrawn = Withdrawn()
        self.assertFalse(withdrawn)
        withdrawn.add(b"one", 2, 100.0, 0.0)
        self.assertEqual([withdrawn.take(b"one") for _ in range(3)], [True, True, False])
        self.assertFalse(withdrawn)

    def test_others_are_not_found(self) -> None:
        withdrawn = Withdrawn()
        withdrawn.add(b"one", 1, 100.0, 0.0)
        self.assertFalse(withdrawn.take(b"two"))
        self.assertTrue(withdrawn)

    def test_what_has_expired_is_forgotten_when_another_comes(self) -> None:
        withdrawn = Withdrawn()
        for number in range(10):
            withdrawn.add(b"%d" % number, 1, 100.0 + number, 0.0)
        withdrawn.add(b"new", 1, 900.0, 105.0)
        self.assertEqual(len(withdrawn), 5)
        self.assertFalse(withdrawn.take(b"5"))
        self.assertTrue(withdrawn.take(b"6"))

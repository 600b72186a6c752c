"""Cancelled messages whose parts may still be in queues."""

from twisted.trial.unittest import SynchronousTestCase

from relay.routing.cancelled import CancelledMessages


class CancelledMessagesTests(SynchronousTestCase):
    def test_each_part_of_a_message_is_found_and_then_it_is_forgotten(self) -> None:
        cancelled = CancelledMessages()
        self.assertFalse(cancelled)
        cancelled.add(b"one", 2, 100.0, 0.0)
        self.assertEqual([cancelled.take(b"one") for _ in range(3)], [True, True, False])
        self.assertFalse(cancelled)

    def test_others_are_not_found(self) -> None:
        cancelled = CancelledMessages()
        cancelled.add(b"one", 1, 100.0, 0.0)
        self.assertFalse(cancelled.take(b"two"))
        self.assertTrue(cancelled)

    def test_expired_entries_are_forgotten_when_another_comes(self) -> None:
        cancelled = CancelledMessages()
        for number in range(10):
            cancelled.add(b"%d" % number, 1, 100.0 + number, 0.0)
        cancelled.add(b"new", 1, 900.0, 105.0)
        self.assertEqual(len(cancelled), 5)
        self.assertFalse(cancelled.take(b"5"))
        self.assertTrue(cancelled.take(b"6"))

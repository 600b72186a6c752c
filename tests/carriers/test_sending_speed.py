"""The estimate of how fast a carrier takes messages."""

from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.sending_speed import SendingSpeed


class SendingSpeedTests(SynchronousTestCase):
    def test_a_carrier_with_a_rate_is_taken_at_its_word_until_it_was_measured(self) -> None:
        self.assertEqual(SendingSpeed(20.0).at(0.0, 0, busy=True), 20.0)

    def test_without_a_rate_nothing_is_known_until_messages_have_waited_for_two_seconds(self) -> None:
        speed = SendingSpeed(0.0)
        self.assertEqual([speed.at(at, int(at * 50), busy=True) for at in (0.0, 1.0, 2.0)], [None, None, 50.0])

    def test_a_carrier_that_is_slower_than_its_rate_is_as_fast_as_it_was(self) -> None:
        speed = SendingSpeed(20.0)
        speed.at(0.0, 0, busy=True)
        self.assertEqual(speed.at(10.0, 50, busy=True), 5.0)

    def test_time_in_which_nothing_waited_says_nothing_of_the_speed(self) -> None:
        speed = SendingSpeed(20.0)
        speed.at(0.0, 0, busy=True)
        speed.at(1.0, 20, busy=False)
        self.assertEqual(speed.at(100.0, 20, busy=True), 20.0)
        self.assertEqual(speed.at(102.0, 50, busy=True), 15.0)

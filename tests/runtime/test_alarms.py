"""Alarms go off once, at the earliest time that was asked for, and leave nothing behind."""

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.runtime.alarms import ALARMS_A_TURN, Alarms


class AlarmsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[tuple[str, float]] = []
        self.batches: list[int] = []
        self.alarms: Alarms[str] = Alarms(self.clock, self.went_off)

    def went_off(self, keys: Sequence[str]) -> None:
        self.batches.append(len(keys))
        self.seen += [(key, self.clock.seconds()) for key in keys]

    def test_each_key_is_handed_out_once_at_the_earliest_instant_asked_for(self) -> None:
        for when in (50.0, 10.0, 30.0):
            self.alarms.at("acme", when)
        self.alarms.at("other", 20.0)
        for _ in range(60):
            self.clock.advance(1.0)
        self.assertEqual(self.seen, [("acme", 10.0), ("other", 20.0)])
        self.assertEqual(len(self.alarms), 0)

    def test_a_key_whose_alarm_is_set_again_and_again_leaves_little_behind(self) -> None:
        for _ in range(2_000):
            for key in ("one", "two", "three"):
                # A retry in days, and something else that is due right away.
                self.alarms.at(key, self.clock.seconds() + 200_000.0)
                self.alarms.at(key, self.clock.seconds() + 1.0)
            self.clock.advance(1.0)
        self.assertLess(len(self.alarms._heap), 300)
        self.assertEqual(len(self.seen), 6_000)

    def test_very_many_that_go_off_together_come_some_a_turn_and_with_one_delayed_call(self) -> None:
        for number in range(3 * ALARMS_A_TURN):
            self.alarms.at(str(number), 10.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(10.0)
        for _ in range(5):
            self.clock.advance(0.0)
        self.assertEqual(self.batches, [ALARMS_A_TURN] * 3)

    def test_a_discarded_alarm_does_not_go_off_and_the_last_one_cancels_the_delayed_call(self) -> None:
        self.alarms.at("acme", 10.0)
        self.alarms.at("other", 20.0)
        self.alarms.discard("acme")
        self.clock.advance(15.0)
        self.assertEqual(self.seen, [])
        self.alarms.discard("other")
        self.assertEqual(self.clock.getDelayedCalls(), [])

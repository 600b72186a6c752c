"""When lanes fall due."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.values.messages import Channel, Lane
from relay.webhooks.due_queues import DueLanes


class DueLanesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[tuple[str, float]] = []
        self.due = DueLanes(self.clock, lambda lane: self.seen.append((lane.account, self.clock.seconds())))

    def test_each_lane_is_handed_out_once_at_the_earliest_instant_asked_for(self) -> None:
        acme, other = Lane("acme", Channel.WEBHOOK), Lane("other", Channel.WEBHOOK)
        for when in (50.0, 10.0, 30.0):
            self.due.at(acme, when)
        self.due.at(other, 20.0)
        for _ in range(60):
            self.clock.advance(1.0)
        self.assertEqual(self.seen, [("acme", 10.0), ("other", 20.0)])
        self.assertEqual(len(self.due), 0)

    def test_a_lane_that_is_looked_at_again_and_again_leaves_little_behind(self) -> None:
        lanes = [Lane(f"account{n}", Channel.WEBHOOK) for n in range(3)]
        for _ in range(2_000):
            for lane in lanes:
                # A retry in days, and something else that is due right away.
                self.due.at(lane, self.clock.seconds() + 200_000.0)
                self.due.at(lane, self.clock.seconds() + 1.0)
            self.clock.advance(1.0)
        self.assertLess(len(self.due._heap), 300)
        self.assertEqual(len(self.seen), 6_000)

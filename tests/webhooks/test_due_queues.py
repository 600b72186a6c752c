"""When queues fall due."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.values.messages import Channel, QueueKey
from relay.webhooks.due_queues import DueQueues


class DueQueuesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[tuple[str, float]] = []
        self.due = DueQueues(self.clock, lambda queue_key: self.seen.append((queue_key.account, self.clock.seconds())))

    def test_each_queue_is_handed_out_once_at_the_earliest_instant_asked_for(self) -> None:
        acme, other = QueueKey("acme", Channel.WEBHOOK), QueueKey("other", Channel.WEBHOOK)
        for when in (50.0, 10.0, 30.0):
            self.due.at(acme, when)
        self.due.at(other, 20.0)
        for _ in range(60):
            self.clock.advance(1.0)
        self.assertEqual(self.seen, [("acme", 10.0), ("other", 20.0)])
        self.assertEqual(len(self.due), 0)

    def test_a_queue_that_is_looked_at_again_and_again_leaves_little_behind(self) -> None:
        queues = [QueueKey(f"account{n}", Channel.WEBHOOK) for n in range(3)]
        for _ in range(2_000):
            for queue_key in queues:
                # A retry in days, and something else that is due right away.
                self.due.at(queue_key, self.clock.seconds() + 200_000.0)
                self.due.at(queue_key, self.clock.seconds() + 1.0)
            self.clock.advance(1.0)
        self.assertLess(len(self.due._heap), 300)
        self.assertEqual(len(self.seen), 6_000)

"""The counts of the last hour, in steps."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.operator.last_hour import STEP_SECONDS, History


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.counters: dict[str, float] = {"accepted": 5.0}
        self.history = History(lambda: self.counters, self.clock)
        self.history.start()

    def step(self, **grown: float) -> None:
        for name, count in grown.items():
            self.counters[name] = self.counters.get(name, 0.0) + count
        self.clock.advance(STEP_SECONDS)

    def test_the_growth_of_a_counter_is_kept_for_each_step(self) -> None:
        self.step(accepted=3)
        self.step()
        self.step(accepted=20)
        self.assertEqual([3.0, 0.0, 20.0], self.history.of("accepted"))
        self.assertEqual(2.0, self.history.rate("accepted"))

    def test_an_hour_is_kept_and_no_more(self) -> None:
        for number in range(400):
            self.step(accepted=number)
        self.assertEqual((360, 399.0), (len(self.history.of("accepted")), self.history.of("accepted")[-1]))

    def test_a_new_counter_ends_in_the_same_step_as_the_others(self) -> None:
        self.step(accepted=1)
        self.step(accepted=1, fresh=100)
        self.step(fresh=7)
        self.assertEqual([0.0, 0.0, 7.0], self.history.of("fresh"))

    def test_a_counter_that_begins_again_gives_no_negative_growth(self) -> None:
        self.step(accepted=1)
        self.counters["accepted"] = 0.0
        self.step()
        self.assertEqual([1.0, 0.0], self.history.of("accepted"))

    def test_a_counter_that_is_gone_is_forgotten(self) -> None:
        self.step(accepted=1)
        del self.counters["accepted"]
        self.step()
        self.assertEqual(([], []), (self.history.of("accepted"), self.history.names()))

    def test_a_stop_leaves_no_timer(self) -> None:
        self.history.start()
        self.history.stop()
        self.history.stop()
        self.assertEqual([], self.clock.getDelayedCalls())

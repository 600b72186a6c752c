"""The relay's own clock, when the system's clock is set."""

from twisted.internet.base import ReactorBase
from twisted.trial.unittest import SynchronousTestCase

from relay.app.steady_clock import SteadyClock


class SteadyClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.wall = 1_000_000.0
        self.steady = 50.0
        self.clock = SteadyClock(lambda: self.wall, lambda: self.steady)

    def pass_by(self, seconds: float) -> float:
        self.wall += seconds
        self.steady += seconds
        return self.clock.seconds()

    def test_the_clock_shows_the_systems_time(self) -> None:
        self.assertEqual(self.pass_by(0.25), 1_000_000.25)
        self.assertEqual(self.pass_by(3600.0), 1_003_600.25)

    def test_the_clock_goes_at_twice_its_pace_while_the_systems_clock_is_ahead(self) -> None:
        self.wall += 60.0
        self.assertEqual(self.clock.seconds(), 1_000_000.0)
        self.assertEqual(self.pass_by(10.0), 1_000_020.0)
        self.assertEqual(self.pass_by(50.0), 1_000_120.0)
        # It has caught up: both show the same again, and the same pace.
        self.assertEqual(self.pass_by(1.0), 1_000_121.0)

    def test_a_step_forward_that_stays_is_believed(self) -> None:
        self.wall += 86_400.0
        self.clock.seconds()
        for _ in range(599):
            self.pass_by(1.0)
        self.assertEqual(self.clock.seconds(), 1_000_000.0 + 2 * 599)
        self.pass_by(1.0)
        self.assertEqual(self.pass_by(1.0), self.wall)

    def test_a_day_forward_and_back_leaves_next_to_nothing_behind(self) -> None:
        self.wall += 86_400.0
        self.clock.seconds()
        self.pass_by(30.0)
        self.wall -= 86_400.0
        self.assertEqual(self.clock.seconds() - self.wall, 30.0)
        self.assertEqual(self.pass_by(60.0), self.wall)
        self.assertEqual(self.pass_by(5.0), self.wall)

    def test_a_machine_that_has_slept_is_right_at_once(self) -> None:
        self.assertEqual(self.pass_by(8 * 3600.0), self.wall)

    def test_the_clock_goes_at_half_its_pace_while_the_systems_clock_is_behind(self) -> None:
        self.wall -= 3600.0
        self.assertEqual(self.clock.seconds(), 1_000_000.0)
        self.assertEqual(self.pass_by(10.0), 1_000_005.0)
        self.assertEqual(self.pass_by(7188.0), 1_003_599.0)
        # It has caught up: both show the same again, and the same pace.
        self.assertEqual(self.pass_by(4.0), 1_003_602.0)
        self.assertEqual(self.pass_by(1.0), 1_003_603.0)

    def test_the_clock_never_goes_back_however_often_the_systems_clock_does(self) -> None:
        told = self.clock.seconds()
        for step in (-5.0, 1.0, -300.0, 2.0, 0.0, -1.0, 1000.0, -10.0, 3.0):
            self.wall += step
            self.assertGreaterEqual(self.clock.seconds(), told)
            told = self.clock.seconds()
            for _ in range(3):
                now = self.pass_by(0.5)
                self.assertGreaterEqual(now, told + 0.2)
                told = now

    def test_a_reactors_delayed_calls_go_on_when_the_clock_is_set_back(self) -> None:
        class Reactor(ReactorBase):
            def installWaker(self) -> None: ...

        reactor = Reactor()
        reactor.seconds = self.clock.seconds
        called: list[str] = []
        reactor.callLater(1.0, called.append, "due")
        self.wall -= 3600.0
        reactor.runUntilCurrent()
        self.pass_by(2.1)
        reactor.runUntilCurrent()
        self.assertEqual(called, ["due"])

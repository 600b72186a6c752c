"""The lease: never do two nodes work at once, whatever their clocks, pauses and the network do."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.cluster.lease import LeaseGate, LeaseWatch, Standing, seconds_off


class HandClock:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def standing(counter: int, owner: str = "a", lease_seconds: float = 5.0, epoch: int = 1) -> Standing:
    return Standing(epoch, owner, counter, lease_seconds, 0.0, 0.0)


class GateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = HandClock()
        self.gate = LeaseGate(self.clock)

    def test_it_is_shut_before_the_first_renewal(self) -> None:
        self.assertFalse(self.gate.open)

    def test_it_shuts_before_the_lease_ends_counted_from_before_the_renewal_was_sent(self) -> None:
        self.clock.now = 1003.0  # the answer took three seconds
        self.gate.renewed(sent_at=1000.0, lease_seconds=5.0)
        self.assertTrue(self.gate.open)
        self.clock.now = 1004.4
        self.assertTrue(self.gate.open)
        self.clock.now = 1004.6
        self.assertFalse(self.gate.open)

    def test_an_answer_that_comes_after_the_lease_does_not_open_it(self) -> None:
        self.clock.now = 1060.0
        self.gate.renewed(sent_at=1000.0, lease_seconds=5.0)
        self.assertFalse(self.gate.open)

    def test_the_next_renewal_opens_it_again(self) -> None:
        self.gate.renewed(1000.0, 5.0)
        self.clock.now = 1010.0
        self.assertFalse(self.gate.open)
        self.gate.renewed(1010.0, 5.0)
        self.assertTrue(self.gate.open)
        self.gate.shut()
        self.assertFalse(self.gate.open)


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.watch = LeaseWatch(5.0)

    def test_a_sign_that_stands_still_for_a_lease_is_over(self) -> None:
        self.assertFalse(self.watch.saw(standing(7), 0.0, 1.0))
        self.assertFalse(self.watch.saw(standing(7), 5.9, 6.0))
        self.assertTrue(self.watch.saw(standing(7), 6.0, 6.1))

    def test_each_renewal_begins_the_lease_anew(self) -> None:
        self.watch.saw(standing(7), 0.0, 1.0)
        self.assertFalse(self.watch.saw(standing(8), 6.5, 6.6))
        self.assertFalse(self.watch.saw(standing(8), 11.5, 11.6))
        self.assertTrue(self.watch.saw(standing(8), 11.6, 11.7))

    def test_a_counter_that_went_back_is_a_sign_of_life_too(self) -> None:
        # A fail-over of the database can bring an older counter.
        self.watch.saw(standing(7), 0.0, 1.0)
        self.assertFalse(self.watch.saw(standing(6), 6.5, 6.6))

    def test_what_nobody_owns_is_free_at_once(self) -> None:
        self.assertTrue(self.watch.saw(standing(7, owner=""), 0.0, 0.1))

    def test_the_longer_one_of_two_leases_counts(self) -> None:
        self.watch.saw(standing(7, lease_seconds=20.0), 0.0, 1.0)
        self.assertFalse(self.watch.saw(standing(7, lease_seconds=20.0), 20.9, 21.0))
        self.assertTrue(self.watch.saw(standing(7, lease_seconds=20.0), 21.0, 21.1))

    def test_after_forgetting_it_watches_a_whole_lease_again(self) -> None:
        self.watch.saw(standing(7), 0.0, 1.0)
        self.watch.forget()
        self.assertFalse(self.watch.saw(standing(7), 60.0, 60.1))


class ClockTests(SynchronousTestCase):
    def test_a_clock_within_the_question_is_not_off(self) -> None:
        self.assertEqual(seconds_off(10.0, 10.5, 11.0), 0.0)

    def test_what_the_network_can_not_explain_is_the_difference(self) -> None:
        self.assertEqual(seconds_off(10.0, 7.0, 11.0), 3.0)
        self.assertEqual(seconds_off(10.0, 15.0, 11.0), 4.0)


class Node:
    """A node with a clock that has its own zero and its own pace."""

    def __init__(self, offset: float, pace: float) -> None:
        self._offset = offset
        self._pace = pace

    def at(self, true_time: float) -> float:
        """What the clock shows."""
        return self._offset + self._pace * true_time

    def true(self, shown: float) -> float:
        """The true time at which the clock shows this."""
        return (shown - self._offset) / self._pace


#: The lease is a hundred units of time.
_LEASE = 100.0


class ExclusionTests(SynchronousTestCase):
    @settings(max_examples=1000)
    @given(st.integers(0, 1 << 32))
    def test_the_owner_has_stopped_when_another_node_takes_over(self, seed: int) -> None:
        """Clocks with any zero, 2 % fast or slow; messages and processes that take their time."""
        chance = Random(seed)
        owner = Node(0.0, chance.choice((0.98, 1.0, 1.02)))
        taker = Node(chance.uniform(-1e4, 1e4), chance.choice((0.98, 1.0, 1.02)))
        gate = LeaseGate(lambda: 0.0)
        #: For each renewal: when the database had it, and when the owner stops after it, in true time.
        at_database: list[tuple[float, float]] = []
        now = 0.0
        for _ in range(chance.randint(1, 3)):
            sent = now + chance.randint(0, 60)
            arrived = sent + chance.choice((0, 1, 30))
            gate.renewed(owner.at(sent), _LEASE)
            at_database.append((arrived, owner.true(gate.works_until)))
            now = arrived + chance.choice((0, 1, 30))
        watch = LeaseWatch(_LEASE)
        now = at_database[-1][0] + chance.randint(-40, 5)
        while True:
            asked = now + chance.choice((0, 1, 5))
            read = asked + chance.choice((0, 0, 1, 30))
            now = read + chance.choice((0, 0, 1, 30))
            counter = sum(arrived <= read for arrived, _ in at_database)
            if not watch.saw(standing(counter, lease_seconds=_LEASE), taker.at(asked), taker.at(now)):
                continue
            # The take-over names the counter, so it has no effect if another renewal has arrived before it.
            if not any(read < arrived <= now for arrived, _ in at_database):
                break
            watch.forget()
        self.assertLessEqual(max(stops_at for arrived, stops_at in at_database if arrived <= now), now)

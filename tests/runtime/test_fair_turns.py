"""Connections share the reactor's turns: the work of one delays no other for long."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.runtime.fair_turns import LEAST_SECONDS, STRANGER_FACTOR, TURN_SECONDS, FairTurns


class Flood:
    """Somebody with so many steps to do, each of which takes so long."""

    def __init__(self, clock: Clock, party: str, steps: int, *, stranger: bool = False, seconds: float = 0.0) -> None:
        self._clock = clock
        self.party = party
        self.stranger = stranger
        self.in_line = False
        self.left = steps
        self.done = 0
        self._seconds = seconds
        self.then: Callable[[], None] = lambda: None

    def step(self) -> bool:
        self._clock.rightNow += self._seconds
        self.left -= 1
        self.done += 1
        self.then()
        return self.left > 0


class FairTurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = FairTurns(self.clock)

    def flood(self, party: str, steps: int = 10_000, *, stranger: bool = False, seconds: float = 0.0) -> Flood:
        flood = Flood(self.clock, party, steps, stranger=stranger, seconds=seconds)
        self.turns.ready(flood)
        return flood

    def turn(self) -> None:
        """One turn of the reactor; `Clock.advance` would go on as long as there is something to do."""
        due = [call for call in self.clock.getDelayedCalls() if call.getTime() <= self.clock.seconds()]
        for call in due:
            self.clock.calls.remove(call)  # type: ignore[arg-type]
            call.func()  # type: ignore[attr-defined]

    def test_a_connection_with_little_work_is_served_at_once(self) -> None:
        self.assertEqual(self.flood("acme", 1).done, 1)
        self.assertEqual(self.turns.waiting, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_flood_of_requests_is_spread_over_many_turns(self) -> None:
        flood = self.flood("acme", 100)
        most = int(TURN_SECONDS / LEAST_SECONDS) + 1
        before = flood.done
        self.assertLessEqual(before, most)
        while flood.left:
            self.turn()
            self.assertLessEqual(flood.done - before, most)
            before = flood.done
        self.assertEqual(flood.done, 100)
        self.assertEqual(self.turns.waiting, 0)

    def test_steps_that_take_long_are_fewer_a_turn(self) -> None:
        flood = self.flood("acme", seconds=TURN_SECONDS)
        self.assertEqual(flood.done, 1)
        self.turn()
        self.assertEqual(flood.done, 2)

    def test_a_stranger_gets_a_tenth_of_the_steps_of_one_who_has_logged_in(self) -> None:
        stranger, customer = self.flood("192.0.2.1", stranger=True), self.flood("acme")
        began = stranger.done, customer.done
        for _ in range(200):
            self.turn()
        self.assertApproximates((customer.done - began[1]) / (stranger.done - began[0]), STRANGER_FACTOR, 0.5)

    def test_a_newcomer_is_served_in_the_next_turn_whoever_waits(self) -> None:
        """The case that was seen: 150 connections with 1,800 requests each, and one customer's single request."""
        floods = [self.flood("192.0.2.1", 1_800, stranger=True) for _ in range(150)]
        self.turn()
        customer = self.flood("203.0.113.9", 1, stranger=True)
        self.assertEqual(customer.done, 0)
        before = sum(flood.done for flood in floods)
        self.turn()
        self.assertEqual(customer.done, 1)
        self.assertLessEqual(sum(flood.done for flood in floods) - before, 2)

    def test_many_connections_of_one_party_get_no_more_than_one_connection_of_another(self) -> None:
        many = [self.flood("bulk") for _ in range(50)]
        one = self.flood("acme")
        began = sum(flood.done for flood in many), one.done
        for _ in range(100):
            self.turn()
        self.assertApproximates(sum(flood.done for flood in many) - began[0], one.done - began[1], 25)

    def test_the_use_of_a_party_that_comes_back_while_others_wait_still_counts(self) -> None:
        self.flood("bulk")
        often = self.flood("often", 1)
        for _ in range(100):
            often.left = max(often.left, 10)
            self.turns.ready(often)
            self.turn()
        share = often.done / (100 * TURN_SECONDS / LEAST_SECONDS)
        self.assertLess(share, 0.6)

    def test_a_login_makes_the_rest_of_a_connections_work_the_accounts(self) -> None:
        other = self.flood("bulk")
        flood = self.flood("192.0.2.1", 100, stranger=True)

        def log_in() -> None:
            flood.party, flood.stranger = "acme", False

        flood.then = log_in
        began = other.done
        while flood.left:
            self.turn()
        self.assertApproximates(other.done - began, 100, 30)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 60), st.booleans()), max_size=12))
    def test_all_steps_are_done_in_the_end(self, comers: list[tuple[str, int, bool]]) -> None:
        clock = Clock()
        turns = FairTurns(clock)
        floods = [Flood(clock, party, steps, stranger=stranger) for party, steps, stranger in comers]
        for flood in floods:
            turns.ready(flood)
        for _ in range(2_000):
            clock.advance(0.0)
        self.assertEqual([flood.left for flood in floods], [0] * len(floods))
        self.assertEqual((turns.waiting, clock.getDelayedCalls()), (0, []))

"""The pause before a carrier is bound again."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.binds import pause_seconds


class PauseTests(SynchronousTestCase):
    def test_it_doubles_from_the_shortest_to_the_longest(self) -> None:
        pauses = [pause_seconds(failures, 1.0, 60.0, fraction=1.0) for failures in range(8)]
        self.assertEqual(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0])

    @given(st.integers(0, 10_000), st.floats(0, 1))
    def test_jitter_takes_away_half_at_the_most(self, failures: int, fraction: float) -> None:
        whole = pause_seconds(failures, 1.0, 60.0, 1.0)
        self.assertTrue(whole / 2 <= pause_seconds(failures, 1.0, 60.0, fraction) <= whole)

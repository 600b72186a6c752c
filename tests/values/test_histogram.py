"""Histograms: every observation is counted once, where it belongs."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.values.histogram import QUICK_SECONDS, SLOW_SECONDS, Histogram


class HistogramTests(SynchronousTestCase):
    def test_a_value_on_a_bound_counts_as_within_it(self) -> None:
        histogram = Histogram((1.0, 2.0))
        for value in (0.5, 1.0, 1.5, 2.0, 2.5):
            histogram.observe(value)
        self.assertEqual([2, 2, 1], histogram.counts)
        self.assertEqual(7.5, histogram.total)

    @given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 50))))
    def test_the_counts_add_up_to_what_was_observed(self, observed: list[tuple[float, int]]) -> None:
        histogram = Histogram(SLOW_SECONDS)
        for value, count in observed:
            histogram.observe(value, count)
        self.assertEqual(sum(count for _, count in observed), histogram.count)
        for index, bound in enumerate(SLOW_SECONDS):
            expected = sum(count for value, count in observed if value <= bound)
            self.assertEqual(expected, sum(histogram.counts[: index + 1]))

    @given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 100))
    def test_a_batch_counts_half_as_its_first_and_half_as_its_last(self, first: float, last: float, count: int) -> None:
        histogram = Histogram((min(first, last),))
        histogram.observe_ends(first, last, count)
        self.assertEqual(count, histogram.count)
        if count > 1 and first != last:
            self.assertLessEqual(abs(2 * histogram.counts[0] - count), 1)
        self.assertLessEqual(histogram.total, max(first, last) * count * (1 + 1e-9))
        self.assertGreaterEqual(histogram.total, min(first, last) * count * (1 - 1e-9))

    def test_a_single_observation_counts_as_itself(self) -> None:
        histogram = Histogram((1.0, 2.0))
        histogram.observe_ends(1.5, 1.5, 1)
        self.assertEqual(([0, 1, 0], 1.5), (histogram.counts, histogram.total))

    def test_a_quantile_is_the_bound_below_which_that_share_lies(self) -> None:
        histogram = Histogram((1.0, 2.0, 3.0))
        histogram.observe(0.5, 90)
        histogram.observe(2.5, 9)
        histogram.observe(99.0)
        self.assertEqual([1.0, 3.0, float("inf")], [histogram.quantile(share) for share in (0.9, 0.99, 1.0)])

    def test_without_observations_the_quantile_is_zero(self) -> None:
        self.assertEqual(0.0, Histogram(QUICK_SECONDS).quantile(0.99))

    def test_bounds_reach_from_milliseconds_to_days_and_ascend(self) -> None:
        for bounds in (QUICK_SECONDS, SLOW_SECONDS):
            self.assertEqual(sorted(set(bounds)), list(bounds))
        self.assertLessEqual(QUICK_SECONDS[0], 0.001)
        self.assertGreaterEqual(SLOW_SECONDS[-1], 72 * 3600)

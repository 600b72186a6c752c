"""Token buckets: they limit how fast something happens, with the time as an argument."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.values.rate import TokenBucket


class TokenBucketTests(SynchronousTestCase):
    def test_a_rate_of_zero_is_no_limit(self) -> None:
        bucket = TokenBucket(0.0, 1, 0.0)
        self.assertEqual(bucket.take_up_to(10_000, 0.0), 10_000)
        self.assertEqual(bucket.take(10_000, 0.0), 0.0)

    def test_saved_tokens_may_be_used_at_once_and_then_the_rate_holds(self) -> None:
        bucket = TokenBucket(10.0, 5, 0.0)
        self.assertEqual(bucket.take_up_to(100, 0.0), 5)
        self.assertEqual(bucket.take_up_to(100, 0.0), 0)
        self.assertEqual(bucket.take_up_to(100, 0.3), 3)

    def test_a_refusal_takes_nothing_and_says_when_to_come_again(self) -> None:
        bucket = TokenBucket(10.0, 5, 0.0)
        self.assertEqual(bucket.take(5, 0.0), 0.0)
        self.assertAlmostEqual(bucket.take(2, 0.0), 0.2)
        self.assertEqual(bucket.take(2, 0.2), 0.0)

    def test_returned_tokens_may_be_taken_again_but_no_more(self) -> None:
        bucket = TokenBucket(10.0, 5, 0.0)
        bucket.take_up_to(5, 0.0)
        bucket.give_back(3)
        self.assertEqual(bucket.take_up_to(100, 0.0), 3)
        bucket.give_back(100)
        self.assertEqual(bucket.take_up_to(100, 0.0), 5)

    def test_a_batch_above_the_burst_passes_a_full_bucket_and_is_paid_back(self) -> None:
        bucket = TokenBucket(10.0, 5, 0.0)
        self.assertEqual(bucket.take(25, 0.0), 0.0)
        self.assertAlmostEqual(bucket.take(1, 0.0), 2.1)

    def test_a_clock_that_goes_back_takes_no_tokens_away(self) -> None:
        bucket = TokenBucket(10.0, 5, 100.0)
        self.assertEqual(bucket.take_up_to(5, 50.0), 5)

    @given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 20)), max_size=60))
    def test_no_more_passes_than_burst_and_rate_allow(self, steps: list[tuple[float, int]]) -> None:
        bucket, now, taken = TokenBucket(7.0, 11, 0.0), 0.0, 0
        for pause, count in steps:
            now += pause
            taken += bucket.take_up_to(count, now)
            self.assertLessEqual(taken, 11 + 7.0 * now + 1e-6)

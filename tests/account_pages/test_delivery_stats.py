"""Counts of how messages ended, over time."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.account_pages.delivery_stats import DURATIONS, KINDS, SPANS, DeliveryStats

NOW = 1_700_000_000.0
DAY = SPANS["day"]

_ended = st.lists(
    st.tuples(st.floats(0, 7 * 86_400 - 21_600), st.floats(0, 1e6), st.sampled_from(KINDS[:3])), max_size=60
)


class DeliveryStatsTests(SynchronousTestCase):
    @given(_ended, st.sampled_from(sorted(SPANS)))
    def test_every_message_of_the_span_is_counted_once_in_the_bucket_of_its_acceptance(
        self, messages: list[tuple[float, float, str]], name: str
    ) -> None:
        span = SPANS[name]
        stats = DeliveryStats()
        for age, took, kind in messages:
            stats.ended(NOW - age, NOW - age + took, kind, NOW)
        view = stats.view(span, [], NOW)
        first = view.starts[0]
        for index, kind in enumerate(KINDS[:3]):
            for start, counts in zip(view.starts, view.counts, strict=True):
                wanted = sum(k == kind and start <= NOW - age < start + span.bucket_seconds for age, _, k in messages)
                self.assertEqual(counts[index], wanted)
        delivered = sum(kind == "delivered" and NOW - age >= first for age, _, kind in messages)
        self.assertEqual(sum(view.durations), delivered)

    def test_the_last_bucket_is_the_one_of_now(self) -> None:
        for span in SPANS.values():
            starts = DeliveryStats().view(span, [], NOW).starts
            self.assertEqual(len(starts), span.buckets)
            self.assertTrue(starts[-1] <= NOW < starts[-1] + span.bucket_seconds)

    def test_a_delivery_time_is_counted_in_the_class_whose_upper_end_it_does_not_pass(self) -> None:
        for took, place in ((0.0, 0), (1.0, 0), (1.01, 1), (86_400.0, len(DURATIONS) - 1), (86_401.0, len(DURATIONS))):
            stats = DeliveryStats()
            stats.ended(NOW - 10, NOW - 10 + took, "delivered", NOW)
            self.assertEqual(stats.view(DAY, [], NOW).durations.index(1), place, took)

    def test_messages_that_wait_for_longer_than_the_span_are_counted_at_its_beginning(self) -> None:
        view = DeliveryStats().view(DAY, [NOW, NOW - 10 * 86_400.0], NOW)
        self.assertEqual((view.counts[0][3], view.counts[-1][3], view.totals["waiting"]), (1, 1, 2))

    def test_memory_does_not_grow_with_time(self) -> None:
        stats = DeliveryStats()
        for hour in range(5000):
            at = NOW + hour * 3600.0
            stats.ended(at, at + 1.0, "failed", at)
        kept = len(stats._hours.buckets) + len(stats._minutes.buckets)
        self.assertLess(kept, 300)
        self.assertEqual(stats.view(SPANS["week"], [], at).totals["failed"], 6 * 27 + int(at // 3600) % 6 + 1)

    def test_a_message_that_ended_too_long_after_it_was_accepted_is_in_no_span(self) -> None:
        stats = DeliveryStats()
        stats.ended(NOW - 30 * 86_400.0, NOW, "delivered", NOW)
        self.assertEqual(stats.view(SPANS["week"], [], NOW).totals["delivered"], 0)

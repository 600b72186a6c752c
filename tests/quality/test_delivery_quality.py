"""The counts of ended messages, and their figures for the last hour and the week before."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.quality.delivery_quality import (
    DAY_SECONDS,
    HOUR_SECONDS,
    OTHERS,
    READING_SECONDS,
    WEEK_SECONDS,
    DeliveryQuality,
    Figures,
    GroupFigures,
    KeptCounts,
    together,
)
from relay.values.ended_counts import COUNTS, FIRST_CLASS, TOOK_SECONDS, EndedCounts, QualityGroup

NOW = 1_700_000_000.0
UK = QualityGroup("tier1", "acme", "44")
SPAIN = QualityGroup("tier1", "acme", "34")


def counts(delivered: int = 0, failed: int = 0, unanswered: int = 0, seconds_class: int = 0) -> list[int]:
    """Counts of a group; the delivered messages took as long as this class of `TOOK_SECONDS` says."""
    found = [delivered, failed, unanswered] + [0] * (COUNTS - FIRST_CLASS)
    found[FIRST_CLASS + seconds_class] = delivered
    return found


class Counted:
    """A quality on a clock that this moves: messages end, and readings are taken when they are due."""

    def __init__(self, most_groups: int = 100) -> None:
        self.quality = DeliveryQuality(most_groups, NOW)
        self.now = NOW

    def ended(
        self, delivered: int = 0, failed: int = 0, unanswered: int = 0, group: QualityGroup = UK, seconds_class: int = 0
    ) -> None:
        self.quality.add(
            EndedCounts(self.quality.place + 1, {group: counts(delivered, failed, unanswered, seconds_class)})
        )

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + READING_SECONDS)
            if self.quality.reading_due(self.now):
                self.quality.take_reading(self.now)

    def figures(self, group: QualityGroup = UK) -> GroupFigures:
        (found,) = [each for each in self.quality.figures(self.now) if each.group == group]
        return found


class FiguresTests(SynchronousTestCase):
    """The share that is delivered, and how long it takes."""

    def test_messages_without_a_receipt_count_as_not_delivered(self) -> None:
        self.assertEqual(Figures(6, 2, 2).share, 0.6)

    def test_a_carrier_without_any_receipt_has_no_share(self) -> None:
        self.assertIsNone(Figures(0, 0, 500).share)
        self.assertIsNone(Figures().share)

    def test_a_carrier_that_has_stopped_to_send_receipts_delivers_nothing(self) -> None:
        self.assertEqual(GroupFigures(UK, Figures(0, 0, 50), Figures(900, 100, 0)).recent_share, 0.0)
        self.assertIsNone(GroupFigures(UK, Figures(0, 0, 50), Figures(0, 0, 900)).recent_share)
        self.assertIsNone(GroupFigures(UK, Figures(), Figures(900, 100, 0)).recent_share)

    def test_the_change_is_told_only_if_both_spans_have_messages(self) -> None:
        self.assertAlmostEqual(GroupFigures(UK, Figures(7, 3), Figures(90, 10)).change or 0.0, -0.2)
        self.assertIsNone(GroupFigures(UK, Figures(7, 3), Figures()).change)
        self.assertIsNone(GroupFigures(UK, Figures(), Figures(90, 10)).change)

    def test_times_are_the_upper_bounds_of_classes(self) -> None:
        took = [0, 50, 44, 6] + [0] * (len(TOOK_SECONDS) - 3)
        self.assertEqual(Figures(100, took=took).took_at_most(0.5), 2.0)
        self.assertEqual(Figures(100, took=took).took_at_most(0.95), 10.0)
        self.assertEqual(Figures().took_at_most(0.5), 0.0)
        self.assertEqual(Figures(1, took=[0] * len(TOOK_SECONDS) + [1]).took_at_most(0.5), -1.0)


class DeliveryQualityTests(SynchronousTestCase):
    """Spans are differences of readings."""

    def test_what_ended_leaves_the_last_hour_and_counts_for_the_week_then(self) -> None:
        counted = Counted()
        counted.ended(90, 10)
        self.assertEqual(counted.figures().recent[:3], (90, 10, 0))
        self.assertEqual(counted.figures().week[:3], (0, 0, 0))
        counted.advance(2 * HOUR_SECONDS)
        counted.ended(1, 4, 5)
        self.assertEqual(counted.figures().recent[:3], (1, 4, 5))
        self.assertEqual(counted.figures().week[:3], (90, 10, 0))

    def test_after_a_week_a_group_without_messages_is_forgotten(self) -> None:
        counted = Counted()
        counted.ended(90, 10)
        counted.ended(5, group=SPAIN)
        counted.advance(6 * DAY_SECONDS)
        counted.ended(1, group=SPAIN)
        self.assertEqual(counted.figures().week[:3], (90, 10, 0))
        counted.advance(1.5 * DAY_SECONDS)
        self.assertEqual(list(counted.quality.groups), [SPAIN])
        counted.advance(DAY_SECONDS)
        counted.ended(3)
        self.assertEqual((counted.figures().recent.delivered, counted.figures().week.delivered), (3, 0))

    @given(st.lists(st.tuples(st.integers(0, 20), st.floats(1.0, 40_000.0)), max_size=40))
    def test_a_span_has_what_ended_in_it_to_within_a_step(self, history: list[tuple[int, float]]) -> None:
        counted = Counted()
        at: list[tuple[float, int]] = []
        for delivered, pause_seconds in history:
            counted.ended(delivered)
            at.append((counted.now, delivered))
            counted.advance(pause_seconds)
        if not counted.quality.groups:
            return

        def ended_since(seconds: float) -> int:
            return sum(delivered for when, delivered in at if when > counted.now - seconds)

        for seconds, step in ((HOUR_SECONDS, 600.0), (DAY_SECONDS, 4000.0), (WEEK_SECONDS, 22_000.0)):
            sums = counted.quality.sums(counted.now, seconds, lambda group: [group])
            found = sums.get(UK, [0])[0]
            self.assertGreaterEqual(found, ended_since(seconds))
            self.assertLessEqual(found, ended_since(seconds + step + READING_SECONDS))

    def test_readings_of_a_month_take_a_bounded_number_of_copies(self) -> None:
        counted = Counted()
        for _ in range(31 * 24):
            counted.ended(1)
            counted.advance(HOUR_SECONDS)
        self.assertLess(len(counted.quality.kept().readings), 75)

    def test_groups_over_the_bound_are_counted_together_for_each_carrier(self) -> None:
        counted = Counted(most_groups=2)
        for country in ("44", "34", "33", "49"):
            counted.ended(1, group=QualityGroup("tier1", "acme", country))
        counted.ended(1, group=QualityGroup("tier2", "acme", "44"))
        found = {group: values[0] for group, values in counted.quality.groups.items()}
        rest = {QualityGroup("tier1", OTHERS, OTHERS): 2, QualityGroup("tier2", OTHERS, OTHERS): 1}
        self.assertEqual(found, {UK: 1, SPAIN: 1, **rest})

    def test_a_clock_that_goes_back_loses_no_counts(self) -> None:
        counted = Counted()
        counted.ended(5)
        counted.advance(3 * DAY_SECONDS)
        counted.now -= 10 * DAY_SECONDS
        self.assertTrue(counted.quality.reading_due(counted.now))
        counted.quality.take_reading(counted.now)
        counted.ended(2)
        self.assertEqual(counted.quality.groups[UK][0], 7)
        self.assertEqual(counted.figures().recent.delivered, 2)

    def test_figures_of_groups_are_added_up(self) -> None:
        counted = Counted()
        counted.ended(3, 1, 1, seconds_class=2)
        counted.ended(4, 0, 1, group=SPAIN, seconds_class=2)
        (found,) = together(counted.quality.figures(counted.now), lambda group: group._replace(country=""))
        self.assertEqual((found.group, found.recent[:3]), (QualityGroup("tier1", "acme", ""), (7, 1, 2)))
        self.assertEqual(found.recent.took_at_most(0.95), TOOK_SECONDS[2])


class KeptCountsTests(SynchronousTestCase):
    """Nothing is lost over a restart."""

    def reread(self, kept: KeptCounts) -> KeptCounts:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=KeptCounts)

    def test_what_was_kept_gives_the_same_figures(self) -> None:
        counted = Counted()
        for number in range(60):
            counted.ended(number, 1)
            counted.ended(1, group=SPAIN) if number < 20 else None
            counted.advance(2 * HOUR_SECONDS)
        before = sorted(counted.quality.figures(counted.now), key=lambda each: each.group)
        other = DeliveryQuality(100, counted.now)
        other.restore(self.reread(counted.quality.kept()), counted.quality.place)
        self.assertEqual(sorted(other.figures(counted.now), key=lambda each: each.group), before)
        self.assertEqual((other.since, other.place), (NOW, counted.quality.place))
        self.assertEqual(self.reread(other.kept()), self.reread(counted.quality.kept()))

    def test_a_store_that_is_behind_the_kept_place_is_counted_from_where_it_is(self) -> None:
        counted = Counted()
        counted.ended(1)
        counted.quality.place = 500
        other = DeliveryQuality(100, NOW)
        other.restore(counted.quality.kept(), 20)
        self.assertEqual(other.place, 20)

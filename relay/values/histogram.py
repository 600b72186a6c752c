"""Counts by size: what a histogram of the metrics is made of.

Theory of operation: one array of counts, one bound an upper end, the last count for all that is above. It is filled
once a batch, not once a message: a call costs a fifth of a microsecond. Where all of a batch waited from the same
instant to the same instant, `observe` with the batch's size is exact. Where they didn't, because one read brings the
answers to what was sent over a while, `observe_ends` counts half of the batch with the time of its first and half with
that of its last: right on average where times in a batch rise or fall evenly, and never outside of what was measured.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

#: For what should take milliseconds: answers, commits, hand-overs. Seconds.
QUICK_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: For receipts, which may take days. Seconds.
SLOW_SECONDS: Final = (
    *(0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0),
    *(3600.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0, 259_200.0),
)


class Histogram:
    """Counts of observations by `bounds` (ascending, inclusive upper ends).

    :ivar counts: one an element of `bounds`, and one for what is above the last.
    :ivar total: the sum of all that was observed.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Counts `count` observations of about `value`."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.total += value * count

    def observe_ends(self, first: float, last: float, count: int) -> None:
        """Counts `count` observations of which the first and the last are known, in any order of size."""
        half = count // 2
        if half and first != last:
            self.observe(first, half)
            self.observe(last, count - half)
        elif count:
            self.observe(last, count)

    @property
    def count(self) -> int:
        """All observations."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """About the value below which `share` (0 to 1) of the observations are: a bound, or infinity above the last.

        0.0 where nothing was observed.
        """
        wanted = share * self.count
        seen = 0
        if not wanted:
            return 0.0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return bound
        return float("inf")

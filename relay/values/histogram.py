"""Counts observations by size, for the histograms of the metrics.

Theory of operation: a histogram has one count for each upper bound, and a last one for everything above. It is called
once for each batch and not once for each message; a call takes a fifth of a microsecond. `observe` is exact if all
messages of the batch waited equally long. `observe_ends` is for batches whose messages waited for different times. It
counts half of the batch with the time of the first message, and half with the time of the last. The average is then
right if the times in the batch rise or fall evenly.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

#: In seconds, for things that should take milliseconds: answers, commits, handoffs.
QUICK_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: In seconds, for receipts, which may take days.
SLOW_SECONDS: Final = (
    *(0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0),
    *(3600.0, 14_400.0, 43_200.0, 86_400.0, 172_800.0, 259_200.0),
)


class Histogram:
    """Counts observations by their size.

    :param bounds: the upper bounds, in ascending order. An observation that equals a bound counts below it.
    :ivar counts: one count for each of `bounds`, and one for everything above the last.
    :ivar total: the sum of all observed values.
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
        """Counts `count` observations if only the first and the last value are known."""
        half = count // 2
        if half and first != last:
            self.observe(first, half)
            self.observe(last, count - half)
        elif count:
            self.observe(last, count)

    @property
    def count(self) -> int:
        """The number of all observations."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """The lowest bound that at least `share` (0 to 1) of the observations don't exceed.

        :returns: 0.0 if nothing was observed; infinity if even the last bound is too low.
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

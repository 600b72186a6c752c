"""How an account's messages ended, by when they were handed in: what the charts of the account page are drawn from.

Theory of operation: a message that has ended is counted once, in the bucket of its acceptance, in two series: one
bucket a minute for the last hours, one an hour for the last days. Messages that still wait are few or short-lived, and
are counted anew for each view from their times of acceptance. A bucket also counts how long delivered messages took.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

#: What is counted, in the order of a bucket's counts. The first three are the customer's words for final states.
KINDS: Final = ("delivered", "failed", "carrier-reject", "waiting")
_KIND_INDEX: Final = {kind: index for index, kind in enumerate(KINDS)}

#: Upper ends of the classes of delivery times, in seconds; one more class is above the last.
DURATIONS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86_400.0)
DURATION_WORDS: Final = ("≤1s", "2s", "5s", "10s", "30s", "1m", "5m", "1h", "1d", ">1d")

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_ENDED: Final = len(KINDS) - 1


class Span(NamedTuple):
    """A length of time to look back over, in buckets of equal length.

    :ivar words: as in "the last ...".
    """

    name: str
    words: str
    bucket_seconds: float
    buckets: int


SPANS: Final = {
    span.name: span
    for span in (
        Span("hour", "hour", _MINUTE, 60),
        Span("day", "24 hours", _HOUR, 24),
        Span("week", "7 days", 6 * _HOUR, 28),
    )
}


class DeliveryStatsView(NamedTuple):
    """One span of a statistics.

    :ivar starts: when each bucket begins, seconds since 1970, ascending.
    :ivar counts: by bucket, one count for each of `KINDS`.
    :ivar durations: delivered messages by class of `DURATIONS`.
    """

    span: Span
    starts: Sequence[float]
    counts: Sequence[Sequence[int]]
    durations: Sequence[int]

    @property
    def totals(self) -> dict[str, int]:
        """The whole span's counts by kind."""
        return {kind: sum(bucket[index] for bucket in self.counts) for index, kind in enumerate(KINDS)}


class _Series:
    """Buckets of one length, of which the latest are kept."""

    __slots__ = ("buckets", "keep", "seconds")

    def __init__(self, seconds: float, keep: int) -> None:
        self.seconds = seconds
        self.keep = keep
        #: By number of the bucket since 1970: the counts of `KINDS` but for the last, then those of `DURATIONS`.
        self.buckets: dict[int, list[int]] = {}

    def add(self, accepted_at: float, now: float) -> list[int] | None:
        number = int(accepted_at // self.seconds)
        bucket = self.buckets.get(number)
        if bucket is None:
            oldest = int(now // self.seconds) - self.keep
            if number < oldest:
                return None
            for old in [known for known in self.buckets if known < oldest]:
                del self.buckets[old]
            bucket = self.buckets[number] = [0] * (_ENDED + len(DURATIONS) + 1)
        return bucket


class DeliveryStats:
    """One account's. Memory is bounded by the number of buckets kept, whatever the traffic."""

    def __init__(self) -> None:
        self._minutes = _Series(_MINUTE, 60)
        self._hours = _Series(_HOUR, 7 * 24)

    def ended(self, accepted_at: float, done_at: float, send_status: str, now: float) -> None:
        """Counts a message that has ended.

        :param send_status: the customer's word for how.
        """
        index = _KIND_INDEX[send_status]
        for series in (self._minutes, self._hours):
            bucket = series.add(accepted_at, now)
            if bucket is None:
                continue
            bucket[index] += 1
            if index == 0:
                bucket[_ENDED + bisect_left(DURATIONS, done_at - accepted_at)] += 1

    def view(self, span: Span, waiting: Iterable[float], now: float) -> DeliveryStatsView:
        """What a span holds.

        :param waiting: when each message was accepted that hasn't ended.
        """
        series = self._minutes if span.bucket_seconds < _HOUR else self._hours
        last = int(now // span.bucket_seconds)
        first = last - span.buckets + 1
        counts = [[0] * len(KINDS) for _ in range(span.buckets)]
        durations = [0] * (len(DURATIONS) + 1)
        for number, bucket in series.buckets.items():
            place = int(number * series.seconds // span.bucket_seconds) - first
            if 0 <= place < span.buckets:
                for index in range(_ENDED):
                    counts[place][index] += bucket[index]
                for index, count in enumerate(bucket[_ENDED:]):
                    durations[index] += count
        for accepted_at in waiting:
            # What waits for longer than the span still waits: it stands at the beginning.
            place = min(max(0, int(accepted_at // span.bucket_seconds) - first), span.buckets - 1)
            counts[place][_ENDED] += 1
        return DeliveryStatsView(
            span, [(first + n) * span.bucket_seconds for n in range(span.buckets)], counts, durations
        )

"""Counts how an account's messages ended, for the charts of My Account.

Theory of operation: each message that has ended is counted in the bucket of the time when it was accepted. There are
two series: one bucket for each minute of the last hours, and one for each hour of the last days. Messages that still
wait are few or soon ended, so each view counts them again. A bucket also counts how long delivered messages took.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

#: The names of a bucket's counts, in order. The first three are the customer's words for final states.
KINDS: Final = ("delivered", "failed", "carrier-reject", "waiting")
_KIND_INDEX: Final = {kind: index for index, kind in enumerate(KINDS)}

#: The upper bounds of the classes of delivery times, in seconds. One more class is above the last bound.
DURATIONS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86_400.0)
DURATION_WORDS: Final = ("≤1s", "2s", "5s", "10s", "30s", "1m", "5m", "1h", "1d", ">1d")

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_ENDED: Final = len(KINDS) - 1


class Span(NamedTuple):
    """A time that a chart looks back, divided into buckets of equal length.

    :ivar words: the words after "the last".
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
    """The counts of one span.

    :ivar starts: when each bucket begins, seconds since 1970, ascending.
    :ivar counts: for each bucket, one count for each of `KINDS`.
    :ivar durations: for each class of `DURATIONS`, how many messages were delivered.
    :ivar since: when the first message was accepted that is counted, if older ones may have been forgotten within the
        span; None: all messages of the span are counted.
    """

    span: Span
    starts: Sequence[float]
    counts: Sequence[Sequence[int]]
    durations: Sequence[int]
    since: float | None = None

    @property
    def rate_words(self) -> str:
        """How many of the messages that have ended were delivered, in per cent."""
        totals = self.totals
        ended = sum(totals[kind] for kind in KINDS[:_ENDED])
        if not ended:
            return "none has ended"
        # Rounded down, so that 100 % means all of them.
        return f"{totals['delivered'] * 1000 // ended / 10:g} % of those that ended"

    @property
    def totals(self) -> dict[str, int]:
        """The counts of the whole span, by kind."""
        return {kind: sum(bucket[index] for bucket in self.counts) for index, kind in enumerate(KINDS)}


class _Series:
    """Keeps the latest buckets of one length."""

    __slots__ = ("buckets", "keep", "seconds")

    def __init__(self, seconds: float, keep: int) -> None:
        self.seconds = seconds
        self.keep = keep
        #: For each bucket, by its number since 1970: the counts of `KINDS` without the last, then those of `DURATIONS`.
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
    """Counts the messages of one account. It keeps a fixed number of buckets, so more traffic takes no more memory."""

    def __init__(self) -> None:
        self._minutes = _Series(_MINUTE, 60)
        self._hours = _Series(_HOUR, 7 * 24)

    def ended(self, accepted_at: float, done_at: float, send_status: str, now: float) -> None:
        """Counts a message that has ended.

        :param send_status: the customer's word for its final state.
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
        """The counts of a span until now.

        :param waiting: for each message that hasn't ended, when it was accepted.
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
            # Messages that have waited for longer than the span are counted in its first bucket.
            place = min(max(0, int(accepted_at // span.bucket_seconds) - first), span.buckets - 1)
            counts[place][_ENDED] += 1
        return DeliveryStatsView(
            span, [(first + n) * span.bucket_seconds for n in range(span.buckets)], counts, durations
        )

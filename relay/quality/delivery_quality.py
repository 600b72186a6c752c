"""Keeps the counts of ended messages by group, and their figures for the last hour and the week before.

Theory of operation: the counts only grow. From time to time `take_reading` keeps a copy of them, a *reading*. The
figures of a span are the counts at its end minus those at its beginning. Old readings are thinned out: one stays for
each five minutes of the last hour, each hour of the last day, and each six hours of the week before. A group that has
not changed shares its copy with the reading before.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from relay.values.ended_counts import (
    COUNTS,
    DELIVERED,
    FAILED,
    FIRST_CLASS,
    TOOK_SECONDS,
    UNANSWERED,
    EndedCounts,
    QualityGroup,
)

HOUR_SECONDS: Final = 3600.0
DAY_SECONDS: Final = 86_400.0
WEEK_SECONDS: Final = 7 * DAY_SECONDS
#: How often a reading is taken.
READING_SECONDS: Final = 300.0
#: Up to which age readings stand how far apart. Each age has one more step, so that the span before it begins in time.
_STEPS: Final = (
    (HOUR_SECONDS + 2 * READING_SECONDS, READING_SECONDS),
    (DAY_SECONDS + HOUR_SECONDS, HOUR_SECONDS),
    (WEEK_SECONDS + 6 * HOUR_SECONDS, 6 * HOUR_SECONDS),
)
#: The name of all accounts or countries that have no group of their own, because there are too many groups.
OTHERS: Final = "*"

_NOTHING: Final = (0,) * COUNTS


class Figures(NamedTuple):
    """How messages ended in a span of time.

    :ivar unanswered: messages whose receipt never came.
    :ivar took: for each class of `TOOK_SECONDS`, and for longer times: how many were delivered.
    """

    delivered: int = 0
    failed: int = 0
    unanswered: int = 0
    took: Sequence[int] = ()

    @property
    def ended(self) -> int:
        """All messages that count."""
        return self.delivered + self.failed + self.unanswered

    @property
    def share(self) -> float | None:
        """The share that was delivered. None: no message has ended, or not a single receipt came."""
        if not self.delivered + self.failed:
            return None
        return self.delivered / self.ended

    def took_at_most(self, share: float) -> float:
        """The time in which this share (0 to 1) of the delivered messages had their receipt, in seconds.

        It is the upper bound of a class of `TOOK_SECONDS`. 0.0: none was delivered; -1.0: longer than all bounds.
        """
        wanted = share * sum(self.took)
        if not wanted:
            return 0.0
        seen = 0
        for bound, count in zip(TOOK_SECONDS, self.took, strict=False):
            seen += count
            if seen >= wanted:
                return bound
        return -1.0


class GroupFigures(msgspec.Struct, frozen=True):
    """The figures of a group, or of several groups together.

    :ivar recent: of the last hour.
    :ivar week: of the week before that hour.
    """

    group: QualityGroup
    recent: Figures
    week: Figures

    @property
    def recent_share(self) -> float | None:
        """The delivered share of the last hour. It is 0 if no receipt came in that hour, but some came in the week."""
        if self.recent.share is None and self.recent.ended and self.week.share is not None:
            return 0.0
        return self.recent.share

    @property
    def change(self) -> float | None:
        """By how much the delivered share has grown against the week; None: there is nothing to compare."""
        recent, week = self.recent_share, self.week.share
        return None if recent is None or week is None else recent - week


class Reading(msgspec.Struct, frozen=True):
    """A copy of all counts at one time."""

    at: float
    counts: dict[QualityGroup, "array[int]"]


class KeptCounts(msgspec.Struct, frozen=True):
    """All counts and readings in a form that can be written to a file. Groups are named by their place in `groups`."""

    since: float
    place: int
    groups: list[QualityGroup]
    counts: list[list[int]]
    readings: list[tuple[float, dict[int, list[int]]]]


class DeliveryQuality:
    """Keeps the counts of groups, no more than `most_groups`. Further ones are counted together, one for each carrier.

    :param since: the time since when it counts.
    :ivar place: the place in the feed up to which messages are counted.
    """

    def __init__(self, most_groups: int, since: float) -> None:
        self.most_groups = most_groups
        self.since = since
        self.place = 0
        self._counts: dict[QualityGroup, array[int]] = {}
        self._readings = [Reading(since, {})]

    @property
    def groups(self) -> Mapping[QualityGroup, Sequence[int]]:
        """The counts of each group since it was first seen, as in `EndedCounts`. They only grow."""
        return self._counts

    def add(self, ended: EndedCounts) -> None:
        """Adds newly ended messages."""
        self.place = ended.place
        for group, counts in ended.groups.items():
            mine = self._counts.get(group)
            if mine is None:
                if len(self._counts) >= self.most_groups:
                    group = QualityGroup(group.carrier, OTHERS, OTHERS)
                    mine = self._counts.get(group)
                if mine is None:
                    mine = self._counts[group] = _array(_NOTHING)
            for index, count in enumerate(counts):
                if count:
                    mine[index] += count

    def reading_due(self, now: float) -> bool:
        """Whether it is time for another reading."""
        # If the clock was set back, readings of the future would never be followed by others.
        return not 0.0 <= now - self._readings[-1].at < READING_SECONDS

    def take_reading(self, now: float) -> None:
        """Keeps a copy of the counts, thins old copies out, and forgets groups that had no message for a week."""
        self._readings = [reading for reading in self._readings if reading.at < now]
        before = self._readings[-1].counts if self._readings else {}
        copies: dict[QualityGroup, array[int]] = {}
        for group, counts in self._counts.items():
            copy = before.get(group)
            copies[group] = copy if copy is not None and copy == counts else counts[:]
        self._readings.append(Reading(now, copies))
        self._thin_out(now)
        if self._readings[0].at <= now - WEEK_SECONDS:
            self._forget()

    def _thin_out(self, now: float) -> None:
        kept: list[Reading] = []
        steps = {_step(reading.at, now): reading for reading in reversed(self._readings)}
        for reading in sorted(steps.values(), key=lambda reading: reading.at):
            # Of those that are older than a week, the latest one is where the week begins.
            if kept and reading.at <= now - WEEK_SECONDS:
                kept.pop()
            kept.append(reading)
        if kept[-1] is not self._readings[-1]:
            kept.append(self._readings[-1])
        self._readings = kept

    def _forget(self) -> None:
        first = self._readings[0]
        gone = [group for group, counts in self._counts.items() if first.counts.get(group) == counts]
        for group in gone:
            del self._counts[group]
            for reading in self._readings:
                reading.counts.pop(group, None)

    def _counts_at(self, at: float) -> Mapping[QualityGroup, "array[int]"]:
        """The counts at the last reading that is not later than a time; those of the first one if all are later."""
        found = self._readings[0]
        for reading in reversed(self._readings):
            if reading.at <= at:
                return reading.counts
        return found.counts

    def _counts_since(self, at: float) -> Mapping[QualityGroup, "array[int]"]:
        """The counts at the first reading after a time; those of now if there is none."""
        return next((reading.counts for reading in self._readings if reading.at > at), self._counts)

    def figures(self, now: float) -> list[GroupFigures]:
        """The figures of each group, in no order."""
        recent, week = self._counts_at(now - HOUR_SECONDS), self._counts_at(now - WEEK_SECONDS)
        return [
            GroupFigures(
                group,
                _between(recent.get(group, _NOTHING), counts),
                _between(week.get(group, _NOTHING), recent.get(group, _NOTHING)),
            )
            for group, counts in self._counts.items()
        ]

    def sums(
        self,
        now: float,
        seconds: float,
        names: Callable[[QualityGroup], Iterable[QualityGroup]],
        *,
        no_longer: bool = False,
    ) -> dict[QualityGroup, list[int]]:
        """Adds the counts of the last seconds up.

        :param seconds: a week at the most. The span begins at the last reading before it.
        :param names: the sums to which a group is added.
        :param no_longer: the span begins at the first reading in it instead.
        """
        before = self._counts_since(now - seconds) if no_longer else self._counts_at(now - seconds)
        sums: dict[QualityGroup, list[int]] = {}
        for group, counts in self._counts.items():
            earlier = before.get(group, _NOTHING)
            found = [counts[kind] - earlier[kind] for kind in (DELIVERED, FAILED, UNANSWERED)]
            if any(found):
                for name in names(group):
                    total = sums.setdefault(name, [0, 0, 0])
                    for kind, count in enumerate(found):
                        total[kind] += count
        return sums

    # Over a restart

    def kept(self) -> KeptCounts:
        """Everything that it knows."""
        numbers = {group: number for number, group in enumerate(self._counts)}
        readings: list[tuple[float, dict[int, list[int]]]] = []
        before: Mapping[QualityGroup, array[int]] = {}
        for reading in self._readings:
            # Most groups stay as they were at the reading before. Only the others are written.
            changed = {
                numbers[group]: counts.tolist()
                for group, counts in reading.counts.items()
                if before.get(group) is not counts
            }
            readings.append((reading.at, changed))
            before = reading.counts
        counts = [counts.tolist() for counts in self._counts.values()]
        return KeptCounts(self.since, self.place, list(self._counts), counts, readings)

    def restore(self, kept: KeptCounts, last_place: int) -> None:
        """Goes on with what was kept.

        :param last_place: the place in the feed that the store has now. It is lower than the kept one if the data are
            those of an older backup.
        """
        self.since = kept.since
        self.place = min(kept.place, last_place)
        groups = kept.groups
        self._counts = {group: _array(counts) for group, counts in zip(groups, kept.counts, strict=True)}
        self._readings = []
        latest: dict[QualityGroup, array[int]] = {}
        for at, changed in kept.readings:
            latest = latest | {groups[number]: _array(counts) for number, counts in changed.items()}
            self._readings.append(Reading(at, latest))
        if not self._readings:
            self._readings = [Reading(self.since, {})]


def together(figures: Iterable[GroupFigures], by: Callable[[QualityGroup], QualityGroup]) -> Iterator[GroupFigures]:
    """Adds the figures of groups up that have the same name.

    :param by: returns the name of a group in the result.
    """
    sums: dict[QualityGroup, tuple[Figures, Figures]] = {}
    for each in figures:
        name = by(each.group)
        recent, week = sums.get(name, (Figures(), Figures()))
        sums[name] = (_plus(recent, each.recent), _plus(week, each.week))
    return (GroupFigures(name, recent, week) for name, (recent, week) in sums.items())


def _plus(one: Figures, other: Figures) -> Figures:
    took = [a + b for a, b in zip(one.took, other.took, strict=True)] if one.took else other.took
    return Figures(one.delivered + other.delivered, one.failed + other.failed, one.unanswered + other.unanswered, took)


def _between(before: Sequence[int], after: Sequence[int]) -> Figures:
    counts = [late - early for early, late in zip(before, after, strict=True)]
    return Figures(counts[DELIVERED], counts[FAILED], counts[UNANSWERED], counts[FIRST_CLASS:])


def _array(counts: Iterable[int]) -> "array[int]":
    return array("q", counts)


def _step(at: float, now: float) -> tuple[float, float]:
    """The step of time in which one reading is kept."""
    for age, step in _STEPS:
        if at > now - age:
            return step, at // step
    # All that are older than a week; `_thin_out` keeps the latest one.
    return 0.0, at

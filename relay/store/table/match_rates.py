"""How many of each carrier's receipts find messages: whether its dialect looks wrong.

Theory of operation: two averages a carrier. The share of about the last fifty receipts that found a message is held
against the share of some thousands before them. They count receipts, not time, so that a carrier of ten messages a day
is judged as one of a thousand a second is. An orphan counts as missed when it comes; when its message turns up after
all, that is taken back.

The averages are written to the journal now and then: after a restart a carrier isn't judged by a handful of receipts.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from relay.store.table.records import MatchRate

#: Receipts in the two averages.
_LATEST: Final = 50.0
_EARLIER: Final = 5_000.0
#: Below this share a carrier matches nothing.
_NOTHING: Final = 0.05
#: Below this part of the share of before, it matches far less than it used to; where so many found nothing.
_FAR_LESS: Final = 0.75
_FEWEST_MISSED: Final = 5.0
#: The averages are written this often at the most, where nothing has been decided by them.
_WRITE_SECONDS: Final = 60.0


class _Rate(msgspec.Struct):
    """One carrier's averages; see `MatchRate`."""

    matched: float = 0.0
    missed: float = 0.0
    usual: float = 1.0
    judged_to: float = 0.0
    dismissed_to: float = 0.0
    changed: bool = False
    write_at: float = 0.0


class MatchRates:
    """The averages of all carriers."""

    def __init__(self) -> None:
        self._by_carrier: dict[str, _Rate] = {}

    def count(self, carrier: str, matched: int, missed: int) -> None:
        """Counts receipts that have come; below 0: takes back what has been counted."""
        rate = self._rate(carrier)
        rate.changed = True
        rate.matched = max(0.0, rate.matched + matched)
        rate.missed = max(0.0, rate.missed + missed)
        total = rate.matched + rate.missed
        if total > _LATEST:
            rate.usual += (rate.matched / total - rate.usual) * min(1.0, (total - _LATEST) / _EARLIER)
            rate.matched *= _LATEST / total
            rate.missed *= _LATEST / total

    def is_low(self, carrier: str) -> bool:
        """Whether the carrier's receipts match nothing, or far less than they used to."""
        rate = self._by_carrier.get(carrier)
        if rate is None or not rate.missed:
            return False
        share = rate.matched / (rate.matched + rate.missed)
        return share < _NOTHING or (rate.missed >= _FEWEST_MISSED and share < _FAR_LESS * rate.usual)

    def judged(self, carrier: str, received_at: float) -> None:
        """The carrier's orphans that came up to then have been kept as evidence, or dropped."""
        rate = self._rate(carrier)
        rate.judged_to = max(rate.judged_to, received_at)
        rate.changed = True
        rate.write_at = 0.0

    def judged_to(self) -> Mapping[str, float]:
        """By carrier: the orphans that came up to then are decided about."""
        return {carrier: rate.judged_to for carrier, rate in self._by_carrier.items()}

    def dismiss(self, carrier: str, received_to: float) -> MatchRate:
        """Receipts that came up to then are no evidence any more, and the carrier is judged by those to come. Gives the
        record."""
        rate = self._rate(carrier)
        rate.dismissed_to = received_to
        rate.matched = rate.missed = 0.0
        return self._written(carrier, rate, received_to)

    def dismissed_to(self, carrier: str) -> float:
        """Receipts of the carrier that came up to then are no evidence; 0.0: none has been dismissed."""
        rate = self._by_carrier.get(carrier)
        return 0.0 if rate is None else rate.dismissed_to

    def due(self, now: float) -> list[MatchRate]:
        """The averages that are to be written now."""
        return [
            self._written(carrier, rate, now)
            for carrier, rate in self._by_carrier.items()
            if rate.changed and now >= rate.write_at
        ]

    def restore(self, record: MatchRate) -> None:
        """Takes a carrier's averages from the journal."""
        self._by_carrier[record.carrier] = _Rate(
            record.matched, record.missed, record.usual, record.judged_to, record.dismissed_to
        )

    def in_segments(self, last: int) -> list[MatchRate]:
        """All of them: compaction copies them together. They are few, and small."""
        return [_record(carrier, rate) for carrier, rate in self._by_carrier.items()]

    def moved(self, last: int, segment: int) -> None:
        """Nothing is to be remembered of where they are."""

    def _rate(self, carrier: str) -> _Rate:
        rate = self._by_carrier.get(carrier)
        if rate is None:
            rate = self._by_carrier[carrier] = _Rate()
        return rate

    def _written(self, carrier: str, rate: _Rate, now: float) -> MatchRate:
        rate.changed = False
        rate.write_at = now + _WRITE_SECONDS
        return _record(carrier, rate)


def _record(carrier: str, rate: _Rate) -> MatchRate:
    return MatchRate(carrier, rate.matched, rate.missed, rate.usual, rate.judged_to, rate.dismissed_to)

"""Computes how many of each carrier's receipts find messages, to see whether its dialect may be wrong.

Theory of operation: there are two averages for each carrier. One is the share of about the last fifty receipts that
found a message. It is compared with the share of some thousand receipts before them. The averages count receipts and
not time, so that carriers with ten messages a day and with a thousand a second are judged alike. An orphan counts as
missed when it comes. If its message is found later, that is taken back.

The averages are written to the journal now and then, so that after a restart a carrier isn't judged by a few receipts.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from relay.store.table.records import MatchRate

#: How many receipts the two averages cover.
_LATEST: Final = 50.0
_EARLIER: Final = 5_000.0
#: If the share is lower, the carrier's receipts match nothing.
_NOTHING: Final = 0.05
#: If the share is below this part of the earlier share, the receipts match far less than before, if at least so many
#: found no message.
_FAR_LESS: Final = 0.75
_FEWEST_MISSED: Final = 5.0
#: The least time between two writes of the averages, if nothing was decided by them.
_WRITE_SECONDS: Final = 60.0


class _Rate(msgspec.Struct):
    """One carrier's averages. The fields are those of `MatchRate`."""

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
        """Counts receipts that have come. Negative numbers take earlier counts back."""
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
        """Whether the carrier's receipts match nothing, or far less than before."""
        rate = self._by_carrier.get(carrier)
        if rate is None or not rate.missed:
            return False
        share = rate.matched / (rate.matched + rate.missed)
        return share < _NOTHING or (rate.missed >= _FEWEST_MISSED and share < _FAR_LESS * rate.usual)

    def judged(self, carrier: str, received_at: float) -> None:
        """Notes that the carrier's orphans up to this time were kept as evidence, or dropped."""
        rate = self._rate(carrier)
        rate.judged_to = max(rate.judged_to, received_at)
        rate.changed = True
        rate.write_at = 0.0

    def judged_to(self) -> Mapping[str, float]:
        """For each carrier, the time up to which its orphans were kept as evidence, or dropped."""
        return {carrier: rate.judged_to for carrier, rate in self._by_carrier.items()}

    def dismiss(self, carrier: str, received_to: float) -> MatchRate:
        """Forgets the receipts that came up to this time, and gives the record. Only later receipts are evidence."""
        rate = self._rate(carrier)
        rate.dismissed_to = received_to
        rate.matched = rate.missed = 0.0
        return self._written(carrier, rate, received_to)

    def dismissed_to(self, carrier: str) -> float:
        """Receipts of the carrier up to this time aren't evidence; 0.0: none has been dismissed."""
        rate = self._by_carrier.get(carrier)
        return 0.0 if rate is None else rate.dismissed_to

    def due(self, now: float) -> list[MatchRate]:
        """The averages that must be written now."""
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

    def all(self) -> list[MatchRate]:
        """All averages. They are few and small, so compaction copies all of them."""
        return [_record(carrier, rate) for carrier, rate in self._by_carrier.items()]

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

"""Evidence of a wrong dialect: receipts that found no message in time, of carriers whose receipts match too little.

Theory of operation: an orphan waits for its id for some minutes, and is then dropped. If a carrier's dialect is wrong,
all its receipts would be dropped, and nobody could find the right dialect, or save the receipts. So if a carrier's
receipts match nothing, or far less than before (`match_rates`), a sample of the dropped ones is kept here. They have no
keys, so an id that comes later, or is given again, never finds them. Only `reread` does, and only for messages that
were accepted before the receipt came.

The sample of each carrier is bounded, and all samples together are bounded by `limits.orphans`. Beyond that, the oldest
receipt of the carrier with most is dropped, so that no carrier takes the others' room. A sample stays until an operator
dismisses it, or until a corrected dialect has found its messages.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from heapq import nsmallest
from itertools import islice
from typing import Final

from msgspec.structs import astuple

from relay.store.table.match_rates import MatchRates
from relay.store.table.orphans import Kept, Mark, mark_of
from relay.store.table.records import Evidence, MatchRate
from relay.values.carrier_reports import Receipt

#: The most receipts of one carrier that are kept.
KEPT_A_CARRIER: Final = 1_000
#: How often a later receipt replaces the oldest one of a carrier with a full sample.
_RENEWED_SECONDS: Final = 1.0


class EvidenceList:
    """Keeps a sample of dropped receipts for each carrier.

    :param limit: how many receipts of all carriers are kept.
    :ivar count: how many receipts are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        #: The receipts of each carrier, oldest first.
        self._by_carrier: dict[str, dict[Mark, Kept]] = {}
        self._last_number = 0
        self.count = 0

    def wants(self, receipt: Receipt) -> bool:
        """Whether the receipt should be kept: there is room for it, or it is time to renew the carrier's sample."""
        kept = self._by_carrier.get(receipt.carrier)
        if not kept:
            return self._limit > 0
        if len(kept) < KEPT_A_CARRIER and (self.count < self._limit or len(kept) < self._most()):
            return True
        latest = next(reversed(kept.values()))
        return receipt.received_at >= latest.receipt.received_at + _RENEWED_SECONDS

    def add(self, receipt: Receipt, segment: int = 0) -> None:
        """Keeps a receipt. If there is no room, it replaces another. A receipt that is kept already isn't added again.

        :param segment: as in `Orphans.add`.
        """
        kept = self._by_carrier.setdefault(receipt.carrier, {})
        known = kept.get(mark_of(receipt))
        if known is not None:
            known.segment = segment
            return
        self._last_number += 1
        kept[mark_of(receipt)] = Kept(receipt, segment, self._last_number)
        self.count += 1
        if len(kept) > KEPT_A_CARRIER:
            self.discard(next(iter(kept)))
        elif self.count > self._limit:
            largest = max(self._by_carrier, key=lambda carrier: len(self._by_carrier[carrier]))
            self.discard(next(iter(self._by_carrier[largest])))

    def remove(self, receipt: Receipt) -> bool:
        """Removes a receipt. False: it isn't kept."""
        return self.discard(mark_of(receipt))

    def discard(self, mark: Mark) -> bool:
        """Removes the receipt that the journal names by this mark. False: it isn't kept."""
        kept = self._by_carrier.get(mark[0])
        if kept is None or kept.pop(mark, None) is None:
            return False
        self.count -= 1
        if not kept:
            del self._by_carrier[mark[0]]
        return True

    def clear(self, carrier: str, received_to: float = float("inf")) -> tuple[int, float]:
        """Drops a carrier's receipts that came at `received_to` or before.

        :return: how many they were, and when the latest came; 0.0: there were none.
        """
        marks = [mark for mark in self._by_carrier.get(carrier, ()) if mark[1] <= received_to]
        for mark in marks:
            self.discard(mark)
        return len(marks), max((mark[1] for mark in marks), default=0.0)

    def counts(self) -> Mapping[str, int]:
        """How many receipts are kept of each carrier that has any."""
        return {carrier: len(kept) for carrier, kept in self._by_carrier.items()}

    def latest(self, limit: int) -> Sequence[Receipt]:
        """Up to `limit` receipts of each carrier, latest first."""
        return [one.receipt for kept in self._by_carrier.values() for one in islice(reversed(kept.values()), limit)]

    def after(self, number: int, limit: int) -> tuple[list[Receipt], int | None]:
        """Up to `limit` receipts after a number, as `Orphans.after` gives them."""
        found = nsmallest(limit + 1, (one for one in self._all() if one.number > number), key=_number)
        goes_on = len(found) > limit
        return [one.receipt for one in found[:limit]], found[limit - 1].number if goes_on else None

    def in_segments(self, last: int) -> list[Evidence]:
        """As `Orphans.in_segments`."""
        return [evidence_of(one.receipt) for one in self._all() if one.segment <= last]

    def holds(self, record: Evidence) -> bool:
        """As `Orphans.holds`."""
        return mark_of(record) in self._by_carrier.get(record.carrier, ())

    def moved(self, last: int, segment: int) -> None:
        """As `Orphans.moved`."""
        for one in self._all():
            if one.segment <= last:
                one.segment = segment

    def marks(self) -> Set[Mark]:
        """The marks of these receipts."""
        return {mark for kept in self._by_carrier.values() for mark in kept}

    def restored(self, placed: Set[Mark], rates: MatchRates) -> None:
        """Puts the receipts in order after a replay, as `Orphans.restored` does."""
        for mark in self.marks():
            if mark in placed or mark[1] <= rates.dismissed_to(mark[0]):
                self.discard(mark)

    def _all(self) -> Iterator[Kept]:
        return (one for kept in self._by_carrier.values() for one in kept.values())

    def _most(self) -> int:
        return max(map(len, self._by_carrier.values()), default=0)


def _number(kept: Kept) -> int:
    return kept.number


def judge(
    fallen: Iterable[Receipt], rates: MatchRates, evidence: EvidenceList, segment: int
) -> list[Evidence | MatchRate]:
    """Decides which dropped orphans are kept as evidence, and keeps them. Returns the records to write.

    :param segment: the sequence of the journal segment that will have the records, or of the one before it.
    """
    records: list[Evidence | MatchRate] = []
    for receipt in fallen:
        carrier = receipt.carrier
        if rates.is_low(carrier) and receipt.received_at > rates.dismissed_to(carrier) and evidence.wants(receipt):
            evidence.add(receipt, segment)
            records.append(evidence_of(receipt))
    return records


def evidence_of(receipt: Receipt) -> Evidence:
    """Makes the record of a receipt that is kept as evidence."""
    return Evidence(*astuple(receipt))


def receipt_of(evidence: Evidence) -> Receipt:
    """Makes the receipt of a record."""
    return Receipt(*astuple(evidence))

"""Evidence of a wrong dialect: receipts that found no message in time, of carriers whose receipts match too little.

Theory of operation: an orphan waits for its id for some minutes, and is dropped then. Where a carrier's dialect is
wrong, nothing would be left in the end to find the right one with, and nothing to rescue. So of a carrier that matches
nothing, or far less than it used to (`match_rates`), a sample of what falls out is kept here. It has no keys: an id
that comes later, or is given again, never finds it. Only `reread` does, and only for messages that were there before
it.

The sample is bounded for each carrier, and what all have together by `limits.orphans`: beyond that the carrier with the
most gives its oldest, so that none fills the others' share. It stays until an operator dismisses it, or a corrected
dialect has found messages for it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from heapq import nsmallest
from itertools import islice
from typing import Final

from msgspec.structs import astuple

from relay.store.table.match_rates import MatchRates
from relay.store.table.orphans import Kept, Mark, mark_of
from relay.store.table.records import Evidence, MatchRate
from relay.values.messages import Receipt

#: Receipts of one carrier that are kept at the most.
KEPT_A_CARRIER: Final = 1_000
#: A carrier that has its share gets a later one kept in place of its oldest every so often.
_RENEWED_SECONDS: Final = 1.0


class EvidenceList:
    """Receipts that are kept past their time, by carrier.

    :ivar count: how many they are.
    :param limit: how many of all carriers are kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        #: The oldest first.
        self._by_carrier: dict[str, dict[Mark, Kept]] = {}
        self._last_number = 0
        self.count = 0

    def wants(self, receipt: Receipt) -> bool:
        """Whether the receipt is to be kept: there is room for it, or it is time to renew the carrier's sample."""
        kept = self._by_carrier.get(receipt.carrier)
        if not kept:
            return self._limit > 0
        if len(kept) < KEPT_A_CARRIER and (self.count < self._limit or len(kept) < self._most()):
            return True
        latest = next(reversed(kept.values()))
        return receipt.received_at >= latest.receipt.received_at + _RENEWED_SECONDS

    def add(self, receipt: Receipt, segment: int = 0) -> None:
        """Keeps a receipt, in place of another where there is no room. One that is kept already is kept once.

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
        """Takes out one receipt; False where it is not kept."""
        return self.discard(mark_of(receipt))

    def discard(self, mark: Mark) -> bool:
        """As `remove`, of one as the journal names it."""
        kept = self._by_carrier.get(mark[0])
        if kept is None or kept.pop(mark, None) is None:
            return False
        self.count -= 1
        if not kept:
            del self._by_carrier[mark[0]]
        return True

    def clear(self, carrier: str, received_to: float = float("inf")) -> tuple[int, float]:
        """Drops a carrier's receipts that came up to then; gives how many, and when the latest came (0.0: none did)."""
        marks = [mark for mark in self._by_carrier.get(carrier, ()) if mark[1] <= received_to]
        for mark in marks:
            self.discard(mark)
        return len(marks), max((mark[1] for mark in marks), default=0.0)

    def counts(self) -> Mapping[str, int]:
        """How many are kept of each carrier that has any."""
        return {carrier: len(kept) for carrier, kept in self._by_carrier.items()}

    def latest(self, limit: int) -> Sequence[Receipt]:
        """Up to `limit` of each carrier, the latest first."""
        return [one.receipt for kept in self._by_carrier.values() for one in islice(reversed(kept.values()), limit)]

    def after(self, number: int, limit: int) -> tuple[list[Receipt], int | None]:
        """As `Orphans.after`."""
        found = nsmallest(limit + 1, (one for one in self._all() if one.number > number), key=_number)
        goes_on = len(found) > limit
        return [one.receipt for one in found[:limit]], found[limit - 1].number if goes_on else None

    def in_segments(self, last: int) -> list[Evidence]:
        """As `Orphans.in_segments`."""
        return [evidence_of(one.receipt) for one in self._all() if one.segment <= last]

    def moved(self, last: int, segment: int) -> None:
        """As `Orphans.moved`."""
        for one in self._all():
            if one.segment <= last:
                one.segment = segment

    def marks(self) -> Set[Mark]:
        """What tells these receipts from all others."""
        return {mark for kept in self._by_carrier.values() for mark in kept}

    def restored(self, placed: Set[Mark], rates: MatchRates) -> None:
        """As `Orphans.restored`: copies may come after what was said of them."""
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
    """Keeps as evidence what is worth it of the orphans that wait no more; gives the records.

    :param segment: the sequence of the journal segment that will hold the records, or of the one before it.
    """
    records: list[Evidence | MatchRate] = []
    for receipt in fallen:
        carrier = receipt.carrier
        if rates.is_low(carrier) and receipt.received_at > rates.dismissed_to(carrier) and evidence.wants(receipt):
            evidence.add(receipt, segment)
            records.append(evidence_of(receipt))
    return records


def evidence_of(receipt: Receipt) -> Evidence:
    """The record of a receipt that is kept as evidence."""
    return Evidence(*astuple(receipt))


def receipt_of(evidence: Evidence) -> Receipt:
    """The receipt that a record keeps."""
    return Receipt(*astuple(evidence))

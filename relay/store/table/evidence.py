"""Evidence of a wrong dialect: receipts that found no message in time, of carriers whose receipts match too little.

Theory of operation: an orphan waits for its id for some minutes, and is dropped then. Where a carrier's dialect is wrong,
nothing would be left in the end to find the right one with, and nothing to rescue. So of a carrier that matches nothing,
or far less than it used to (`match_rates`), a sample of what falls out is kept here. It has no keys: an id that comes
later, or is given again, never finds it. Only `reread` does, and only for messages that were there before it.

The sample is bounded for each carrier, and what all have together by `limits.orphans`: beyond that the carrier with the
most gives its oldest, so that none fills the others' share. It stays until an operator dismisses it, or a corrected
dialect has found messages for it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from operator import attrgetter
from typing import Final

import msgspec
from msgspec.structs import astuple

from relay.store.table.match_rates import MatchRates
from relay.store.table.orphans import Kept, Mark, mark_of, slice_behind
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
        self._by_carrier: dict[str, deque[Kept]] = {}
        self._last_number = 0
        self.count = 0

    def wants(self, receipt: Receipt) -> bool:
        """Whether the receipt is to be kept: there is room for it, or it is time to renew the carrier's sample."""
        kept = self._by_carrier.get(receipt.carrier)
        if not kept:
            return self._limit > 0
        if len(kept) < KEPT_A_CARRIER and (self.count < self._limit or len(kept) < self._most()):
            return True
        return receipt.received_at >= kept[-1].receipt.received_at + _RENEWED_SECONDS

    def add(self, receipt: Receipt, segment: int = 0) -> None:
        """Keeps a receipt, in place of another where there is no room.

        :param segment: as in `Orphans.add`.
        """
        kept = self._by_carrier.setdefault(receipt.carrier, deque())
        self._last_number += 1
        kept.append(Kept(receipt, segment, self._last_number))
        self.count += 1
        if len(kept) > KEPT_A_CARRIER:
            self._drop_oldest(kept)
        elif self.count > self._limit:
            self._drop_oldest(max(self._by_carrier.values(), key=len))

    def remove(self, receipt: Receipt) -> bool:
        """Takes out one receipt; False where it is not kept."""
        return self.discard(mark_of(receipt))

    def discard(self, mark: Mark) -> bool:
        """As `remove`, of one as the journal names it."""
        kept = self._by_carrier.get(mark[0], ())
        for index, one in enumerate(kept):
            if one.receipt.received_at == mark[1] and mark_of(one.receipt) == mark:
                del self._by_carrier[mark[0]][index]
                self.count -= 1
                return True
        return False

    def clear(self, carrier: str, received_to: float = float("inf")) -> int:
        """Drops a carrier's receipts that came up to then; gives how many."""
        kept = self._by_carrier.pop(carrier, ())
        left = deque(one for one in kept if one.receipt.received_at > received_to)
        if left:
            self._by_carrier[carrier] = left
        self.count -= len(kept) - len(left)
        return len(kept) - len(left)

    def counts(self) -> Mapping[str, int]:
        """How many are kept of each carrier that has any."""
        return {carrier: len(kept) for carrier, kept in self._by_carrier.items() if kept}

    def latest(self, limit: int) -> Sequence[Receipt]:
        """Up to `limit` of each carrier, the latest first."""
        return [one.receipt for kept in self._by_carrier.values() for one in islice(reversed(kept), limit)]

    def after(self, number: int, limit: int) -> tuple[list[Receipt], int | None]:
        """As `Orphans.after`."""
        slices = [slice_behind(kept, number, limit) for kept in self._by_carrier.values()]
        found = sorted((one for some, _ in slices for one in some), key=attrgetter("number"))
        goes_on = len(found) > limit or any(more for _, more in slices)
        found = found[:limit]
        return [one.receipt for one in found], found[-1].number if goes_on else None

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
        return {mark_of(one.receipt) for one in self._all()}

    def restored(self, placed: Set[Mark], rates: MatchRates) -> None:
        """As `Orphans.restored`: copies may come twice, and after what was said of them."""
        unique = {mark_of(one.receipt): one for one in self._all()}
        self._by_carrier.clear()
        self.count = 0
        for mark, one in sorted(unique.items(), key=lambda item: item[1].receipt.received_at):
            if mark not in placed and one.receipt.received_at > rates.dismissed_to(one.receipt.carrier):
                self.add(one.receipt, one.segment)

    def _all(self) -> Iterator[Kept]:
        return (one for kept in self._by_carrier.values() for one in kept)

    def _most(self) -> int:
        return max(map(len, self._by_carrier.values()), default=0)

    def _drop_oldest(self, kept: deque[Kept]) -> None:
        kept.popleft()
        self.count -= 1


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

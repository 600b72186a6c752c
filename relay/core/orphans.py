"""Receipts that nobody could place: orphans, which wait for their carrier message id, and unreadable ones.

Theory of operation: a receipt may overtake the response that brings its id, on another bind or in the same read. Such a
receipt is kept under each of its candidate keys and found the instant `submitted` brings one of them. Both stores
are bounded by count, orphans also by age; what falls out is counted. Long raw bodies are cut, because a carrier may
send 64 KiB of them.
"""

from collections import deque
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from relay.core.messages import Receipt

#: Octets of a receipt's body that are kept for the operator. Receipts of real carriers are under 300.
RAW_BYTES_KEPT = 1024


class _Orphan(msgspec.Struct, eq=False):
    receipt: Receipt
    segment: int
    waiting: bool = True


def cut(receipt: Receipt) -> Receipt:
    """The receipt as it is kept: without the end of an over-long body."""
    if len(receipt.raw) <= RAW_BYTES_KEPT:
        return receipt
    return replace(receipt, raw=receipt.raw[:RAW_BYTES_KEPT])


class Orphans:
    """The receipts that wait for their id.

    :ivar dropped: how many were dropped over the bound or past their time.
    :param limit: how many are kept; the oldest go first.
    :param seconds: how long each is kept.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._queue: deque[_Orphan] = deque()
        self._by_key: dict[str, dict[bytes, list[_Orphan]]] = {}
        self._matched_in_queue = 0
        self.count = 0
        self.dropped = 0

    def add(self, receipt: Receipt, segment: int = 0) -> None:
        """Keeps a receipt. `segment`: the sequence of the journal segment that holds it."""
        orphan = _Orphan(receipt, segment)
        self._queue.append(orphan)
        keys = self._by_key.setdefault(receipt.carrier, {})
        for key in receipt.keys:
            keys.setdefault(key, []).append(orphan)
        self.count += 1
        while self.count > self._limit:
            self._drop_oldest()

    def take(self, carrier: str, key: bytes) -> list[Receipt]:
        """Removes and gives the receipts that wait for this id, oldest first."""
        keys = self._by_key.get(carrier)
        if not keys or key not in keys:
            return []
        orphans = list(keys[key])
        for orphan in orphans:
            self._unlink(orphan)
        self._matched_in_queue += len(orphans)
        if self._matched_in_queue * 2 > len(self._queue):
            self._queue = deque(orphan for orphan in self._queue if orphan.waiting)
            self._matched_in_queue = 0
        return [orphan.receipt for orphan in orphans]

    def expire(self, now: float, limit: int) -> None:
        """Drops up to `limit` receipts whose time is over."""
        queue = self._queue
        while queue and limit > 0:
            if queue[0].waiting and queue[0].receipt.received_at + self._seconds > now:
                break
            self._drop_oldest()
            limit -= 1

    def latest(self, limit: int) -> list[Receipt]:
        """The latest ones, newest first."""
        found: list[Receipt] = []
        for orphan in reversed(self._queue):
            if len(found) >= limit:
                break
            if orphan.waiting:
                found.append(orphan.receipt)
        return found

    def in_segments(self, last: int) -> list[Receipt]:
        """Those whose record is in segment `last` or an earlier one: what compaction must copy."""
        return [orphan.receipt for orphan in self._queue if orphan.waiting and orphan.segment <= last]

    def moved(self, last: int, segment: int) -> None:
        """Those of `in_segments(last)` have been copied to `segment`."""
        for orphan in self._queue:
            if orphan.segment <= last:
                orphan.segment = segment

    def restored(self) -> None:
        """Puts them in order of age after a replay, for copies come later than their time, and may come twice."""
        ordered = sorted(self._queue, key=lambda orphan: orphan.receipt.received_at)
        seen: set[Receipt] = set()
        self._queue.clear()
        for orphan in ordered:
            if orphan.waiting and orphan.receipt in seen:
                self._unlink(orphan)
            elif orphan.waiting:
                seen.add(orphan.receipt)
                self._queue.append(orphan)
        self._matched_in_queue = 0

    def _drop_oldest(self) -> None:
        orphan = self._queue.popleft()
        if orphan.waiting:
            self._unlink(orphan)
            self.dropped += 1
        elif self._matched_in_queue:
            self._matched_in_queue -= 1

    def _unlink(self, orphan: _Orphan) -> None:
        orphan.waiting = False
        self.count -= 1
        keys = self._by_key[orphan.receipt.carrier]
        for key in set(orphan.receipt.keys):
            waiting = keys.get(key)
            if waiting is not None:
                waiting.remove(orphan)
                if not waiting:
                    del keys[key]


class Unreadable:
    """The latest receipts in which no id or no state could be read, for the operator. `count`: how many there were."""

    def __init__(self, limit: int) -> None:
        self._queue: deque[tuple[Receipt, int]] = deque(maxlen=limit)
        self.count = 0

    def add(self, receipt: Receipt, segment: int = 0) -> None:
        """Keeps a receipt, in place of the oldest where the bound is reached."""
        self.count += 1
        self._queue.append((receipt, segment))

    def latest(self, limit: int) -> Sequence[Receipt]:
        """The latest ones, newest first."""
        return [receipt for receipt, _ in list(self._queue)[: -limit - 1 : -1]]

    def in_segments(self, last: int) -> list[Receipt]:
        """As `Orphans.in_segments`."""
        return [receipt for receipt, segment in self._queue if segment <= last]

    def moved(self, last: int, segment: int) -> None:
        """As `Orphans.moved`."""
        for index, (receipt, was) in enumerate(self._queue):
            if was <= last:
                self._queue[index] = (receipt, segment)

    def restored(self) -> None:
        """As `Orphans.restored`."""
        unique = dict(self._queue)
        ordered = sorted(unique.items(), key=lambda entry: entry[0].received_at)
        self._queue = deque(ordered, maxlen=self._queue.maxlen)

    def __len__(self) -> int:
        return len(self._queue)

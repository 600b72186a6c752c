"""Receipts that nobody could place: orphans, which wait for their carrier message id, and unreadable ones.

Theory of operation: a receipt may overtake the response that brings its id, on another bind or in the same read. Such a
receipt is kept under each of its candidate keys and found the instant `submitted` brings one of them. Both stores
are bounded by count, orphans also by age and in each key; what falls out is counted. Long raw bodies are cut, because a
carrier may send 64 KiB of them.

When a carrier's dialect was wrong, its receipts lie here although their messages are known. With another dialect they
are read again from what is kept of them (`after` gives them by and by, `remove` takes out those that are placed now);
the others stay as they are, with their time and their place in the bound. What `add` and `expire` give has fallen out;
`evidence` keeps a sample of it where that is needed.
"""

import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import islice
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from relay.values.messages import Receipt
from relay.values.states import INTERMEDIATE_STATES

#: Octets of a receipt's body that are kept for the operator. Receipts of real carriers are under 300.
RAW_BYTES_KEPT = 1024


#: Orphans that are kept under one key. Where a carrier writes the same word into every receipt's id (`id:0` beside a
#: receipted_message_id), all of its orphans share a key, and each step over them would cost as many looks.
KEPT_A_KEY = 100

#: Tells one kept receipt from all others: carrier, received_at, `kept_crc`.
Mark = tuple[str, float, int]


class _Orphan(msgspec.Struct, eq=False):
    receipt: Receipt
    segment: int
    #: Grows along the queue; where a walk goes on.
    number: int
    waiting: bool = True


class Kept(msgspec.Struct, eq=False):
    """A receipt that waits for nothing but the operator.

    :ivar segment: of the journal, that holds its record.
    :ivar number: as in `Orphans.after`.
    """

    receipt: Receipt
    segment: int
    number: int


_KeptT = TypeVar("_KeptT", _Orphan, Kept)


def cut(receipt: Receipt) -> Receipt:
    """The receipt as it is kept: without the end of an over-long body."""
    if len(receipt.raw) <= RAW_BYTES_KEPT:
        return receipt
    return replace(receipt, raw=receipt.raw[:RAW_BYTES_KEPT])


def is_unreadable(receipt: Receipt) -> bool:
    """Whether it says nothing that a customer could use: no id, no state, or a word that nobody has told us the
    meaning of."""
    return not receipt.keys or (not receipt.final and receipt.state not in INTERMEDIATE_STATES)


def kept_crc(receipt: Receipt) -> int:
    """CRC-32 of the keys and of what is kept of the body: tells receipts of one read apart."""
    return zlib.crc32(receipt.raw, zlib.crc32(b"\0".join(receipt.keys)))


def mark_of(receipt: Receipt) -> Mark:
    """What tells this receipt from all others."""
    return receipt.carrier, receipt.received_at, kept_crc(receipt)


def _is_placed(receipt: Receipt, placed: Set[Mark]) -> bool:
    return bool(placed) and mark_of(receipt) in placed


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
        self._last_number = 0
        self.count = 0
        self.dropped = 0

    def add(self, receipt: Receipt, segment: int = 0) -> list[Receipt]:
        """Keeps a receipt, or drops it where many wait for its first key. Gives those that the bound has no room for.

        :param segment: the sequence of the journal segment that holds it.
        """
        keys = self._by_key.setdefault(receipt.carrier, {})
        # `remove` looks under the first key. Earlier receipts stay: the first final state is the one that counts.
        if len(keys.get(receipt.keys[0], ())) >= KEPT_A_KEY:
            self.dropped += 1
            return []
        self._last_number += 1
        orphan = _Orphan(receipt, segment, self._last_number)
        self._queue.append(orphan)
        for key in receipt.keys:
            waiting = keys.setdefault(key, [])
            if len(waiting) < KEPT_A_KEY:
                waiting.append(orphan)
        self.count += 1
        fallen: list[Receipt] = []
        while self.count > self._limit:
            self._drop_oldest(fallen)
        return fallen

    def take(self, carrier: str, key: bytes) -> list[Receipt]:
        """Removes and gives the receipts that wait for this id, oldest first."""
        return self.take_if(carrier, key, lambda receipt: True)[0]

    def take_if(self, carrier: str, key: bytes, fits: Callable[[Receipt], bool]) -> tuple[list[Receipt], list[Receipt]]:
        """Of the receipts that wait for this id, oldest first: removes those that fit, and gives them and the others.

        The others wait on.
        """
        waiting = self._by_key.get(carrier, {}).get(key)
        if not waiting:
            return [], []
        taken: list[Receipt] = []
        others: list[Receipt] = []
        for orphan in list(waiting):
            if fits(orphan.receipt):
                self._unlink(orphan)
                taken.append(orphan.receipt)
            else:
                others.append(orphan.receipt)
        self._tidy(len(taken))
        return taken, others

    def after(self, number: int, limit: int) -> tuple[list[Receipt], int | None]:
        """Up to `limit` receipts from behind this number on (0: the first), oldest first, and the number to go on
        behind; None: these were the last. What is kept meanwhile stands behind them."""
        found, goes_on = _slice(self._queue, number, limit)
        return [orphan.receipt for orphan in found if orphan.waiting], found[-1].number if goes_on else None

    def remove(self, receipt: Receipt) -> bool:
        """Takes out one receipt that waits; False where it does no more."""
        for orphan in self._by_key.get(receipt.carrier, {}).get(receipt.keys[0], ()):
            if orphan.receipt == receipt:
                self._unlink(orphan)
                self._tidy(1)
                return True
        return False

    def discard(self, key: bytes, mark: Mark) -> None:
        """As `remove`, of one that is kept under this key, as the journal names it. Harmless where there is none."""
        carrier, received_at, crc = mark
        for orphan in self._by_key.get(carrier, {}).get(key, ()):
            if orphan.receipt.received_at == received_at and kept_crc(orphan.receipt) == crc:
                self._unlink(orphan)
                self._tidy(1)
                return

    def _tidy(self, matched: int) -> None:
        """So many more in the queue wait no longer: they go when they are half of it."""
        self._matched_in_queue += matched
        if self._matched_in_queue * 2 > len(self._queue):
            self._queue = deque(orphan for orphan in self._queue if orphan.waiting)
            self._matched_in_queue = 0

    def expire(self, now: float, limit: int) -> list[Receipt]:
        """Drops up to `limit` receipts whose time is over; gives those that were still waiting."""
        queue = self._queue
        fallen: list[Receipt] = []
        while queue and limit > 0:
            if queue[0].waiting and queue[0].receipt.received_at + self._seconds > now:
                break
            self._drop_oldest(fallen)
            limit -= 1
        return fallen

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

    def restored(self, placed: Set[Mark], judged_to: Mapping[str, float], now: float) -> None:
        """Puts them in order of age after a replay, for copies come later than their time, and may come twice.

        :param placed: those that have found their messages, or are evidence.
        :param judged_to: by carrier: those that came up to then wait no more. It may be wrong where the system's clock
            was ahead: no such receipt was younger than `limits.orphan_seconds`.
        """
        over_at = now - self._seconds
        ordered = sorted(self._queue, key=lambda orphan: orphan.receipt.received_at)
        seen: set[Receipt] = set()
        self._queue.clear()
        for orphan in ordered:
            receipt = orphan.receipt
            is_over = receipt.received_at <= min(over_at, judged_to.get(receipt.carrier, 0.0))
            if orphan.waiting and (is_over or receipt in seen or _is_placed(receipt, placed)):
                self._unlink(orphan)
            elif orphan.waiting:
                seen.add(receipt)
                self._last_number = orphan.number = self._last_number + 1
                self._queue.append(orphan)
        self._matched_in_queue = 0

    def _drop_oldest(self, fallen: list[Receipt]) -> None:
        orphan = self._queue.popleft()
        if orphan.waiting:
            fallen.append(orphan.receipt)
            self._unlink(orphan)
            self.dropped += 1
        elif self._matched_in_queue:
            self._matched_in_queue -= 1

    def _unlink(self, orphan: _Orphan) -> None:
        orphan.waiting = False
        self.count -= 1
        keys = self._by_key[orphan.receipt.carrier]
        for key in set(orphan.receipt.keys):
            waiting = keys.get(key, [])
            if orphan in waiting:
                waiting.remove(orphan)
                if not waiting:
                    del keys[key]


class Unreadable:
    """The latest receipts in which no id or no state could be read, for the operator. `count`: how many there were."""

    def __init__(self, limit: int) -> None:
        self._queue: deque[Kept] = deque(maxlen=limit)
        self._last_number = 0
        self.count = 0

    def add(self, receipt: Receipt, segment: int = 0) -> None:
        """Keeps a receipt, in place of the oldest where the bound is reached."""
        self.count += 1
        self._last_number += 1
        self._queue.append(Kept(receipt, segment, self._last_number))

    def latest(self, limit: int) -> Sequence[Receipt]:
        """The latest ones, newest first."""
        return [unread.receipt for unread in islice(reversed(self._queue), limit)]

    def after(self, number: int, limit: int) -> tuple[list[Receipt], int | None]:
        """As `Orphans.after`."""
        found, goes_on = _slice(self._queue, number, limit)
        return [unread.receipt for unread in found], found[-1].number if goes_on else None

    def remove(self, receipts: Iterable[Receipt]) -> list[bool]:
        """Takes out receipts, in one walk through all; of each whether it was still there."""
        receipts = list(receipts)
        by_time: dict[float, list[int]] = {}
        for index, receipt in enumerate(receipts):
            by_time.setdefault(receipt.received_at, []).append(index)
        found = [False] * len(receipts)
        left: list[Kept] = []
        for unread in self._queue if receipts else ():
            for index in by_time.get(unread.receipt.received_at, ()):
                if not found[index] and receipts[index] == unread.receipt:
                    found[index] = True
                    break
            else:
                left.append(unread)
        if any(found):
            self._queue = deque(left, maxlen=self._queue.maxlen)
        return found

    def in_segments(self, last: int) -> list[Receipt]:
        """As `Orphans.in_segments`."""
        return [unread.receipt for unread in self._queue if unread.segment <= last]

    def moved(self, last: int, segment: int) -> None:
        """As `Orphans.moved`."""
        for unread in self._queue:
            if unread.segment <= last:
                unread.segment = segment

    def restored(self, placed: Set[Mark]) -> None:
        """As `Orphans.restored`."""
        unique = {unread.receipt: unread for unread in self._queue if not _is_placed(unread.receipt, placed)}
        self._queue.clear()
        for unread in sorted(unique.values(), key=lambda unread: unread.receipt.received_at):
            self._last_number = unread.number = self._last_number + 1
            self._queue.append(unread)

    def __len__(self) -> int:
        return len(self._queue)


def _slice(queue: deque[_KeptT], number: int, limit: int) -> tuple[list[_KeptT], bool]:
    """Up to `limit` from behind a number on, and whether there are more. By index, because a deque's iterator would
    have to go all the way there: 10 ms for the last of 100,000."""
    first = bisect_right(queue, number, key=_number)
    end = min(first + limit, len(queue))
    return [queue[index] for index in range(first, end)], end < len(queue)


def _number(kept: _Orphan | Kept) -> int:
    return kept.number

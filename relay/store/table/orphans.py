"""Keeps receipts without a message: orphans, which wait for their carrier message id, and unreadable receipts.

Theory of operation: a receipt may come before the response with its id, on another session or in the same read. Such a
receipt is kept under each of its keys, and is found when `submitted` brings one of them. The number of kept receipts is
bounded. For orphans, their age and the number under each key are bounded, too. Dropped receipts are counted. Long
bodies are cut, because a carrier may send 64 KiB.

If a carrier's dialect is wrong, its receipts are here although their messages are known. With another dialect they are
read again from what is kept of them. `after` gives them step by step, and `remove` removes those that find their
messages. The others don't change. `add` and `expire` return the receipts that were dropped; `evidence` may keep a
sample of them.
"""

import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import islice
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from relay.values.carrier_reports import Receipt
from relay.values.states import INTERMEDIATE_STATES

#: How many octets of a receipt's body are kept for the operator. Receipts of real carriers have less than 300.
RAW_BYTES_KEPT = 1024


#: How many orphans are kept under one key. Some carriers write the same word into the id of every receipt (`id:0`, with
#: a receipted_message_id). Then all their orphans share a key, and each step would have to read all of them.
KEPT_A_KEY = 100

#: Identifies a kept receipt: carrier, received_at, `kept_crc`.
Mark = tuple[str, float, int]


class _Orphan(msgspec.Struct, eq=False):
    receipt: Receipt
    segment: int
    #: It grows along the queue. A walk through the queue goes on after a number.
    number: int
    waiting: bool = True


class Kept(msgspec.Struct, eq=False):
    """A receipt that is kept for the operator.

    :ivar segment: the sequence of the journal segment with its record.
    :ivar number: as in `Orphans.after`.
    """

    receipt: Receipt
    segment: int
    number: int


_KeptT = TypeVar("_KeptT", _Orphan, Kept)


def cut(receipt: Receipt) -> Receipt:
    """Makes the receipt that is kept: the end of a very long body is cut off."""
    if len(receipt.raw) <= RAW_BYTES_KEPT:
        return receipt
    return replace(receipt, raw=receipt.raw[:RAW_BYTES_KEPT])


def is_unreadable(receipt: Receipt) -> bool:
    """Whether a receipt has no id, no state, or an unknown word for the state. Customers can't use such receipts."""
    return not receipt.keys or (not receipt.final and receipt.state not in INTERMEDIATE_STATES)


def kept_crc(receipt: Receipt) -> int:
    """The CRC-32 of the keys and of the kept body. It differs for the receipts of one read."""
    return zlib.crc32(receipt.raw, zlib.crc32(b"\0".join(receipt.keys)))


def mark_of(receipt: Receipt) -> Mark:
    """The mark of a receipt."""
    return receipt.carrier, receipt.received_at, kept_crc(receipt)


def _is_placed(receipt: Receipt, placed: Set[Mark]) -> bool:
    return bool(placed) and mark_of(receipt) in placed


class Orphans:
    """Keeps the receipts that wait for their id.

    :param limit: how many are kept. The oldest are dropped first.
    :param seconds: how long each is kept.
    :ivar dropped: how many were dropped, because there were too many or their time was over.
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
        """Keeps a receipt, or drops it if too many wait for its first key. Returns the receipts that were dropped.

        :param segment: the sequence of the journal segment with its record.
        """
        keys = self._by_key.setdefault(receipt.carrier, {})
        # `remove` searches under the first key. Earlier receipts stay, because the first final state counts.
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

    def waits_for(self, carrier: str, key: bytes) -> bool:
        """Whether any receipt waits for this id."""
        keys = self._by_key.get(carrier)
        return keys is not None and key in keys

    def take(self, carrier: str, key: bytes) -> list[Receipt]:
        """Removes the receipts that wait for this id, and returns them, oldest first."""
        return self.take_if(carrier, key, lambda receipt: True)[0]

    def take_if(self, carrier: str, key: bytes, fits: Callable[[Receipt], bool]) -> tuple[list[Receipt], list[Receipt]]:
        """Removes the receipts that wait for this id and fit.

        :return: those that fit and the others, oldest first. The others go on waiting.
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
        """Up to `limit` receipts after a number, oldest first. With 0 it begins with the first receipt.

        :return: the receipts, and the number for the next call; None: there are no more. New receipts come last.
        """
        found, goes_on = _slice(self._queue, number, limit)
        return [orphan.receipt for orphan in found if orphan.waiting], found[-1].number if goes_on else None

    def remove(self, receipt: Receipt) -> bool:
        """Removes a receipt. False: it isn't kept any more."""
        for orphan in self._by_key.get(receipt.carrier, {}).get(receipt.keys[0], ()):
            if orphan.receipt == receipt:
                self._unlink(orphan)
                self._tidy(1)
                return True
        return False

    def discard(self, key: bytes, mark: Mark) -> None:
        """Removes the receipt under this key that the journal names by its mark. Does nothing if there is none."""
        carrier, received_at, crc = mark
        for orphan in self._by_key.get(carrier, {}).get(key, ()):
            if orphan.receipt.received_at == received_at and kept_crc(orphan.receipt) == crc:
                self._unlink(orphan)
                self._tidy(1)
                return

    def _tidy(self, matched: int) -> None:
        """Counts receipts in the queue that don't wait any more. They are dropped when they are half of the queue."""
        self._matched_in_queue += matched
        if self._matched_in_queue * 2 > len(self._queue):
            self._queue = deque(orphan for orphan in self._queue if orphan.waiting)
            self._matched_in_queue = 0

    def expire(self, now: float, limit: int) -> list[Receipt]:
        """Drops up to `limit` receipts whose time is over. Returns those that were still waiting."""
        queue = self._queue
        fallen: list[Receipt] = []
        while queue and limit > 0:
            if queue[0].waiting and queue[0].receipt.received_at + self._seconds > now:
                break
            self._drop_oldest(fallen)
            limit -= 1
        return fallen

    def latest(self, limit: int) -> list[Receipt]:
        """The latest receipts, newest first."""
        found: list[Receipt] = []
        for orphan in reversed(self._queue):
            if len(found) >= limit:
                break
            if orphan.waiting:
                found.append(orphan.receipt)
        return found

    def in_segments(self, last: int) -> list[Receipt]:
        """The receipts whose record is in segment `last` or an earlier one. Compaction must copy them."""
        return [orphan.receipt for orphan in self._queue if orphan.waiting and orphan.segment <= last]

    def holds(self, receipt: Receipt) -> bool:
        """Whether a receipt of `in_segments` still waits."""
        waiting = self._by_key.get(receipt.carrier, {}).get(receipt.keys[0], ())
        return any(orphan.receipt is receipt for orphan in waiting)

    def moved(self, last: int, segment: int) -> None:
        """Notes that the records of `in_segments(last)` have been copied to `segment`."""
        for orphan in self._queue:
            if orphan.segment <= last:
                orphan.segment = segment

    def restored(self, placed: Set[Mark], judged_to: Mapping[str, float], now: float) -> None:
        """Puts the receipts in order of age after a replay. Copies come later than the receipts, and may come twice.

        :param placed: the receipts that have found their messages, or are evidence.
        :param judged_to: for each carrier, the time up to which its receipts don't wait any more. It may be too late if
            the system's clock was ahead. So receipts that are younger than `limits.orphan_seconds` are kept.
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
    """Keeps the latest receipts without a readable id or state, for the operator. `count`: how many there were."""

    def __init__(self, limit: int) -> None:
        self._queue: deque[Kept] = deque(maxlen=limit)
        self._last_number = 0
        self.count = 0

    def add(self, receipt: Receipt, segment: int = 0) -> None:
        """Keeps a receipt. At the bound, it replaces the oldest one."""
        self.count += 1
        self._last_number += 1
        self._queue.append(Kept(receipt, segment, self._last_number))

    def latest(self, limit: int) -> Sequence[Receipt]:
        """The latest receipts, newest first."""
        return [unread.receipt for unread in islice(reversed(self._queue), limit)]

    def after(self, number: int, limit: int) -> tuple[list[Receipt], int | None]:
        """Up to `limit` receipts after a number, as `Orphans.after` gives them."""
        found, goes_on = _slice(self._queue, number, limit)
        return [unread.receipt for unread in found], found[-1].number if goes_on else None

    def remove(self, receipts: Iterable[Receipt]) -> list[bool]:
        """Removes receipts, in one walk through all. Returns for each whether it was still kept."""
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
        """The receipts whose record is in segment `last` or an earlier one."""
        return [unread.receipt for unread in self._queue if unread.segment <= last]

    def holds(self, receipt: Receipt) -> bool:
        """Always true: replay bounds their number, and leaves out those that were placed."""
        return True

    def moved(self, last: int, segment: int) -> None:
        """Notes that the records of `in_segments(last)` have been copied to `segment`."""
        for unread in self._queue:
            if unread.segment <= last:
                unread.segment = segment

    def restored(self, placed: Set[Mark]) -> None:
        """Puts the receipts in order after a replay, as `Orphans.restored` does."""
        unique = {unread.receipt: unread for unread in self._queue if not _is_placed(unread.receipt, placed)}
        self._queue.clear()
        for unread in sorted(unique.values(), key=lambda unread: unread.receipt.received_at):
            self._last_number = unread.number = self._last_number + 1
            self._queue.append(unread)

    def __len__(self) -> int:
        return len(self._queue)


def _slice(queue: deque[_KeptT], number: int, limit: int) -> tuple[list[_KeptT], bool]:
    """Up to `limit` entries after a number, and whether there are more.

    It uses indexes, because a deque's iterator would have to walk to the place: 10 ms for the last of 100,000.
    """
    first = bisect_right(queue, number, key=_number)
    end = min(first + limit, len(queue))
    return [queue[index] for index in range(first, end)], end < len(queue)


def _number(kept: _Orphan | Kept) -> int:
    return kept.number

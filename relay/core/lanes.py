"""What is owed to whom: one queue a lane, first come first served, with retries waiting for their time.

Theory of operation: a row's flags say whether a notification is owed on a channel and where it stands (ready, delayed
or claimed); the queues hold the rows. An entry in a queue may be stale, because something newer made the row ready
before its time or nothing is owed any more: the row's flags tell, and the entry is dropped when its turn comes.
A final state that is not durable yet is not told, or a crash could lead to another one: whoever takes rows says up to
which place in the feed they are, and the others stand aside until a later call says more.
A notification is made from the row when it is claimed, so an intermediate state that has been overtaken by the final
one is never told.
"""

from collections import deque
from heapq import heapify, heappop, heappush
from itertools import count

from relay.core.messages import Channel, Lane
from relay.core.rows import OWED_SMPP, OWED_WEBHOOK, Row, Tries, extra_of

CHANNEL_OF_BIT = {OWED_WEBHOOK: Channel.WEBHOOK, OWED_SMPP: Channel.SMPP}
BIT_OF_CHANNEL: dict[str, int] = {Channel.WEBHOOK.value: OWED_WEBHOOK, Channel.SMPP.value: OWED_SMPP}


def tries_of(row: Row, owed_bit: int) -> Tries | None:
    """The retries of one channel's notification, if there were any."""
    extra = row.extra
    if extra is None:
        return None
    return extra.webhook if owed_bit == OWED_WEBHOOK else extra.smpp


def set_tries(row: Row, owed_bit: int, tries: Tries | None) -> None:
    """Keeps or drops the retries of one channel's notification."""
    extra = row.extra
    if extra is None and tries is None:
        return
    if owed_bit == OWED_WEBHOOK:
        extra_of(row).webhook = tries
    else:
        extra_of(row).smpp = tries


class LaneQueue:
    """The rows that are owed a notification in one lane.

    :ivar owed: how many there are, whether ready, delayed or claimed.
    """

    __slots__ = (
        "as_set",
        "claimed_bit",
        "delayed",
        "delayed_bit",
        "lane",
        "order",
        "owed",
        "owed_bit",
        "ready",
        "undurable",
    )

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.as_set = frozenset({lane})
        self.owed_bit = BIT_OF_CHANNEL[lane.channel]
        self.claimed_bit = self.owed_bit << 2
        self.delayed_bit = self.owed_bit << 4
        self.ready: deque[Row] = deque()
        #: What came first in `ready` and was not durable then, in the order of the feed.
        self.undurable: deque[Row] = deque()
        self.delayed: list[tuple[float, int, Row]] = []
        self.order = count()
        self.owed = 0

    def owe(self, row: Row) -> bool:
        """Makes the row's present state owed, at once; True where nothing was owed before."""
        flags = row.flags
        if not flags & self.owed_bit:
            row.flags = flags | self.owed_bit
            self.owed += 1
            self.ready.append(row)
            return True
        # An older state was owed: what was tried for it says nothing of the new one.
        set_tries(row, self.owed_bit, None)
        if flags & (self.claimed_bit | self.delayed_bit):
            # It is being told, or waits for its retry. The new one doesn't wait for it.
            row.flags = flags & ~(self.claimed_bit | self.delayed_bit)
            self.ready.append(row)
        return False

    def restore(self, row: Row, now: float) -> None:
        """Queues a row that is owed already, as found at a start."""
        self.owed += 1
        tries = tries_of(row, self.owed_bit)
        if tries is not None and tries.due_at > now:
            row.flags |= self.delayed_bit
            self.delayed.append((tries.due_at, next(self.order), row))
        else:
            self.ready.append(row)

    def restored(self) -> None:
        """Ends a series of `restore`."""
        heapify(self.delayed)

    def take(self, limit: int, now: float, durable_cursor: int) -> list[Row]:
        """Claims up to `limit` rows that are due. Retries that have become due go behind what is ready.

        :param durable_cursor: the last place in the feed that is durable.
        """
        ready = self.ready
        if self.undurable:
            self._admit(durable_cursor)
        if self.delayed:
            self._ripen(limit, now)
        rows: list[Row] = []
        owed_bit, claimed_bit = self.owed_bit, self.claimed_bit
        states = owed_bit | claimed_bit | self.delayed_bit
        while ready and len(rows) < limit:
            row = ready.popleft()
            flags = row.flags
            if flags & states == owed_bit:
                if row.cursor > durable_cursor:
                    self.undurable.append(row)
                    continue
                row.flags = flags | claimed_bit
                rows.append(row)
        return rows

    def _admit(self, durable_cursor: int) -> None:
        """Puts what has become durable back to the head of the queue."""
        undurable = self.undurable
        admitted: list[Row] = []
        while undurable and undurable[0].cursor <= durable_cursor:
            admitted.append(undurable.popleft())
        self.ready.extendleft(reversed(admitted))

    def _ripen(self, limit: int, now: float) -> None:
        delayed = self.delayed
        while delayed and limit > 0 and delayed[0][0] <= now:
            due_at, _, row = heappop(delayed)
            if self._is_stale(due_at, row):
                continue
            row.flags &= ~self.delayed_bit
            self.ready.append(row)
            limit -= 1

    def _is_stale(self, due_at: float, row: Row) -> bool:
        tries = tries_of(row, self.owed_bit)
        return not row.flags & self.delayed_bit or tries is None or tries.due_at != due_at

    def next_due_at(self, now: float) -> float | None:
        """When the next row can be claimed; None where none is left that isn't claimed, or waits to become durable."""
        self.drop_stale()
        if self.ready:
            return now
        return self.delayed[0][0] if self.delayed else None

    def drop_stale(self) -> None:
        """Drops what stands first and isn't owed any more: all of it, in time, where it is called in time."""
        ready, delayed = self.ready, self.delayed
        states = self.owed_bit | self.claimed_bit | self.delayed_bit
        while ready and ready[0].flags & states != self.owed_bit:
            ready.popleft()
        while delayed and self._is_stale(delayed[0][0], delayed[0][2]):
            heappop(delayed)

    def give_back(self, row: Row) -> None:
        """Unclaims a row, to the head of the queue."""
        row.flags &= ~self.claimed_bit
        self.ready.appendleft(row)

    def delay(self, row: Row, tries: Tries) -> None:
        """Unclaims a row until its next attempt is due."""
        row.flags = row.flags & ~self.claimed_bit | self.delayed_bit
        set_tries(row, self.owed_bit, tries)
        heappush(self.delayed, (tries.due_at, next(self.order), row))

    def settle(self, row: Row) -> None:
        """Nothing is owed any more. Where the row stands in `ready` or `delayed`, its entry there is stale now."""
        row.flags &= ~(self.owed_bit | self.claimed_bit | self.delayed_bit)
        set_tries(row, self.owed_bit, None)
        self.owed -= 1


class Lanes:
    """All lanes, by name. Those of messages' own URLs go when nothing is owed in them."""

    def __init__(self) -> None:
        self._queues: dict[Lane, LaneQueue] = {}

    def queue(self, lane: Lane) -> LaneQueue:
        """The lane's queue, made where there is none."""
        queue = self._queues.get(lane)
        if queue is None:
            queue = self._queues[lane] = LaneQueue(lane)
        return queue

    def existing(self, lane: Lane) -> LaneQueue | None:
        """The lane's queue, if it has one."""
        return self._queues.get(lane)

    def queue_of(self, row: Row, owed_bit: int) -> LaneQueue:
        """Where the row's notification on a channel waits."""
        origin = row.origin
        if owed_bit == OWED_SMPP:
            return origin.smpp_queue
        extra = row.extra
        if extra is None or extra.url is None:
            return origin.webhook_queue
        return self.queue(Lane(origin.account.name, Channel.WEBHOOK, extra.url))

    def drop_if_empty(self, queue: LaneQueue) -> None:
        """Forgets a message's own URL when nothing is owed there any more."""
        if queue.lane.url and not queue.owed:
            self._queues.pop(queue.lane, None)

    def owing(self) -> list[LaneQueue]:
        """The lanes in which something is owed."""
        return [queue for queue in self._queues.values() if queue.owed]

"""What is owed to whom: queues, first come first served, with retries waiting for their time.

Theory of operation: a row's flags say whether a notification is owed on a channel and where it stands (ready, delayed
or claimed); the queues hold the rows. An entry in a queue may be stale, because something newer made the row ready
before its time or nothing is owed any more: the row's flags tell, and the entry is dropped when its turn comes.
A final state that is not durable yet is not told, or a crash could lead to another one: whoever takes rows says up to
which place in the feed they are, and the others stand aside until a later call says more.
A row that is ready although its retry is due later has been brought forward: that is not written down, so after a
restart the schedule holds, which is later and safe. A notification is made from the row when it is claimed, so an
intermediate state that has been overtaken by the final one is never told.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic

from relay.store.table.entry_values import OWED_SMPP, OWED_WEBHOOK, Tries
from relay.store.table.retries import Retries, RowT, set_tries, tries_of
from relay.values.messages import Channel, QueueKey, Recovery

CHANNEL_OF_BIT = {OWED_WEBHOOK: Channel.WEBHOOK, OWED_SMPP: Channel.SMPP}
BIT_OF_CHANNEL: dict[str, int] = {Channel.WEBHOOK.value: OWED_WEBHOOK, Channel.SMPP.value: OWED_SMPP}


class NotificationQueue(Generic[RowT]):
    """The rows that are owed a notification in one queue.

    :ivar owed: how many there are, whether ready, delayed or claimed.
    """

    __slots__ = (
        "as_set",
        "claimed_bit",
        "owed",
        "owed_bit",
        "queue_key",
        "ready",
        "retries",
        "retry_bit",
        "undurable",
    )

    def __init__(self, queue_key: QueueKey) -> None:
        self.queue_key = queue_key
        self.as_set = frozenset({queue_key})
        self.owed_bit = BIT_OF_CHANNEL[queue_key.channel]
        self.claimed_bit = self.owed_bit << 2
        self.retry_bit = self.owed_bit << 4
        self.ready: deque[RowT] = deque()
        #: What came first in `ready` and was not durable then, in the order of the feed.
        self.undurable: deque[RowT] = deque()
        #: Made when first needed: in most queues nothing ever fails.
        self.retries: Retries[RowT] | None = None
        self.owed = 0

    def owe(self, row: RowT) -> bool:
        """Makes the row's present state owed, at once; True where nothing was owed before."""
        flags = row.flags
        if not flags & self.owed_bit:
            row.flags = flags | self.owed_bit
            self.owed += 1
            self.ready.append(row)
            return True
        # An older state was owed: what was tried for it says nothing of the new one.
        set_tries(row, self.owed_bit, None)
        if not flags & self.claimed_bit and flags & self.retry_bit:
            # It waits for its retry. The new one doesn't.
            row.flags = flags & ~self.retry_bit
            self.ready.append(row)
        # If the older state is being told now, then the new one waits for the end of that attempt (`superseded`): the
        # customer must not get them in the other order.
        return False

    def superseded(self, row: RowT) -> None:
        """The attempt to tell an older state has ended: the row's present state is due."""
        row.flags &= ~self.claimed_bit
        self.ready.append(row)

    def restore(self, row: RowT, now: float) -> None:
        """Queues a row that is owed already, as found at a start."""
        self.owed += 1
        tries = tries_of(row, self.owed_bit)
        if tries is not None and tries.due_at > now:
            row.flags |= self.retry_bit
            self._made_retries().restore(row, tries.due_at)
        else:
            self.ready.append(row)

    def restored(self) -> None:
        """Ends a series of `restore`."""
        if self.retries is not None:
            self.retries.restored()

    def take(self, limit: int, now: float, durable_cursor: int) -> list[RowT]:
        """Claims up to `limit` rows that are due. Retries that have become due go behind what is ready.

        :param durable_cursor: the last place in the feed that is durable.
        """
        ready = self.ready
        if self.undurable:
            self._admit(durable_cursor)
        if self.retries is not None:
            self._ripen(self.retries, limit, now)
        rows: list[RowT] = []
        owed_bit, claimed_bit = self.owed_bit, self.claimed_bit
        states = owed_bit | claimed_bit | self.retry_bit
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
        admitted: list[RowT] = []
        while undurable and undurable[0].cursor <= durable_cursor:
            admitted.append(undurable.popleft())
        self.ready.extendleft(reversed(admitted))

    def _ripen(self, retries: Retries[RowT], limit: int, now: float) -> None:
        for _ in range(limit):
            row = retries.pop(now)
            if row is None:
                return
            row.flags &= ~self.retry_bit
            self.ready.append(row)

    def bring_forward(self, recovery: Recovery) -> None:
        """Makes due what waits for a retry and may come sooner by this. It goes behind what is ready, as retries do."""
        if self.retries is not None:
            self.retries.bring_forward(recovery)

    def next_due_at(self, now: float) -> float | None:
        """When the next row can be claimed; None where none is left that isn't claimed, or waits to become durable."""
        self.drop_stale()
        if self.ready:
            return now
        return None if self.retries is None else self.retries.next_due_at(now)

    def drop_stale(self) -> None:
        """Drops what stands first and isn't owed any more: all of it, in time, where it is called in time."""
        ready = self.ready
        states = self.owed_bit | self.claimed_bit | self.retry_bit
        while ready and ready[0].flags & states != self.owed_bit:
            ready.popleft()
        if self.retries is not None:
            self.retries.drop_stale()

    def give_back(self, row: RowT) -> None:
        """Unclaims a row, to the head of the queue."""
        row.flags &= ~self.claimed_bit
        self.ready.appendleft(row)

    def delay(self, row: RowT, tries: Tries, brought_forward_by: Recovery = Recovery.NOTHING) -> None:
        """Unclaims a row until its next attempt is due, or something makes it due sooner."""
        row.flags = row.flags & ~self.claimed_bit | self.retry_bit
        set_tries(row, self.owed_bit, tries)
        self._made_retries().add(row, tries.due_at, brought_forward_by)

    def settle(self, row: RowT) -> None:
        """Nothing is owed any more. Where the row stands in `ready` or `retries`, its entry there is stale now."""
        row.flags &= ~(self.owed_bit | self.claimed_bit | self.retry_bit)
        set_tries(row, self.owed_bit, None)
        self.owed -= 1

    def _made_retries(self) -> Retries[RowT]:
        retries = self.retries
        if retries is None:
            retries = self.retries = Retries(self.owed_bit)
        return retries


class NotificationQueues(Generic[RowT]):
    """All queues, by name. Those of messages' own URLs go when nothing is owed in them.

    Theory of operation: there may be as many as messages. So they are in 256 dicts, as messages are: no dict's resizing
    is a pause, and whoever wants all of them goes through one dict at a time.

    :ivar due_at: is told when something will be due in a queue; called again for a queue, the earliest time counts.
    :ivar gone: is told of a queue that goes.
    """

    def __init__(self) -> None:
        self._shards: list[dict[QueueKey, NotificationQueue[RowT]]] = [{} for _ in range(256)]
        self.due_at: Callable[[QueueKey, float], None] = _nobody_is_told
        self.gone: Callable[[NotificationQueue[RowT]], None] = _nobody_is_told

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def queue(self, queue_key: QueueKey) -> NotificationQueue[RowT]:
        """The queue of this name, made where there is none."""
        shard = self._shards[hash(queue_key) & 255]
        queue = shard.get(queue_key)
        if queue is None:
            queue = shard[queue_key] = NotificationQueue(queue_key)
        return queue

    def existing(self, queue_key: QueueKey) -> NotificationQueue[RowT] | None:
        """The queue of this name, if there is one."""
        return self._shards[hash(queue_key) & 255].get(queue_key)

    def drop_if_empty(self, queue: NotificationQueue[RowT]) -> None:
        """Forgets a message's own URL when nothing is owed there any more."""
        queue_key = queue.queue_key
        if queue_key.url and not queue.owed and self._shards[hash(queue_key) & 255].pop(queue_key, None) is not None:
            self.gone(queue)

    def slices(self) -> Iterator[list[NotificationQueue[RowT]]]:
        """All queues, some at a time. Between two slices queues may come and go."""
        return (list(shard.values()) for shard in self._shards)

    def owing(self) -> list[NotificationQueue[RowT]]:
        """The queues in which something is owed."""
        return [queue for queues in self.slices() for queue in queues if queue.owed]


def _nobody_is_told(*_: object) -> None:
    """Stands where nobody asked to be told."""

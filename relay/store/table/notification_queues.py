"""The notification queues: what is owed first is sent first, and retries wait for their time.

Theory of operation: a row's flags say whether a notification is owed on a channel, and whether it is ready, delayed or
claimed. The queues have the rows. An entry in a queue may be stale, because a newer state made the row ready earlier,
or because nothing is owed any more. The row's flags show this, and the entry is dropped when it comes to the head.

Customers are notified of a final state only when it is durable. Otherwise the relay could stop now, learn another final
state after the start, and notify of both. So the caller of `take` says up to which place in the feed states are
durable. Rows beyond it wait aside until a later call.

A row that was brought forward is ready, although its retry is due later. The journal doesn't keep this. After a restart
the schedule holds, which is later and safe. A notification is made from the row when it is claimed. So customers never
get an intermediate state after the final one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic

from relay.store.table.entry_values import OWED_SMPP, OWED_WEBHOOK, Tries
from relay.store.table.retries import Retries, RowT, set_tries, tries_of
from relay.values.notifications import Channel, QueueKey, Recovery

CHANNEL_OF_BIT = {OWED_WEBHOOK: Channel.WEBHOOK, OWED_SMPP: Channel.SMPP}
BIT_OF_CHANNEL: dict[str, int] = {Channel.WEBHOOK.value: OWED_WEBHOOK, Channel.SMPP.value: OWED_SMPP}


class NotificationQueue(Generic[RowT]):
    """The rows that are owed a notification in one queue.

    :ivar owed: how many rows there are: ready, delayed and claimed ones.
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
        #: Rows that came to the head of `ready` and were not durable yet, in the order of the feed.
        self.undurable: deque[RowT] = deque()
        #: Made when it is first needed, because in most queues no attempt ever fails.
        self.retries: Retries[RowT] | None = None
        self.owed = 0

    def owe(self, row: RowT) -> bool:
        """Makes the row's present state owed at once. Returns whether nothing was owed before."""
        flags = row.flags
        if not flags & self.owed_bit:
            row.flags = flags | self.owed_bit
            self.owed += 1
            self.ready.append(row)
            return True
        # If an older state was owed, its attempts don't count for the new one.
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
        """Queues a row at a start that is owed a notification already."""
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
        """Claims up to `limit` rows that are due. Retries that have become due come after the rows that are ready.

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
        """Puts rows that have become durable back to the head of the queue."""
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
        """Makes the retries due that wait for this recovery. They come after the rows that are ready, as retries do."""
        if self.retries is not None:
            self.retries.bring_forward(recovery)

    def next_due_at(self, now: float) -> float | None:
        """When the next row can be claimed; None: all rows are claimed, or wait until they are durable."""
        self.drop_stale()
        if self.ready:
            return now
        return None if self.retries is None else self.retries.next_due_at(now)

    def drop_stale(self) -> None:
        """Drops stale entries at the head. To drop all of them in time, call it now and then."""
        ready = self.ready
        states = self.owed_bit | self.claimed_bit | self.retry_bit
        while ready and ready[0].flags & states != self.owed_bit:
            ready.popleft()
        if self.retries is not None:
            self.retries.drop_stale()

    def give_back(self, row: RowT) -> None:
        """Puts a claimed row back to the head of the queue."""
        row.flags &= ~self.claimed_bit
        self.ready.appendleft(row)

    def delay(self, row: RowT, tries: Tries, brought_forward_by: Recovery = Recovery.NOTHING) -> None:
        """Delays a claimed row until its next attempt is due, or until it is brought forward."""
        row.flags = row.flags & ~self.claimed_bit | self.retry_bit
        set_tries(row, self.owed_bit, tries)
        self._made_retries().add(row, tries.due_at, brought_forward_by)

    def settle(self, row: RowT) -> None:
        """Notes that the row is owed nothing any more. If it is in `ready` or `retries`, its entry is stale now."""
        row.flags &= ~(self.owed_bit | self.claimed_bit | self.retry_bit)
        set_tries(row, self.owed_bit, None)
        self.owed -= 1

    def _made_retries(self) -> Retries[RowT]:
        retries = self.retries
        if retries is None:
            retries = self.retries = Retries(self.owed_bit)
        return retries


class NotificationQueues(Generic[RowT]):
    """All queues, by name. A queue of messages' own URL is removed when nothing is owed in it.

    Theory of operation: there may be as many queues as messages. So they are in 256 dicts, as messages are. No dict
    gets so large that resizing it takes long, and a caller that needs all queues reads one dict at a time.

    :ivar due_at: called with a queue and the time when something in it is due. If it is called again for the queue, the
        earliest time counts.
    :ivar gone: called with a queue that is removed.
    """

    def __init__(self) -> None:
        self._shards: list[dict[QueueKey, NotificationQueue[RowT]]] = [{} for _ in range(256)]
        self.due_at: Callable[[QueueKey, float], None] = _nobody_is_told
        self.gone: Callable[[NotificationQueue[RowT]], None] = _nobody_is_told

    def __len__(self) -> int:
        return sum(map(len, self._shards))

    def queue(self, queue_key: QueueKey) -> NotificationQueue[RowT]:
        """The queue of this name. Makes it if there is none."""
        shard = self._shards[hash(queue_key) & 255]
        queue = shard.get(queue_key)
        if queue is None:
            queue = shard[queue_key] = NotificationQueue(queue_key)
        return queue

    def existing(self, queue_key: QueueKey) -> NotificationQueue[RowT] | None:
        """The queue of this name, if there is one."""
        return self._shards[hash(queue_key) & 255].get(queue_key)

    def drop_if_empty(self, queue: NotificationQueue[RowT]) -> None:
        """Removes the queue of messages' own URL if nothing is owed in it any more."""
        queue_key = queue.queue_key
        if not queue_key.url or queue.owed or queue.owed_bit == OWED_SMPP:
            # The queues of accounts and of SMPP logins are few, and origins refer to them.
            return
        if self._shards[hash(queue_key) & 255].pop(queue_key, None) is not None:
            self.gone(queue)

    def slices(self) -> Iterator[list[NotificationQueue[RowT]]]:
        """Yields all queues, some at a time. Between two slices, queues may be added and removed."""
        return (list(shard.values()) for shard in self._shards)

    def owing(self) -> list[NotificationQueue[RowT]]:
        """The queues in which notifications are owed."""
        return [queue for queues in self.slices() for queue in queues if queue.owed]


def _nobody_is_told(*_: object) -> None:
    """The default of `due_at` and `gone`. It does nothing."""

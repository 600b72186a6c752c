"""Knows which queues have retries that may be brought forward, by the place where their attempts failed.

Theory of operation: a *place* fails and recovers as a whole. It is an account's own URL, or the host or path that
messages' own URLs have in common. Many queues may have failed at one place. When a place recovers, its queues are set
aside, and then some of them are brought forward at a time, so that very many queues don't delay other work. A queue is
removed when it is brought forward, or when nothing is owed in it.
"""

from collections import deque
from typing import Final, Generic

from relay.store.table.notification_queues import NotificationQueue
from relay.store.table.retries import RowT
from relay.values.notifications import QueueKey, Recovery

#: How many queues are brought forward at once. That takes some milliseconds.
BROUGHT_FORWARD_AT_ONCE: Final = 500


class Recoveries(Generic[RowT]):
    """Keeps the queues by place and by the recovery that they wait for, and brings them forward."""

    def __init__(self) -> None:
        self._failed: dict[tuple[QueueKey, Recovery], dict[NotificationQueue[RowT], None]] = {}
        self._kept_in: dict[NotificationQueue[RowT], set[tuple[QueueKey, Recovery]]] = {}
        #: The queues of places that have recovered. They must still be brought forward.
        self._back: deque[tuple[Recovery, dict[NotificationQueue[RowT], None]]] = deque()

    def __len__(self) -> int:
        """How many queues are kept."""
        return len(self._kept_in)

    def failed(self, place: QueueKey, queue: NotificationQueue[RowT], brought_forward_by: Recovery) -> None:
        """Notes that the queue has a retry that this recovery of the place brings forward."""
        key = (place, brought_forward_by)
        self._failed.setdefault(key, {})[queue] = None
        self._kept_in.setdefault(queue, set()).add(key)

    def forget(self, queue: NotificationQueue[RowT]) -> None:
        """Removes a queue in which nothing is owed any more. Does nothing if it isn't kept."""
        for key in self._kept_in.pop(queue, ()):
            queues = self._failed[key]
            del queues[queue]
            if not queues:
                del self._failed[key]

    def came_back(self, place: QueueKey, recovery: Recovery) -> None:
        """Notes that a place has recovered. `bring_forward` then handles its queues that wait for this recovery."""
        for brought_forward_by in sorted(Recovery, reverse=True):
            key = (place, brought_forward_by)
            if Recovery.NOTHING < recovery <= brought_forward_by and key in self._failed:
                queues = self._failed.pop(key)
                self._back.append((recovery, queues))
                for queue in queues:
                    kept_in = self._kept_in[queue]
                    kept_in.discard(key)
                    if not kept_in:
                        del self._kept_in[queue]

    def bring_forward(self, limit: int = BROUGHT_FORWARD_AT_ONCE) -> list[NotificationQueue[RowT]]:
        """Brings up to `limit` queues forward, and returns them. If it returns so many, there may be more."""
        brought: list[NotificationQueue[RowT]] = []
        back = self._back
        while back and len(brought) < limit:
            recovery, queues = back[0]
            if not queues:
                back.popleft()
                continue
            queue, _ = queues.popitem()
            queue.bring_forward(recovery)
            brought.append(queue)
        return brought

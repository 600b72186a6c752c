"""Which queues have something that may be tried ahead of its time, by the place where it failed.

Theory of operation: a *place* is what fails and comes back as a whole: an account's own URL, or the host or the path
that messages' own URLs have in common. Many queues may have failed at one place. To bring a place forward is to set its
queues aside. They are then worked through some at a time, so that very many of them are no pause. A queue leaves when
it is brought forward, or when nothing is owed in it.
"""

from collections import deque
from typing import Final, Generic

from relay.store.table.notification_queues import NotificationQueue
from relay.store.table.retries import RowT
from relay.values.messages import QueueKey, Recovery

#: Queues brought forward at once; some milliseconds.
BROUGHT_FORWARD_AT_ONCE: Final = 500


class Recoveries(Generic[RowT]):
    """Keeps the queues by place and by what brings them forward, and brings them forward."""

    def __init__(self) -> None:
        self._failed: dict[tuple[QueueKey, Recovery], dict[NotificationQueue[RowT], None]] = {}
        self._kept_in: dict[NotificationQueue[RowT], set[tuple[QueueKey, Recovery]]] = {}
        #: What has come back and isn't brought forward yet.
        self._back: deque[tuple[Recovery, dict[NotificationQueue[RowT], None]]] = deque()

    def __len__(self) -> int:
        """How many queues are kept."""
        return len(self._kept_in)

    def failed(self, place: QueueKey, queue: NotificationQueue[RowT], brought_forward_by: Recovery) -> None:
        """Something waits in the queue that may come sooner when the place is back."""
        key = (place, brought_forward_by)
        self._failed.setdefault(key, {})[queue] = None
        self._kept_in.setdefault(queue, set()).add(key)

    def forget(self, queue: NotificationQueue[RowT]) -> None:
        """Nothing is owed in the queue any more. Harmless for one that isn't kept."""
        for key in self._kept_in.pop(queue, ()):
            queues = self._failed[key]
            del queues[queue]
            if not queues:
                del self._failed[key]

    def came_back(self, place: QueueKey, recovery: Recovery) -> None:
        """What this recovery, or less, lets be tried at the place is handed out by `bring_forward` from now on."""
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
        """Brings up to `limit` queues forward and gives them; there may be more where it gives so many."""
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

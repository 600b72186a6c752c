"""What is being done in one queue of webhooks."""

from collections import deque

from relay.values.messages import Notification, QueueKey
from relay.webhooks.places import Origin


class QueueWork:
    """A queue in which something is being done. A queue with nothing to do has none.

    :ivar path: the name of its URL's path; "" for the account's own URL.
    :ivar ready: claimed, not sent yet.
    :ivar owed: the store may have more that is due.
    :ivar claiming: whether a claim is under way.
    :ivar in_flight: requests under way.
    :ivar batch_due_at: when a batch goes that isn't full.
    """

    __slots__ = ("batch_due_at", "claiming", "in_flight", "origin", "owed", "path", "queue_key", "ready")

    def __init__(self, queue_key: QueueKey, origin: Origin, path: str) -> None:
        self.queue_key = queue_key
        self.origin = origin
        self.path = path
        self.ready: deque[Notification] = deque()
        self.owed = True
        self.claiming = False
        self.in_flight = 0
        self.batch_due_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether nothing is being done."""
        return not (self.in_flight or self.claiming or self.ready)

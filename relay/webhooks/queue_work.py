"""Holds the state of one queue of webhooks while the relay works on it."""

from collections import deque

from relay.values.notifications import Notification, QueueKey
from relay.webhooks.places import Origin


class QueueWork:
    """Holds the state of a queue while the relay works on it. An idle queue has no such object.

    :ivar origin: the origin of the queue's URL.
    :ivar path: the name of the URL's path; "" for the account's own URL.
    :ivar ready: the notifications that are claimed and not sent yet.
    :ivar owed: True if the store may have more due notifications.
    :ivar claiming: True while a claim is under way.
    :ivar in_flight: how many requests are under way.
    :ivar batch_due_at: when the relay sends a batch that isn't full.
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
        """True if no request and no claim is under way, and no notification is ready."""
        return not (self.in_flight or self.claiming or self.ready)

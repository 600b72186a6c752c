"""Collects the changes of one batch to the table: the records for the journal, and the result for the caller."""

from typing import Any

from relay.store.store_values import StoreResult
from relay.store.table.entries import Row
from relay.store.table.message_views import message_view
from relay.store.table.notification_queues import NotificationQueue
from relay.values.carrier_reports import Outcome
from relay.values.message_view import MessageView
from relay.values.notifications import QueueKey

_NO_LANES: frozenset[QueueKey] = frozenset()
_NO_VIEWS: tuple[MessageView, ...] = ()


class TableChanges:
    """Collects the changes of one batch.

    :param views_of_ended: whether to keep all messages that the batch ended, for their views.
    :ivar records: the records to write, in order.
    :ivar outcomes: the outcomes of receipts.
    :ivar touched: the queues that have new notifications.
    :ivar first_ended: the first message that a batch of receipts ended.
    :ivar last_ended: the last message that the batch ended.
    """

    __slots__ = ("ended", "first_ended", "last_ended", "outcomes", "records", "touched")

    def __init__(self, views_of_ended: bool = False) -> None:
        self.records: Any = []
        self.outcomes: list[Outcome] = []
        self.touched: set[NotificationQueue[Row]] = set()
        self.first_ended: Row | None = None
        self.last_ended: Row | None = None
        self.ended: list[Row] | None = [] if views_of_ended else None

    def queues(self) -> frozenset[QueueKey]:
        """The queues to wake."""
        touched = self.touched
        if not touched:
            return _NO_LANES
        if len(touched) == 1:
            (queue,) = touched
            return queue.as_set
        return frozenset([queue.queue_key for queue in touched])

    def result(self) -> StoreResult:
        """The result of the batch."""
        first, last = self.first_ended, self.last_ended
        return StoreResult(
            self.queues(),
            self.outcomes,
            0.0 if last is None else last.acceptance.accepted_at,
            _NO_VIEWS if not self.ended else [message_view(row) for row in self.ended],
            0.0 if first is None else first.acceptance.accepted_at,
        )

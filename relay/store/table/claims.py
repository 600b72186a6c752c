"""Gives out owed notifications: they are claimed for an attempt, and settled when the attempt has ended.

Theory of operation: a claimed row is marked, and is in no queue until it is settled or released, or the process starts
again. A settlement counts only if it is about the row's present state. If a newer state became owed during the attempt,
the newer one joins the queue when the attempt ends, and the attempt is kept only to be shown. The most frequent case is
an SMPP receipt that the customer took at the first attempt. For it, the journal gets only the message's id.
"""

from collections.abc import Sequence
from sys import intern
from typing import Any

from msgspec.structs import force_setattr

from relay.store.table.entries import Row
from relay.store.table.entry_values import (
    ATTEMPTS_KEPT,
    FINAL,
    GIVEN_UP_SMPP,
    GIVEN_UP_WEBHOOK,
    OWED,
    OWED_SMPP,
    OWED_WEBHOOK,
    Tries,
)
from relay.store.table.notification_queues import BIT_OF_CHANNEL, NotificationQueue
from relay.store.table.parts import shown_handoff
from relay.store.table.records import SETTLED_SUPERSEDED, Handed, OwedAgain, Settled
from relay.store.table.recoveries import Recoveries
from relay.store.table.retries import rare_fields_of, tries_of
from relay.store.table.table import Table
from relay.store.table.table_changes import TableChanges
from relay.values.notifications import Attempt, Channel, Claim, Notification, QueueKey, Recovery, Verdict

#: How many characters of an answer are kept.
ANSWER_KEPT = 200
NOTHING = Claim(())


class Claims:
    """Gives out owed notifications, and settles them when their attempts have ended."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._recoveries: Recoveries[Row] = Recoveries()
        table.queues.gone = self._recoveries.forget

    def claim(self, queue_key: QueueKey, limit: int, now: float, durable_cursor: int) -> Claim:
        """Claims up to `limit` notifications of a queue that are due.

        :param durable_cursor: the last durable place in the feed. Later final states aren't claimed yet (see
            `relay.store.table.notification_queues`).
        """
        queue = self._table.queues.existing(queue_key)
        if queue is None:
            return NOTHING
        rows = queue.take(limit, now, durable_cursor)
        channel = Channel(queue_key.channel)
        account, url, owed_bit = queue_key.account, queue_key.url, queue.owed_bit
        claimed: list[Notification] = []
        for row in rows:
            flags = row.flags
            acceptance = row.acceptance
            latest = row.latest
            carrier_error = latest.carrier_error
            done_at = latest.done_at
            rare_fields = row.rare_fields
            owed_since = done_at
            scheduled_at = 0.0
            if rare_fields is None:
                attempt, parts, reference = 1, 1, None
                user_message_reference = inbound = None
            else:
                owed_since = max(done_at, rare_fields.again_at)
                tries = tries_of(row, owed_bit)
                if tries is None:
                    attempt = 1
                elif tries.due_at <= now:
                    attempt = tries.attempts + 1
                else:
                    # It was brought forward. So the last attempt is repeated.
                    attempt, scheduled_at = tries.attempts, tries.due_at
                user_message_reference = rare_fields.user_message_reference
                inbound = rare_fields.inbound
                parts = 1 if rare_fields.parts is None else len(rare_fields.parts)
                reference = rare_fields.reference
            taken, carrier, carrier_message_id = True, "", b""
            if url:
                handoff, carrier_message_id = shown_handoff(row)
                taken = handoff is not None and handoff.at is not None
                carrier = "" if handoff is None else handoff.carrier
            claimed.append(
                Notification(
                    row.id,
                    account,
                    channel,
                    latest.state,
                    flags & FINAL != 0,
                    attempt,
                    acceptance.accepted_at,
                    done_at,
                    row.addresses,
                    carrier_error.error,
                    carrier_error.network_error_code,
                    url,
                    reference,
                    owed_since,
                    parts,
                    scheduled_at,
                    taken,
                    carrier,
                    carrier_message_id,
                    latest.carrier_done_at,
                    user_message_reference,
                    inbound,
                )
            )
        next_due_at = queue.next_due_at(now)
        if next_due_at is None:
            return Claim(claimed)
        if next_due_at > now:
            self._table.queues.due_at(queue_key, next_due_at)
        return Claim(claimed, next_due_at <= now)

    def settle(self, batch: Sequence[Attempt]) -> list[Any]:
        """Settles attempts. Returns the records to write."""
        table = self._table
        shards = table.shards
        delivered = Verdict.DELIVERED
        records: list[Any] = []
        handed_ids: list[bytes] = []
        channel = ""
        owed_bit = claimed_bit = given_up_bit = 0
        at = 0.0
        for a in batch:
            n = a.notification
            row = shards[n.id[0]].get(n.id)
            if row is None:
                continue
            if n.channel is not channel:
                channel = n.channel
                owed_bit = BIT_OF_CHANNEL[channel]
                claimed_bit = owed_bit << 2
                given_up_bit = owed_bit << 8
            flags = row.flags
            if not flags & claimed_bit or row.latest.state != n.state or (flags & FINAL != 0) is not n.final:
                self._show(row, _settled(a, owed_bit, SETTLED_SUPERSEDED), records)
                if flags & claimed_bit:
                    # A newer state has waited for this attempt.
                    queue = table.queue_of(row, owed_bit)
                    queue.superseded(row)
                    table.queues.due_at(queue.queue_key, 0.0)
                continue
            queue = table.queue_of(row, owed_bit)
            if a.verdict is delivered and owed_bit == OWED_SMPP and n.attempt == 1:
                at = a.at
                handed_ids.append(row.id)
                if row.rare_fields is None:
                    # This is `queue.settle`, written here because calls take half of the time of settling a batch.
                    row.flags = flags = flags & ~(owed_bit | claimed_bit)
                    queue.owed -= 1
                else:
                    queue.settle(row)
                    flags = row.flags
                table.owed -= 1
                if flags & FINAL and not flags & OWED:
                    table.keep(row)
                continue
            verdict = Verdict(a.verdict)
            self._show(row, _settled(a, owed_bit, int(verdict)), records)
            if verdict is Verdict.RETRY:
                self._delay(row, queue, a)
                continue
            if verdict is Verdict.GIVEN_UP:
                self.give_up(row, given_up_bit, a.at)
            self.settled(row, queue)
        if handed_ids:
            # If a batch settles a message twice, the second settlement is about an old state. So the order of these
            # among the other records doesn't matter.
            records.append(Handed(OWED_SMPP, at, b"".join(handed_ids)))
        return records

    def _delay(self, row: Row, queue: NotificationQueue[Row], attempt: Attempt) -> None:
        queue.delay(row, Tries(attempt.notification.attempt, attempt.due_at), attempt.brought_forward_by)
        queue_key = queue.queue_key
        self._table.queues.due_at(queue_key, attempt.due_at)
        if attempt.brought_forward_by:
            place = QueueKey(queue_key.account, queue_key.channel, attempt.place) if attempt.place else queue_key
            self._recoveries.failed(place, queue, attempt.brought_forward_by)

    def settled(self, row: Row, queue: NotificationQueue[Row]) -> None:
        """Notes that a claimed or delayed row is not owed a notification in this queue any more."""
        table = self._table
        queue.settle(row)
        table.owed -= 1
        if queue.queue_key.url:
            table.queues.drop_if_empty(queue)
        if row.flags & FINAL and not row.flags & OWED:
            table.keep(row)

    def give_up(self, row: Row, given_up_bit: int, at: float) -> None:
        """Marks that a notification was given up."""
        row.flags |= given_up_bit
        rare_fields_of(row).given_up_at = at
        if given_up_bit == GIVEN_UP_WEBHOOK:
            row.origin.account.given_up[row.id] = at

    def give_up_receipts(self, rows: Sequence[Row], now: float) -> list[Any]:
        """Gives up SMPP receipts for which no receiver was bound in time. Rows that are claimed now are skipped."""
        records: list[Any] = []
        queues: set[NotificationQueue[Row]] = set()
        for row in rows:
            queue = row.origin.smpp_queue
            queues.add(queue)
            if not row.flags & queue.owed_bit or row.flags & queue.claimed_bit:
                continue
            tries = tries_of(row, OWED_SMPP)
            attempts = 0 if tries is None else tries.attempts
            verdict = int(Verdict.GIVEN_UP)
            self._show(row, Settled(row.id, OWED_SMPP, verdict, attempts, row.latest.state, now), records)
            self.give_up(row, GIVEN_UP_SMPP, now)
            self.settled(row, queue)
        for queue in queues:
            # Perhaps nobody will ever claim from this queue. Then stale entries at its head would stay in memory.
            queue.drop_stale()
        return records

    def release(self, batch: Sequence[Notification]) -> None:
        """Puts claimed notifications back to the head of their queues, in their order."""
        table = self._table
        for n in reversed(batch):
            row = table.get(n.id)
            if row is None:
                continue
            owed_bit = BIT_OF_CHANNEL[n.channel]
            queue = table.queue_of(row, owed_bit)
            if row.flags & queue.owed_bit and row.flags & queue.claimed_bit:
                queue.give_back(row)

    def bring_forward(self, place: QueueKey, recovery: Recovery) -> None:
        """Brings forward the retries at a place that wait for this recovery.

        It does so in some queues now. `go_on_bringing_forward` does it in the others.
        """
        self._recoveries.came_back(place, recovery)
        self.go_on_bringing_forward()

    def go_on_bringing_forward(self) -> None:
        """Brings some more queues forward, if any are left."""
        for queue in self._recoveries.bring_forward():
            self._table.queues.due_at(queue.queue_key, 0.0)

    def notify_again(self, account: str, ids: Sequence[bytes], now: float) -> tuple[TableChanges, int]:
        """Makes webhooks of finished messages owed again. Also returns how many these messages are."""
        table = self._table
        changes = TableChanges()
        again: list[bytes] = []
        for message_id in dict.fromkeys(ids):
            row = table.get(message_id)
            if row is None or not row.flags & FINAL or row.origin.account.name != account:
                continue
            inbound = None if row.rare_fields is None else row.rare_fields.inbound
            if inbound is not None and not inbound.webhook:
                # The account gets it over SMPP alone.
                continue
            queue = table.queue_of(row, OWED_WEBHOOK)
            if row.flags & queue.claimed_bit:
                # An attempt is under way, so the customer is being notified again.
                continue
            self.owe_again(row, now)
            if queue.owe(row):
                table.owed += 1
            changes.touched.add(queue)
            again.append(row.id)
        if again:
            changes.records.append(OwedAgain(now, b"".join(again)))
        return changes, len(again)

    def owe_again(self, row: Row, now: float) -> None:
        """Makes a webhook owed again, and takes back that it was given up."""
        row.flags &= ~GIVEN_UP_WEBHOOK
        rare_fields_of(row).again_at = now
        row.origin.account.given_up.pop(row.id, None)

    def _show(self, row: Row, settled: Settled, records: list[Any]) -> None:
        records.append(settled)
        keep_attempt(row, settled)


def keep_attempt(row: Row, settled: Settled) -> None:
    """Keeps an attempt to be shown. Only the last few are kept."""
    rare_fields = rare_fields_of(row)
    rare_fields.attempts = (*rare_fields.attempts[1 - ATTEMPTS_KEPT :], settled)


def with_shared_url(settled: Settled) -> Settled:
    """Makes the URL of an attempt that was read from the journal one object for all attempts at this URL."""
    if settled.url:
        # Nobody else has the record yet, so this changes no value that somebody relies on.
        force_setattr(settled, "url", intern(settled.url))
    return settled


def _settled(a: Attempt, owed_bit: int, verdict: int) -> Settled:
    n = a.notification
    return Settled(
        n.id, owed_bit, verdict, n.attempt, n.state, a.at, a.due_at, a.answer[:ANSWER_KEPT], a.seconds, a.url, a.body
    )  # fmt: skip

"""Builds what the table counts and sorts (queues, feeds, counts) from its rows, once the journal has been read.

It also corrects dates after the start. The system's clock was ahead when those records were written, and nothing should
wait for a time that was wrong.
"""

from collections.abc import Set
from typing import Final

from relay.store.table.brought_back import is_brought_back
from relay.store.table.entries import Row, parts_of
from relay.store.table.entry_values import (
    FAILS_OVER,
    FINAL,
    OWED,
    OWED_SMPP,
    OWED_WEBHOOK,
    Acceptance,
    CarrierHandoff,
    Tries,
)
from relay.store.table.orphans import Mark
from relay.store.table.receiving import inbound_of
from relay.store.table.retries import set_tries, tries_of
from relay.store.table.table import Table

#: If a record's date is this long after the start, then the system's clock was ahead when the record was written.
AHEAD_SECONDS: Final = 60.0


class Restoring:
    """Restores queues, feeds and counts after a replay.

    :param marks: the marks of the orphans that have found their messages.
    :param now: when the relay starts.
    """

    def __init__(self, table: Table, marks: Set[Mark], now: float) -> None:
        self._table = table
        self._marks = marks
        self._now = now
        #: Later dates than this are corrected.
        self._latest = now + AHEAD_SECONDS
        #: For each `Acceptance` with a date after the start, the one that replaces it.
        self._moved: dict[Acceptance, Acceptance] = {}
        self._moved_handoffs: dict[CarrierHandoff, CarrierHandoff] = {}

    def restore(self, order: list[Row]) -> None:
        """Restores everything. Call it once.

        :param order: all rows of which records were read, in any order, and those that later records have replaced. It
            is sorted, not copied: the process would keep the memory of the copy for a long time.
        """
        table, now = self._table, self._now
        order.sort(key=_accepted_at)
        table.rows = table.awaiting = 0
        waiting: list[Row] = []
        later = 0
        owed: list[Row] = []
        shards = table.shards
        latest = self._latest
        for row in order:
            message_id = row.id
            if shards[message_id[0]].get(message_id) is not row:
                # A later record has replaced this row, for example a snapshot.
                continue
            flags = row.flags
            acceptance = row.acceptance
            if acceptance.accepted_at > latest:
                if row.rare_fields is not None and row.rare_fields.scheduled_at:
                    row.rare_fields.scheduled_at -= acceptance.accepted_at - now
                acceptance = row.acceptance = self._not_from_the_future(acceptance)
            handoff = row.handoff
            if handoff is not None and handoff.at is not None and handoff.at > latest:
                self._handed_over_now(row, handoff)
            acceptance.segment.rows += 1
            table.rows += 1
            account = row.origin.account
            listed = not is_brought_back(row)
            if listed:
                account.recent.rows.append(row)
                if not table.rows & 1023:
                    account.trim()
            if flags & FINAL:
                if listed:
                    account.feed.rows.append(row)
                if inbound_of(row) is not None:
                    account.inbound.rows.append(row)
                if not flags & OWED:
                    table.finished.append(row)
            elif row.handoff is None:
                scheduled_at = 0.0 if row.rare_fields is None else row.rare_fields.scheduled_at
                if scheduled_at > now:
                    table.scheduled.add(row, scheduled_at)
                    later += 1
                else:
                    waiting.append(row)
            else:
                table.awaiting += 1
                if flags & FAILS_OVER:
                    table.failovers.arm(row)
            if flags & OWED:
                owed.append(row)
        table.unsubmitted = len(waiting) + later
        table.unsubmitted_messages.extend(waiting)
        self._restore_finished()
        self._restore_queues(owed)
        for entry in table.accounts.values():
            entry.restored()
        table.replayed_cursor = table.cursor
        table.evidence.restored(self._marks, table.match_rates)
        table.orphans.restored(self._marks | table.evidence.marks(), table.match_rates.judged_to(), now)
        table.unreadable.restored(self._marks)
        # The replay has increased this figure. But it must count only from the start of the process.
        table.ids.ambiguous = 0

    def _not_from_the_future(self, acceptance: Acceptance) -> Acceptance:
        """Makes an acceptance whose validity begins now. The system's clock was ahead when the old one was written."""
        again = self._moved.get(acceptance)
        if again is None:
            again = Acceptance(self._now, acceptance.validity_seconds, acceptance.segment, acceptance.offset)
            self._moved[acceptance] = again
        return again

    def _handed_over_now(self, row: Row, handoff: CarrierHandoff) -> None:
        """Makes the wait for a receipt begin now: the system's clock was ahead when a carrier took the message."""
        # A long message has the handoff of its latest part.
        row.handoff = self._not_handed_over_later(handoff)
        for part in parts_of(row) or ():
            if part.handoff is not None and part.handoff.at is not None and part.handoff.at > self._latest:
                part.handoff = self._not_handed_over_later(part.handoff)

    def _not_handed_over_later(self, handoff: CarrierHandoff) -> CarrierHandoff:
        again = self._moved_handoffs.get(handoff)
        if again is None and handoff.at is not None:
            seconds = handoff.receipt_due_at - handoff.at
            again = CarrierHandoff(handoff.carrier, self._now, self._now + seconds, handoff.parts_receipted)
            self._moved_handoffs[handoff] = again
        return again or handoff

    def _restore_finished(self) -> None:
        table = self._table
        finished = sorted(table.finished, key=_done_at)
        table.finished.clear()
        for row in finished:
            table.keep(row)

    def _restore_queues(self, owed: list[Row]) -> None:
        table, now = self._table, self._now
        queues = set()
        owed.sort(key=_done_at)
        for row in owed:
            for bit in (OWED_WEBHOOK, OWED_SMPP):
                if row.flags & bit:
                    _clamp_retry(row, bit, now)
                    queue = table.queue_of(row, bit)
                    queue.restore(row, now)
                    queues.add(queue)
                    table.owed += 1
        for queue in queues:
            queue.restored()
            next_due_at = queue.next_due_at(now)
            if next_due_at is not None and next_due_at > now:
                table.queues.due_at(queue.queue_key, next_due_at)


def _accepted_at(row: Row) -> float:
    return row.acceptance.accepted_at


def _done_at(row: Row) -> float:
    return row.latest.done_at


def _clamp_retry(row: Row, channel: int, now: float) -> None:
    """Corrects a retry if the last attempt is dated after now, because the system's clock was ahead.

    Such a retry waits no longer than its schedule says.
    """
    tries = tries_of(row, channel)
    if tries is None or tries.due_at <= now or row.rare_fields is None:
        return
    last = next((attempt for attempt in reversed(row.rare_fields.attempts) if attempt.channel == channel), None)
    if last is not None and last.at > now + AHEAD_SECONDS:
        set_tries(row, channel, Tries(tries.attempts, now + max(0.0, last.due_at - last.at)))

"""Builds the table from the journal. The records contain decisions, so the replay decides nothing itself.

Theory of operation: while records are read, only rows, the index of carrier message ids, orphans, settings and keys are
kept up to date. Everything that can be counted or sorted later (queues, feeds, the order of finished messages, counts)
is built once at the end (`relay.store.table.restoring`). So a million messages are read in seconds. Records of unknown
messages are skipped, because compaction has dropped the beginning of these messages. A later snapshot has their whole
state.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from relay.store.store_values import Idempotency
from relay.store.table.accept import make_row
from relay.store.table.carrier_ids import Shards
from relay.store.table.claims import keep_attempt, with_shared_url
from relay.store.table.entries import Row, TableAccount, parts_of
from relay.store.table.entry_values import (
    FAILS_OVER,
    FINAL,
    GIVEN_UP_WEBHOOK,
    OWED,
    OWED_SMPP,
    OWED_WEBHOOK,
    REFUNDED,
    REPORTED,
    TAKEN,
    WAITED,
    Acceptance,
    CarrierHandoff,
    LatestState,
    Segment,
    Tries,
)
from relay.store.table.evidence import receipt_of
from relay.store.table.failing_over import end_round, learn_in_round
from relay.store.table.in_doubt import parts_in_doubt
from relay.store.table.learning import Learning, refusal
from relay.store.table.orphans import Mark, is_unreadable, mark_of
from relay.store.table.overdue import keep_given_id, wait_once_more
from relay.store.table.receiving import inbound_row, owed_bits
from relay.store.table.records import (
    SETTLED_RETRY,
    SETTLED_SUPERSEDED,
    AccountTotals,
    Charged,
    Counters,
    Ended,
    Evidence,
    Handed,
    Learnt,
    MatchRate,
    OwedAgain,
    Placed,
    Refunded,
    RoundEnded,
    RoundLearnt,
    Sending,
    Setting,
    Settled,
    Snapshot,
    Synced,
    each_id,
)
from relay.store.table.restoring import Restoring
from relay.store.table.retries import rare_fields_of, set_tries
from relay.store.table.same_id import Entry
from relay.store.table.settings_and_keys import IdempotencyKeys, Settings
from relay.store.table.snapshots import SharedHandoffs, index_ids, row_of_snapshot
from relay.store.table.submitted import Submissions
from relay.store.table.table import Table
from relay.values.carrier_reports import Receipt, Submitted
from relay.values.charge import TopUp
from relay.values.inbound import InboundMessage, InboundPart
from relay.values.messages import Message
from relay.values.states import UNKNOWN

#: How many rows are looked at in one turn of the reactor. That takes some milliseconds.
_ROWS_A_TURN: Final = 10_000


class Replay:
    """Fills an empty table. Call `frame` for all frames, in the order of the journal, and then `finish` once."""

    def __init__(self, table: Table, settings: Settings, keys: IdempotencyKeys) -> None:
        self._table = table
        self._settings = settings
        self._keys = keys
        self._submissions = Submissions(table, Learning(table))
        self._order: list[Row] = []
        self._segment: Segment
        self._offset = 0
        self._acceptance: Acceptance | None = None
        self._handoffs = SharedHandoffs(table)
        self._marks: set[Mark] = set()
        self._apply: dict[type, Callable[[Any], object]] = {
            Receipt: self._receipt,
            Learnt: self._learnt,
            Ended: self._ended,
            Handed: self._handed,
            Settled: self._settled,
            OwedAgain: self._owed_again,
            Snapshot: self._snapshot,
            Sending: self._sending,
            Placed: self._placed,
            Evidence: self._evidence,
            MatchRate: self._match_rate,
            InboundMessage: self._inbound_message,
            InboundPart: self._inbound_part,
            RoundEnded: self._round_ended,
            RoundLearnt: self._round_learnt,
            Idempotency: self._idempotency,
            Setting: self._setting,
            Counters: self._counters,
            Charged: table.ledger.charge,
            Refunded: self._refunded,
            TopUp: table.ledger.top_up,
            AccountTotals: table.ledger.restore,
            Synced: self._synced,
        }

    def frame(self, records: Sequence[Any], segment: Segment, offset: int) -> None:
        """Applies the records of one frame that begins at this place."""
        self._segment = segment
        self._offset = offset
        self._acceptance = None
        # Nearly all records are of the first two kinds, and a frame has a batch of them. One loop for a batch takes a
        # third less time than a call for each record.
        for kind, run in groupby(records, type):
            if kind is Message:
                self._messages(run)
            elif kind is Submitted:
                self._submitted(run)
            else:
                apply = self._apply[kind]
                for record in run:
                    apply(record)

    def forget_up_to(self, sequence: int) -> Iterator[None]:
        """Forgets the messages that are in this journal segment or an earlier one, because these have been dropped.

        It yields when the reactor should do other work. Call `frame` only when it has ended.
        """
        table = self._table
        order, self._order = self._order, []
        for count, row in enumerate(order, 1):
            # Otherwise a later record has replaced this row.
            if table.get(row.id) is row:
                if row.acceptance.segment.sequence > sequence:
                    self._order.append(row)
                else:
                    self._forget(row)
                    del table.shards[row.id[0]][row.id]
            if not count % _ROWS_A_TURN:
                yield

    @property
    def messages(self) -> int:
        """The number of messages in the table. It is right only after `finish`."""
        return self._table.rows

    def finish(self, now: float) -> None:
        """Builds the queues, feeds and counts from the rows. Call it once, after the last frame."""
        # Don't copy the list of all rows: the process would keep the memory of the copy for a long time.
        order, self._order = self._order, []
        Restoring(self._table, self._marks, now).restore(order)
        self._keys.restored()

    # Records

    def _messages(self, messages: Iterable[Message]) -> None:
        table, order = self._table, self._order
        shards = table.shards
        account: TableAccount | None = None
        acceptance: Acceptance | None = None
        accepted_at = expires_at = 0.0
        for m in messages:
            if account is None or m.account != account.name:
                account = table.account(m.account)
            if acceptance is None or m.expires_at != expires_at or m.accepted_at != accepted_at:
                accepted_at, expires_at = m.accepted_at, m.expires_at
                acceptance = self._acceptance_of(accepted_at, expires_at)
            message_id = m.id
            shard = shards[message_id[0]]
            if message_id in shard:
                self._forget(shard[message_id])
            row = shard[message_id] = make_row(m, account, acceptance)
            if m.failover is not None and row.rare_fields is not None and row.rare_fields.failover is not None:
                row.rare_fields.failover.rule = table.failovers.shared(m.failover)
            order.append(row)

    def _forget(self, row: Row) -> None:
        """Drops an old message whose id belongs to a new message now, because a customer used its key again."""
        table = self._table
        table.in_doubt.forget(row.id)
        table.unindex(row)
        row.origin.account.given_up.pop(row.id, None)

    def _acceptance_of(self, accepted_at: float, expires_at: float) -> Acceptance:
        acceptance, validity_seconds = self._acceptance, expires_at - accepted_at
        if (
            acceptance is None
            or accepted_at != acceptance.accepted_at
            or validity_seconds != acceptance.validity_seconds
        ):
            validity_seconds = self._table.shared.seconds(validity_seconds)
            acceptance = self._acceptance = Acceptance(accepted_at, validity_seconds, self._segment, self._offset)
        return acceptance

    def _submitted(self, batch: Iterable[Submitted]) -> None:
        table = self._table
        shards, ids, orphans, in_doubt = table.shards, table.ids, table.orphans, table.in_doubt
        handoff: CarrierHandoff | None = None
        carrier_ids: Shards = []
        for s in batch:
            message_id, key = s.id, s.carrier_message_id
            if key and orphans.count and not s.orphans_left:
                # The next records contain the states that these orphans brought.
                taken = orphans.take(s.carrier, key)
                table.match_rates.count(s.carrier, 0, -len(taken))
            if in_doubt:
                in_doubt.unmark(message_id, s.part)
            row = shards[message_id[0]].get(message_id)
            if row is None:
                continue
            again = self._handoffs.handoff(s.carrier, s.at, s.receipt_due_at, s.parts_receipted)
            if again is not handoff:
                handoff = again
                carrier_ids = ids.shards(handoff.carrier)
            entry: Entry
            if row.rare_fields is None and row.handoff is None:
                row.handoff = handoff
                row.carrier_message_id = key
                if not row.flags & FINAL:
                    row.latest = TAKEN
                entry = row
                if s.given_id:
                    keep_given_id(row, s.part, s.given_id)
            else:
                part = self._submissions.take_part(row, s, handoff)
                if part is None:
                    continue
                entry = part
            if key:
                shard = carrier_ids[hash(key) & 255]
                older = shard.setdefault(key, entry)
                if older is not entry:
                    ids.add(shard, key, older, entry)

    def _receipt(self, r: Receipt) -> None:
        if is_unreadable(r):
            self._table.unreadable.add(r, self._segment.sequence)
        else:
            self._table.orphans.add(r, self._segment.sequence)
            self._table.match_rates.count(r.carrier, 0, 1)

    def _learnt(self, record: Learnt) -> None:
        table = self._table
        row = table.get(record.id)
        if record.cursor > table.cursor:
            table.cursor = record.cursor
        if row is None:
            return
        if record.wait_until:
            wait_once_more(row, record.part, record.wait_until)
            return
        carrier_error = table.shared.carrier_error(record.error, record.network_error_code, record.stat)
        parts = parts_of(row)
        if parts is not None and record.part >= 0:
            part = parts[record.part]
            part.state, part.final, part.carrier_error = record.state, record.final, carrier_error
            part.done_at, part.carrier_done_at = record.at, record.carrier_done_at
            return
        latest = table.shared.latest_state(record.state, carrier_error, record.at, record.carrier_done_at)
        if record.final:
            if record.carrier and row.handoff is None:
                row.handoff = refusal(table.ids.name(record.carrier))
            self._end(row, latest, record.cursor, record.owed)
        else:
            row.latest = latest
            row.flags |= REPORTED | record.owed
            self._drop_tries(row, record.owed)

    def _ended(self, record: Ended) -> None:
        table = self._table
        carrier_error = table.shared.carrier_error(record.error, record.network_error_code)
        latest = table.shared.latest_state(record.state, carrier_error, record.at, record.carrier_done_at)
        cursor = record.cursor
        for message_id in each_id(record.ids):
            row = table.get(message_id)
            if row is not None:
                self._end(row, latest, cursor, record.owed)
            cursor += 1
        table.cursor = max(table.cursor, cursor - 1)

    def _end(self, row: Row, latest: LatestState, cursor: int, owed: int) -> None:
        table, handoff = self._table, row.handoff
        if table.in_doubt:
            table.in_doubt.forget(row.id)
        row.latest, row.cursor = latest, cursor
        row.flags = row.flags & ~(REPORTED | OWED | WAITED) | FINAL | owed
        self._drop_tries(row, OWED)
        if table.orphans.count and handoff is not None and handoff.at is not None and latest.state != UNKNOWN:
            # In nearly all cases, a receipt brought this state.
            table.match_rates.count(handoff.carrier, 1, 0)

    def _drop_tries(self, row: Row, owed: int) -> None:
        if row.rare_fields is not None:
            for bit in (OWED_WEBHOOK, OWED_SMPP):
                if owed & bit:
                    set_tries(row, bit, None)

    def _handed(self, record: Handed) -> None:
        for message_id in each_id(record.ids):
            row = self._table.get(message_id)
            if row is not None:
                row.flags &= ~record.channel
                self._drop_tries(row, record.channel)

    def _settled(self, record: Settled) -> None:
        row = self._table.get(record.id)
        if row is None:
            return
        keep_attempt(row, with_shared_url(record))
        if record.verdict == SETTLED_SUPERSEDED:
            return
        if record.verdict == SETTLED_RETRY:
            set_tries(row, record.channel, Tries(record.attempt, record.due_at))
            return
        row.flags &= ~record.channel
        set_tries(row, record.channel, None)
        if record.verdict != 0:
            row.flags |= record.channel << 8
            rare_fields_of(row).given_up_at = record.at
            if record.channel == OWED_WEBHOOK:
                row.origin.account.given_up[row.id] = record.at

    def _owed_again(self, record: OwedAgain) -> None:
        for message_id in each_id(record.ids):
            row = self._table.get(message_id)
            if row is not None:
                row.flags = row.flags & ~GIVEN_UP_WEBHOOK | OWED_WEBHOOK
                rare_fields_of(row).again_at = record.at
                set_tries(row, OWED_WEBHOOK, None)
                row.origin.account.given_up.pop(row.id, None)

    def _snapshot(self, s: Snapshot) -> None:
        table = self._table
        older = table.get(s.id)
        # If a part is still in doubt, a record after the snapshot says so.
        table.in_doubt.forget(s.id)
        if older is not None:
            table.unindex(older)
        row = row_of_snapshot(s, table, self._acceptance_of(s.accepted_at, s.expires_at), self._handoffs)
        table.shards[s.id[0]][s.id] = row
        self._order.append(row)
        if row.cursor > table.cursor:
            table.cursor = row.cursor
        index_ids(s, row, table.ids)

    def _round_ended(self, record: RoundEnded) -> None:
        row = self._table.get(record.id)
        if row is not None and row.flags & FAILS_OVER:
            if self._table.orphans.count and record.final and row.handoff is not None:
                self._table.match_rates.count(row.handoff.carrier, 1, 0)
            end_round(self._table, row, record)

    def _round_learnt(self, record: RoundLearnt) -> None:
        row = self._table.get(record.id)
        if row is not None and row.flags & FAILS_OVER:
            learn_in_round(self._table, record, row)

    def _sending(self, record: Sending) -> None:
        self._submissions.sending(parts_in_doubt(record), record.carrier)

    def _placed(self, record: Placed) -> None:
        mark = (record.carrier, record.received_at, record.crc)
        if record.key:
            self._table.orphans.discard(record.key, mark)
            self._table.evidence.discard(mark)
        # Compaction may have copied the receipt to a place after this record. `finish` handles this case.
        self._marks.add(mark)

    def _evidence(self, record: Evidence) -> None:
        table = self._table
        receipt = receipt_of(record)
        table.orphans.discard(receipt.keys[0], mark_of(receipt))
        table.evidence.add(receipt, self._segment.sequence)

    def _match_rate(self, record: MatchRate) -> None:
        self._table.match_rates.restore(record)
        self._table.evidence.clear(record.carrier, record.dismissed_to)

    def _inbound_message(self, m: InboundMessage) -> None:
        table = self._table
        table.inbound_parts.drop(m.key)
        table.cursor = max(table.cursor, m.cursor)
        if not m.account:
            return
        row = inbound_row(table, m, self._acceptance_of(m.received_at, m.received_at))
        row.flags |= owed_bits(m)
        table.shards[m.id[0]][m.id] = row
        self._order.append(row)

    def _inbound_part(self, part: InboundPart) -> None:
        self._table.inbound_parts.put(part, self._segment.sequence)

    def _idempotency(self, entry: Idempotency) -> None:
        self._keys.put(entry, self._segment.sequence)

    def _setting(self, setting: Setting) -> None:
        self._settings.put(setting, self._segment.sequence)

    def _refunded(self, record: Refunded) -> None:
        row = self._table.get(record.id)
        # Without its row, either the totals after this record have the refund, or the message was never durable.
        if row is not None and not row.flags & REFUNDED:
            row.flags |= REFUNDED
            self._table.ledger.refund(record)

    def _counters(self, counters: Counters) -> None:
        self._table.cursor = max(self._table.cursor, counters.cursor)

    def _synced(self, synced: Synced) -> None:
        pass

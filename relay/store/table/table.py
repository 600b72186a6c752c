"""The table of messages: the rows by id, the carrier message ids, the notification queues, and the counts.

Theory of operation: this module has the containers, and the few operations that change the state of a row: it has ended
(`finish`), is kept for queries (`keep`), or is forgotten (`forget`). Other modules work on the same table: `accept`
(acceptance), `submitted` and `correlation` (ids and receipts), `claims` (notifications), `expiry` (time), `replaying`
and `snapshots` (the journal), `views` (queries).

A row has one of three states: *unsubmitted* (some part waits for a carrier; `handoff` is None), *awaiting* its receipt,
or *finished* (FINAL). A finished row that is owed no notification is in `finished`, from which the oldest are
forgotten. Rows are in 256 dicts, by the first octet of their id. So no dict gets so large that resizing it takes long,
and `expiry` can read one dict at a time.

The first final state stays. Later ones are only counted.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from relay.config.carrier_config import NumberComparison
from relay.config.daemon_config import Limits
from relay.store.store_values import NotifyPolicy, PolicyOf
from relay.store.table.carrier_ids import CarrierIdIndex, Shards
from relay.store.table.entries import STATES, Row, TableAccount, rounds_of
from relay.store.table.entry_values import (
    FAILS_OVER,
    FINAL,
    FORGOTTEN,
    KEPT,
    LATER,
    LISTED,
    OWED,
    OWED_SMPP,
    OWED_WEBHOOK,
    REFUNDED,
    REPORTED,
    WAITED,
    CarrierError,
    CarrierHandoff,
)
from relay.store.table.evidence import EvidenceList
from relay.store.table.failovers import Failovers
from relay.store.table.in_doubt import InDoubt
from relay.store.table.inbound_parts import InboundParts
from relay.store.table.ledger import Ledger
from relay.store.table.match_rates import MatchRates
from relay.store.table.notification_queues import NotificationQueue, NotificationQueues
from relay.store.table.orphans import Orphans, Unreadable
from relay.store.table.records import Refunded
from relay.store.table.same_id import without_row
from relay.store.table.scheduled import ScheduledMessages
from relay.store.table.shared_values import SharedValues
from relay.store.table.table_changes import TableChanges
from relay.store.table.unsubmitted import UnsubmittedMessages
from relay.values.callback_masks import tells_intermediate
from relay.values.carrier_reports import AmbiguousReceipt, Outcome, Receipt
from relay.values.charge import Charge
from relay.values.notifications import Channel, QueueKey
from relay.values.states import UNKNOWN

#: How many contradicting receipts, and how many ambiguous receipts, are kept for the operator.
_CONTRADICTING_KEPT = 100
_AMBIGUOUS_KEPT = 100
#: How many of the other messages of an ambiguous receipt are shown.
_OTHERS_SHOWN = 10

#: A carrier's date may be so far before the message's acceptance, or after the receipt's arrival: clocks differ, and
#: dates without a time zone are up to 14 hours off. Others are no dates of this message.
DATE_TOLERANCE_SECONDS = 86_400.0

SHARDS = 256


def state_number(state: int | None) -> int:
    """The state that the table keeps. If it could not be read, it is UNKNOWN."""
    return state if state is not None and 0 <= state < STATES else UNKNOWN


class Table:
    """All messages that the store knows, and their indexes. Other modules may only read its counters.

    :param policy_of: returns an account's policy. It is called when a state is learnt.
    """

    def __init__(self, limits: Limits, policy_of: PolicyOf) -> None:
        self.limits = limits
        self.policy_of = policy_of
        #: Returns how a carrier's numbers are compared. It is called if several messages have an id, and for orphans.
        self.compare_numbers: Callable[[str], NumberComparison] = lambda carrier: "ending"
        #: Whether any account wants to be told that a carrier has taken a message; asked once a batch.
        self.tells_progress: Callable[[], bool] = lambda: False
        self.shards: list[dict[bytes, Row]] = [{} for _ in range(SHARDS)]
        self.accounts: dict[str, TableAccount] = {}
        self.ids = CarrierIdIndex()
        self.queues: NotificationQueues[Row] = NotificationQueues()
        self.unsubmitted_messages = UnsubmittedMessages()
        self.scheduled = ScheduledMessages()
        self.in_doubt = InDoubt()
        self.failovers = Failovers()
        self.orphans = Orphans(limits.orphans, limits.orphan_seconds)
        self.match_rates = MatchRates()
        self.evidence = EvidenceList(limits.orphans)
        self.unreadable = Unreadable(limits.unreadable)
        self.inbound_parts = InboundParts()
        self.ledger = Ledger()
        self.finished: deque[Row] = deque()
        self.contradicting: deque[Receipt] = deque(maxlen=_CONTRADICTING_KEPT)
        self.ambiguous: deque[AmbiguousReceipt] = deque(maxlen=_AMBIGUOUS_KEPT)
        self.shared = SharedValues()
        self.rows = 0
        self.unsubmitted = 0
        self.awaiting = 0
        self.owed = 0
        self.cursor = 0
        #: `cursor` at the end of the replay. Rows before it may have left the table before the start.
        self.replayed_cursor = 0
        self.contradicting_count = 0
        self.ambiguous_count = 0
        self.repeated_count = 0
        #: By carrier: receipts whose `carrier_done_at` can't be right.
        self.implausible_dates: Counter[str] = Counter()

    # Finding

    def get(self, message_id: bytes) -> Row | None:
        """The row with this id."""
        return self.shards[message_id[0]].get(message_id) if message_id else None

    def account(self, name: str) -> TableAccount:
        """The account's lists. Makes them if there are none."""
        account = self.accounts.get(name)
        if account is None:
            account = self.accounts[name] = TableAccount(name, self.queues)
        return account

    @property
    def open_rows(self) -> int:
        """How many messages have not ended, or are owed a notification. `limits.messages` bounds them."""
        return self.rows - len(self.finished)

    def wait_for_carriers(self, rows: Sequence[Row]) -> None:
        """These rows wait for no time any more."""
        self.unsubmitted_messages.extend([row for row in rows if not row.flags & LISTED])
        for row in rows:
            row.flags &= ~LISTED

    # Notifications

    def owed_final(self, row: Row, state: int, policy: NotifyPolicy) -> int:
        """The channels that are owed a notification of this final state."""
        owed = row.origin.smpp_owed[state]
        if policy.webhook or (row.rare_fields is not None and row.rare_fields.url):
            owed |= OWED_WEBHOOK
        return owed

    def owed_intermediate(self, row: Row, policy: NotifyPolicy) -> int:
        """The channels that are owed a notification of an intermediate state."""
        owed = row.origin.smpp_intermediate
        url = None if row.rare_fields is None else row.rare_fields.url
        if tells_intermediate(url, policy.intermediate) if url else policy.intermediate and policy.webhook:
            owed |= OWED_WEBHOOK
        return owed

    def queue_of(self, row: Row, owed_bit: int) -> NotificationQueue[Row]:
        """The queue of the row's notification on a channel."""
        origin = row.origin
        if owed_bit == OWED_SMPP:
            return origin.smpp_queue
        rare_fields = row.rare_fields
        if rare_fields is None or rare_fields.url is None:
            return origin.webhook_queue
        return self.queues.queue(QueueKey(origin.account.name, Channel.WEBHOOK, rare_fields.url))

    def owe(self, row: Row, owed: int, changes: TableChanges) -> None:
        """Makes a notification of the row's present state owed on these channels."""
        if owed & OWED_SMPP:
            queue = row.origin.smpp_queue
            self.owed += queue.owe(row)
            changes.touched.add(queue)
        if owed & OWED_WEBHOOK:
            queue = self.queue_of(row, OWED_WEBHOOK)
            self.owed += queue.owe(row)
            changes.touched.add(queue)

    # The states of rows

    def finish(
        self,
        row: Row,
        state: int,
        carrier_error: CarrierError,
        at: float,
        owed: int,
        changes: TableChanges,
        carrier_done_at: float = 0.0,
    ) -> int:
        """Ends a message that hasn't ended. Returns its place in the feed.

        :param owed: the channels that are owed a notification.
        """
        charge = row.origin.charge
        if charge is not None and charge.price and (charge.refunds >> state & 1 or row.flags & LATER):
            # Nothing was sent of a message that is cancelled before its time.
            changes.records.append(self._refund(row, charge))
        if row.handoff is None:
            self.unsubmitted -= 1
            if row.flags & LATER:
                self.scheduled.drop(row)
        else:
            self.awaiting -= 1
        row.latest = self.shared.latest_state(state, carrier_error, at, carrier_done_at)
        self.cursor = row.cursor = cursor = self.cursor + 1
        flags = row.flags
        if flags & FAILS_OVER:
            self.failovers.ended(row)
        row.flags = (flags & ~(REPORTED | WAITED)) | FINAL
        row.origin.account.feed.rows.append(row)
        changes.last_ended = row
        if changes.ended is not None:
            changes.ended.append(row)
        if flags & OWED & ~owed:
            self._cancel(row, flags & OWED & ~owed)
        if owed:
            self.owe(row, owed, changes)
        else:
            self.keep(row)
        return cursor

    def _refund(self, row: Row, charge: Charge) -> Refunded:
        row.flags |= REFUNDED
        paid = (charge.price, charge.currency) if charge.prepaid else (0, "")
        record = Refunded(row.id, row.origin.account.name, *paid)
        self.ledger.refund(record)
        return record

    def _cancel(self, row: Row, owed: int) -> None:
        """Takes back notifications of an intermediate state, because the final state needs none on these channels."""
        for bit in (OWED_WEBHOOK, OWED_SMPP):
            if owed & bit:
                queue = self.queue_of(row, bit)
                queue.settle(row)
                self.owed -= 1
                self.queues.drop_if_empty(queue)

    def keep(self, row: Row) -> None:
        """Keeps a finished message for queries and late receipts. It must be owed no notification."""
        if not row.flags & KEPT:
            row.flags |= KEPT
            self.finished.append(row)

    def forget_finished(self, budget: int, now: float | None = None) -> int:
        """Forgets up to `budget` of the oldest finished messages, if they are too many or too old. Returns how many.

        :param now: None: only their number counts, and not their age.
        """
        finished = self.finished
        oldest = 0.0 if now is None else now - self.limits.finished_hours * 3600.0
        over = len(finished) - self.limits.finished
        forgotten = 0
        account: TableAccount | None = None
        # This is `forget`, written here: it is done to every message in the end, and calls would double its time.
        shards = self.shards
        handoff: CarrierHandoff | None = None
        ids: Shards | None = None
        while finished and budget > 0 and (over > 0 or finished[0].latest.done_at < oldest):
            budget -= 1
            over -= 1
            row = finished.popleft()
            flags = row.flags
            if flags & OWED:
                # A notification became owed again. The row comes back here when that is settled.
                row.flags = flags & ~KEPT
                continue
            forgotten += 1
            row.flags = flags | FORGOTTEN
            message_id = row.id
            del shards[message_id[0]][message_id]
            row.acceptance.segment.rows -= 1
            key = row.carrier_message_id
            if row.rare_fields is not None:
                self.unindex(row)
            elif key:
                if row.handoff is not handoff:
                    handoff = row.handoff
                    ids = None if handoff is None else self.ids.existing(handoff.carrier)
                if ids is not None:
                    shard = ids[hash(key) & 255]
                    found = shard.get(key)
                    if found is row:
                        del shard[key]
                    elif type(found) is tuple:
                        shard[key] = without_row(found, row)
            if row.origin.account is not account:
                if account is not None:
                    account.tidy()
                account = row.origin.account
            account.forgot(row)
        if account is not None:
            account.tidy()
        self.rows -= forgotten
        return forgotten

    def forget_over_bound(self, batch: int) -> None:
        """Forgets as many finished messages as a batch may have added. Call it after each batch.

        So each batch takes a little time for this, and no batch takes much.
        """
        if len(self.finished) > self.limits.finished:
            self.forget_finished(2 * batch)

    def forget(self, row: Row) -> None:
        """Removes a row from the table. It must be owed no notification, and must not be in `finished`."""
        row.flags |= FORGOTTEN
        self.shards[row.id[0]].pop(row.id, None)
        row.acceptance.segment.rows -= 1
        self.rows -= 1
        self.unindex(row)
        account = row.origin.account
        account.forgot(row)
        account.tidy()

    def unindex(self, row: Row) -> None:
        """Removes a row's carrier message ids from the index."""
        handoff = row.handoff
        if handoff is not None and row.carrier_message_id:
            self.ids.remove(handoff.carrier, row.carrier_message_id, row)
        rare_fields = row.rare_fields
        if rare_fields is not None:
            rounds = rounds_of(row)
            former_ids = rare_fields.former_ids + tuple([former for each in rounds for former in each.former_ids])
            for part in [*(rare_fields.parts or ()), *[part for each in rounds for part in each.parts]]:
                if part.handoff is not None:
                    self.ids.remove(part.handoff.carrier, part.carrier_message_id, row)
            for carrier, key, _ in former_ids:
                self.ids.remove(carrier, key, row)

    def say_ambiguous(self, receipt: Receipt, key: bytes, row: Row | None, others: Sequence[Row]) -> None:
        """Counts an ambiguous receipt, and keeps it for the operator. See `AmbiguousReceipt`."""
        self.ambiguous_count += 1
        shown = tuple([other.id for other in others[:_OTHERS_SHOWN]])
        taken_for = b"" if row is None else row.id
        self.ambiguous.append(AmbiguousReceipt(receipt.carrier, key, receipt.received_at, taken_for, shown))

    def done_date(self, receipt: Receipt, row: Row) -> float:
        """When the state was reached, as the carrier says; 0.0: it doesn't say, or it can't be: that is counted."""
        done_at = receipt.carrier_done_at
        if not done_at or (
            row.acceptance.accepted_at - DATE_TOLERANCE_SECONDS
            <= done_at
            <= receipt.received_at + DATE_TOLERANCE_SECONDS
        ):
            return done_at
        self.implausible_dates[receipt.carrier] += 1
        return 0.0

    def late(self, state: int, was: int, receipt: Receipt) -> Outcome:
        """Counts a receipt for a message that has ended. If it has another state, keeps it for the operator."""
        if not receipt.final:
            return Outcome.LATE_INTERMEDIATE
        if state == was:
            self.repeated_count += 1
            return Outcome.REPEATED
        self.contradicting_count += 1
        self.contradicting.append(receipt)
        return Outcome.CONTRADICTING

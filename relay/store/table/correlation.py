"""The main job: which message a receipt belongs to, and what has been learnt by it.

Theory of operation: `submitted` gives the parts of messages carrier message ids, `receipts` finds messages by these,
and `end` is the relay's own verdict. Each takes a batch, changes the table at once, and gives the records that the
journal must hold for replay to come to the same, along with the queues in which something has become owed. What an
account wants to be told is asked for when a state is learnt and written down with it.

These are the paths that every message takes, so they are written for CPython: names bound outside loops, the common
case of one part without a call more than needed.
"""

from collections.abc import Iterable, Sequence

from relay.store.api import NotifyPolicy
from relay.store.table.carrier_ids import Found, row_of
from relay.store.table.entries import STATES, PartOfRow, Row, TableAccount, is_unsubmitted, parts_of
from relay.store.table.entry_values import (
    FINAL,
    NO_CARRIER_ERROR,
    OWED_SMPP,
    OWED_WEBHOOK,
    REPORTED,
    WAITED,
    CarrierError,
    CarrierHandoff,
    Part,
)
from relay.store.table.orphans import cut, is_unreadable, kept_crc
from relay.store.table.overdue import has_waited, is_at_carrier, keep_given_id, wait_once_more
from relay.store.table.parts import ending_part, latest_handoff, never_answered
from relay.store.table.records import WHOLE_MESSAGE, Learnt, Placed
from relay.store.table.retries import rare_fields_of
from relay.store.table.table import Table, state_number
from relay.store.table.table_changes import TableChanges
from relay.store.table.unsubmitted import unsubmitted_parts
from relay.values.messages import Ending, Outcome, QueryOutcome, ReadAgain, Receipt, Submitted
from relay.values.states import ENROUTE, INTERMEDIATE_STATES, UNKNOWN


class Correlation:
    """See the module's text.

    :param views_of_ended: whether answers show the messages that a batch ended (`StoreResult.ended`).
    """

    def __init__(self, table: Table, *, views_of_ended: bool = False) -> None:
        self._table = table
        self._views_of_ended = views_of_ended
        #: False takes every receipt the general way; for the test that both ways agree.
        self.in_place = True
        self._policy_account: TableAccount | None = None
        self._policy = NotifyPolicy()

    # Carriers take them

    def submitted(self, batch: Sequence[Submitted]) -> TableChanges:
        """Gives parts their carrier message ids, and matches the receipts that came before. The records include the
        batch, but for the parts that nobody knows."""
        table = self._table
        shards = table.shards
        ids = table.ids
        orphans = table.orphans
        changes = TableChanges(self._views_of_ended)
        handoff: CarrierHandoff | None = None
        carrier, at, due_at = "", 0.0, 0.0
        taken_count = 0
        given = False
        skipped: set[int] = set()
        self._policy_account = None
        for s in batch:
            message_id = s.id
            row = shards[message_id[0]].get(message_id)
            if row is None:
                skipped.add(id(s))
                continue
            # Identity first: a link gives all of a batch the same objects, and five comparisons cost 0.15 µs.
            if (
                handoff is None
                or (s.receipt_due_at is not due_at and s.receipt_due_at != due_at)
                or (s.at is not at and s.at != at)
                or (s.carrier is not carrier and s.carrier != carrier)
                or s.parts_receipted != handoff.parts_receipted
            ):
                carrier, at, due_at = s.carrier, s.at, s.receipt_due_at
                carrier_ids = ids.shards(carrier)
                handoff = CarrierHandoff(ids.name(carrier), at, due_at, s.parts_receipted)
                # All of a carrier's have it, or none: so one look a batch is enough.
                given = given or s.given_id is not None
            key = s.carrier_message_id
            entry: Found
            if row.rare_fields is None and row.handoff is None:
                # One part, taken for the first time.
                row.handoff = handoff
                row.carrier_message_id = key
                entry = row
                if not row.flags & FINAL:
                    row.state = ENROUTE
                    taken_count += 1
            else:
                taken = self.take_part(row, s, handoff)
                if taken is None:
                    skipped.add(id(s))
                    continue
                entry = taken
            if key:
                shard = carrier_ids[hash(key) & 255]
                older = shard.setdefault(key, entry)
                if older is not entry:
                    ids.replace(shard, key, older, entry)
                if orphans.count:
                    table.unsubmitted -= taken_count
                    table.awaiting += taken_count
                    taken_count = 0
                    for receipt in orphans.take(s.carrier, key):
                        changes.outcomes.append(self._learn(entry, receipt, changes))
            if entry is not row and not row.flags & FINAL:
                # The last part to be taken may be all that a long message waited for.
                self._end_if_all_ended(row, s.at, changes)
        table.unsubmitted -= taken_count
        table.awaiting += taken_count
        if given:
            for s in batch:
                if s.given_id and id(s) not in skipped:
                    keep_given_id(shards[s.id[0]][s.id], s.part, s.given_id)
        if table.in_doubt:
            for s in batch:
                table.in_doubt.unmark(s.id, s.part)
        table.unsubmitted_messages.tidy(table.unsubmitted)
        # What was skipped is not written: replay takes every record for something that happened.
        known = batch if not skipped else [s for s in batch if id(s) not in skipped]
        changes.records = [*known, *changes.records] if changes.records else known
        return changes

    def sending(self, parts: Iterable[tuple[bytes, int]], carrier: str) -> list[tuple[bytes, int]]:
        """Marks the parts that wait for a carrier as about to be written to this one, or with no carrier takes marks
        away; gives those that it concerned."""
        table = self._table
        marked: list[tuple[bytes, int]] = []
        for message_id, part in parts:
            row = table.get(message_id)
            if row is None or not is_unsubmitted(row) or part not in unsubmitted_parts(row):
                continue
            marked.append((message_id, part))
        if carrier:
            table.in_doubt.mark(marked, carrier)
        else:
            table.in_doubt.unmark_all(marked)
        return marked

    def take_part(self, row: Row, s: Submitted, handoff: CarrierHandoff) -> Found | None:
        """The general case of a part that a carrier took: of several, or once more. Gives what its id means from now
        on; None where the message has no such part."""
        table = self._table
        rare_fields = rare_fields_of(row)
        parts = rare_fields.parts
        if parts is None:
            if s.part != 0:
                return None
            if row.handoff is not None:
                self._remember_former(row, row.handoff, row.carrier_message_id, 0)
            elif not row.flags & FINAL:
                row.state = ENROUTE
                table.unsubmitted -= 1
                table.awaiting += 1
            row.handoff = handoff
            row.carrier_message_id = s.carrier_message_id
            row.flags &= ~WAITED
            rare_fields.given_id = b""
            return row
        if not 0 <= s.part < len(parts):
            return None
        part = parts[s.part]
        if part.handoff is not None:
            self._remember_former(row, part.handoff, part.carrier_message_id, s.part)
        elif not part.final:
            part.state = ENROUTE
        part.handoff = handoff
        part.carrier_message_id = s.carrier_message_id
        part.waited = False
        part.given_id = b""
        before = row.handoff
        if before is None or before.at is not None:
            row.handoff = latest_handoff(parts)
        if before is None and row.handoff is not None and not row.flags & FINAL:
            if not row.flags & REPORTED:
                row.state = ENROUTE
            table.unsubmitted -= 1
            table.awaiting += 1
        return PartOfRow(row, s.part)

    def _remember_former(self, row: Row, handoff: CarrierHandoff, key: bytes, part: int) -> None:
        """A part was submitted again. A late receipt for its earlier id still counts."""
        if key and handoff.at is not None:
            rare_fields = rare_fields_of(row)
            rare_fields.former_ids = (*rare_fields.former_ids, (handoff.carrier, key, part))

    # Receipts come

    def receipts(self, batch: Sequence[Receipt], segment_sequence: int) -> TableChanges:
        """Finds the messages that receipts belong to; keeps the others.

        :param segment_sequence: of the journal segment that will hold the records, or of the one before it.
        """
        table = self._table
        existing = table.ids.existing
        learn = self._learn
        changes = TableChanges(self._views_of_ended)
        records = changes.records
        outcomes = changes.outcomes
        ended = changes.ended
        final_outcome = Outcome.FINAL
        in_place = self.in_place
        carrier_error = NO_CARRIER_ERROR
        policy_account: TableAccount | None = None
        policy = self._policy
        carrier: str | None = None
        shards = None
        self._policy_account = None
        for r in batch:
            keys = r.keys
            # What says nothing that a customer could use, and the operator must see: no id, no state, or a word that
            # nobody has told us the meaning of.
            if not keys or (not r.final and r.state not in INTERMEDIATE_STATES):
                r = cut(r)
                table.unreadable.add(r, segment_sequence)
                records.append(r)
                outcomes.append(Outcome.UNREADABLE)
                continue
            if r.carrier is not carrier:
                carrier = r.carrier
                shards = existing(carrier)
            found = None
            if shards is not None:
                for key in keys:
                    found = shards[hash(key) & 255].get(key)
                    if found is not None:
                        break
            if found is None:
                r = cut(r)
                table.orphans.add(r, segment_sequence)
                records.append(r)
                outcomes.append(Outcome.ORPHAN)
                continue
            if type(found) is not Row or not r.final or found.flags or r.own_word or not in_place:
                outcomes.append(learn(found, r, changes))
                continue
            # From here on `_learn` for what nearly every receipt is: the first word on a message of one part, final.
            # In place it saves 1 µs of 2.4.
            origin = found.origin
            account = origin.account
            if account is not policy_account:
                policy_account = account
                policy = table.policy_of(account.name)
            state = r.state
            if state is None or not 0 <= state < STATES:
                state = UNKNOWN
            error = r.error
            network_error_code = r.network_error_code
            if error != carrier_error.error or network_error_code != carrier_error.network_error_code:
                carrier_error = table.carrier_error(error, network_error_code)
            at = r.received_at
            cursor = table.cursor = table.cursor + 1
            found.state = state
            found.carrier_error = carrier_error
            found.done_at = at
            found.cursor = cursor
            if found.handoff is None:
                table.unsubmitted -= 1
            else:
                table.awaiting -= 1
            account.feed.rows.append(found)
            owed = origin.smpp_owed[state]
            if policy.webhook or (found.rare_fields is not None and found.rare_fields.url):
                owed |= OWED_WEBHOOK
            if owed == OWED_SMPP:
                found.flags = FINAL | OWED_SMPP
                queue = origin.smpp_queue
                queue.owed += 1
                queue.ready.append(found)
                table.owed += 1
                changes.touched.add(queue)
            else:
                found.flags = FINAL
                if owed:
                    table.owe(found, owed, changes)
                else:
                    table.keep(found)
            if ended is not None:
                ended.append(found)
            changes.last_ended = found
            records.append(
                Learnt(
                    found.id, 0, state, True, at, owed, cursor, carrier_error.error, carrier_error.network_error_code
                )
            )
            outcomes.append(final_outcome)
        if changes.last_ended is not None:
            changes.first_ended = changes.last_ended if len(batch) == 1 else self._first_ended(batch, outcomes)
        return changes

    def reread(self, batch: Sequence[ReadAgain]) -> TableChanges:
        """Finds messages for receipts that are kept, as they are read now. Those that find none, or are kept no more,
        stay as they are (ORPHAN); the records name those that are not to be kept any longer."""
        table = self._table
        changes = TableChanges(self._views_of_ended)
        self._policy_account = None
        outcomes = [Outcome.ORPHAN] * len(batch)
        hits: list[tuple[int, Found]] = []
        for index, again in enumerate(batch):
            shards = table.ids.existing(again.receipt.carrier)
            for key in again.receipt.keys if shards is not None else ():
                found = shards[hash(key) & 255].get(key)  # type: ignore[index]
                if found is not None:
                    hits.append((index, found))
                    break
        unreadable = [index for index, _ in hits if is_unreadable(batch[index].kept)]
        removed = dict(zip(unreadable, table.unreadable.remove(batch[i].kept for i in unreadable), strict=True))
        for index, found in hits:
            kept, receipt = batch[index].kept, batch[index].receipt
            if not (removed[index] if index in removed else table.orphans.remove(kept)):
                continue
            key = b"" if index in removed else kept.keys[0]
            changes.records.append(Placed(kept.carrier, kept.received_at, kept_crc(kept), key))
            outcomes[index] = self._learn(found, receipt, changes)
        changes.outcomes = outcomes
        return changes

    def _first_ended(self, batch: Sequence[Receipt], outcomes: Sequence[Outcome]) -> Row | None:
        """The message that a batch of receipts ended first, looked up again: cheaper than a note in the loop."""
        first = batch[outcomes.index(Outcome.FINAL)]
        shards = self._table.ids.existing(first.carrier) or ()
        for key in first.keys:
            found = shards[hash(key) & 255].get(key) if shards else None
            if found is not None:
                return row_of(found)
        return None

    def _learn(self, found: Found, r: Receipt, changes: TableChanges) -> Outcome:
        """A receipt has found its part."""
        if type(found) is PartOfRow:
            row = found.row
            if row.rare_fields is not None and row.rare_fields.parts is not None:
                return self._learn_part(row, found.part, row.rare_fields.parts[found.part], r, changes)
        else:
            row = found  # type: ignore[assignment]
        state = state_number(r.state)
        if row.flags & FINAL:
            return self._table.late(state, row.state, r)
        table = self._table
        error, network_error_code, at = r.error, r.network_error_code, r.received_at
        carrier_error = table.carrier_error(error, network_error_code, r.own_word)
        if not r.final:
            return self._learn_intermediate(row, 0, state, carrier_error, at, changes)
        owed = table.owed_final(row, state, self._policy_of(row))
        cursor = table.finish(row, state, carrier_error, at, owed, changes)
        changes.records.append(_learnt(row.id, 0, state, True, at, owed, cursor, carrier_error))
        return Outcome.FINAL

    def _learn_intermediate(
        self, row: Row, part: int, state: int, carrier_error: CarrierError, at: float, changes: TableChanges
    ) -> Outcome:
        """A message that goes on; told only when it says something new."""
        if row.flags & REPORTED and row.state == state:
            self._table.repeated_count += 1
            return Outcome.REPEATED
        owed = self._table.owed_intermediate(row, self._policy_of(row))
        row.state = state
        row.carrier_error = carrier_error
        row.done_at = at
        row.flags |= REPORTED
        if owed:
            self._table.owe(row, owed, changes)
        changes.records.append(_learnt(row.id, part, state, False, at, owed, 0, carrier_error))
        return Outcome.INTERMEDIATE

    def _learn_part(self, row: Row, index: int, part: Part, r: Receipt, changes: TableChanges) -> Outcome:
        """A receipt for one of several parts."""
        state = state_number(r.state)
        if part.final:
            return self._table.late(state, part.state, r)
        carrier_error = self._table.carrier_error(r.error, r.network_error_code, r.own_word)
        at = r.received_at
        part.state = state
        part.carrier_error = carrier_error
        part.done_at = at
        part.final = r.final
        changes.records.append(_learnt(row.id, index, state, r.final, at, 0, 0, carrier_error))
        if row.flags & FINAL:
            return Outcome.PART
        if not r.final:
            return self._learn_intermediate(row, WHOLE_MESSAGE, state, carrier_error, at, changes)
        return Outcome.FINAL if self._end_if_all_ended(row, at, changes) else Outcome.PART

    def _end_if_all_ended(self, row: Row, at: float, changes: TableChanges, *, timed_out: bool = False) -> bool:
        """Ends a long message of which nothing is awaited any more.

        :param timed_out: whether the last that was awaited has just timed out.
        """
        rare_fields = row.rare_fields
        if rare_fields is None or rare_fields.parts is None:
            return False
        part = ending_part(rare_fields.parts)
        if part is None:
            return False
        unanswered = timed_out and never_answered(row)
        self._end(row, part.state, part.carrier_error, at, "", self._policy_of(row), changes, unanswered=unanswered)
        return True

    # The relay's own verdict

    def end(self, batch: Sequence[Ending]) -> TableChanges:
        """Ends messages that have not ended."""
        table = self._table
        changes = TableChanges(self._views_of_ended)
        self._policy_account = None
        for e in batch:
            row = table.get(e.id)
            if row is None or row.flags & FINAL:
                continue
            carrier_error = table.carrier_error(e.error, b"")
            self._end(row, state_number(e.state), carrier_error, e.at, e.carrier, self._policy_of(row), changes)
        table.unsubmitted_messages.tidy(table.unsubmitted)
        return changes

    def query_outcomes(self, batch: Sequence[QueryOutcome]) -> TableChanges:
        """What came of asking carriers about overdue parts: these end as unanswered, or are waited for once more."""
        changes = TableChanges(self._views_of_ended)
        for a in batch:
            row = self._table.get(a.id)
            if row is None or not is_at_carrier(row, a.part):
                continue
            if a.wait_until > a.at and not has_waited(row, a.part):
                wait_once_more(row, a.part, a.wait_until)
                parts = parts_of(row)
                now = row if parts is None else parts[a.part]
                code = now.carrier_error.network_error_code
                changes.records.append(
                    Learnt(
                        a.id,
                        a.part,
                        now.state,
                        False,
                        now.done_at,
                        0,
                        0,
                        now.carrier_error.error,
                        code,
                        "",
                        a.wait_until,
                    )
                )
            elif parts_of(row) is None:
                self.time_out([row], [], UNKNOWN, a.at, changes)
            else:
                self.time_out([], [(row, [a.part])], UNKNOWN, a.at, changes)
        return changes

    def time_out(
        self, rows: Sequence[Row], parts: Sequence[tuple[Row, list[int]]], state: int, now: float, changes: TableChanges
    ) -> None:
        """Ends messages, and parts of them, for which nothing more is expected.

        :param rows: messages that end in `state` as a whole.
        :param parts: long messages, and those of their parts whose receipts didn't come: these end as `state`.
        """
        table = self._table
        carrier_error = table.carrier_error(b"", b"")
        self._policy_account = None
        for row in rows:
            if not row.flags & FINAL:
                self._end(row, state, carrier_error, now, "", self._policy_of(row), changes, unanswered=True)
        for row, indexes in parts:
            if row.flags & FINAL or row.rare_fields is None or row.rare_fields.parts is None:
                continue
            for index in indexes:
                part = row.rare_fields.parts[index]
                if part.final:
                    continue
                part.state, part.final, part.carrier_error, part.done_at = state, True, carrier_error, now
                changes.records.append(Learnt(row.id, index, state, True, now))
            self._end_if_all_ended(row, now, changes, timed_out=True)

    def changes(self) -> TableChanges:
        """Room for what a batch does."""
        return TableChanges(self._views_of_ended)

    def _end(
        self,
        row: Row,
        state: int,
        carrier_error: CarrierError,
        at: float,
        carrier: str,
        policy: NotifyPolicy,
        changes: TableChanges,
        *,
        unanswered: bool = False,
    ) -> None:
        """Ends a message as a whole."""
        table = self._table
        table.in_doubt.forget(row.id)
        owed = 0
        if policy.unanswered or not unanswered or row.handoff is None:
            owed = table.owed_final(row, state, policy)
        cursor = table.finish(row, state, carrier_error, at, owed, changes)
        if row.handoff is None and carrier:
            row.handoff = refusal(table.ids.name(carrier))
        changes.records.append(_learnt(row.id, WHOLE_MESSAGE, state, True, at, owed, cursor, carrier_error, carrier))

    def _policy_of(self, row: Row) -> NotifyPolicy:
        """What the row's account wants; asked for once for a run of messages of the same account."""
        account = row.origin.account
        if account is not self._policy_account:
            self._policy = self._table.policy_of(account.name)
            self._policy_account = account
        return self._policy


def _learnt(
    message_id: bytes,
    part: int,
    state: int,
    final: bool,
    at: float,
    owed: int,
    cursor: int,
    carrier_error: CarrierError,
    carrier: str = "",
) -> Learnt:
    code = carrier_error.network_error_code
    return Learnt(
        message_id, part, state, final, at, owed, cursor, carrier_error.error, code, carrier, 0.0, carrier_error.stat
    )


def refusal(carrier: str) -> CarrierHandoff:
    """The handoff of a message that a carrier refused: only the name means something."""
    return CarrierHandoff(carrier, None, 0.0)

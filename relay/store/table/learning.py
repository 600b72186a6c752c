"""Changes the states of messages, because of a receipt or by the relay's own decision, and ends them.

Theory of operation: `correlation` finds the messages of receipts, and `submitted` those of receipts that came early.
They give the message to `Learning.learn`. The first final state ends the message. At that moment the account's policy
says which notifications are owed, and the journal gets this together with the state. Later receipts are only counted. A
long message ends when its parts have ended (see `parts`).
"""

from collections.abc import Sequence

from relay.store.store_values import NotifyPolicy
from relay.store.table.entries import PartOfRow, Row, TableAccount, is_unsubmitted, parts_of, rounds_of
from relay.store.table.entry_values import (
    FAILS_OVER,
    FINAL,
    NO_CARRIER_ERROR,
    REPORTED,
    CarrierError,
    CarrierHandoff,
    Part,
)
from relay.store.table.failing_over import delivers, drop_waiting, failover_of, go_on, learn_in_round, may_go_on
from relay.store.table.overdue import has_waited, is_at_carrier, wait_once_more
from relay.store.table.parts import ending_part, never_answered
from relay.store.table.records import WHOLE_MESSAGE, Learnt, RoundLearnt
from relay.store.table.same_id import Entry
from relay.store.table.table import Table, state_number
from relay.store.table.table_changes import TableChanges
from relay.values.carrier_reports import Outcome, QueryOutcome, Receipt
from relay.values.messages import Ending
from relay.values.states import DELIVERED, ENROUTE, UNKNOWN


class Learning:
    """Changes the states of messages, and ends them.

    :param views_of_ended: whether results have the messages that a batch ended (`StoreResult.ended`).
    """

    def __init__(self, table: Table, *, views_of_ended: bool = False) -> None:
        self._table = table
        self._views_of_ended = views_of_ended
        self._policy_account: TableAccount | None = None
        self._policy = NotifyPolicy()

    def changes(self) -> TableChanges:
        """Makes an empty `TableChanges`. Call it at the start of each batch.

        From here on, the accounts' policies are looked up again.
        """
        self._policy_account = None
        return TableChanges(self._views_of_ended)

    # Receipts that have found their messages

    def learn(self, found: Entry, r: Receipt, changes: TableChanges) -> Outcome:
        """Handles a receipt that has found its part."""
        if type(found) is PartOfRow:
            row = found.row
            if row.flags & FAILS_OVER and found.round < len(rounds_of(row)):
                return self._learn_earlier(row, found.round, found.part, r, changes)
            if row.rare_fields is not None and row.rare_fields.parts is not None:
                return self._learn_part(row, found.part, row.rare_fields.parts[found.part], r, changes)
        else:
            row = found  # type: ignore[assignment]
        state = state_number(r.state)
        if row.flags & FINAL:
            return self._table.late(state, row.latest.state, r)
        table = self._table
        error, network_error_code, at = r.error, r.network_error_code, r.received_at
        carrier_error = table.shared.carrier_error(error, network_error_code, r.own_word)
        done_at = table.done_date(r, row)
        if not r.final:
            return self._learn_intermediate(row, 0, state, carrier_error, at, done_at, changes)
        if self._goes_on(row, state, carrier_error, at):
            go_on(table, row, state, carrier_error, at, done_at, changes)
            return Outcome.FAILED_OVER
        owed = table.owed_final(row, state, self._policy_of(row))
        cursor = table.finish(row, state, carrier_error, at, owed, changes, done_at)
        changes.records.append(_learnt(row.id, 0, state, True, at, owed, cursor, carrier_error, "", done_at))
        return Outcome.FINAL

    def _learn_intermediate(
        self,
        row: Row,
        part: int,
        state: int,
        carrier_error: CarrierError,
        at: float,
        done_at: float,
        changes: TableChanges,
    ) -> Outcome:
        """Handles an intermediate state. The customer is notified only if the state is new."""
        if row.flags & REPORTED and row.latest.state == state:
            self._table.repeated_count += 1
            return Outcome.REPEATED
        owed = self._table.owed_intermediate(row, self._policy_of(row))
        row.latest = self._table.shared.latest_state(state, carrier_error, at, done_at)
        row.flags |= REPORTED
        if owed:
            self._table.owe(row, owed, changes)
        changes.records.append(_learnt(row.id, part, state, False, at, owed, 0, carrier_error, "", done_at))
        return Outcome.INTERMEDIATE

    def learn_taken(self, row: Row, at: float, changes: TableChanges) -> None:
        """A carrier has taken a part. If carriers have all of them now and have reported nothing yet, the customer is
        told ENROUTE, if the account asked for it."""
        if row.flags & (FINAL | REPORTED) or is_unsubmitted(row):
            return
        policy = self._policy_of(row)
        if policy.progress and self._table.owed_intermediate(row, policy):
            self._learn_intermediate(row, WHOLE_MESSAGE, ENROUTE, NO_CARRIER_ERROR, at, 0.0, changes)

    def _learn_part(self, row: Row, index: int, part: Part, r: Receipt, changes: TableChanges) -> Outcome:
        """Handles a receipt for one of several parts."""
        state = state_number(r.state)
        if part.final:
            return self._table.late(state, part.state, r)
        carrier_error = self._table.shared.carrier_error(r.error, r.network_error_code, r.own_word)
        at = r.received_at
        part.state = state
        part.carrier_error = carrier_error
        part.done_at = at
        done_at = part.carrier_done_at = self._table.done_date(r, row)
        part.final = r.final
        changes.records.append(_learnt(row.id, index, state, r.final, at, 0, 0, carrier_error, "", done_at))
        if row.flags & FINAL:
            return Outcome.PART
        if not r.final:
            return self._learn_intermediate(row, WHOLE_MESSAGE, state, carrier_error, at, done_at, changes)
        return Outcome.FINAL if self.end_if_all_ended(row, at, changes) else Outcome.PART

    def end_if_all_ended(self, row: Row, at: float, changes: TableChanges, *, timed_out: bool = False) -> bool:
        """Ends a long message if no more receipts are awaited.

        :param timed_out: whether the last awaited receipt has just timed out.
        """
        rare_fields = row.rare_fields
        if rare_fields is None or rare_fields.parts is None:
            return False
        part = ending_part(rare_fields.parts)
        if part is None:
            return False
        if not timed_out and self._goes_on(row, part.state, part.carrier_error, at):
            go_on(self._table, row, part.state, part.carrier_error, at, 0.0, changes)
            return False
        unanswered = timed_out and never_answered(row)
        # A message ends when its last part ends. If that part timed out, the carrier hasn't given a date.
        done_at = 0.0 if timed_out else max(part.carrier_done_at for part in rare_fields.parts)
        self._end(
            row,
            part.state,
            part.carrier_error,
            at,
            "",
            self._policy_of(row),
            changes,
            unanswered=unanswered,
            carrier_done_at=done_at,
        )
        return True

    # Messages that go to another carrier

    def _goes_on(self, row: Row, state: int, carrier_error: CarrierError, at: float) -> bool:
        """Whether a message goes to another carrier, instead of ending in this state."""
        if not row.flags & FAILS_OVER or row.flags & FINAL:
            return False
        return failover_of(row).rule.applies(state, carrier_error.error) and may_go_on(self._table, row, at)

    def no_receipts(self, rows: Sequence[Row], now: float, changes: TableChanges) -> None:
        """Handles messages whose receipts have not come in the time of their rules."""
        for row in rows:
            if may_go_on(self._table, row, now):
                go_on(self._table, row, row.latest.state, NO_CARRIER_ERROR, now, 0.0, changes, final=False)

    def _learn_earlier(self, row: Row, number: int, index: int, r: Receipt, changes: TableChanges) -> Outcome:
        """Handles a receipt for a part in an earlier round. It only counts if it completes a delivery in time."""
        table = self._table
        part = rounds_of(row)[number].parts[index]
        state = state_number(r.state)
        ended = bool(row.flags & FINAL)
        if not r.final or (part.final and (ended or state != DELIVERED or part.state == DELIVERED)):
            return table.late(state, part.state, r)
        decides = not ended and state == DELIVERED and delivers(row, number, index)
        carrier_error = table.shared.carrier_error(r.error, r.network_error_code, r.own_word)
        at, done_at = r.received_at, table.done_date(r, row)
        record = RoundLearnt(
            row.id,
            number,
            index,
            state,
            at,
            carrier_error.error,
            carrier_error.network_error_code,
            carrier_error.stat,
            done_at,
            decides,
        )
        learn_in_round(table, record, row)
        changes.records.append(record)
        if decides:
            drop_waiting(table, row)
            self._end(row, state, carrier_error, at, "", self._policy_of(row), changes, carrier_done_at=done_at)
            return Outcome.FINAL
        return table.late(state, row.latest.state, r) if ended else Outcome.PART

    # The relay's own decisions

    def end(self, batch: Sequence[Ending]) -> TableChanges:
        """Ends messages that have not ended."""
        table = self._table
        changes = self.changes()
        for e in batch:
            row = table.get(e.id)
            if row is None or row.flags & FINAL:
                continue
            carrier_error = table.shared.carrier_error(e.error, b"")
            self._end(row, state_number(e.state), carrier_error, e.at, e.carrier, self._policy_of(row), changes)
        table.unsubmitted_messages.tidy(table.unsubmitted)
        return changes

    def query_outcomes(self, batch: Sequence[QueryOutcome]) -> TableChanges:
        """Handles the results of queries about overdue parts: each part ends without a receipt, or is awaited again."""
        changes = self.changes()
        for a in batch:
            row = self._table.get(a.id)
            if row is None or not is_at_carrier(row, a.part):
                continue
            if a.wait_until > a.at and not has_waited(row, a.part):
                wait_once_more(row, a.part, a.wait_until)
                parts = parts_of(row)
                now = row.latest if parts is None else parts[a.part]
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
        """Ends messages, and parts of long messages, whose receipts are not awaited any more.

        :param rows: messages that end in `state` as a whole.
        :param parts: long messages, with those parts whose receipts didn't come. These parts end in `state`.
        """
        table = self._table
        carrier_error = table.shared.carrier_error(b"", b"")
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
                part.carrier_done_at = 0.0
                changes.records.append(Learnt(row.id, index, state, True, now))
            self.end_if_all_ended(row, now, changes, timed_out=True)

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
        carrier_done_at: float = 0.0,
    ) -> None:
        """Ends a message as a whole."""
        table = self._table
        table.in_doubt.forget(row.id)
        owed = 0
        if policy.unanswered or not unanswered or row.handoff is None:
            owed = table.owed_final(row, state, policy)
        cursor = table.finish(row, state, carrier_error, at, owed, changes, carrier_done_at)
        if row.handoff is None and carrier:
            row.handoff = refusal(table.ids.name(carrier))
        changes.records.append(
            _learnt(row.id, WHOLE_MESSAGE, state, True, at, owed, cursor, carrier_error, carrier, carrier_done_at)
        )

    def _policy_of(self, row: Row) -> NotifyPolicy:
        """The policy of the row's account. It is looked up once for consecutive messages of the same account."""
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
    carrier_done_at: float = 0.0,
) -> Learnt:
    code = carrier_error.network_error_code
    return Learnt(
        message_id,
        part,
        state,
        final,
        at,
        owed,
        cursor,
        carrier_error.error,
        code,
        carrier,
        0.0,
        carrier_error.stat,
        carrier_done_at,
    )


def refusal(carrier: str) -> CarrierHandoff:
    """Makes the handoff of a message that a carrier refused. Only the carrier's name in it has a meaning."""
    return CarrierHandoff(carrier, None, 0.0)

"""Makes a record of a row, and a row of a record. Compaction copies messages with it before it deletes a segment."""

from collections.abc import Sequence

from relay.store.table.carrier_ids import CarrierIdIndex
from relay.store.table.claims import with_shared_url
from relay.store.table.entries import PartOfRow, Row, is_unsubmitted, parts_of, rounds_of
from relay.store.table.entry_values import (
    DURABLE_FLAGS,
    FAILS_OVER,
    FINAL,
    GIVEN_UP_WEBHOOK,
    Acceptance,
    CarrierError,
    CarrierHandoff,
    FailoverState,
    Part,
    RareFields,
    Round,
    Tries,
)
from relay.store.table.failing_over import failover_of
from relay.store.table.learning import refusal
from relay.store.table.parts import latest_handoff
from relay.store.table.records import FailoverSnapshot, PartSnapshot, RoundSnapshot, Snapshot
from relay.store.table.same_id import Entry
from relay.store.table.table import Table

_NO_EXTRA = RareFields()
_NO_TRIES = Tries()
#: The values of `RareFields` for a row of one part that has none.
_PLAIN = tuple((name, getattr(_NO_EXTRA, name)) for name in RareFields.__struct_fields__ if name != "parts")


def needs_bodies(row: Row, now: float) -> bool:
    """Whether a snapshot of the row must have the bodies of its parts, because a carrier may still get them."""
    if is_unsubmitted(row):
        return True
    if not row.flags & FAILS_OVER or row.flags & FINAL or now >= row.acceptance.expires_at:
        return False
    failover = failover_of(row)
    return len(failover.rounds) < failover.rule.times


def snapshot(row: Row, ids: CarrierIdIndex, bodies: Sequence[bytes] = ()) -> Snapshot:
    """Makes the record of a row's whole state.

    :param ids: the table's index, which says which ids still lead to the row.
    :param bodies: the bodies of all its parts, if `needs_bodies` is true. Only those of waiting parts are kept, or all
        if the message may go to another carrier.
    """
    rare_fields, latest = row.rare_fields or _NO_EXTRA, row.latest
    if rare_fields.parts is None:
        final = bool(row.flags & FINAL)
        only = Part(
            row.handoff,
            row.carrier_message_id,
            latest.state,
            final,
            latest.carrier_error,
            latest.done_at,
            rare_fields.given_id,
            carrier_done_at=latest.carrier_done_at,
        )
        parts: Sequence[Part] = (only,)
    else:
        parts = rare_fields.parts
    all_bodies = bool(row.flags & FAILS_OVER)
    webhook = rare_fields.webhook or _NO_TRIES
    smpp = rare_fields.smpp or _NO_TRIES
    origin, acceptance = row.origin, row.acceptance
    return Snapshot(
        row.id,
        origin.account.name,
        origin.interface,
        origin.registered_delivery,
        row.addresses,
        acceptance.accepted_at,
        acceptance.expires_at,
        latest.state,
        row.flags & DURABLE_FLAGS,
        latest.done_at,
        row.cursor,
        tuple(
            [
                _part(row, part, ids, bodies[i] if bodies and (part.handoff is None or all_bodies) else b"")
                for i, part in enumerate(parts)
            ]
        ),
        latest.carrier_error.error,
        latest.carrier_error.network_error_code,
        rare_fields.reference,
        rare_fields.url,
        _former_ids(row, rare_fields.former_ids, ids),
        webhook.attempts,
        webhook.due_at,
        smpp.attempts,
        smpp.due_at,
        rare_fields.given_up_at,
        rare_fields.attempts,
        rare_fields.again_at,
        row.handoff.carrier
        if rare_fields.parts is not None and row.handoff is not None and row.handoff.at is None
        else "",
        latest.carrier_error.stat,
        origin.priority,
        latest.carrier_done_at,
        rare_fields.user_message_reference,
        rare_fields.scheduled_at,
        rare_fields.inbound,
        origin.adapt,
        rare_fields.tags,
        None if rare_fields.failover is None else _failover(row, rare_fields.failover, ids),
        origin.charge,
        origin.smpp_queue.queue_key.url,
        rare_fields.trace,
    )


def _failover(row: Row, failover: FailoverState, ids: CarrierIdIndex) -> FailoverSnapshot:
    rounds = tuple(
        [
            RoundSnapshot(
                tuple([_part(row, part, ids, b"") for part in each.parts]), _former_ids(row, each.former_ids, ids)
            )
            for each in failover.rounds
        ]
    )
    return FailoverSnapshot(failover.rule, rounds, failover.decided_by)


def _former_ids(
    row: Row, former_ids: Sequence[tuple[str, bytes, int]], ids: CarrierIdIndex
) -> tuple[tuple[str, bytes, int], ...]:
    return tuple([former for former in former_ids if ids.means(former[0], former[1], row)])


def _part(row: Row, part: Part, ids: CarrierIdIndex, body: bytes) -> PartSnapshot:
    handoff = part.handoff
    return PartSnapshot(
        body,
        "" if handoff is None else handoff.carrier,
        part.carrier_message_id,
        None if handoff is None else handoff.at,
        0.0 if handoff is None else handoff.receipt_due_at,
        0 if handoff is None else handoff.parts_receipted,
        part.state,
        part.final,
        part.carrier_error.error,
        part.carrier_error.network_error_code,
        part.done_at,
        handoff is None or not part.carrier_message_id or ids.means(handoff.carrier, part.carrier_message_id, row),
        part.given_id,
        part.waited,
        part.carrier_error.stat,
        part.carrier_done_at,
    )


class SharedHandoffs:
    """Makes handoffs, and returns the last one again if it fits, because neighbours in a journal were sent together."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._last: CarrierHandoff | None = None

    def handoff(self, carrier: str, at: float | None, receipt_due_at: float, parts_receipted: int) -> CarrierHandoff:
        """A handoff with these values."""
        handoff = self._last
        if (
            handoff is None
            or receipt_due_at != handoff.receipt_due_at
            or at != handoff.at
            or carrier != handoff.carrier
            or parts_receipted != handoff.parts_receipted
        ):
            if handoff is not None and receipt_due_at == handoff.receipt_due_at:
                # It is in whole seconds, so that handoffs of one second share the object.
                receipt_due_at = handoff.receipt_due_at
            handoff = self._last = CarrierHandoff(self._table.ids.name(carrier), at, receipt_due_at, parts_receipted)
        return handoff


def row_of_snapshot(s: Snapshot, table: Table, acceptance: Acceptance, handoffs: SharedHandoffs) -> Row:
    """Makes the row of a snapshot. It isn't in any container of the table yet."""
    origin = table.account(s.account).origin(s.interface, s.registered_delivery, s.priority, s.adapt, s.charge, s.login)
    row = Row(s.id, origin, s.addresses, acceptance, flags=s.flags)
    carrier_error = table.shared.carrier_error(s.error, s.network_error_code, s.stat)
    row.latest = table.shared.latest_state(s.state, carrier_error, s.done_at, s.carrier_done_at)
    row.cursor = s.cursor
    parts = [_restored_part(part, table, handoffs) for part in s.parts]
    rare_fields = RareFields(
        parts if len(parts) != 1 else None,
        s.reference,
        s.notification_url,
        s.former_ids,
        Tries(s.webhook_attempts, s.webhook_due_at) if s.webhook_attempts else None,
        Tries(s.smpp_attempts, s.smpp_due_at) if s.smpp_attempts else None,
        tuple([with_shared_url(attempt) for attempt in s.attempts]),
        s.given_up_at,
        s.again_at,
        s.parts[0].given_id if len(parts) == 1 else b"",
        s.user_message_reference,
        s.scheduled_at,
        s.inbound,
        s.tags,
        None if s.failover is None else _restored_failover(s.failover, table, handoffs),
        s.trace,
    )
    if len(parts) != 1 or any(getattr(rare_fields, name) != default for name, default in _PLAIN):
        row.rare_fields = rare_fields
    if len(parts) == 1:
        row.handoff = parts[0].handoff
        row.carrier_message_id = parts[0].carrier_message_id
    else:
        row.handoff = latest_handoff(parts)
    if s.refused_by:
        row.handoff = refusal(table.ids.name(s.refused_by))
    if s.flags & FINAL and s.flags & GIVEN_UP_WEBHOOK:
        origin.account.given_up[row.id] = s.given_up_at
    return row


def index_ids(s: Snapshot, row: Row, ids: CarrierIdIndex) -> None:
    """Makes the carrier message ids in a snapshot lead to the row that was made of it."""

    def entry(part: int) -> Entry:
        if row.flags & FAILS_OVER:
            return PartOfRow(row, part, len(rounds_of(row)))
        return row if parts_of(row) is None else PartOfRow(row, part)

    for index, part in enumerate(s.parts):
        if part.named:
            ids.put(part.carrier, part.carrier_message_id, entry(index))
    for carrier, key, index in s.former_ids:
        ids.put(carrier, key, entry(index))
    for number, each in enumerate(s.failover.rounds if s.failover is not None else ()):
        for index, part in enumerate(each.parts):
            if part.named:
                ids.put(part.carrier, part.carrier_message_id, PartOfRow(row, index, number))
        for carrier, key, index in each.former_ids:
            ids.put(carrier, key, PartOfRow(row, index, number))


def _restored_failover(s: FailoverSnapshot, table: Table, handoffs: SharedHandoffs) -> FailoverState:
    rounds = [
        Round([_restored_part(part, table, handoffs) for part in each.parts], each.former_ids) for each in s.rounds
    ]
    return FailoverState(table.failovers.shared(s.rule), rounds, s.decided_by)


def _restored_part(p: PartSnapshot, table: Table, handoffs: SharedHandoffs) -> Part:
    handoff = None
    if p.submitted_at is not None:
        handoff = handoffs.handoff(p.carrier, p.submitted_at, p.receipt_due_at, p.parts_receipted)
    elif p.carrier:
        handoff = refusal(table.ids.name(p.carrier))
    carrier_error: CarrierError = table.shared.carrier_error(p.error, p.network_error_code, p.stat)
    return Part(
        handoff,
        p.carrier_message_id,
        p.state,
        p.final,
        carrier_error,
        p.done_at,
        p.given_id,
        p.waited,
        p.carrier_done_at,
    )

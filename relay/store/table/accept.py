"""Adds accepted messages to the table."""

from collections.abc import Sequence

from relay.store.table.entries import Origin, Row, TableAccount, is_unsubmitted, parts_of, rounds_of
from relay.store.table.entry_values import (
    FAILS_OVER,
    FINAL,
    FORGOTTEN,
    LATER,
    LISTED,
    REFUNDED,
    Acceptance,
    FailoverState,
    Part,
    RareFields,
    Segment,
)
from relay.store.table.retries import rare_fields_of
from relay.store.table.table import Table
from relay.values.messages import Message, Replacement


def accept(table: Table, messages: Sequence[Message], segment: Segment, offset: int) -> None:
    """Makes a row of each message. Their frame is at this place in the journal.

    Only a store with traces looks at `Message.trace` (`relay.tracing.traced_store`).
    """
    shards = table.shards
    account: TableAccount | None = None
    acceptance: Acceptance | None = None
    accepted_at = expires_at = 0.0
    rows: list[Row] = []
    later: list[Row] = []
    for m in messages:
        if account is None or m.account != account.name:
            account = table.account(m.account)
        if acceptance is None or m.expires_at != expires_at or m.accepted_at != accepted_at:
            accepted_at, expires_at = m.accepted_at, m.expires_at
            acceptance = Acceptance(accepted_at, table.shared.seconds(expires_at - accepted_at), segment, offset)
        message_id = m.id
        origin = account.origin(m.interface, m.registered_delivery, m.priority, m.adapt, m.charge, m.login)
        row = Row(message_id, origin, m.addresses, acceptance)
        if (
            len(m.parts) != 1
            or m.reference is not None
            or m.notification_url is not None
            or m.user_message_reference is not None
            or m.scheduled_at
            or m.tags
            or m.failover is not None
        ):
            add_rare_fields(row, m)
        shards[message_id[0]][message_id] = row
        account.recent.rows.append(row)
        (later if m.scheduled_at else rows).append(row)
    if account is not None:
        account.trim()
    table.unsubmitted_messages.extend(rows)
    for row in later:
        table.scheduled.add(row, rare_fields_of(row).scheduled_at)
    count = len(messages)
    segment.rows += count
    table.rows += count
    table.unsubmitted += count


def take_back(table: Table, messages: Sequence[Message]) -> None:
    """Undoes an `accept` that could not be made durable."""
    for m in messages:
        row = table.get(m.id)
        if row is not None and row.flags & REFUNDED and m.charge is not None:
            # It has ended before it was durable.
            table.ledger.take_back_refund(m.account, m.charge)
        if row is not None and not row.flags & FINAL:
            if row.handoff is None:
                table.unsubmitted -= 1
            else:
                table.awaiting -= 1
            if row.flags & LATER:
                table.scheduled.drop(row)
            row.flags |= FINAL
            table.forget(row)


def may_be_replaced(table: Table, row: Row) -> bool:
    """Whether a message has one part, and no carrier can have it."""
    waits = parts_of(row) is None and is_unsubmitted(row) and not rounds_of(row)
    return waits and not table.in_doubt.carrier(row.id, 0)


def replaced(row: Row, r: Replacement) -> Message:
    """The message that a replacement makes, as if it had been accepted so. It is an SMPP customer's: no carrier's
    settings change it."""
    origin, rare_fields = row.origin, row.rare_fields or RareFields()
    return Message(
        row.id,
        origin.account.name,
        row.acceptance.accepted_at,
        r.expires_at,
        row.addresses,
        (r.body,),
        r.registered_delivery,
        origin.interface,
        rare_fields.reference,
        rare_fields.url,
        origin.priority,
        rare_fields.user_message_reference,
        r.scheduled_at,
        tags=rare_fields.tags,
        failover=None if rare_fields.failover is None else rare_fields.failover.rule,
        replaces=True,
        charge=origin.charge,
        login=origin.smpp_queue.queue_key.url,
        trace=rare_fields.trace,
    )


def replace(table: Table, row: Row, m: Message, segment: Segment, offset: int) -> None:
    """Makes this the row of the message. The message's frame is at this place in the journal."""
    origin = row.origin.account.origin(m.interface, m.registered_delivery, m.priority, m.adapt, m.charge, m.login)
    validity_seconds = table.shared.seconds(m.expires_at - m.accepted_at)
    acceptance = Acceptance(m.accepted_at, validity_seconds, segment, offset)
    accept_as(table, row, acceptance, origin, m.scheduled_at, later=bool(m.scheduled_at))


def accept_as(
    table: Table, row: Row, acceptance: Acceptance, origin: Origin, scheduled_at: float, *, later: bool
) -> None:
    """Replaces what was accepted for the row.

    :param later: whether it waits until `scheduled_at`.
    """
    if row.flags & FORGOTTEN:
        return
    row.acceptance.segment.rows -= 1
    acceptance.segment.rows += 1
    row.acceptance, row.origin = acceptance, origin
    if not is_unsubmitted(row):
        return
    if row.flags & LATER:
        table.scheduled.drop(row)
    else:
        row.flags |= LISTED
    if later:
        table.scheduled.add(row, scheduled_at)
    else:
        rare_fields_of(row).scheduled_at = scheduled_at
        table.wait_for_carriers([row])


def add_rare_fields(row: Row, m: Message) -> None:
    """Gives a new row the fields that only few messages have."""
    parts = [Part() for _ in m.parts] if len(m.parts) != 1 else None
    row.rare_fields = RareFields(
        parts,
        m.reference,
        m.notification_url or None,
        user_message_reference=m.user_message_reference,
        scheduled_at=m.scheduled_at,
        tags=m.tags,
        trace=m.trace,
    )
    if m.failover is not None:
        row.flags |= FAILS_OVER
        row.rare_fields.failover = FailoverState(m.failover)


def make_row(m: Message, account: TableAccount, acceptance: Acceptance) -> Row:
    """Makes a new row, without counting it. Replay calls it, too, and counts by itself."""
    origin = account.origin(m.interface, m.registered_delivery, m.priority, m.adapt, m.charge, m.login)
    row = Row(m.id, origin, m.addresses, acceptance)
    if (
        len(m.parts) != 1
        or m.reference is not None
        or m.notification_url is not None
        or m.user_message_reference is not None
        or m.scheduled_at
        or m.tags
        or m.failover is not None
        or m.trace is not None
    ):
        add_rare_fields(row, m)
    return row

"""Messages come into the table."""

from collections.abc import Sequence

from relay.store.table.entries import Row, TableAccount
from relay.store.table.entry_values import FINAL, Acceptance, Part, RareFields, Segment
from relay.store.table.table import Table
from relay.values.messages import Message


def accept(table: Table, messages: Sequence[Message], segment: Segment, offset: int) -> None:
    """Makes a row of each message, whose frame is at this place in the journal."""
    shards = table.shards
    account: TableAccount | None = None
    acceptance: Acceptance | None = None
    rows: list[Row] = []
    for m in messages:
        if account is None or m.account != account.name:
            account = table.account(m.account)
        if acceptance is None or m.expires_at != acceptance.expires_at or m.accepted_at != acceptance.accepted_at:
            acceptance = Acceptance(m.accepted_at, m.expires_at, segment, offset)
        message_id = m.id
        origin = account.origin(m.interface, m.registered_delivery, m.priority, m.adapt)
        row = Row(message_id, origin, m.addresses, acceptance)
        if (
            len(m.parts) != 1
            or m.reference is not None
            or m.notification_url is not None
            or m.user_message_reference is not None
        ):
            row.rare_fields = _rare_fields(m)
        shards[message_id[0]][message_id] = row
        account.recent.rows.append(row)
        rows.append(row)
    if account is not None:
        account.trim()
    table.unsubmitted_messages.extend(rows)
    segment.rows += len(rows)
    table.rows += len(rows)
    table.unsubmitted += len(rows)


def take_back(table: Table, messages: Sequence[Message]) -> None:
    """Undoes an `accept` that could not be made durable."""
    for m in messages:
        row = table.get(m.id)
        if row is not None and not row.flags & FINAL:
            if row.handoff is None:
                table.unsubmitted -= 1
            else:
                table.awaiting -= 1
            row.flags |= FINAL
            table.forget(row)


def _rare_fields(m: Message) -> RareFields:
    parts = [Part() for _ in m.parts] if len(m.parts) != 1 else None
    return RareFields(parts, m.reference, m.notification_url or None, user_message_reference=m.user_message_reference)


def make_row(m: Message, account: TableAccount, acceptance: Acceptance) -> Row:
    """A fresh row; for replay, which keeps its own counts."""
    row = Row(m.id, account.origin(m.interface, m.registered_delivery, m.priority, m.adapt), m.addresses, acceptance)
    if (
        len(m.parts) != 1
        or m.reference is not None
        or m.notification_url is not None
        or m.user_message_reference is not None
    ):
        row.rare_fields = _rare_fields(m)
    return row

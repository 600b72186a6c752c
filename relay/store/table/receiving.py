"""Messages from handsets in the table: as rows that are owed, like the final states of messages, and kept parts.

Theory of operation: a message from a handset is a row that has ended at once. What it says hangs in its `RareFields`,
and its own notification URL is `INBOUND_URL`. So attempts, retries, giving up and sending again are those of
notifications. Such rows have places in the account's feed, but lists of messages and the feed of notifications leave
them out. Parts of long messages are kept until the message has been put together.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from relay.store.table.entries import Row
from relay.store.table.entry_values import (
    FINAL,
    FORGOTTEN,
    GIVEN_UP_SMPP,
    GIVEN_UP_WEBHOOK,
    OWED_SMPP,
    OWED_WEBHOOK,
    Acceptance,
    LatestState,
    RareFields,
    Segment,
)
from relay.store.table.message_views import durable_view
from relay.store.table.notification_queues import BIT_OF_CHANNEL
from relay.store.table.table import Table
from relay.store.table.table_changes import TableChanges
from relay.values.inbound import INBOUND, INBOUND_URL, InboundMessage, InboundPart
from relay.values.inbound_lists import Delivery, InboundListed, InboundWanted
from relay.values.message_view import MessageView
from relay.values.messages import ADAPT_NOTHING
from relay.values.states import DELIVERED


def numbered(table: Table, batch: Sequence[InboundMessage]) -> list[InboundMessage]:
    """The same messages with their places in the feed."""
    cursor = table.cursor
    placed = [msgspec.structs.replace(m, cursor=n) for n, m in enumerate(batch, cursor + 1)]
    table.cursor = cursor + len(batch)
    return placed


def owed_bits(m: InboundMessage) -> int:
    """The channels on which a message is owed to its account."""
    return (OWED_WEBHOOK if m.webhook else 0) | (OWED_SMPP if m.smpp else 0)


def inbound_row(table: Table, m: InboundMessage, acceptance: Acceptance) -> Row:
    """The row of a message, with nothing owed yet and in no container."""
    origin = table.account(m.account).origin(INBOUND, 0, 0, ADAPT_NOTHING)
    row = Row(m.id, origin, m.addresses, acceptance, LatestState(DELIVERED, done_at=m.received_at), FINAL)
    row.cursor = m.cursor
    row.rare_fields = RareFields(url=INBOUND_URL, inbound=m)
    return row


def receive(
    table: Table, batch: Sequence[InboundMessage], segment: Segment, offset: int, dropped: list[tuple[InboundPart, int]]
) -> TableChanges:
    """Makes a row of each message, whose frame is at this place in the journal.

    :param dropped: gets the parts that were kept of them and are dropped, for `take_back`.
    """
    changes = TableChanges()
    for m in batch:
        dropped += table.inbound_parts.drop(m.key)
        if not m.account:
            continue
        row = inbound_row(table, m, Acceptance(m.received_at, 0.0, segment, offset))
        table.shards[m.id[0]][m.id] = row
        account = row.origin.account
        account.recent.rows.append(row)
        account.trim()
        account.feed.rows.append(row)
        account.inbound.rows.append(row)
        segment.rows += 1
        table.rows += 1
        table.owe(row, owed_bits(m), changes)
    return changes


def take_back(table: Table, batch: Sequence[InboundMessage], dropped: Sequence[tuple[InboundPart, int]]) -> None:
    """Undoes a `receive` that could not be made durable."""
    for part, segment in dropped:
        table.inbound_parts.put(part, segment)
    for m in batch:
        row = table.get(m.id)
        if row is None:
            continue
        for bit in BIT_OF_CHANNEL.values():
            if row.flags & bit:
                queue = table.queue_of(row, bit)
                queue.settle(row)
                table.owed -= 1
        table.forget(row)


def inbound_of(row: Row) -> InboundMessage | None:
    """What a handset sent; None: the row is a customer's message."""
    rare_fields: Any = row.rare_fields
    return None if rare_fields is None else rare_fields.inbound


def feed(
    table: Table, account: str, after: int, limit: int, slice_rows: int, durable_mark: int
) -> Iterator[MessageView | None]:
    """See `relay.store.api.InboundStore.inbound_feed`. Gives None between slices, when others should have a turn."""
    entry = table.accounts.get(account)
    while entry is not None and (rows := entry.inbound_after(after, slice_rows)):
        for row in rows:
            if row.cursor > durable_mark:
                return
            if table.get(row.id) is row:
                yield durable_view(row, durable_mark)
                limit -= 1
                if not limit:
                    return
        if len(rows) < slice_rows:
            return
        after = rows[-1].cursor
        yield None


def latest(
    table: Table, account: str, wanted: InboundWanted, limit: int, slice_rows: int, durable_mark: int
) -> Iterator[InboundListed | None]:
    """See `relay.store.api.InboundStore.latest_inbound`. Gives None between slices, when others should have a turn."""
    entry = table.accounts.get(account)
    if entry is None or limit <= 0:
        return
    digits = wanted.number.encode("utf-8", "replace")
    for looked_at, row in enumerate(reversed(entry.inbound_before(wanted.before)), 1):
        if not looked_at % slice_rows:
            yield None
        message = inbound_of(row)
        if message is None or row.flags & FORGOTTEN or row.cursor > durable_mark or digits not in row.addresses:
            continue
        delivery = _delivery(row)
        if wanted.carrier in ("", message.carrier) and wanted.delivery in ("", delivery):
            yield InboundListed(durable_view(row, durable_mark), delivery)
            limit -= 1
            if not limit:
                return


def _delivery(row: Row) -> Delivery:
    if row.flags & (OWED_WEBHOOK | OWED_SMPP):
        return "waiting"
    return "failed" if row.flags & (GIVEN_UP_WEBHOOK | GIVEN_UP_SMPP) else "delivered"

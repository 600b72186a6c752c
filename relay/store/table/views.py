"""What customers and operators may ask of the table: one message, an account's recent ones, its feed."""

from collections.abc import Sequence

from relay.store.api import FeedEntry
from relay.store.table.entry_values import FORGOTTEN
from relay.store.table.message_views import message_view
from relay.store.table.table import Table
from relay.values.ids import id_text, parse_id
from relay.values.messages import KeptReceipts, MessageView, Pending


def recent(
    table: Table, account: str, before: float | None, state: int | None, search: str, limit: int
) -> Sequence[MessageView]:
    """See `Store.recent`."""
    entry = table.accounts.get(account)
    if entry is None or limit <= 0:
        return []
    search = search.strip()
    message_id = parse_id(search)
    if message_id is not None:
        row = table.get(message_id)
        mine = row is not None and row.origin.account is entry and (state is None or row.state == state)
        return [message_view(row)] if row is not None and mine else []
    digits = search.lstrip("+").encode("utf-8", "replace")
    id_part = search.lower() if len(search) >= 4 else ""
    found: list[MessageView] = []
    rows = entry.recent.rows
    for index in range(entry.recent_before(before) - 1, -1, -1):
        row = rows[index]
        if row.flags & FORGOTTEN or (state is not None and row.state != state):
            continue
        if digits and digits not in row.addresses and not (id_part and id_part in id_text(row.id)):
            continue
        found.append(message_view(row))
        if len(found) >= limit:
            break
    return found


def feed(table: Table, account: str, after: int, limit: int) -> Sequence[FeedEntry]:
    """See `Store.feed`."""
    entry = table.accounts.get(account)
    if entry is None:
        return []
    return [
        FeedEntry(row.cursor, row.id, row.state, row.carrier_error.error, row.done_at, row.acceptance.accepted_at)
        for row in entry.feed_after(after, limit)
    ]


def given_up(table: Table, account: str, since: float, until: float) -> Sequence[bytes]:
    """See `Store.given_up`."""
    entry = table.accounts.get(account)
    if entry is None:
        return []
    return [message_id for message_id, at in entry.given_up.items() if since <= at < until]


def pending(table: Table, after: tuple[bytes, int] | None, limit: int) -> Sequence[Pending]:
    """See `Store.unsubmitted`."""
    return [
        Pending(
            row.id,
            part,
            row.origin.account.name,
            row.addresses,
            row.acceptance.accepted_at,
            row.acceptance.expires_at,
            table.in_doubt.carrier(row.id, part),
            row.origin.priority,
        )
        for row, part in table.unsubmitted_messages.after(after, limit)
    ]


def kept_receipts(table: Table, after: tuple[int, int] | None, limit: int) -> KeptReceipts:
    """Orphans and then unreadable receipts from a place on; see `relay.store.api.Store.kept_receipts`."""
    orphan, unreadable = after or (0, 0)
    if orphan >= 0:
        receipts, goes_on = table.orphans.after(orphan, limit)
        # Below 0: there are no more orphans.
        return KeptReceipts(receipts, (-1 if goes_on is None else goes_on, 0))
    receipts, goes_on = table.unreadable.after(unreadable, limit)
    return KeptReceipts(receipts, None if goes_on is None else (-1, goes_on))

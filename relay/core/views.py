"""What customers and operators may ask of the table: one message, an account's recent ones, its feed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from relay.core.ids import id_text, parse_id
from relay.core.lanes import CHANNEL_OF_BIT
from relay.core.messages import AttemptView, KeptReceipts, MessageView, PartView, Pending
from relay.core.records import Settled
from relay.core.rows import (
    FINAL,
    FORGOTTEN,
    NO_FAULT,
    OWED_SMPP,
    OWED_WEBHOOK,
    Fault,
    Hop,
    Part,
    Row,
)
from relay.core.states import customer_words
from relay.core.store import FeedEntry

if TYPE_CHECKING:
    from relay.core.table import Table


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace")


def _part_view(hop: Hop | None, key: bytes, state: int, fault: Fault, done_at: float) -> PartView:
    return PartView(
        "" if hop is None else hop.carrier,
        _text(key),
        state,
        _text(fault.error),
        None if hop is None else hop.at,
        done_at or None,
        _text(fault.stat),
    )


def _attempt_view(settled: Settled) -> AttemptView:
    words = customer_words(settled.state, b"")
    channel = CHANNEL_OF_BIT[settled.channel].value
    return AttemptView(channel, settled.attempt, settled.at, settled.answer, settled.seconds, words.status)


def message_view(row: Row) -> MessageView:
    """All that is known of one message."""
    extra = row.extra
    many: list[Part] | None = None if extra is None else extra.parts
    hop = row.hop
    fault = row.fault
    if many is None:
        parts = [_part_view(hop, row.carrier_message_id, row.state, fault, row.done_at)]
    else:
        parts = [_part_view(p.hop, p.carrier_message_id, p.state, p.fault, p.done_at) for p in many]
        if hop is None:
            hop = next((part.hop for part in many if part.hop is not None), None)
        if fault is NO_FAULT:
            fault = next((part.fault for part in many if part.fault is not NO_FAULT), fault)
    final = bool(row.flags & FINAL)
    return MessageView(
        id=row.id,
        account=row.origin.account.name,
        addresses=row.addresses,
        state=row.state,
        final=final,
        carrier="" if hop is None else hop.carrier,
        carrier_error=_text(fault.error),
        interface=row.origin.interface,
        accepted_at=row.birth.accepted_at,
        expires_at=row.birth.expires_at,
        done_at=row.done_at if final else None,
        parts=parts,
        attempts=[] if extra is None else [_attempt_view(settled) for settled in extra.attempts],
        owed=[CHANNEL_OF_BIT[bit].value for bit in (OWED_WEBHOOK, OWED_SMPP) if row.flags & bit],
        reference=None if extra is None else extra.reference,
        notification_url=None if extra is None else extra.url,
    )


def recent(
    table: "Table", account: str, before: float | None, state: int | None, search: str, limit: int
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


def feed(table: "Table", account: str, after: int, limit: int) -> Sequence[FeedEntry]:
    """See `Store.feed`."""
    entry = table.accounts.get(account)
    if entry is None:
        return []
    return [
        FeedEntry(row.cursor, row.id, row.state, row.fault.error, row.done_at, row.birth.accepted_at)
        for row in entry.feed_after(after, limit)
    ]


def given_up(table: "Table", account: str, since: float, until: float) -> Sequence[bytes]:
    """See `Store.given_up`."""
    entry = table.accounts.get(account)
    if entry is None:
        return []
    return [message_id for message_id, at in entry.given_up.items() if since <= at < until]


def pending(table: "Table", after: tuple[bytes, int] | None, limit: int) -> Sequence[Pending]:
    """See `Store.unsubmitted`."""
    return [
        Pending(
            row.id,
            part,
            row.origin.account.name,
            row.addresses,
            row.birth.accepted_at,
            row.birth.expires_at,
            table.sent.carrier(row.id, part),
        )
        for row, part in table.backlog.after(after, limit)
    ]


def kept_receipts(table: "Table", after: tuple[int, int] | None, limit: int) -> KeptReceipts:
    """Orphans and then unreadable receipts from a place on; see `relay.core.store.Store.kept_receipts`."""
    orphan, unreadable = after or (0, 0)
    if orphan >= 0:
        receipts, goes_on = table.orphans.after(orphan, limit)
        # Below 0: there are no more orphans.
        return KeptReceipts(receipts, (-1 if goes_on is None else goes_on, 0))
    receipts, goes_on = table.unreadable.after(unreadable, limit)
    return KeptReceipts(receipts, None if goes_on is None else (-1, goes_on))

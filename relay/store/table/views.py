"""The table's queries for customers and operators: one message, an account's recent messages, its feed.

A query that may take long is a generator. It yields None when it has read so much that the reactor should do other
work.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from relay.store.store_values import FeedEntry, KeptReceipts
from relay.store.table.entries import Row
from relay.store.table.entry_values import FORGOTTEN, GIVEN_UP_WEBHOOK, OWED_SMPP, OWED_WEBHOOK
from relay.store.table.failing_over import tried
from relay.store.table.message_views import durable_view, shown_state
from relay.store.table.table import Table
from relay.store.table.unsubmitted import unsubmitted_parts
from relay.values.ids import id_text, parse_id
from relay.values.inbound import INBOUND
from relay.values.message_view import MessageView
from relay.values.messages import Pending

#: How many messages are read in one turn of the reactor. That takes about 0.1 ms, or 1 ms in a search for a part of an
#: id.
LOOKED_AT_A_TURN: Final = 1_000
#: To show a message takes as long as to read so many.
_SHOWN_COUNTS: Final = 20

_T = TypeVar("_T")


def recent(
    table: Table, account: str, before: float | None, state: int | None, search: str, limit: int, durable_mark: int
) -> Iterator[MessageView | None]:
    """See `Store.recent`."""
    entry = table.accounts.get(account)
    if entry is None or limit <= 0:
        return
    search = search.strip()
    message_id = parse_id(search)
    if message_id is not None:
        row = table.get(message_id)
        if row is None or row.origin.account is not entry or row.origin.interface == INBOUND:
            return
        if state is None or shown_state(row, durable_mark) == state:
            yield durable_view(row, durable_mark)
        return
    digits = search.lstrip("+").encode("utf-8", "replace")
    id_part = search.lower() if len(search) >= 4 else ""
    # It is a copy, because the list may change between two slices.
    rows = entry.recent.rows[entry.recent.first : entry.recent_before(before)]
    looked_at = 0
    for row in reversed(rows):
        looked_at += 1
        if looked_at > LOOKED_AT_A_TURN:
            looked_at = 0
            yield None
        if row.flags & FORGOTTEN or row.origin.interface == INBOUND:
            continue
        if state is not None and shown_state(row, durable_mark) != state:
            continue
        if digits and digits not in row.addresses and not (id_part and id_part in id_text(row.id)):
            continue
        yield durable_view(row, durable_mark)
        looked_at += _SHOWN_COUNTS
        limit -= 1
        if not limit:
            return


def _finished(
    table: Table, account: str, after: int, last: int, wanted: Callable[[Row], _T | None], limit: int
) -> Iterator[_T | None]:
    """Reads an account's finished messages after a place in the feed, and yields up to `limit` results.

    Each slice searches for its place again, because the list may change between two slices, and may be too long to
    copy.

    :param last: the place in the feed up to which it reads.
    :param wanted: makes the result of a row; None: the row isn't wanted.
    """
    entry = table.accounts.get(account)
    if entry is None or limit <= 0:
        return
    while after < last and (rows := entry.feed_after(after, LOOKED_AT_A_TURN)):
        for row in rows:
            if row.cursor > last:
                return
            if not row.flags & FORGOTTEN and (found := wanted(row)) is not None:
                yield found
                limit -= 1
                if not limit:
                    return
        if len(rows) < LOOKED_AT_A_TURN:
            return
        after = rows[-1].cursor
        yield None


def feed(table: Table, account: str, after: int, limit: int, durable_mark: int) -> Iterator[FeedEntry | None]:
    """See `Store.feed`."""
    return _finished(table, account, after, durable_mark, _feed_entry, limit)


def _feed_entry(row: Row) -> FeedEntry | None:
    if row.origin.interface == INBOUND:
        return None
    latest = row.latest
    return FeedEntry(
        row.cursor, row.id, latest.state, latest.carrier_error.error, latest.done_at, row.acceptance.accepted_at
    )


def given_up(table: Table, account: str, since: float, until: float, limit: int) -> Iterator[bytes | None]:
    """See `Store.given_up`."""
    entry = table.accounts.get(account)
    times = {} if entry is None else entry.given_up

    def wanted(row: Row) -> bytes | None:
        at = times.get(row.id) if row.flags & GIVEN_UP_WEBHOOK else None
        return row.id if at is not None and since <= at < until else None

    return _finished(table, account, 0, table.cursor, wanted, limit if times else 0)


def learnt_between(table: Table, account: str, since: float, until: float, limit: int) -> Iterator[bytes | None]:
    """See `Store.learnt_between`."""

    # All messages are read, because their times may not be in order: the clock may have been set meanwhile.
    def wanted(row: Row) -> bytes | None:
        return row.id if since <= row.latest.done_at < until else None

    return _finished(table, account, 0, table.cursor, wanted, limit)


def owed_since(table: Table, account: str) -> Iterator[float | None]:
    """See `Store.owed_since`."""

    def wanted(row: Row) -> float | None:
        return row.latest.done_at if row.flags & (OWED_WEBHOOK | OWED_SMPP) else None

    return _finished(table, account, 0, table.cursor, wanted, 1)


def pending(table: Table, after: tuple[bytes, int] | None, limit: int) -> Sequence[Pending]:
    """See `Store.unsubmitted`."""
    return [_pending(table, row, part) for row, part in table.unsubmitted_messages.after(after, limit)]


def _pending(table: Table, row: Row, part: int) -> Pending:
    return Pending(
        row.id,
        part,
        row.origin.account.name,
        row.addresses,
        row.acceptance.accepted_at,
        row.acceptance.expires_at,
        table.in_doubt.carrier(row.id, part),
        row.origin.priority,
        row.origin.adapt,
        () if row.rare_fields is None else row.rare_fields.tags,
        tried(row),
    )


def scheduled_due(table: Table, now: float, limit: int) -> Sequence[Pending]:
    """See `Store.scheduled_due`."""
    rows = table.scheduled.due(now, limit)
    table.wait_for_carriers(rows)
    return [_pending(table, row, part) for row in rows for part in unsubmitted_parts(row)]


def failed_over(rows: Sequence[Row], table: Table) -> Sequence[Pending]:
    """The parts of messages that go to another carrier."""
    return [_pending(table, row, part) for row in rows for part in unsubmitted_parts(row)]


def kept_receipts(table: Table, after: tuple[int, int] | None, limit: int) -> KeptReceipts:
    """Kept receipts after a place: orphans, then unreadable receipts, then evidence. See `Store.kept_receipts`."""
    orphan, number = after or (0, 0)
    if orphan >= 0:
        receipts, goes_on = table.orphans.after(orphan, limit)
        # -1: there are no more orphans; -2: no more unreadable ones either.
        return KeptReceipts(receipts, (-1 if goes_on is None else goes_on, 0))
    if orphan == -1:
        receipts, goes_on = table.unreadable.after(number, limit)
        return KeptReceipts(receipts, (-2, 0) if goes_on is None else (-1, goes_on))
    receipts, goes_on = table.evidence.after(number, limit)
    return KeptReceipts(receipts, None if goes_on is None else (-2, goes_on))

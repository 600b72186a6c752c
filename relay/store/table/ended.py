"""Counts how messages ended, for the quality of carriers. It reads the feeds, so receipts cost nothing more.

An earlier round of a message counts when the message ends. Only then is it certain that it did not deliver.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from relay.store.table.entries import Row, rounds_of
from relay.store.table.entry_values import NO_CARRIER_ERROR, CarrierHandoff, LatestState
from relay.store.table.parts import ending_part, latest_handoff
from relay.store.table.table import Table
from relay.values.country_codes import CODE_OF_FIRST_DIGITS
from relay.values.ended_counts import (
    COUNTS,
    DELIVERED,
    FAILED,
    FIRST_CLASS,
    TOOK_SECONDS,
    UNANSWERED,
    EndedCounts,
    QualityGroup,
)
from relay.values.messages import destination_of
from relay.values.states import DELETED, UNKNOWN
from relay.values.states import DELIVERED as STATE_DELIVERED

#: A carrier, the kind of the ending, and the seconds from the handoff to the receipt.
_Ending = tuple[str, int, float]


def ended_counts(table: Table, after: int, last: int) -> EndedCounts:
    """Counts the messages that ended after one place in the feed, up to another one. See `StoreQueries.ended_counts`.

    It takes about a microsecond for each message.
    """
    groups: dict[QualityGroup, list[int]] = {}
    for name, account in table.accounts.items():
        rows = account.feed.rows
        if not rows or rows[-1].cursor <= after:
            continue
        # Few numbers of an account begin differently, so this saves a microsecond for each message.
        known: dict[tuple[str, bytes], list[int]] = {}
        for row in account.feed_after(after, last - after):
            if row.cursor > last:
                break
            rare_fields = row.rare_fields
            if rare_fields is not None and (rare_fields.inbound is not None or rare_fields.failover is not None):
                endings: Iterable[_Ending] = _of_rounds(row) if rare_fields.inbound is None else ()
            elif row.handoff is None or row.latest.state == DELETED:
                continue
            else:
                endings = ((row.handoff.carrier, *_kind(row.handoff, row.latest)),)
            number = destination_of(row.addresses)
            digits = number[1:4] if number.startswith(b"+") else number[:3]
            for carrier, kind, seconds in endings:
                counts = known.get((carrier, digits))
                if counts is None:
                    group = QualityGroup(carrier, name, CODE_OF_FIRST_DIGITS.get(digits, ""))
                    counts = known[carrier, digits] = groups.setdefault(group, [0] * COUNTS)
                counts[kind] += 1
                if kind == DELIVERED:
                    counts[FIRST_CLASS + bisect_left(TOOK_SECONDS, seconds)] += 1
    return EndedCounts(max(after, last), groups)


def _kind(handoff: CarrierHandoff, latest: LatestState) -> tuple[int, float]:
    state, at = latest.state, latest.done_at
    if state == STATE_DELIVERED:
        return DELIVERED, at - (at if handoff.at is None else handoff.at)
    if state == UNKNOWN and latest.carrier_error is NO_CARRIER_ERROR and handoff.at is not None:
        # A receipt that says UNKNOWN and nothing else comes before it is due.
        return (UNANSWERED if at >= handoff.receipt_due_at else FAILED), 0.0
    return FAILED, 0.0


def _of_rounds(row: Row) -> Iterator[_Ending]:
    rounds = rounds_of(row)
    failover = None if row.rare_fields is None else row.rare_fields.failover
    decided_by = -1 if failover is None else failover.decided_by
    for number, each in enumerate(rounds):
        handoff = latest_handoff(each.parts)
        if handoff is None:
            continue
        ending = ending_part(each.parts)
        if number == decided_by:
            # The state is DELIVERED: only a delivery decides from an earlier round.
            yield handoff.carrier, *_kind(handoff, row.latest)
        else:
            yield handoff.carrier, UNANSWERED if ending is None else FAILED, 0.0
    if decided_by < 0 and row.handoff is not None and row.latest.state != DELETED:
        yield row.handoff.carrier, *_kind(row.handoff, row.latest)

"""Counts how messages ended, for the quality of carriers. It reads the feeds, so receipts cost nothing more.

An earlier round of a message counts when the message ends. Only then is it certain that it did not deliver.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from relay.store.table.entries import Row, rounds_of
from relay.store.table.entry_values import NO_CARRIER_ERROR, CarrierHandoff, LatestState
from relay.store.table.parts import ending_part, latest_handoff
from relay.store.table.table import Table
from relay.values.country_codes import country_code
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
from relay.values.states import DELETED, UNKNOWN
from relay.values.states import DELIVERED as STATE_DELIVERED

#: A carrier, and the places of the counts that grow by one: the kind of the ending, and for a delivery its class.
_Ending = tuple[str, tuple[int, ...]]
_PLUS: Final = ord("+")
_UNANSWERED: Final = (UNANSWERED,)
_FAILED: Final = (FAILED,)


def ended_counts(table: Table, after: int, last: int) -> EndedCounts:
    """Counts the messages that ended after one place in the feed, up to another one.

    `StoreQueries.ended_counts` says more.
    """
    groups: dict[QualityGroup, list[int]] = {}
    for name, account in table.accounts.items():
        rows = account.feed.rows
        if not rows or rows[-1].cursor <= after:
            continue
        # How often numbers that begin with the same three digits had the same ending.
        tallies: defaultdict[_Ending, defaultdict[bytes, int]] = defaultdict(_tally)
        # Messages that a carrier took together, and that ended in one read, share these two values. So neighbours
        # mostly have the same ending. To look at it once, and at a country once, saves two thirds of the bytecodes.
        handoff: CarrierHandoff | None = None
        latest: LatestState | None = None
        tally: defaultdict[bytes, int] | None = None
        for row in account.feed_after(after, last - after):
            if row.cursor > last:
                break
            rare_fields = row.rare_fields
            if rare_fields is not None and rare_fields.failover is not None:
                for ending in _of_rounds(row):
                    tallies[ending][_first_digits(row.addresses)] += 1
                continue
            if row.handoff is not handoff or row.latest is not latest:
                handoff, latest = row.handoff, row.latest
                if handoff is None or latest.state == DELETED:
                    tally = None
                else:
                    tally = tallies[handoff.carrier, _grows(handoff, latest)]
            if tally is not None:
                tally[_first_digits(row.addresses)] += 1
        for (carrier, grows), tally in tallies.items():
            for digits, count in tally.items():
                counts = groups.setdefault(QualityGroup(carrier, name, country_code(digits)), [0] * COUNTS)
                for place in grows:
                    counts[place] += count
    return EndedCounts(max(after, last), groups)


def _tally() -> defaultdict[bytes, int]:
    return defaultdict(int)


def _first_digits(addresses: bytes) -> bytes:
    """The first three digits of the destination, and a + before them if it is there."""
    start = addresses.index(0, 2) + 3
    return addresses[start : start + 4] if addresses[start] == _PLUS else addresses[start : start + 3]


def _grows(handoff: CarrierHandoff, latest: LatestState) -> tuple[int, ...]:
    state, at = latest.state, latest.done_at
    if state == STATE_DELIVERED:
        seconds = at - (at if handoff.at is None else handoff.at)
        return DELIVERED, FIRST_CLASS + bisect_left(TOOK_SECONDS, seconds)
    if state == UNKNOWN and latest.carrier_error is NO_CARRIER_ERROR and handoff.at is not None:
        # A receipt that says UNKNOWN and nothing else comes before it is due.
        return _UNANSWERED if at >= handoff.receipt_due_at else _FAILED
    return _FAILED


def _of_rounds(row: Row) -> Iterator[_Ending]:
    rounds = rounds_of(row)
    failover = None if row.rare_fields is None else row.rare_fields.failover
    decided_by = -1 if failover is None else failover.decided_by
    for number, each in enumerate(rounds):
        handoff = latest_handoff(each.parts)
        if handoff is None:
            continue
        if number == decided_by:
            # The state is DELIVERED: only a delivery decides from an earlier round.
            yield handoff.carrier, _grows(handoff, row.latest)
        else:
            yield handoff.carrier, _UNANSWERED if ending_part(each.parts) is None else _FAILED
    if decided_by < 0 and row.handoff is not None and row.latest.state != DELETED:
        yield row.handoff.carrier, _grows(row.handoff, row.latest)

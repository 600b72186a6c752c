"""Sends a message to another carrier after one could not deliver it (key `failover` of its route).

Theory of operation: a *round* begins when a message waits for a carrier, and ends when the message ends or goes to
another carrier. When the receipts of a round say that the message failed, or when none came in time, the round is put
aside (`end_round`), and the row waits for a carrier like a new one. A long message goes on as a whole, because a
handset joins parts only if they have the same sender and the same reference, and a carrier may change both. A carrier
has a message in one round only. So an entry of the index of carrier message ids, which has the number of its round,
tells which round a receipt belongs to. A late receipt changes the parts of its round. If it completes a delivery before
the message has ended, then the message ends as delivered, and the parts that still wait are not sent.
"""

from collections.abc import Iterable, Sequence

from relay.store.table.entries import PartOfRow, Row, parts_of, rounds_of
from relay.store.table.entry_values import (
    FINAL,
    WAITED,
    CarrierError,
    FailoverState,
    Part,
    Round,
)
from relay.store.table.parts import ending_part
from relay.store.table.records import RoundEnded, RoundLearnt
from relay.store.table.table import Table
from relay.store.table.table_changes import TableChanges
from relay.store.table.unsubmitted import unsubmitted_parts
from relay.values.carrier_reports import Submitted
from relay.values.states import DELIVERED


def failover_of(row: Row) -> FailoverState:
    """The rounds of a row that has the flag FAILS_OVER."""
    assert row.rare_fields is not None
    assert row.rare_fields.failover is not None
    return row.rare_fields.failover


def tried(row: Row) -> tuple[str, ...]:
    """The carriers of the earlier rounds."""
    rounds = rounds_of(row)
    return tuple(dict.fromkeys(carrier for each in rounds for carrier in _carriers(each.parts, each.former_ids)))


def _carriers(parts: Iterable[Part | Row], former_ids: Sequence[tuple[str, bytes, int]]) -> list[str]:
    """The carriers of a round, also those that had a part before it was sent again in the same round."""
    return [
        *[part.handoff.carrier for part in parts if part.handoff is not None],
        *[former[0] for former in former_ids],
    ]


def _present_carriers(row: Row) -> list[str]:
    former_ids = () if row.rare_fields is None else row.rare_fields.former_ids
    return list(dict.fromkeys(_carriers(parts_of(row) or (row,), former_ids)))


def may_go_on(table: Table, row: Row, at: float) -> bool:
    """Whether a message that carriers have taken may go to another carrier at this time."""
    failover = failover_of(row)
    handoff = row.handoff
    if (
        row.flags & FINAL
        or handoff is None
        or handoff.at is None
        or len(failover.rounds) >= failover.rule.times
        or at >= row.acceptance.expires_at
    ):
        return False
    had = (*tried(row), *_present_carriers(row))
    account, tags = row.origin.account.name, () if row.rare_fields is None else row.rare_fields.tags
    return table.failovers.other_carrier(account, row.addresses, row.acceptance.accepted_at, tags, had)


def go_on(
    table: Table,
    row: Row,
    state: int,
    carrier_error: CarrierError,
    at: float,
    carrier_done_at: float,
    changes: TableChanges,
    *,
    final: bool = True,
) -> None:
    """Ends the present round of a message, so that it goes to another carrier. `may_go_on` must be true.

    :param state: how the round ended, if `final`. Otherwise no receipt came in time.
    """
    code, stat = carrier_error.network_error_code, carrier_error.stat
    record = RoundEnded(row.id, state, final, at, carrier_error.error, code, stat, carrier_done_at)
    for carrier in _present_carriers(row):
        table.failovers.counts[carrier] += 1
    table.failovers.timers.drop(row, failover_of(row))
    end_round(table, row, record)
    table.awaiting -= 1
    table.unsubmitted += 1
    table.failovers.go_on(row)
    changes.records.append(record)


def end_round(table: Table, row: Row, record: RoundEnded) -> None:
    """Puts the present round aside. Replay calls it, too. The counts of the table don't change."""
    failover = failover_of(row)
    rare_fields = row.rare_fields
    assert rare_fields is not None
    parts = rare_fields.parts
    if parts is None:
        carrier_error = table.shared.carrier_error(record.error, record.network_error_code, record.stat)
        only = Part(
            row.handoff,
            row.carrier_message_id,
            record.state,
            record.final,
            carrier_error,
            record.at if record.final else 0.0,
            rare_fields.given_id,
            bool(row.flags & WAITED),
            record.carrier_done_at,
        )
        parts = [only]
    else:
        rare_fields.parts = [Part() for _ in parts]
    failover.rounds = [*failover.rounds, Round(parts, rare_fields.former_ids)]
    rare_fields.former_ids = ()
    rare_fields.given_id = b""
    row.handoff = None
    row.carrier_message_id = b""
    row.flags &= ~WAITED


def taken_in_earlier_round(row: Row, s: Submitted) -> PartOfRow | None:
    """If a carrier of an earlier round says late that it took a part, keeps its id in that round.

    :return: the entry that the id leads to; None: the carrier has the part in the present round.
    """
    for number, each in enumerate(rounds_of(row)):
        if s.carrier in _carriers(each.parts, each.former_ids):
            if not 0 <= s.part < len(each.parts):
                return None
            if s.carrier_message_id:
                each.former_ids = (*each.former_ids, (s.carrier, s.carrier_message_id, s.part))
            return PartOfRow(row, s.part, number)
    return None


def learn_in_round(table: Table, record: RoundLearnt, row: Row) -> None:
    """Changes a part of an earlier round, as a late receipt says. Replay calls it, too."""
    failover = failover_of(row)
    part = failover.rounds[record.round].parts[record.part]
    part.state, part.final, part.done_at = record.state, True, record.at
    part.carrier_error = table.shared.carrier_error(record.error, record.network_error_code, record.stat)
    part.carrier_done_at = record.carrier_done_at
    if record.decides:
        failover.decided_by = record.round


def delivers(row: Row, number: int, part: int) -> bool:
    """Whether all of an earlier round is delivered if this part is."""
    parts = list(rounds_of(row)[number].parts)
    parts[part] = Part(parts[part].handoff, state=DELIVERED, final=True)
    ending = ending_part(parts)
    return ending is not None and ending.state == DELIVERED


def drop_waiting(table: Table, row: Row) -> None:
    """Makes the flow drop the queued parts of a message, which is about to end."""
    if row.handoff is None:
        table.failovers.drop(row.id, len(unsubmitted_parts(row)), row.acceptance.expires_at)

"""Follows messages that go to another carrier: what the carriers of each round did with their parts.

Theory of operation: `relay.store.table.failing_over` explains rounds. The entry of such a message has the parts of all
rounds, the present round last. Its other fields show one of them: the round whose late receipt ended the message, or
the present one (`show_round`).
"""

from collections.abc import Sequence

from relay.history.history_entries import ATTEMPTS_KEPT, Entry, PartEntry
from relay.store.table.records import Learnt, PartSnapshot, RoundEnded, RoundLearnt, Snapshot
from relay.values.carrier_reports import Submitted
from relay.values.states import ENROUTE


def part_entries(parts: Sequence[PartSnapshot]) -> list[PartEntry]:
    """Makes the parts that a snapshot has."""
    return [
        PartEntry(
            p.carrier, p.carrier_message_id, p.state, p.error, p.stat, p.submitted_at or 0.0, p.done_at,
            p.carrier_done_at,
        )
        for p in parts
    ]  # fmt: skip


def end_round(entry: Entry, record: RoundEnded) -> None:
    """The present round of a message ended, and it waits for another carrier."""
    details = entry.rare()
    rounds = details.rounds or [_present(entry)]
    if details.parts is None:
        part = rounds[-1][0]
        part.state, part.error, part.stat = record.state, record.error, record.stat
        part.done_at, part.carrier_done_at = record.at if record.final else 0.0, record.carrier_done_at
        # An intermediate state stays the message's until the next carrier says something else.
        fresh = [
            PartEntry(
                state=entry.state, error=entry.error, stat=details.stat, done_at=entry.done_at,
                carrier_done_at=entry.carrier_done_at,
            )
        ]  # fmt: skip
    else:
        fresh = [PartEntry() for _ in rounds[-1]]
    carriers = {part.carrier for part in rounds[-1]} | {carrier for carrier, _, _ in details.handoffs}
    details.tried = sorted({*details.tried, *carriers})
    details.rounds = [*rounds, fresh]
    show_round(entry)


def _present(entry: Entry) -> list[PartEntry]:
    details = entry.rare()
    if details.parts is not None:
        return details.parts
    return [PartEntry(entry.carrier, entry.carrier_message_id, entry.state, submitted_at=entry.submitted_at)]


def take_rounds(entry: Entry, s: Snapshot) -> None:
    """Copies the rounds of a snapshot into an entry."""
    if s.failover is None or not s.failover.rounds:
        return
    details = entry.rare()
    rounds = s.failover.rounds
    details.rounds = [*[part_entries(each.parts) for each in rounds], part_entries(s.parts)]
    details.decided_by = s.failover.decided_by
    details.tried = sorted(
        {part.carrier for each in rounds for part in each.parts}
        | {carrier for each in rounds for carrier, _, _ in each.former_ids}
    )
    show_round(entry)


def keep_handoff(entry: Entry, carrier: str, carrier_message_id: bytes, at: float) -> None:
    """Keeps an earlier handoff of a part that was submitted again, or one that came too late."""
    details = entry.rare()
    handoff = (carrier, carrier_message_id, at)
    if handoff not in details.handoffs:
        details.handoffs = [*details.handoffs[1 - ATTEMPTS_KEPT :], handoff]


def taken_in_round(entry: Entry, s: Submitted) -> None:
    """A carrier took a part in the present round, or says late that it took one in an earlier round."""
    rounds = entry.rare().rounds
    if not 0 <= s.part < len(rounds[-1]):
        return
    if s.carrier in entry.rare().tried:
        keep_handoff(entry, s.carrier, s.carrier_message_id, s.at)
        return
    part = rounds[-1][s.part]
    if part.submitted_at:
        keep_handoff(entry, part.carrier, part.carrier_message_id, part.submitted_at)
    part.carrier, part.carrier_message_id, part.submitted_at = s.carrier, s.carrier_message_id, s.at
    if not part.done_at:
        part.state = ENROUTE
    show_round(entry)


def learn_present(entry: Entry, record: Learnt) -> None:
    """The state of a message of one part was learnt in the present round."""
    part = entry.rare().rounds[-1][0]
    part.state, part.error, part.stat = record.state, record.error, record.stat
    part.done_at, part.carrier_done_at = record.at, record.carrier_done_at
    part.carrier = part.carrier or record.carrier


def learn_in_round(entry: Entry, record: RoundLearnt) -> None:
    """A late receipt brought the state of a part in an earlier round."""
    details = entry.rare()
    if record.round >= len(details.rounds) or record.part >= len(details.rounds[record.round]):
        # The history has not read all records of this message.
        return
    part = details.rounds[record.round][record.part]
    part.state, part.error, part.stat = record.state, record.error, record.stat
    part.done_at, part.carrier_done_at = record.at, record.carrier_done_at
    if record.decides:
        details.decided_by = record.round
        show_round(entry)


def show_round(entry: Entry) -> None:
    """Makes the entry's other fields those of the round that decided, or of the present one."""
    details = entry.rare()
    shown = details.rounds[details.decided_by]
    if details.parts is not None:
        details.parts = shown
    else:
        entry.carrier_message_id = shown[0].carrier_message_id
    # A part that has a carrier, and was not submitted, was refused by that carrier.
    refused_by = (part.carrier for part in shown if part.carrier and not part.submitted_at)
    entry.carrier, entry.submitted_at = next(refused_by, ""), 0.0
    if all(part.submitted_at for part in shown):
        latest = max(shown, key=lambda part: part.submitted_at)
        entry.carrier, entry.submitted_at = latest.carrier, latest.submitted_at

"""Decides how a long message ends, from the states of its parts.

Theory of operation: a carrier sends receipts for all parts, for the first, for the last, or for any one of them
(`parts_receipted`). The parts for which receipts come are *awaited*. A message has ended when carriers have taken all
parts and all awaited parts have ended. It ends as the worst of them, so it is delivered if all of them are.
"""

from collections.abc import Sequence

from relay.store.table.entries import Row, parts_of
from relay.store.table.entry_values import NO_CARRIER_ERROR, REPORTED, CarrierHandoff, Part
from relay.values.carrier_reports import PartsReceipted
from relay.values.states import UNKNOWN, WORST_FIRST

_BADNESS = {state: rank for rank, state in enumerate(WORST_FIRST)}


def is_awaited(index: int, part: Part, count: int) -> bool:
    """Whether the carrier that took a part sends a receipt for this part."""
    handoff = part.handoff
    mode = PartsReceipted.ALL if handoff is None else handoff.parts_receipted
    if mode == PartsReceipted.ALL:
        return True
    if mode == PartsReceipted.FIRST:
        return index == 0
    if mode == PartsReceipted.LAST:
        return index == count - 1
    return False


def awaited_parts(parts: Sequence[Part]) -> list[Part]:
    """The parts that all must end. If carriers sent receipts for none of the parts, these are all parts."""
    awaited = [part for index, part in enumerate(parts) if is_awaited(index, part, len(parts))]
    return awaited or ([] if any_parts(parts) else list(parts))


def any_parts(parts: Sequence[Part]) -> list[Part]:
    """The parts of which one, whichever it is, gets a receipt."""
    return [part for part in parts if part.handoff is not None and part.handoff.parts_receipted == PartsReceipted.ANY]


def ending_part(parts: Sequence[Part]) -> Part | None:
    """The part whose state the message takes. None: a receipt is still awaited."""
    for part in parts:
        if part.handoff is None and not part.final:
            return None
    ended = awaited_parts(parts)
    for part in ended:
        if not part.final:
            return None
    alternatives = any_parts(parts)
    if alternatives:
        answered = [part for part in alternatives if part.final]
        if not answered:
            return None
        ended = ended + answered
    return min(ended, key=_badness)


def overdue_parts(parts: Sequence[Part], now: float) -> list[int]:
    """The indexes of the parts that end because no receipt came in time.

    If any one of several parts gets the receipt, they end when the last of them is overdue.
    """
    awaited = set(map(id, awaited_parts(parts)))
    overdue = [
        index
        for index, part in enumerate(parts)
        if not part.final and part.handoff is not None and part.handoff.receipt_due_at <= now and id(part) in awaited
    ]
    alternatives = any_parts(parts)
    if alternatives and not any(part.final for part in alternatives):
        latest_due_at = max(part.handoff.receipt_due_at for part in alternatives if part.handoff is not None)
        if latest_due_at <= now:
            overdue.append(next(index for index, part in enumerate(parts) if part is alternatives[0]))
    return overdue


def never_answered(row: Row) -> bool:
    """Whether some parts of a long message have timed out, and no receipt came for any part.

    A part that timed out is UNKNOWN, without an error or a word of its carrier. A receipt that says UNKNOWN and nothing
    else looks the same.
    """
    parts = parts_of(row) or ()
    return not row.flags & REPORTED and all(
        part.state == UNKNOWN and part.carrier_error is NO_CARRIER_ERROR for part in parts if part.final
    )


def latest_handoff(parts: Sequence[Part]) -> CarrierHandoff | None:
    """The handoff that a long message shows: the latest of its parts'; None: a part still waits for a carrier.

    If several parts have the same time, the first one counts. The order in which they were taken doesn't count, because
    a snapshot doesn't keep it.
    """
    latest: CarrierHandoff | None = None
    latest_at = -1.0
    for part in parts:
        handoff = part.handoff
        if handoff is None:
            return None
        at = handoff.at or 0.0
        if at > latest_at:
            latest, latest_at = handoff, at
    return latest


def shown_handoff(row: Row) -> tuple[CarrierHandoff | None, bytes]:
    """The handoff that a message shows, and the carrier message id of a message of one part.

    It is the present one, or that of the earlier round that ended the message.
    """
    failover = None if row.rare_fields is None else row.rare_fields.failover
    if failover is None or failover.decided_by < 0:
        return row.handoff, row.carrier_message_id
    parts = failover.rounds[failover.decided_by].parts
    return latest_handoff(parts), parts[0].carrier_message_id if len(parts) == 1 else b""


def _badness(part: Part) -> int:
    return _BADNESS.get(part.state, 0)

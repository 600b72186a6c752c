"""How a long message ends: from what is known of its parts.

Theory of operation: a carrier sends receipts for all parts, for the first, for the last, or for any one of them
(`parts_receipted`). The parts for which receipts come are *awaited*. A message has ended when every part has been
taken and every awaited one has ended: as delivered when all of those were, else as the worst of them.
"""

from collections.abc import Sequence

from relay.store.table.entries import Row, parts_of
from relay.store.table.entry_values import NO_CARRIER_ERROR, REPORTED, CarrierHandoff, Part
from relay.values.messages import PartsReceipted
from relay.values.states import UNKNOWN, WORST_FIRST

_BADNESS = {state: rank for rank, state in enumerate(WORST_FIRST)}


def is_awaited(index: int, part: Part, count: int) -> bool:
    """Whether the carrier that took a part sends a receipt for that very part."""
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
    """The parts that must each end; all, where the carriers' ways of receipting would leave none."""
    awaited = [part for index, part in enumerate(parts) if is_awaited(index, part, len(parts))]
    return awaited or ([] if any_parts(parts) else list(parts))


def any_parts(parts: Sequence[Part]) -> list[Part]:
    """The parts of which any one is receipted."""
    return [part for part in parts if part.handoff is not None and part.handoff.parts_receipted == PartsReceipted.ANY]


def ending_part(parts: Sequence[Part]) -> Part | None:
    """The part whose state is the whole message's; None while something is awaited."""
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
    """The indexes of parts that end because no receipt came in time. Of parts of which any one is receipted, the last
    to be due decides."""
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
    """Whether no receipt ever came for any part of a long message, of which some have timed out.

    A part that timed out is UNKNOWN without a word of its carrier's; a receipt that says UNKNOWN and nothing else looks
    the same.
    """
    parts = parts_of(row) or ()
    return not row.flags & REPORTED and all(
        part.state == UNKNOWN and part.carrier_error is NO_CARRIER_ERROR for part in parts if part.final
    )


def latest_handoff(parts: Sequence[Part]) -> CarrierHandoff | None:
    """The handoff that a long message shows: of the parts that were taken last, the first one's; None while one waits.

    It follows from the parts alone, and not from the order in which they were taken, which a snapshot doesn't keep.
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


def _badness(part: Part) -> int:
    return _BADNESS.get(part.state, 0)

"""Overdue parts: their receipts didn't come in time, and some carriers can be asked about them before they end.

Theory of operation: the sweep finds what is overdue; `Overdue.sort` says what becomes of it. A part ends, unless its
carrier is one that can be asked. Then the part is named once and held back: until a receipt ends it, until somebody
says what came of the question, or until `HELD_SECONDS` have passed without either, when it is looked at anew. A
carrier that has no room for questions, or is away, delays a part and never keeps it: `PATIENCE_SECONDS` after it was
due it ends unasked.

A part that is still under way at its carrier is waited for once more, to a time that the row keeps (`WAITED`); when
that is over it is overdue again, and named again, but nothing can put it off a second time.

What is held is in memory only. After a restart the parts are overdue still, and are named again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from relay.store.table.entries import Row, parts_of
from relay.store.table.entry_values import FINAL, WAITED, CarrierHandoff, Part
from relay.store.table.parts import latest_handoff
from relay.store.table.retries import rare_fields_of
from relay.store.table.table import Table
from relay.values.messages import AtCarrier

#: How long a question may be under way before its part is looked at anew. Longer than any response timeout.
HELD_SECONDS: Final = 1200.0
#: How long after it was due a part waits for its carrier to have room for a question.
PATIENCE_SECONDS: Final = 3600.0
#: Parts that are held back at once, over all carriers.
HELD_PARTS: Final = 10_000


class Sorted(NamedTuple):
    """Overdue parts, sorted by what becomes of them.

    :ivar rows, parts: messages and parts that end, as `Learning.time_out` wants them.
    :ivar queries: parts to ask the carrier about.
    """

    rows: list[Row]
    parts: list[tuple[Row, list[int]]]
    queries: list[AtCarrier]


class Overdue:
    """Remembers which parts are being asked about."""

    def __init__(self, table: Table) -> None:
        self._table = table
        #: Until when each is left alone; all were held for as long, so the first to be held is the first to be let go.
        self._held: dict[tuple[bytes, int], float] = {}

    def sort(
        self,
        rows: list[Row],
        long: Iterable[tuple[Row, list[int]]],
        askable: Mapping[str, int],
        now: float,
    ) -> Sorted:
        """Says what becomes of what is overdue.

        :param rows: messages of one part; `long`: longer ones, each with the indexes of its overdue parts.
        :param askable: carriers that can be asked, and how many questions each takes now.
        """
        held = self._held
        while held and (first := next(iter(held.items())))[1] <= now:
            del held[first[0]]
        long = list(long)
        if not askable and not held:
            return Sorted(rows, long, [])
        room = dict(askable)
        result = Sorted([], [], [])
        for row in rows:
            if self._ends(row, 0, row.handoff, row.carrier_message_id, room, now, result.queries):
                result.rows.append(row)
        for row, indexes in long:
            parts = parts_of(row) or ()
            ending = [
                index
                for index in indexes
                if self._ends(
                    row, index, parts[index].handoff, parts[index].carrier_message_id, room, now, result.queries
                )
            ]
            if ending:
                result.parts.append((row, ending))
        return result

    def answered(self, parts: Iterable[tuple[bytes, int]]) -> None:
        """The questions about these (message id, part) are over."""
        for part in parts:
            self._held.pop(part, None)

    def _ends(
        self,
        row: Row,
        index: int,
        handoff: CarrierHandoff | None,
        key: bytes,
        room: dict[str, int],
        now: float,
        queries: list[AtCarrier],
    ) -> bool:
        if (row.id, index) in self._held:
            return False
        if handoff is None or handoff.carrier not in room or now >= handoff.receipt_due_at + PATIENCE_SECONDS:
            return True
        if not self._table.ids.means_first(handoff.carrier, key, row):
            # The carrier gave no id, or has given the same to a newer message: an answer would not be about this one.
            return True
        if room[handoff.carrier] > 0 and len(self._held) < HELD_PARTS:
            room[handoff.carrier] -= 1
            self._held[row.id, index] = now + HELD_SECONDS
            queries.append(_at_carrier(row, index, handoff, key, given_id_of(row, index)))
        return False


def at_carriers(row: Row) -> list[AtCarrier]:
    """See `Store.at_carriers`."""
    if row.flags & FINAL:
        return []
    parts: Sequence[Part | Row] = parts_of(row) or (row,)
    return [
        _at_carrier(row, index, part.handoff, part.carrier_message_id, given_id_of(row, index))
        for index, part in enumerate(parts)
        if part.handoff is not None and is_at_carrier(row, index)
    ]


def _at_carrier(row: Row, index: int, handoff: CarrierHandoff, key: bytes, given_id: bytes) -> AtCarrier:
    return AtCarrier(row.id, index, handoff.carrier, key, given_id or key, row.addresses, row.origin.adapt)


def given_id_of(row: Row, index: int) -> bytes:
    """A part's id as its carrier wrote it; empty where it is the canonical one, or nobody kept it."""
    rare_fields = row.rare_fields
    if rare_fields is None:
        return b""
    return rare_fields.given_id if rare_fields.parts is None else rare_fields.parts[index].given_id


def keep_given_id(row: Row, index: int, given_id: bytes) -> None:
    """Keeps how the carrier wrote a part's id."""
    parts = parts_of(row)
    if parts is None:
        rare_fields_of(row).given_id = given_id
    else:
        parts[index].given_id = given_id


def is_at_carrier(row: Row, index: int) -> bool:
    """Whether the message has such a part, a carrier has taken it, and it has not ended."""
    parts = parts_of(row)
    if row.flags & FINAL or not 0 <= index < (1 if parts is None else len(parts)):
        return False
    if parts is None:
        return row.handoff is not None
    return parts[index].handoff is not None and not parts[index].final


def has_waited(row: Row, index: int) -> bool:
    """Whether the receipt of a part was waited for once more already."""
    parts = parts_of(row)
    return bool(row.flags & WAITED) if parts is None else parts[index].waited


def wait_once_more(row: Row, index: int, until: float) -> None:
    """Puts off when a part's receipt is due."""
    parts = parts_of(row)
    if parts is None:
        if row.handoff is not None:
            row.handoff = _later(row.handoff, until)
            row.flags |= WAITED
        return
    part = parts[index]
    if part.handoff is not None:
        part.handoff = _later(part.handoff, until)
        part.waited = True
        if row.handoff is not None and row.handoff.at is not None:
            row.handoff = latest_handoff(parts)


def _later(handoff: CarrierHandoff, until: float) -> CarrierHandoff:
    return CarrierHandoff(handoff.carrier, handoff.at, until, handoff.parts_receipted)

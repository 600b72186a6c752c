"""Decides about overdue parts, whose receipts didn't come in time. Some carriers can be asked about them first.

Theory of operation: `expiry` finds overdue parts, and `Overdue.sort` decides about them. A part ends, unless its
carrier can be asked. Then the part is named once, and held. It is held until a receipt ends it, until the result of the
query is known, or until `HELD_SECONDS` have passed; then it is checked again. If a carrier is down, or has no room for
queries, its parts are delayed. But a part always ends `PATIENCE_SECONDS` after it was due, even without a query.

If the carrier says that a part is under way, the relay waits once more, until a time that the row keeps (`WAITED`).
After that time the part is overdue again, and named again. But it is not delayed a second time.

Held parts are only in memory. After a restart they are still overdue, and are named again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from relay.store.table.entries import Row, parts_of
from relay.store.table.entry_values import FINAL, WAITED, CarrierHandoff, Part
from relay.store.table.parts import latest_handoff
from relay.store.table.retries import rare_fields_of
from relay.store.table.table import Table
from relay.values.carrier_reports import AtCarrier

#: How long a query may be under way before its part is checked again. It is longer than any response timeout.
HELD_SECONDS: Final = 1200.0
#: How long after it was due a part may wait until its carrier has room for a query.
PATIENCE_SECONDS: Final = 3600.0
#: How many parts of all carriers may be held at once.
HELD_PARTS: Final = 10_000


class Sorted(NamedTuple):
    """The decision about overdue parts.

    :ivar rows, parts: the messages and parts that end, as arguments of `Learning.time_out`.
    :ivar queries: the parts about which carriers must be asked.
    """

    rows: list[Row]
    parts: list[tuple[Row, list[int]]]
    queries: list[AtCarrier]


class Overdue:
    """Remembers which parts are being asked about."""

    def __init__(self, table: Table) -> None:
        self._table = table
        #: Until when each part is held. All are held equally long, so the first one is released first.
        self._held: dict[tuple[bytes, int], float] = {}

    def sort(
        self,
        rows: list[Row],
        long: Iterable[tuple[Row, list[int]]],
        askable: Mapping[str, int],
        now: float,
    ) -> Sorted:
        """Decides about overdue messages.

        :param rows: messages of one part.
        :param long: long messages, each with the indexes of its overdue parts.
        :param askable: the carriers that can be asked, and how many queries each takes now.
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
        """Releases parts (message id, part) whose queries have ended."""
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
            # The carrier gave no id, or has given the same id to a newer message. Its answer would not be about this
            # part.
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
    """A part's id as its carrier wrote it; empty: it is the canonical one, or it was not kept."""
    rare_fields = row.rare_fields
    if rare_fields is None:
        return b""
    return rare_fields.given_id if rare_fields.parts is None else rare_fields.parts[index].given_id


def keep_given_id(row: Row, index: int, given_id: bytes) -> None:
    """Keeps a part's id as the carrier wrote it."""
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
    """Whether the relay has waited once more for the receipt of this part already."""
    parts = parts_of(row)
    return bool(row.flags & WAITED) if parts is None else parts[index].waited


def wait_once_more(row: Row, index: int, until: float) -> None:
    """Delays the time when a part's receipt is due."""
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

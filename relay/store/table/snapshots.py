"""A row as one record, and back: how compaction carries a message out of a segment that is to be deleted."""

from collections.abc import Sequence

from relay.store.table.carrier_ids import CarrierIdIndex
from relay.store.table.correlation import refusal
from relay.store.table.entries import Row, is_unsubmitted
from relay.store.table.entry_values import DURABLE_FLAGS, FINAL, GIVEN_UP_WEBHOOK, Birth, Extra, Fault, Hop, Part, Tries
from relay.store.table.parts import latest_hop
from relay.store.table.records import PartSnapshot, Snapshot
from relay.store.table.table import Table

_NO_EXTRA = Extra()
_NO_TRIES = Tries()
#: What a row of one part without an `Extra` would have in it.
_PLAIN = tuple((name, getattr(_NO_EXTRA, name)) for name in Extra.__struct_fields__ if name != "parts")


def needs_bodies(row: Row) -> bool:
    """Whether a snapshot of the row must carry the bodies of its parts."""
    return is_unsubmitted(row)


def snapshot(row: Row, ids: CarrierIdIndex, bodies: Sequence[bytes] = ()) -> Snapshot:
    """The row's whole state.

    :param ids: the table's, to say which ids still mean the row.

    :param bodies: of all its parts, where `needs_bodies` says so; only those of parts that wait are kept.
    """
    extra = row.extra or _NO_EXTRA
    if extra.parts is None:
        final = bool(row.flags & FINAL)
        only = Part(row.hop, row.carrier_message_id, row.state, final, row.fault, row.done_at, extra.given_id)
        parts: Sequence[Part] = (only,)
    else:
        parts = extra.parts
    webhook = extra.webhook or _NO_TRIES
    smpp = extra.smpp or _NO_TRIES
    origin, birth = row.origin, row.birth
    return Snapshot(
        row.id,
        origin.account.name,
        origin.interface,
        origin.registered_delivery,
        row.addresses,
        birth.accepted_at,
        birth.expires_at,
        row.state,
        row.flags & DURABLE_FLAGS,
        row.done_at,
        row.cursor,
        tuple(
            [_part(row, part, ids, bodies[i] if bodies and part.hop is None else b"") for i, part in enumerate(parts)]
        ),
        row.fault.error,
        row.fault.network_error_code,
        extra.reference,
        extra.url,
        tuple([former for former in extra.former_ids if ids.means(former[0], former[1], row)]),
        webhook.attempts,
        webhook.due_at,
        smpp.attempts,
        smpp.due_at,
        extra.given_up_at,
        extra.attempts,
        extra.again_at,
        row.hop.carrier if extra.parts is not None and row.hop is not None and row.hop.at is None else "",
        row.fault.stat,
    )


def _part(row: Row, part: Part, ids: CarrierIdIndex, body: bytes) -> PartSnapshot:
    hop = part.hop
    return PartSnapshot(
        body,
        "" if hop is None else hop.carrier,
        part.carrier_message_id,
        None if hop is None else hop.at,
        0.0 if hop is None else hop.receipt_due_at,
        0 if hop is None else hop.parts_receipted,
        part.state,
        part.final,
        part.fault.error,
        part.fault.network_error_code,
        part.done_at,
        hop is None or not part.carrier_message_id or ids.means(hop.carrier, part.carrier_message_id, row),
        part.given_id,
        part.waited,
        part.fault.stat,
    )


class SharedHops:
    """Makes hops, and gives the one it made last for as long as it fits: neighbours in a journal went together."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._last: Hop | None = None

    def hop(self, carrier: str, at: float | None, receipt_due_at: float, parts_receipted: int) -> Hop:
        """A hop with these values."""
        hop = self._last
        if (
            hop is None
            or receipt_due_at != hop.receipt_due_at
            or at != hop.at
            or carrier != hop.carrier
            or parts_receipted != hop.parts_receipted
        ):
            hop = self._last = Hop(self._table.ids.name(carrier), at, receipt_due_at, parts_receipted)
        return hop


def row_of_snapshot(s: Snapshot, table: Table, birth: Birth, hops: SharedHops) -> Row:
    """The row that a snapshot was made of, in no container of the table yet."""
    origin = table.account(s.account).origin(s.interface, s.registered_delivery)
    row = Row(s.id, origin, s.addresses, birth, s.state, s.flags)
    row.fault = table.fault(s.error, s.network_error_code, s.stat)
    row.done_at = s.done_at
    row.cursor = s.cursor
    parts = [_restored_part(part, table, hops) for part in s.parts]
    extra = Extra(
        parts if len(parts) != 1 else None,
        s.reference,
        s.notification_url,
        s.former_ids,
        Tries(s.webhook_attempts, s.webhook_due_at) if s.webhook_attempts else None,
        Tries(s.smpp_attempts, s.smpp_due_at) if s.smpp_attempts else None,
        s.attempts,
        s.given_up_at,
        s.again_at,
        s.parts[0].given_id if len(parts) == 1 else b"",
    )
    if len(parts) != 1 or any(getattr(extra, name) != default for name, default in _PLAIN):
        row.extra = extra
    if len(parts) == 1:
        row.hop = parts[0].hop
        row.carrier_message_id = parts[0].carrier_message_id
    else:
        row.hop = latest_hop(parts)
    if s.refused_by:
        row.hop = refusal(table.ids.name(s.refused_by))
    if s.flags & FINAL and s.flags & GIVEN_UP_WEBHOOK:
        origin.account.given_up[row.id] = s.given_up_at
    return row


def _restored_part(p: PartSnapshot, table: Table, hops: SharedHops) -> Part:
    hop = None
    if p.submitted_at is not None:
        hop = hops.hop(p.carrier, p.submitted_at, p.receipt_due_at, p.parts_receipted)
    elif p.carrier:
        hop = refusal(table.ids.name(p.carrier))
    fault: Fault = table.fault(p.error, p.network_error_code, p.stat)
    return Part(hop, p.carrier_message_id, p.state, p.final, fault, p.done_at, p.given_id, p.waited)

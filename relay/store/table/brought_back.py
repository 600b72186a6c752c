"""Takes ended messages back that the table has forgotten, so that their webhooks can be sent again.

Theory of operation: the history knows how these messages ended. One that is taken back is a row without a place in the
feed, because its customer read that place long ago, and the carriers' quality has counted it. No carrier message id
leads to it, because a carrier may have given its id to a later message. When its notification is settled, it is a
finished row like others. The journal has it as a snapshot.
"""

from collections.abc import Sequence

from relay.store.table.entries import Row
from relay.store.table.entry_values import FINAL, OWED_WEBHOOK, Acceptance, Segment
from relay.store.table.records import PartSnapshot, Snapshot
from relay.store.table.snapshots import SharedHandoffs, row_of_snapshot
from relay.store.table.table import Table
from relay.values.message_view import MessageView, PartView


def is_brought_back(row: Row) -> bool:
    """Whether the table has taken this message back: it has ended, and has no place in the feed."""
    return row.flags & FINAL != 0 and not row.cursor


def snapshots_of(table: Table, views: Sequence[MessageView]) -> list[Snapshot]:
    """Makes the snapshots of the ended messages among these that the table doesn't have."""
    forgotten = {view.id: view for view in views if view.final and table.get(view.id) is None}
    return [_snapshot_of(view) for view in forgotten.values()]


def _snapshot_of(view: MessageView) -> Snapshot:
    refused_by = view.carrier if len(view.parts) > 1 and all(part.submitted_at is None for part in view.parts) else ""
    return Snapshot(
        view.id,
        view.account,
        view.interface,
        # Its SMPP receipt, if it had one, isn't sent again.
        registered_delivery=0,
        addresses=view.addresses,
        accepted_at=view.accepted_at,
        expires_at=view.expires_at,
        state=view.state,
        flags=FINAL,
        done_at=view.done_at or view.accepted_at,
        cursor=0,
        parts=tuple([_part_of(part) for part in view.parts]),
        error=_octets(view.carrier_error),
        reference=view.reference,
        notification_url=view.notification_url,
        refused_by=refused_by,
        carrier_done_at=view.carrier_done_at or 0.0,
    )


def _part_of(part: PartView) -> PartSnapshot:
    return PartSnapshot(
        carrier=part.carrier,
        carrier_message_id=_octets(part.carrier_message_id),
        submitted_at=part.submitted_at,
        state=part.state,
        final=True,
        error=_octets(part.carrier_error),
        done_at=part.done_at or 0.0,
        named=False,
        stat=_octets(part.carrier_stat),
        carrier_done_at=part.carrier_done_at or 0.0,
    )


def _octets(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def bring_back(table: Table, snapshots: Sequence[Snapshot], segment: Segment, offset: int) -> None:
    """Makes a row of each message, whose frame is at this place in the journal. Nothing is owed yet."""
    handoffs = SharedHandoffs(table)
    for s in snapshots:
        acceptance = Acceptance(s.accepted_at, s.expires_at, segment, offset)
        table.shards[s.id[0]][s.id] = row_of_snapshot(s, table, acceptance, handoffs)
    segment.rows += len(snapshots)
    table.rows += len(snapshots)


def take_back(table: Table, snapshots: Sequence[Snapshot]) -> None:
    """Undoes a `bring_back` that could not be made durable, and what was made owed since."""
    for s in snapshots:
        row = table.get(s.id)
        if row is None or not row.flags & OWED_WEBHOOK:
            # Its attempt has ended meanwhile: it is a finished row, which is forgotten in time.
            continue
        queue = table.queue_of(row, OWED_WEBHOOK)
        queue.settle(row)
        table.owed -= 1
        table.forget(row)

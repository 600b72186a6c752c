"""One message as customers and operators see it."""

from relay.store.table.entries import Row
from relay.store.table.entry_values import FINAL, NO_FAULT, OWED_SMPP, OWED_WEBHOOK, Fault, Hop, Part
from relay.store.table.notification_queues import CHANNEL_OF_BIT
from relay.store.table.records import Settled
from relay.values.messages import AttemptView, MessageView, PartView
from relay.values.states import customer_words


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace")


def _part_view(hop: Hop | None, key: bytes, state: int, fault: Fault, done_at: float) -> PartView:
    return PartView(
        "" if hop is None else hop.carrier,
        _text(key),
        state,
        _text(fault.error),
        None if hop is None else hop.at,
        done_at or None,
        _text(fault.stat),
    )


def _attempt_view(settled: Settled) -> AttemptView:
    words = customer_words(settled.state, b"")
    channel = CHANNEL_OF_BIT[settled.channel].value
    return AttemptView(channel, settled.attempt, settled.at, settled.answer, settled.seconds, words.status)


def message_view(row: Row) -> MessageView:
    """All that is known of one message."""
    extra = row.extra
    many: list[Part] | None = None if extra is None else extra.parts
    hop = row.hop
    fault = row.fault
    if many is None:
        parts = [_part_view(hop, row.carrier_message_id, row.state, fault, row.done_at)]
    else:
        parts = [_part_view(p.hop, p.carrier_message_id, p.state, p.fault, p.done_at) for p in many]
        if hop is None:
            hop = next((part.hop for part in many if part.hop is not None), None)
        if fault is NO_FAULT:
            fault = next((part.fault for part in many if part.fault is not NO_FAULT), fault)
    final = bool(row.flags & FINAL)
    return MessageView(
        id=row.id,
        account=row.origin.account.name,
        addresses=row.addresses,
        state=row.state,
        final=final,
        carrier="" if hop is None else hop.carrier,
        carrier_error=_text(fault.error),
        interface=row.origin.interface,
        accepted_at=row.birth.accepted_at,
        expires_at=row.birth.expires_at,
        done_at=row.done_at if final else None,
        parts=parts,
        attempts=[] if extra is None else [_attempt_view(settled) for settled in extra.attempts],
        owed=[CHANNEL_OF_BIT[bit].value for bit in (OWED_WEBHOOK, OWED_SMPP) if row.flags & bit],
        reference=None if extra is None else extra.reference,
        notification_url=None if extra is None else extra.url,
    )

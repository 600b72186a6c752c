"""Makes the views of messages that customers and operators see."""

from msgspec.structs import replace

from relay.store.table.entries import Row
from relay.store.table.entry_values import (
    FINAL,
    LATER,
    NO_CARRIER_ERROR,
    OWED_SMPP,
    OWED_WEBHOOK,
    REFUNDED,
    CarrierError,
    CarrierHandoff,
    Part,
)
from relay.store.table.notification_queues import CHANNEL_OF_BIT
from relay.store.table.parts import shown_handoff
from relay.store.table.records import Settled
from relay.values.message_view import AttemptView, MessageView, PartView
from relay.values.states import ENROUTE, SCHEDULED, customer_words


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace")


def _part_view(
    handoff: CarrierHandoff | None,
    key: bytes,
    state: int,
    carrier_error: CarrierError,
    done_at: float,
    carrier_done_at: float,
) -> PartView:
    return PartView(
        "" if handoff is None else handoff.carrier,
        _text(key),
        state,
        _text(carrier_error.error),
        None if handoff is None else handoff.at,
        done_at or None,
        _text(carrier_error.stat),
        carrier_done_at or None,
    )


def _attempt_view(settled: Settled) -> AttemptView:
    words = customer_words(settled.state, b"")
    channel = CHANNEL_OF_BIT[settled.channel].value
    return AttemptView(
        channel, settled.attempt, settled.at, settled.answer, settled.seconds, words.status, settled.due_at,
        settled.url, settled.body,
    )  # fmt: skip


def shown_state(row: Row, durable_mark: int) -> int:
    """The state that may be shown: a final state only if it is durable.

    :param durable_mark: the last place in the feed that is durable.
    """
    if row.cursor <= durable_mark:
        return row.latest.state
    return SCHEDULED if row.handoff is None or row.handoff.at is None else ENROUTE


def durable_view(row: Row, durable_mark: int) -> MessageView:
    """Makes the view of a message for somebody outside. While its final state isn't durable, the message looks as if it
    had not ended. Otherwise the relay could stop now, learn another final state after the start, and show both.

    :param durable_mark: the last place in the feed that is durable.
    """
    view = message_view(row)
    if row.cursor <= durable_mark:
        return view
    state = shown_state(row, durable_mark)
    parts = [without_outcome(part) for part in view.parts]
    return replace(
        view, state=state, final=False, ending=True, carrier_error="", done_at=None, parts=parts, owed=[],
        carrier_done_at=None, rounds=(), refunded=False,
    )  # fmt: skip


def without_outcome(part: PartView) -> PartView:
    """Makes the view of a part as if nothing had been learnt of it."""
    state = SCHEDULED if part.submitted_at is None else ENROUTE
    return replace(part, state=state, carrier_error="", done_at=None, carrier_stat="", carrier_done_at=None)


def message_view(row: Row) -> MessageView:
    """Makes the view of everything that the store knows about one message, whether it is durable or not."""
    rare_fields = row.rare_fields
    many: list[Part] | None = None if rare_fields is None else rare_fields.parts
    handoff = row.handoff
    latest = row.latest
    carrier_error = latest.carrier_error
    if many is None:
        parts = [
            _part_view(
                handoff, row.carrier_message_id, latest.state, carrier_error, latest.done_at, latest.carrier_done_at
            )
        ]
    else:
        parts = _part_views(many)
        if handoff is None:
            handoff = next((part.handoff for part in many if part.handoff is not None), None)
        if carrier_error is NO_CARRIER_ERROR:
            carrier_error = next(
                (part.carrier_error for part in many if part.carrier_error is not NO_CARRIER_ERROR), carrier_error
            )
    rounds: list[list[PartView]] = []
    failover = None if rare_fields is None else rare_fields.failover
    if failover is not None and failover.rounds:
        rounds = [*[_part_views(each.parts) for each in failover.rounds], parts]
        if failover.decided_by >= 0:
            if many is None:
                # The row has the message's final state, which is not that of the present round.
                rounds[-1] = [without_outcome(parts[0])]
            parts = rounds[failover.decided_by]
            handoff, _ = shown_handoff(row)
    final = bool(row.flags & FINAL)
    return MessageView(
        id=row.id,
        account=row.origin.account.name,
        addresses=row.addresses,
        state=latest.state,
        final=final,
        carrier="" if handoff is None else handoff.carrier,
        carrier_error=_text(carrier_error.error),
        interface=row.origin.interface,
        accepted_at=row.acceptance.accepted_at,
        expires_at=row.acceptance.expires_at,
        done_at=latest.done_at if final else None,
        parts=parts,
        attempts=[] if rare_fields is None else [_attempt_view(settled) for settled in rare_fields.attempts],
        owed=[CHANNEL_OF_BIT[bit].value for bit in (OWED_WEBHOOK, OWED_SMPP) if row.flags & bit],
        reference=None if rare_fields is None else rare_fields.reference,
        notification_url=None if rare_fields is None else rare_fields.url,
        carrier_done_at=latest.carrier_done_at or None if final else None,
        priority=row.origin.priority,
        brought_back=final and not row.cursor,
        scheduled_at=0.0 if rare_fields is None else rare_fields.scheduled_at,
        waits_for_its_time=bool(row.flags & LATER),
        adapt=row.origin.adapt,
        inbound=None if rare_fields is None else rare_fields.inbound,
        tags=() if rare_fields is None else rare_fields.tags,
        rounds=rounds,
        charge=row.origin.charge,
        refunded=bool(row.flags & REFUNDED),
    )


def _part_views(parts: list[Part]) -> list[PartView]:
    return [
        _part_view(p.handoff, p.carrier_message_id, p.state, p.carrier_error, p.done_at, p.carrier_done_at)
        for p in parts
    ]

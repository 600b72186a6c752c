"""Makes the report about a message that its customer sees: in replies, lists and pages."""

import math
from collections.abc import Sequence

from msgspec import UNSET

from relay.http.types import Accepted, AttemptReport, MessageReport, TriedCarrier
from relay.values.ids import id_text
from relay.values.instants import instant
from relay.values.message_view import AttemptView, MessageView, PartView
from relay.values.messages import Message, destination_of, source_of
from relay.values.states import ENROUTE, SCHEDULED, SCHEDULED_STATUS, customer_words
from relay.webhooks.body import error_of


def report(view: MessageView, error_codes: str) -> MessageReport:
    """Makes the report about a message that its customer sees."""
    carrier_error = view.carrier_error.encode("latin-1", "replace")
    cost = view.cost
    words = customer_words(ENROUTE if view.state == SCHEDULED else view.state, carrier_error)
    if view.waits_for_its_time:
        words = words._replace(status=SCHEDULED_STATUS)
    return MessageReport(
        id=id_text(view.id),
        to=destination_of(view.addresses).decode("latin-1"),
        from_=source_of(view.addresses).decode("latin-1"),
        reference=view.reference,
        status=words.status,
        send_status=words.send_status,
        error=error_of(words, carrier_error, error_codes),
        carrier=view.carrier,
        carrier_error=view.carrier_error,
        parts=len(view.parts),
        submitted_at=instant(view.accepted_at),
        done_at=None if view.told_done_at is None else instant(view.told_done_at),
        send_at=instant(view.scheduled_at) if view.scheduled_at else UNSET,
        learnt_at=instant(view.done_at) if view.carrier_done_at and view.done_at is not None else UNSET,
        attempts=[attempt_report(attempt, attempt.status) for attempt in view.attempts],
        tried=[_tried(parts) for parts in view.rounds] if view.rounds else UNSET,
        price=UNSET if cost is None else cost.price_text,
        currency=UNSET if cost is None else cost.currency,
        refunded=UNSET if cost is None else view.refunded,
    )


def accepted(message: Message | MessageView) -> Accepted:
    """The answer about a message that was accepted."""
    charge = message.charge
    if charge is None or not charge.currency:
        return Accepted(id_text(message.id))
    return Accepted(id_text(message.id), charge.price_text, charge.currency)


def _tried(parts: Sequence[PartView]) -> TriedCarrier:
    """Reports about a round. The state of a long message is that of the part that ended last, or of an open one."""
    part = max(parts, key=lambda part: math.inf if part.done_at is None else part.done_at)
    state = ENROUTE if part.state == SCHEDULED else part.state
    return TriedCarrier(
        part.carrier,
        customer_words(state, b"").status,
        part.carrier_error,
        None if part.submitted_at is None else instant(part.submitted_at),
        None if part.done_at is None else instant(part.done_at),
    )


def attempt_report(attempt: AttemptView, status: str) -> AttemptReport:
    """Makes the report about one attempt to notify.

    :param status: what the attempt told.
    """
    at, seconds = instant(attempt.at), round(attempt.seconds, 3)
    return AttemptReport(
        attempt.channel, attempt.attempt, at, attempt.answer, seconds, status, attempt.url or UNSET,
        attempt.body or UNSET,
    )  # fmt: skip

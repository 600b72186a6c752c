"""The life of a message for the operator: one line an event, in order of time."""

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from relay.values.ids import id_text
from relay.values.message_view import MessageView, PartView
from relay.values.messages import destination_of, source_of
from relay.values.states import REJECTED, SCHEDULED_STATUS, customer_words


class Event(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened.

    :ivar at: seconds since 1970.
    :ivar what: a sentence.
    :ivar ahead: whether it has not happened yet.
    :ivar good: False if it may be the problem that the operator looks for; None if it is neither good nor bad.
    """

    at: float
    what: str
    good: bool | None = None
    ahead: bool = False


class TimeLine(msgspec.Struct, frozen=True, gc=False):
    """A message for the operator: its account, its numbers, its state, and its events."""

    id: str
    account: str
    interface: str
    sender: str
    to: str
    status: str
    final: bool
    carrier: str
    carrier_error: str
    carrier_message_ids: list[str]
    reference: str | None
    notification_url: str | None
    owed: list[str]
    events: list[Event]


def _part_events(part: PartView, number: int, count: int, *, name_carrier: bool) -> Iterator[Event]:
    """The events of a part.

    :param name_carrier: whether each event names the carrier, because several had the message.
    """
    which = f"part {number} of {count} " if count > 1 else ""
    if part.submitted_at is not None:
        named = f" as {part.carrier_message_id}" if part.carrier_message_id else " without an id"
        yield Event(part.submitted_at, f"{which}taken by {part.carrier}{named}", True)
    if part.done_at is not None and (count > 1 or part.submitted_at is not None):
        words = customer_words(part.state, b"")
        carrier = f" from {part.carrier}" if name_carrier else ""
        error = f", carrier's error {part.carrier_error}" if part.carrier_error else ""
        word = f", carrier's word {part.carrier_stat}" if part.carrier_stat else ""
        date = ""
        if part.carrier_done_at:
            date = f", done {datetime.fromtimestamp(part.carrier_done_at, UTC):%Y-%m-%d %H:%M:%S} UTC as it says"
        said = f"{which}{words.status}{carrier}{word}{error}{date}"
        yield Event(part.done_at, said, words.send_status == "delivered")


def time_line(view: MessageView) -> TimeLine:
    """The events of a message, in order of time. The end of its validity, in the future, is last."""
    events = [Event(view.accepted_at, f"accepted from {view.account} over {view.interface.upper()}", True)]
    for parts in view.rounds or [view.parts]:
        for number, part in enumerate(parts, 1):
            events += _part_events(part, number, len(parts), name_carrier=bool(view.rounds))
    for attempt in view.attempts:
        took = f" in {attempt.seconds:.2f} s" if attempt.seconds else ""
        what = f"attempt {attempt.attempt} to notify of {attempt.status} by {attempt.channel}"
        what += f" at {attempt.url}: {attempt.answer}" if attempt.url else f": {attempt.answer}"
        what += f" ({attempt.body})" if attempt.body else ""
        events.append(Event(attempt.at, what + took, attempt.answer[:1] == "2" or attempt.answer == "ESME_ROK"))
    if view.final and view.done_at is not None:
        words = customer_words(view.state, view.carrier_error.encode())
        what = f"ended {words.status} (error {words.error})"
        if view.state == REJECTED:
            what += f": {_refusal(view)}"
        events.append(Event(view.done_at, what, words.send_status == "delivered"))
    events.sort(key=lambda event: event.at)
    if view.waits_for_its_time:
        events.append(Event(view.scheduled_at, "is to be sent", ahead=True))
    if not view.final:
        events.append(Event(view.expires_at, "validity ends", ahead=True))
    return TimeLine(
        id=id_text(view.id),
        account=view.account,
        interface=view.interface,
        sender=source_of(view.addresses).decode("latin-1"),
        to=destination_of(view.addresses).decode("latin-1"),
        status=SCHEDULED_STATUS if view.waits_for_its_time else customer_words(view.state, b"").status,
        final=view.final,
        carrier=view.carrier,
        carrier_error=view.carrier_error,
        carrier_message_ids=[part.carrier_message_id for part in view.parts if part.carrier_message_id],
        reference=view.reference,
        notification_url=view.notification_url,
        owed=list(view.owed),
        events=events,
    )


def _refusal(view: MessageView) -> str:
    """Says who refused a message, and why."""
    if view.carrier and view.carrier_error:
        return f"{view.carrier} refused it: {view.carrier_error}"
    return f"{view.carrier} refused it" if view.carrier else "no carrier could take it"

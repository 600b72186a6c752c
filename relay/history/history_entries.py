"""Turns messages into rows of the history's database, and rows into the views that a search returns.

Theory of operation: a message is one row. Each field that searches use has its own column. Many messages share the same
values: the origin of a message (`Origin`) and its outcome (`Group`). Small tables have each such value once, and a row
has its number. Few messages have several parts, attempts over HTTP or resends; the column `details` packs these.

A row's key, `seq`, is the time of acceptance in milliseconds, followed by a running number. So the rows are in the
order of acceptance, a time span is a range of keys, and the database needs no index over times.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from relay.store.table.message_views import without_outcome
from relay.values.charge import Charge
from relay.values.message_view import AttemptView, MessageView, PartView
from relay.values.messages import Message
from relay.values.notifications import Channel
from relay.values.states import DELIVERED, SCHEDULED, customer_words

#: The low bits of a row's key: a running number, so that messages of the same millisecond have keys of their own.
_COUNTER_BITS: Final = 20
_COUNTER_MASK: Final = (1 << _COUNTER_BITS) - 1

# Flags of an entry. For each channel, OWED << 2 is the NOTIFIED bit, and OWED << 4 is the GIVEN_UP bit.
FINAL: Final = 1
OWED_WEBHOOK: Final = 2
OWED_SMPP: Final = 4
OWED: Final = OWED_WEBHOOK | OWED_SMPP
NOTIFIED: Final = OWED << 2
GIVEN_UP: Final = OWED << 4
_CHANNELS: Final = ((OWED_WEBHOOK, Channel.WEBHOOK), (OWED_SMPP, Channel.SMPP))

#: The history keeps this many attempts and this many earlier handoffs of a message: the latest ones.
ATTEMPTS_KEPT: Final = 12


class PartEntry(msgspec.Struct, gc=False, eq=False, array_like=True):
    """Holds one part of a long message. The fields are as in `Entry`."""

    carrier: str = ""
    carrier_message_id: bytes = b""
    state: int = SCHEDULED
    error: bytes = b""
    stat: bytes = b""
    submitted_at: float = 0.0
    done_at: float = 0.0
    carrier_done_at: float = 0.0


class AttemptEntry(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Holds one attempt to notify a customer.

    :ivar due_at: when the next attempt was due; 0.0 if none was due.
    :ivar url: the place of its URL in `Details.urls`, counted from 1; 0: the URL isn't known.
    :ivar body: the beginning of the answer's body.
    """

    channel: int
    attempt: int
    state: int
    at: float
    due_at: float
    answer: str
    seconds: float
    url: int = 0
    body: str = ""


class Details(msgspec.Struct, gc=False, eq=False, array_like=True):
    """Holds the fields that only few messages need.

    :ivar parts: the parts of a long message. None: the message has one part, and the entry itself holds it.
    :ivar handoffs: earlier handoffs of parts that were submitted again: carrier, carrier message id, time.
    :ivar stat: the carrier's word for the state, if it isn't one of SMPP 3.4, Appendix B.
    :ivar error: the carrier error, if the row's group lacks it because there are too many different errors.
    :ivar rounds: for a message that went to another carrier: its parts in each round, the present round last.
    :ivar decided_by: the number of the round whose late receipt ended the message; -1: the present one did.
    :ivar tried: the carriers of the earlier rounds.
    :ivar scheduled_at: when the message was to be sent at the earliest; 0.0: at once.
    :ivar price: of the message, in millionths of `currency`; with "" as currency it has no price.
    :ivar refunded: whether the price was given back.
    :ivar urls: the URLs of the attempts; each is there once.
    :ivar url_is_whole: whether `url` is the message's whole URL. False also for rows of older relays.
    """

    parts: list[PartEntry] | None = None
    attempts: list[AttemptEntry] = []
    handoffs: list[tuple[str, bytes, float]] = []
    stat: bytes = b""
    error: bytes = b""
    url: str | None = None
    user_message_reference: int | None = None
    rounds: list[list[PartEntry]] = []
    decided_by: int = -1
    tried: list[str] = []
    scheduled_at: float = 0.0
    price: int = 0
    currency: str = ""
    refunded: bool = False
    urls: list[str] = []
    url_is_whole: bool = False


class Entry(msgspec.Struct, gc=False, eq=False):
    """Holds a message while the writer works on it.

    :ivar message: the message as it was accepted. Its bodies are empty if it was read from the database.
    :ivar flags: a sum of the constants above, such as `FINAL`.
    :ivar error: the carrier error.
    :ivar done_at: when the relay learnt the latest state; 0.0 before that.
    :ivar segment: the number of the segment that has the row; 0 if there is no row yet.
    :ivar group: the number of the row's group; 0 if there is no row yet.
    :ivar feed_place: the place in the account's feed, if the message ended in the writer's present batch.
    """

    seq: int
    message: Message
    state: int = SCHEDULED
    flags: int = 0
    carrier: str = ""
    carrier_message_id: bytes = b""
    error: bytes = b""
    submitted_at: float = 0.0
    done_at: float = 0.0
    carrier_done_at: float = 0.0
    details: Details | None = None
    segment: int = 0
    group: int = 0
    feed_place: int = 0

    @property
    def open(self) -> bool:
        """True if the message can still change: it has not ended, or its customer is owed a notification."""
        return not self.flags & FINAL or self.flags & OWED != 0

    def rare(self) -> Details:
        """Returns the details, and makes them if there are none."""
        if self.details is None:
            self.details = Details()
        return self.details


class Origin(NamedTuple):
    """Names where messages came from. `head` is the addresses of a message up to the digits of the destination."""

    interface: str
    head: bytes

    @property
    def sender(self) -> bytes:
        """The characters of the source address."""
        return self.head[2 : self.head.index(b"\0", 2)]


class Group(NamedTuple):
    """Names an outcome that messages have in common. Each message counts in exactly one group."""

    account: str
    carrier: str
    state: int
    error: bytes
    flags: int

    @property
    def final(self) -> bool:
        """True if the messages of the group have ended."""
        return bool(self.flags & FINAL)

    @property
    def delivered(self) -> bool:
        """True if the messages of the group have ended as delivered."""
        return self.state == DELIVERED and self.flags & FINAL != 0

    @property
    def notification(self) -> str:
        """The outcome of the customer's notification, in one word; see `NOTIFICATIONS`."""
        return _NOTIFICATION[self.flags]


#: Outcomes of notifications. `none`: the customer wants no notification, or there is no news yet.
NOTIFICATIONS: Final = ("none", "owed", "delivered", "failed")


def _notification(flags: int) -> str:
    if flags & OWED:
        return "owed"
    if flags & GIVEN_UP:
        return "failed"
    return "delivered" if flags & NOTIFIED else "none"


_NOTIFICATION: Final = tuple(_notification(flags) for flags in range(128))


def seq_of(accepted_at: float, counter: int) -> int:
    """Makes the key of a row.

    :param accepted_at: seconds since 1970.
    :param counter: a number that grows with every message.
    """
    return round(accepted_at * 1000.0) << _COUNTER_BITS | counter & _COUNTER_MASK


def first_seq(at: float) -> int:
    """Returns the lowest key that a message accepted at `at` or later can have."""
    return round(at * 1000.0) << _COUNTER_BITS


def accepted_at_of(seq: int) -> float:
    """Returns when the message of a row was accepted, in seconds since 1970."""
    return (seq >> _COUNTER_BITS) / 1000.0


def minute_of(seq: int) -> int:
    """Returns the minute in which the message of a row was accepted, counted from 1970."""
    return (seq >> _COUNTER_BITS) // 60_000


#: Upper limits of the classes of delivery times, in seconds. One more class has the times above the last limit.
TOOK_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86_400.0)


def took_class(entry: Entry) -> int:
    """Returns the class of `TOOK_SECONDS` for a delivered message.

    The delivery time runs from the acceptance to the moment when the relay learnt of the delivery.
    """
    return bisect_left(TOOK_SECONDS, entry.done_at - entry.message.accepted_at)


#: The values of `COLUMNS`. Times are in milliseconds after the acceptance, or None.
Row = tuple[
    int, bytes, bytes, int, int, bytes | None, str | None, int, int | None, int | None, int | None, bytes | None
]
COLUMNS: Final = (
    "seq", "id", "number", "origin", "grp", "carrier_id", "reference", "validity", "submitted", "done", "carrier_done",
    "details",
)  # fmt: skip

#: Columns that never change.
LASTING_COLUMNS: Final = ("seq", "id", "number", "origin", "reference")

_encode_details: Final = msgspec.msgpack.Encoder().encode
_decode_details: Final = msgspec.msgpack.Decoder(Details).decode


def row_of(entry: Entry, number: bytes, origin: int, group: int) -> Row:
    """Makes the row of an entry.

    :param number: the number in the form that the database keeps, with its characters in reverse order.
    """
    # This runs for each message, so it is written to be fast in CPython: it reads each value once.
    message = entry.message
    accepted_at, submitted_at, done_at = message.accepted_at, entry.submitted_at, entry.done_at
    carrier_done_at, details = entry.carrier_done_at, entry.details
    return (
        entry.seq,
        message.id,
        number,
        origin,
        group,
        entry.carrier_message_id or None,
        message.reference,
        # A row is read and written again with each event. Rounded down, its times would lose a millisecond each time.
        round((message.expires_at - accepted_at) * 1000.0),
        round((submitted_at - accepted_at) * 1000.0) if submitted_at else None,
        round((done_at - accepted_at) * 1000.0) if done_at else None,
        round((carrier_done_at - accepted_at) * 1000.0) if carrier_done_at else None,
        None if details is None else _encode_details(details),
    )


def entry_of(row: Row, origin: Origin, group: Group, segment: int) -> Entry:
    """Makes the entry of a row. Its number has the form that the database keeps."""
    seq, message_id, number, _, group_id, carrier_id, reference, validity, submitted, done, carrier_done, packed = row
    details = None if packed is None else _decode_details(packed)
    parts: tuple[bytes, ...] = (b"",)
    url = reference_number = None
    error = group.error
    charge: Charge | None = None
    if details is not None:
        if details.currency:
            charge = Charge(details.price, details.currency)
        url, reference_number, error = details.url, details.user_message_reference, details.error or error
        if details.parts is not None:
            parts *= len(details.parts)
    accepted_at = accepted_at_of(seq)
    message = Message(
        message_id, group.account, accepted_at, accepted_at + validity / 1000.0, origin.head + number[::-1] + b"\0",
        parts, 0, origin.interface, reference, url, 0, reference_number, charge=charge,
    )  # fmt: skip
    return Entry(
        seq, message, group.state, group.flags, group.carrier, carrier_id or b"", error,
        _instant(accepted_at, submitted), _instant(accepted_at, done), _instant(accepted_at, carrier_done), details,
        segment, group_id,
    )  # fmt: skip


def _instant(accepted_at: float, milliseconds: int | None) -> float:
    return 0.0 if milliseconds is None else accepted_at + milliseconds / 1000.0


def view_of(entry: Entry) -> MessageView:
    """Makes the view of a message for customers and operators: the same as from the store's `look_up`."""
    message, flags, details = entry.message, entry.flags, entry.details
    final = bool(flags & FINAL)
    error = entry.error
    if details is not None and details.parts is not None:
        error = error or next((part.error for part in details.parts if part.error), b"")
        parts = [_part_view(part) for part in details.parts]
    else:
        stat = b"" if details is None else details.stat
        only = PartEntry(
            entry.carrier, entry.carrier_message_id, entry.state, entry.error, stat, entry.submitted_at, entry.done_at,
            entry.carrier_done_at,
        )  # fmt: skip
        parts = [_part_view(only)]
    return MessageView(
        id=message.id,
        account=message.account,
        addresses=message.addresses,
        state=entry.state,
        final=final,
        carrier=entry.carrier,
        carrier_error=_text(error),
        interface=message.interface,
        accepted_at=message.accepted_at,
        expires_at=message.expires_at,
        done_at=entry.done_at if final else None,
        parts=parts,
        attempts=[] if details is None else [_attempt_view(attempt, details.urls) for attempt in details.attempts],
        rounds=[] if details is None else _round_views(details),
        owed=[channel.value for bit, channel in _CHANNELS if flags & bit],
        reference=message.reference,
        notification_url=message.notification_url,
        carrier_done_at=(entry.carrier_done_at or None) if final else None,
        charge=message.charge,
        refunded=details is not None and details.refunded,
        scheduled_at=0.0 if details is None else details.scheduled_at,
        url_is_whole=message.notification_url is None or (details is not None and details.url_is_whole),
    )


def _round_views(details: Details) -> list[list[PartView]]:
    rounds = [[_part_view(part) for part in parts] for parts in details.rounds]
    if details.decided_by >= 0 and details.parts is None:
        # As the store shows it.
        rounds[-1] = [without_outcome(rounds[-1][0])]
    return rounds


def _part_view(part: PartEntry) -> PartView:
    return PartView(
        part.carrier,
        _text(part.carrier_message_id),
        part.state,
        _text(part.error),
        part.submitted_at or None,
        part.done_at or None,
        _text(part.stat),
        part.carrier_done_at or None,
    )


def _attempt_view(attempt: AttemptEntry, urls: Sequence[str]) -> AttemptView:
    channel = Channel.WEBHOOK if attempt.channel == OWED_WEBHOOK else Channel.SMPP
    words = customer_words(attempt.state, b"")
    return AttemptView(
        channel.value, attempt.attempt, attempt.at, attempt.answer, attempt.seconds, words.status, attempt.due_at,
        urls[attempt.url - 1] if attempt.url else "", attempt.body,
    )  # fmt: skip


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace")

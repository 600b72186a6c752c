"""Spans: what they say, and where their ids come from.

Theory of operation: hours pass between a message and its receipt, and the relay may be started again in between. So no
span is kept open, and no id is remembered. A span is made when it has ended, and its id is a digest of the message's id
and of what the span is about. Whoever needs the id earlier (for a header) computes the same one. The trace id is the
message's own id, unless the customer's request belongs to a trace; then the journal has that trace with the message.
"""

import struct
from enum import IntEnum
from hashlib import blake2b
from typing import Final, NamedTuple

_number: Final = struct.Struct(">d").pack


class SpanKind(IntEnum):
    """The kinds of OpenTelemetry, with its numbers."""

    INTERNAL = 0
    SERVER = 1
    CLIENT = 2
    PRODUCER = 3
    CONSUMER = 4


class Span(NamedTuple):
    """A span that has ended.

    :ivar parent_id: b"": it is the first one of its trace.
    :ivar started_at: seconds since 1970; likewise `ended_at`.
    :ivar attributes: never a number, a text or a secret.
    :ivar failure: why it failed, in a few words; "": it did not fail.
    :ivar state: the trace's `tracestate`.
    """

    name: str
    kind: SpanKind
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    started_at: float
    ended_at: float
    attributes: dict[str, str | int | float]
    failure: str = ""
    state: str = ""


def accept_span_id(message_id: bytes) -> bytes:
    """The id of the span of a message's acceptance. All other spans of the message are its children."""
    return _span_id(message_id, b"accept")


def submit_span_id(message_id: bytes, part: int, carrier: str) -> bytes:
    """The id of the span of a submission to a carrier. No carrier gets a part twice, unless it doesn't answer."""
    return _span_id(message_id, b"submit %d %b" % (part, carrier.encode()))


def other_span_id(message_id: bytes, name: str, part: int, at: float) -> bytes:
    """The id of any other span about a part: these have no children."""
    return _span_id(message_id, b"%b %d %b" % (name.encode(), part, _number(at)))


def notify_span_id(message_id: bytes, channel: str, attempt: int, owed_since: float, scheduled_at: float) -> bytes:
    """The id of the span of an attempt to notify the customer. The arguments are those of `Notification`.

    A replay counts its attempts from 1 again, and an attempt that is brought forward has the number of the last one.
    """
    return _span_id(message_id, b"%b %d %b%b" % (channel.encode(), attempt, _number(owed_since), _number(scheduled_at)))


def _span_id(message_id: bytes, what: bytes) -> bytes:
    return blake2b(what, digest_size=8, key=message_id).digest()

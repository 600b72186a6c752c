"""The lines of a trace, and how they are written for people."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

import msgspec

Kind = Literal["carrier", "account"]


class TraceLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a trace.

    :ivar at: seconds since 1970.
    :ivar connection: the name of the connection, or of the HTTP request; "" if it is about none.
    :ivar way: "sent" by the relay, or "received"; "" if it is about something else.
    """

    at: float
    connection: str
    way: Literal["sent", "received", ""]
    text: str


class TraceView(msgspec.Struct, frozen=True):
    """A trace without its lines.

    :ivar kind: what is traced; `name` is its name.
    :ivar by: who began it.
    :ivar ends_at: when it ends at the latest.
    :ivar ended: why it has ended; "": it runs.
    :ivar lines: how many lines it has.
    """

    number: int
    kind: Kind
    name: str
    by: str
    began_at: float
    ends_at: float
    ended: str
    lines: int


def clock_text(at: float) -> str:
    """Writes the time of day, in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]


def line_text(line: TraceLine) -> str:
    """Writes a line of a trace."""
    return f"{clock_text(line.at)} {line.connection:4} {line.way:8} {line.text}"


def trace_text(trace: TraceView, lines: Iterable[TraceLine]) -> str:
    """Writes a whole trace, for a file."""
    began = datetime.fromtimestamp(trace.began_at, UTC)
    head = (
        f"Trace {trace.number} of the {trace.kind} {trace.name}, begun by {trace.by} at {began:%Y-%m-%d %H:%M:%S} UTC. "
        f"{f'It has ended: {trace.ended}.' if trace.ended else 'It is still running.'}\n"
        "Texts, passwords, keys, signatures and the queries of URLs are left out, and the last two digits of numbers.\n"
    )
    return head + "".join(f"{line_text(line)}\n" for line in lines)

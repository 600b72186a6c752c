"""The trace that a customer's request belongs to, as W3C Trace Context (Level 1) writes it in two headers.

The headers are `traceparent` and `tracestate`. See docs/tracing.md.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import msgspec

#: The flag that says that the caller records the trace.
SAMPLED: Final = 1
#: The flags that are passed on: sampled, and that the trace id is random (Level 2).
_KNOWN_FLAGS: Final = 3
#: A longer tracestate is left out. Section 3.3.1.5 of Level 1 asks for this length at least.
LONGEST_STATE: Final = 512

#: How many items of an array have a trace. Their header has 6 kB then; many proxies refuse one of more than 8.
MOST_ITEM_TRACES: Final = 100

_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?").fullmatch
_STATE: Final = re.compile(rb"[\x20-\x7e\t]*").fullmatch


class TraceContext(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The trace of a message, and the span of the caller in it. The journal has it in this form.

    :ivar trace_id: sixteen octets; `parent_id`: eight.
    :ivar flags: SAMPLED, if the caller records the trace.
    :ivar state: the header `tracestate`, which is passed on unchanged.
    :ivar recorded: whether this relay records the spans of the message. It was decided when the message came.
    """

    trace_id: bytes
    parent_id: bytes
    flags: int = 0
    state: str = ""
    recorded: bool = False


def read_trace_context(parents: Sequence[bytes], states: Sequence[bytes]) -> TraceContext | None:
    """Reads the headers of a request. None: it belongs to no trace, or the header can't be read.

    A wrong header is no error: the specification asks to go on as if it were not there.

    :param parents: the values of all headers `traceparent`; `states`: those of `tracestate`, in order.
    """
    if len(parents) != 1:
        return None
    found = _PARENT(parents[0].strip(b" \t"))
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more):
        return None
    trace, parent = bytes.fromhex(trace_id.decode()), bytes.fromhex(parent_id.decode())
    if not any(trace) or not any(parent):
        return None
    state = b",".join([value for each in states if (value := each.strip(b" \t"))])
    if len(state) > LONGEST_STATE or not _STATE(state):
        state = b""
    return TraceContext(trace, parent, int(flags, 16) & _KNOWN_FLAGS, state.decode("ascii"))


def read_item_traces(values: Sequence[bytes]) -> dict[int, TraceContext]:
    """Reads the header `X-Relay-Traceparents` of a request with many messages: `0=00-...-01, 7=00-...-01`.

    Items that can't be read are left out.
    """
    found: dict[int, TraceContext] = {}
    for item in b",".join(values).split(b",")[:MOST_ITEM_TRACES]:
        index, _, parent = item.strip(b" \t").partition(b"=")
        if index.isdigit() and len(index) < 6 and (context := read_trace_context([parent], ())) is not None:
            found[int(index)] = context
    return found


def item_traces(parents: Iterable[tuple[int, bytes]]) -> bytes:
    """The value of the header `X-Relay-Traceparents`: each item's index, and its `traceparent`."""
    return b",".join([b"%d=%b" % item for item in islice(parents, MOST_ITEM_TRACES)])


def traceparent(trace_id: bytes, span_id: bytes, flags: int) -> bytes:
    """The value of the header `traceparent`."""
    return b"00-%b-%b-%02x" % (trace_id.hex().encode(), span_id.hex().encode(), flags)

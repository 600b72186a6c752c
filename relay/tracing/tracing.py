"""Decides which messages are recorded, keeps their spans for the exporter, and makes the headers of requests.

Whether a message is recorded depends on its trace id. Only of accounts in `follow_accounts` the customer's own decision
counts; the journal has it. So all spans of a message are recorded or none, also after a restart. The decision is the
one that OpenTelemetry calls consistent probability sampling: the last seven octets of the trace id are compared with a
threshold.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from relay.config.daemon_config import Tracing as Settings
from relay.tracing.spans import Span, notify_span_id, submit_span_id
from relay.values.notifications import Notification
from relay.values.trace_context import (
    SAMPLED,
    TraceContext,
    item_traces,
    read_item_traces,
    read_trace_context,
    traceparent,
)

#: Spans that wait for the exporter, some 15 MB. Further ones are dropped, and counted.
MOST_WAITING: Final = 20_000
#: The octets of a trace id that are random, and of a threshold.
_RANDOM_BYTES: Final = 7
_ALL: Final = 1 << (8 * _RANDOM_BYTES)
#: The header of a request with many messages that has the traces of some of them.
ITEM_TRACES: Final = b"X-Relay-Traceparents"
_PARENT: Final = b"Traceparent"


class RequestTraces(NamedTuple):
    """The traces that a customer's request belongs to.

    :ivar whole: that of all its messages.
    :ivar items: those of single messages, by their index in the request's array.
    """

    whole: TraceContext | None
    items: Mapping[int, TraceContext]

    def of(self, index: int) -> TraceContext | None:
        """The trace of a message, by its index in the request's array."""
        return self.items.get(index, self.whole)


def _no_context(message_id: bytes) -> TraceContext | None:
    return None


class Tracing:
    """What the parts of the relay need for traces. All methods are for the reactor's thread, but `take` is not.

    :ivar context_of: returns the trace that a message's request belonged to; None: it belonged to none. The store
        sets it.
    :ivar exported: how many spans the collector has taken; `dropped`: how many it has not got, and will not get.
    """

    def __init__(self, settings: Settings, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._follow_accounts = frozenset(settings.follow_accounts)
        rejected = round((1.0 - settings.sample_ratio) * _ALL)
        self._none = rejected >= _ALL
        #: A message is recorded if the end of its trace id is not below this.
        self._threshold = min(rejected, _ALL - 1).to_bytes(_RANDOM_BYTES, "big")
        self.context_of: Callable[[bytes], TraceContext | None] = _no_context
        self._waiting: deque[Span] = deque()
        self.exported = 0
        self.dropped = 0

    # Which messages are recorded

    def records(self, message_id: bytes, context: TraceContext | None) -> bool:
        """Whether the spans of a message are recorded.

        :param context: the trace that its request belonged to.
        """
        return self._chosen(message_id) if context is None else context.recorded

    def _chosen(self, trace_id: bytes) -> bool:
        return trace_id[-_RANDOM_BYTES:] >= self._threshold and not self._none

    # Spans

    def add(self, span: Span) -> None:
        """Keeps a span for the exporter. If too many wait, drops it."""
        if len(self._waiting) >= self._most_waiting:
            self.dropped += 1
        else:
            self._waiting.append(span)

    def take(self, limit: int) -> list[Span]:
        """Takes up to `limit` of the spans that wait. For the exporter's thread."""
        taken: list[Span] = []
        while len(taken) < limit and self._waiting:
            taken.append(self._waiting.popleft())
        return taken

    @property
    def waiting(self) -> int:
        """How many spans wait for the exporter."""
        return len(self._waiting)

    # Headers

    def read(self, account: str, headers_of: Callable[[bytes], Sequence[bytes]]) -> "RequestTraces | None":
        """Reads the traces that a customer's request belongs to, and decides which of its messages are recorded.

        :param headers_of: returns all values of a header of the request.
        :return: None: it belongs to none.
        """
        parents, of_items = headers_of(b"traceparent"), headers_of(ITEM_TRACES)
        if not parents and not of_items:
            return None
        whole = read_trace_context(parents, headers_of(b"tracestate"))
        decided = partial(self._decided, account in self._follow_accounts)
        return RequestTraces(
            None if whole is None else decided(whole),
            {index: decided(context) for index, context in read_item_traces(of_items).items()},
        )

    def _decided(self, followed: bool, context: TraceContext) -> TraceContext:
        recorded = bool(context.flags & SAMPLED) if followed else self._chosen(context.trace_id)
        return msgspec.structs.replace(context, recorded=recorded)

    def webhook_headers(self, batch: Sequence[Notification]) -> dict[bytes, list[bytes]]:
        """The headers of a webhook. A request with several notifications belongs to no single trace, and has none."""
        if len(batch) != 1:
            return {}
        n = batch[0]
        span_id = notify_span_id(n.id, n.channel, n.attempt, n.owed_since, n.scheduled_at)
        return self._headers(n.id, span_id)

    def carrier_headers(self, carrier: str, parts: Sequence[tuple[bytes, int]]) -> dict[bytes, list[bytes]]:
        """The headers of a request that submits parts (message id, part) to a carrier over HTTP.

        A request with several parts has the traces of those that are recorded, in a header of the relay's own.
        """
        if len(parts) == 1:
            [(message_id, part)] = parts
            return self._headers(message_id, submit_span_id(message_id, part, carrier))
        value = item_traces(
            (index, self._headers(message_id, submit_span_id(message_id, part, carrier))[_PARENT][0])
            for index, (message_id, part) in enumerate(parts)
            if self.records(message_id, self.context_of(message_id))
        )
        return {ITEM_TRACES: [value]} if value else {}

    def _headers(self, message_id: bytes, span_id: bytes) -> dict[bytes, list[bytes]]:
        context = self.context_of(message_id)
        recorded = self.records(message_id, context)
        if context is None:
            return {_PARENT: [traceparent(message_id, span_id, SAMPLED if recorded else 0)]}
        # If this relay records nothing, the caller's span is the last one that the receiver can refer to.
        flags = context.flags | SAMPLED if recorded else context.flags
        headers = {_PARENT: [traceparent(context.trace_id, span_id if recorded else context.parent_id, flags)]}
        if context.state:
            headers[b"Tracestate"] = [context.state.encode("ascii")]
        return headers

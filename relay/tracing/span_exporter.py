"""Sends spans to a collector, with OpenTelemetry's SDK, in a thread of its own.

Only this module imports OpenTelemetry. The thread takes spans from `Tracing`, and does everything else itself: it makes
OpenTelemetry's spans, encodes them, sends them, and waits. If the collector doesn't take a batch, the batch is dropped
and counted. The reactor only hears when that begins, and when it is over.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import SpanKind as OtelKind
from twisted.logger import Logger

from relay import __version__
from relay.config.daemon_config import Tracing as Settings
from relay.config.urls import parse_url
from relay.tracing.spans import Span, SpanKind
from relay.tracing.tracing import Tracing

#: How many spans a request has at most, and how long the thread waits for more when it has sent all.
SPANS_A_REQUEST: Final = 512
_WAIT_SECONDS: Final = 1.0
#: How long a request may take, its repetitions included, and the pause after one that failed.
TIMEOUT_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 5.0
_LONGEST_REASON: Final = 300
#: How long a stop waits for the thread.
_STOP_SECONDS: Final = 2.0

#: Otherwise its log lines would go to stderr, some for each batch.
_LIBRARY: Final = logging.getLogger("opentelemetry")
_LIBRARY.addHandler(logging.NullHandler())
_LIBRARY.propagate = False

_KINDS: Final = {
    SpanKind.INTERNAL: OtelKind.INTERNAL,
    SpanKind.SERVER: OtelKind.SERVER,
    SpanKind.CLIENT: OtelKind.CLIENT,
    SpanKind.PRODUCER: OtelKind.PRODUCER,
    SpanKind.CONSUMER: OtelKind.CONSUMER,
}


class Exporter(Protocol):
    """What sends a batch of OpenTelemetry's spans."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends spans, and says whether they were taken. It may take seconds."""

    def shutdown(self) -> None:
        """Ends an `export` that is under way."""


class SpanMaker:
    """Makes OpenTelemetry's spans of ours. For one thread."""

    def __init__(self, service_name: str) -> None:
        self._ids = _GivenIds()
        self._ended = _Ended()
        resource = Resource.create({"service.name": service_name, "service.version": __version__})
        provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer("relay", __version__)

    def made(self, spans: Sequence[Span]) -> list[ReadableSpan]:
        """Makes OpenTelemetry's spans."""
        for span in spans:
            self._make(span)
        return self._ended.take()

    def _make(self, span: Span) -> None:
        ids = self._ids
        ids.trace_id, ids.span_id = int.from_bytes(span.trace_id, "big"), int.from_bytes(span.span_id, "big")
        parent = SpanContext(
            ids.trace_id,
            int.from_bytes(span.parent_id, "big"),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
            trace_state=TraceState.from_header([span.state]) if span.state else None,
        )
        # Without a parent, the context is empty, and the SDK asks for a trace id.
        context = set_span_in_context(NonRecordingSpan(parent)) if span.parent_id else set_span_in_context(_NOBODY)
        made = self._tracer.start_span(
            span.name,
            context,
            kind=_KINDS[span.kind],
            attributes=span.attributes,
            start_time=round(span.started_at * 1e9),
        )
        if span.failure:
            made.set_status(Status(StatusCode.ERROR, span.failure))
        made.end(round(span.ended_at * 1e9))


_NOBODY: Final = NonRecordingSpan(SpanContext(0, 0, is_remote=False))


class _GivenIds(IdGenerator):
    """Gives the SDK the ids that the next span is to have."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Ended(SpanProcessor):
    """Collects the spans that have ended."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def take(self) -> list[ReadableSpan]:
        taken, self._spans = self._spans, []
        return taken


class SpanExporter:
    """Sends the spans of `tracing` to the collector. It starts its thread at `start`.

    :param call_in_reactor: calls a function in the reactor's thread.
    :param exporter: sends them; None: OpenTelemetry's own.
    """

    log = Logger()

    def __init__(
        self,
        tracing: Tracing,
        settings: Settings,
        call_in_reactor: Callable[..., Any],
        exporter: Exporter | None = None,
    ) -> None:
        self._tracing = tracing
        self._call_in_reactor = call_in_reactor
        self._endpoint = parse_url(settings.endpoint).origin
        self._service_name = settings.service_name
        self._said = _FirstWords()
        self._exporter: Exporter = exporter or otlp_exporter(settings, self._said)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._fails = False

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sends what still waits, if that takes two seconds at most, and ends the thread. It blocks meanwhile."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        thread.join(_STOP_SECONDS)
        self._exporter.shutdown()

    def _run(self) -> None:
        maker = SpanMaker(self._service_name)
        while True:
            stopping = self._stopping.is_set()
            batch = self._tracing.take(SPANS_A_REQUEST)
            if batch and not self._send(maker, batch):
                pause_seconds = _PAUSE_SECONDS
            elif len(batch) < SPANS_A_REQUEST:
                pause_seconds = _WAIT_SECONDS
            else:
                continue
            if stopping:
                # Everything is sent, or can't be.
                return
            self._stopping.wait(pause_seconds)

    def _send(self, maker: SpanMaker, batch: Sequence[Span]) -> bool:
        self._said.text = ""
        try:
            taken = self._exporter.export(maker.made(batch)) is SpanExportResult.SUCCESS
            reason = self._said.text
        except Exception as problem:
            # A fault of the library must not end the thread.
            taken, reason = False, f"{type(problem).__name__}: {problem}"
        self._call_in_reactor(self._sent, len(batch), taken, reason)
        return taken

    def _sent(self, count: int, taken: bool, reason: str) -> None:
        """Counts a batch, in the reactor's thread."""
        if taken:
            self._tracing.exported += count
            if self._fails:
                self.log.info("traces_sent: the collector takes spans again")
        else:
            self._tracing.dropped += count
            if not self._fails:
                self.log.warn(
                    "traces_dropped: spans can't be sent to {endpoint}, and are dropped: {reason}. Messages are not "
                    "affected. relay_trace_spans_total counts the spans",
                    endpoint=self._endpoint, reason=reason,
                )  # fmt: skip
        self._fails = not taken


class _FirstWords(logging.Handler):
    """Keeps the first line that the library logs about a batch: it says why the batch was not taken."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().removeprefix("Transient error ").partition(" encountered while exporting")[0]
        self.text = self.text or text[:_LONGEST_REASON]


def otlp_exporter(settings: Settings, said: logging.Handler) -> OTLPSpanExporter:
    """Makes the exporter for OTLP over HTTP. What isn't in the configuration, OTEL_* variables may say.

    :param said: gets the library's own log lines.
    """
    _LIBRARY.addHandler(said)
    headers = {name: value.reveal() for name, value in settings.headers.items()}
    return OTLPSpanExporter(endpoint=settings.endpoint, headers=headers or None, timeout=TIMEOUT_SECONDS)

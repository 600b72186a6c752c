"""What sends spans: the ids and times of OpenTelemetry's spans, and what happens if the collector doesn't take them."""

import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from relay.config.daemon_config import Tracing as Settings
from relay.tracing.span_exporter import SPANS_A_REQUEST, SpanExporter, SpanMaker
from relay.tracing.spans import Span, SpanKind
from relay.tracing.tracing import Tracing
from tests import HUNG_SECONDS

SETTINGS = Settings(endpoint="http://127.0.0.1:4318/v1/traces?key=hidden", sample_ratio=1.0)


def span(number: int = 1, **fields: Any) -> Span:
    values: dict[str, Any] = {
        "name": "submit", "kind": SpanKind.CLIENT, "trace_id": b"t" * 16, "span_id": number.to_bytes(8, "big"),
        "parent_id": b"p" * 8, "started_at": 1.5, "ended_at": 2.25, "attributes": {"relay.part": 1},
    }  # fmt: skip
    return Span(**values | fields)


class MakerTests(SynchronousTestCase):
    def test_spans_have_the_ids_times_and_words_that_they_were_given(self) -> None:
        first, child = SpanMaker("sms").made([span(parent_id=b""), span(2, failure="refused", state="a=1")])
        assert first.context is not None and child.context is not None and child.parent is not None
        self.assertEqual(first.context.trace_id.to_bytes(16, "big"), b"t" * 16)
        self.assertIsNone(first.parent)
        self.assertEqual((child.context.span_id, child.parent.span_id.to_bytes(8, "big")), (2, b"p" * 8))
        self.assertEqual(child.context.trace_state.to_header(), "a=1")
        self.assertEqual((child.start_time, child.end_time), (1_500_000_000, 2_250_000_000))
        self.assertEqual(dict(child.attributes or {}), {"relay.part": 1})
        self.assertEqual((first.status.is_ok, child.status.is_ok), (True, False))
        self.assertEqual(first.resource.attributes["service.name"], "sms")

    def test_a_tracestate_that_can_t_be_read_is_left_out(self) -> None:
        [made] = SpanMaker("sms").made([span(state="=,=")])
        assert made.context is not None
        self.assertEqual(made.context.trace_state.to_header(), "")


class Collector:
    """Takes spans as its answers say: true, false, or an exception."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.batches: list[int] = []
        self.done = threading.Event()
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.batches.append(len(spans))
        answer = self.answers.pop(0)
        if not self.answers:
            self.done.set()
        if isinstance(answer, Exception):
            raise answer
        return SpanExportResult.SUCCESS if answer else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.closed = True


class ExporterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tracing = Tracing(SETTINGS)
        self.events: list[str] = []

        @provider(ILogObserver)
        def observe(event: Any) -> None:
            if str(event.get("log_format", "")).startswith("traces_"):
                self.events.append(event["log_format"].partition(":")[0] + " " + str(event.get("endpoint", "")))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def run_with(self, collector: Collector, spans: int) -> None:
        """Sends so many spans; the collector has answered everything, and the thread has ended."""
        for number in range(spans):
            self.tracing.add(span(number + 1))
        told: list[Any] = []
        exporter = SpanExporter(self.tracing, SETTINGS, lambda *call: told.append(call), collector)
        exporter.start()
        self.assertTrue(collector.done.wait(HUNG_SECONDS))
        exporter.stop()
        self.assertTrue(collector.closed)
        for call, *arguments in told:
            call(*arguments)

    def test_spans_go_in_batches_and_are_counted(self) -> None:
        collector = Collector(True, True)
        self.run_with(collector, SPANS_A_REQUEST + 3)
        self.assertEqual(collector.batches, [SPANS_A_REQUEST, 3])
        self.assertEqual((self.tracing.exported, self.tracing.dropped), (SPANS_A_REQUEST + 3, 0))
        self.assertEqual(self.events, [])

    def test_a_batch_that_is_not_taken_is_dropped_and_the_log_says_so_without_the_url_s_key(self) -> None:
        for failure in (False, RuntimeError("a fault of the library")):
            self.tracing = Tracing(SETTINGS)
            self.events.clear()
            self.run_with(Collector(failure), 3)
            self.assertEqual((self.tracing.exported, self.tracing.dropped), (0, 3))
            self.assertEqual(self.events, ["traces_dropped http://127.0.0.1:4318"])

    def test_a_stop_before_a_start_does_nothing(self) -> None:
        SpanExporter(self.tracing, SETTINGS, lambda *call: None, Collector()).stop()

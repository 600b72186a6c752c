"""A stand-in for an OpenTelemetry collector: takes OTLP over HTTP, as protobuf, and keeps the spans."""

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from twisted.web.http import Request

from tests.integration.harness import WebhookReceiver


class ReceivedSpan:
    """One span, as the collector got it."""

    def __init__(self, span: Any, service: str) -> None:
        self.service = service
        self.name: str = span.name
        self.kind: int = span.kind
        self.trace_id: str = span.trace_id.hex()
        self.span_id: str = span.span_id.hex()
        self.parent_id: str = span.parent_span_id.hex()
        self.started_at: float = span.start_time_unix_nano / 1e9
        self.ended_at: float = span.end_time_unix_nano / 1e9
        self.state: str = span.trace_state
        self.failure: str = span.status.message
        self.attributes = {each.key: _value(each.value) for each in span.attributes}


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


class OtlpCollector(WebhookReceiver):
    """Keeps the spans of each POST to /v1/traces.

    :ivar bodies: all that it was sent, undecoded.
    :ivar keys: the values of the header X-Key that it has seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[ReceivedSpan] = []
        self.bodies: list[bytes] = []
        self.keys: set[str | None] = set()

    @property
    def endpoint(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        assert request.getHeader("content-type") == "application/x-protobuf"
        body = request.content.read()
        request.setResponseCode(self.status)
        self.keys.add(request.getHeader("x-key"))
        if self.status == 200:
            self.bodies.append(body)
            for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                told = {each.key: _value(each.value) for each in resource_spans.resource.attributes}
                for scope_spans in resource_spans.scope_spans:
                    self.spans += [ReceivedSpan(span, told["service.name"]) for span in scope_spans.spans]
        request.setHeader("Content-Type", "application/x-protobuf")
        answer: bytes = ExportTraceServiceResponse().SerializeToString()
        return answer

    def named(self, name: str, service: str = "relay") -> list[ReceivedSpan]:
        """The spans with this name, in the order in which they came."""
        return [span for span in self.spans if span.name == name and span.service == service]

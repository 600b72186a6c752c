"""Which messages are recorded, what is kept for the collector, and what requests say of traces."""

from collections.abc import Mapping, Sequence
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from relay.config.daemon_config import Tracing as Settings
from relay.tracing import tracing
from relay.tracing.spans import Span, SpanKind, accept_span_id, submit_span_id
from relay.tracing.tracing import RequestTraces, Tracing
from relay.values.ids import new_ids
from relay.values.notifications import Channel, Notification
from relay.values.trace_context import TraceContext, read_trace_context

IDS = new_ids(2000, Random(1).randbytes)
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"
CALLERS = TraceContext(b"t" * 16, b"p" * 8, 1, "a=1", recorded=True)


def made(ratio: float = 1.0, **settings: object) -> Tracing:
    return Tracing(Settings(endpoint="http://127.0.0.1:4318/v1/traces", sample_ratio=ratio, **settings))  # type: ignore[arg-type]


def span(number: int = 0) -> Span:
    return Span("accept", SpanKind.SERVER, b"t" * 16, number.to_bytes(8, "big"), b"", 1.0, 2.0, {})


def notification(message_id: bytes, attempt: int = 1, **fields: float) -> Notification:
    return Notification(message_id, "acme", Channel.WEBHOOK, 2, True, attempt, 1.0, 2.0, b"", **fields)  # type: ignore[arg-type]


class SamplingTests(SynchronousTestCase):
    def share(self, ratio: float) -> float:
        return sum(made(ratio).records(each, None) for each in IDS) / len(IDS)

    def test_the_share_of_messages_is_the_configured_one(self) -> None:
        self.assertEqual(self.share(0.0), 0.0)
        self.assertEqual(self.share(1.0), 1.0)
        self.assertTrue(0.45 < self.share(0.5) < 0.55)

    def test_relays_with_a_larger_share_record_what_the_others_record(self) -> None:
        few = {each for each in IDS if made(0.1).records(each, None)}
        more = {each for each in IDS if made(0.3).records(each, None)}
        self.assertTrue(few < more)

    def read(self, tracing: Tracing, account: str, told: Mapping[bytes, Sequence[bytes]]) -> RequestTraces | None:
        """The traces of a request with these headers."""
        return tracing.read(account, lambda name: told.get(name, ()))

    def test_a_caller_decides_only_if_its_account_is_followed(self) -> None:
        for ratio, account, flags, recorded in (
            (0.0, "acme", b"1", True),
            (1.0, "acme", b"0", False),
            (0.0, "other", b"1", False),
            (1.0, "other", b"0", True),
        ):
            traces = self.read(made(ratio, follow_accounts=["acme"]), account, {b"traceparent": [PARENT + flags]})
            assert traces is not None and traces.whole is not None
            self.assertEqual(traces.whole.recorded, recorded, (ratio, account, flags))

    def test_messages_of_an_array_have_their_own_trace_or_that_of_the_request(self) -> None:
        told: dict[bytes, Sequence[bytes]] = {
            b"traceparent": [PARENT + b"1"],
            tracing.ITEM_TRACES: [b"2=" + PARENT.replace(b"4bf9", b"ffff") + b"1"],
        }
        traces = self.read(made(), "acme", told)
        assert traces is not None
        own, other = traces.of(2), traces.of(0)
        assert own is not None and other is not None
        self.assertEqual((own.trace_id[:2], other.trace_id[:2]), (b"\xff\xff", b"\x4b\xf9"))
        self.assertIsNone(made().read("acme", lambda name: ()))


class SpansTests(SynchronousTestCase):
    def test_too_many_spans_are_dropped_and_counted(self) -> None:
        kept = Tracing(Settings(), most_waiting=3)
        for number in range(5):
            kept.add(span(number))
        self.assertEqual((kept.waiting, kept.dropped), (3, 2))
        self.assertEqual(kept.take(2), [span(0), span(1)])
        self.assertEqual(kept.take(2), [span(2)])


class HeadersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tracing = made()
        self.contexts: dict[bytes, TraceContext] = {}
        self.tracing.context_of = self.contexts.get

    def parent(self, headers: dict[bytes, list[bytes]]) -> TraceContext:
        context = read_trace_context(headers[b"Traceparent"], headers.get(b"Tracestate", ()))
        assert context is not None
        return context

    def test_without_a_caller_s_trace_the_message_s_id_is_the_trace_s(self) -> None:
        headers = self.tracing.carrier_headers("up", [(IDS[0], 1)])
        self.assertEqual(self.parent(headers), TraceContext(IDS[0], submit_span_id(IDS[0], 1, "up"), 1))

    def test_a_caller_s_trace_goes_on_with_its_state(self) -> None:
        self.contexts[IDS[0]] = CALLERS
        headers = self.tracing.carrier_headers("up", [(IDS[0], 0)])
        self.assertEqual(self.parent(headers), TraceContext(b"t" * 16, submit_span_id(IDS[0], 0, "up"), 1, "a=1"))

    def test_what_is_not_recorded_refers_to_the_caller_s_span(self) -> None:
        self.contexts[IDS[0]] = TraceContext(b"t" * 16, b"p" * 8, 1)
        self.assertEqual(self.parent(self.tracing.carrier_headers("up", [(IDS[0], 0)])), self.contexts[IDS[0]])

    def test_requests_with_several_parts_name_those_that_are_recorded(self) -> None:
        self.contexts[IDS[1]] = TraceContext(b"t" * 16, b"p" * 8)
        [value] = self.tracing.carrier_headers("up", [(each, 0) for each in IDS[:3]])[tracing.ITEM_TRACES]
        self.assertEqual([item[:2] for item in value.split(b",")], [b"0=", b"2="])
        self.assertEqual(made(0.0).carrier_headers("up", [(each, 0) for each in IDS[:3]]), {})

    def test_each_attempt_has_a_span_of_its_own_and_a_batch_has_none(self) -> None:
        attempts = [
            notification(IDS[0]),
            notification(IDS[0], 2),
            notification(IDS[0], 2, scheduled_at=9.0),
            notification(IDS[0], owed_since=5.0),
        ]
        seen = {self.parent(self.tracing.webhook_headers([each])).parent_id for each in attempts}
        self.assertEqual(len(seen - {accept_span_id(IDS[0])}), 4)
        self.assertEqual(self.tracing.webhook_headers(attempts[:2]), {})

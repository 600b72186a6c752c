"""A store with traces: it does what the other one does, and tells what happens to messages."""

from functools import partial
from typing import Any

from relay.config import daemon_config
from relay.tracing.spans import Span, accept_span_id, notify_span_id
from relay.tracing.traced_store import TracedStore
from relay.tracing.tracing import Tracing
from relay.values.failover_rule import FailoverRule
from relay.values.messages import Ending, Replacement
from relay.values.notifications import Attempt, Verdict
from relay.values.states import DELETED, UNDELIVERABLE
from relay.values.trace_context import TraceContext
from tests import failover_contract, store_contract
from tests.simulated_disk import SimulatedDisk
from tests.stores import DAY, NOW, message, message_id, receipt, started, submitted

CALLERS = TraceContext(b"t" * 16, b"p" * 8, 1, "a=1", recorded=True)


class TracedStoreCase(store_contract.StoreCase):
    """A store that records everything."""

    ratio = 1.0

    def make_store(self, limits: daemon_config.Limits) -> Any:
        self.disk = SimulatedDisk()
        self.limits = limits
        return self.opened()

    def reopen(self) -> Any:
        self.disk = self.disk.crash()
        return self.opened()

    def opened(self, **options: Any) -> Any:
        self.tracing = Tracing(daemon_config.Tracing(endpoint="http://127.0.0.1/", sample_ratio=self.ratio))
        kind = partial(TracedStore, tracing=self.tracing)
        return started(self.disk, self.clock, limits=self.limits, kind=kind, **options)

    def spans(self) -> list[Span]:
        return self.tracing.take(1_000_000)

    def names(self) -> list[str]:
        return [span.name for span in self.spans()]


class TracedContractTests(TracedStoreCase, store_contract.StoreContract):
    """The store's contract."""


class TracedFailoverTests(TracedStoreCase, failover_contract.FailoverContract):
    """The contract for messages that go to another carrier."""


class UnrecordedTests(TracedStoreCase):
    ratio = 0.0

    def test_messages_that_are_not_recorded_have_no_spans(self) -> None:
        self.sent(1)
        self.result(self.store.receipts([receipt(1)]))
        self.assertEqual(self.spans(), [])


class SpanTests(TracedStoreCase):
    def test_a_message_has_a_span_for_each_thing_that_takes_time(self) -> None:
        self.clock.advance(0.5)
        self.result(self.store.accept([message(1, "hooked", registered_delivery=0)]))
        self.result(self.store.submitted([submitted(1, at=NOW + 3)], [NOW + 2]))
        self.result(self.store.receipts([receipt(1, received_at=NOW + 60)]))
        [claimed] = self.claimed(store_contract.WEBHOOK)
        answered = Attempt(claimed, Verdict.DELIVERED, NOW + 62, answer="204", seconds=1.5)
        self.result(self.store.settle([answered]))
        spans = self.spans()
        self.assertEqual(
            [(span.name, round(span.started_at - NOW, 1), round(span.ended_at - NOW, 1)) for span in spans],
            [("accept", 0.0, 0.5), ("queue", 0.0, 2.0), ("submit", 2.0, 3.0), ("receipt", 3.0, 60.0),
             ("notify webhook", 60.5, 62.0)],
        )  # fmt: skip
        self.assertEqual({span.trace_id for span in spans}, {message_id(1)})
        self.assertEqual([span.parent_id for span in spans], [b"", *[accept_span_id(message_id(1))] * 4])
        self.assertEqual([span.failure for span in spans], [""] * 5)
        self.assertEqual(spans[4].attributes["http.response.status_code"], 204)
        attempt = notify_span_id(claimed.id, "webhook", 1, claimed.owed_since, claimed.scheduled_at)
        self.assertEqual(spans[4].span_id, attempt)

    def test_a_long_message_has_spans_of_each_part(self) -> None:
        self.result(self.store.accept([message(1, parts=(b"a", b"b"))]))
        self.result(self.store.submitted([submitted(1, b"x", part=0), submitted(1, b"y", part=1)]))
        self.result(self.store.receipts([receipt(b"x"), receipt(b"y", 5)]))
        spans = self.spans()
        told = [(span.name, span.attributes.get("relay.part"), span.failure) for span in spans]
        self.assertEqual(
            [each for each in told if each[0] == "receipt"], [("receipt", 1, ""), ("receipt", 2, "not delivered")]
        )
        self.assertEqual(len({span.span_id for span in spans}), len(spans))

    def test_a_message_that_no_carrier_took_has_an_end(self) -> None:
        self.result(self.store.accept([message(1)]))
        self.result(self.store.end([Ending(message_id(1), DELETED, NOW + 9)]))
        accept, end = self.spans()
        self.assertEqual((accept.name, end.name, end.ended_at), ("accept", "end", NOW + 9))
        self.assertEqual((end.failure, end.attributes["relay.status"]), ("not delivered", "DELETED"))

    def test_a_scheduled_message_waits_in_no_queue_before_its_time(self) -> None:
        self.result(self.store.accept([message(1, scheduled_at=NOW + 100)]))
        self.result(self.store.scheduled_due(NOW + 100, 10))
        self.result(self.store.submitted([submitted(1, at=NOW + 103)], [NOW + 102]))
        self.assertEqual([span.started_at for span in self.spans() if span.name == "queue"], [NOW + 100])

    def test_each_carrier_that_had_a_message_has_its_spans(self) -> None:
        self.store.connect_routes(lambda account, addresses, accepted_at, tags, tried: True)
        self.sent(1, failover=FailoverRule((UNDELIVERABLE,)))
        self.result(self.store.receipts([receipt(1, UNDELIVERABLE, received_at=NOW + 20)]))
        self.result(self.store.failed_over(10))
        self.result(self.store.submitted([submitted(1, b"z", carrier="tier2", at=NOW + 31)], [NOW + 30]))
        self.result(self.store.receipts([receipt(b"z", carrier="tier2", received_at=NOW + 40)]))
        spans = self.spans()
        told = [(span.name, span.attributes["relay.carrier"], span.failure) for span in spans[1:]]
        expected = [
            ("queue", "tier1", ""), ("submit", "tier1", ""), ("receipt", "tier1", "not delivered"),
            ("queue", "tier2", ""), ("submit", "tier2", ""), ("receipt", "tier2", ""),
        ]  # fmt: skip
        self.assertEqual(told, expected)
        self.assertEqual([span.started_at for span in spans if span.name == "queue"][1], NOW + 20)

    def test_an_attempt_that_failed_is_a_span_that_failed(self) -> None:
        self.sent(1, account="hooked", registered_delivery=0)
        self.result(self.store.receipts([receipt(1)]))
        [claimed] = self.claimed(store_contract.WEBHOOK)
        self.result(self.store.settle([Attempt(claimed, Verdict.RETRY, NOW + 9, NOW + 60, "timeout")]))
        attempt = self.spans()[-1]
        self.assertEqual(attempt.failure, "the customer did not take it")
        self.assertEqual(attempt.attributes["relay.result"], "retry")
        self.assertNotIn("http.response.status_code", attempt.attributes)

    def test_a_message_that_was_accepted_before_or_could_not_be_accepted_has_no_second_span(self) -> None:
        self.result(self.store.accept([message(1)]))
        self.assertEqual(self.names(), ["accept"])
        self.result(self.store.accept([message(1), message(2)], None, frozenset([message_id(1)])))
        self.assertEqual([span.trace_id for span in self.spans()], [message_id(2)])


class CallersTraceTests(TracedStoreCase):
    """The trace of a customer's request is kept with its message, for as long as the message."""

    ratio = 0.0

    def accepted(self, number: int = 1, trace: TraceContext | None = CALLERS, **fields: Any) -> None:
        self.result(self.store.accept([message(number, trace=trace, **fields)]))

    def test_its_spans_belong_to_the_caller_s_trace(self) -> None:
        self.accepted()
        self.result(self.store.submitted([submitted(1)]))
        accept, queue, _ = self.spans()
        self.assertEqual((accept.trace_id, accept.parent_id, accept.state), (b"t" * 16, b"p" * 8, "a=1"))
        self.assertEqual((queue.trace_id, queue.parent_id), (b"t" * 16, accept.span_id))

    def test_it_survives_a_restart(self) -> None:
        self.accepted()
        self.accepted(2, reference="mine")
        self.after_restart()
        self.assertEqual(self.tracing.context_of(message_id(1)), CALLERS)
        self.assertEqual(self.tracing.context_of(message_id(2)), CALLERS)
        self.assertIsNone(self.tracing.context_of(message_id(3)))

    def test_it_survives_compaction_and_the_restart_after_it(self) -> None:
        self.result(self.store.stop())  # type: ignore[attr-defined]
        self.store = self.opened(segment_bytes=2000, text_hours=0.001)
        self.accepted()
        for number in range(2, 60):
            self.accepted(number, None)
            self.result(self.store.submitted([submitted(number)]))
            self.result(self.store.receipts([receipt(number)]))
        for _ in range(20):
            self.result(self.store.expire(self.clock.seconds()))
            self.clock.pump([0.02] * 50)
        self.assertNotIn("data/journal/000000000001.seg", self.disk.files)
        self.after_restart()
        self.assertEqual(self.tracing.context_of(message_id(1)), CALLERS)

    def test_it_survives_a_replacement_of_the_text(self) -> None:
        self.accepted()
        self.result(self.store.replace(Replacement(message_id(1), b"new", 1, NOW + DAY)))
        self.assertEqual(self.tracing.context_of(message_id(1)), CALLERS)
        self.after_restart()
        self.assertEqual(self.tracing.context_of(message_id(1)), CALLERS)

    def test_a_message_that_the_caller_doesn_t_record_keeps_the_trace_but_has_no_spans(self) -> None:
        unrecorded = TraceContext(b"t" * 16, b"p" * 8)
        self.accepted(trace=unrecorded)
        self.assertEqual(self.spans(), [])
        self.assertEqual(self.tracing.context_of(message_id(1)), unrecorded)

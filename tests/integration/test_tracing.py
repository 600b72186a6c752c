"""Traces, with real relays and a stand-in for the collector that decodes what it gets."""

from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred

from tests.integration.harness import (
    IntegrationTestCase,
    Relay,
    SimulatorPort,
    WebhookReceiver,
    smpp_account,
    smpp_carrier,
    until,
)
from tests.integration.test_http_chain import SECRET, http_carrier
from tests.otlp_collector import OtlpCollector, ReceivedSpan

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{CALLER}-01"
NUMBER, TEXT = "447700900123", "nobody else reads this"


class TracingTests(IntegrationTestCase):
    def between(self, receiver: WebhookReceiver, simulator: SimulatorPort) -> dict[str, Any]:
        """The configuration of a relay with one account and one carrier."""
        return {
            "accounts": {"acme": smpp_account(notification_url=receiver.url)},
            "carriers": {"up": smpp_carrier(simulator.port)},
            "routes": [{"carriers": ["up"]}],
        }

    async def collector(self) -> OtlpCollector:
        collector = OtlpCollector()
        self.addCleanup(lambda: Deferred.fromCoroutine(collector.close()))
        await collector.listen()
        return collector

    def tracing(self, collector: OtlpCollector, **more: Any) -> dict[str, Any]:
        return {"endpoint": collector.endpoint, "sample_ratio": 1.0, "headers": {"X-Key": "secret"}} | more

    async def post(self, relay: Relay, messages: Any, **headers: str) -> Any:
        """Submits messages, and returns the answer."""
        status, answer = await self.http("POST", relay, "/messages", messages, headers=headers.items())
        self.assertEqual(status, 202, answer)
        return answer

    async def spans_come(self, collector: OtlpCollector, count: int) -> None:
        await until(f"the collector has {count} spans", lambda: len(collector.spans) >= count)

    def family(self, collector: OtlpCollector) -> dict[str, ReceivedSpan]:
        """The collector's spans by name."""
        return {span.name: span for span in collector.spans}

    async def test_a_message_s_spans_are_one_trace_whose_id_is_the_message_s(self) -> None:
        collector, simulator, receiver = await self.collector(), await self.simulator(), await self.webhooks()
        relay = await self.relay(
            **self.between(receiver, simulator),
            tracing=self.tracing(collector),
        )
        await relay.carrier_bound(simulator)
        answer = await self.post(relay, {"to": NUMBER, "from": "ACME", "text": TEXT})
        await self.spans_come(collector, 5)
        spans = self.family(collector)
        self.assertEqual(set(spans), {"accept", "queue", "submit", "receipt", "notify webhook"})
        self.assertEqual({span.trace_id for span in collector.spans}, {UUID(answer["id"]).hex})
        self.assertEqual(spans["accept"].parent_id, "")
        others = [span for span in collector.spans if span.name != "accept"]
        self.assertEqual({span.parent_id for span in others}, {spans["accept"].span_id})
        self.assertEqual(len({span.span_id for span in collector.spans}), 5)
        # Each begins when the one before it has ended, or while it goes on.
        self.assertLessEqual(spans["accept"].started_at, spans["queue"].started_at)
        self.assertEqual(spans["queue"].ended_at, spans["submit"].started_at)
        self.assertEqual(spans["submit"].ended_at, spans["receipt"].started_at)
        self.assertLessEqual(spans["receipt"].ended_at, spans["notify webhook"].ended_at)
        self.assertEqual({span.attributes["messaging.message.id"] for span in collector.spans}, {answer["id"]})
        self.assertEqual(spans["receipt"].attributes["relay.status"], "DELIVRD")
        self.assertEqual(spans["submit"].attributes["relay.carrier"], "up")
        self.assertEqual(spans["notify webhook"].attributes["http.response.status_code"], 200)
        # The customer can refer to the attempt.
        attempt = spans["notify webhook"]
        self.assertEqual(receiver.posts[0].headers["traceparent"], f"00-{attempt.trace_id}-{attempt.span_id}-01")
        # The collector gets its key, and no number, text or secret.
        self.assertEqual(collector.keys, {"secret"})
        sent = b"".join(collector.bodies)
        for private in (NUMBER, NUMBER[2:], TEXT, "secret08", receiver.url):
            self.assertNotIn(private.encode(), sent)

    async def test_a_caller_s_trace_goes_through_a_killed_relay_and_on_to_the_webhook(self) -> None:
        collector, receiver = await self.collector(), await self.webhooks()
        simulator = await self.simulator(receipt_delay_seconds=1.5)
        relay = await self.relay(
            **self.between(receiver, simulator),
            tracing=self.tracing(collector, sample_ratio=0.0, follow_accounts=["acme"]),
        )
        await relay.carrier_bound(simulator)
        message = {"to": NUMBER, "from": "ACME", "text": TEXT}
        await self.post(relay, message, traceparent=PARENT, tracestate="congo=t61rcWkgMzE")
        await until("the carrier's answer is durable", lambda: relay.journal("Submitted"))
        relay.kill()
        collector.spans.clear()
        await relay.start()
        await until("the webhook has come", lambda: receiver.posts)
        await until("its span has come", lambda: "notify webhook" in self.family(collector))
        spans = self.family(collector)
        self.assertEqual({span.trace_id for span in collector.spans}, {TRACE})
        self.assertEqual(spans["receipt"].parent_id, spans["notify webhook"].parent_id)
        self.assertEqual(spans["receipt"].state, "congo=t61rcWkgMzE")
        headers = receiver.posts[0].headers
        self.assertEqual(headers["traceparent"], f"00-{TRACE}-{spans['notify webhook'].span_id}-01")
        self.assertEqual(headers["tracestate"], "congo=t61rcWkgMzE")
        # One whose caller doesn't record it isn't recorded here either, and the caller's span is passed on.
        unsampled = PARENT[:-2] + "00"
        await self.post(relay, message, traceparent=unsampled)
        await until("the other webhook has come", lambda: len(receiver.posts) == 2)
        self.assertEqual(receiver.posts[1].headers["traceparent"], unsampled)
        self.assertEqual(await relay.stop(), 0)
        self.assertEqual([span.name for span in collector.spans].count("notify webhook"), 1)

    async def test_relays_in_a_row_are_one_trace_also_when_one_post_has_many_messages(self) -> None:
        collector, simulator, receiver = await self.collector(), await self.simulator(), await self.webhooks()
        first, second = self.prepare_relay("first"), self.prepare_relay("second")
        first.configuration |= {
            "accounts": {"acme": smpp_account(notification_url=receiver.url)},
            "carriers": {"hop": http_carrier(second.http_port)},
            "routes": [{"carriers": ["hop"]}],
            "tracing": self.tracing(collector, service_name="first", follow_accounts=["acme"]),
        }
        home = f"http://127.0.0.1:{first.http_port}/carriers/hop/notifications"
        down = {"api_key": "key", "allow_private_urls": True, "notification_url": home, "notification_secret": SECRET}
        second.configuration |= {
            "accounts": {"down": down},
            "carriers": {"up": smpp_carrier(simulator.port)},
            "routes": [{"carriers": ["up"]}],
            "tracing": self.tracing(collector, service_name="second", follow_accounts=["down"]),
        }
        await second.start()
        await second.carrier_bound(simulator)
        await first.start()
        await self.post(first, {"to": NUMBER, "from": "ACME", "text": TEXT}, traceparent=PARENT)
        # Each relay sends its spans when it wants to.
        wanted = (("submit", "first"), ("accept", "second"), ("notify webhook", "first"))
        await until("their spans have come", lambda: all(collector.named(*span) for span in wanted))
        [submit], [accept] = collector.named("submit", "first"), collector.named("accept", "second")
        self.assertEqual((accept.trace_id, accept.parent_id), (TRACE, submit.span_id))
        self.assertEqual({span.trace_id for span in collector.spans}, {TRACE})
        # Without a trace of the caller. Spans of the first message may still come.
        messages = [{"to": NUMBER, "from": "ACME", "text": TEXT} for _ in range(20)]
        answers = await self.post(first, messages)
        traces = {UUID(answer["id"]).hex for answer in answers}

        def later(name: str, service: str) -> dict[str, ReceivedSpan]:
            return {span.trace_id: span for span in collector.named(name, service) if span.trace_id != TRACE}

        await until("all have come", lambda: all(len(later(*span)) == 20 for span in wanted))
        parents = {trace_id: span.span_id for trace_id, span in later("submit", "first").items()}
        self.assertEqual(set(parents), traces)
        self.assertEqual({trace_id: span.parent_id for trace_id, span in later("accept", "second").items()}, parents)
        self.assertEqual({span.trace_id for span in collector.spans}, traces | {TRACE})

    async def test_a_collector_that_is_away_costs_spans_and_nothing_else(self) -> None:
        simulator, receiver = await self.simulator(), await self.webhooks()
        collector = OtlpCollector()
        self.addCleanup(lambda: Deferred.fromCoroutine(collector.close()))
        relay = await self.relay(
            **self.between(receiver, simulator),
            tracing=self.tracing(collector),
        )
        await relay.carrier_bound(simulator)
        message = {"to": NUMBER, "from": "ACME", "text": TEXT}
        await self.post(relay, [message] * 50)
        await until("all webhooks have come", lambda: len(receiver.posts) == 50)
        await until("the log says so", lambda: "traces_dropped" in relay.log())
        self.assertGreater(await self.metric(relay, "relay_trace_spans_total", result="dropped"), 0)
        await collector.listen()
        await self.post(relay, message)
        await until("the collector is back", lambda: "traces_sent" in relay.log())
        self.assertEqual(relay.log(100_000).count("traces_dropped"), 1)
        self.assertNotIn(NUMBER, relay.log(100_000))
        self.assertGreater(await self.metric(relay, "relay_trace_spans_total", result="exported"), 0)

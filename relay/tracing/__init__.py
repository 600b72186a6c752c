"""Traces of messages, for OpenTelemetry (docs/tracing.md). Without `tracing.endpoint` nothing of it is imported.

In go what happens to messages: `traced_store.TracedStore` is the store of a relay with traces, and sees everything that
becomes durable. Out come spans, in batches, to a collector (`span_exporter.SpanExporter`, in a thread of its own), and
the headers of requests to customers and carriers (`tracing.Tracing`).

Read `spans` first: it says which spans there are, and where their ids come from. `tracing` decides which messages are
recorded.
"""

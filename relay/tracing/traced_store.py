"""The embedded store of a relay with traces: makes spans of what happens to messages that are recorded.

Everything that happens to a message passes the store, in batches, with its times. So traces need no code on the way of
a message, and a relay without traces, whose store is a plain `JournalStore`, does nothing for them.

A span tells of an event that the store was told of. If the event can't be made durable now, it is told of all the same.
"""

from collections.abc import Iterable, Sequence, Set
from typing import Any

from twisted.internet.defer import Deferred

from relay.store.journal.journal_store import JournalStore
from relay.store.store_values import NO_IDS, AcceptedBefore, Idempotency, StoreResult
from relay.store.table.entries import Row, parts_of, rounds_of
from relay.store.table.entry_values import Part
from relay.store.table.records import WHOLE_MESSAGE, Ended, Learnt, RoundEnded
from relay.store.table.retries import rare_fields_of
from relay.tracing.spans import (
    Span,
    SpanKind,
    accept_span_id,
    notify_span_id,
    other_span_id,
    submit_span_id,
)
from relay.tracing.tracing import Tracing
from relay.values.carrier_reports import Submitted
from relay.values.ids import id_text
from relay.values.messages import Message
from relay.values.notifications import Attempt, Channel, Verdict
from relay.values.states import CUSTOMER_WORDS, DELIVERED
from relay.values.trace_context import TraceContext

#: The names of attributes. Those of messages are OpenTelemetry's, and the others are our own.
_MESSAGE_ID = "messaging.message.id"
_STATUS_CODE = "http.response.status_code"


class TracedStore(JournalStore):
    """Does what `JournalStore` does, and tells `tracing` what happened to messages that are recorded."""

    def __init__(self, *arguments: Any, tracing: Tracing, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._tracing = tracing
        tracing.context_of = self._context_of

    def _context_of(self, message_id: bytes) -> TraceContext | None:
        row = self.table.get(message_id)
        return None if row is None else _context(row)

    def accept(
        self,
        messages: Sequence[Message],
        idempotency: Idempotency | None = None,
        repeatable: Set[bytes] = NO_IDS,
        day: int = 0,
    ) -> "Deferred[AcceptedBefore | None]":
        done = super().accept(messages, idempotency, repeatable, day)
        records = self._tracing.records
        traced = [m for m in messages if m.trace is not None or records(m.id, None)]
        return done.addCallback(self._accepted, traced) if traced else done

    def _accepted(self, before: AcceptedBefore | None, messages: Sequence[Message]) -> AcceptedBefore | None:
        known: Set[bytes] = NO_IDS
        if before is not None:
            if before.request is not None:
                return before
            known = {view.id for view in before.messages}
        now = self._clock.seconds()
        for m in messages:
            row = self.table.get(m.id)
            if row is None or m.id in known:
                continue
            if m.trace is not None:
                # `relay.store.table.accept` doesn't, so that a relay without traces doesn't look for them.
                rare_fields_of(row).trace = m.trace
            if self._tracing.records(m.id, m.trace):
                parts = {"relay.parts": len(m.parts), "relay.interface": m.interface}
                parent_id = b"" if m.trace is None else m.trace.parent_id
                self._add(row, "accept", SpanKind.SERVER, accept_span_id(m.id), m.accepted_at, now, parts,
                          parent_id=parent_id)  # fmt: skip
        return before

    def submitted(self, batch: Sequence[Submitted], sent_at: Sequence[float] = ()) -> "Deferred[StoreResult]":
        begun = [self._waits_since(s.id) for s in batch]
        done = super().submitted(batch, sent_at)
        for index, (s, since) in enumerate(zip(batch, begun, strict=True)):
            row = self.table.get(s.id)
            if not since or row is None:
                continue
            sent = (sent_at[index] if sent_at else 0.0) or s.at
            told = {"relay.carrier": s.carrier, "relay.part": s.part + 1}
            span_id = other_span_id(s.id, "queue", s.part, sent)
            self._add(row, "queue", SpanKind.INTERNAL, span_id, min(since, sent), sent, told)
            span_id = submit_span_id(s.id, s.part, s.carrier)
            self._add(row, "submit", SpanKind.CLIENT, span_id, sent, s.at, told)
        return done

    def _waits_since(self, message_id: bytes) -> float:
        """Since when a message that is recorded waits for a carrier; 0.0: it isn't recorded."""
        row = self._recorded(message_id)
        if row is None:
            return 0.0
        rare_fields, rounds = row.rare_fields, rounds_of(row)
        scheduled_at = 0.0 if rare_fields is None else rare_fields.scheduled_at
        ended = [part.done_at for part in rounds[-1].parts] if rounds else []
        return max(row.acceptance.accepted_at, scheduled_at, *ended)

    def settle(self, batch: Sequence[Attempt]) -> "Deferred[None]":
        for a in batch:
            row = self._recorded(a.notification.id)
            if row is not None and a.notification.inbound is None:
                self._attempted(row, a)
        return super().settle(batch)

    def _attempted(self, row: Row, a: Attempt) -> None:
        n = a.notification
        over_http = n.channel == Channel.WEBHOOK
        told: dict[str, Any] = {
            "relay.attempt": n.attempt,
            "relay.status": CUSTOMER_WORDS[n.state].status,
            "relay.result": Verdict(a.verdict).name.lower(),
        }
        code = a.answer[:3]
        if over_http and code.isdigit() and not a.answer[3:4].isdigit():
            told[_STATUS_CODE] = int(code)
        delivered = a.verdict is Verdict.DELIVERED
        span_id = notify_span_id(n.id, n.channel, n.attempt, n.owed_since, n.scheduled_at)
        name, kind = f"notify {n.channel}", SpanKind.CLIENT if over_http else SpanKind.PRODUCER
        failure = "" if delivered else "the customer did not take it"
        self._add(row, name, kind, span_id, a.at - a.seconds, a.at, told, failure)

    def _append(self, records: Sequence[Any], result: Any) -> "Deferred[Any]":
        self._tell_endings(records)
        return super()._append(records, result)

    def _tell_endings(self, records: Iterable[Any]) -> None:
        for record in records:
            kind = type(record)
            if kind is Ended:
                self._tell_endings(record.each())
            elif kind is Learnt and record.final and (row := self._recorded(record.id)) is not None:
                parts = parts_of(row)
                if parts is None:
                    self._ended(row, row, record, 0)
                elif record.part != WHOLE_MESSAGE:
                    self._ended(row, parts[record.part], record, record.part)
                elif row.handoff is None or row.handoff.at is None:
                    # Otherwise each part has a span of its own.
                    self._ended(row, row, record, 0)
            elif kind is RoundEnded and (row := self._recorded(record.id)) is not None:
                for index, part in enumerate(rounds_of(row)[-1].parts):
                    self._ended(row, part, record, index)

    def _ended(self, row: Row, part: Part | Row, record: Any, index: int) -> None:
        """Makes the span in which a carrier had a part, or one that says that no carrier took the message."""
        handoff = part.handoff
        told: dict[str, Any] = {"relay.status": CUSTOMER_WORDS[record.state].status, "relay.part": index + 1}
        if record.error:
            told["relay.carrier_error"] = record.error.decode("latin-1")
        if handoff is not None:
            told["relay.carrier"] = handoff.carrier
        if record.carrier_done_at:
            told["relay.carrier_done_at"] = record.carrier_done_at
        failure = "" if record.state == DELIVERED else "not delivered"
        taken = handoff is not None and handoff.at is not None
        name, kind = ("receipt", SpanKind.CONSUMER) if taken else ("end", SpanKind.INTERNAL)
        since = handoff.at if handoff is not None and handoff.at is not None else row.acceptance.accepted_at
        span_id = other_span_id(row.id, name, index, record.at)
        self._add(row, name, kind, span_id, min(since, record.at), record.at, told, failure)

    def _recorded(self, message_id: bytes) -> Row | None:
        """The row of a message, if the message is recorded."""
        row = self.table.get(message_id)
        return row if row is not None and self._tracing.records(message_id, _context(row)) else None

    def _add(
        self,
        row: Row,
        name: str,
        kind: SpanKind,
        span_id: bytes,
        started_at: float,
        ended_at: float,
        told: dict[str, Any],
        failure: str = "",
        *,
        parent_id: bytes | None = None,
    ) -> None:
        context = _context(row)
        told = {_MESSAGE_ID: id_text(row.id), "relay.account": row.origin.account.name, **told}
        self._tracing.add(
            Span(
                name,
                kind,
                row.id if context is None else context.trace_id,
                span_id,
                accept_span_id(row.id) if parent_id is None else parent_id,
                started_at,
                ended_at,
                told,
                failure,
                "" if context is None else context.state,
            )
        )


def _context(row: Row) -> TraceContext | None:
    """The trace that a message's request belonged to."""
    return None if row.rare_fields is None else row.rare_fields.trace

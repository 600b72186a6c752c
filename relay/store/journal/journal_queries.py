"""The queries of the embedded store: messages, lists and figures, from the table. They change nothing."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence, Sized
from itertools import islice
from typing import Final, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from relay.store.journal.journal_writer import Journal
from relay.store.journal.long_questions import LongQuestions
from relay.store.store_values import FeedEntry, StoreFigures
from relay.store.table import views
from relay.store.table.ended import ended_counts
from relay.store.table.entries import Row
from relay.store.table.message_views import durable_view
from relay.store.table.overdue import at_carriers
from relay.store.table.receiving import feed as inbound_feed
from relay.store.table.receiving import inbound_of
from relay.store.table.receiving import latest as latest_inbound
from relay.store.table.same_id import as_several, is_awaited
from relay.store.table.table import Table
from relay.values.carrier_reports import AmbiguousReceipt, AtCarrier, Receipt
from relay.values.charge import AccountUse, TopUp
from relay.values.ended_counts import EndedCounts
from relay.values.ids import id_text
from relay.values.inbound_lists import InboundListed, InboundWanted
from relay.values.message_view import MessageView
from relay.values.notifications import QueueKey

#: How many carrier message ids, or queues, are read in one turn of the reactor. That takes about a millisecond.
COUNTED_A_TURN: Final = 4_000

_PartT = TypeVar("_PartT", bound=Sized)


class JournalQueries:
    """The facet `relay.store.api.StoreQueries` of the embedded store."""

    table: Table

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._long_questions = LongQuestions(clock)
        #: Feeds have a line of their own, because they are nearly always short, and need not wait for a search.
        self._feeds = LongQuestions(clock)
        self._journal: Journal

    def look_up(self, message_id: bytes) -> "Deferred[MessageView | None]":
        row = self.table.get(message_id)
        return succeed(None if row is None or inbound_of(row) is not None else self._view(row))

    def look_up_inbound(self, message_id: bytes) -> "Deferred[MessageView | None]":
        row = self.table.get(message_id)
        return succeed(None if row is None or inbound_of(row) is None else self._view(row))

    def _view(self, row: Row) -> MessageView:
        return durable_view(row, self._journal.durable_mark)

    def inbound_feed(self, account: str, after: int, limit: int) -> "Deferred[Sequence[MessageView]]":
        durable_mark = self._journal.durable_mark
        found = inbound_feed(self.table, account, after, limit, views.LOOKED_AT_A_TURN, durable_mark)
        return Deferred.fromCoroutine(self._feeds.answer(account, found))

    def latest_inbound(self, account: str, wanted: InboundWanted, limit: int) -> "Deferred[Sequence[InboundListed]]":
        durable_mark = self._journal.durable_mark
        found = latest_inbound(self.table, account, wanted, limit, views.LOOKED_AT_A_TURN, durable_mark)
        return Deferred.fromCoroutine(self._long_questions.answer(account, found))

    def at_carriers(self, message_id: bytes) -> "Deferred[Sequence[AtCarrier]]":
        row = self.table.get(message_id)
        return succeed([] if row is None else at_carriers(row))

    def find_carrier_id(self, carrier_message_id: bytes) -> "Deferred[Sequence[MessageView]]":
        return succeed([self._view(row) for row in self.table.ids.find(carrier_message_id)])

    def receipts_out(self, carrier: str) -> "Deferred[int]":
        return Deferred.fromCoroutine(self._receipts_out(carrier))

    async def _receipts_out(self, carrier: str) -> int:
        count = 0
        async for shard in self._in_slices(self.table.ids.existing(carrier) or ()):
            count += sum(is_awaited(entry) for found in shard.values() for entry in as_several(found))
        return count

    def carriers(self) -> "Deferred[Sequence[str]]":
        return succeed(self.table.ids.carriers())

    def owed_by_account(self) -> "Deferred[Mapping[str, int]]":
        return Deferred.fromCoroutine(self._owed_by_account())

    async def _owed_by_account(self) -> Mapping[str, int]:
        # There may be very many queues, because messages with URLs of their own have queues of their own.
        counts: Counter[str] = Counter()
        async for queues in self._in_slices(self.table.queues.slices()):
            for queue in queues:
                counts[queue.queue_key.account] += queue.owed
        return {name: count for name, count in counts.items() if count}

    def queues(self) -> "Deferred[Sequence[QueueKey]]":
        return Deferred.fromCoroutine(self._queues())

    async def _queues(self) -> Sequence[QueueKey]:
        found: list[QueueKey] = []
        async for queues in self._in_slices(self.table.queues.slices()):
            now = self._clock.seconds()
            found += [q.queue_key for q in queues if q.owed and (at := q.next_due_at(now)) is not None and at <= now]
        return found

    async def _in_slices(self, parts: Iterable[_PartT]) -> AsyncIterator[_PartT]:
        """Yields the parts of something large. After each `COUNTED_A_TURN` entries, the reactor does other work."""
        seen = 0
        for part in parts:
            seen += len(part)
            if seen > COUNTED_A_TURN:
                seen = len(part)
                await deferLater(self._clock, 0.0)
            yield part

    def recent(
        self, account: str, *, before: float | None = None, state: int | None = None, search: str = "", limit: int = 50
    ) -> "Deferred[Sequence[MessageView]]":
        found = views.recent(self.table, account, before, state, search, limit, self._journal.durable_mark)
        return Deferred.fromCoroutine(self._long_questions.answer(account, found))

    def given_up(self, account: str, since: float, until: float, limit: int) -> "Deferred[Sequence[bytes]]":
        found = views.given_up(self.table, account, since, until, limit)
        return Deferred.fromCoroutine(self._long_questions.answer(account, found))

    def scheduled_count(self, account: str) -> int:
        return self.table.scheduled.count_of(account)

    def account_use(self, account: str) -> AccountUse:
        return self.table.ledger.use(account)

    def top_ups(self, account: str) -> Sequence[TopUp]:
        return self.table.ledger.top_ups(account)

    def given_up_count(self, account: str) -> int:
        entry = self.table.accounts.get(account)
        return 0 if entry is None else len(entry.given_up)

    def learnt_between(self, account: str, since: float, until: float, limit: int) -> "Deferred[Sequence[bytes]]":
        found = views.learnt_between(self.table, account, since, until, limit)
        return Deferred.fromCoroutine(self._long_questions.answer(account, found))

    def owed_since(self, account: str) -> "Deferred[float | None]":
        found = views.owed_since(self.table, account)
        answer = Deferred.fromCoroutine(self._long_questions.answer(account, found))
        return answer.addCallback(lambda instants: instants[0] if instants else None)

    def feed(self, account: str, after: int, limit: int) -> "Deferred[Sequence[FeedEntry]]":
        found = views.feed(self.table, account, after, limit, self._journal.durable_mark)
        return Deferred.fromCoroutine(self._feeds.answer(account, found))

    def feed_begins(self, account: str) -> int:
        entry = self.table.accounts.get(account)
        return max(self.table.replayed_cursor, 0 if entry is None else entry.forgotten_cursor)

    def ended_counts(self, after: int, limit: int) -> "Deferred[EndedCounts]":
        return succeed(ended_counts(self.table, after, min(self._journal.durable_mark, after + limit)))

    def orphans(self, limit: int) -> "Deferred[Sequence[Receipt]]":
        return succeed(self.table.orphans.latest(limit))

    def evidence(self, limit: int) -> "Deferred[Sequence[Receipt]]":
        return succeed(self.table.evidence.latest(limit))

    def unreadable(self, limit: int) -> "Deferred[Sequence[Receipt]]":
        return succeed(self.table.unreadable.latest(limit))

    def ambiguous(self, limit: int) -> "Deferred[Sequence[AmbiguousReceipt]]":
        return succeed(list(islice(reversed(self.table.ambiguous), limit)))

    def figures(self) -> StoreFigures:
        table = self.table
        journal: Journal | None = getattr(self, "_journal", None)
        if journal is None:
            return StoreFigures(writable=False, reason="the journal is not open yet")
        commits = journal.figures
        return StoreFigures(
            messages=table.rows,
            unsubmitted=table.unsubmitted - table.scheduled.count,
            scheduled=table.scheduled.count,
            awaiting_receipt=table.awaiting,
            finished=table.rows - table.unsubmitted - table.awaiting,
            orphans=table.orphans.count,
            unreadable=len(table.unreadable),
            owed=table.owed,
            journal_bytes=journal.total_bytes,
            journal_segments=len(journal.segments),
            writable=journal.open,
            reason=journal.why_not,
            commits=commits.commits,
            committed_batches=commits.batches,
            committed_bytes=commits.octets,
            commit_seconds=commits.seconds,
            commit_buckets=tuple(commits.buckets),
            ambiguous=table.ids.ambiguous,
            ambiguous_receipts=table.ambiguous_count,
            latest_ambiguous=ambiguous_text(table.ambiguous[-1]) if table.ambiguous else "",
            contradicting=table.contradicting_count,
            repeated=table.repeated_count,
            orphans_dropped=table.orphans.dropped,
            evidence=table.evidence.counts(),
            implausible_dates=dict(table.implausible_dates),
            feed_place=journal.durable_mark,
            failed_over=dict(table.failovers.counts),
        )


def ambiguous_text(receipt: AmbiguousReceipt) -> str:
    """Describes an ambiguous receipt and its messages in words."""
    key = receipt.carrier_message_id.decode("latin-1")
    others = ", ".join([id_text(other) for other in receipt.others])
    if not receipt.message_id:
        return f"id {key} of {receipt.carrier} was not matched to {others}, because the number differs"
    return f"id {key} of {receipt.carrier} was matched to {id_text(receipt.message_id)} and may belong to {others}"

"""The embedded store: the table in memory, and its journal.

Theory of operation: each call changes the table at once, and appends one frame with the results. Its Deferred fires
when the frame is durable. So the table is ahead of the disk by the calls under way, and the frames are in the order of
the calls. Queries read the table, and don't wait for the disk.

When the disk fails, `accept`, `receipts`, `reread` and `put_setting` are refused until it works again. Calls of
`accept` and `put_setting` that were under way are undone. Calls of `receipts`, `reread`, `submitted`, `end`,
`query_outcomes`, `settle` and `notify_again` report events that have happened. Their Deferreds fail, because the events
are not durable. But the table keeps them, and the journal writes them when the disk works again. If a carrier sends a
receipt again, its outcome is then REPEATED. A final state isn't claimed before it is durable. Otherwise the relay could
stop now, learn another final state after the start, and notify of both. The first `expire` after the disk works again
announces the queues with notifications of failed calls.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from relay.config import carrier_config, daemon_config
from relay.runtime.alarms import Alarms
from relay.store.journal.bodies import BodyReader, PartBodies
from relay.store.journal.compaction import Compaction
from relay.store.journal.disk_thread import InThread
from relay.store.journal.files import Files
from relay.store.journal.followed_journal import FollowedJournal
from relay.store.journal.journal_format import encode_frame
from relay.store.journal.journal_queries import JournalQueries, ambiguous_text
from relay.store.journal.journal_writer import Journal
from relay.store.journal.opening import JournalOpening
from relay.store.journal.recovery import Progress
from relay.store.store_values import (
    NO_IDS,
    NOBODY,
    AcceptedBefore,
    Idempotency,
    KeptReceipts,
    OtherCarrier,
    PolicyOf,
    ReadAgain,
    ReplayResult,
    StoreFull,
    StoreResult,
    StoreUnavailable,
)
from relay.store.table import views
from relay.store.table.accept import accept, accept_as, may_be_replaced, replace, replaced, take_back
from relay.store.table.brought_back import bring_back, snapshots_of
from relay.store.table.brought_back import take_back as take_old_back
from relay.store.table.claims import NOTHING, Claims
from relay.store.table.correlation import Correlation
from relay.store.table.entries import parts_of
from relay.store.table.entry_values import LATER
from relay.store.table.evidence import judge
from relay.store.table.expiry import Expiry
from relay.store.table.in_doubt import sending
from relay.store.table.learning import Learning
from relay.store.table.ledger import charged
from relay.store.table.overdue import Overdue
from relay.store.table.parts import overdue_parts
from relay.store.table.receiving import numbered, receive
from relay.store.table.receiving import take_back as take_back_inbound
from relay.store.table.records import Charged, OwedAgain, Setting
from relay.store.table.replaying import Replay
from relay.store.table.retries import rare_fields_of
from relay.store.table.settings_and_keys import IDEMPOTENCY_SECONDS, IdempotencyKeys, Settings
from relay.store.table.submitted import Submissions
from relay.store.table.table import Table
from relay.values.carrier_reports import QueryOutcome, Receipt, Submitted
from relay.values.charge import ToppedUp, TopUp
from relay.values.inbound import InboundMessage, InboundPart
from relay.values.message_view import MessageView
from relay.values.messages import Ending, FailedOver, Message, Pending, Replacement
from relay.values.notifications import Attempt, Claim, Notification, QueueKey, Recovery
from relay.values.states import EXPIRED, UNKNOWN
from relay.values.work_gate import ALWAYS_OPEN, WorkGate

#: Above every segment's number.
_NO_SEGMENT = 1 << 62
#: How many finished messages, orphans and keys one call of `expire` forgets. That takes some milliseconds.
FORGOTTEN_A_CALL = 4_000
#: How many messages one call of `expire` makes go to another carrier. That takes some milliseconds.
FAILED_OVER_A_CALL = 1_000


class JournalStore(JournalQueries):
    """Keeps all messages in memory, and makes every change durable. `relay.store.api.Store` describes the calls.

    :param files: the disk.
    :param directory: the data directory. The journal is in `journal` in it. It is made if it is missing.
    :param policy: returns an account's `NotifyPolicy`. Called on the reactor thread, once for each batch and account.
    :param in_thread: runs a function in a thread. Commits are made there, one at a time.
    :param thread_is_idle: see `JournalDisk`.
    :param views_of_ended: whether results have `StoreResult.ended`.
    :param submit_grace_seconds: how long after its expiry a message that no carrier has taken may still get a response.
        It must be longer than any carrier's response timeout.
    :param compare_numbers: returns a carrier's key `compare_numbers`.
    :param tells_progress: whether any account has `NotifyPolicy.progress`.
    :param gate: whether notifications may be claimed now. While it is shut, a claim gets none.
    :param trouble: says why a commit that is under way may take long; empty: it should end soon. It is asked once a
        second, and while there is a reason, the store refuses what it refuses when the disk fails.
    """

    log = Logger()

    def __init__(
        self,
        files: Files,
        directory: str,
        *,
        journal: daemon_config.Journal,
        limits: daemon_config.Limits,
        policy: PolicyOf,
        clock: IReactorTime,
        in_thread: InThread[Any],
        views_of_ended: bool = False,
        submit_grace_seconds: float = 60.0,
        compare_numbers: Callable[[str], carrier_config.NumberComparison] | None = None,
        tells_progress: Callable[[], bool] | None = None,
        gate: WorkGate = ALWAYS_OPEN,
        thread_is_idle: Callable[[], bool] = lambda: False,
        trouble: Callable[[], str] = lambda: "",
    ) -> None:
        super().__init__(clock)
        self._gate = gate
        self._opening = JournalOpening(files, directory, in_thread, thread_is_idle)
        self._settings_of_journal = journal
        self._limits = limits
        self._policy = policy
        self._compare_numbers = compare_numbers
        self._tells_progress = tells_progress
        self._views_of_ended = views_of_ended
        self._submit_grace_seconds = submit_grace_seconds
        self._trouble = trouble
        self._alarms: Alarms[QueueKey] = Alarms(clock, self._announce)
        self._subscriber: Callable[[Sequence[QueueKey]], None] | None = None
        self._other_carrier: OtherCarrier | None = None
        self._make_table()
        self._compaction: Compaction
        self._part_bodies: PartBodies
        #: The number of the first journal segment that somebody else (the history) still has to read: compaction
        #: leaves it and those behind it alone. To be set before the start; by default nobody has to read any.
        self.needed_from: Callable[[], int] = lambda: _NO_SEGMENT
        #: False: it only follows another relay's journal, or does nothing yet.
        self._started = False
        self._announced = (0, True)
        self._ambiguous_said = (0, 0.0)

    def _make_table(self) -> None:
        """Makes an empty table, and everything that works on it."""
        table = self.table = Table(self._limits, self._policy)
        if self._compare_numbers is not None:
            table.compare_numbers = self._compare_numbers
        if self._tells_progress is not None:
            table.tells_progress = self._tells_progress
        if self._other_carrier is not None:
            table.failovers.other_carrier = self._other_carrier
        table.queues.due_at = self._alarms.at
        self._settings = Settings()
        self._keys = IdempotencyKeys(self._limits.idempotency_keys)
        self._learning = Learning(table, views_of_ended=self._views_of_ended)
        self._submissions = Submissions(table, self._learning)
        self._correlation = Correlation(table, self._learning)
        self._claims = Claims(table)
        self._expiry = Expiry(table, self._submit_grace_seconds)
        self._overdue = Overdue(table)

    # Start and stop

    def follow(self) -> FollowedJournal:
        """Locks the directory, and follows a journal that another relay writes. `start` goes on from there.

        A second call begins again with an empty table.

        :raises JournalError: the directory is in use, or can't be used.
        """
        self._make_table()
        return self._opening.follow(self._replay())

    def _replay(self) -> Replay:
        return Replay(self.table, self._settings, self._keys)

    async def start(self, progress: Progress | None = None) -> None:
        """Locks the directory, reads the journal, and opens it for writing. Await it before any other call.

        :param progress: called now and then with the octets that have been read, and with all octets.
        :raises JournalError: the directory is in use, damaged or of a newer version, or it can't be read.
        """
        segments = await self._opening.read(self._replay(), self._clock, progress)
        self.table.forget_finished(self.table.rows, self._clock.seconds())
        disk = self._opening.disk
        settings = self._settings_of_journal
        self._journal = Journal(disk, segments, settings, self._clock, mark=lambda: self.table.cursor)
        reader = BodyReader(disk)
        self._part_bodies = PartBodies(self.table, self._journal, reader)
        self._compaction = Compaction(
            self.table, self._settings, self._keys, self._journal, reader, disk, settings, self._clock,
            self._needed_by_others,
        )  # fmt: skip
        self._started = True

    async def stop(self) -> None:
        """Commits, closes, and unlocks the directory. Later calls of the store fail. A second stop does nothing."""
        if not self._opening.lock.held:
            return
        self._alarms.stop()
        self.table.queues.due_at = lambda queue_key, due_at: None
        if self._started:
            await self._compaction.stop()
            await self._journal.stop()
        self._opening.lock.release()

    def _needed_by_others(self) -> int:
        return self.needed_from()

    def durable_segments(self) -> list[tuple[int, int]]:
        """Gives the number and the durable octets of each segment, the oldest first, to a reader of the files."""
        return [(segment.sequence, segment.committed_bytes) for segment in self._journal.segments]

    # Messages

    def accept(
        self,
        messages: Sequence[Message],
        idempotency: Idempotency | None = None,
        repeatable: Set[bytes] = NO_IDS,
        day: int = 0,
    ) -> "Deferred[AcceptedBefore | None]":
        journal = self._journal
        if not journal.open:
            return fail(StoreUnavailable(journal.why_not))
        before: AcceptedBefore | None = None
        if idempotency is not None or repeatable:
            before = self._accepted_before(messages, idempotency, repeatable)
            if before is not None:
                if before.request is not None:
                    return journal.append(b"", before)
                known = {view.id for view in before.messages}
                messages = [m for m in messages if m.id not in known]
        if self.table.open_rows + len(messages) > self._limits.messages:
            return fail(StoreFull(f"{self._limits.messages} messages have not ended, which is limits.messages"))
        charge = charged(messages, day) if day else None
        records: Sequence[Any] = messages if idempotency is None else [*messages, idempotency]
        if charge is not None:
            records = [*records, charge]
        frame = encode_frame(records) if records else b""
        done = journal.append(frame, before, partial(self._take_back, messages, idempotency, charge))
        accept(self.table, messages, *journal.place)
        if charge is not None:
            self.table.ledger.charge(charge)
        if idempotency is not None:
            self._keys.put(idempotency, journal.place[0].sequence)
        return done

    def _accepted_before(
        self, messages: Sequence[Message], idempotency: Idempotency | None, repeatable: Set[bytes]
    ) -> AcceptedBefore | None:
        request = None if idempotency is None else self._request_of(idempotency.account, idempotency.key)
        if request is not None:
            return AcceptedBefore(request)
        rows = [row for m in messages if m.id in repeatable and (row := self.table.get(m.id)) is not None]
        return AcceptedBefore(None, [self._view(row) for row in rows]) if rows else None

    def _request_of(self, account: str, key: str) -> Idempotency | None:
        entry = self._keys.get(account, key)
        return None if entry is None or entry.at + IDEMPOTENCY_SECONDS <= self._clock.seconds() else entry

    def _take_back(self, messages: Sequence[Message], idempotency: Idempotency | None, charge: Charged | None) -> None:
        take_back(self.table, messages)
        if charge is not None:
            self.table.ledger.take_back(charge)
        if idempotency is not None:
            self._keys.take_back(idempotency)

    def replace(self, replacement: Replacement) -> "Deferred[bool]":
        journal = self._journal
        if not journal.open:
            return fail(StoreUnavailable(journal.why_not))
        row = self.table.get(replacement.id)
        if row is None or not may_be_replaced(self.table, row):
            return succeed(False)
        message = replaced(row, replacement)
        scheduled_at, later = rare_fields_of(row).scheduled_at, bool(row.flags & LATER)
        undo = partial(accept_as, self.table, row, row.acceptance, row.origin, scheduled_at, later=later)
        done = journal.append(encode_frame([message]), True, undo)
        replace(self.table, row, message, *journal.place)
        return done

    def submitted(self, batch: Sequence[Submitted], sent_at: Sequence[float] = ()) -> "Deferred[StoreResult]":
        changes = self._submissions.submitted(batch, sent_at)
        return self._append(changes.records, changes.result())

    def sending(self, batch: Sequence[tuple[bytes, int]], carrier: str) -> "Deferred[None]":
        if carrier and not self._journal.open:
            return fail(StoreUnavailable(self._journal.why_not))
        marked = self._submissions.sending(batch, carrier)
        undo = partial(self.table.in_doubt.unmark_all, marked) if carrier else None
        return self._journal.append(encode_frame([sending(marked, carrier)]) if marked else b"", None, undo)

    def receipts(self, batch: Sequence[Receipt]) -> "Deferred[StoreResult]":
        if not self._journal.open:
            return fail(StoreUnavailable(self._journal.why_not))
        changes = self._correlation.receipts(batch, self._journal.active.sequence)
        self.table.forget_over_bound(len(batch))
        return self._append(changes.records, changes.result())

    def kept_receipts(self, after: tuple[int, int] | None, limit: int) -> "Deferred[KeptReceipts]":
        return succeed(views.kept_receipts(self.table, after, limit))

    def reread(self, batch: Sequence[ReadAgain]) -> "Deferred[StoreResult]":
        if not self._journal.open:
            return fail(StoreUnavailable(self._journal.why_not))
        changes = self._correlation.reread(batch)
        return self._append(changes.records, changes.result())

    def dismiss_evidence(self, carrier: str) -> "Deferred[int]":
        if not self._journal.open:
            return fail(StoreUnavailable(self._journal.why_not))
        count, latest_at = self.table.evidence.clear(carrier)
        # The system's clock may have been set back since.
        dismissed_to = max(self._clock.seconds(), latest_at)
        return self._append([self.table.match_rates.dismiss(carrier, dismissed_to)], count)

    def end(self, batch: Sequence[Ending]) -> "Deferred[StoreResult]":
        changes = self._learning.end(batch)
        return self._append(changes.records, changes.result())

    def expire(self, now: float, askable: Mapping[str, int] = NOBODY) -> "Deferred[StoreResult]":
        table, journal = self.table, self._journal
        journal.hold_up(self._trouble())
        table.forget_finished(FORGOTTEN_A_CALL, now)
        self._keys.expire(now, FORGOTTEN_A_CALL)
        changes = self._learning.changes()
        if (journal.failures, journal.open) != self._announced:
            # The states of failed calls are durable now. So their queues are announced.
            self._announced = (journal.failures, journal.open)
            changes.touched.update(table.queues.owing())
        self._say_ambiguous(now)
        if not journal.open:
            return succeed(changes.result())
        self._expire_orphans(now, changes.records)
        due = self._expiry.step(now)
        self._learning.time_out(due.expired, [], EXPIRED, now, changes)
        self._learning.no_receipts(table.failovers.timers.due(now, FAILED_OVER_A_CALL), now, changes)
        long = [(row, overdue_parts(parts, now)) for row in due.long if (parts := parts_of(row)) is not None]
        overdue = self._overdue.sort(due.unanswered, long, askable, now)
        self._learning.time_out(overdue.rows, overdue.parts, UNKNOWN, now, changes)
        changes.records.extend(self._claims.give_up_receipts(due.unfetched, now))
        journal.roll(now)
        self._compaction.consider(now)
        answer = changes.result()
        if overdue.queries:
            answer = msgspec.structs.replace(answer, overdue=overdue.queries)
        return self._append(changes.records, answer)

    def _expire_orphans(self, now: float, records: list[Any]) -> None:
        table = self.table
        fallen = table.orphans.expire(now, FORGOTTEN_A_CALL)
        records += judge(fallen, table.match_rates, table.evidence, self._journal.active.sequence)
        # If we stop here, then they are orphans again after the start, and are judged then.
        for receipt in fallen:
            table.match_rates.judged(receipt.carrier, receipt.received_at)
        records += table.match_rates.due(now)

    def _say_ambiguous(self, now: float) -> None:
        """Logs, once a minute, that receipts came that could belong to several messages."""
        table = self.table
        said, next_at = self._ambiguous_said
        if table.ambiguous_count == said or now < next_at:
            return
        self._ambiguous_said = (table.ambiguous_count, now + 60.0)
        self.log.warn(
            "receipts_ambiguous: {count} receipts could belong to several messages, because a carrier gave an id twice "
            "and numbers did not decide; the latest: {receipt}. Receipts on the operator's page has them; if the "
            "carrier rewrites numbers, set its compare_numbers to never",
            count=table.ambiguous_count - said, receipt=ambiguous_text(table.ambiguous[-1]),
        )  # fmt: skip

    def query_outcomes(self, batch: Sequence[QueryOutcome]) -> "Deferred[StoreResult]":
        changes = self._learning.query_outcomes(batch)
        self._overdue.answered([(a.id, a.part) for a in batch])
        return self._append(changes.records, changes.result())

    # Notifications

    def claim(self, queue_key: QueueKey, limit: int, now: float) -> "Deferred[Claim]":
        if not self._gate.open:
            return succeed(NOTHING)
        return succeed(self._claims.claim(queue_key, limit, now, self._journal.durable_mark))

    def settle(self, batch: Sequence[Attempt]) -> "Deferred[None]":
        records = self._claims.settle(batch)
        self.table.forget_over_bound(len(batch))
        return self._append(records, None)

    def release(self, batch: Sequence[Notification]) -> None:
        self._claims.release(batch)

    def bring_forward(self, place: QueueKey, recovery: Recovery) -> None:
        self._claims.bring_forward(place, recovery)

    def subscribe(self, due: Callable[[Sequence[QueueKey]], None]) -> None:
        self._subscriber = due

    def _announce(self, queues: Sequence[QueueKey]) -> None:
        # Before the daemon subscribes, it hasn't called `queues` yet either. That call will return these queues.
        if self._subscriber is not None:
            self._subscriber(queues)
        self._claims.go_on_bringing_forward()

    def notify_again(self, account: str, ids: Sequence[bytes], now: float) -> "Deferred[ReplayResult]":
        changes, messages = self._claims.notify_again(account, ids, now)
        return self._append(changes.records, ReplayResult(messages, changes.queues()))

    def notify_old(self, account: str, views: Sequence[MessageView], now: float) -> "Deferred[ReplayResult]":
        table, journal = self.table, self._journal
        if not journal.open:
            return fail(StoreUnavailable(journal.why_not))
        forgotten = snapshots_of(table, views)
        if table.open_rows + len(forgotten) > self._limits.messages:
            return fail(StoreFull(f"{self._limits.messages} messages are on their way, which is limits.messages"))
        ids = [snapshot.id for snapshot in forgotten]
        frame = encode_frame([*forgotten, OwedAgain(now, b"".join(ids))]) if ids else b""
        result: list[ReplayResult] = []
        done = journal.append(frame, result, partial(take_old_back, table, forgotten))
        bring_back(table, forgotten, *journal.place)
        changes, messages = self._claims.notify_again(account, ids, now)
        result.append(ReplayResult(messages, changes.queues()))
        return done.addCallback(lambda results: results[0])

    # Parts that wait for a carrier

    def unsubmitted(self, after: tuple[bytes, int] | None, limit: int) -> "Deferred[Sequence[Pending]]":
        return succeed(views.pending(self.table, after, limit))

    def scheduled_due(self, now: float, limit: int) -> "Deferred[Sequence[Pending]]":
        return succeed(views.scheduled_due(self.table, now, limit))

    def connect_routes(self, other_carrier: OtherCarrier) -> None:
        self._other_carrier = self.table.failovers.other_carrier = other_carrier

    def failed_over(self, limit: int) -> "Deferred[FailedOver]":
        failovers = self.table.failovers
        if not self._journal.open:
            return succeed(FailedOver())
        rows, dropped = failovers.take(limit)
        if not rows and not dropped:
            return succeed(FailedOver())

        def not_durable(failure: Failure) -> FailedOver:
            failure.trap(StoreUnavailable)
            failovers.put_back(rows, dropped)
            return FailedOver()

        done: Deferred[FailedOver] = self._append([], FailedOver(views.failed_over(rows, self.table), dropped))
        return done.addErrback(not_durable)

    def bodies(self, parts: Sequence[tuple[bytes, int]]) -> "Deferred[Sequence[bytes | None]]":
        return Deferred.fromCoroutine(self._part_bodies.read(parts))

    # Messages from handsets

    def receive(self, batch: Sequence[InboundMessage]) -> "Deferred[StoreResult]":
        journal = self._journal
        if not journal.open:
            return fail(StoreUnavailable(journal.why_not))
        if self.table.open_rows + len(batch) > self._limits.messages:
            return fail(StoreFull(f"{self._limits.messages} messages are on their way, which is limits.messages"))
        placed = numbered(self.table, batch)
        answer: list[StoreResult] = []
        dropped: list[tuple[InboundPart, int]] = []
        done = journal.append(encode_frame(placed), answer, partial(take_back_inbound, self.table, placed, dropped))
        answer.append(receive(self.table, placed, *journal.place, dropped).result())
        return done.addCallback(lambda results: results[0])

    def keep_parts(self, batch: Sequence[InboundPart]) -> "Deferred[None]":
        journal, parts = self._journal, self.table.inbound_parts
        if not journal.open:
            return fail(StoreUnavailable(journal.why_not))

        def undo() -> None:
            for part in batch:
                parts.take_back(part)

        done = journal.append(encode_frame(batch), None, undo)
        for part in batch:
            parts.put(part, journal.place[0].sequence)
        return done

    def kept_parts(self) -> "Deferred[Sequence[InboundPart]]":
        return succeed(self.table.inbound_parts.all())

    # Settings, and repeated requests

    def repeated(self, account: str, key: str) -> "Deferred[Idempotency | None]":
        return succeed(self._request_of(account, key))

    def put_setting(self, account: str, name: str, value: str | None) -> "Deferred[None]":
        journal = self._journal
        if not journal.open:
            return fail(StoreUnavailable(journal.why_not))
        was = self._settings.get(account, name)
        setting = Setting(account, name, value)
        undo = partial(self._settings.put, Setting(account, name, was), journal.active.sequence)
        done = journal.append(encode_frame([setting]), None, undo)
        self._settings.put(setting, journal.place[0].sequence)
        return done

    def settings(self) -> "Deferred[Sequence[tuple[str, str, str]]]":
        return succeed(self._settings.all())

    # Money

    def top_up(self, top_up: TopUp) -> "Deferred[ToppedUp]":
        journal, ledger = self._journal, self.table.ledger
        if not journal.open:
            return fail(StoreUnavailable(journal.why_not))
        result = ledger.top_up(top_up)
        if result.earlier is not None:
            return journal.append(b"", result)
        return journal.append(encode_frame([top_up]), result, partial(ledger.take_back_top_up, top_up))

    def _append(self, records: Sequence[Any], result: Any) -> "Deferred[Any]":
        """Appends one frame about events that have happened."""
        return self._journal.append(encode_frame(records) if records else b"", result)

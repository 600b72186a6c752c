"""Compaction: keeps the journal small, and removes texts from the disk.

Theory of operation: only the oldest segments are ever deleted. Everything in them that still counts (messages in the
table, settings, orphans, idempotency keys, accounts' totals) is first written again at the journal's end, in its
present state. When that is durable, the file is deleted. The bodies of a message are copied only if a carrier may still
get them. Compaction is due in three cases: the journal has three times the size that it needs; the oldest segment has
nothing that counts; or the oldest segment is older than texts may be. The size that it needs is an estimate, which is
too small where texts from handsets or answers to requests are long. So when a compaction copies more than half of what
it deletes, the first case waits until the journal has grown by half.

It works in slices of a few milliseconds. Each slice waits for its own commit, so compaction is never faster than the
disk, and doesn't hold up the reactor. Until a slice is durable, its messages belong to their old segment. If anything
fails, the segment stays, and compaction tries again later.
"""

from collections.abc import Callable, Sequence
from functools import partial
from os.path import join
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from relay.config import daemon_config
from relay.store.journal.bodies import BodiesOf, BodyReader
from relay.store.journal.disk_thread import JournalDisk
from relay.store.journal.journal_format import encode_frame, segment_name
from relay.store.journal.journal_writer import Journal
from relay.store.store_values import StoreUnavailable
from relay.store.table.entries import Row
from relay.store.table.entry_values import FORGOTTEN, Acceptance, Segment
from relay.store.table.records import Counters
from relay.store.table.settings_and_keys import IdempotencyKeys, Settings
from relay.store.table.snapshots import needs_bodies, snapshot
from relay.store.table.table import Table

#: How many messages are copied in one slice (about 4 ms), and how many are read (about 2 ms).
ROWS_A_SLICE = 500
ROWS_LOOKED_AT = 20_000
#: The pause between slices, in which the reactor does other work.
PAUSE_SECONDS = 0.01
#: The pause after a failure.
RETRY_SECONDS = 60.0
#: Estimates of what a message needs on the disk, while it waits for a carrier, and after that.
UNSUBMITTED_BYTES = 400
SUBMITTED_BYTES = 200
#: The journal may have so many times the size that it needs.
RATIO = 3.0
#: If more than this share of the deleted segments had to be copied, the journal must first grow by GROWTH.
DENSE = 0.5
GROWTH = 1.5


class NotesContainer(Protocol):
    """A container of records that aren't messages, and that compaction copies."""

    def in_segments(self, last: int) -> Sequence[Any]:
        """The records in segment `last` or an earlier one."""

    def holds(self, record: Any) -> bool:
        """Whether a record of `in_segments` still counts."""

    def moved(self, last: int, segment: int) -> None:
        """Notes that the records of `in_segments(last)` have been copied to `segment`."""


class Compaction:
    """Copies everything that counts out of the oldest segments, and deletes them. The store calls `consider` often.

    :param needed_from: the number of the first segment that somebody else still has to read.
    """

    log = Logger()

    def __init__(
        self,
        table: Table,
        settings: Settings,
        keys: IdempotencyKeys,
        journal: Journal,
        body_reader: BodyReader,
        disk: JournalDisk,
        journal_settings: daemon_config.Journal,
        clock: IReactorTime,
        needed_from: Callable[[], int],
    ) -> None:
        self._table = table
        self._needed_from = needed_from
        self._settings = settings
        self._keys = keys
        self._journal = journal
        self._body_reader = body_reader
        self._disk = disk
        self._segment_bytes = journal_settings.segment_bytes
        self._text_seconds = journal_settings.text_hours * 3600.0
        self._clock = clock
        self._running: Deferred[None] | None = None
        self._not_before = 0.0
        self._stopping = False
        #: What the compaction under way has copied.
        self._copied_bytes = 0
        #: The journal's size after the last compaction that had to copy most of what it deleted; 0: it was not so.
        self._dense_bytes = 0

    # When

    def consider(self, now: float) -> None:
        """Begins a compaction if one is due and none is under way."""
        if self._running is None and not self._stopping and now >= self._not_before and self._journal.writable:
            victims = self.victims(now)
            if victims:
                self._running = Deferred.fromCoroutine(self._run(victims))
                self._running.addBoth(self._ended)

    def live_bytes(self) -> int:
        """An estimate of the size that the journal needs."""
        table = self._table
        return (
            table.unsubmitted * UNSUBMITTED_BYTES
            + (table.rows - table.unsubmitted + table.orphans.count + table.evidence.count + len(self._keys))
            * SUBMITTED_BYTES
        )

    def victims(self, now: float) -> list[Segment]:
        """The oldest segments, if they should be deleted now; empty: compaction isn't due."""
        needed_from = self._needed_from()
        closed = [segment for segment in self._journal.segments[:-1] if segment.sequence < needed_from]
        count = 0
        while count < len(closed) and closed[count].rows == 0:
            count += 1
        following = self._journal.segments[1:]
        aged = 0
        while aged < len(closed) and following[aged].created_at <= now - self._text_seconds:
            aged += 1
        count = max(count, aged)
        total = self._journal.total_bytes
        needed = max(RATIO * self.live_bytes() + 2 * self._segment_bytes, GROWTH * self._dense_bytes)
        if not count and closed and total > needed:
            # A quarter of the segments at a time, so that one walk through the table serves several segments.
            going = 0
            while count < len(closed) and (not count or going + closed[count].end_bytes <= total / 4):
                going += closed[count].end_bytes
                count += 1
        return closed[:count]

    # How

    async def _run(self, victims: list[Segment]) -> None:
        """Copies one segment after the other, oldest first, and deletes each before it copies the next.

        If we stop in the middle, then the segments deleted so far stay deleted. So even a relay that is killed again
        and again gets smaller journals.
        """
        last = victims[-1].sequence
        deleted_bytes = sum(segment.end_bytes for segment in victims)
        self._copied_bytes = 0
        await self._copy_notes(last)
        groups = await self._rows_in(last) if any(segment.rows for segment in victims) else {}
        for segment in victims:
            await self._copy_rows(groups.pop(segment.sequence, []), segment.sequence)
            if segment.rows:
                raise RuntimeError(f"{segment.rows} messages are still in segment {segment.sequence}")
            # A message that has just been replaced belongs to this segment again if its replacement can't be written.
            await self._journal.append(b"", None)
            await self._disk.in_thread(partial(self._delete, segment_name(segment.sequence)))
            del self._journal.segments[0]
        dense = self._copied_bytes > DENSE * deleted_bytes
        self._dense_bytes = self._journal.total_bytes if dense else min(self._dense_bytes, self._journal.total_bytes)
        self.log.info(
            "journal_compacted: {count} segments up to {last} deleted, {bytes} octets in {segments} segments left",
            count=len(victims),
            last=last,
            bytes=self._journal.total_bytes,
            segments=len(self._journal.segments),
        )

    def _delete(self, name: str) -> None:
        """Deletes a segment for good, in the disk's thread. The oldest goes first, so that there is never a gap."""
        self._disk.files.remove(join(self._disk.directory, name))
        self._disk.files.sync_directory(self._disk.directory)

    async def _copy_notes(self, last: int) -> None:
        """Writes again everything that counts and isn't a message."""
        table = self._table
        containers: tuple[NotesContainer, ...] = (
            self._settings, self._keys, table.orphans, table.unreadable, table.evidence, table.inbound_parts,
        )  # fmt: skip
        first = self._journal.active.sequence
        await self._append([Counters(table.cursor)])
        for container in containers:
            records: Sequence[Any] = container.in_segments(last)
            for start in range(0, len(records), ROWS_A_SLICE):
                # A record that was removed or replaced since then must not come after what removed it: replay would
                # bring it back. From here to the append, nothing else runs.
                held = [record for record in records[start : start + ROWS_A_SLICE] if container.holds(record)]
                if held:
                    await self._append(held)
                if start + ROWS_A_SLICE < len(records):
                    await self._pause()
        accounts = table.ledger.accounts()
        for start in range(0, len(accounts), ROWS_A_SLICE):
            # Totals have the state of this moment: from here to the append, nothing else runs.
            await self._append(table.ledger.totals(accounts[start : start + ROWS_A_SLICE]))
        # The rates last: replay counts the orphans before them once more.
        await self._append(table.match_rates.all())
        for container in containers:
            container.moved(last, first)

    async def _rows_in(self, last: int) -> dict[int, list[list[Row]]]:
        """The messages in segments up to `last`, by segment. Messages of one frame are together."""
        segments: dict[int, dict[Acceptance, list[Row]]] = {}
        looked_at = 0
        for shard in self._table.shards:
            for row in shard.values():
                acceptance = row.acceptance
                sequence = acceptance.segment.sequence
                if sequence <= last:
                    segments.setdefault(sequence, {}).setdefault(acceptance, []).append(row)
            looked_at += len(shard)
            if looked_at >= ROWS_LOOKED_AT:
                looked_at = 0
                await self._pause()
        return {sequence: list(groups.values()) for sequence, groups in segments.items()}

    async def _copy_rows(self, groups: list[list[Row]], last: int) -> None:
        chunk: list[Row] = []
        for group in groups:
            chunk += group
            while len(chunk) >= ROWS_A_SLICE:
                await self._copy(chunk[:ROWS_A_SLICE], last)
                del chunk[:ROWS_A_SLICE]
                await self._pause()
        if chunk:
            await self._copy(chunk, last)

    async def _copy(self, rows: list[Row], last: int) -> None:
        bodies: BodiesOf = {}
        now = self._clock.seconds()
        waiting = [row for row in rows if needs_bodies(row, now) and row.acceptance.segment.sequence <= last]
        if waiting:
            bodies = await self._bodies(waiting, now)
        # From here to the append, nothing else runs. So the snapshots have the state of this moment.
        # A message that was replaced meanwhile isn't in these segments any more.
        rows = [row for row in rows if not row.flags & FORGOTTEN and row.acceptance.segment.sequence <= last]
        copied = [row.acceptance for row in rows]
        ids = self._table.ids
        records: list[Any] = [snapshot(row, ids, bodies[row.id] if needs_bodies(row, now) else ()) for row in rows]
        if self._table.in_doubt:
            records += self._table.in_doubt.records(row.id for row in rows)
        appended = self._append(records)
        segment, offset = self._journal.place
        await appended
        acceptance: Acceptance | None = None
        for row, old in zip(rows, copied, strict=True):
            if row.flags & FORGOTTEN or row.acceptance is not old:
                continue
            if (
                acceptance is None
                or acceptance.accepted_at != old.accepted_at
                or acceptance.validity_seconds != old.validity_seconds
            ):
                acceptance = Acceptance(old.accepted_at, old.validity_seconds, segment, offset)
            old.segment.rows -= 1
            segment.rows += 1
            row.acceptance = acceptance

    async def _bodies(self, rows: list[Row], now: float) -> BodiesOf:
        """The bodies of messages that a carrier may still get."""
        bodies = await self._body_reader.read(rows)
        missing = [row for row in rows if needs_bodies(row, now) and row.id not in bodies and not row.flags & FORGOTTEN]
        if missing:
            raise RuntimeError(f"the bodies of {len(missing)} messages are not where they should be")
        return bodies

    def _append(self, records: list[Any]) -> "Deferred[None]":
        frame = encode_frame(records)
        self._copied_bytes += len(frame)
        return self._journal.append(frame, None, keep=False)

    async def _pause(self) -> None:
        await deferLater(self._clock, PAUSE_SECONDS)
        if self._stopping:
            raise StoreUnavailable("the relay is stopping")

    def _ended(self, result: object) -> None:
        self._running = None
        failure = result
        if failure is None:
            return
        self._not_before = self._clock.seconds() + RETRY_SECONDS
        value = getattr(failure, "value", None)
        if isinstance(value, StoreUnavailable | OSError):
            self.log.warn("journal_compaction_postponed: {reason}", reason=str(value))
        else:
            self.log.failure("journal_compaction_failed: nothing was deleted", failure=failure)  # type: ignore[arg-type]

    async def stop(self) -> None:
        """Stops after the slice that is under way. Records that were copied already do no harm."""
        self._stopping = True
        if self._running is not None:
            await self._running

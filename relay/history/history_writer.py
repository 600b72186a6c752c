"""Copies the journal's records into the history's database. All of it runs in the history's thread.

Theory of operation: each call of `catch_up` reads the durable journal from the database's cursor on, and writes the
records as one batch together with the new cursor. If the batch can't be written, the cursor stays. So the next call
reads the same records again.
"""

import sqlite3
import time
from collections.abc import Sequence
from functools import partial

import msgspec
from twisted.logger import Logger

from relay.history.history_database import HistoryDatabase
from relay.history.history_entries import first_seq
from relay.history.history_events import HistoryEvents
from relay.history.history_records import HistoryRecords
from relay.history.history_schema import Cursor
from relay.history.journal_tail import JournalGap, JournalTail, Length

#: The writer writes a batch when it has this many messages. This takes some tenths of a second.
MESSAGES_A_BATCH = 10_000
#: The same for octets of the journal: long messages with many attempts need far more memory than short ones.
BYTES_A_BATCH = 16 << 20
_FORGET_PAUSE_SECONDS = 60.0
#: The history keeps sums by minute for this time. It keeps sums by hour as long as the messages.
_MINUTES_KEPT_SECONDS = 3 * 3600.0


class Reached(msgspec.Struct, frozen=True):
    """Says how far a call of `catch_up` has come.

    :ivar cursor: the place up to which the journal was read.
    :ivar more: true if more records are ready.
    :ivar lacking_bytes: octets of the journal that were gone before the history had read them, in all its life.
    """

    cursor: Cursor
    more: bool
    lacking_bytes: int = 0


class HistoryWriter:
    """Keeps the database up to date with the journal.

    :param keep_seconds: how long a message is kept after its acceptance.
    :param records: writes the message records; None if the configuration has none.
    """

    log = Logger()

    def __init__(
        self,
        database: HistoryDatabase,
        tail: JournalTail,
        keep_seconds: float,
        records: HistoryRecords | None = None,
    ) -> None:
        self._records = records
        self._records_open = False
        self._database = database
        self._tail = tail
        self._keep_seconds = keep_seconds
        #: As `BYTES_A_BATCH`.
        self.batch_bytes = BYTES_A_BATCH
        self._forget_at = 0.0
        #: Up to here, another run may have written the lines of what ended.
        self._unsure_until = Cursor(0, 0)

    def open(self, lengths: Sequence[Length]) -> None:
        """Opens the database. If it is damaged, renames it and begins an empty one.

        :param lengths: the durable length of each journal segment.
        :raises NewerHistory: a newer relay wrote the database.
        :raises OSError, sqlite3.Error: the database can't be opened or made.
        """
        database = self._database
        if lengths and not self._unsure_until.sequence:
            self._unsure_until = Cursor(*lengths[-1])
        try:
            known = database.open()
        except sqlite3.DatabaseError as problem:
            if not database.source.is_damaged(problem):
                raise
            self._begin_anew(lengths, str(problem))
            return
        self._records_open = False
        if lengths and database.cursor > Cursor(*lengths[-1]):
            # The journal is an older copy, or lost its end in a crash. We must notice this now: later the journal may
            # have grown beyond the cursor.
            database.lacking(0, Cursor(*lengths[-1]), Cursor(lengths[0][0], 0))
            self.log.warn("history_ahead: the history knows more than the journal, which is an older copy or lost its "
                          "end in a crash; the journal is read once more")  # fmt: skip
        if not known:
            self._begun(lengths)
            self.log.info(
                "history_begun: {path} is new; it has what the journal still knows", path=database.source.name
            )

    def _begun(self, lengths: Sequence[Length]) -> None:
        """Sets the cursor of an empty database to the journal's beginning, so that the whole journal is read."""
        if lengths:
            self._database.lacking(0, Cursor(*lengths[-1]), Cursor(lengths[0][0], 0))

    def _begin_anew(self, lengths: Sequence[Length], reason: str) -> None:
        kept = self._database.begin_anew()
        self._records_open = False
        self._begun(lengths)
        self.log.warn(
            "history_begun_anew: {path} {reason}. A new one was begun, and has what the journal still knows; older "
            "entries are lost. {kept}",
            path=self._database.source.name,
            reason=reason,
            kept=f"The damaged file is kept as {kept}" if kept else "Restore a backup with the relay stopped",
        )

    def catch_up(self, lengths: Sequence[Length], now: float) -> Reached:
        """Reads the journal from the cursor on, and writes one batch to the database.

        :param lengths: the durable length of each journal segment.
        :param now: seconds since 1970.
        :raises OSError, sqlite3.Error: nothing was written. Call it again later.
        """
        database = self._database
        if not database.connected:
            self.open(lengths)
        if not database.source.in_place():
            self._begin_anew(lengths, "was deleted or replaced while the relay was running")
        try:
            more = self._read_on(lengths, now)
            if not more:
                self._tidy(now)
        except sqlite3.DatabaseError as problem:
            if problem.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                # A connection that was opened read-only stays so.
                database.close()
                database.open()
            if not database.source.is_damaged(problem):
                raise
            self._begin_anew(lengths, f"is damaged ({problem})")
            more = True
        return Reached(database.cursor, more, database.lacking_bytes)

    def _read_on(self, lengths: Sequence[Length], now: float) -> bool:
        database, records_file = self._database, self._records
        if records_file is not None and not self._records_open:
            self._records_open = records_file.open(database, now)
        events = HistoryEvents(database.find, database.counter)
        cursor, repeated_until = database.cursor, database.repeated_until
        mark = max(repeated_until, self._unsure_until)
        gap: JournalGap | None = None
        more, octets = False, 0
        try:
            for records, place in self._tail.read(cursor, lengths):
                events.apply(records, repeated=cursor < repeated_until, fresh=database.fresh)
                octets += place.offset - (cursor.offset if place.sequence == cursor.sequence else 0)
                cursor = place
                full = len(events) >= MESSAGES_A_BATCH or octets >= self.batch_bytes
                if full or database.cursor < mark <= cursor:
                    more = True
                    break
                # The reactor's thread may wait for the interpreter's lock: let it run first.
                time.sleep(0)
        except JournalGap as problem:
            gap = problem
        if cursor != database.cursor:
            repeated = database.cursor < mark
            owed = None if records_file is None else partial(records_file.owed, repeated)
            database.write(events.take(), cursor, events.counter, owed)
        if records_file is not None and self._records_open:
            records_file.write(database, now)
        if gap is not None:
            self._go_on_behind(gap, lengths)
            more = True
        return more

    def _go_on_behind(self, gap: JournalGap, lengths: Sequence[Length]) -> None:
        database = self._database
        self.log.error(
            "history_lacks: {octets} octets of the journal were gone before the history had read them, so it lacks "
            "some messages or their outcomes. It has read up to {cursor} and goes on at {goes_on_at}",
            octets=gap.lost_bytes,
            cursor=f"{database.cursor.sequence}:{database.cursor.offset}",
            goes_on_at=f"{gap.goes_on_at.sequence}:{gap.goes_on_at.offset}",
        )  # fmt: skip
        database.lacking(gap.lost_bytes, Cursor(*lengths[-1]), gap.goes_on_at)

    def _tidy(self, now: float) -> None:
        if not self._database.close_segment(now) and now >= self._forget_at:
            self._forget_at = now + _FORGET_PAUSE_SECONDS
            self._database.forget_before(first_seq(now - self._keep_seconds))
            self._database.forget_minutes_before(now - _MINUTES_KEPT_SECONDS)

    def interrupt(self) -> None:
        """Ends a statement that hangs. Any thread may call it."""
        self._database.source.interrupt()

    def close(self) -> None:
        """Closes the database."""
        self._database.close()
        if self._records is not None:
            self._records.close()

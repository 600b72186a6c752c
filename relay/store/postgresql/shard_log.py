"""A shard's log for a relay: follows it while another node is the owner, and adds to it once this node is.

Theory of operation: a standby reads the rows in a thread of its own, every fraction of a second, and gives their octets
to the store's `FollowedJournal`. When this node has taken the shard over, no other node can add rows any more. So the
rows that are there then are all, and the store starts from them. From then on, each commit of the journal is a row.

Before that, and whenever its last row isn't there any more, it looks whether the database went back (`known_row`). If
rows are missing, it keeps its copy, doesn't follow, and looks again every second: the owner may put them back, the
right server may come back, or an operator accepts the loss.
"""

import contextlib
import time
from collections.abc import Callable
from os.path import join
from typing import Any, Final, Protocol

import psycopg
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from relay.store.journal.disk_thread import InThread
from relay.store.journal.files import Files
from relay.store.journal.followed_journal import FollowedJournal
from relay.store.journal.journal_format import JournalError, segment_sequence
from relay.store.postgresql.known_row import KnownRowFile, cluster_id, what_is_missing
from relay.store.postgresql.log_appender import STOP_SECONDS, LogAppender, Shard
from relay.store.postgresql.log_cache import CACHE, LogCache
from relay.store.postgresql.log_connection import LogConnection, first_line
from relay.store.postgresql.log_reader import DamagedLog, LogReader, MissedRows
from relay.store.postgresql.log_rows import LogPlace, LogRow
from relay.store.postgresql.postgresql_files import PostgresqlFiles

#: How often a standby looks for new rows, and how long it waits after a failure.
POLL_SECONDS: Final = 0.2
_RETRY_SECONDS: Final = 1.0
#: How often a row is noted that the log must have from then on.
NOTE_SECONDS: Final = 1.0
_WHAT_TO_DO: Final = (
    "Bring back the server that has them. If there is none: python -m relay cluster put-back --config FILE, or "
    "accept-loss; docs/cluster.md says which"
)


class Follower(Protocol):
    """The store, for the log that it follows."""

    def follow(self) -> FollowedJournal:
        """Begins with an empty table. See `relay.store.journal.journal_store.JournalStore.follow`."""


class ShardLog:
    """The log of one shard in the database, and its copy on the local disk. Only the reactor thread may call.

    :param local: the local disk.
    :param data_dir: the data directory.
    :param arguments: those of `psycopg.connect`.
    :param in_reading_thread: a thread for reading. It must not be the journal's.
    :param fenced: called when the shard has another owner. Nothing that this relay does counts any more. It is called
        in the journal's thread.
    :param put_back: called with the number of rows that the database had lost and that this relay has put back. It is
        called in the journal's thread.
    :param connect: makes a connection that isn't open yet.
    :param sleep: waits in a thread.
    :ivar files: to be given to the store as its disk.
    """

    log = Logger()

    def __init__(
        self,
        local: Files,
        data_dir: str,
        arguments: dict[str, Any],
        *,
        shard: int = 0,
        in_reading_thread: InThread[Any],
        clock: IReactorTime,
        fenced: Callable[[], None],
        put_back: Callable[[int], None] = lambda rows: None,
        connect: Callable[[dict[str, Any]], LogConnection] = LogConnection,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._local = local
        self._journal_directory = join(data_dir, "journal")
        self._arguments = arguments
        self._shard = shard
        self._in_thread = in_reading_thread
        self._clock = clock
        self._fenced = fenced
        self._put_back = put_back
        self._cache = LogCache(local, join(data_dir, CACHE))
        self._known_file = KnownRowFile(local, data_dir)
        self._cluster_id = ""
        #: Whether the log has what this node knows of it. False also before the first look.
        self._compared = False
        self._missing = ""
        #: The highest epoch of the rows that were read, or this node's own.
        self._epoch = 0
        self._noting: IDelayedCall | None = None
        self._closed = False
        self._note_failed = False
        self._connect = connect
        self._sleep = sleep
        self._connection = connect(arguments)
        self._reader = LogReader(self._connection, shard)
        self._followed: FollowedJournal | None = None
        self._following: Deferred[None] | None = None
        self._owning = False
        self._appender: LogAppender | None = None
        self._reading_trouble = ""
        #: Whether the table has been up to date since its beginning. Before, its state is an old one.
        self.caught_up = False
        self.files = PostgresqlFiles(local, self._journal_directory, self._cache, lambda: connect(arguments), shard)

    @property
    def followed_sequence(self) -> int:
        """The number of the last row that the table has."""
        return self._reader.last.sequence

    @property
    def last_sequence(self) -> int:
        """The number of the last row that this node has added, or has read."""
        return self.followed_sequence if self._appender is None else self._appender.last.sequence

    def trouble(self) -> str:
        """What is wrong with the database now; empty: nothing."""
        return self._reading_trouble if self._appender is None else self._appender.trouble

    def why_not_own(self) -> str | None:
        """Why this node must not own the shard: rows are missing; "": it may; None: that isn't known yet."""
        return self._missing or ("" if self._compared else None)

    @property
    def known_epoch(self) -> int:
        """The highest epoch that this node has seen, also before its last start."""
        return self._known_file.known.epoch

    # Following

    def follow(self, store: Follower) -> None:
        """Keeps the store's table up to date with the log, until `own` or `stop`. Call it once, before `own`.

        :raises JournalError: the data directory can't be used, or it has a journal of its own.
        """
        self._refuse_own_journal()
        store.follow()
        self._known_file.read()
        self._following = Deferred.fromCoroutine(self._follow(store))
        self._note_later()

    def _begin(self, store: Follower) -> None:
        """Makes the table and the copy empty."""
        self.caught_up = False
        self._refuse_own_journal()
        self._followed = store.follow()
        self._reader.begin_again()
        self._cache.clear()

    def _refuse_own_journal(self) -> None:
        try:
            found = any(segment_sequence(name) for name in self._local.list_directory(self._journal_directory))
        except OSError:
            return
        if found:
            raise JournalError(
                f"{self._journal_directory} has a journal from before the cluster. Bring its messages into the "
                "database (python -m relay cluster import --config FILE), or move it away"
            )

    async def _compare(self) -> None:
        """Looks whether the log has what this node knows of it."""

        def compare() -> tuple[str, str]:
            self._known_file.read()
            missing = what_is_missing(self._connection, self._shard, self._known_file.known)
            return missing, cluster_id(self._connection)

        missing, self._cluster_id = await self._in_thread(compare)
        if missing and not self._missing:
            self.log.error("cluster_log_went_back: {missing}. {what_to_do}", missing=missing, what_to_do=_WHAT_TO_DO)
        self._missing = f"{missing}. {_WHAT_TO_DO}" if missing else ""
        self._compared = not missing

    async def _follow(self, store: Follower) -> None:
        while not self._owning:
            try:
                seconds = await self._follow_once(store)
                self._reading_trouble = ""
            except MissedRows as problem:
                self.log.info("log_begun_again: {reason}", reason=str(problem))
                self._begin(store)
                continue
            except (psycopg.Error, DamagedLog, JournalError) as problem:
                if not self._reading_trouble:
                    self.log.warn("log_not_followed: {reason}", reason=first_line(problem))
                self._reading_trouble = first_line(problem)
                seconds = _RETRY_SECONDS
            await deferLater(self._clock, seconds)

    async def _follow_once(self, store: Follower) -> float:
        """Reads what there is. Returns the seconds until the next time."""
        if not self._compared:
            await self._compare()
            if self._missing:
                return _RETRY_SECONDS
            if self._followed is None:
                self._begin(store)
        if await self._read_some():
            return 0.0
        await self._look_back()
        self.caught_up = True
        return POLL_SECONDS

    async def _look_back(self) -> None:
        """Looks whether the last row that was read is still there.

        :raises MissedRows: the owner has cut it, or has put another row in its place. It had not counted.
        """
        if await self._in_thread(self._reader.has_last):
            return
        await self._note()
        await self._compare()
        if not self._missing:
            raise MissedRows(f"row {self._reader.last.sequence} isn't there any more")

    async def _read_some(self) -> bool:
        """Reads some rows, and gives them to the table. False: there are no more now."""

        def read() -> tuple[list[LogRow], list[int]]:
            rows = self._reader.rows()
            for row in rows:
                self._cache.add(row)
            return rows, self._reader.segments()

        rows, segments = await self._in_thread(read)
        followed = self._followed
        assert followed is not None
        for row in rows:
            self._epoch = max(self._epoch, row.epoch)
            for _ in followed.octets(row.segment, row.start, row.octets):
                await deferLater(self._clock, 0)
        # Only when all rows have been read, because a segment is dropped after its messages were copied to later rows.
        gone = [segment for segment in self._cache.sizes if segment < min(segments, default=0)] if not rows else []
        if gone:
            for _ in followed.dropped(max(gone)):
                await deferLater(self._clock, 0)
            for segment in gone:
                self._cache.forget(segment)
        return bool(rows)

    # Owning

    async def own(self, store: Follower, epoch: int, node: str, *, allow_single: bool) -> None:
        """Brings the store's table up to date, and lets the store write. Call it when this node has taken the shard
        over, and await it before the store's `start`.

        :param epoch: the epoch of the take-over.
        :param node: this node's name.
        :param allow_single: whether a commit counts although the server has no synchronous standby.
        :raises psycopg.Error: the database can't be read. Call it again.
        :raises DamagedLog, JournalError: the log can't be used.
        """
        self._owning = True
        following, self._following = self._following, None
        if following is not None:
            await following
        if self._followed is None:
            self._known_file.read()
            await self._compare()
            self._begin(store)
        while not self._missing:
            try:
                if await self._read_some():
                    continue
                await self._look_back()
                break
            except MissedRows:
                self._begin(store)
        if self._missing:
            raise JournalError(self._missing)
        self._appender = LogAppender(
            self._connect(self._arguments),
            Shard(self._shard, epoch, node, allow_single=allow_single),
            self._fenced,
            copy=self._cache,
            put_back=self._put_back,
            sleep=self._sleep,
        )
        self._appender.last = self._reader.last
        self.files.own(self._appender)
        await self._in_thread(self._connection.close)
        self._epoch = epoch
        await self._note()
        if self._noting is None:
            self._note_later()

    # Noting what the log must have from now on

    def _note_later(self) -> None:
        self._noting = self._clock.callLater(NOTE_SECONDS, self._note_regularly)

    def _note_regularly(self) -> None:
        self._noting = None
        noted = Deferred.fromCoroutine(self._note())
        noted.addCallback(lambda _: None if self._closed else self._note_later())

    def _place_to_note(self) -> LogPlace | None:
        """The last row that counted, as far as this node knows; None: it knows more from before."""
        if self._appender is not None:
            return self._appender.last
        counted = self._reader.counted
        return counted if self._compared and counted.sequence > self._known_file.known.sequence else None

    async def _note(self) -> None:
        place, now = self._place_to_note(), self._clock.seconds()
        if place is None:
            return
        try:
            await self._in_thread(lambda: self._known_file.note(self._cluster_id, place, self._epoch, now))
            self._note_failed = False
        except OSError as problem:
            if not self._note_failed:
                self.log.warn("cluster_row_not_noted: {problem}", problem=str(problem))
            self._note_failed = True

    def close(self) -> None:
        """Closes the connections. Call it after the store's `stop`, when no thread uses them any more."""
        self._closed = True
        if self._noting is not None:
            self._noting.cancel()
            self._noting = None
        place = self._place_to_note()
        if place is not None:
            with contextlib.suppress(OSError):
                self._known_file.note(self._cluster_id, place, self._epoch, self._clock.seconds())
        if self._appender is not None:
            self._appender.close()
        self._connection.close()

    def stop(self) -> None:
        """Stops following. While the database is away, commits under way are given up after `STOP_SECONDS`.

        Call it before the store's `stop`. A second call does nothing.
        """
        if self._owning and self._appender is None:
            return
        self._owning = True
        appender = self._appender
        if appender is not None:
            appender.stop()
            self._clock.callLater(STOP_SECONDS, appender.interrupt)

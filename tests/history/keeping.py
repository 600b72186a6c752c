"""A store with a history beside it, for tests: the journal on a simulated disk, the database in a directory."""

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from relay.history.history_database import HistoryDatabase
from relay.history.history_numbers import number_keeper
from relay.history.history_query import HistoryPage, HistoryQuery
from relay.history.history_search import HistorySearch
from relay.history.history_source import HistorySource
from relay.history.history_writer import HistoryWriter
from relay.history.journal_tail import JournalTail
from relay.history.sqlite_history import SqliteHistory
from relay.store.journal.journal_store import JournalStore
from relay.values.message_view import MessageView
from tests import HUNG_SECONDS
from tests.simulated_disk import SimulatedDisk
from tests.stores import DAY, SettableClock, started, wait_for


class HistoryCase(SynchronousTestCase):
    """`store` has a journal, `writer` carries it into a database, `find` searches there.

    Segments of the database have 20 rows, so that a few messages fill one.
    """

    busy_milliseconds = 5_000

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "history.sqlite3")
        self.events: list[Any] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.clock = SettableClock()
        self.disk = SimulatedDisk()
        self.store: JournalStore = started(self.disk, self.clock, segment_bytes=2000)
        self.open()

    def open(self, numbers: Any = "full", days: float = 90.0, segment_rows: int = 20) -> None:
        """Opens the database, as a start does."""
        self.keep = number_keeper(numbers, self.path + ".key")
        self.database = HistoryDatabase(self.source(), self.keep, segment_rows=segment_rows)
        self.writer = HistoryWriter(self.database, JournalTail(self.disk, "data"), days * DAY)
        self.writer.open(self.store.durable_segments())
        self.search = HistorySearch(self.source(), self.keep)
        self.addCleanup(self.writer.close)
        self.addCleanup(self.search.close)

    def source(self) -> HistorySource:
        """The history's database, for one that opens it."""
        return SqliteHistory(self.path, busy_milliseconds=self.busy_milliseconds)

    def octets(self) -> bytes:
        """All that the history's database has on the disk, without the key of its hashes."""
        files = sorted(Path(self.path).parent.glob("history.sqlite3*"))
        return b"".join(file.read_bytes() for file in files if file.suffix != ".key")

    def delete_database(self) -> None:
        """Deletes the database, as an operator may do."""
        for suffix in ("", "-wal", "-shm"):
            Path(self.path + suffix).unlink(missing_ok=True)

    def reopen(self, **options: Any) -> None:
        """As after a kill: nothing is remembered but what is in the files."""
        self.writer.close()
        self.search.close()
        self.open(**options)

    def catch_up(self) -> None:
        """Reads the journal to its end."""
        while self.writer.catch_up(self.store.durable_segments(), self.clock.seconds()).more:
            pass

    def done(self, awaitable: Any) -> Any:
        """What the store gives, once it is durable."""
        return wait_for(self.clock, awaitable)

    def page(self, **query: Any) -> HistoryPage:
        """What a search finds."""
        return self.search.search(HistoryQuery(**query))

    def find(self, **query: Any) -> list[MessageView]:
        """The messages that a search finds, all pages of it."""
        found: list[MessageView] = []
        after: int | None = None
        while True:
            page = self.page(**{"after": after, **query})
            self.assertTrue(page.complete)
            found += page.messages
            after = page.cursor
            if after is None:
                return found

    def ids(self, **query: Any) -> list[bytes]:
        """The ids of the messages that a search finds."""
        return [view.id for view in self.find(**query)]


def without_times(view: MessageView) -> tuple[Any, ...]:
    """All of a view that the history keeps to the letter; it keeps times in milliseconds."""
    parts, *rounds = [
        [(p.carrier, p.carrier_message_id, p.state, p.carrier_error, p.carrier_stat) for p in each]
        for each in (view.parts, *view.rounds)
    ]
    attempts = [(a.channel, a.attempt, a.answer, a.status, a.url, a.body) for a in view.attempts]
    return (
        view.id, view.account, view.addresses, view.interface, view.state, view.final, view.carrier_error, parts,
        attempts, sorted(view.owed), view.reference, view.notification_url, rounds,
    )  # fmt: skip


def times_of(view: MessageView) -> Sequence[float]:
    """All times of a view, for a comparison within milliseconds."""
    times = [view.accepted_at, view.expires_at, view.done_at, view.carrier_done_at]
    for part in chain(view.parts, *view.rounds):
        times += [part.submitted_at, part.done_at, part.carrier_done_at]
    return [at or 0.0 for at in times]


def wait_for_openings(path: Path, count: int) -> None:
    """Waits until this process has a file of this name open so many times."""
    deadline = time.monotonic() + HUNG_SECONDS
    while time.monotonic() < deadline:
        opened = 0
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                opened += os.readlink(link).startswith(str(path))
        if opened >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} was not opened {count} times")

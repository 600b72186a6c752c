"""Makes what keeps ended messages: the history with its searches, or the writer of message records."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from relay.config.model import Config
from relay.history.history import History
from relay.history.history_database import HistoryDatabase
from relay.history.history_numbers import number_keeper
from relay.history.history_questions import HistoryQuestions
from relay.history.history_records import HistoryRecords
from relay.history.history_search import HistorySearch
from relay.history.history_source import HistorySource
from relay.history.history_writer import HistoryWriter
from relay.history.journal_tail import JournalTail
from relay.history.message_records import InThread, MessageRecords
from relay.history.sqlite_history import SqliteHistory
from relay.store.journal.disk_thread import DiskThread
from relay.store.journal.files import Files
from relay.store.journal.journal_store import JournalStore

log = Logger()


def make_history(
    config: Config,
    reactor: Any,
    store: JournalStore,
    files: Files,
    make_thread: Callable[[str], DiskThread],
    make_source: Callable[[str], HistorySource] | None = None,
) -> tuple[History | None, HistoryQuestions | None]:
    """Makes the history's writer, and what answers questions about the history. Both are None without a history.

    :param files: the journal's disk.
    :param make_thread: makes a thread with this name.
    :param make_source: names the history's database for a purpose; None: it is a file in the data directory.
    """
    directory = Path(config.data_dir)
    path = str(directory / "history.sqlite3")
    if not config.history.days:
        if os.path.exists(path):
            log.warn(
                "history_left: history.days is 0, but {path} is still there with the numbers of earlier messages. "
                "Delete it if nobody needs it",
                path=path,
            )
        return None, None
    make_source = make_source or (lambda purpose: SqliteHistory(path))
    keep = number_keeper(config.history.numbers, str(directory / "history.key"))
    lines = config.logs.message_records
    records = HistoryRecords(lines, sync=config.journal.sync != "never") if lines else None
    # A thread for each: a search must not wait for a long batch, nor the batch for a long search.
    writing, searching = make_thread("history"), make_thread("searches")
    writer = HistoryWriter(
        HistoryDatabase(make_source("history"), keep),
        JournalTail(files, config.data_dir),
        config.history.days * 86_400.0,
        records,
    )
    history = History(writer, store.durable_segments, reactor, writing)
    store.needed_from = history.needed_from
    return history, HistoryQuestions(HistorySearch(make_source("searches"), keep), searching)


def make_message_records(config: Config, reactor: Any, in_thread: InThread) -> MessageRecords | None:
    """Makes the writer of message records. None: the configuration wants none, or the history writes them."""
    path = config.logs.message_records
    if not path or config.history.days:
        return None
    return MessageRecords(path, config.journal.sync, reactor, in_thread)

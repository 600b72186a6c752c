"""What `python -m relay cluster import` and `export` do: a journal goes into the database, or comes out of it."""

import os
import sys
from collections.abc import Callable

import psycopg

from relay.cli.admin_client import NO_ANSWER
from relay.cli.progress import Progress
from relay.cluster.cluster_database import connection_arguments
from relay.config.model import Config
from relay.store.journal.directory_lock import DirectoryLock
from relay.store.journal.files import Locked, OsFiles
from relay.store.journal.journal_format import JournalError
from relay.store.postgresql.log_connection import LogConnection, first_line
from relay.store.postgresql.log_reader import DamagedLog
from relay.store.postgresql.log_transfer import TransferRefused, export_log, import_journal

_SHARD = 0


def move(config: Config, to: str | None) -> int:
    """Moves a journal, and gives the exit status.

    :param to: the directory for the journal that comes out; None: the one in data_dir goes in.
    """
    arguments = connection_arguments(config.cluster, "export" if to else "import")
    try:
        return _import(arguments, config.data_dir) if to is None else _export(arguments, to)
    except psycopg.OperationalError as problem:
        print(f"the database doesn't answer: {first_line(problem)}", file=sys.stderr)
        return NO_ANSWER
    except Locked as problem:
        print(
            f"{config.data_dir} is in use by the relay with process id {problem.owner}. Stop it first", file=sys.stderr
        )
    except psycopg.errors.UndefinedTable:
        print("the database has no tables: run python -m relay cluster init --config FILE first", file=sys.stderr)
    except (TransferRefused, JournalError, DamagedLog, OSError, psycopg.Error) as problem:
        print(problem, file=sys.stderr)
    return 1


def _import(arguments: dict[str, object], data_dir: str) -> int:
    files, directory = OsFiles(), os.path.join(data_dir, "journal")
    if not os.path.isdir(directory):
        raise TransferRefused(f"{directory}: there is no journal")
    lock = DirectoryLock(files, data_dir)
    lock.take()
    try:
        with psycopg.connect(**arguments) as connection:  # type: ignore[arg-type]
            connection.execute("SET synchronous_commit TO on")
            connection.commit()
            rows = _shown("importing", lambda at: import_journal(connection, _SHARD, files, directory, at))
        # If we stop here, then a second import says that the log isn't empty, and the directory can be moved by hand.
        imported = _free_name(f"{directory}-imported")
        os.rename(directory, imported)
    finally:
        lock.release()
    print(f"{rows} rows are in the database; the journal is now {imported}")
    return 0


def _free_name(path: str) -> str:
    number = 1
    name = path
    while os.path.exists(name):
        number += 1
        name = f"{path}-{number}"
    return name


def _export(arguments: dict[str, object], to: str) -> int:
    connection = LogConnection(arguments)
    try:
        directory = os.path.join(to, "journal")
        segments = _shown("exporting", lambda at: export_log(connection, _SHARD, OsFiles(), directory, at))
    finally:
        connection.close()
    print(f"{directory} has {segments} segments; a relay without a cluster can start with data_dir: {to}")
    return 0


def _shown(what: str, work: Callable[[Callable[[int, int], None]], int]) -> int:
    """Does work, and shows its progress."""
    progress: Progress | None = None

    def at(done: int, total: int) -> None:
        nonlocal progress
        progress = progress or Progress(what, total)
        progress.at(done)

    result = work(at)
    if progress is not None:
        progress.end()
    return result

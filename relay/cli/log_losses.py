"""What `python -m relay cluster put-back` and `accept-loss` do: this node knows rows that the database has lost."""

import os
import sys

import psycopg

from relay.cli.admin_client import NO_ANSWER
from relay.cluster.cluster_database import connection_arguments
from relay.config.model import Config
from relay.store.journal.files import OsFiles
from relay.store.journal.journal_format import JournalError
from relay.store.postgresql.known_row import (
    KNOWN_ROW,
    KnownRow,
    cluster_id,
    read_known_row,
    what_is_missing,
    write_known_row,
)
from relay.store.postgresql.log_cache import CACHE, CopyIncomplete, LogCache
from relay.store.postgresql.log_connection import LogConnection, first_line
from relay.store.postgresql.put_back import RowRefused, put_back_for_nobody

_SHARD = 0


def run(action: str, config: Config) -> int:
    """Runs one action, and gives the exit status."""
    connection = LogConnection(connection_arguments(config.cluster, action))
    try:
        known = read_known_row(OsFiles(), config.data_dir)
        missing = what_is_missing(connection, _SHARD, known)
        if not missing:
            print(f"nothing is missing: the log has row {known.sequence}, the last one that this node has noted")
            return 0
        print(missing)
        if action == "put-back":
            return _put_back(connection, config.data_dir, known)
        return _accept_loss(connection, config.data_dir, known)
    except psycopg.OperationalError as problem:
        print(f"the database doesn't answer: {first_line(problem)}", file=sys.stderr)
        return NO_ANSWER
    except psycopg.errors.UndefinedTable:
        print("the database has no tables: run python -m relay cluster init --config FILE first", file=sys.stderr)
    except CopyIncomplete as problem:
        print(f"nothing was put back: {problem}. Another node may have the rows, or accept-loss", file=sys.stderr)
    except RowRefused as problem:
        print(f"nothing was put back: {problem}", file=sys.stderr)
    except (JournalError, OSError, psycopg.Error) as problem:
        print(problem, file=sys.stderr)
    finally:
        connection.close()
    return 1


def _put_back(connection: LogConnection, data_dir: str, known: KnownRow) -> int:
    if cluster_id(connection) != known.cluster_id:
        raise RowRefused("the rows of one cluster don't belong into the database of another")
    copy = LogCache(OsFiles(), os.path.join(data_dir, CACHE))
    copy.find()
    last = copy.last()
    rows = put_back_for_nobody(
        connection,
        _SHARD,
        known.epoch,
        lambda found: copy.rows_after(found, last),
        min(copy.sizes, default=0),
    )
    print(f"{rows} rows were put back, up to row {last.sequence}. A node takes over by itself")
    return 0


def _accept_loss(connection: LogConnection, data_dir: str, known: KnownRow) -> int:
    accepted = KnownRow(cluster_id=cluster_id(connection), epoch=known.epoch)
    write_known_row(OsFiles(), data_dir, accepted)
    if os.geteuid() == 0:
        # The relay must be able to read it.
        owner = os.stat(data_dir)
        os.chown(os.path.join(data_dir, KNOWN_ROW), owner.st_uid, owner.st_gid)
    print("the loss is accepted for this node: from now on it works with what the database has")
    return 0

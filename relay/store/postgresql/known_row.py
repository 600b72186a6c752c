"""What this node knows to have been in the log, on its own disk. So it notices if the database has forgotten it.

Theory of operation: a database may go back: a standby without the last commits is promoted, or a backup is restored. A
relay that starts then sees nothing wrong in the log itself. So each node notes a row that counted, every second, and
looks for it in the log at its next start. If the row isn't there, messages that were accepted are missing, and the node
must not work with that database before an operator has decided.

A node that follows notes the last row that another row follows. The very last one may not have reached the database's
standby yet, or its owner may cut it, because its commit failed.
"""

import contextlib
import os
import threading
import time
from typing import Final

import msgspec

from relay.store.journal.files import Files, write_all
from relay.store.journal.journal_format import JournalError
from relay.store.postgresql.log_connection import LogConnection
from relay.store.postgresql.log_end import last_row, segments
from relay.store.postgresql.log_rows import LogPlace
from relay.store.postgresql.log_schema import log_table

#: The file's name in the data directory.
KNOWN_ROW: Final = "known-row.json"
_MOST_BYTES: Final = 65_536


class KnownRow(msgspec.Struct, frozen=True):
    """A row that counted.

    :ivar cluster_id: the cluster whose log it is in; "": none is known.
    :ivar sequence: 0: no row is known, or an operator has accepted that those that were are missing.
    :ivar digest: in hexadecimal digits.
    :ivar epoch: the highest epoch that this node has seen.
    :ivar noted_at: when the node noted it, for people.
    """

    cluster_id: str = ""
    sequence: int = 0
    digest: str = ""
    segment: int = 0
    epoch: int = 0
    noted_at: float = 0.0

    @property
    def time(self) -> str:
        """When it was noted, as people write it (UTC)."""
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.noted_at))


def read_known_row(files: Files, data_dir: str) -> KnownRow:
    """Reads what the node has noted.

    :raises JournalError: the file can't be read.
    """
    path = os.path.join(data_dir, KNOWN_ROW)
    try:
        handle = files.open(path)
    except FileNotFoundError:
        return KnownRow()
    except OSError as problem:
        raise JournalError(f"{path} can't be read: {problem}") from None
    try:
        return msgspec.json.decode(files.read(handle, 0, _MOST_BYTES), type=KnownRow)
    except (OSError, msgspec.MsgspecError) as problem:
        raise JournalError(
            f"{path} can't be read: {problem}. Without it this node can't see whether the database lacks rows. If it "
            "surely doesn't, delete the file"
        ) from None
    finally:
        files.close(handle)


def write_known_row(files: Files, data_dir: str, known: KnownRow) -> None:
    """Notes a row. After a power failure the file has the new row or the one before.

    :raises OSError: the disk fails.
    """
    path = os.path.join(data_dir, KNOWN_ROW)
    new_path = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        files.remove(new_path)
    handle = files.open(new_path, create=True)
    try:
        write_all(files, handle, 0, msgspec.json.encode(known) + b"\n")
        files.sync(handle)
    finally:
        files.close(handle)
    # If we stop here, then the row before is still noted.
    files.rename(new_path, path)
    files.sync_directory(data_dir)


def cluster_id(connection: LogConnection) -> str:
    """The id of the database's cluster.

    :raises psycopg.Error: as `LogConnection.execute`.
    """
    [(found,)] = connection.execute("SELECT cluster_id::text FROM relay.cluster")
    return str(found)


def what_is_missing(connection: LogConnection, shard: int, known: KnownRow) -> str:
    """Looks whether the log still has what the node knows. Returns what is missing, in words; "": nothing.

    :raises psycopg.Error: as `LogConnection.execute`.
    """
    if not known.cluster_id:
        return ""
    found_id = cluster_id(connection)
    if found_id != known.cluster_id:
        return f"the database is that of cluster {found_id}, and this node belongs to cluster {known.cluster_id}"
    if not known.sequence:
        return ""
    there = segments(connection, shard)
    if known.segment in there:
        rows = connection.execute(
            f"SELECT digest FROM {log_table(shard, known.segment)} WHERE sequence = %s", (known.sequence,)
        )
        if rows and bytes(rows[0][0]).hex() == known.digest:
            return ""
    last = last_row(connection, shard)
    if known.segment not in there and last.segment > known.segment and last.sequence > known.sequence:
        # Compaction has dropped it.
        return ""
    return _missing(shard, known, last)


def _missing(shard: int, known: KnownRow, last: LogPlace) -> str:
    if last.sequence < known.sequence:
        what = f"it ends with row {last.sequence}, so at least {known.sequence - last.sequence} rows are missing"
    else:
        what = f"another row has the number {known.sequence}"
    return (
        f"the log of shard {shard} went back: this node knows row {known.sequence} of {known.time}, and in the "
        f"database {what}. Messages that were accepted are missing there"
    )


class KnownRowFile:
    """Keeps the node's file. Any thread may call.

    :ivar known: what the file has.
    """

    def __init__(self, files: Files, data_dir: str) -> None:
        self._files = files
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self.known = KnownRow()

    def read(self) -> None:
        """Reads the file again: an operator may have changed it.

        :raises JournalError: it can't be read.
        """
        with self._lock:
            self.known = read_known_row(self._files, self._data_dir)

    def note(self, cluster_id: str, place: LogPlace, epoch: int, now: float) -> None:
        """Notes a row, if it is another one than before.

        :raises OSError: the disk fails.
        """
        with self._lock:
            before = self.known
            known = KnownRow(
                cluster_id, place.sequence, place.digest.hex(), place.segment, max(epoch, before.epoch), before.noted_at
            )
            if known != before:
                known = msgspec.structs.replace(known, noted_at=now)
                write_known_row(self._files, self._data_dir, known)
                self.known = known

"""Erases a number from the history and the message records for good; for the command `history erase`.

You can run it while the relay runs: SQLite allows one writer at a time, and the relay locks the file of message records
while it appends to it. This module holds the same lock while it rewrites the file.

A message keeps its row, its line and its place in the counts. The erasure empties its number and its reference, and
also its sender if the sender is the number. SQLite overwrites the deleted data and gives empty pages back to the file
system, so the files keep no trace of the number.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from relay.history.history_numbers import NumberKeeper, Numbers
from relay.history.history_schema import connect
from relay.store.journal.files import OsFiles
from relay.store.journal.journal_format import decode_records, read_frames
from relay.store.journal.segment_reader import SegmentReader, sequences
from relay.store.table.records import Snapshot
from relay.values.messages import Message, destination_of, source_of

_CHECKPOINT_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.1

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class Erased(msgspec.Struct):
    """Counts the places where the number was erased, and the places where it still is.

    :ivar rows: messages in the history that were erased.
    :ivar lines: message records that were erased.
    :ivar left_in_log: true if SQLite's log could not be emptied, because another process was reading it all the time.
    :ivar in_journal: messages with this number that the journal still holds.
    :ivar journal_until: the time when the journal can have dropped the last of them, in seconds since 1970.
    """

    rows: int = 0
    lines: int = 0
    left_in_log: bool = False
    in_journal: int = 0
    journal_until: float = 0.0


def erase_in_history(path: str, number: str, numbers: Numbers, keep: NumberKeeper, erased: Erased) -> None:
    """Erases the number from a history. Does nothing if the file doesn't exist.

    :raises sqlite3.Error: the history can't be written now. The rows that were erased before stay erased.
    """
    if not os.path.exists(path):
        return
    db = connect(path)
    try:
        db.execute("PRAGMA secure_delete = ON")
        octets = number.encode()
        if numbers != "masked":
            kept = keep(octets)[::-1]
            for (segment,) in db.execute("SELECT number FROM segments").fetchall():
                erased.rows += _erase_rows(db, segment, kept)
        for origin, head in db.execute("SELECT id, head FROM origins WHERE sender = ?", (octets,)).fetchall():
            # Each origin gets a name of its own, because the table allows no two equal origins.
            name = b"erased%d" % origin
            head = head[:2] + name + head[2 + len(octets) :]
            db.execute("UPDATE origins SET head = ?, sender = ? WHERE id = ?", (head, name, origin))
        db.execute("PRAGMA incremental_vacuum").fetchall()
        erased.left_in_log = not _empty_log(db)
    finally:
        db.close()


def _erase_rows(db: sqlite3.Connection, segment: int, kept: bytes) -> int:
    done = db.execute(f"UPDATE m{segment} SET number = x'', reference = NULL WHERE number = ?", (kept,))
    return done.rowcount


def _empty_log(db: sqlite3.Connection) -> bool:
    """Makes SQLite move its log into the database and empty the log. Returns true if that succeeded."""
    for _ in range(_CHECKPOINT_TRIES):
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        time.sleep(_PAUSE_SECONDS)
    return False


def erase_in_records(path: str, number: str, erased: Erased) -> None:
    """Erases the number from the message records: from today's file and from the files of earlier days.

    :raises OSError: a file can't be read or rewritten. The files before it are done.
    """
    if not path:
        return
    file = Path(path)
    for each in sorted(file.parent.glob(f"{file.name}*")) if file.parent.is_dir() else ():
        if each.is_file():
            _erase_in_file(each, number, erased)


def _erase_in_file(path: Path, number: str, erased: Erased) -> None:
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        was = os.fstat(file.fileno())
        lines = file.readlines()
        changed = [_without(line, number) for line in lines]
        count = sum(new is not old for new, old in zip(changed, lines, strict=True))
        if not count:
            return
        anew = path.with_name(f".{path.name}.erasing")
        handle = os.open(anew, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, was.st_mode & 0o777)
        with open(handle, "wb") as written:
            os.fchown(written.fileno(), was.st_uid, was.st_gid)
            written.writelines(changed)
            written.flush()
            os.fsync(written.fileno())
        os.utime(anew, ns=(was.st_atime_ns, was.st_mtime_ns))
        # If we stop before this line, then the old file is unchanged.
        anew.replace(path)
        erased.lines += count


def _without(line: bytes, number: str) -> bytes:
    """Returns the line without the number, or the same object if the line doesn't contain the number."""
    if number.encode() not in line:
        return line
    try:
        record = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # A crash has torn this line.
        return line
    mine = [name for name in ("to", "from") if record.get(name) == number]
    if not mine:
        return line
    record |= dict.fromkeys(mine, "") | {"reference": None}
    return _encode(record) + b"\n"


def left_in_journal(data_dir: str, number: str, keep_seconds: float, erased: Erased) -> None:
    """Counts the messages with this number in the journal, and computes when the journal can have dropped them.

    :param keep_seconds: the longest time from the end of a message's validity until the journal drops the message. It
        is a sum of three settings: the wait for the final state, the time for which an ended message is kept, and the
        time for which a segment stays.
    :raises OSError, JournalError: the journal can't be read.
    """
    octets = number.encode()
    found: dict[bytes, float] = {}
    for record in _messages(data_dir):
        if destination_of(record.addresses) == octets or source_of(record.addresses) == octets:
            found[record.id] = record.expires_at + keep_seconds
    erased.in_journal = len(found)
    erased.journal_until = max(found.values(), default=0.0)


def _messages(data_dir: str) -> Iterator[Message | Snapshot]:
    files, directory = OsFiles(), os.path.join(data_dir, "journal")
    if not os.path.isdir(directory):
        return
    for sequence in sequences(files, directory):
        try:
            reader = SegmentReader(files, directory, sequence)
        except FileNotFoundError:
            # Compaction has just deleted this segment.
            continue
        try:
            for _, payload in read_frames(reader.read, reader.size):
                yield from (record for record in decode_records(payload) if type(record) in (Message, Snapshot))
        finally:
            reader.close()

"""Takes a number out of the history and the message records, for good; for the command `history erase`.

It may be done while the relay runs: SQLite lets one write at a time, and whoever appends to the file of message records
holds a lock on it meanwhile, as this does while it writes the file anew.

A message keeps its row, its line and its place in the counts. Its number and its reference are emptied, and so is a
sender that is the number. What is deleted is overwritten, and pages that hold nothing any more go back to the file
system, so that nothing is left in the files.
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
from relay.values.inbound import InboundMessage, InboundPart, PartsKey
from relay.values.messages import Message, destination_of, source_of

_CHECKPOINT_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.1

#: The journal's records that have the numbers of a message.
_WithNumbers = Message | Snapshot | InboundMessage | InboundPart

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class Erased(msgspec.Struct):
    """What was erased, and what is left.

    :ivar rows: messages in the history.
    :ivar lines: message records.
    :ivar left_in_log: whether SQLite's log could not be emptied, because somebody was reading all the time.
    :ivar in_journal: messages that the journal still holds with this number.
    :ivar journal_until: when the last of them can be gone from the journal, in seconds since 1970.
    """

    rows: int = 0
    lines: int = 0
    left_in_log: bool = False
    in_journal: int = 0
    journal_until: float = 0.0


def erase_in_history(path: str, number: str, numbers: Numbers, keep: NumberKeeper, erased: Erased) -> None:
    """Empties the number in a history, where there is one.

    :raises sqlite3.Error: it can't be written now. What was erased until then stays erased.
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
            # Its own name, or it could be the same as another one.
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
    """Has SQLite's log written to the database and cut to nothing; gives whether that could be done."""
    for _ in range(_CHECKPOINT_TRIES):
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        time.sleep(_PAUSE_SECONDS)
    return False


def erase_in_records(path: str, number: str, erased: Erased) -> None:
    """Empties the number in the message records: in the file, and in those of earlier days.

    :raises OSError: a file can't be read or written anew; those before it are done.
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
        # If we stop before this, the old file is as it was.
        anew.replace(path)
        erased.lines += count


def _without(line: bytes, number: str) -> bytes:
    """The line without the number; the same object where it doesn't hold it."""
    if number.encode() not in line:
        return line
    try:
        record = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # What a crash has left of a line.
        return line
    mine = [name for name in ("to", "from") if record.get(name) == number]
    if not mine:
        return line
    record |= dict.fromkeys(mine, "") | {"reference": None}
    return _encode(record) + b"\n"


def left_in_journal(data_dir: str, number: str, keep_seconds: float, erased: Erased) -> None:
    """Counts the messages with this number that the journal holds, and says when they can be gone.

    :param keep_seconds: how long after a message's validity its end is awaited and it is kept, and how long a segment
        stays: the sum of the configuration's.
    :raises OSError, JournalError: the journal can't be read.
    """
    octets = number.encode()
    found: dict[bytes | PartsKey, float] = {}
    for record in _messages(data_dir):
        if destination_of(record.addresses) != octets and source_of(record.addresses) != octets:
            continue
        if isinstance(record, InboundPart):
            found[record.key] = record.received_at + keep_seconds
        elif isinstance(record, InboundMessage):
            # Its parts are no messages of their own.
            found.pop(record.key, None)
            found[record.id] = record.received_at + keep_seconds
        else:
            found[record.id] = record.expires_at + keep_seconds
    erased.in_journal = len(found)
    erased.journal_until = max(found.values(), default=0.0)


def _messages(data_dir: str) -> Iterator[_WithNumbers]:
    files, directory = OsFiles(), os.path.join(data_dir, "journal")
    if not os.path.isdir(directory):
        return
    for sequence in sequences(files, directory):
        try:
            reader = SegmentReader(files, directory, sequence)
        except FileNotFoundError:
            # Compaction has deleted it meanwhile.
            continue
        try:
            for _, payload in read_frames(reader.read, reader.size):
                yield from (record for record in decode_records(payload) if isinstance(record, _WithNumbers))
        finally:
            reader.close()

"""Erases a number from the history and the message records for good; for the command `history erase`.

You can run it while the relay runs: SQLite allows one writer at a time, and the relay locks the file of message records
while it appends to it. This module holds the same lock while it rewrites the file.

A message keeps its row, its line and its place in the counts. The erasure empties its number and its reference, and
also its sender if the sender is the number. SQLite overwrites the deleted data and gives empty pages back to the file
system, so the files keep no trace of the number.
"""

import bz2
import fcntl
import gzip
import lzma
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from relay.history.history_numbers import NumberKeeper, Numbers
from relay.history.history_source import HistoryConnection, HistorySource
from relay.history.record_file import moved_away
from relay.store.journal.files import OsFiles
from relay.store.journal.journal_format import decode_records, read_frames
from relay.store.journal.segment_reader import SegmentReader, sequences
from relay.store.table.records import Snapshot
from relay.values.inbound import InboundMessage, InboundPart, PartsKey
from relay.values.messages import Message, destination_of, source_of

#: The journal's records that have the numbers of a message.
_WithNumbers = Message | Snapshot | InboundMessage | InboundPart

#: What can read and write a file of message records, by the end of its name: logrotate compresses the files of earlier
#: days. Names with the other ends are of programs whose files the standard library can't read.
_COMPRESSED: Final[dict[str, Callable[..., Any]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_UNREADABLE: Final = (".zst", ".lz4", ".lzo", ".br", ".zip", ".Z")

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class Erased(msgspec.Struct):
    """Counts the places where the number was erased, and the places where it still is.

    :ivar rows: messages in the history that were erased.
    :ivar lines: message records that were erased.
    :ivar not_read: files of message records that are compressed in a way that this module can't read.
    :ivar left_in_log: true if SQLite's log could not be emptied, because another process was reading it all the time.
    :ivar in_journal: messages with this number that the journal still holds.
    :ivar journal_until: the time when the journal can have dropped the last of them, in seconds since 1970.
    """

    rows: int = 0
    lines: int = 0
    not_read: list[str] = []
    left_in_log: bool = False
    in_journal: int = 0
    journal_until: float = 0.0


def erase_in_history(source: HistorySource, number: str, numbers: Numbers, keep: NumberKeeper, erased: Erased) -> None:
    """Erases the number from a history. Does nothing if there is none.

    :param number: the number without a plus. It is also erased where it was kept with one.

    :raises OSError, sqlite3.Error: the history can't be written now. The rows that were erased before stay erased.
    """
    if not source.exists():
        return
    db = source.open_for_erasing()
    touched: set[int] = set()
    try:
        segments = [segment for (segment,) in db.execute("SELECT number FROM segments").fetchall()]
        for written in _written_forms(number):
            octets = written.encode()
            # Older rows may have the whole number, from before `history.numbers` was changed.
            forms = {octets} if numbers == "masked" else {octets, keep(octets)}
            for segment in segments:
                rows = sum(_erase_rows(db, segment, kept[::-1]) for kept in forms)
                erased.rows += rows
                if rows:
                    touched.add(segment)
            if _erase_sender(db, octets, segments):
                touched.update(segments)
        erased.left_in_log = not source.remove_traces(db, sorted(touched))
    finally:
        db.close()


def _written_forms(number: str) -> tuple[str, str]:
    """Returns the number without and with a plus: a number that came over SMPP is kept as the customer wrote it."""
    return number, f"+{number}"


def _erase_rows(db: HistoryConnection, segment: int, kept: bytes) -> int:
    return db.execute(f"UPDATE m{segment} SET number = ?, reference = NULL WHERE number = ?", (b"", kept)).rowcount


def _erase_sender(db: HistoryConnection, sender: bytes, segments: Sequence[int]) -> bool:
    """Erases the number where it is a sender. Returns true if it was one."""
    origins = db.execute("SELECT id, head FROM origins WHERE sender = ?", (sender,)).fetchall()
    for origin, head in origins:
        # Each origin gets a name of its own, because the table allows no two equal origins.
        name = b"erased%d" % origin
        head = head[:2] + name + head[2 + len(sender) :]
        # If we stop before the end, then the origin keeps the number, and the next erasure finds it.
        with db.transaction():
            for segment in segments:
                db.execute(f"UPDATE m{segment} SET reference = NULL WHERE origin = ?", (origin,))
            db.execute("UPDATE origins SET head = ?, sender = ? WHERE id = ?", (head, name, origin))
    return bool(origins)


def erase_in_records(path: str, number: str, erased: Erased) -> None:
    """Erases the number from the message records: from today's file and from the files of earlier days.

    Files that logrotate compressed with gzip, bzip2 or xz are read and compressed again.

    :raises OSError: a file can't be read or rewritten. The files before it are done.
    """
    if not path:
        return
    file = Path(path)
    for stale in file.parent.glob(f".{file.name}*.erasing"):
        # An erasure that was stopped left it. It may still have the number.
        stale.unlink(missing_ok=True)
    erased.not_read = [str(each) for each in _record_files(file) if each.name.endswith(_UNREADABLE)]
    while not all(_erase_in_file(each, number, erased) for each in _record_files(file)):
        # A file got another name meanwhile, at a change of day or by logrotate. The files that are done have no number.
        pass


def _record_files(path: Path) -> list[Path]:
    return [file for file in sorted(path.parent.glob(f"{path.name}*")) if file.is_file()]


def _erase_in_file(path: Path, number: str, erased: Erased) -> bool:
    """Erases the number from a file of message records. Returns false if the file was moved away before the end."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        was = os.fstat(file.fileno())
        anew = path.with_name(f".{path.name}.erasing")
        try:
            count = _write_anew(anew, file, path.suffix, number, was)
            # The lock took time, and logrotate doesn't wait for it: the path may lead to another file now.
            if moved_away(path, file.fileno()):
                return False
            # If we stop before this line, then the old file is unchanged.
            if count:
                anew.replace(path)
        finally:
            anew.unlink(missing_ok=True)
        erased.lines += count
        return True


def _write_anew(anew: Path, file: IO[bytes], suffix: str, number: str, was: os.stat_result) -> int:
    """Writes the file's lines into a new file, with the owner, the permissions and the times of the old one.

    It returns how many lines lost the number.
    """
    count = 0
    handle = os.open(anew, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, was.st_mode & 0o777)
    with open(handle, "wb") as written:
        os.fchown(written.fileno(), was.st_uid, was.st_gid)
        with _plain(file, suffix, "rb") as lines, _plain(written, suffix, "wb") as new_lines:
            try:
                for line in lines:
                    new = _without(line, number)
                    count += new is not line
                    new_lines.write(new)
            except (EOFError, lzma.LZMAError) as problem:
                raise OSError(f"the compressed file can't be read: {problem}") from None
        written.flush()
        os.fsync(written.fileno())
    os.utime(anew, ns=(was.st_atime_ns, was.st_mtime_ns))
    return count


def _plain(file: IO[bytes], suffix: str, mode: str) -> AbstractContextManager[IO[bytes]]:
    """Opens a file whose contents are those of `file` without the compression that its name's suffix says."""
    opened = _COMPRESSED.get(suffix)
    return nullcontext(file) if opened is None else opened(file, mode)


def _without(line: bytes, number: str) -> bytes:
    """Returns the line without the number, or the same object if the line doesn't contain the number."""
    if number.encode() not in line:
        return line
    try:
        record = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # A crash has torn this line.
        return line
    mine = [name for name in ("to", "from") if record.get(name) in _written_forms(number)]
    if not mine:
        return line
    record |= dict.fromkeys(mine, "") | {"reference": None}
    return _encode(record) + b"\n"


def left_in_journal(payloads: Iterable[bytes], number: str, keep_seconds: float, erased: Erased) -> None:
    """Counts the messages with this number in the journal, and computes when the journal can have dropped them.

    :param payloads: of the journal's frames, such as `journal_payloads`.
    :param keep_seconds: the longest time from the end of a message's validity until the journal drops the message. It
        is a sum of three settings: the wait for the final state, the time for which an ended message is kept, and the
        time for which a segment stays.
    :raises OSError, JournalError: the journal can't be read.
    """
    octets = number.encode()
    found: dict[bytes | PartsKey, float] = {}
    for record in chain.from_iterable(map(decode_records, payloads)):
        if not isinstance(record, _WithNumbers):
            continue
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


def journal_payloads(data_dir: str) -> Iterator[bytes]:
    """Yields what the frames of a journal in a data directory hold.

    :raises OSError, JournalError: the journal can't be read.
    """
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
                yield payload
        finally:
            reader.close()

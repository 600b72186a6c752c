"""Repairs a journal that the relay refuses to read. Copies of the damaged files are kept.

Only damaged octets are dropped. If the next frame is in its place, one frame is dropped. Otherwise everything up to the
next commit is dropped. It is not known what a dropped frame had. It may have had accepted messages, which are lost,
although their customers think that they will be sent. Or it may have had news of messages, which then seem to wait for
it.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from os.path import basename, join, normpath
from typing import Final

from relay.store.journal.directory_lock import DirectoryLock
from relay.store.journal.files import Files, Locked, OsFiles, write_all
from relay.store.journal.journal_format import (
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    NewerJournal,
    decode_records,
    encode_header,
    frame_at,
    no_journal,
    segment_name,
    segment_sequence,
    synced_frame,
)
from relay.store.journal.segment_reader import SegmentReader
from relay.store.table.records import Synced

#: Called with the octets that have been read, and with all octets.
Progress = Callable[[int, int], None]

#: How many frames are read between two calls of `Progress`.
_FRAMES_A_LOOK: Final = 1_000


def repair(directory: str, files: Files | None = None, progress: Progress = lambda done, total: None) -> list[str]:
    """Repairs the journal in `directory` (the directory with the segments, or the data directory above it).

    It may be called again. It blocks: a gigabyte takes about ten seconds. It calls `progress` meanwhile.

    :return: a sentence for each thing that was done; empty: nothing was wrong.
    :raises Locked: a relay is running there.
    :raises NewerJournal: a newer version wrote the journal, and only that can repair it.
    :raises JournalError: there is no journal.
    """
    files = OsFiles() if files is None else files
    if not _has_segments(files, directory) and basename(normpath(directory)) != "journal":
        inner = join(directory, "journal")
        try:
            files.list_directory(inner)
        except (FileNotFoundError, NotADirectoryError):
            # If the path doesn't exist at all, this raises the system's own error.
            files.list_directory(directory)
            raise no_journal(directory) from None
        directory = inner
    lock = DirectoryLock(files, normpath(join(directory, "..")))
    lock.take("repair")
    try:
        return _repair(files, directory, progress)
    finally:
        lock.release()


def _has_segments(files: Files, directory: str) -> bool:
    try:
        return any(segment_sequence(name) is not None for name in files.list_directory(directory))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _repair(files: Files, directory: str, progress: Progress) -> list[str]:
    done: list[str] = []
    found = sorted(s for name in files.list_directory(directory) if (s := segment_sequence(name)) is not None)
    for earlier, later in pairwise(found):
        for missing in range(earlier + 1, later):
            _write(files, directory, missing, encode_header(missing, 0.0) + synced_frame(0))
            done.append(f"{segment_name(missing)} was missing. It was replaced by an empty one.")
    total = sum(files.size(join(directory, segment_name(sequence))) for sequence in found)
    before = 0
    for sequence in found:
        reader = SegmentReader(files, directory, sequence)
        try:
            octets = reader.read(0, reader.size)
            try:
                created_at = reader.created_at()
            except NewerJournal:
                raise
            except Exception:
                created_at = None
            looked_at = partial(_look, progress, before, total)
            done += _repair_segment(files, directory, reader, octets, created_at, looked_at)
            before += reader.size
        finally:
            reader.close()
    return done


def _look(progress: Progress, before: int, total: int, at: int) -> None:
    progress(before + at, total)


def _repair_segment(
    files: Files,
    directory: str,
    reader: SegmentReader,
    octets: bytes,
    created_at: float | None,
    looked_at: Callable[[int], None],
) -> list[str]:
    done: list[str] = []
    name = segment_name(reader.sequence)
    kept: list[bytes] = []
    at = HEADER_BYTES
    if created_at is None:
        done.append(f"{name}: the header was damaged. It was written again.")
        created_at = 0.0
        if not _readable(octets, at):
            at = reader.next_intact(0) or len(octets)
    looked_at(at)
    frames = 0
    while at < len(octets):
        frames += 1
        if frames % _FRAMES_A_LOOK == 0:
            looked_at(at)
        payload = frame_at(octets, at)
        end = at + FRAME_HEADER_BYTES + (0 if payload is None else len(payload))
        if payload is not None and _records(payload):
            if not payload.startswith(b"\x91\x92\x1e\xce"):
                kept.append(octets[at:end])
            at = end
            continue
        resume = _resume(octets, at, reader)
        done.append(f"{name}: dropped {resume - at} octets at offset {at}.")
        at = resume
    if done:
        copy = _copy_name(files, directory, name)
        _write_file(files, directory, copy, octets)
        head = encode_header(reader.sequence, created_at) + synced_frame(0)
        _write(files, directory, reader.sequence, head + b"".join(kept))
        done.append(f"{name}: {len(kept)} frames kept. The damaged file is kept as {copy}.")
    return done


def _readable(octets: bytes, at: int) -> bool:
    payload = frame_at(octets, at)
    return payload is not None and _records(payload)


def _records(payload: bytes) -> bool:
    try:
        records = decode_records(payload)
    except ValueError:
        return False
    return not records or type(records[0]) is not Synced or len(records) == 1


def _resume(octets: bytes, at: int, reader: SegmentReader) -> int:
    """The offset where reading goes on after a bad frame."""
    following = at + FRAME_HEADER_BYTES + int.from_bytes(octets[at : at + 4], "big")
    if following > at + FRAME_HEADER_BYTES and _readable(octets, following):
        return following
    return reader.next_intact(at + 1) or len(octets)


def _copy_name(files: Files, directory: str, name: str) -> str:
    taken = set(files.list_directory(directory))
    number = 1
    while f"{name}.damaged-{number}" in taken:
        number += 1
    return f"{name}.damaged-{number}"


def _write(files: Files, directory: str, sequence: int, octets: bytes) -> None:
    """Replaces a segment, so that a crash leaves the old one or the new one."""
    name = segment_name(sequence)
    _write_file(files, directory, f"{name}.new", octets)
    files.rename(join(directory, f"{name}.new"), join(directory, name))
    files.sync_directory(directory)


def _write_file(files: Files, directory: str, name: str, octets: bytes) -> None:
    path = join(directory, name)
    if name in files.list_directory(directory):
        files.remove(path)
    handle = files.open(path, create=True)
    try:
        write_all(files, handle, 0, octets)
        files.sync(handle)
    finally:
        files.close(handle)


__all__ = ["Locked", "repair"]

"""Reads the whole journal at a start, cuts its torn tail, and restores the table."""

from collections.abc import Callable
from os.path import join

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from relay.store.journal.files import Files
from relay.store.journal.journal_format import FORMAT_VERSION, segment_name
from relay.store.journal.segment_reader import SegmentReader, TornTail, read_segment, sequences
from relay.store.table.entry_values import Segment
from relay.store.table.replaying import Replay

#: While a longer journal is read, the log shows the progress.
PROGRESS_BYTES = 64 << 20
PROGRESS_SECONDS = 2.0

#: Called with the octets that have been read, and with all octets.
Progress = Callable[[int, int], None]

log = Logger()


async def read_journal(
    files: Files, directory: str, replay: Replay, clock: IReactorTime, progress: Progress | None = None
) -> list[Segment]:
    """Replays all segments and returns them. Everything in them is on the disk then.

    :raises JournalError: the journal is damaged, or of a newer version.
    :raises OSError: the disk fails.
    """
    found = sequences(files, directory)
    total = sum(files.size(join(directory, segment_name(sequence))) for sequence in found)
    started_at = said_at = clock.seconds()
    segments: list[Segment] = []
    done = 0
    torn: TornTail | None = None
    version = FORMAT_VERSION
    for sequence in found:
        reader = SegmentReader(files, directory, sequence)
        segment = Segment(sequence, 0.0)
        segments.append(segment)
        try:
            for step in read_segment(reader, segment, sequence == found[-1], replay.frame):
                torn = step
                if progress is not None:
                    progress(done + segment.end_bytes, total)
                now = clock.seconds()
                if total > PROGRESS_BYTES and now - said_at >= PROGRESS_SECONDS:
                    said_at = now
                    percent = 100 * (done + segment.end_bytes) // total
                    log.info("journal_reading: {percent} % of {total} octets", percent=percent, total=total)
                await deferLater(clock, 0)
        finally:
            reader.close()
        done += reader.size
        version = reader.version
        segment.committed_bytes = segment.synced_bytes = segment.end_bytes
    if torn is not None:
        _cut(files, torn, segments)
    if segments:
        _sync(files, directory, segments[-1])
        if version < FORMAT_VERSION:
            # From here on, records may be written that the old format doesn't have. A new segment names the new format,
            # so that an older relay refuses it.
            segments.append(Segment(segments[-1].sequence + 1, clock.seconds()))
    replay.finish(clock.seconds())
    if total:
        log.info(
            "journal_read: {messages} messages, {octets} octets in {segments} segments, {seconds} s",
            messages=replay.messages,
            octets=total,
            segments=len(segments),
            seconds=round(clock.seconds() - started_at, 1),
        )
    return segments


def _cut(files: Files, torn: TornTail, segments: list[Segment]) -> None:
    log.warn(
        "journal_torn: {file} ends with {lost} octets of a commit that was under way when the relay stopped. They are "
        "cut off at offset {offset}",
        file=torn.path,
        lost=torn.lost_bytes,
        offset=torn.offset,
    )
    if torn.offset:
        files.truncate(torn.path, torn.offset)
    else:
        files.remove(torn.path)
        segments.pop()


def _sync(files: Files, directory: str, segment: Segment) -> None:
    """Syncs a segment. What was read may be only in the kernel's memory, and must be durable from here on."""
    reader = SegmentReader(files, directory, segment.sequence)
    try:
        reader.sync()
    finally:
        reader.close()
    files.sync_directory(directory)

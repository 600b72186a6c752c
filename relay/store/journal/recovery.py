"""A start: the journal is read from end to end, its torn tail is cut, and the table stands as it was."""

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

#: Journals longer than this say in the log how far their reading has come.
PROGRESS_BYTES = 64 << 20
PROGRESS_SECONDS = 2.0

#: Called with the octets read so far and altogether.
Progress = Callable[[int, int], None]

log = Logger()


async def read_journal(
    files: Files, directory: str, replay: Replay, clock: IReactorTime, progress: Progress | None = None
) -> list[Segment]:
    """Replays every segment and gives them, all that is in them being on the disk now.

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
            # What is written from here on may be more than that format has: an older relay must refuse it by name.
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
        "journal_torn: {file} ends in {lost} octets of a commit that was under way when the relay stopped; they "
        "are cut at offset {offset}",
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
    """What was read may only be in the kernel's memory; from here on it counts as durable."""
    reader = SegmentReader(files, directory, segment.sequence)
    try:
        reader.sync()
    finally:
        reader.close()
    files.sync_directory(directory)

"""Reads the bodies of messages that wait for a carrier from the journal."""

from collections.abc import Sequence

from relay.store.journal.disk_thread import JournalDisk
from relay.store.journal.journal_format import decode_records
from relay.store.journal.journal_writer import Journal
from relay.store.journal.segment_reader import read_payloads
from relay.store.store_values import StoreUnavailable
from relay.store.table.entries import Row, is_unsubmitted, parts_of
from relay.store.table.records import Snapshot
from relay.store.table.table import Table
from relay.values.messages import Message

#: For each message id, the bodies of its parts.
BodiesOf = dict[bytes, Sequence[bytes]]


class BodyReader:
    """Reads bodies in a thread. Messages of one frame are read together."""

    def __init__(self, disk: JournalDisk) -> None:
        self._disk = disk

    async def read(self, rows: Sequence[Row]) -> BodiesOf:
        """Reads the bodies of these messages. A message is left out if compaction has deleted its segment meanwhile.

        :raises StoreUnavailable: the disk fails.
        """
        wanted = {row.id for row in rows}
        places = sorted({(row.acceptance.segment.sequence, row.acceptance.offset) for row in rows})

        def read() -> BodiesOf:
            found: BodiesOf = {}
            for payload in read_payloads(self._disk.files, self._disk.directory, places):
                if payload is not None:
                    found.update(_bodies_in(payload, wanted))
            return found

        try:
            bodies: BodiesOf = await self._disk.in_thread(read)
        except OSError as problem:
            raise StoreUnavailable(f"the journal can't be read: {problem}") from problem
        return bodies


class PartBodies:
    """Reads the bodies of parts that wait for a carrier, even if compaction moves them meanwhile."""

    def __init__(self, table: Table, journal: Journal, reader: BodyReader) -> None:
        self._table = table
        self._journal = journal
        self._reader = reader

    async def read(self, parts: Sequence[tuple[bytes, int]]) -> Sequence[bytes | None]:
        """Reads the bodies of these parts; None: the part doesn't wait any more.

        :raises StoreUnavailable: they can't be read now.
        """
        bodies: BodiesOf = {}
        # Compaction may move a message while its old place is being read. Then its new place is read.
        for _ in range(2):
            rows = [row for message_id, part in parts if (row := self._waiting(message_id, part)) is not None]
            rows = [row for row in rows if row.id not in bodies]
            if not rows:
                break
            if any(row.acceptance.offset >= row.acceptance.segment.committed_bytes for row in rows):
                try:
                    await self._journal.append(b"", None)
                except StoreUnavailable:
                    continue
            bodies.update(await self._reader.read(rows))
        if any(message_id not in bodies and self._waiting(message_id, part) is not None for message_id, part in parts):
            # None would say that the part doesn't wait any more.
            raise StoreUnavailable("compaction has moved texts while they were being read")
        # A body is empty only if the clock was set back so far that compaction has dropped it.
        return [
            bodies[message_id][part] or None
            if message_id in bodies and self._waiting(message_id, part) is not None
            else None
            for message_id, part in parts
        ]

    def _waiting(self, message_id: bytes, part: int) -> Row | None:
        row = self._table.get(message_id)
        if row is None or not is_unsubmitted(row):
            return None
        many = parts_of(row)
        if many is None:
            return row if part == 0 else None
        return row if 0 <= part < len(many) and many[part].handoff is None else None


def _bodies_in(payload: bytes, wanted: set[bytes]) -> BodiesOf:
    found: BodiesOf = {}
    for record in decode_records(payload):
        kind = type(record)
        if kind is Message and record.id in wanted:
            found[record.id] = record.parts
        elif kind is Snapshot and record.id in wanted:
            found[record.id] = [part.body for part in record.parts]
    return found

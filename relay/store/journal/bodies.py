"""The bodies of messages that wait for a carrier, read back from the journal."""

from collections.abc import Sequence
from typing import Any

from relay.store.api import StoreUnavailable
from relay.store.journal.files import Files
from relay.store.journal.journal_format import decode_records
from relay.store.journal.journal_writer import InThread
from relay.store.journal.segment_reader import read_payloads
from relay.store.table.entries import Row
from relay.store.table.records import Snapshot
from relay.values.messages import Message

#: By message id: the body of each of its parts.
BodiesOf = dict[bytes, Sequence[bytes]]


class BodyReader:
    """Reads bodies in a thread; messages that came in one frame cost one read."""

    def __init__(self, files: Files, directory: str, in_thread: InThread[Any]) -> None:
        self._files = files
        self._directory = directory
        self._in_thread = in_thread

    async def read(self, rows: Sequence[Row]) -> BodiesOf:
        """The bodies of these messages; one is left out whose segment compaction has deleted meanwhile.

        :raises StoreUnavailable: the disk fails.
        """
        wanted = {row.id for row in rows}
        places = sorted({(row.acceptance.segment.sequence, row.acceptance.offset) for row in rows})

        def read() -> BodiesOf:
            found: BodiesOf = {}
            for payload in read_payloads(self._files, self._directory, places):
                if payload is not None:
                    found.update(_bodies_in(payload, wanted))
            return found

        try:
            bodies: BodiesOf = await self._in_thread(read)
        except OSError as problem:
            raise StoreUnavailable(f"the journal can't be read: {problem}") from problem
        return bodies


def _bodies_in(payload: bytes, wanted: set[bytes]) -> BodiesOf:
    found: BodiesOf = {}
    for record in decode_records(payload):
        kind = type(record)
        if kind is Message and record.id in wanted:
            found[record.id] = record.parts
        elif kind is Snapshot and record.id in wanted:
            found[record.id] = [part.body for part in record.parts]
    return found

"""Carrier message ids: which message each of them means.

Theory of operation: one index a carrier, since ids are unique within a carrier at best. Each index is 256 dicts, so
that none ever grows large enough for its resizing to be a pause (a dict of a million entries takes 60 ms to resize).
An id that comes to mean two live messages at once means the newest of them.
"""

from relay.store.table.entries import PartOfRow, Row, parts_of
from relay.store.table.entry_values import FINAL

Found = Row | PartOfRow
Shards = list[dict[bytes, Found]]


class CarrierIdIndex:
    """The index. The table's hot paths use `shards` directly: `shards(carrier)[hash(key) & 255]`.

    :ivar ambiguous: how often an id came to mean a second live message.
    """

    def __init__(self) -> None:
        self._by_carrier: dict[str, Shards] = {}
        self._names: dict[str, str] = {}
        self.ambiguous = 0

    def shards(self, carrier: str) -> Shards:
        """The dicts of one carrier, made where there are none."""
        shards = self._by_carrier.get(carrier)
        if shards is None:
            shards = self._by_carrier[carrier] = [{} for _ in range(256)]
            self._names[carrier] = carrier
        return shards

    def existing(self, carrier: str) -> Shards | None:
        """The dicts of one carrier, if it ever took anything."""
        return self._by_carrier.get(carrier)

    def carriers(self) -> list[str]:
        """The carriers that ever took anything."""
        return list(self._by_carrier)

    def name(self, carrier: str) -> str:
        """The one string object for a carrier's name."""
        return self._names.setdefault(carrier, carrier)

    def put(self, carrier: str, key: bytes, entry: Found) -> None:
        """From now on the id means this."""
        if not key:
            return
        shard = self.shards(carrier)[hash(key) & 255]
        older = shard.setdefault(key, entry)
        if older is not entry:
            self.replace(shard, key, older, entry)

    def replace(self, shard: dict[bytes, Found], key: bytes, older: Found, entry: Found) -> None:
        """The id meant something else until now."""
        older_row, row = row_of(older), row_of(entry)
        if older_row is not row and not older_row.flags & FINAL:
            self.ambiguous += 1
        # The key object must be the one that the entry holds, or both would be kept.
        del shard[key]
        shard[key] = entry

    def means(self, carrier: str, key: bytes, row: Row) -> bool:
        """Whether the id means this message."""
        shards = self._by_carrier.get(carrier)
        entry = None if shards is None else shards[hash(key) & 255].get(key)
        return entry is not None and row_of(entry) is row

    def remove(self, carrier: str, key: bytes, row: Row) -> None:
        """The id means this message no more, unless it means another one already."""
        shards = self._by_carrier.get(carrier)
        if shards is None or not key:
            return
        shard = shards[hash(key) & 255]
        entry = shard.get(key)
        if entry is not None and row_of(entry) is row:
            del shard[key]

    def find(self, key: bytes) -> list[Row]:
        """The messages that have this id with any carrier."""
        found: list[Row] = []
        for shards in self._by_carrier.values():
            entry = shards[hash(key) & 255].get(key)
            if entry is not None:
                found.append(row_of(entry))
        return found


def is_awaited(entry: Found) -> bool:
    """Whether a receipt for this id would still say something new: neither its message nor its part has ended."""
    row = row_of(entry)
    if row.flags & FINAL:
        return False
    parts = parts_of(row)
    if type(entry) is not PartOfRow or parts is None:
        return True
    part = parts[entry.part]
    return not part.final


def row_of(entry: Found) -> Row:
    """The message that an index entry means."""
    return entry.row if type(entry) is PartOfRow else entry  # type: ignore[return-value]

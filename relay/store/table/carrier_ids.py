"""Finds messages by their carrier message ids.

Theory of operation: each carrier has an index of its own, because two carriers may give the same id. An index has 256
dicts, so that no dict gets large: to resize a dict with a million entries takes 60 ms, and all other work would wait.
If several messages of a carrier have the same id, the id leads to a tuple of them (see `same_id`).
"""

from relay.store.table.entries import Row
from relay.store.table.entry_values import FINAL
from relay.store.table.same_id import Entry, Several, as_several, newest, row_of, with_entry, without_row

Found = Entry | Several
Shards = list[dict[bytes, Found]]


class CarrierIdIndex:
    """The index of all carriers' ids.

    The code that handles each message uses `shards` directly: `shards(carrier)[hash(key) & 255]`.

    :ivar ambiguous: how often a message got an id that another live message had.
    """

    def __init__(self) -> None:
        self._by_carrier: dict[str, Shards] = {}
        self._names: dict[str, str] = {}
        self.ambiguous = 0

    def shards(self, carrier: str) -> Shards:
        """The dicts of one carrier. Makes them if there are none."""
        shards = self._by_carrier.get(carrier)
        if shards is None:
            shards = self._by_carrier[carrier] = [{} for _ in range(256)]
            self._names[carrier] = carrier
        return shards

    def existing(self, carrier: str) -> Shards | None:
        """The dicts of one carrier; None: it has never taken a part."""
        return self._by_carrier.get(carrier)

    def carriers(self) -> list[str]:
        """The carriers that have ever taken a part."""
        return list(self._by_carrier)

    def name(self, carrier: str) -> str:
        """The string object of a carrier's name that all rows share."""
        return self._names.setdefault(carrier, carrier)

    def put(self, carrier: str, key: bytes, entry: Entry) -> None:
        """Adds a message to those that have the id."""
        if not key:
            return
        shard = self.shards(carrier)[hash(key) & 255]
        older = shard.setdefault(key, entry)
        if older is not entry:
            self.add(shard, key, older, entry)

    def add(self, shard: dict[bytes, Found], key: bytes, older: Found, entry: Entry) -> None:
        """Adds a message to an id that led to `older` until now."""
        row = row_of(entry)
        if any(row_of(other) is not row and not row_of(other).flags & FINAL for other in as_several(older)):
            self.ambiguous += 1
        # The key must be the same object as the one in the entry. Otherwise both would stay in memory.
        del shard[key]
        shard[key] = with_entry(older, entry)

    def means(self, carrier: str, key: bytes, row: Row) -> bool:
        """Whether the id leads to this message, or to several that include it."""
        return any(row_of(entry) is row for entry in self._entries(carrier, key))

    def means_first(self, carrier: str, key: bytes, row: Row) -> bool:
        """Whether this message is the newest that the id leads to."""
        entries = self._entries(carrier, key)
        return bool(entries) and row_of(newest(entries)) is row

    def remove(self, carrier: str, key: bytes, row: Row) -> None:
        """Removes a message from those that have the id."""
        shards = self._by_carrier.get(carrier)
        if shards is None or not key:
            return
        shard = shards[hash(key) & 255]
        found = shard.get(key)
        if type(found) is tuple:
            shard[key] = without_row(found, row)
        elif found is not None and row_of(found) is row:  # type: ignore[arg-type]
            del shard[key]

    def find(self, key: bytes) -> list[Row]:
        """The messages that have this id at any carrier."""
        return [row_of(entry) for carrier in self._by_carrier for entry in self._entries(carrier, key)]

    def _entries(self, carrier: str, key: bytes) -> Several:
        shards = self._by_carrier.get(carrier)
        found = None if shards is None else shards[hash(key) & 255].get(key)
        return () if found is None else as_several(found)

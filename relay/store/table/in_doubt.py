"""Marks parts that are being written to a carrier. If the process is killed now, these parts are in doubt.

Theory of operation: this is only for carriers with `in_doubt: end`. Before the link writes a part to the carrier, the
part gets a durable mark. The mark is removed when the carrier has taken or refused the part, or when the message has
ended. If a part still has its mark when the journal is read at a start, it was in doubt when the process ended. Only
few parts are marked at a time (the windows of such carriers), so the marks are not in the rows, which need no memory
for them.
"""

from collections.abc import Iterable, Sequence

from relay.store.table.records import Sending


class InDoubt:
    """The marks, by message and part."""

    def __init__(self) -> None:
        self._carriers: dict[bytes, dict[int, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._carriers)

    def mark(self, parts: Iterable[tuple[bytes, int]], carrier: str) -> None:
        """Marks parts that are about to be written to a carrier."""
        for message_id, part in parts:
            self._carriers.setdefault(message_id, {})[part] = carrier

    def unmark(self, message_id: bytes, part: int) -> None:
        """Removes the mark of a part whose result is known. Does nothing if it has no mark."""
        marks = self._carriers.get(message_id)
        if marks is not None and marks.pop(part, None) is not None and not marks:
            del self._carriers[message_id]

    def unmark_all(self, parts: Iterable[tuple[bytes, int]]) -> None:
        """Removes the marks of many parts."""
        for message_id, part in parts:
            self.unmark(message_id, part)

    def forget(self, message_id: bytes) -> None:
        """Removes all marks of a message that has ended."""
        self._carriers.pop(message_id, None)

    def carrier(self, message_id: bytes, part: int) -> str:
        """The carrier that may have the part; empty: the part has no mark."""
        marks = self._carriers.get(message_id)
        return "" if marks is None else marks.get(part, "")

    def records(self, message_ids: Iterable[bytes]) -> list[Sending]:
        """Makes the records of these messages' marks again, for compaction."""
        by_carrier: dict[str, list[tuple[bytes, int]]] = {}
        for message_id in message_ids:
            for part, carrier in self._carriers.get(message_id, {}).items():
                by_carrier.setdefault(carrier, []).append((message_id, part))
        return [sending(parts, carrier) for carrier, parts in by_carrier.items()]

    def all(self) -> list[tuple[bytes, int, str]]:
        """All marks: message id, part and carrier."""
        return sorted((i, part, carrier) for i, marks in self._carriers.items() for part, carrier in marks.items())


def sending(parts: Sequence[tuple[bytes, int]], carrier: str) -> Sending:
    """Makes the record of marks. If the carrier is empty, the record removes the marks."""
    return Sending(carrier, b"".join([message_id for message_id, _ in parts]), bytes([part for _, part in parts]))


def parts_in_doubt(record: Sending) -> list[tuple[bytes, int]]:
    """Reads the parts in a record of marks."""
    ids = record.ids
    return [(ids[16 * n : 16 * n + 16], part) for n, part in enumerate(record.indexes)]

"""Parts that may be with a carrier whose answer is not known: what is in doubt should the process die now.

Theory of operation: only for carriers with `in_doubt: end`. The link has a part marked, durably, before it writes it;
the mark goes when the carrier has taken the part, or refused it, or the message has ended. What is still marked when
the journal is read again was on its way when the process died. Few parts are marked at a time (the windows of such
carriers), so they are kept beside the rows, which pay nothing for it.
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
        """These are about to be written to the carrier."""
        for message_id, part in parts:
            self._carriers.setdefault(message_id, {})[part] = carrier

    def unmark(self, message_id: bytes, part: int) -> None:
        """It is known what became of the part. Harmless where it has no mark."""
        marks = self._carriers.get(message_id)
        if marks is not None and marks.pop(part, None) is not None and not marks:
            del self._carriers[message_id]

    def unmark_all(self, parts: Iterable[tuple[bytes, int]]) -> None:
        """As `unmark`, for many."""
        for message_id, part in parts:
            self.unmark(message_id, part)

    def forget(self, message_id: bytes) -> None:
        """The message has ended."""
        self._carriers.pop(message_id, None)

    def carrier(self, message_id: bytes, part: int) -> str:
        """Whom the part may be with; empty where it was not written to anybody who ends what is in doubt."""
        marks = self._carriers.get(message_id)
        return "" if marks is None else marks.get(part, "")

    def records(self, message_ids: Iterable[bytes]) -> list[Sending]:
        """The marks of these messages once more, for compaction."""
        by_carrier: dict[str, list[tuple[bytes, int]]] = {}
        for message_id in message_ids:
            for part, carrier in self._carriers.get(message_id, {}).items():
                by_carrier.setdefault(carrier, []).append((message_id, part))
        return [sending(parts, carrier) for carrier, parts in by_carrier.items()]

    def all(self) -> list[tuple[bytes, int, str]]:
        """Every mark."""
        return sorted((i, part, carrier) for i, marks in self._carriers.items() for part, carrier in marks.items())


def sending(parts: Sequence[tuple[bytes, int]], carrier: str) -> Sending:
    """The record of marks; with no carrier, that they are taken away."""
    return Sending(carrier, b"".join([message_id for message_id, _ in parts]), bytes([part for _, part in parts]))


def parts_in_doubt(record: Sending) -> list[tuple[bytes, int]]:
    """The parts of a record."""
    ids = record.ids
    return [(ids[16 * n : 16 * n + 16], part) for n, part in enumerate(record.indexes)]

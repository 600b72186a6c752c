"""The parts of long messages from handsets that wait for the others."""

from relay.values.inbound import InboundPart, PartsKey


class InboundParts:
    """The parts of long messages from handsets that wait for the others, by message and number."""

    def __init__(self) -> None:
        self._parts: dict[PartsKey, dict[int, tuple[InboundPart, int]]] = {}

    def put(self, part: InboundPart, segment: int) -> None:
        """Keeps a part. `segment`: the sequence of the segment that holds its record."""
        self._parts.setdefault(part.key, {})[part.number] = part, segment

    def take_back(self, part: InboundPart) -> None:
        """Forgets a part that could not be made durable."""
        parts = self._parts.get(part.key, {})
        if parts.get(part.number, (None,))[0] is part:
            del parts[part.number]

    def drop(self, key: PartsKey) -> list[tuple[InboundPart, int]]:
        """The message has been put together; gives what was kept of it, for `put`."""
        return list(self._parts.pop(key, {}).values())

    def all(self) -> list[InboundPart]:
        """Every part that is kept."""
        return [part for parts in self._parts.values() for part, _ in parts.values()]

    def in_segments(self, last: int) -> list[InboundPart]:
        """Those whose record is in segment `last` or an earlier one: what compaction must copy."""
        return [part for parts in self._parts.values() for part, segment in parts.values() if segment <= last]

    def holds(self, part: InboundPart) -> bool:
        """Whether a part of `in_segments` is still kept."""
        return self._parts.get(part.key, {}).get(part.number, (None,))[0] is part

    def moved(self, last: int, segment: int) -> None:
        """Those of `in_segments(last)` have been copied to `segment`."""
        for parts in self._parts.values():
            for number, (part, was) in parts.items():
                if was <= last:
                    parts[number] = part, segment

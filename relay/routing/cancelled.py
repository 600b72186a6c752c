"""Remembers cancelled and replaced messages, so that carriers' links drop their queued parts.

Theory of operation: a queue may hold a million parts, so nobody searches it for one part. Instead the message gets an
entry here. Before a link writes parts, it checks whether there are any entries. If so, it drops the parts of these
messages. An entry is removed when all parts of its message have been found, or when the message's validity is over,
because then no link sends it anyway.
"""

from typing import NamedTuple

from relay.routing.flow_api import Outgoing


class _Entry(NamedTuple):
    """Holds for one message: the number of parts to drop, when it expires, and the part that replaces the others."""

    parts: int
    expires_at: float
    kept: Outgoing | None


class CancelledMessages:
    """Remembers cancelled and replaced messages until no queue can have their old parts. It is false while empty."""

    def __init__(self) -> None:
        self._messages: dict[bytes, _Entry] = {}

    def __bool__(self) -> bool:
        return bool(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message_id: bytes, parts: int, expires_at: float, now: float, kept: Outgoing | None = None) -> None:
        """Makes the links drop the queued parts of a message. Also forgets expired messages, the oldest first.

        :param parts: the number of parts that are queued now.
        :param kept: the part that replaces them; None: the message is cancelled.
        """
        messages = self._messages
        while messages and (oldest := next(iter(messages.items())))[1].expires_at <= now:
            del messages[oldest[0]]
        earlier = messages.get(message_id)
        if earlier is not None:
            # The message was replaced before. Queues may still have the parts that were to be dropped then.
            parts += earlier.parts
            expires_at = max(expires_at, earlier.expires_at)
        messages[message_id] = _Entry(parts, expires_at, kept)

    def keep(self, part: Outgoing) -> None:
        """If the message was replaced, makes this part the one that links send."""
        entry = self._messages.get(part.id)
        if entry is not None:
            self._messages[part.id] = entry._replace(kept=part)

    def parts_of(self, message_id: bytes) -> int:
        """How many queued parts of a message are still to be dropped."""
        entry = self._messages.get(message_id)
        return 0 if entry is None else entry.parts

    def take(self, message_id: bytes, part: Outgoing | None = None) -> bool:
        """Returns true if the caller must drop this part of the message. Counts the part as dropped."""
        entry = self._messages.get(message_id)
        if entry is None or (part is not None and part is entry.kept):
            return False
        if entry.parts <= 1:
            del self._messages[message_id]
        else:
            self._messages[message_id] = entry._replace(parts=entry.parts - 1)
        return True

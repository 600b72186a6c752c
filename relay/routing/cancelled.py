"""Messages that a customer has cancelled or replaced while parts of them may stand in a carrier's queue.

Theory of operation: a queue may hold a million parts, so nobody looks for one in it. The message is put down here, and
a link that is about to write parts, and finds that there is anything here at all, drops those that it names. An entry
goes when all its message's parts have been found, or with the message's validity, after which no link sends it anyway.
"""

from typing import NamedTuple

from relay.routing.flow_api import Outgoing


class _Entry(NamedTuple):
    """Of one message: how many parts may still be found, when it expires, and the part that replaces the others."""

    parts: int
    expires_at: float
    kept: Outgoing | None


class CancelledMessages:
    """Remembers cancelled and replaced messages until no queue can hold a part to be dropped. False while empty."""

    def __init__(self) -> None:
        self._messages: dict[bytes, _Entry] = {}

    def __bool__(self) -> bool:
        return bool(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message_id: bytes, parts: int, expires_at: float, now: float, kept: Outgoing | None = None) -> None:
        """Drops the queued parts of a message. Forgets what has expired meanwhile, the oldest first.

        :param parts: how many parts are queued now.
        :param kept: the part that is to be sent instead of them; None: the message is cancelled.
        """
        messages = self._messages
        while messages and (oldest := next(iter(messages.items())))[1].expires_at <= now:
            del messages[oldest[0]]
        earlier = messages.get(message_id)
        if earlier is not None:
            # It was replaced before. Parts that were dropped then may still stand in queues.
            parts += earlier.parts
            expires_at = max(expires_at, earlier.expires_at)
        messages[message_id] = _Entry(parts, expires_at, kept)

    def keep(self, part: Outgoing) -> None:
        """The part is the one that is to be sent, if its message was replaced."""
        entry = self._messages.get(part.id)
        if entry is not None:
            self._messages[part.id] = entry._replace(kept=part)

    def parts_of(self, message_id: bytes) -> int:
        """How many queued parts of a message are still to be dropped."""
        entry = self._messages.get(message_id)
        return 0 if entry is None else entry.parts

    def take(self, message_id: bytes, part: Outgoing | None = None) -> bool:
        """Whether a part with this message id is to be dropped, which the caller does then."""
        entry = self._messages.get(message_id)
        if entry is None or (part is not None and part is entry.kept):
            return False
        if entry.parts <= 1:
            del self._messages[message_id]
        else:
            self._messages[message_id] = entry._replace(parts=entry.parts - 1)
        return True

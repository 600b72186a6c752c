"""Messages that a customer has cancelled while parts of them may stand in a carrier's queue.

Theory of operation: a queue may hold a million parts, so nobody looks for one in it. The cancelled message is put down
here, and a link that is about to write parts, and finds that there is anything here at all, takes out those that it
names. An entry goes when all its message's parts have been found, or with the message's validity, after which no link
sends it anyway.
"""


class CancelledMessages:
    """Remembers cancelled messages until no queue can hold a part of them. False while it is empty."""

    def __init__(self) -> None:
        #: By message id: how many parts may still be found, and when the message expires.
        self._messages: dict[bytes, tuple[int, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message_id: bytes, parts: int, expires_at: float, now: float) -> None:
        """No part of the message is to be sent any more. Forgets what has expired meanwhile, the oldest first."""
        messages = self._messages
        while messages and (oldest := next(iter(messages.items())))[1][1] <= now:
            del messages[oldest[0]]
        messages[message_id] = (parts, expires_at)

    def take(self, message_id: bytes) -> bool:
        """Whether a part with this message id is not to be sent; the caller drops it then."""
        entry = self._messages.get(message_id)
        if entry is None:
            return False
        if entry[0] <= 1:
            del self._messages[message_id]
        else:
            self._messages[message_id] = (entry[0] - 1, entry[1])
        return True

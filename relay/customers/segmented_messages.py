"""Sends a long message from a handset as several deliver_sm, to a session whose SMPP version has no message_payload.

Theory of operation: the segments of a message leave one after the other, as far as the session's window has room. All
have the same token. When the customer has answered all of them, or has refused one, the message has its answer. If the
session ends before that, the message has none, and is sent again as a whole: the customer may get some segments twice.
"""

from collections import deque
from collections.abc import Callable, Sequence

from relay.smpp.server import SmppServerProtocol
from relay.values.smpp_constants import DELIVER_SM, ESME_ROK


class Segmented:
    """A message that is sent in segments. It is the token of each of them.

    :param ended: called once: with ESME_ROK, with the command_status that refused a segment, or with None if the
        session ended.
    """

    def __init__(
        self, protocol: SmppServerProtocol, bodies: Sequence[bytes], ended: Callable[[int | None], None]
    ) -> None:
        self.protocol = protocol
        self.waiting = deque(bodies)
        self.unanswered = 0
        self.status = ESME_ROK
        self.ended: Callable[[int | None], None] | None = ended


class SegmentSender:
    """Sends the segments of one login's messages, and notes the answers."""

    def __init__(self) -> None:
        self._unfinished: list[Segmented] = []

    def send(self, protocol: SmppServerProtocol, bodies: Sequence[bytes], ended: Callable[[int | None], None]) -> None:
        """Begins to send a message. See `Segmented` for `ended`."""
        self._unfinished.append(Segmented(protocol, bodies, ended))
        self.pump()

    def pump(self) -> None:
        """Sends as many segments as the sessions' windows have room for."""
        for message in self._unfinished:
            room = message.protocol.session.room
            count = min(room, len(message.waiting))
            if count > 0:
                message.unanswered += count
                message.protocol.send(DELIVER_SM, [(message.waiting.popleft(), message) for _ in range(count)])

    def answered(self, message: Segmented, command_status: int) -> None:
        """Takes the customer's answer to one segment."""
        message.unanswered -= 1
        if command_status != ESME_ROK and message.status == ESME_ROK:
            # The customer can't put the message together any more, so the other segments need not leave.
            message.status = command_status
            message.waiting.clear()
        if not message.unanswered and not message.waiting:
            self._end(message, message.status)

    def lost(self, message: Segmented) -> None:
        """Notes that a segment got no answer."""
        self._end(message, None)

    def session_ended(self, protocol: SmppServerProtocol) -> None:
        """Gives up the messages that were being sent over a session."""
        for message in [each for each in self._unfinished if each.protocol is protocol]:
            self._end(message, None)

    def _end(self, message: Segmented, status: int | None) -> None:
        ended, message.ended = message.ended, None
        if ended is not None:
            message.waiting.clear()
            self._unfinished.remove(message)
            ended(status)

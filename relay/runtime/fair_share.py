"""Limits the share of the relay's time that one customer may have while others are active.

Theory of operation: the relay has one thread. It handles all messages of one read in one turn of the reactor, and all
other customers wait until the turn ends. While only one customer is active, reads are large, because they take least
time for each message. As soon as another customer is active, all reads are small. The relay then pauses after each
large piece of work (a read of full size, or a long array over HTTP). The pause takes several times as long as the
work, and no other large work begins in it. So all customers who send without end share one part of the time, and the
relay is free for a customer who sends little. Meanwhile the data waits in its sender's socket. All this takes two
comparisons for each read, and nothing for each message.
"""

from typing import Final

#: The sizes of reads: about 450 submit_sm; or about 60, whose handling takes half a millisecond.
ALONE_BYTES: Final = 65_536
TOGETHER_BYTES: Final = 8_192
#: No pause follows a read that is smaller than this (a dozen submit_sm).
HEAVY_BYTES: Final = 2_048
#: After two different customers were active, reads stay small for so long.
TOGETHER_SECONDS: Final = 10.0
#: The pause, as a multiple of the time that the work took. Later work on the same messages (carrier, receipt,
#: notification) takes twice as long again. So a third of the time is left for others.
PAUSES: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 0.5


class FairShare:
    """Knows which customers were active lately, and says how much may be read. All listeners share one.

    All instants are in seconds of the same clock.

    :ivar octets: the size of the next read of any customer's session.
    """

    def __init__(self) -> None:
        self.octets = ALONE_BYTES
        self._heard = ""
        self._together_until = 0.0
        self._free_at = 0.0

    def heard(self, account: str, now: float) -> None:
        """Notes that an account was active; "": a client that hasn't logged in yet."""
        if account != self._heard and account:
            if self._heard:
                self._together_until = now + TOGETHER_SECONDS
            self._heard = account
        self.octets = TOGETHER_BYTES if now < self._together_until else ALONE_BYTES

    def wait_seconds(self, now: float) -> float:
        """The seconds until large work may begin; 0.0: it may begin now."""
        return max(0.0, min(self._free_at - now, LONGEST_PAUSE_SECONDS)) if now < self._together_until else 0.0

    def worked(self, began_at: float, now: float) -> float:
        """Notes that large work was done. Returns how long its sender has to wait; 0.0 if nobody else is active."""
        if now >= self._together_until:
            return 0.0
        pause_seconds = self.wait_seconds(now) + PAUSES * max(0.0, now - began_at)
        self._free_at = now + min(pause_seconds, LONGEST_PAUSE_SECONDS)
        return self._free_at - now

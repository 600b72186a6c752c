"""Limits the share of the relay's time that one customer may have while others are active.

Theory of operation: there is one thread. All messages of one read are handled in one turn of the reactor, and everybody
else waits until its end. A customer who is alone gets large reads, which cost least for each message. As soon as
another customer is active, all reads are small. A read of full size, or a long array over HTTP, is then followed by a
pause of several times the time that it took. No other such read begins in the pause. So customers who send without end
share a part of the time, however many they are, and a customer who sends little finds the relay free. What waits
meanwhile waits in the sender's own socket. All this costs two comparisons a read, and nothing a message.
"""

from typing import Final

#: The sizes of reads: some 450 submit_sm, or some 60, which take half a millisecond.
ALONE_BYTES: Final = 65_536
TOGETHER_BYTES: Final = 8_192
#: A smaller read (a dozen submit_sm) never leads to a pause.
HEAVY_BYTES: Final = 2_048
#: For so long after two different customers were active, nobody counts as alone.
TOGETHER_SECONDS: Final = 10.0
#: The pause, as a multiple of the time of the work. The later work on the same messages (carrier, receipt,
#: notification) takes twice as long again, so that a third of the time is left for others.
PAUSES: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 0.5


class FairShare:
    """Knows who was active lately, and says how much may be read. All listeners share one. Instants are in seconds.

    :ivar octets: the size of the next read of any customer's session.
    """

    def __init__(self) -> None:
        self.octets = ALONE_BYTES
        self._heard = ""
        self._together_until = 0.0
        self._free_at = 0.0

    def heard(self, account: str, now: float) -> None:
        """Notes that an account was active; "" is one that hasn't logged in yet."""
        if account != self._heard and account:
            if self._heard:
                self._together_until = now + TOGETHER_SECONDS
            self._heard = account
        self.octets = TOGETHER_BYTES if now < self._together_until else ALONE_BYTES

    def wait_seconds(self, now: float) -> float:
        """How long no large work may begin; 0.0: it may begin now."""
        return max(0.0, min(self._free_at - now, LONGEST_PAUSE_SECONDS)) if now < self._together_until else 0.0

    def worked(self, began_at: float, now: float) -> float:
        """Notes that large work was done, and gives how long its sender has to wait; 0.0 if it is alone."""
        if now >= self._together_until:
            return 0.0
        pause_seconds = self.wait_seconds(now) + PAUSES * max(0.0, now - began_at)
        self._free_at = now + min(pause_seconds, LONGEST_PAUSE_SECONDS)
        return self._free_at - now

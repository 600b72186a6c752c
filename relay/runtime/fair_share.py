"""How much of the relay one customer may have while others are about.

Theory of operation: there is one thread, and whatever one read brings is worked off in one turn of the reactor, for
the end of which everybody else waits. A customer who is alone gets large reads, which cost the least a message. As soon
as another one has been heard of lately, all are read in small pieces, and what brings many messages at once, a full
piece or a long array over HTTP, is followed by a pause of several times what it took, during which nothing of the kind
is begun. So those who send without end share a part of the time, whatever their number, and who sends little finds the
relay free. What waits meanwhile waits in its own socket. Nothing is asked a message: two comparisons a read.
"""

from typing import Final

#: What one read may bring: some 450 submit_sm; and some 60, which take half a millisecond.
ALONE_BYTES: Final = 65_536
TOGETHER_BYTES: Final = 8_192
#: What brings less than this, a dozen submit_sm, is never waited for.
HEAVY_BYTES: Final = 2_048
#: For so long after two customers have been heard of one after the other, nobody is alone.
TOGETHER_SECONDS: Final = 10.0
#: The pause, as a multiple of what was worked on. What that leads to later (carrier, receipt, notification) takes twice
#: as long again, so that a third of the time is left to the rest.
PAUSES: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 0.5


class FairShare:
    """One for all listeners. All instants are of one clock, in seconds.

    :ivar octets: how much the next read of any customer's session may bring.
    """

    def __init__(self) -> None:
        self.octets = ALONE_BYTES
        self._heard = ""
        self._together_until = 0.0
        self._free_at = 0.0

    def heard(self, account: str, now: float) -> None:
        """Notes that something came from an account; "" for one who isn't known yet."""
        if account != self._heard and account:
            if self._heard:
                self._together_until = now + TOGETHER_SECONDS
            self._heard = account
        self.octets = TOGETHER_BYTES if now < self._together_until else ALONE_BYTES

    def wait_seconds(self, now: float) -> float:
        """How long nothing heavy is to be begun; 0.0 where it may be."""
        return max(0.0, min(self._free_at - now, LONGEST_PAUSE_SECONDS)) if now < self._together_until else 0.0

    def worked(self, began_at: float, now: float) -> float:
        """Something heavy has been worked on; gives how long its sender, who comes last, is to wait; 0.0 when alone."""
        if now >= self._together_until:
            return 0.0
        pause_seconds = self.wait_seconds(now) + PAUSES * max(0.0, now - began_at)
        self._free_at = now + min(pause_seconds, LONGEST_PAUSE_SECONDS)
        return self._free_at - now

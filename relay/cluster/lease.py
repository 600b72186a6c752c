"""The rules of the lease: how long an owner may work, and when another node may take over.

Theory of operation: the owner raises a counter in the database every third of the lease (a renewal). It may work for a
lease, counted from *before* it sent the last renewal that succeeded, less a margin. Every other node watches the
counter. It may take over when it has seen the same counter for a whole lease, counted from *after* the answer that
showed this counter first, to *before* the question that showed it last. So the owner has always stopped before another
node begins, although nobody compares the clocks of two machines: each uses only its own, and only differences.

All times here are seconds of a clock that goes on while the machine sleeps, and that nobody can set (CLOCK_BOOTTIME).
The only clocks that are compared are a node's and the database's, because instants are in the messages' records: a node
that is too far off owns nothing.
"""

from collections.abc import Callable
from typing import Final

import msgspec

#: The part of the lease in which the owner no longer works, and nobody else does yet. It is for a turn of the reactor
#: that began just before, and for clocks that differ in speed.
_MARGIN: Final = 0.1
#: How far a node's clock may be from the database's.
MOST_SECONDS_OFF: Final = 2.0


class Standing(msgspec.Struct, frozen=True):
    """Who owns the shard, as the database says.

    :ivar owner: the node's name; "": nobody, because the last owner has handed the shard over.
    :ivar counter: the owner's sign of life. It changes with each renewal.
    :ivar lease_seconds: the owner's lease.
    :ivar owned_at: when it became the owner, by the database's clock.
    :ivar database_at: the database's clock.
    """

    epoch: int
    owner: str
    counter: int
    lease_seconds: float
    owned_at: float
    database_at: float


class LeaseGate:
    """Says whether this relay may work for the shard at this instant. Who sends anything asks it first.

    It is shut until the first `renewed`. A process that was paused finds it shut when it wakes up, whatever it was
    about to do, because the gate reads the clock each time.

    :param uptime: seconds of a clock that nobody can set.
    """

    __slots__ = ("_uptime", "works_until")

    def __init__(self, uptime: Callable[[], float]) -> None:
        self._uptime = uptime
        self.works_until = float("-inf")

    @property
    def open(self) -> bool:
        """Whether it may send, deliver and accept."""
        return self._uptime() < self.works_until

    def renewed(self, sent_at: float, lease_seconds: float) -> None:
        """Opens it after a renewal, which was sent at `sent_at`, has succeeded."""
        self.works_until = sent_at + lease_seconds * (1.0 - _MARGIN)

    def shut(self) -> None:
        """Shuts it until the next renewal."""
        self.works_until = float("-inf")


class LeaseWatch:
    """Watches the sign of life of another node, and says when its lease is over.

    :param lease_seconds: this node's own lease. The longer one of the two counts.
    """

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._sign: tuple[int, str, int] | None = None
        self._still_since = 0.0

    def saw(self, standing: Standing, asked_at: float, answered_at: float) -> bool:
        """Takes note of what the database said. Returns whether this node may take over now.

        :param asked_at: this node's clock before the question.
        :param answered_at: this node's clock after the answer.
        """
        if not standing.owner:
            return True
        sign = (standing.epoch, standing.owner, standing.counter)
        if sign != self._sign:
            self._sign = sign
            self._still_since = answered_at
            return False
        return asked_at - self._still_since >= max(self._lease_seconds, standing.lease_seconds)

    def forget(self) -> None:
        """Begins to watch anew."""
        self._sign = None


def seconds_off(before: float, database_at: float, after: float) -> float:
    """How far a node's clock is from the database's, at least.

    :param before, after: the node's clock before the question and after the answer. The database read its own between
        the two.
    """
    return max(0.0, before - database_at, database_at - after)

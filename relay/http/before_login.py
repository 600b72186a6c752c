"""What a network may have of a listener before anybody there has logged in: connections, requests, octets.

Those who log in are known, and can be asked; strangers can't, and there may be many. So they are counted by network.
What a network has that is in nobody's way is not touched: of its connections the one that waits longest for a request
makes room for a new one.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from relay.config.model import Limits
from relay.values.rate import TokenBucket

#: Networks whose requests are counted. Beyond it, the one that was heard of longest ago is forgotten.
NETWORKS_KEPT = 10_000

#: So many seconds' worth of requests may come at once.
BURST_SECONDS = 2.0


class Evictable(Protocol):
    """A connection on which nobody has logged in."""

    @property
    def answering(self) -> bool:
        """A request is being answered: it stays."""

    def loseConnection(self) -> None:
        """Closes it."""


class BeforeLogin:
    """Counts strangers by network. Only the reactor thread may call.

    :param limits: the configuration's.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: By network: its connections, in the order of their coming.
        self._connections: dict[str, dict[Evictable, None]] = {}
        self._requests: dict[str, TokenBucket] = {}
        self._bytes: Counter[str] = Counter()

    def connected(self, network: str, connection: Evictable) -> bool:
        """Counts a connection; false: the network has too many, all of which are being answered."""
        there = self._connections.setdefault(network, {})
        if len(there) >= self._limits.connections_before_login:
            oldest = next(_idle(there), None)
            if oldest is None:
                return False
            del there[oldest]
            oldest.loseConnection()
        there[connection] = None
        return True

    def gone(self, network: str, connection: Evictable) -> None:
        """A connection has ended, or somebody has logged in on it. Harmless a second time."""
        there = self._connections.get(network)
        if there is not None:
            there.pop(connection, None)
            if not there:
                del self._connections[network]

    def request(self, network: str, now: float) -> float:
        """Counts a request; gives 0.0, or the seconds after which there may be another one."""
        rate = self._limits.requests_before_login
        if not rate:
            return 0.0
        bucket = self._requests.pop(network, None) or TokenBucket(rate, rate * BURST_SECONDS, now)
        self._requests[network] = bucket
        while len(self._requests) > NETWORKS_KEPT:
            del self._requests[next(iter(self._requests))]
        return bucket.take(1, now)

    def was_login(self, network: str) -> None:
        """The request that was counted last logged in: it doesn't count."""
        bucket = self._requests.get(network)
        if bucket is not None:
            bucket.give_back(1)

    def received(self, network: str, count: int) -> bool:
        """Counts octets of a body; false: the network has too many, and they don't count."""
        if self._bytes[network] + count > self._limits.bytes_before_login:
            return False
        self._bytes[network] += count
        return True

    def let_go(self, network: str, count: int) -> None:
        """Octets of a body are kept no longer, or are no stranger's any more."""
        self._bytes[network] -= count
        if self._bytes[network] <= 0:
            del self._bytes[network]


def _idle(connections: dict[Evictable, None]) -> Iterator[Evictable]:
    return (connection for connection in connections if not connection.answering)

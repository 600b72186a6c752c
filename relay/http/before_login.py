"""Limits the connections, requests and octets of strangers: clients that have not logged in.

An operator knows the customers who log in, and can call them. Strangers are unknown, and may be many. So their use is
counted by network. If a network has too many connections, the one that has been idle for longest is closed for a new
one.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from relay.config.daemon_config import Limits
from relay.values.rate import TokenBucket

#: How many networks' requests are counted. Beyond it, the network whose last request is oldest is forgotten.
NETWORKS_KEPT = 10_000

#: How many seconds' requests may come at once.
BURST_SECONDS = 2.0


class Evictable(Protocol):
    """A connection on which nobody has logged in."""

    @property
    def answering(self) -> bool:
        """Whether a request is being answered. Then the connection isn't closed."""

    def loseConnection(self) -> None:
        """Closes it."""


class BeforeLogin:
    """Counts what the strangers of each network use. Only the reactor thread may call.

    :param limits: the configuration's limits.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: The connections of each network, oldest first.
        self._connections: dict[str, dict[Evictable, None]] = {}
        self._requests: dict[str, TokenBucket] = {}
        self._bytes: Counter[str] = Counter()

    def connected(self, network: str, connection: Evictable) -> bool:
        """Counts a new connection. False: the network has too many, and all of them are being answered."""
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
        """Tells that a connection has ended, or that its client has logged in. A second call does nothing."""
        there = self._connections.get(network)
        if there is not None:
            there.pop(connection, None)
            if not there:
                del self._connections[network]

    def request(self, network: str, now: float) -> float:
        """Counts a request. Returns 0.0, or the seconds to wait if the network has sent too many."""
        rate = self._limits.requests_before_login
        if not rate:
            return 0.0
        bucket = self._requests.pop(network, None) or TokenBucket(rate, rate * BURST_SECONDS, now)
        self._requests[network] = bucket
        while len(self._requests) > NETWORKS_KEPT:
            del self._requests[next(iter(self._requests))]
        return bucket.take(1, now)

    def was_login(self, network: str) -> None:
        """Takes back the last count of a request, because it was a login."""
        bucket = self._requests.get(network)
        if bucket is not None:
            bucket.give_back(1)

    def received(self, network: str, count: int) -> bool:
        """Counts octets of a body. False: the network has too many, and these were not counted."""
        if self._bytes[network] + count > self._limits.bytes_before_login:
            return False
        self._bytes[network] += count
        return True

    def let_go(self, network: str, count: int) -> None:
        """Takes back octets of a body that has been dropped, or whose sender has logged in."""
        self._bytes[network] -= count
        if self._bytes[network] <= 0:
            del self._bytes[network]


def _idle(connections: dict[Evictable, None]) -> Iterator[Evictable]:
    return (connection for connection in connections if not connection.answering)

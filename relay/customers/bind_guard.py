"""Limits how many connections a network may have, and how often it may fail to bind.

A network is an IPv4 address, or the /64 of an IPv6 address, because a customer with one address in it can use them all.
"""

from relay.values.networks import network_of


class BindGuard:
    """Counts the connections and the failed binds of each network.

    A network's failed binds are forgotten a minute after the last of them, so the memory is bounded.

    :param failed_a_minute: after so many failed binds in a minute, the network is refused until the minute is over.
    """

    def __init__(self, failed_a_minute: int, connections: int, connections_per_address: int) -> None:
        self._failed_a_minute = failed_a_minute
        self._connections_limit = connections
        self._per_address_limit = connections_per_address
        self._open: dict[str, int] = {}
        self._open_total = 0
        self._failed: dict[str, tuple[float, int]] = {}

    def opened(self, address: str) -> bool:
        """Counts a new connection. If it is one too many, returns false; the caller closes it and calls `closed`."""
        address = network_of(address)
        self._open_total += 1
        count = self._open[address] = self._open.get(address, 0) + 1
        return self._open_total <= self._connections_limit and count <= self._per_address_limit

    def closed(self, address: str) -> None:
        """Notes that a connection has ended."""
        address = network_of(address)
        self._open_total -= 1
        count = self._open.get(address, 0) - 1
        if count > 0:
            self._open[address] = count
        else:
            self._open.pop(address, None)

    def failed(self, address: str, now: float) -> None:
        """Counts a bind that was refused."""
        address = network_of(address)
        begun_at, count = self._failed.get(address, (now, 0))
        if now - begun_at >= 60.0:
            begun_at, count = now, 0
        # Removed and added again, so that the dict is in the order of the last failures, and the oldest can be dropped.
        self._failed.pop(address, None)
        self._failed[address] = (begun_at, count + 1)
        while self._failed:
            oldest = next(iter(self._failed))
            if now - self._failed[oldest][0] < 60.0 and len(self._failed) <= self._connections_limit:
                break
            del self._failed[oldest]

    def may_try(self, address: str, now: float) -> bool:
        """Whether the relay checks a bind from this address now, or refuses it unread."""
        begun_at, count = self._failed.get(network_of(address), (now, 0))
        return count < self._failed_a_minute or now - begun_at >= 60.0

"""How many connections a network may hold, and how often it may fail to bind.

A network is an IPv4 address, or the /64 of an IPv6 address: who has one of its addresses can have all of them.
"""

from relay.values.networks import network_of


class BindGuard:
    """Counts connections and failed binds by network. Bounded: a network is forgotten a minute after its last fault.

    :param failed_a_minute: failed binds after which a network is refused until the minute is over.
    """

    def __init__(self, failed_a_minute: int, connections: int, connections_per_address: int) -> None:
        self._failed_a_minute = failed_a_minute
        self._connections_limit = connections
        self._per_address_limit = connections_per_address
        self._open: dict[str, int] = {}
        self._open_total = 0
        self._failed: dict[str, tuple[float, int]] = {}

    def opened(self, address: str) -> bool:
        """Counts a connection; false: one too many, to be closed (and counted down by `closed` all the same)."""
        address = network_of(address)
        self._open_total += 1
        count = self._open[address] = self._open.get(address, 0) + 1
        return self._open_total <= self._connections_limit and count <= self._per_address_limit

    def closed(self, address: str) -> None:
        """Counts a connection down."""
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
        # Popped and set anew, so that the dict stays in the order of the last fault and the oldest can go.
        self._failed.pop(address, None)
        self._failed[address] = (begun_at, count + 1)
        while self._failed:
            oldest = next(iter(self._failed))
            if now - self._failed[oldest][0] < 60.0 and len(self._failed) <= self._connections_limit:
                break
            del self._failed[oldest]

    def may_try(self, address: str, now: float) -> bool:
        """Whether the address may have a bind checked now."""
        begun_at, count = self._failed.get(network_of(address), (now, 0))
        return count < self._failed_a_minute or now - begun_at >= 60.0

"""Which carriers may take a number.

Theory of operation: the routes are kept in one dict by prefix, and a look-up tries the lengths that exist, longest
first. The cost depends on how many different lengths the routes have (a handful), not on how many routes there are.
"""

from collections.abc import Sequence

from relay.core.config import Route


class Routes:
    """The routing table of one configuration. Immutable; a reload makes a new one."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._carriers: dict[bytes, tuple[str, ...]] = {}
        for route in routes:
            # The first of two routes with one prefix wins, as a reader of the file would expect.
            self._carriers.setdefault(route.prefix.encode(), tuple(route.carriers))
        self._lengths = sorted({len(prefix) for prefix in self._carriers}, reverse=True)
        self._longest = max(self._lengths, default=0) + 1

    def carriers_for(self, destination: bytes) -> tuple[str, ...]:
        """The carriers for a destination address in order of preference; () where no route matches.

        A leading + is ignored: it says what type of number it is, not which.
        """
        return self.carriers_of(b"\0\0\0\0\0" + destination + b"\0")

    def carriers_of(self, addresses: bytes) -> tuple[str, ...]:
        """`carriers_for` the destination in a message's addresses (see `Message`)."""
        # Cut out no more of the destination than decides: half the cost of `carriers_for(destination_of(...))`.
        start = addresses.index(0, 2) + 3
        digits = addresses[start : start + self._longest]
        if digits[:1] == b"+":
            digits = digits[1:]
        carriers = self._carriers
        for length in self._lengths:
            found = carriers.get(digits[:length])
            if found is not None:
                return found
        return ()

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

    def carriers_for(self, destination: bytes) -> tuple[str, ...]:
        """The carriers for a destination address in order of preference; () where no route matches.

        A leading + is ignored: it says what type of number it is, not which.
        """
        if destination[:1] == b"+":
            destination = destination[1:]
        carriers = self._carriers
        for length in self._lengths:
            found = carriers.get(destination[:length])
            if found is not None:
                return found
        return ()

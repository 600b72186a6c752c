"""Limits how often a client may send a wrong key, without locking out those who send the right one.

Theory of operation: wrong keys are counted by network and by account. Each count begins a minute of its own. Over the
limit, a login is refused even if its key is right, so that a guesser learns nothing. Two exceptions make sure that
others' wrong keys don't lock a customer out. First, a key always passes if it was right before, from the same network.
Second, if only the account is over its limit, each network gets one attempt in the minute. So the owner can log in from
anywhere, and a guesser needs a new network for each guess.
"""

from collections.abc import Callable
from typing import Final

from relay.values.networks import network_of
from relay.values.secret import Secret

#: How many counts of networks, accounts and pairs are kept. Beyond it, the one whose minute began first is dropped.
_COUNTS_KEPT: Final = 30_000
#: How many pairs of a network and an account have their right key remembered. Beyond it, the one that was used longest
#: ago is dropped.
_KNOWN_KEPT: Final = 20_000

_SECONDS: Final = 60.0

#: The key of a count: ("network", n), ("account", a) or (n, a).
_Counted = tuple[str, str]


class LoginLimits:
    """Counts failed logins, and says who must wait. It is false if no login failed lately, which is quick to check.

    :param most_a_minute: after so many, logins are refused until the minute is over; 0 = no limit.
    :param clock: returns the time in seconds.
    """

    def __init__(self, most_a_minute: int, clock: Callable[[], float]) -> None:
        self._most = most_a_minute
        self._now = clock
        self._failed: dict[_Counted, tuple[float, int]] = {}
        self._known: dict[_Counted, Secret] = {}

    def __bool__(self) -> bool:
        return bool(self._failed)

    def failed(self, address: str, account: str = "") -> None:
        """Counts a wrong key.

        :param account: the account that the login named; "": it named none.
        """
        if not self._most:
            return
        network, now = network_of(address), self._now()
        self._count(("network", network), now)
        if account:
            self._count(("account", account), now)
            self._count((network, account), now)
        while self._failed:
            oldest = next(iter(self._failed))
            if now - self._failed[oldest][0] < _SECONDS and len(self._failed) <= _COUNTS_KEPT:
                break
            del self._failed[oldest]

    def _count(self, counted: _Counted, now: float) -> None:
        begun_at, count = self._failed.get(counted, (now, 0))
        if now - begun_at >= _SECONDS:
            begun_at, count = now, 0
            # Removed and added again, so that the dict is in the order in which minutes began.
            del self._failed[counted]
        self._failed[counted] = (begun_at, count + 1)

    def wait_seconds(self, address: str, account: str = "") -> float:
        """The seconds until this address may try to log in to this account; 0.0: it may try now."""
        if not self._most or not self._failed:
            return 0.0
        network = network_of(address)
        wait_seconds = self._left(("network", network), self._most)
        if account and self._left((network, account), 1) > 0.0:
            wait_seconds = max(wait_seconds, self._left(("account", account), self._most))
        return wait_seconds

    def _left(self, counted: _Counted, most: int) -> float:
        begun_at, count = self._failed.get(counted, (0.0, 0))
        return max(0.0, begun_at + _SECONDS - self._now()) if count >= most else 0.0

    def succeeded(self, address: str, account: str, key: Secret | None) -> None:
        """Remembers that this key of the account was right, and from which network it came."""
        if key is None:
            return
        pair = network_of(address), account
        # Removed and added again, so that the dict is in the order of use.
        self._known.pop(pair, None)
        self._known[pair] = key
        if len(self._known) > _KNOWN_KEPT:
            del self._known[next(iter(self._known))]

    def knows(self, address: str, account: str, key: Secret | None) -> bool:
        """Whether this key of the account was right before, from the same network."""
        return key is not None and self._known.get((network_of(address), account)) == key

"""How often somebody may say a wrong key, without locking out those who say the right one.

Theory of operation: wrong keys are counted by network and by account, each in a minute of its own. Over the limit, a
login is refused whether its key is right or not, so that guessing goes no further. Two exceptions keep others' wrong
keys from locking a customer out. A key that was right before, from the same network, passes always. And where only the
account is over its limit, a network that has said nothing wrong of this account in this minute gets one try: its owner
comes in from anywhere, and a guesser needs a new network for each guess.
"""

from collections.abc import Callable
from typing import Final

from relay.values.networks import network_of
from relay.values.secret import Secret

#: Networks, accounts and pairs of them that are remembered; the one whose minute began first makes room.
_COUNTS_KEPT: Final = 30_000
#: Pairs of a network and an account whose right key is remembered; the one used longest ago makes room.
_KNOWN_KEPT: Final = 20_000

_SECONDS: Final = 60.0

#: What is counted: ("network", n), ("account", a) or (n, a).
_Counted = tuple[str, str]


class LoginLimits:
    """Counts failed logins. False where there were none lately, so that asking is cheap.

    :param most_a_minute: after so many, logins are refused until the minute is over; 0 = no limit.
    :param clock: seconds, monotonic or not.
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

        :param account: whose it was said to be; "" where nobody was named.
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
            # So that the dict stays in the order in which minutes began.
            del self._failed[counted]
        self._failed[counted] = (begun_at, count + 1)

    def wait_seconds(self, address: str, account: str = "") -> float:
        """After how long there may be another login of this account from this address; 0.0: now."""
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
        """Remembers that this was the account's key, and from where it came."""
        if key is None:
            return
        pair = network_of(address), account
        # Popped and set anew, so that the dict stays in the order of use.
        self._known.pop(pair, None)
        self._known[pair] = key
        if len(self._known) > _KNOWN_KEPT:
            del self._known[next(iter(self._known))]

    def knows(self, address: str, account: str, key: Secret | None) -> bool:
        """Whether this key of the account has been right before from there."""
        return key is not None and self._known.get((network_of(address), account)) == key

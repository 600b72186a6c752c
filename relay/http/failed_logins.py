"""How often an address may say a wrong API key."""

from collections.abc import Callable
from typing import Final

#: Addresses remembered; the one whose minute began first makes room.
_ADDRESSES_KEPT: Final = 10_000


class FailedLogins:
    """Counts failed logins by address, each in a minute of its own. False where there were none, so asking is cheap.

    :param most_a_minute: after so many an address is not listened to until its minute is over; 0 = no limit.
    :param clock: seconds, monotonic or not.
    """

    def __init__(self, most_a_minute: int, clock: Callable[[], float]) -> None:
        self._most = most_a_minute
        self._now = clock
        self._failed: dict[str, tuple[float, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._failed)

    def failed(self, address: str) -> None:
        """Counts one."""
        if not self._most:
            return
        now = self._now()
        begun_at, count = self._failed.get(address, (now, 0))
        if now - begun_at >= 60.0:
            begun_at, count = now, 0
            # So that the dict stays in the order in which minutes began.
            del self._failed[address]
        self._failed[address] = (begun_at, count + 1)
        while self._failed:
            oldest = next(iter(self._failed))
            if now - self._failed[oldest][0] < 60.0 and len(self._failed) <= _ADDRESSES_KEPT:
                break
            del self._failed[oldest]

    def wait_seconds(self, address: str) -> float:
        """After how long the address may try again; 0.0: now."""
        begun_at, count = self._failed.get(address, (0.0, 0))
        return max(0.0, begun_at + 60.0 - self._now()) if self._most and count >= self._most else 0.0

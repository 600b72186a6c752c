"""How many notifications accounts are owed, and since when, for the operator's pages.

Both take the store longer than other figures. So they are asked for again only after some seconds, however many people
look at the pages.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from relay.store.api import StoreQueries
from relay.store.store_values import StoreBusy

#: The counts are asked for again after this time, and the oldest notification of an account after the second time.
_COUNTED_AGAIN_SECONDS: Final = 5.0
_OLDEST_AGAIN_SECONDS: Final = 20.0
#: The table of accounts says of so many accounts since when they are owed: of those that are owed most.
_MOST_OLDEST: Final = 20


class Owed(msgspec.Struct, frozen=True):
    """What one account is owed.

    :ivar since: when the relay learnt the oldest final state that the account was not notified of; None: unknown.
    """

    count: int = 0
    since: float | None = None


class OwedNotifications:
    """Knows what accounts are owed.

    :param seconds: returns the time.
    """

    def __init__(self, store: StoreQueries, seconds: Callable[[], float]) -> None:
        self._store = store
        self._seconds = seconds
        self._counted_at = -_COUNTED_AGAIN_SECONDS
        self._counts: Mapping[str, int] = {}
        self._since: dict[str, tuple[float, float | None]] = {}

    async def of_all(self) -> dict[str, Owed]:
        """What each account is owed; accounts that are owed nothing are left out."""
        counts = await self._count()
        most = sorted(counts, key=lambda name: -counts[name])[:_MOST_OLDEST]
        return {name: Owed(count, await self._oldest(name) if name in most else None) for name, count in counts.items()}

    async def of(self, account: str) -> Owed:
        """What one account is owed."""
        count = (await self._count()).get(account, 0)
        return Owed(count, await self._oldest(account) if count else None)

    async def _count(self) -> Mapping[str, int]:
        now = self._seconds()
        if now - self._counted_at >= _COUNTED_AGAIN_SECONDS:
            self._counted_at = now
            self._counts = await self._store.owed_by_account()
            # Nothing is kept of accounts that are owed nothing any more.
            self._since = {name: known for name, known in self._since.items() if name in self._counts}
        return self._counts

    async def _oldest(self, account: str) -> float | None:
        now = self._seconds()
        asked_at, since = self._since.get(account, (-_OLDEST_AGAIN_SECONDS, None))
        if now - asked_at < _OLDEST_AGAIN_SECONDS:
            return since
        try:
            since = await self._store.owed_since(account)
        except StoreBusy:
            # The account has too many queries under way. The last answer is shown.
            return since
        self._since[account] = (now, since)
        return since

"""Remembers when API keys were last used.

Theory of operation: a use changes only memory. An hour after the first use that isn't kept yet, and at a stop, the
times of all these keys are kept in the store. So a crash loses an hour at the most.
"""

from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.accounts.api_keys import USED_SETTING, ApiKey
from relay.http.collaborators import Customers
from relay.runtime.tasks import Tasks
from relay.store.api import SettingsStore, StoreUnavailable

KEPT_AFTER_SECONDS: Final = 3600.0


class KeyUses:
    """Knows the last use of the keys that customers have made."""

    log = Logger()

    def __init__(self, store: SettingsStore, accounts: Customers, clock: IReactorTime) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._tasks = Tasks(self.log)
        #: The uses that the store doesn't have yet, by account and id of the key.
        self._unkept: dict[tuple[str, str], float] = {}
        self._timer: IDelayedCall | None = None

    def used(self, account: str, key: ApiKey) -> None:
        """Notes that a key is used now. It costs little."""
        self._unkept[account, key.id] = self._clock.seconds()
        if self._timer is None:
            self._timer = self._clock.callLater(KEPT_AFTER_SECONDS, self._keep_later)

    def last_used_at(self, account: str, key: ApiKey) -> float | None:
        """When a key was used last; None: never."""
        at = self._unkept.get((account, key.id))
        if at is None:
            text = self._accounts.setting(account, USED_SETTING + key.id)
            at = float(text) if text else None
        return at

    def forget(self, account: str, key: ApiKey) -> None:
        """Forgets a key that is no more."""
        self._unkept.pop((account, key.id), None)

    async def stop(self) -> None:
        """Keeps what isn't kept yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._keep()

    def _keep_later(self) -> None:
        self._timer = None
        self._tasks.start(self._keep())

    async def _keep(self) -> None:
        unkept, self._unkept = self._unkept, {}
        for (account, key_id), at in unkept.items():
            name, value = USED_SETTING + key_id, f"{at:.0f}"
            self._accounts.apply_setting(account, name, value)
            try:
                await self._store.put_setting(account, name, value)
            except StoreUnavailable:
                # It is known until the relay stops. The next use is kept again.
                return

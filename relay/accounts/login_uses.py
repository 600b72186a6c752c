"""Remembers when logins of programs were last used: API keys, and SMPP logins.

Theory of operation: a use changes only memory. An hour after the first use that isn't kept yet, and at a stop, the
times of all these logins are kept in the store. So a crash loses an hour at the most.
"""

from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.runtime.tasks import Tasks
from relay.store.api import SettingsStore
from relay.store.store_values import StoreUnavailable

KEPT_AFTER_SECONDS: Final = 3600.0


class HasSettings(Protocol):
    """Knows the accounts' settings: `relay.accounts.accounts.Accounts`."""

    def setting(self, account: str, name: str) -> str | None:
        """The setting's value."""

    def apply_setting(self, account: str, name: str, value: str | None) -> None:
        """Applies a setting."""


class LoginUses:
    """Knows the last use of each login of one kind.

    :param setting: the beginning of the names of the settings that keep the times. The login's id follows.
    """

    log = Logger()

    def __init__(self, store: SettingsStore, accounts: HasSettings, clock: IReactorTime, setting: str) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._setting = setting
        self._tasks = Tasks(self.log)
        #: The uses that the store doesn't have yet, by account and id of the login.
        self._unkept: dict[tuple[str, str], float] = {}
        self._timer: IDelayedCall | None = None

    def used(self, account: str, login_id: str) -> None:
        """Notes that a login is used now. It costs little."""
        self._unkept[account, login_id] = self._clock.seconds()
        if self._timer is None:
            self._timer = self._clock.callLater(KEPT_AFTER_SECONDS, self._keep_later)

    def last_used_at(self, account: str, login_id: str) -> float | None:
        """When a login was used last; None: never."""
        at = self._unkept.get((account, login_id))
        if at is None:
            text = self._accounts.setting(account, self._setting + login_id)
            at = float(text) if text else None
        return at

    def forget(self, account: str, login_id: str) -> None:
        """Forgets a login that is no more."""
        self._unkept.pop((account, login_id), None)

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
        for (account, login_id), at in unkept.items():
            name, value = self._setting + login_id, f"{at:.0f}"
            self._accounts.apply_setting(account, name, value)
            try:
                await self._store.put_setting(account, name, value)
            except StoreUnavailable:
                # It is known until the relay stops. The next use is kept again.
                return

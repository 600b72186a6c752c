"""Makes a signing secret for an account that has none, before its first webhook is sent.

The secret is durable before anything is signed with it. My Account shows it until the customer says that it is copied.
"""

from collections import defaultdict
from collections.abc import Callable

from twisted.internet.defer import DeferredLock

from relay.accounts.account_settings import UNSEEN_SECRET
from relay.accounts.accounts import Accounts, Target
from relay.accounts.signing import new_secret
from relay.store.api import SettingsStore
from relay.store.store_values import StoreUnavailable


class FirstSecrets:
    """Gives accounts their first secrets.

    :param random_bytes: makes them.
    """

    def __init__(self, store: SettingsStore, accounts: Accounts, random_bytes: Callable[[int], bytes]) -> None:
        self._store = store
        self._accounts = accounts
        self._random_bytes = random_bytes
        #: One secret is made at a time, although several webhooks of an account may begin at once.
        self._making: defaultdict[str, DeferredLock] = defaultdict(DeferredLock)

    async def signed(self, account: str, target: Target) -> Target:
        """Returns the account's target with a key that signs.

        It is `target` itself while nothing can be made durable: a notification is then better unsigned than late.
        """
        lock = self._making[account]
        await lock.acquire()
        try:
            now = self._accounts.target(account)
            if now is None or now.keys or not now.sign:
                return now or target
            settings = {UNSEEN_SECRET: "yes", "notification_secret": new_secret(self._random_bytes)}
            for name, value in settings.items():
                # If the relay stops between the two, there is a mark without a secret, which does no harm.
                await self._store.put_setting(account, name, value)
                self._accounts.apply_setting(account, name, value)
            return self._accounts.target(account) or target
        except StoreUnavailable:
            return target
        finally:
            lock.release()
            if not lock.waiting:
                self._making.pop(account, None)

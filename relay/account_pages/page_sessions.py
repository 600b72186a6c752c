"""The sessions of customers who are logged in to My Account.

Theory of operation: a browser proves its session with a random token. The relay keeps only a hash of the token, so
nobody can log in with what is in the relay's memory or journal. A session ends when its time is over, when it has not
been used for a while, when its owner logs out, or when the account gets another API key. The number of sessions is
bounded; at the bound the oldest one ends. `relay.http.login_limits` limits the attempts to log in.

The store keeps each session as a setting of its account, so that logins survive a restart. There it has the time of its
end, and a hash of the token together with the API key: after the restart the session is valid only if the account still
has this key. A start counts as a use of all sessions.
"""

import base64
import hashlib
from collections.abc import Callable, Container
from typing import Final

from twisted.internet.defer import DeferredLock

from relay.account_pages.page_values import AccountSuspended, Flash, TooManyAttempts
from relay.accounts.api_keys import ApiKey
from relay.http.collaborators import Customers
from relay.http.login_limits import LoginLimits
from relay.store.api import SettingsStore
from relay.store.store_values import StoreUnavailable
from relay.values.ids import RandomBytes

#: How long a session lasts, and how long it may be unused.
SESSION_SECONDS: Final = 12 * 3600.0
IDLE_SECONDS: Final = 2 * 3600.0

#: The most sessions of all accounts, and of one account.
MOST_SESSIONS: Final = 10_000
MOST_OF_ACCOUNT: Final = 20

#: How many attempts may fail in a minute, from one address and for one account.
ATTEMPTS: Final = 10

#: The beginning of the settings that keep sessions. The rest is the hash of the token.
_SETTING: Final = "page_session."


class PageSession:
    """The session of one browser.

    :ivar csrf: a token in every form. Pages of other sites can't know it.
    :ivar flash: the message that the next page shows once.
    """

    __slots__ = ("_proof", "account", "csrf", "ends_at", "flash", "used_at")

    def __init__(self, account: str, csrf: str, proof: str, ends_at: float, used_at: float) -> None:
        self.account = account
        self.csrf = csrf
        self.flash: Flash | None = None
        self.ends_at = ends_at
        self.used_at = used_at
        self._proof = proof

    def holds(self, proofs: Container[str], now: float) -> bool:
        """Whether the session is still valid.

        :param proofs: those of its token and the account's present API keys.
        """
        return now < self.ends_at and now < self.used_at + IDLE_SECONDS and self._proof in proofs


class PageSessions:
    """Logs customers in and out, and finds their sessions. Await `ready` before any other call."""

    session_seconds = SESSION_SECONDS

    def __init__(
        self, accounts: Customers, store: SettingsStore, random_bytes: RandomBytes, clock: Callable[[], float]
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._random_bytes = random_bytes
        self._now = clock
        self._sessions: dict[str, PageSession] = {}
        self._limits = LoginLimits(ATTEMPTS, clock)
        self._loading = DeferredLock()
        self._loaded = False
        #: Sessions that have ended, by account and name: the store still keeps them.
        self._ended: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._sessions)

    async def ready(self) -> None:
        """Returns when the sessions of before the start are known."""
        if not self._loaded:
            await self._loading.run(self._load)

    async def _load(self) -> None:
        if self._loaded:
            return
        now = self._now()
        for account, name, value in await self._store.settings():
            ends_at, _, proof = value.partition(" ")
            if not name.startswith(_SETTING):
                continue
            if float(ends_at) > now and len(self._sessions) < MOST_SESSIONS:
                self._sessions[name.removeprefix(_SETTING)] = PageSession(account, "", proof, float(ends_at), now)
            else:
                self._ended.append((account, name))
        self._loaded = True

    async def log_in(self, address: str, account: str, key: str) -> str | None:
        """Makes a session and returns its token; None: there is no such account, or it has another key.

        :raises TooManyAttempts: this address must wait, or all attempts for this account must. The key isn't checked.
        :raises AccountSuspended: the key is right, but an operator has suspended the account.
        """
        now = self._now()
        asked = account[:100]
        login = self._accounts.by_login(account, key)
        if login is not None and not _opens_pages(login.key, now, address):
            login = None
        wait_seconds = self._limits.wait_seconds(address, asked)
        if wait_seconds > 0.0 and (login is None or not self._limits.knows(address, login.account, login.proof)):
            raise TooManyAttempts(wait_seconds)
        if login is None:
            self._limits.failed(address, asked)
            return None
        name = login.account
        self._limits.succeeded(address, name, login.proof)
        if self._accounts.is_suspended(name):
            raise AccountSuspended
        token = self.new_token()
        own = [kept for kept, session in self._sessions.items() if session.account == name]
        for old in own[: len(own) - MOST_OF_ACCOUNT + 1] if len(own) >= MOST_OF_ACCOUNT else ():
            self._end(old)
        while len(self._sessions) >= MOST_SESSIONS:
            self._end(next(iter(self._sessions)))
        proof, ends_at = _hash(f"{token} {login.proof.reveal()}"), now + SESSION_SECONDS
        self._sessions[_hash(token)] = PageSession(name, _csrf(token), proof, ends_at, now)
        await self._keep(name, _SETTING + _hash(token), f"{ends_at:.0f} {proof}")
        return token

    def new_token(self) -> str:
        """Makes a random text for a cookie or a form. Nobody can guess it."""
        return base64.urlsafe_b64encode(self._random_bytes(32)).decode().rstrip("=")

    def find(self, token: str, *, use: bool = True) -> PageSession | None:
        """The session of a token; None: it has ended, or there never was one.

        :param use: whether its owner does something, so that the session counts as used.
        """
        name = _hash(token)
        session = self._sessions.get(name)
        if session is None:
            return None
        now = self._now()
        suspended = self._accounts.is_suspended(session.account)
        if suspended or not session.holds(self._proofs(token, session.account, now), now):
            self._end(name)
            return None
        session.csrf = _csrf(token)
        if use:
            session.used_at = now
        return session

    async def log_out(self, token: str) -> None:
        """Ends the session of a token, if there is one."""
        name = _hash(token)
        if name in self._sessions:
            self._end(name)
            await self._forget_ended()

    def _proofs(self, token: str, account: str, now: float) -> set[str]:
        """What shows that a session was made with one of the account's present API keys."""
        try:
            configured = self._accounts.get(account).api_key
        except KeyError:
            return set()
        secrets = [key.digest for key in self._accounts.keys.of(account) if _opens_pages(key, now)]
        if configured is not None:
            secrets.append(configured.reveal())
        return {_hash(f"{token} {secret}") for secret in secrets}

    def _end(self, name: str) -> None:
        session = self._sessions.pop(name)
        self._ended.append((session.account, _SETTING + name))

    async def _keep(self, account: str, name: str, value: str) -> None:
        try:
            await self._store.put_setting(account, name, value)
        except StoreUnavailable:
            # The session lasts until the next start. The page must be there while the disk is full.
            return
        await self._forget_ended()

    async def _forget_ended(self) -> None:
        """Takes sessions that have ended out of the store."""
        while self._ended:
            account, name = self._ended.pop()
            try:
                await self._store.put_setting(account, name, None)
            except StoreUnavailable:
                # If the relay stops before a later call has done it, the session is valid again after the start.
                self._ended.append((account, name))
                return


def _opens_pages(key: ApiKey | None, now: float, address: str | None = None) -> bool:
    """Whether somebody may log in with a key. The page can do everything, so a key with limits doesn't open it.

    :param key: None: the one in the configuration.
    """
    if key is None:
        return True
    return key.valid(now) and key.scope == "all" and (address is None or not key.refusal(address, "all"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _csrf(token: str) -> str:
    """The token of the forms. It follows from the cookie's token, so that a form survives a restart, too."""
    return _hash(f"form {token}")

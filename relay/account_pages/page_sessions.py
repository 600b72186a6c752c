"""The sessions of customers who are logged in to My Account.

Theory of operation: a browser proves its session with a random token. The relay keeps only a hash of the token, so
nobody can log in with what is in the relay's memory. A session ends when its time is over, when it has not been used
for a while, when its owner logs out, or when the account gets another API key. The number of sessions is bounded; at
the bound the oldest one ends. `relay.http.login_limits` limits the attempts to log in.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Final

from relay.account_pages.page_values import AccountSuspended, Flash, TooManyAttempts
from relay.http.collaborators import Customers
from relay.http.login_limits import LoginLimits
from relay.values.ids import RandomBytes
from relay.values.secret import Secret

#: How long a session lasts, and how long it may be unused.
SESSION_SECONDS: Final = 12 * 3600.0
IDLE_SECONDS: Final = 2 * 3600.0

#: The most sessions of all accounts, and of one account.
MOST_SESSIONS: Final = 10_000
MOST_OF_ACCOUNT: Final = 20

#: How many attempts may fail in a minute, from one address and for one account.
ATTEMPTS: Final = 10


class PageSession:
    """The session of one browser.

    :ivar csrf: a token in every form. Pages of other sites can't know it.
    :ivar flash: the message that the next page shows once.
    """

    __slots__ = ("_key", "account", "csrf", "ends_at", "flash", "used_at")

    def __init__(self, account: str, csrf: str, key: Secret | None, now: float) -> None:
        self.account = account
        self.csrf = csrf
        self.flash: Flash | None = None
        self.ends_at = now + SESSION_SECONDS
        self.used_at = now
        self._key = key

    def holds(self, key: Secret | None, now: float) -> bool:
        """Whether the session is still valid, if the account's present API key is `key`."""
        return now < self.ends_at and now < self.used_at + IDLE_SECONDS and key is not None and key == self._key


class PageSessions:
    """Logs customers in and out, and finds their sessions."""

    session_seconds = SESSION_SECONDS

    def __init__(self, accounts: Customers, random_bytes: RandomBytes, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._random_bytes = random_bytes
        self._now = clock
        self._sessions: dict[bytes, PageSession] = {}
        self._limits = LoginLimits(ATTEMPTS, clock)

    def __len__(self) -> int:
        return len(self._sessions)

    def log_in(self, address: str, account: str, key: str) -> str | None:
        """Makes a session and returns its token; None: there is no such account, or it has another key.

        :raises TooManyAttempts: this address must wait, or all attempts for this account must. The key isn't checked.
        :raises AccountSuspended: the key is right, but an operator has suspended the account.
        """
        now = self._now()
        asked = account[:100]
        name = self._accounts.by_login(account, key)
        key_now = None if name is None else self._accounts.get(name).api_key
        wait_seconds = self._limits.wait_seconds(address, asked)
        if wait_seconds > 0.0 and (name is None or not self._limits.knows(address, name, key_now)):
            raise TooManyAttempts(wait_seconds)
        if name is None:
            self._limits.failed(address, asked)
            return None
        self._limits.succeeded(address, name, key_now)
        if self._accounts.is_suspended(name):
            raise AccountSuspended
        token = self.new_token()
        own = [kept for kept, session in self._sessions.items() if session.account == name]
        for old in own[: len(own) - MOST_OF_ACCOUNT + 1] if len(own) >= MOST_OF_ACCOUNT else ():
            del self._sessions[old]
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_hash(token)] = PageSession(name, self.new_token(), key_now, now)
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
        try:
            key = self._accounts.get(session.account).api_key
        except KeyError:
            key = None
        if not session.holds(key, now) or self._accounts.is_suspended(session.account):
            del self._sessions[name]
            return None
        if use:
            session.used_at = now
        return session

    def log_out(self, token: str) -> None:
        """Ends the session of a token, if there is one."""
        self._sessions.pop(_hash(token), None)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()

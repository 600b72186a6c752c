"""Logins to the account page: who is logged in, and how often someone may try.

Theory of operation: a session is known by a random token that only the browser has; here stands its hash, so that what
is read from memory opens nothing. It ends when its time is over, when it has not been used for a while, when its owner
logs out, and when the account's API key is another one. Everything is bounded, and the oldest makes room. How often
someone may try is in `relay.http.login_limits`.
"""

import base64
import hashlib
from collections.abc import Callable
from typing import Final

from relay.account_pages.page_values import Flash, TooManyAttempts
from relay.http.collaborators import Customers
from relay.http.login_limits import LoginLimits
from relay.values.ids import RandomBytes
from relay.values.secret import Secret

#: A session's longest life, and its longest rest.
SESSION_SECONDS: Final = 12 * 3600.0
IDLE_SECONDS: Final = 2 * 3600.0

#: Sessions altogether, and of one account.
MOST_SESSIONS: Final = 10_000
MOST_OF_ACCOUNT: Final = 20

#: Failed attempts a minute of one address, and for one account.
ATTEMPTS: Final = 10


class PageSession:
    """One browser that is logged in.

    :ivar csrf: stands in every form; a page of another site can't know it.
    :ivar flash: what the next page is to say once.
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
        """Whether it is still good, where the account's key is `key`."""
        return now < self.ends_at and now < self.used_at + IDLE_SECONDS and key is not None and key == self._key


class PageSessions:
    """Logs account holders in and out, and tells who is logged in."""

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
        """A new session's token, or None where the account doesn't exist or the key is not its key.

        :raises TooManyAttempts: this address, or whoever asks for this account, must wait, whatever the key.
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
        token = self.new_token()
        own = [kept for kept, session in self._sessions.items() if session.account == name]
        for old in own[: len(own) - MOST_OF_ACCOUNT + 1] if len(own) >= MOST_OF_ACCOUNT else ():
            del self._sessions[old]
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[_hash(token)] = PageSession(name, self.new_token(), key_now, now)
        return token

    def new_token(self) -> str:
        """Random text that nobody can guess, fit for cookies and forms."""
        return base64.urlsafe_b64encode(self._random_bytes(32)).decode().rstrip("=")

    def find(self, token: str, *, use: bool = True) -> PageSession | None:
        """The session of a token, or None where it has ended or never was.

        :param use: whether this is the owner's doing, which keeps the session alive.
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
        if not session.holds(key, now):
            del self._sessions[name]
            return None
        if use:
            session.used_at = now
        return session

    def log_out(self, token: str) -> None:
        """Ends a session; nothing happens where there is none."""
        self._sessions.pop(_hash(token), None)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()

"""The SMPP logins of accounts. An account's first login is the key `smpp`, further ones are in `smpp_logins`.

Theory of operation: each login has a system_id, a password, networks and a number of sessions of its own. A password is
changed with an overlap: the old one is valid until an instant that the configuration names. Receipts go to the login
that submitted the message, as programs expect: another program of the customer doesn't know its ids.
"""

from collections.abc import Iterator

import msgspec

from relay.config.account_config import Account, AccountSmpp
from relay.values.instants import instant_of
from relay.values.secret import Secret

#: The name of an account's first login.
FIRST = ""
#: Compared with passwords if there is no other secret, so that each check takes the same time.
_NOTHING = Secret("no login has this password")


class SmppLogin(msgspec.Struct, frozen=True):
    """One login of an account.

    :ivar name: FIRST, or its name in `smpp_logins`.
    :ivar old_until: when the old password ends, in seconds since 1970; 0.0: there is none.
    """

    account: str
    name: str
    settings: AccountSmpp
    old_until: float

    @property
    def receipts_to(self) -> str:
        """The name of the login that gets the receipts of its messages."""
        return self.name if self.settings.receipts == "own" else FIRST

    def accepts(self, password: str, now: float) -> bool:
        """Whether the password is right now. The time doesn't depend on which password is wrong, or where."""
        new = self.settings.password.matches(password)
        old = (self.settings.old_password or _NOTHING).matches(password)
        return new or (old and now < self.old_until)

    def accepts_for(self, password: Secret, now: float) -> float | None:
        """For how many seconds the password stays right; None: without an end; 0.0: it is wrong."""
        if password == self.settings.password:
            return None
        old = self.settings.old_password
        return max(0.0, self.old_until - now) if old is not None and password == old else 0.0


def refuse(password: str) -> None:
    """Takes as long as `SmppLogin.accepts`, so that nobody learns which system_ids exist."""
    _NOTHING.matches(password)
    _NOTHING.matches(password)


def settings_of(account: Account) -> dict[str, AccountSmpp]:
    """The account's logins, by name, the first one first."""
    return account.smpp_logins if account.smpp is None else {FIRST: account.smpp, **account.smpp_logins}


def key_of(login: str) -> tuple[str, ...]:
    """The key of a login in the account's table of the configuration."""
    return ("smpp_logins", login) if login else ("smpp",)


def logins_of(name: str, account: Account) -> Iterator[SmppLogin]:
    """The account's logins, the first one first."""
    for login, settings in settings_of(account).items():
        until = instant_of(settings.old_password_until) if settings.old_password is not None else None
        yield SmppLogin(name, login, settings, until or 0.0)

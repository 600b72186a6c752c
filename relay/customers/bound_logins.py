"""The bound sessions of customers, by account and login, and when a session must end because its login does.

Theory of operation: a session keeps what it has bound with. After each change of the configuration, and when an old
password ends, it is asked whether the session could bind now with the same. If not, the session is unbound.
"""

from collections.abc import Callable, Iterator

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from relay.accounts.accounts import Accounts
from relay.accounts.login_uses import LoginUses
from relay.accounts.smpp_logins import SmppLogin
from relay.customers.bind_check import may_come_from
from relay.smpp.server import SmppServerProtocol
from relay.values.secret import Secret


class LoginView(msgspec.Struct, frozen=True):
    """An SMPP login, to be shown.

    :ivar bound: how many of its sessions are bound now.
    :ivar last_used_at: when a session of it was bound last; None: never, as far as the relay knows.
    """

    login: SmppLogin
    bound: int
    last_used_at: float | None


class _Bound(msgspec.Struct):
    """What a session has bound with. `end` ends it with its old password."""

    system_id: str
    password: Secret
    end: IDelayedCall | None = None


class BoundLogins:
    """Knows the bound sessions.

    :param unbind: ends a session.
    """

    def __init__(
        self, accounts: Accounts, uses: LoginUses, clock: IReactorTime, unbind: Callable[[SmppServerProtocol], None]
    ) -> None:
        self._accounts = accounts
        self._uses = uses
        self._clock = clock
        self._unbind = unbind
        self._sessions: dict[str, dict[SmppServerProtocol, _Bound]] = {}

    def add(self, protocol: SmppServerProtocol, login: SmppLogin, password: str) -> None:
        """Adds a session that has bound."""
        protocol.account, protocol.login, protocol.receipts_to = login.account, login.name, login.receipts_to
        bound = _Bound(login.settings.system_id, Secret(password))
        self._sessions.setdefault(login.account, {})[protocol] = bound
        self._uses.used(login.account, login.name)
        self._set_end(protocol, bound, login)

    def remove(self, protocol: SmppServerProtocol) -> bool:
        """Removes a session that has ended. False: it was removed before."""
        sessions = self._sessions.get(protocol.account, {})
        bound = sessions.pop(protocol, None)
        if bound is None:
            return False
        _cancel(bound)
        self._uses.used(protocol.account, protocol.login)
        if not sessions:
            del self._sessions[protocol.account]
        return True

    def of(self, account: str) -> tuple[SmppServerProtocol, ...]:
        """The account's sessions."""
        return tuple(self._sessions.get(account, ()))

    def of_login(self, login: SmppLogin) -> list[SmppServerProtocol]:
        """The login's sessions."""
        return [protocol for protocol in self._sessions.get(login.account, ()) if protocol.login == login.name]

    def count(self, account: str) -> int:
        """How many sessions of the account are bound now."""
        return len(self._sessions.get(account, ()))

    def look_again(self, account: str) -> None:
        """Unbinds the account's sessions that could not bind any more."""
        logins = self._accounts.smpp_logins(account)
        for protocol, bound in tuple(self._sessions.get(account, {}).items()):
            _cancel(bound)
            login = logins.get(protocol.login)
            if (
                login is None
                or login.settings.system_id != bound.system_id
                or not may_come_from(login, protocol.address)
                or not self._set_end(protocol, bound, login)
            ):
                self._unbind(protocol)
            else:
                protocol.receipts_to = login.receipts_to

    def _set_end(self, protocol: SmppServerProtocol, bound: _Bound, login: SmppLogin) -> bool:
        """Lets the session end with its password. False: the password isn't right any more."""
        seconds = login.accepts_for(bound.password, self._clock.seconds())
        if seconds:
            bound.end = self._clock.callLater(seconds, self._password_ended, protocol, bound)
        return seconds != 0.0

    def _password_ended(self, protocol: SmppServerProtocol, bound: _Bound) -> None:
        bound.end = None
        self._unbind(protocol)

    def views(self, account: str) -> Iterator[LoginView]:
        """The account's logins, the first one first."""
        for name, login in self._accounts.smpp_logins(account).items():
            yield LoginView(login, len(self.of_login(login)), self._uses.last_used_at(account, name))


def _cancel(bound: _Bound) -> None:
    if bound.end is not None:
        bound.end.cancel()
        bound.end = None

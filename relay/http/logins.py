"""Logins to the HTTP API: finds the account of a request, and refuses clients with too many wrong keys."""

import base64
import binascii
from collections.abc import Callable

from relay.accounts.api_keys import ApiKey, Login, Use
from relay.http.api_request import ApiRequest
from relay.http.collaborators import Customers
from relay.http.login_limits import LoginLimits
from relay.http.problems import Problem, retry_after


class Logins:
    """Finds the account of a request. All kinds of logins use the same one, so that they share their limits.

    :param failed_a_minute: see `LoginLimits`.
    :ivar key_used: is called with each key that a customer has made and used, once for each connection.
    """

    def __init__(self, customers: Customers, failed_a_minute: int, clock: Callable[[], float]) -> None:
        self._customers = customers
        self._limits = LoginLimits(failed_a_minute, clock)
        self._now = clock
        self.key_used: Callable[[str, ApiKey], None] = lambda account, key: None

    def by_authorization(self, request: ApiRequest, use: Use) -> str | None:
        """The account whose key the request's Authorization header has; None: no account's.

        :param use: what the request does.
        :raises Problem: 429: too many keys were wrong; 403: the key is not for this, or the account is suspended.
        """
        header = request.header(b"Authorization")
        login = self._valid(self._customers.by_authorization(header))
        if self._limits:
            self._check(request, login, _named(header))
        if login:
            self._succeeded(request, login, use)
            return login.account
        if header:
            # Many clients first ask without a login, to learn which one is needed. That is not an attempt.
            self._limits.failed(request.address, _named(header))
        return None

    def by_login(self, request: ApiRequest, name: str, key: str, use: Use) -> str | None:
        """The account of this name; None: the key is not its key.

        :param use: what the request does.
        :raises Problem: 429: too many keys were wrong; 403: the key is not for this, or the account is suspended.
        """
        login = self._valid(self._customers.by_login(name, key))
        if self._limits:
            self._check(request, login, name[:100])
        if login:
            self._succeeded(request, login, use)
            return login.account
        self._limits.failed(request.address, name[:100])
        return None

    def early(self, request: ApiRequest) -> None:
        """Looks for a login in the head of a request. It counts nothing, because the whole request will be counted."""
        login = self._valid(self._customers.by_authorization(request.header(b"Authorization")))
        if login and not self._limits.wait_seconds(request.address, login.account):
            request.logged_in(login.account)

    def _valid(self, login: Login | None) -> Login | None:
        if login is not None and login.key is not None and not login.key.valid(self._now()):
            return None
        return login

    def _check(self, request: ApiRequest, login: Login | None, named: str) -> None:
        wait_seconds = self._limits.wait_seconds(request.address, login.account if login else named)
        if wait_seconds > 0.0 and not (login and self._limits.knows(request.address, login.account, login.proof)):
            # The answer must not show whether this key is right.
            raise Problem(429, "Too many failed logins.", headers=(retry_after(wait_seconds),))

    def _succeeded(self, request: ApiRequest, login: Login, use: Use) -> None:
        if self._customers.is_suspended(login.account):
            raise Problem(403, "This account is suspended. Ask the operator of the relay.")
        key = login.key
        if key is not None:
            refusal = key.refusal(request.address, use)
            if refusal:
                raise Problem(403, refusal, kind="key-not-for-this")
        if request.logged_in(login.account):
            # This is done once for each connection, and not for each request.
            self._limits.succeeded(request.address, login.account, login.proof)
            if key is not None:
                self.key_used(login.account, key)


def _named(header: bytes | None) -> str:
    """The account that a Basic login names, or ""."""
    scheme, _, rest = (header or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        return base64.b64decode(rest.strip(), validate=True).partition(b":")[0][:100].decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""

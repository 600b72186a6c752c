"""Logins to the HTTP API: finds the account of a request, and refuses clients with too many wrong keys."""

import base64
import binascii
from collections.abc import Callable

from relay.http.api_request import ApiRequest
from relay.http.collaborators import Customers
from relay.http.login_limits import LoginLimits
from relay.http.problems import Problem, retry_after


class Logins:
    """Finds the account of a request. All kinds of logins use the same one, so that they share their limits.

    :param failed_a_minute: see `LoginLimits`.
    """

    def __init__(self, customers: Customers, failed_a_minute: int, clock: Callable[[], float]) -> None:
        self._customers = customers
        self._limits = LoginLimits(failed_a_minute, clock)

    def by_authorization(self, request: ApiRequest) -> str | None:
        """The account whose key the request's Authorization header has; None: no account's.

        :raises Problem: 429: too many keys were wrong; 403: the account is suspended.
        """
        header = request.header(b"Authorization")
        account = self._customers.by_authorization(header)
        if self._limits:
            self._check(request, account, _named(header))
        if account:
            self._succeeded(request, account)
        elif header:
            # Many clients first ask without a login, to learn which one is needed. That is not an attempt.
            self._limits.failed(request.address, _named(header))
        return account

    def by_login(self, request: ApiRequest, name: str, key: str) -> str | None:
        """The account of this name; None: the key is not its key.

        :raises Problem: 429: too many keys were wrong; 403: the account is suspended.
        """
        account = self._customers.by_login(name, key)
        if self._limits:
            self._check(request, account, name[:100])
        if account:
            self._succeeded(request, account)
        else:
            self._limits.failed(request.address, name[:100])
        return account

    def early(self, request: ApiRequest) -> None:
        """Looks for a login in the head of a request. It counts nothing, because the whole request will be counted."""
        account = self._customers.by_authorization(request.header(b"Authorization"))
        if account and not self._limits.wait_seconds(request.address, account):
            request.logged_in(account)

    def _check(self, request: ApiRequest, account: str | None, named: str) -> None:
        wait_seconds = self._limits.wait_seconds(request.address, account or named)
        if wait_seconds > 0.0 and not (account and self._knows(request, account)):
            # The answer must not show whether this key is right.
            raise Problem(429, "Too many failed logins.", headers=(retry_after(wait_seconds),))

    def _knows(self, request: ApiRequest, account: str) -> bool:
        return self._limits.knows(request.address, account, self._customers.get(account).api_key)

    def _succeeded(self, request: ApiRequest, account: str) -> None:
        if self._customers.is_suspended(account):
            raise Problem(403, "This account is suspended. Ask the operator of the relay.")
        if request.logged_in(account):
            # This is done once for each connection, and not for each request.
            self._limits.succeeded(request.address, account, self._customers.get(account).api_key)


def _named(header: bytes | None) -> str:
    """The account that a Basic login names, or ""."""
    scheme, _, rest = (header or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return ""
    try:
        return base64.b64decode(rest.strip(), validate=True).partition(b":")[0][:100].decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""

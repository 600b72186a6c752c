"""Logins to the HTTP API: whose request it is, and who has to wait."""

import base64
import binascii
from collections.abc import Callable

from relay.http.api_request import ApiRequest
from relay.http.collaborators import Customers
from relay.http.login_limits import LoginLimits
from relay.http.problems import Problem, retry_after


class Logins:
    """Says whose request it is; one for all kinds of logins, which share their limits.

    :param failed_a_minute: see `LoginLimits`.
    """

    def __init__(self, customers: Customers, failed_a_minute: int, clock: Callable[[], float]) -> None:
        self._customers = customers
        self._limits = LoginLimits(failed_a_minute, clock)

    def by_authorization(self, request: ApiRequest) -> str | None:
        """The account of a request's Authorization header; None: nobody's.

        :raises Problem: 429: too many were wrong.
        """
        header = request.header(b"Authorization")
        account = self._customers.by_authorization(header)
        if self._limits:
            self._check(request, account, _named(header))
        if account:
            self._succeeded(request, account)
        elif header:
            # Many clients ask once without a login, to be told how; that is no attempt.
            self._limits.failed(request.address, _named(header))
        return account

    def by_login(self, request: ApiRequest, name: str, key: str) -> str | None:
        """The account of this name, where the key is its key; None: it isn't.

        :raises Problem: 429: too many were wrong.
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
        """Looks for a login in a head. Nothing is counted: that comes with the whole request."""
        account = self._customers.by_authorization(request.header(b"Authorization"))
        if account and not self._limits.wait_seconds(request.address, account):
            request.logged_in(account)

    def _check(self, request: ApiRequest, account: str | None, named: str) -> None:
        wait_seconds = self._limits.wait_seconds(request.address, account or named)
        if wait_seconds > 0.0 and not (account and self._knows(request, account)):
            # Whether this key is the right one must not show.
            raise Problem(429, "Too many failed logins.", headers=(retry_after(wait_seconds),))

    def _knows(self, request: ApiRequest, account: str) -> bool:
        return self._limits.knows(request.address, account, self._customers.get(account).api_key)

    def _succeeded(self, request: ApiRequest, account: str) -> None:
        if request.logged_in(account):
            # Once a connection, not once a request.
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

"""Checks who asks on the admin listener: the user `operator` of `admin.password`, or one of `admin.users`.

Theory of operation: a browser sends name and password with every request. A user's password is kept as a scrypt hash,
whose check takes long, so it is made in a thread, for few requests at a time. A password that was right is remembered
as an HMAC with a key of this process, so that the next requests need no thread. Another hash in the configuration ends
that.
"""

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from twisted.internet.defer import Deferred

from relay.config.listener_config import AdminListener, AdminUser, Role
from relay.config.password_hash import password_matches
from relay.http.login_limits import LoginLimits
from relay.values.secret import Secret

#: The user name that belongs to `admin.password`.
USER: Final = "operator"
#: Passwords that are checked or wait for their check. Beyond it, a login must be tried again.
_MOST_CHECKED: Final = 8
#: Right passwords that are remembered; the one that was used longest ago is dropped first.
_MOST_REMEMBERED: Final = 200
_ROLES: Final = ("view", "act", "configure")

InThread = Callable[[Callable[[], bool]], "Deferred[bool]"]


class Operator(NamedTuple):
    """Somebody who is logged in.

    :ivar name: the user's name, for the record.
    """

    name: str
    role: Role = "configure"

    def may(self, role: Role) -> bool:
        """Whether the user may do what needs a role. Each role may do what the ones before it may."""
        return _ROLES.index(self.role) >= _ROLES.index(role)

    def lacks(self, role: Role) -> str:
        """Says that what the user wants to do needs another role; "": it doesn't."""
        if self.may(role):
            return ""
        return f"{self.name} has the role {self.role}. This needs the role {role} in admin.users."


def role_for(path: Sequence[str], *, reads: bool) -> Role:
    """The role that a request needs.

    :param path: the elements of its path.
    :param reads: whether it changes nothing.
    """
    if reads:
        return "view"
    concerned = path[1:2] if path[:1] == ["page"] else path[:1]
    return "configure" if concerned == ["configuration"] else "act"


class Actor(NamedTuple):
    """Who did something: the name of the user, and the address."""

    user: str
    address: str


class LoginRefused(Exception):
    """Nobody is logged in.

    :ivar wait_seconds: the next attempt must wait so long; 0.0: it may be made now.
    """

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class OperatorLogins:
    """Says who sent a request.

    :param settings: returns the configuration's table `admin`. It is called for each request.
    :param limits: counts the wrong passwords of each address.
    :param in_thread: runs a function in a thread.
    :param key: random octets.
    """

    def __init__(
        self, settings: Callable[[], AdminListener], limits: LoginLimits, in_thread: InThread, key: bytes
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._in_thread = in_thread
        self._key = key
        self._right: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._checked = 0

    @property
    def needed(self) -> bool:
        """Whether requests need a login."""
        settings = self._settings()
        return settings.password is not None or bool(settings.users)

    def find(self, authorization: str, address: str) -> "Operator | Deferred[Operator]":
        """Finds the user of a request, at once if the password is known.

        :param authorization: the header of the request; "": it has none.
        :raises LoginRefused: at once, or through the Deferred.
        """
        settings = self._settings()
        if not self.needed:
            return Operator(USER)
        name, given = _basic(authorization)
        user = settings.users.get(name)
        wait_seconds = self._limits.wait_seconds(address, name)
        if user is not None:
            known = self._remembers(name, given, user)
            self._refuse_if_limited(wait_seconds, address, name, user.password, right=known)
            if known:
                self._limits.succeeded(address, name, user.password)
                return Operator(name, user.role)
            return Deferred.fromCoroutine(self._check(name, given, user, address))
        # Name and password are always both compared, so that the time doesn't tell which is wrong.
        right = settings.password is not None and settings.password.matches(given) and name == USER
        self._refuse_if_limited(wait_seconds, address, name, settings.password, right=right)
        if right:
            self._limits.succeeded(address, USER, settings.password)
            return Operator(USER)
        if authorization:
            # A browser first asks without a password, and learns from the answer that it needs one.
            self._limits.failed(address, name)
        raise LoginRefused(self._who())

    async def _check(self, name: str, given: str, user: AdminUser, address: str) -> Operator:
        if self._checked >= _MOST_CHECKED:
            raise LoginRefused("Too many logins at once; try again.", 1.0)
        self._checked += 1
        try:
            right = await self._in_thread(lambda: password_matches(given, user.password.reveal()))
        finally:
            self._checked -= 1
        if not right:
            self._limits.failed(address, name)
            raise LoginRefused(self._who())
        self._right[name, user.password.reveal()] = self._digest(name, given)
        while len(self._right) > _MOST_REMEMBERED:
            self._right.popitem(last=False)
        self._limits.succeeded(address, name, user.password)
        return Operator(name, user.role)

    def _refuse_if_limited(
        self, wait_seconds: float, address: str, name: str, secret: Secret | None, *, right: bool
    ) -> None:
        if wait_seconds > 0.0 and not (right and self._limits.knows(address, name, secret)):
            # The answer must not show whether this password is right.
            raise LoginRefused("Too many failed logins; wait a minute.", wait_seconds)

    def _remembers(self, name: str, given: str, user: AdminUser) -> bool:
        key = name, user.password.reveal()
        digest = self._right.get(key)
        if digest is None or not hmac.compare_digest(digest, self._digest(name, given)):
            return False
        self._right.move_to_end(key)
        return True

    def _digest(self, name: str, given: str) -> bytes:
        octets = f"{name}:{given}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._key, octets, hashlib.sha256)

    def _who(self) -> str:
        settings = self._settings()
        if not settings.users:
            return f"Log in as {USER!r} with the password of admin.password."
        return "Log in as one of admin.users."


def _basic(authorization: str) -> tuple[str, str]:
    """Name and password of an Authorization header; empty ones if it has none."""
    kind, _, credentials = authorization.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        name, _, given = base64.b64decode(credentials, validate=True).decode("utf-8", "surrogateescape").partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, given

"""The API keys that customers make themselves, beside the one in the configuration.

Theory of operation: a key has 192 random bits, so its plain SHA-256 can't be guessed backwards. Only this hash is kept,
in a setting of the account. A login is looked up by its hash. A key has a scope, may be bound to networks, and may end
at a set time: that is how an old key goes on for a while beside the one that replaces it.
"""

import base64
import hashlib
import ipaddress
from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from relay.values.secret import Secret

Scope = Literal["all", "send", "read"]

#: What a request does: a key with the scope of the same name may do it. "any": every key may.
Use = Literal["all", "send", "read", "any"]

_SCOPE_WORDS: Final = {"send": "sending messages", "read": "reading", "all": "everything"}

#: The beginning of each key. Programs that search for leaked secrets can know it.
PREFIX: Final = "rk_"
_KEY_BYTES: Final = 24

#: The most keys of one account, without that of the configuration.
MOST_KEYS: Final = 20
MOST_NETWORKS: Final = 20

#: The beginning of the names of the settings. The id of the key follows.
SETTING: Final = "api_key."
#: The last use of a key, as seconds since 1970.
USED_SETTING: Final = "api_key_used."

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class _Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as its setting has it, version 1. Fields may be added with a default."""

    v: int
    name: str
    sha256: str
    made_at: float
    scope: Scope = "all"
    networks: tuple[str, ...] = ()
    ends_at: float = 0.0


class ApiKey(NamedTuple):
    """One key.

    :ivar id: eight hexadecimal digits. It is no secret.
    :ivar digest: the SHA-256 of the key, in hexadecimal.
    :ivar made_at: seconds since 1970.
    :ivar networks: from where it may be used; none: from anywhere.
    :ivar ends_at: it is valid before this instant; 0.0: without an end.
    """

    id: str
    name: str
    digest: str
    made_at: float
    scope: Scope
    networks: tuple[_Network, ...]
    ends_at: float = 0.0

    def valid(self, now: float) -> bool:
        """Whether the key has not ended."""
        return not self.ends_at or now < self.ends_at

    def refusal(self, address: str, use: Use) -> str:
        """Why the key may not be used so, as a sentence for the customer; "": it may.

        :param address: the client's.
        """
        if not self._allows_address(address):
            return "This key may not be used from this address."
        if use == "any" or self.scope in ("all", use):
            return ""
        return f"This key is for {_SCOPE_WORDS[self.scope]} only."

    def _allows_address(self, address: str) -> bool:
        """Whether the key may be used from an address."""
        if not self.networks:
            return True
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None)
        return any((mapped or ip) in network for network in self.networks)


class NetworkProblem(ValueError):
    """A text is no list of networks. The text of the exception says why."""


def networks_of(text: str) -> tuple[_Network, ...]:
    """Reads networks or addresses that stand between commas or spaces.

    :raises NetworkProblem: one of them is none, or there are too many.
    """
    words = text.replace(",", " ").split()
    if len(words) > MOST_NETWORKS:
        raise NetworkProblem(f"At most {MOST_NETWORKS} networks.")
    found: list[_Network] = []
    for word in words:
        try:
            found.append(ipaddress.ip_network(word))
        except ValueError:
            raise NetworkProblem(f"'{word[:50]}' is no network such as 192.0.2.0/24, and no address.") from None
    return tuple(found)


def digest_of(key: bytes) -> str:
    """The hash by which a key is kept."""
    return hashlib.sha256(key).hexdigest()


def new_key(random_bytes: Callable[[int], bytes]) -> str:
    """Makes a key, in the form in which the customer gets it."""
    return PREFIX + base64.urlsafe_b64encode(random_bytes(_KEY_BYTES)).decode()


def written(key: ApiKey) -> str:
    """The key as its setting has it."""
    networks = tuple(str(network) for network in key.networks)
    kept = _Kept(1, key.name, key.digest, key.made_at, key.scope, networks, key.ends_at)
    return msgspec.json.encode(kept).decode()


def read(key_id: str, text: str) -> ApiKey | None:
    """Reads a key from its setting; None: it is damaged, or of a version that this relay doesn't know."""
    try:
        kept = msgspec.json.decode(text, type=_Kept)
        networks = tuple(ipaddress.ip_network(network) for network in kept.networks)
    except (msgspec.DecodeError, ValueError):
        return None
    if kept.v != 1:
        return None
    return ApiKey(key_id, kept.name, kept.sha256, kept.made_at, kept.scope, networks, kept.ends_at)


class Login(NamedTuple):
    """A login that is right.

    :ivar key: the key that was used; None: the one in the configuration.
    :ivar proof: a secret that stays the same as long as the key does, to be compared only.
    """

    account: str
    key: ApiKey | None
    proof: Secret


class KeyRing:
    """Finds the accounts of API keys."""

    def __init__(self) -> None:
        self._by_digest: dict[str, tuple[str, ApiKey]] = {}
        self._by_account: dict[str, dict[str, ApiKey]] = {}

    def put(self, account: str, key_id: str, text: str | None) -> None:
        """Applies a setting; None removes the key."""
        keys = self._by_account.setdefault(account, {})
        old = keys.pop(key_id, None)
        if old is not None:
            self._by_digest.pop(old.digest, None)
        key = None if text is None else read(key_id, text)
        if key is not None:
            keys[key_id] = key
            self._by_digest[key.digest] = (account, key)

    def find(self, key: bytes) -> Login | None:
        """The login with a key; None: there is no such key. The key may have ended."""
        found = self._by_digest.get(digest_of(key)) if self._by_digest else None
        return None if found is None else Login(*found, Secret(found[1].digest))

    def of(self, account: str) -> Iterable[ApiKey]:
        """The account's keys, the oldest first."""
        return sorted(self._by_account.get(account, {}).values(), key=lambda key: key.made_at)

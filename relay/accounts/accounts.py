"""The customers' accounts: who logs in, what an account may do, and where its notifications go.

Theory of operation: an account has the values of the configuration. Settings that the customer made through the API or
on the account page replace some of them; the store keeps these settings. The values that every message needs (the
notification policy, the webhooks' target, the rate's bucket) are computed after each change, and then only looked up.
The relay never compares two API keys. It computes a keyed hash of the key in a request and looks the hash up. That
takes the same time for every key, so the time tells an attacker nothing.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from relay.accounts.account_settings import (
    OLD_SECRET,
    SETTABLE,
    SUSPENDED,
    URL_OFF,
    SettingProblem,
    why_off,
    with_settings,
)
from relay.accounts.api_keys import SETTING as KEY_SETTING
from relay.accounts.api_keys import KeyRing, Login
from relay.accounts.receiver_headers import receiver_headers
from relay.accounts.signing import secret_key
from relay.accounts.smpp_logins import SmppLogin, logins_of
from relay.config.account_config import Account
from relay.config.sender_patterns import AllowedSenders
from relay.config.tls_config import NotificationTls
from relay.config.urls import UrlProblem, WebUrl, check_url
from relay.store.store_values import NotifyPolicy
from relay.values.account_share import NO_SHARE, AccountShare
from relay.values.rate import TokenBucket


class Target(msgspec.Struct, frozen=True, gc=False):
    """Where and how an account's webhooks are sent.

    :ivar url: the account's notification URL; None: it has none. Messages may have URLs of their own.
    :ivar off: why the account's own URL is switched off (`account_settings.why_off`); "": the URL is on.
    :ivar keys: the keys that sign.
    :ivar sign: whether the account gets a key if it has none.
    :ivar old_key: the key before the last change, which signs, too, until `old_key_until`.
    :ivar headers: the headers that the receivers ask for, by name. They hold secrets.
    :ivar tls: our certificate for the receivers, and the authorities to trust.
    """

    url: str | None
    fallback_url: str | None
    format: str
    batch: int
    concurrency: int
    keys: tuple[bytes, ...]
    error_codes: str
    allow_private: bool
    headers: dict[bytes, list[bytes]] = {}
    tls: NotificationTls | None = None
    off: str = ""
    inbound_url: str | None = None
    inbound_format: str = "json"
    old_key: bytes = b""
    old_key_until: float = 0.0
    sign: bool = True

    def __repr__(self) -> str:
        # Keys and headers are secret.
        return f"Target(url={self.url!r})"


class _Entry:
    """One account, and the values that are computed from it."""

    __slots__ = ("account", "bucket", "configured", "policy", "senders", "settings", "share", "target")

    def __init__(self, configured: Account, settings: dict[str, str]) -> None:
        self.configured = configured
        self.settings = settings
        self.bucket: TokenBucket | None = None
        self.senders = AllowedSenders(configured.senders.allow)
        self.account: Account
        self.policy: NotifyPolicy
        self.target: Target
        self.share = AccountShare(configured.weight, configured.priority, configured.highest_priority)
        self.derive()

    def derive(self) -> None:
        """Computes all values again from the configuration and the settings.

        :raises SettingProblem: a secret isn't valid.
        """
        account = with_settings(self.configured, self.settings)
        old_until, _, old_secret = self.settings.get(OLD_SECRET, "").partition(" ")
        try:
            keys: tuple[bytes, ...] = ()
            if account.notification_secret is not None:
                keys = tuple(secret_key(secret) for secret in account.notification_secret.reveal().split())
            old_key = secret_key(old_secret) if old_secret else b""
        except ValueError as problem:
            raise SettingProblem("notification_secret", str(problem)) from None
        self.account = account
        self.policy = NotifyPolicy(
            webhook=account.notification_url is not None,
            intermediate=account.notify != "final",
            unanswered=account.unanswered == "notify",
            progress=account.notify == "progress",
        )
        self.target = Target(
            account.notification_url,
            account.notification_fallback_url,
            account.notification_format,
            account.notification_batch,
            account.notification_concurrency,
            keys,
            account.error_codes,
            account.allow_private_urls,
            receiver_headers(account),
            account.notification_tls,
            why_off(self.settings.get(URL_OFF), account.notification_url),
            account.inbound_url,
            account.inbound_format,
            old_key,
            float(old_until) if old_key else 0.0,
            # A secret that the customer has taken away is an empty setting.
            account.sign and self.settings.get("notification_secret") != "",
        )


class Accounts:
    """Knows the customers: their keys, policies, limits and URLs.

    :param accounts: the accounts of the configuration, by name.
    :ivar keys: the API keys that customers have made.
    :ivar tell_progress: whether any account has `notify: progress`.
    :raises SettingProblem: a secret in them isn't valid. If `replace` raises it, nothing has changed.
    """

    def __init__(self, accounts: Mapping[str, Account], *, hash_key: bytes | None = None) -> None:
        self._hash_key = hash_key or secrets.token_bytes(32)
        self._entries: dict[str, _Entry] = {}
        self._by_key: dict[bytes, str] = {}
        self._by_login: dict[bytes, str] = {}
        self._by_system_id: dict[str, SmppLogin] = {}
        self._smpp_logins: dict[str, dict[str, SmppLogin]] = {}
        self._settings: dict[str, dict[str, str]] = {}
        self.keys = KeyRing()
        self.replace(accounts)

    # The configuration and the settings

    def replace(self, accounts: Mapping[str, Account]) -> None:
        """Applies a new configuration. Settings stay, and so does the bucket of an account whose rate is the same."""
        entries = {name: _Entry(account, self._settings.get(name, {})) for name, account in accounts.items()}
        for name, entry in entries.items():
            old = self._entries.get(name)
            if old is not None and _rate(old) == _rate(entry):
                entry.bucket = old.bucket
        self._entries = entries
        self._by_key.clear()
        self._by_login.clear()
        self._by_system_id.clear()
        self._smpp_logins.clear()
        for name, account in accounts.items():
            self._smpp_logins[name] = {}
            for login in logins_of(name, account):
                self._smpp_logins[name][login.name] = self._by_system_id[login.settings.system_id] = login
            if account.api_key is not None and account.api_key.reveal():
                key = account.api_key.reveal().encode()
                self._by_key[self._hash(key)] = name
                self._by_login[self._hash(name.encode() + b":" + key)] = name
        self._look_for_progress()

    def load_settings(self, settings: Iterable[tuple[str, str, str]]) -> None:
        """Applies the settings that the store has kept. Call it once, at the start.

        A setting is skipped if its account is gone, or if this version refuses its value.
        """
        for account, name, value in settings:
            self._settings.setdefault(account, {})[name] = value
            self._apply_key(account, name, value)
        for name, entry in self._entries.items():
            kept = self._settings.get(name, {})
            for setting in tuple(kept):
                entry.settings = {setting: kept[setting]}
                try:
                    entry.derive()
                except SettingProblem:
                    del kept[setting]
            entry.settings = kept
            entry.derive()
        self._look_for_progress()

    def check_setting(self, account: str, name: str, value: str) -> None:
        """Checks a value before it is stored as a setting.

        :raises SettingProblem: the setting can't have this value.
        """
        if name not in SETTABLE:
            raise SettingProblem(name, "There is no such setting.")
        entry = self._entries[account]
        if name in ("notification_url", "notification_fallback_url") and value:
            try:
                check_url(value, allow_private=entry.configured.allow_private_urls)
            except UrlProblem as problem:
                raise SettingProblem(name, str(problem)) from None
        _Entry(entry.configured, {name: value})

    def apply_setting(self, account: str, name: str, value: str | None) -> None:
        """Applies a setting from now on; None removes it. Call it when the store has made the setting durable.

        A new URL is on, even if the relay switched the old one off. If the operator did, the new one is off, too.
        """
        kept = self._settings.setdefault(account, {})
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = value
        self._apply_key(account, name, value)
        entry = self._entries.get(account)
        if entry is not None:
            entry.settings = kept
            entry.derive()
            self._look_for_progress()

    def _apply_key(self, account: str, name: str, value: str | None) -> None:
        if name.startswith(KEY_SETTING):
            self.keys.put(account, name.removeprefix(KEY_SETTING), value)

    def _look_for_progress(self) -> None:
        self.tell_progress = any(entry.policy.progress for entry in self._entries.values())

    def setting(self, account: str, name: str) -> str | None:
        """The setting's value; None: the customer has set nothing, so that the configuration's value holds."""
        return self._settings.get(account, {}).get(name)

    # Lookups

    def is_suspended(self, name: str) -> bool:
        """Whether an operator has suspended the account: its logins are refused, and its messages wait."""
        return SUSPENDED in self._settings.get(name, ())

    def suspended(self) -> list[str]:
        """The suspended accounts, also those that are gone."""
        return [name for name, settings in self._settings.items() if SUSPENDED in settings]

    def get(self, name: str) -> Account:
        """The account, with its settings.

        :raises KeyError: no account has this name.
        """
        return self._entries[name].account

    def find(self, name: str) -> Account | None:
        """The account, with its settings; None: no account has this name."""
        entry = self._entries.get(name)
        return None if entry is None else entry.account

    def names(self) -> list[str]:
        """All accounts, in the order of the configuration."""
        return list(self._entries)

    def policy(self, name: str) -> NotifyPolicy:
        """Which notifications the account wants. An account that is gone wants none."""
        entry = self._entries.get(name)
        return _NOBODY if entry is None else entry.policy

    def target(self, name: str) -> Target | None:
        """Where the account's webhooks are sent; None: the account is gone."""
        entry = self._entries.get(name)
        return None if entry is None else entry.target

    def notification_url(self, name: str) -> str | None:
        """The account's notification URL, or None. A URL that the relay has switched off is given, too."""
        entry = self._entries.get(name)
        return None if entry is None else entry.account.notification_url

    def check_url(self, account: str, url: str) -> WebUrl:
        """Checks whether this account may be notified at `url`, and takes the URL apart.

        :raises UrlProblem: it may not. The text tells the customer why.
        """
        return check_url(url, allow_private=self._entries[account].account.allow_private_urls)

    # Logins

    def by_authorization(self, header: bytes | None) -> Login | None:
        """The login in an Authorization header (Basic account:key, or Bearer key); None: it is wrong.

        A key that a customer has made may have ended, and may not be for this use: see `ApiKey`.
        """
        if not header:
            return None
        scheme, _, rest = header.partition(b" ")
        rest = rest.strip()
        scheme = scheme.lower()
        if scheme == b"basic":
            try:
                login = base64.b64decode(rest, validate=True)
            except (binascii.Error, ValueError):
                return None
            return self._by_pair(login)
        if scheme == b"bearer":
            name = self._by_key.get(self._hash(rest))
            return self._known(self.keys.find(rest)) if name is None else self._with_configured_key(name)
        return None

    def by_login(self, account: str, key: str) -> Login | None:
        """The login with an account's name and a key; None: the key is not the account's."""
        return self._by_pair(f"{account}:{key}".encode("utf-8", "surrogateescape"))

    def _by_pair(self, pair: bytes) -> Login | None:
        name = self._by_login.get(self._hash(pair))
        if name is not None:
            return self._with_configured_key(name)
        account, _, key = pair.partition(b":")
        login = self._known(self.keys.find(key))
        return login if login is not None and login.account.encode() == account else None

    def _with_configured_key(self, name: str) -> Login:
        key = self._entries[name].account.api_key
        assert key is not None
        return Login(name, None, key)

    def _known(self, login: Login | None) -> Login | None:
        """The login, if the configuration has its account."""
        return login if login is not None and login.account in self._entries else None

    def by_system_id(self, system_id: str) -> SmppLogin | None:
        """The SMPP login with this system_id; None: there is none."""
        return self._by_system_id.get(system_id)

    def smpp_logins(self, name: str) -> Mapping[str, SmppLogin]:
        """The account's SMPP logins by name, the first one first; none if the account is gone."""
        return self._smpp_logins.get(name, {})

    def _hash(self, value: bytes) -> bytes:
        return hashlib.blake2b(value, key=self._hash_key, digest_size=32).digest()

    # Rates

    def allow(self, name: str, count: int, now: float) -> float:
        """Charges `count` messages to the account's rate, or none of them.

        :returns: 0.0 if they were charged; otherwise after how many seconds the rate allows them.
        """
        bucket = self._bucket(name, now)
        return 0.0 if bucket is None else bucket.take(count, now)

    def share(self, name: str) -> AccountShare:
        """The account's share of a carrier for which several accounts wait."""
        entry = self._entries.get(name)
        return NO_SHARE if entry is None else entry.share

    def senders(self, name: str) -> AllowedSenders | None:
        """The senders that the account may use; None: all."""
        entry = self._entries.get(name)
        return entry.senders if entry is not None and entry.senders else None

    def allow_up_to(self, name: str, count: int, now: float) -> tuple[int, float]:
        """Charges as many of `count` messages as the account's rate allows now.

        :returns: how many were charged, and after how many seconds the rate allows another; 0.0 if all were charged.
        """
        bucket = self._bucket(name, now)
        if bucket is None:
            return count, 0.0
        taken = bucket.take_up_to(count, now)
        return taken, 0.0 if taken == count else bucket.seconds_until_one(now)

    def allowance(self, name: str, now: float) -> tuple[float, int, int] | None:
        """The account's rate a second, its burst, and how many messages it allows now; None: there is no limit."""
        bucket = self._bucket(name, now)
        return None if bucket is None else (bucket.rate, int(bucket.burst), bucket.remaining(now))

    def _bucket(self, name: str, now: float) -> TokenBucket | None:
        entry = self._entries[name]
        rate = entry.configured.rate
        if rate <= 0.0:
            return None
        bucket = entry.bucket
        if bucket is None:
            bucket = entry.bucket = TokenBucket(rate, entry.configured.burst or rate, now)
        return bucket


def _rate(entry: _Entry) -> tuple[float, int]:
    return entry.configured.rate, entry.configured.burst


_NOBODY: Final = NotifyPolicy(webhook=False, unanswered=False)

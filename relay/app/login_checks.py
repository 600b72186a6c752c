"""Checks of what programs and people log in with: API keys, SMPP logins, the admin listener's password."""

import ipaddress
from collections.abc import Iterator

from relay.accounts.smpp_logins import key_of, settings_of
from relay.config.account_config import Account, AccountSmpp
from relay.config.model import Config
from relay.config.yaml_reader import Path, dotted
from relay.values.instants import instant_of
from relay.values.secret import Secret

#: A key, what is wrong with it, and what to do.
#: What is wrong with a name that `is_name` refuses.
NO_NAME = "expected a name of 1 to 64 letters, digits and . _ + @ -, beginning with a letter or digit"

Finding = tuple[Path, str]

_NAME_EXTRAS = frozenset("._+@-")
_LONGEST_NAME = 64


def is_name(name: str) -> bool:
    """Whether an operator may call an account, a carrier or a login so."""
    characters = name.isascii() and all(letter.isalnum() or letter in _NAME_EXTRAS for letter in name)
    return characters and len(name) <= _LONGEST_NAME and name[:1].isalnum()


def check_network(path: Path, network: str) -> Iterator[Finding]:
    """Checks a network or an address."""
    try:
        ipaddress.ip_network(network, strict=False)
    except ValueError:
        yield path, f"{network!r} is not a network; write one such as 192.0.2.0/24, or an address"


def check_ascii(path: Path, text: str) -> Iterator[Finding]:
    """Checks a part of an SMPP login, which SMPP writes in ASCII with a NUL at its end."""
    if not text.isascii() or not text.isprintable():
        yield path, "may only hold printable ASCII characters"


def secrets_of_logins(config: Config) -> Iterator[tuple[Path, Secret]]:
    """The secrets with which somebody can log in."""
    if config.admin.password is not None:
        yield ("admin", "password"), config.admin.password
    for name, account in config.accounts.items():
        if account.api_key is not None:
            yield ("accounts", name, "api_key"), account.api_key
        for login, settings in settings_of(account).items():
            here: Path = ("accounts", name, *key_of(login))
            yield (*here, "password"), settings.password
            if settings.old_password is not None:
                yield (*here, "old_password"), settings.old_password


def check_logins(config: Config) -> Iterator[Finding]:
    """Finds what is wrong with the secrets of all logins, and with the accounts' SMPP logins."""
    for path, secret in secrets_of_logins(config):
        if not secret.reveal():
            yield path, "must not be empty: it would let anyone in; leave the key out to have no login"
    keys: dict[Secret, str] = {}
    owners: dict[str, Path] = {}
    for name, account in config.accounts.items():
        if account.api_key is not None and account.api_key.reveal():
            owner = keys.setdefault(account.api_key, name)
            if owner != name:
                yield ("accounts", name, "api_key"), f"accounts.{owner} has the same key; give each account its own"
        yield from _smpp_logins(("accounts", name), account, owners)


def _smpp_logins(path: Path, account: Account, owners: dict[str, Path]) -> Iterator[Finding]:
    if account.smpp_logins and account.smpp is None:
        yield (*path, "smpp_logins"), "needs `smpp` beside it, which is the account's first login"
    for login, settings in settings_of(account).items():
        here = (*path, *key_of(login))
        if login and not is_name(login):
            yield here, NO_NAME
        if settings.system_id:
            owner = owners.setdefault(settings.system_id, here)
            if owner != here:
                yield (*here, "system_id"), f"{dotted(owner)} has the same one; give each login its own"
        yield from check_ascii((*here, "system_id"), settings.system_id)
        yield from check_ascii((*here, "password"), settings.password.reveal())
        yield from _old_password(here, settings)
        for index, network in enumerate(settings.allow_from):
            yield from check_network((*here, "allow_from", index), network)


def _old_password(path: Path, settings: AccountSmpp) -> Iterator[Finding]:
    until = settings.old_password_until
    if settings.old_password is None:
        if until:
            yield (*path, "old_password_until"), "has no meaning without old_password; leave it out"
        return
    yield from check_ascii((*path, "old_password"), settings.old_password.reveal())
    if settings.old_password == settings.password:
        yield (*path, "old_password"), "is the same as password; leave it out, or write the one before"
    if not until:
        yield (*path, "old_password"), "needs old_password_until: it would be valid for ever"
    elif instant_of(until) is None:
        yield (
            (*path, "old_password_until"),
            f"{until!r} is no instant; write one with its time zone, such as 2026-12-24T12:00:00Z",
        )

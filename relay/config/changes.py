"""The differences between two configurations, and which of them a reload applies.

A reload applies accounts, prices, carriers, routes, lists, decisions, log settings, the admin password, users
and API, the default validity, and how long a stop and a drain may take. All other keys (listeners, limits, the
journal's directory) need a restart. A reload only reports that they differ.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from relay.config.daemon_config import Logs
from relay.config.model import Config
from relay.values.secret import Secret

#: The keys that a reload applies as a whole.
_LIVE = frozenset(
    {
        "accounts", "prices", "carriers", "routes", "lists", "decisions", "validity_seconds", "shutdown_seconds",
        "drain_hours",
    }
)  # fmt: skip
#: The keys that a reload applies in tables that otherwise need a restart.
_LIVE_PARTS = frozenset({"logs.format", "logs.log_numbers", "admin.password", "admin.users", "admin.api"})


class Change(msgspec.Struct, frozen=True):
    """One difference.

    :ivar key: dotted, as in the file: `carriers.tier1.window`.
    :ivar what: "100 -> 200", "added", "removed", or "changed" where the values are secret or long.
    :ivar live: whether a reload applies it.
    """

    key: str
    what: str
    live: bool


class ReloadResult(msgspec.Struct, frozen=True):
    """Says how a reload of the configuration file went, or what it would do.

    :ivar at: when the file was read, in seconds since 1970.
    :ivar applied: whether the relay uses the file now. It doesn't after a refusal or a dry run.
    :ivar problems: why the file was refused, one line each; empty: the file is right.
    :ivar changes: the differences from the configuration in use before; empty after a refusal.
    """

    at: float
    applied: bool
    problems: list[str]
    changes: list[Change] = []


class Names(msgspec.Struct, frozen=True):
    """The entries of a table that were added, removed and changed, in the order of the file."""

    added: list[str]
    removed: list[str]
    changed: list[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def changes(old: Config, new: Config) -> list[Change]:
    """Every difference, in the order of the file's tables."""
    return differences("", old, new)


def differences(key: str, old: Any, new: Any) -> list[Change]:
    """Every difference between two tables of one kind.

    :param key: where they are, such as `accounts.acme`; "": they are the whole.
    """
    return [Change(key, what, _is_live(key)) for key, what in _differences(key, old, new)]


def _is_live(key: str) -> bool:
    """Whether a reload applies a change of this key."""
    return key.partition(".")[0].partition("[")[0] in _LIVE or ".".join(key.split(".")[:2]) in _LIVE_PARTS


def changed_names(old: Mapping[str, Any], new: Mapping[str, Any]) -> Names:
    """Compares two tables of the same kind (accounts, carriers) by name."""
    return Names(
        [name for name in new if name not in old],
        [name for name in old if name not in new],
        [name for name in new if name in old and new[name] != old[name]],
    )


def taken_up(old: Config, new: Config) -> Config:
    """The configuration after a reload: `new`, but with the old values of all keys that need a restart."""
    live = {name: getattr(new, name) for name in _LIVE}
    logs = Logs(format=new.logs.format, log_numbers=new.logs.log_numbers, message_records=old.logs.message_records)
    admin = msgspec.structs.replace(new.admin, listen=old.admin.listen)
    return msgspec.structs.replace(old, **live, logs=logs, admin=admin)


def _differences(key: str, old: Any, new: Any) -> Iterator[tuple[str, str]]:
    if old == new:
        return
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        for name in old.__struct_fields__:
            yield from _differences(f"{key}.{name}" if key else name, getattr(old, name), getattr(new, name))
    elif isinstance(old, dict) and isinstance(new, dict):
        names = changed_names(old, new)
        for name in names.changed:
            yield from _differences(f"{key}.{name}", old[name], new[name])
        for name in names.added:
            yield f"{key}.{name}", "added"
        for name in names.removed:
            yield f"{key}.{name}", "removed"
    else:
        # A header may hold a token.
        yield key, "changed" if ".api.headers" in key else _what(old, new)


def _what(old: Any, new: Any) -> str:
    for value in (old, new):
        if isinstance(value, (Secret, msgspec.Struct)):
            return "changed" if old is not None and new is not None else "added" if old is None else "removed"
        if isinstance(value, str) and "://" in value and "@" in value:
            # Some URLs hold a user name and a password.
            return "changed"
        if isinstance(value, list) and any(isinstance(item, msgspec.Struct) for item in value):
            return "changed"
    return f"{_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return repr(value)
    return str(value)

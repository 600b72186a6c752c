"""Settings that are made while running and laid over an account's configuration.

A setting is a name and a text, kept by the store. Those in `SETTABLE` replace the configuration's value of the same
name; the others are the relay's own notes.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from relay.config.model import Account
from relay.values.secret import Secret

#: Settings that a customer may make.
SETTABLE: Final = frozenset(
    {
        "notification_url",
        "notification_fallback_url",
        "notification_format",
        "notification_secret",
        "notification_batch",
        "notify",
        "error_codes",
    }
)

#: Why the relay switched a URL off: the time, the reason and the URL ("1790000000 410 http://...").
URL_OFF: Final = "notification_url_off"

#: Until when the secret before the last change signs beside the new one ("1790000000 whsec_...").
OLD_SECRET: Final = "notification_secret_old"

#: For how long that is.
ROTATION_SECONDS: Final = 24 * 3600.0

MOST_IN_A_BATCH: Final = 1000

_CHOICES: Final = {
    "notification_format": ("json", "form"),
    "notify": ("final", "all", "progress"),
    "error_codes": ("standard", "carrier"),
}


class SettingProblem(ValueError):
    """A setting can't have this value. `field` names the setting, the text says why, for the customer."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def with_settings(configured: Account, settings: Mapping[str, str]) -> Account:
    """The account with the settings laid over it. An empty URL or secret means: none.

    :raises SettingProblem: one of the values is impossible.
    """
    changes: dict[str, object] = {}
    for name, value in settings.items():
        if name not in SETTABLE:
            continue
        if name == "notification_batch":
            if not (value.isascii() and value.isdecimal()) or not 1 <= int(value[:5]) <= MOST_IN_A_BATCH:
                raise SettingProblem(name, f"This must be a number from 1 to {MOST_IN_A_BATCH}.")
            changes[name] = int(value)
        elif name == "notification_secret":
            changes[name] = Secret(value) if value else None
        elif name in _CHOICES:
            if value not in _CHOICES[name]:
                raise SettingProblem(name, f"This must be one of {', '.join(_CHOICES[name])}.")
            changes[name] = value
        else:
            changes[name] = value or None
    return msgspec.structs.replace(configured, **changes) if changes else configured

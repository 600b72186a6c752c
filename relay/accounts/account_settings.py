"""Settings that customers make while the relay runs. They replace values of the account's configuration.

A setting has a name and a text. The store keeps it. Settings in `SETTABLE` replace the configuration's value of the
same name. The relay makes the others for itself.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from relay.config.account_config import Account
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

#: Set when a URL is switched off: the time, the reason and the URL ("1790000000 410 http://...").
URL_OFF: Final = "notification_url_off"

#: Set while the account is suspended: why.
SUSPENDED: Final = "suspended"

#: The reason if the operator has switched the URL off. Then all later URLs are off, too, until the operator ends it.
OFF_BY_OPERATOR: Final = "operator"

#: The secret before the last change, and the time until which it signs, too ("1790000000 whsec_...").
OLD_SECRET: Final = "notification_secret_old"

#: Set while the customer has not said that the secret which the relay made by itself is copied.
UNSEEN_SECRET: Final = "notification_secret_unseen"

#: How long the old secret signs after a change.
ROTATION_SECONDS: Final = 24 * 3600.0

MOST_IN_A_BATCH: Final = 1000

_CHOICES: Final = {
    "notification_format": ("json", "form"),
    "notify": ("final", "all", "progress"),
    "error_codes": ("standard", "carrier"),
}


def why_off(setting: str | None, url: str | None) -> str:
    """Says why an account's URL is switched off; "": it is on.

    :param setting: the account's setting `URL_OFF`; None: it has none.
    """
    words = (setting or "").split(" ", 2)
    if len(words) != 3:
        return ""
    _, reason, off_url = words
    return reason if reason == OFF_BY_OPERATOR or off_url == url else ""


class SettingProblem(ValueError):
    """A setting can't have this value. `field` names the setting; the text tells the customer why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def with_settings(configured: Account, settings: Mapping[str, str]) -> Account:
    """Makes the account that the configuration and the settings give together. An empty URL or secret removes it.

    :raises SettingProblem: a setting has a value that isn't allowed.
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

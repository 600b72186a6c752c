"""Finds out if a message's own notification URL asks for intermediate states: Kannel's `dlr-mask` can do so."""

from typing import Final

_KANNEL: Final = "kannel:"
#: Kannel's bit of `dlr-mask` for a message that is on its way.
KANNEL_ON_ITS_WAY: Final = 4


def tells_intermediate(url: str, otherwise: bool) -> bool:
    """Returns True if the relay notifies this URL of intermediate states.

    :param url: the URL as in `Message.notification_url`; `relay.webhooks.callbacks` explains its prefixes.
    :param otherwise: the result for a URL without Kannel's mask: True if the account has `notify: all`.
    """
    if not url.startswith(_KANNEL):
        return otherwise
    return bool(int(url.split(":", 2)[1]) & KANNEL_ON_ITS_WAY)

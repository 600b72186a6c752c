"""Whether a message's own notification URL asks for intermediate states by itself: Kannel's `dlr-mask` does."""

from typing import Final

_KANNEL: Final = "kannel:"
#: Kannel's bit for "on its way".
KANNEL_ON_ITS_WAY: Final = 4


def tells_intermediate(url: str, otherwise: bool) -> bool:
    """Whether intermediate states are told to this URL.

    :param url: as in `Message.notification_url`; see `relay.webhooks.callbacks` for its prefixes.
    :param otherwise: the answer for a URL that doesn't say, which is the account's `notify: all`.
    """
    if not url.startswith(_KANNEL):
        return otherwise
    return bool(int(url.split(":", 2)[1]) & KANNEL_ON_ITS_WAY)

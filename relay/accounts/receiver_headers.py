"""Headers that an account's receivers ask for: of the operator's choice, sent with every webhook and callback.

They may replace what the relay says of itself (User-Agent, Accept). They may not replace what frames a request or what
the relay says about a notification: a receiver must be able to rely on these.
"""

import re
from typing import Final

from relay.config.account_config import Account

#: Those that frame a request, belong to one connection, or say what the body is.
_FRAMING: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: Beginnings of those that the relay writes itself.
_OWN: Final = ("webhook-", "x-relay-")

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_TOKEN: Final = re.compile(r"[!-~]+")

#: Names that requests have anyhow, as the relay writes them.
_COMMON: Final = {name.lower(): name for name in ("Authorization", "User-Agent", "Accept")}


def header_problem(name: str, value: str) -> str | None:
    """Says why a header can't be sent; None: it can. Never shows the value."""
    if not _NAME.fullmatch(name):
        return "is no header name; write letters, digits and hyphens"
    # Many receivers (all that follow CGI) take an underscore for a hyphen.
    known_as = name.lower().replace("_", "-")
    if known_as in _FRAMING:
        return "is a header that the relay writes itself, because it frames the request; leave it out"
    if known_as.startswith(_OWN):
        return "is a header of the relay's own; choose another name"
    if not _VALUE.fullmatch(value):
        return "must be printable ASCII, not empty, and without blanks at its ends"
    return None


def token_problem(token: str) -> str | None:
    """Says why a text is no bearer token; None: it is one. Never shows it."""
    return None if _TOKEN.fullmatch(token) else "must be printable ASCII without blanks, and not empty"


def receiver_headers(account: Account) -> dict[bytes, list[bytes]]:
    """The account's headers as a request has them. The configuration has been checked."""
    headers = {
        _COMMON.get(name.lower(), name).encode("ascii"): [value.reveal().encode("ascii")]
        for name, value in account.notification_headers.items()
    }
    if account.notification_token is not None:
        headers[b"Authorization"] = [b"Bearer " + account.notification_token.reveal().encode("ascii")]
    return headers

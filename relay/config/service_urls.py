"""The URLs of the operator's own services: HTTP over TCP, or over a unix socket."""

import re
from typing import Final, NamedTuple

from relay.config.urls import UrlProblem, WebUrl, parse_url

_OVER_SOCKET: Final = re.compile(r"http://unix:(/[^:\x00-\x20\x7f]+):(/.*)?")


class ServiceUrl(NamedTuple):
    """Where a service is.

    :ivar socket: the path of the unix socket; "": it is reached over TCP.
    """

    socket: str
    url: WebUrl


def service_url(text: str) -> ServiceUrl:
    """Takes a URL apart: `http://127.0.0.1:8900/decide`, or `http://unix:/run/decide.sock:/decide`.

    :raises UrlProblem: it can't be read. The text is a sentence that says why.
    """
    over_socket = _OVER_SOCKET.fullmatch(text)
    if over_socket is not None:
        return ServiceUrl(over_socket[1], parse_url(f"http://localhost{over_socket[2] or '/'}"))
    if text.startswith("http://unix:"):
        raise UrlProblem("The URL of a unix socket is http://unix:/path/of/socket:/path, with the socket's whole path.")
    return ServiceUrl("", parse_url(text))

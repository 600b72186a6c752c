"""A small receiver that prints notifications, for the demonstration's notification URL."""

import sys
from typing import Any, TextIO

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import Request, Site


class DemoReceiver(Resource):
    """Answers every POST with 204 and prints the notifications in it, one a line.

    :param out: gets the lines; in the demonstration the daemon's own output.
    """

    isLeaf = True

    def __init__(self, out: TextIO | None = None) -> None:
        super().__init__()
        self._out = out or sys.stdout

    def render_POST(self, request: Request) -> bytes:
        """Takes a webhook."""
        body = request.content.read() if request.content is not None else b""
        for line in _lines(body):
            print(line, file=self._out, flush=True)
        request.setResponseCode(204)
        return b""

    def render_GET(self, request: Request) -> bytes:
        """Tells a person who opens the URL in a browser what it is for."""
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        return b"Notifications are POSTed here; they are printed where the relay was started.\n"


def _lines(body: bytes) -> list[str]:
    try:
        decoded: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [f"notification: {body[:300].decode('utf-8', 'replace')!r}"]
    notifications = decoded if isinstance(decoded, list) else [decoded]
    return [f"notification: {msgspec.json.encode(each).decode()}" for each in notifications]


def demo_receiver_site(out: TextIO | None = None) -> Site:
    """The receiver, ready to listen."""
    site = Site(DemoReceiver(out), logPath=None)
    site.log = lambda request: None  # type: ignore[method-assign]
    return site

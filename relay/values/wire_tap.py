"""What an operator's trace gets of the connections that it is about."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class WireTap(Protocol):
    """Gets a copy of what goes over connections. It keeps passwords and texts to itself, and never raises."""

    def opened(self, what: str) -> str:
        """Takes note of an SMPP connection. Returns its name, for the calls below."""

    def octets(self, connection: str, data: bytes, *, sent: bool) -> None:
        """Takes the octets of one read, or those that were written in one turn."""

    def note(self, connection: str, what: str) -> None:
        """Takes note of something that happened to a connection, in words.

        :param connection: "": it concerns no connection of those that have a name.
        """

    def request(self, method: str, url: str, headers: Mapping[bytes, Sequence[bytes]], body: bytes | None) -> str:
        """Takes an HTTP request that is about to be sent. Returns a name for its answer."""

    def answer(self, request: str, what: str, seconds: float) -> None:
        """Takes what became of an HTTP request: its status, or why there is none."""

"""What came of webhook requests, as values."""

from typing import Final

import msgspec

from relay.webhooks.request import WebhookRequest

_UNREACHED: Final = frozenset({0, 410, 502, 503, 504})


class Answer(msgspec.Struct, frozen=True, gc=False):
    """How a request ended.

    :ivar code: the HTTP status, or 0 where there was no answer.
    :ivar reason: where there was none: why, in a few words.
    :ivar body: the beginning of the answer's body.
    :ivar retry_after: the header's value.
    """

    code: int
    reason: str = ""
    body: bytes = b""
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the other side has it: any 2xx."""
        return 200 <= self.code < 300

    @property
    def unreached(self) -> bool:
        """Whether nobody was there who could have said anything about this notification: no answer, an answer by what
        stands before the receiver (RFC 9110 section 15.6: 502, 503, 504), or 410, which says that the URL is gone."""
        return self.code in _UNREACHED

    @property
    def text(self) -> str:
        """The status, or why there is none."""
        return str(self.code) if self.code else self.reason


class Tested(msgspec.Struct, frozen=True):
    """A test notification: what was sent, what came back, and after how long."""

    request: WebhookRequest
    answer: Answer
    seconds: float


class UrlState(msgspec.Struct, frozen=True):
    """How an account's own URL is doing.

    :ivar off: why it is switched off, or "".
    :ivar failures: in a row.
    :ivar blocked_until: until when nothing is sent.
    """

    off: str
    failures: int
    circuit_open: bool
    blocked_until: float | None
    in_flight: int

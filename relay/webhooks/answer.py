"""The results of webhook requests, as values."""

from typing import Final

import msgspec

from relay.webhooks.request import WebhookRequest

#: How many characters of an answer's body are kept with an attempt.
BODY_SHOWN: Final = 100

_UNREACHED: Final = frozenset({0, 410, 502, 503, 504})


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Says how a request ended.

    :ivar code: the HTTP status; 0 if no answer came.
    :ivar reason: if no answer came: why not, in a few words.
    :ivar body: the beginning of the answer's body.
    :ivar retry_after: the value of the header Retry-After.
    """

    code: int
    reason: str = ""
    body: bytes = b""
    retry_after: str | None = None

    @property
    def ok(self) -> bool:
        """True if the receiver accepted the request: any status 2xx."""
        return 200 <= self.code < 300

    @property
    def unreached(self) -> bool:
        """True if the request did not reach a receiver that could judge this notification.

        This is so in three cases: no answer came; a proxy in front of the receiver answered (RFC 9110 section 15.6:
        502, 503, 504); or the answer is 410, so the URL is gone.
        """
        return self.code in _UNREACHED

    @property
    def text(self) -> str:
        """The status as text, or the reason why no answer came."""
        return str(self.code) if self.code else self.reason

    @property
    def beginning(self) -> str:
        """The first `BODY_SHOWN` characters of the body, on one line."""
        text = self.body[: 4 * BODY_SHOWN].decode("utf-8", "replace")
        return "".join(letter if letter.isprintable() else " " for letter in text)[:BODY_SHOWN].strip()


class Tested(msgspec.Struct, frozen=True):
    """The result of a test notification: the request, its answer, and how long the answer took."""

    request: WebhookRequest
    answer: Answer
    seconds: float


class UrlState(msgspec.Struct, frozen=True):
    """The state of an account's own URL, for the API and the operator.

    :ivar off: why the URL is switched off; "" if it is on.
    :ivar failures: how many requests failed in a row.
    :ivar circuit_open: True while the relay sends only test requests.
    :ivar blocked_until: the relay sends nothing until this instant; None: nothing blocks the URL.
    :ivar in_flight: how many requests are under way.
    """

    off: str
    failures: int
    circuit_open: bool
    blocked_until: float | None
    in_flight: int

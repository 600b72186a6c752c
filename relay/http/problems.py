"""Problem documents (RFC 9457): how the HTTP API says no."""

from http import HTTPStatus
from typing import Final

import msgspec

from relay.store.api import StoreBusy, StoreUnavailable
from relay.values.messages import Refused
from relay.values.smpp_constants import ESME_RINVDSTADR, ESME_RTHROTTLED

PROBLEM_TYPE: Final = b"application/problem+json"


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong with a request.

    :ivar type: identifies the kind of problem, and is where it is described.
    :ivar title: the kind of problem in words; always the same for a type.
    :ivar detail: what is wrong with this very request, and what to do.
    :ivar field: the field of the request that is to blame.
    """

    type: str
    title: str
    status: int
    detail: str
    field: str = ""


class Problem(Exception):
    """A request ends with this problem document.

    :ivar kind: one of `PROBLEM_KINDS`, or "" where the status says enough.
    :ivar headers: header lines that go with it.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        field: str = "",
        *,
        kind: str = "",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.headers = headers
        title = HTTPStatus(status).phrase
        self.document = ProblemDocument(
            f"/docs#problem-{kind or kind_of_status(status)}",
            PROBLEM_KINDS.get(kind, title),
            status,
            detail,
            field,
        )

    def body(self) -> bytes:
        """The document."""
        return msgspec.json.encode(self.document)


def kind_of_status(status: int) -> str:
    """The kind of a problem of which the status says enough."""
    return HTTPStatus(status).phrase.lower().replace(" ", "-")


#: Those statuses, and what they mean here.
STATUS_MEANINGS: Final = {
    400: "The request can't be read.",
    401: "The key is nobody's, or there is none.",
    403: "A browser sends it for a page of another site.",
    404: "There is no such path, or no such thing of this account.",
    405: "Not with this method; Allow says which.",
    413: "The body is larger than the operator allows.",
    422: "Something in the request is wrong; detail says what.",
    429: "Too many requests wait already, or too many logins failed; Retry-After.",
    500: "A mistake in the relay itself, which its operator's log has.",
    503: "The relay can't keep anything safely now, or stops; Retry-After.",
}

#: The kinds of problems beyond the HTTP status's own.
PROBLEM_KINDS: Final = {
    "not-json": "The body is not JSON",
    "invalid-field": "A field is invalid",
    "unknown-field": "A field is unknown",
    "missing-field": "A field is missing",
    "no-route": "No route leads there",
    "rate-limit": "Too many messages",
    "queue-full": "The relay is busy",
    "idempotency-conflict": "The key was used for another request",
    "idempotency-in-progress": "The same request is under way",
    "not-final": "The message has not ended",
    "no-notification-url": "The account has no notification URL",
    "not-cancellable": "The message can't be cancelled any more",
}


def invalid_field(field: str, detail: str) -> Problem:
    """422: a field has a value that can't be taken."""
    return Problem(422, detail, field, kind="invalid-field")


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """A Retry-After header: whole seconds, at least one."""
    return b"Retry-After", b"%d" % max(1, int(seconds + 0.999))


def of_refusal(refused: Refused) -> Problem:
    """The flow's refusal of one message."""
    if refused.retry_after_seconds > 0.0:
        headers = (retry_after(refused.retry_after_seconds),)
        if refused.command_status == ESME_RTHROTTLED:
            return Problem(429, refused.reason, kind="rate-limit", headers=headers)
        return Problem(503, refused.reason, kind="queue-full", headers=headers)
    if refused.command_status and not refused.field:
        # Without a field to blame and without hope for later there is nothing that the customer could mend.
        return Problem(503, refused.reason, kind="queue-full", headers=(retry_after(5.0),))
    if refused.command_status == ESME_RINVDSTADR:
        return Problem(422, refused.reason, refused.field, kind="no-route")
    return invalid_field(refused.field, refused.reason)


def of_store(problem: StoreUnavailable) -> Problem:
    """Nothing can be made durable now, or the account has asked too much at once."""
    headers = (retry_after(problem.retry_after_seconds),)
    if isinstance(problem, StoreBusy):
        return Problem(429, f"{problem.reason}.", kind="rate-limit", headers=headers)
    detail = "The relay can't take this safely now; nothing was accepted. Try again later."
    return Problem(503, detail, kind="queue-full", headers=headers)

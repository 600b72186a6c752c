"""Problem documents (RFC 9457): the HTTP API's answers to requests that it refuses."""

from collections.abc import Container, Iterable
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from relay.store.store_values import StoreBusy, StoreUnavailable
from relay.text.compose import InvalidText
from relay.values.messages import Refused
from relay.values.smpp_constants import ESME_RINVDSTADR, ESME_RTHROTTLED

PROBLEM_TYPE: Final = b"application/problem+json"


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """Says why a request was refused."""

    type: Annotated[str, Meta(description="The path of the kind of problem, where it is described.")]
    title: Annotated[str, Meta(description="The kind of problem in words. It is always the same for a type.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="What is wrong with this request, and what to do.")]
    field: Annotated[str, Meta(description="The field of the request that is wrong, if it is one.")] = ""


class Problem(Exception):
    """The exception that answers a request with a problem document.

    :ivar kind: one of `PROBLEM_KINDS`; "": the status alone says the kind.
    :ivar headers: further header lines of the answer.
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
        self.document = ProblemDocument(
            f"/docs#problem-{kind or kind_of_status(status)}",
            PROBLEM_KINDS.get(kind) or _phrase(status),
            status,
            detail,
            field,
        )

    def body(self) -> bytes:
        """The document as JSON."""
        return msgspec.json.encode(self.document)


def kind_of_status(status: int) -> str:
    """The kind of a problem whose status alone says the kind."""
    return _phrase(status).lower().replace(" ", "-")


def _phrase(status: int) -> str:
    """The status in words. These are promised to customers, so they are the same with every version of Python."""
    return _OLDER_PHRASES.get(status) or HTTPStatus(status).phrase


#: From Python 3.13 on, http.HTTPStatus has other words for these.
_OLDER_PHRASES: Final = {413: "Request Entity Too Large", 422: "Unprocessable Entity"}


#: The statuses that alone say the kind of a problem, and their meaning.
STATUS_MEANINGS: Final = {
    400: "The request can't be read.",
    401: "The key is missing or wrong.",
    402: "The account's balance does not pay for the message.",
    403: "A browser sent it for a page of another site, or the key may not be used for this or from this address.",
    404: "There is no such path, or the account has no such message.",
    405: "The path doesn't allow this method. The header Allow says which it allows.",
    413: "The body is larger than the operator allows.",
    422: "The request is wrong. `detail` says what.",
    429: "Too many requests wait already, or too many logins failed. Retry-After says when to try again.",
    500: "An error in the relay. Its operator finds the details in the log.",
    503: "The relay can't make anything durable now, or it is stopping. Retry-After says when to try again.",
}

#: The kinds of problems that the status alone doesn't say.
PROBLEM_KINDS: Final = {
    "not-json": "The body is not JSON",
    "invalid-field": "A field is invalid",
    "unknown-field": "A field is unknown",
    "missing-field": "A field is missing",
    "no-route": "No route leads there",
    "refused": "The operator's rules refuse the message",
    "rate-limit": "Too many messages",
    "no-price": "There is no price for the number",
    "no-credit": "The account's balance does not pay for the message",
    "quota-exceeded": "The account's quota is used up",
    "queue-full": "The relay is busy",
    "idempotency-conflict": "The key was used for another request",
    "idempotency-in-progress": "The same request is under way",
    "not-final": "The message has not ended",
    "no-notification-url": "The account has no notification URL",
    "url-not-kept": "The message's own notification URL isn't kept any more",
    "no-inbound-url": "The account has no URL for messages from handsets",
    "key-not-for-this": "The key is not for this",
    "not-cancellable": "The message can't be cancelled any more",
}


#: The statuses of the kinds that the message flow names (`Refused.kind`), if they aren't 422.
_STATUSES_OF_REFUSALS: Final = {"quota-exceeded": 429, "no-credit": 402}


def invalid_field(field: str, detail: str) -> Problem:
    """Makes the problem with a field that has a wrong value: 422."""
    return Problem(422, detail, field, kind="invalid-field")


def refuse_unknown(parameters: Iterable[str], known: Container[str]) -> None:
    """Refuses a query string that has a parameter that the call doesn't know.

    :raises Problem: it has one.
    """
    for name in parameters:
        if name not in known:
            raise Problem(422, f"There is no parameter '{name[:100]}'.", name[:100], kind="unknown-field")


def of_value(wrong: ValueError) -> Problem:
    """Makes the problem with a value that a text or an address can't have. `InvalidText` names the field."""
    if isinstance(wrong, InvalidText):
        return invalid_field(wrong.field, wrong.reason)
    return invalid_field("", str(wrong))


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """Makes a Retry-After header: whole seconds, at least one."""
    return b"Retry-After", b"%d" % max(1, int(seconds + 0.999))


def of_refusal(refused: Refused) -> Problem:
    """Makes a problem of the message flow's refusal."""
    headers = (retry_after(refused.retry_after_seconds),) if refused.retry_after_seconds > 0.0 else ()
    if refused.kind:
        status = _STATUSES_OF_REFUSALS.get(refused.kind, 422)
        return Problem(status, refused.reason, refused.field, kind=refused.kind, headers=headers)
    if headers:
        if refused.command_status == ESME_RTHROTTLED:
            return Problem(429, refused.reason, kind="rate-limit", headers=headers)
        return Problem(503, refused.reason, kind="queue-full", headers=headers)
    if refused.command_status and not refused.field:
        # No field is wrong, and no later time is known. The customer can't do anything about it.
        return Problem(503, refused.reason, kind="queue-full", headers=(retry_after(5.0),))
    if refused.command_status == ESME_RINVDSTADR:
        return Problem(422, refused.reason, refused.field, kind="no-route")
    return invalid_field(refused.field, refused.reason)


def of_store(problem: StoreUnavailable) -> Problem:
    """Makes the problem that the store can't work now, or that the account has too many queries under way."""
    headers = (retry_after(problem.retry_after_seconds),)
    if isinstance(problem, StoreBusy):
        return Problem(429, f"{problem.reason}.", kind="rate-limit", headers=headers)
    detail = "The relay can't make this durable now. Nothing was accepted. Try again later."
    return Problem(503, detail, kind="queue-full", headers=headers)

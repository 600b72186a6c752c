"""What the HTTP API takes and gives: requests are checked by these types, and OpenAPI is generated from them."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from relay.http.problems import Problem
from relay.text.tlv_text import MOST as MOST_TLVS

#: Messages in one request.
MOST_MESSAGES: Final = 1000

LONGEST_VALIDITY_SECONDS: Final = 604_800


# What is only said, and checked where the words for a refusal are known.
_SENDER_PATTERN: Final = "^([+]?[0-9]{3,20}|(?=.*[A-Za-z])[A-Za-z0-9 !\"#$%&'()*+,./:;<=>?@_-]{1,11})$"
_URL: Final = Meta(max_length=2048, extra_json_schema={"pattern": "^https?://"})
_ID: Final = Meta(extra_json_schema={"format": "uuid"})


class MessageRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to send."""

    to: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=40,
            description="The number with its country code, with or without a plus.",
            examples=["+447700900123"],
            extra_json_schema={"pattern": "^[+]?[0-9]{3,20}$"},
        ),
    ]
    from_: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=40,
            description="The sender: a number, or up to eleven letters, digits, blanks and signs of ASCII. May be left "
            "out if the account has a default sender.",
            examples=["RELAY"],
            extra_json_schema={"pattern": _SENDER_PATTERN},
        ),
    ] = field(name="from")
    text: Annotated[
        Annotated[str, Meta(min_length=1, max_length=10_000)] | UnsetType | None,
        Meta(
            description="The text. Sent as GSM 03.38 where that can write it, otherwise as UCS-2; long texts in parts. "
            "Left out, or null, only beside `data_coding`.",
            examples=["Your code is 493 022."],
        ),
    ] = UNSET
    reference: Annotated[
        Annotated[str, Meta(max_length=200, pattern="^[^\\x00-\\x1f\\x7f-\\x9f]*$")] | None,
        Meta(
            description="A name of your own, without control characters; comes back in queries, and with notifications "
            "as X-Relay-Reference."
        ),
    ] = None
    validity_seconds: Annotated[
        Annotated[float, Meta(ge=1, le=LONGEST_VALIDITY_SECONDS)] | None,
        Meta(description="After this the message isn't worth sending any more. Default: the relay's."),
    ] = None
    notification_url: Annotated[
        Annotated[str, _URL] | None,
        Meta(description="Where this message's notifications go, instead of the account's URL."),
    ] = None
    data_coding: Annotated[
        Annotated[int, Meta(ge=0, le=255)] | None,
        Meta(description="For one ready-made part instead of a text: SMPP's data_coding."),
    ] = None
    udh: Annotated[
        Annotated[str, Meta(max_length=512, pattern="^([0-9A-Fa-f]{2})*$")] | None,
        Meta(description="With `data_coding`: the part's user data header with its length octet, in hexadecimal."),
    ] = None
    payload: Annotated[
        Annotated[str, Meta(max_length=71_400, pattern="^([0-9A-Fa-f]{2})*$")] | None,
        Meta(description="With `data_coding`: the part's octets behind the header, in hexadecimal."),
    ] = None
    idempotency_key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255, pattern="^[!-~]+$")] | None,
        Meta(
            description="Makes a repeat of this message harmless, in whichever request it comes: it is answered with "
            "the same id, and nothing is sent, for as long as the relay knows the message. A key is one message's for "
            "ever.",
            examples=["order-7/1"],
        ),
    ] = None
    priority: Annotated[
        Annotated[int, Meta(ge=0, le=3)] | None,
        Meta(
            description="1 to 3: goes before what waits with a lower one, as far as the account may. 0 or null: the "
            "account's default."
        ),
    ] = None

    class_: Annotated[
        Literal["flash"] | None,
        Meta(description="`flash`: the handset shows the text at once, and doesn't keep it (message class 0)."),
    ] = field(name="class", default=None)
    tlvs: Annotated[
        Annotated[dict[str, str], Meta(max_length=MOST_TLVS)] | None,
        Meta(
            description="Optional parameters for the carrier: tags, and their values in hexadecimal, with 1024 octets "
            "altogether. All parts of the message get them.",
            examples=[{"0x1400": "31303031"}],
        ),
    ] = None


class DefaultSenderRequest(MessageRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message to send, from an account with a default sender: `from` may be left out or empty."""

    from_: Annotated[str, Meta(max_length=40)] = field(name="from", default="")


class Accepted(msgspec.Struct, frozen=True):
    """A message was taken: it is safe, and its notification will come."""

    id: Annotated[str, Meta(description="The message's id, a UUID.", examples=["72b83667-a8f1-4c09-861f-e1ee6dd4561b"])]


class AttemptReport(msgspec.Struct, frozen=True):
    """One attempt to hand a notification over."""

    channel: Annotated[str, Meta(description="`webhook` or `smpp`.")]
    attempt: Annotated[int, Meta(description="Counts from 1. An early attempt has the number of the one before it.")]
    at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    answer: Annotated[str, Meta(description="What your side said: an HTTP status, or why there was none.")]
    seconds: Annotated[float, Meta(description="How long the attempt took.")]
    status: Annotated[str, Meta(description="The state that it told of.")]


class MessageReport(msgspec.Struct, frozen=True):
    """Everything that is known of a message."""

    id: str
    to: str
    from_: str = field(name="from")
    reference: str | None
    status: Annotated[str, Meta(description="As in notifications; ENROUTE while it is on its way.")]
    send_status: Annotated[str, Meta(description="delivered, failed, carrier-reject, or pending.")]
    error: str
    carrier: Annotated[str, Meta(description="Which carrier took it; empty as long as none has.")]
    carrier_error: Annotated[
        str,
        Meta(description="The carrier's own code, as it wrote it; or the network's, such as `GSM 21`."),
    ]
    parts: Annotated[int, Meta(description="How many SMS the text took.")]
    submitted_at: Annotated[str, Meta(description="When the relay took it. RFC 3339, UTC.")]
    done_at: Annotated[
        str | None,
        Meta(description="When its final state was reached: as the carrier says, or else when the relay learnt it."),
    ]
    attempts: list[AttemptReport]
    learnt_at: Annotated[
        str | UnsetType,
        Meta(description="When the relay learnt its final state. Only there if `done_at` is what the carrier says."),
    ] = UNSET


class NotificationReport(msgspec.Struct, frozen=True):
    """One notification of the feed."""

    cursor: Annotated[str, Meta(description="Its place in the feed; `after` takes it.")]
    id: str
    send_status: str
    status: str
    error: str
    carrier_error: str
    at: Annotated[str, Meta(description="When the relay learnt it. RFC 3339, UTC.")]


class Feed(msgspec.Struct, frozen=True):
    """A piece of the feed. Ask again with `after` set to `next`."""

    notifications: list[NotificationReport]
    next: Annotated[str, Meta(description="The cursor to go on from; unchanged where there was nothing new.")]


class UrlRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A notification URL to set."""

    url: Annotated[
        Annotated[str, _URL] | None,
        Meta(
            description="http or https; null: no notifications by HTTP.",
            examples=["https://yoursite.com/sms/notifications"],
        ),
    ]


class AccountReport(msgspec.Struct, frozen=True):
    """The account's own settings."""

    account: str
    notification_url: str | None
    notification_url_from: Annotated[str, Meta(description="`configuration`, or `setting`: made while running.")]
    notification_url_state: Annotated[
        str, Meta(description="`on`, `none`, `off: ...` after a 410, `failing` while its circuit is open.")
    ]
    notification_fallback_url: str | None
    notification_format: str
    notification_batch: int
    signed: Annotated[bool, Meta(description="Whether notifications carry a signature.")]
    notify: str
    error_codes: str
    messages_a_second: Annotated[float, Meta(description="0: no limit.")]
    burst: int


class TestReport(msgspec.Struct, frozen=True):
    """What became of a test notification."""

    ok: Annotated[bool, Meta(description="Whether the receiver answered 2xx.")]
    url: str
    sent: Annotated[str, Meta(description="The body that was sent.")]
    answer: Annotated[str, Meta(description="The HTTP status, or why there was no answer.")]
    seconds: float
    body: Annotated[str, Meta(description="The beginning of the answer's body.")]


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which notifications to send again. One of: `ids`; `since` (and `until`); `given_up`."""

    ids: Annotated[
        Annotated[list[Annotated[str, _ID]], Meta(max_length=MOST_MESSAGES)] | None,
        Meta(description="These messages'."),
    ] = None
    since: Annotated[datetime | None, Meta(description="Those learnt from this instant on.")] = None
    until: Annotated[datetime | None, Meta(description="And before this one.")] = None
    given_up: Annotated[bool, Meta(description="Only those whose retries ran out.")] = False


class ReplayReport(msgspec.Struct, frozen=True):
    """How many notifications are on their way again."""

    messages: int


_MISSING = re.compile(r"^Object missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"^Object contains unknown field `([^`]+)`")
_PATTERN = re.compile(r"matching regex '(.*?)'(?= - at |$)")
#: What the patterns above ask for, in words.
_OF_PATTERNS: Final = {
    "^([0-9A-Fa-f]{2})*$": "Expected octets in hexadecimal, two digits each.",
    "^[^\\x00-\\x1f\\x7f-\\x9f]*$": "Expected text without control characters.",
    "^[!-~]+$": "Expected ASCII characters without blanks.",
}
_AT = re.compile(r" - at `\$(?:\[\d+\])?\.?([^`]*)`$")


def problem_of(error: msgspec.ValidationError) -> Problem:
    """What msgspec found, for the customer."""
    text = str(error)
    missing = _MISSING.match(text)
    if missing:
        return Problem(422, f"The field '{missing[1]}' is missing.", missing[1], kind="missing-field")
    unknown = _UNKNOWN.match(text)
    if unknown:
        return Problem(422, f"There is no field '{unknown[1]}'.", unknown[1][:100], kind="unknown-field")
    at = _AT.search(text)
    pattern = _PATTERN.search(text)
    words = _OF_PATTERNS.get(pattern[1]) if pattern else None
    detail = words or _AT.sub("", text).replace("`", "'") + "."
    return Problem(422, detail, at[1] if at else "", kind="invalid-field")


def instant(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_T = TypeVar("_T")


def from_form(fields: Mapping[str, str], kind: type[_T]) -> _T:
    """A form's fields as a request. A field that may be null in JSON is null where a form leaves it empty.

    :raises Problem: they don't fit.
    """
    nullable = _nullable(kind)  # type: ignore[arg-type]
    values = {name: value if value or name not in nullable else None for name, value in fields.items()}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise problem_of(error) from None


@cache
def _nullable(kind: Any) -> frozenset[str]:
    fields = msgspec.inspect.type_info(kind).fields  # type: ignore[attr-defined]
    return frozenset(
        field.encode_name
        for field in fields
        if any(isinstance(choice, msgspec.inspect.NoneType) for choice in _choices(field.type))
    )


def _choices(kind: Any) -> Iterable[Any]:
    while isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    return kind.types if isinstance(kind, msgspec.inspect.UnionType) else ()

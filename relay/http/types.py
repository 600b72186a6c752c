"""The types of the HTTP API's requests and answers. They check requests, and OpenAPI is generated from them."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from relay.http.problems import Problem
from relay.text.tlv_text import MOST as MOST_TLVS

#: The most messages in one request.
MOST_MESSAGES: Final = 1000

LONGEST_VALIDITY_SECONDS: Final = 604_800
#: How far ahead `send_at` may lie.
LONGEST_SCHEDULE_SECONDS: Final = 30 * 86_400


# The pattern is only for the description. The sender is checked where a better message about it can be given.
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
            description="The sender: a number, or up to 11 ASCII letters, digits, spaces and punctuation marks. May be "
            "left out if the account has a default sender.",
            examples=["RELAY"],
            extra_json_schema={"pattern": _SENDER_PATTERN},
        ),
    ] = field(name="from")
    text: Annotated[
        Annotated[str, Meta(min_length=1, max_length=10_000)] | UnsetType | None,
        Meta(
            description="The text. It is sent as GSM 03.38 if that has all its characters, otherwise as UCS-2. A long "
            "text is sent in parts. Left out, or null, only together with `data_coding`.",
            examples=["Your code is 493 022."],
        ),
    ] = UNSET
    reference: Annotated[
        Annotated[str, Meta(max_length=200, pattern="^[^\\x00-\\x1f\\x7f-\\x9f]*$")] | None,
        Meta(
            description="A name of your own, without control characters. Queries show it, and notifications have it as "
            "X-Relay-Reference."
        ),
    ] = None
    validity_seconds: Annotated[
        Annotated[float, Meta(ge=1, le=LONGEST_VALIDITY_SECONDS)] | None,
        Meta(
            description="How long carriers may try to deliver the message, from `send_at` on if it is given. Default: "
            "the relay's."
        ),
    ] = None
    notification_url: Annotated[
        Annotated[str, _URL] | None,
        Meta(description="The URL for this message's notifications, instead of the account's."),
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
        Meta(description="With `data_coding`: the part's octets after the header, in hexadecimal."),
    ] = None
    idempotency_key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255, pattern="^[!-~]+$")] | None,
        Meta(
            description="Makes a repeat of this message harmless, in whichever request it comes. As long as the relay "
            "knows the message, a repeat gets the same id, and nothing is sent. Never use a key for another message.",
            examples=["order-7/1"],
        ),
    ] = None
    priority: Annotated[
        Annotated[int, Meta(ge=0, le=3)] | None,
        Meta(
            description="1 to 3: the message overtakes waiting messages with a lower priority, as far as the account "
            "may. 0 or null: the account's default."
        ),
    ] = None
    send_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(
            description="When the message is to be sent, as RFC 3339 with an offset, at most 30 days ahead. A time "
            "past is now. Until then it can be cancelled.",
            examples=["2030-01-31T09:00:00+01:00"],
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


#: The description of an amount of money.
_PRICE: Final = Meta(
    description="What the message costs, with all its parts, as decimal text. Only there if the account has prices.",
    examples=["0.07"],
)
_CURRENCY: Final = Meta(description="The currency of `price`.", examples=["EUR"])


class Accepted(msgspec.Struct, frozen=True):
    """A message was accepted. It is on disk, and its notification will come."""

    id: Annotated[str, Meta(description="The message's id, a UUID.", examples=["72b83667-a8f1-4c09-861f-e1ee6dd4561b"])]
    price: Annotated[str | UnsetType, _PRICE] = UNSET
    currency: Annotated[str | UnsetType, _CURRENCY] = UNSET


class NotificationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A notification: what became of a message. It has exactly these five fields, and all of them are strings."""

    url: Annotated[
        str,
        Meta(description="The notification URL, as it was set.", examples=["https://yoursite.com/sms/notifications"]),
    ]
    id: Annotated[
        str,
        Meta(
            description="The message's id, a UUID: the one that `POST /messages` answered.",
            examples=["72b83667-a8f1-4c09-861f-e1ee6dd4561b"],
        ),
    ]
    send_status: Annotated[
        Literal["delivered", "failed", "carrier-reject", "pending"],
        Meta(description="The result in one word. `pending` only comes if the account asks for intermediate states."),
    ]
    status: Annotated[
        Literal["DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "UNKNOWN", "REJECTD", "ENROUTE", "ACCEPTD"],
        Meta(description="The message's state, in SMPP's words."),
    ]
    error: Annotated[
        str,
        Meta(
            description="The error code that belongs to the state; 000: no error. With the account's setting "
            "`error_codes: carrier` it is the carrier's own code, if it gave one.",
            examples=["000"],
        ),
    ]


class AttemptReport(msgspec.Struct, frozen=True):
    """One attempt to deliver a notification."""

    channel: Annotated[str, Meta(description="`webhook` or `smpp`.")]
    attempt: Annotated[int, Meta(description="Counts from 1. An early attempt has the number of the last one.")]
    at: Annotated[str, Meta(description="RFC 3339, UTC.")]
    answer: Annotated[str, Meta(description="Your answer: an HTTP status, or why there was none.")]
    seconds: Annotated[float, Meta(description="How long the attempt took.")]
    status: Annotated[str, Meta(description="The state in the notification.")]
    url: Annotated[str | UnsetType, Meta(description="The URL that it went to, without login, query and fragment.")] = (
        UNSET
    )
    answer_body: Annotated[str | UnsetType, Meta(description="The first 100 characters of your answer's body.")] = UNSET


class TriedCarrier(msgspec.Struct, frozen=True):
    """One of the carriers that a message went to, one after the other."""

    carrier: Annotated[str, Meta(description="The carrier; empty: the message waits for it.")]
    status: Annotated[str, Meta(description="The state that it reported; ENROUTE: none yet.")]
    carrier_error: Annotated[str, Meta(description="Its own error code, unchanged.")]
    submitted_at: Annotated[str | None, Meta(description="When it took the message.")]
    done_at: Annotated[str | None, Meta(description="When its report came.")]


class MessageReport(msgspec.Struct, frozen=True):
    """Everything that the relay knows about a message."""

    id: Annotated[str, Meta(description="The message's id, a UUID.")]
    to: Annotated[str, Meta(description="The number that it goes to, with its country code and without a plus.")]
    from_: Annotated[str, Meta(description="The sender.")] = field(name="from")
    reference: Annotated[str | None, Meta(description="Your own name for the message.")]
    status: Annotated[
        str,
        Meta(description="As in notifications; SCHEDULED until its time has come, ENROUTE while it is on its way."),
    ]
    send_status: Annotated[str, Meta(description="delivered, failed, carrier-reject, or pending.")]
    error: Annotated[str, Meta(description="The error code, as in notifications.")]
    carrier: Annotated[str, Meta(description="The carrier that took it; empty until one has.")]
    carrier_error: Annotated[
        str,
        Meta(description="The carrier's own error code, unchanged; or the network's, such as `GSM 21`."),
    ]
    parts: Annotated[int, Meta(description="How many SMS the message has.")]
    submitted_at: Annotated[str, Meta(description="When the relay accepted it. RFC 3339, UTC.")]
    done_at: Annotated[
        str | None,
        Meta(description="When it reached its final state: as the carrier says, or else when the relay learnt it."),
    ]
    attempts: Annotated[list[AttemptReport], Meta(description="The attempts to deliver its notification.")]
    learnt_at: Annotated[
        str | UnsetType,
        Meta(description="When the relay learnt its final state. Only present if `done_at` is the carrier's date."),
    ] = UNSET
    send_at: Annotated[
        str | UnsetType, Meta(description="When it is, or was, to be sent. Only there if the message was scheduled.")
    ] = UNSET
    tried: Annotated[
        list[TriedCarrier] | UnsetType,
        Meta(description="The carriers in their order. Only there if it went to another one after one failed."),
    ] = UNSET
    price: Annotated[str | UnsetType, _PRICE] = UNSET
    currency: Annotated[str | UnsetType, _CURRENCY] = UNSET
    refunded: Annotated[
        bool | UnsetType, Meta(description="Whether the price was given back. Only there if there is a price.")
    ] = UNSET


class MessageList(msgspec.Struct, frozen=True):
    """Some of an account's messages."""

    messages: Annotated[list[MessageReport], Meta(description="The messages that were found.")]
    next: Annotated[str | None, Meta(description="`after` takes it, for the next page; null: there is no more.")]
    complete: Annotated[
        bool, Meta(description="False: the search took too long and ended early; go on with `next`, or ask for less.")
    ] = True


class NotificationReport(msgspec.Struct, frozen=True):
    """One notification of the feed."""

    cursor: Annotated[str, Meta(description="Its place in the feed, for the parameter `after`.")]
    id: Annotated[str, Meta(description="The message's id, a UUID.")]
    send_status: Annotated[str, Meta(description="`delivered`, `failed` or `carrier-reject`.")]
    status: Annotated[str, Meta(description="The final state, such as `DELIVRD`.")]
    error: Annotated[str, Meta(description="The error code, as in notifications.")]
    carrier_error: Annotated[str, Meta(description="The carrier's own error code, unchanged; empty if it gave none.")]
    at: Annotated[str, Meta(description="When the relay learnt the state. RFC 3339, UTC.")]


class Feed(msgspec.Struct, frozen=True):
    """A piece of the feed. For the next piece, set `after` to `next`."""

    notifications: Annotated[
        list[NotificationReport], Meta(description="In the order in which the relay learnt the states.")
    ]
    next: Annotated[str, Meta(description="The cursor for the next request; unchanged if there was nothing new.")]


class InboundReport(msgspec.Struct, frozen=True):
    """A message from a handset."""

    id: Annotated[str, Meta(description="The message's id, a UUID.")]
    from_: Annotated[str, Meta(description="The handset's number.")] = field(name="from")
    to: Annotated[str, Meta(description="The number that it sent to.")]
    text: Annotated[str | None, Meta(description="What it says; null if it is no text.")]
    received_at: Annotated[str, Meta(description="When the relay got it, or its last part. RFC 3339, UTC.")]
    parts: Annotated[int, Meta(description="How many SMS the handset sent for it.")]
    missing_parts: Annotated[list[int], Meta(description="The numbers of those that did not come, from 1.")]
    carrier: Annotated[str, Meta(description="The carrier that it came from.")]
    data_coding: Annotated[int, Meta(description="SMPP's data_coding, as the carrier gave it.")]
    udh: Annotated[str | None, Meta(description="The user data header of a message of one part, in hexadecimal.")]
    payload: Annotated[str | None, Meta(description="If it is no text: its octets in hexadecimal.")]


class InboundFeedReport(InboundReport, frozen=True):
    """A message from a handset in the feed."""

    cursor: Annotated[str, Meta(description="Its place in the feed; `after` takes it.")]


class InboundView(InboundReport, frozen=True):
    """A message from a handset, and how it was handed over."""

    attempts: Annotated[list[AttemptReport], Meta(description="The attempts to deliver it to you.")]


class InboundFeed(msgspec.Struct, frozen=True):
    """A piece of the feed of messages from handsets. For the next piece, set `after` to `next`."""

    messages: Annotated[list[InboundFeedReport], Meta(description="In the order in which the relay got them.")]
    next: Annotated[str, Meta(description="The cursor for the next request; unchanged if there was nothing new.")]


class UrlRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A notification URL to set."""

    url: Annotated[
        Annotated[str, _URL] | None,
        Meta(
            description="http or https; null: no notifications by HTTP.",
            examples=["https://yoursite.com/sms/notifications"],
        ),
    ]


class AccountUseReport(msgspec.Struct, frozen=True):
    """What an account has used, and what it may use."""

    messages_today: Annotated[int, Meta(description="Messages accepted today. Those to test numbers don't count.")]
    messages_a_day: Annotated[int, Meta(description="How many may be; 0: no limit.")]
    messages_this_month: Annotated[int, Meta(description="Messages accepted in this calendar month.")]
    messages_a_month: Annotated[int, Meta(description="How many may be; 0: no limit.")]
    day_ends_at: Annotated[str, Meta(description="When the next day begins. RFC 3339, UTC.")]
    month_ends_at: Annotated[str, Meta(description="When the next month begins. RFC 3339, UTC.")]
    time_zone: Annotated[str, Meta(description="Where days and months begin at midnight.", examples=["UTC"])]
    currency: Annotated[
        str | UnsetType, Meta(description="The currency of prices. Only there if messages have prices.")
    ] = UNSET
    balance: Annotated[
        str | UnsetType,
        Meta(
            description="What is left to pay messages with, as decimal text. Only there if the account is prepaid.",
            examples=["112.40"],
        ),
    ] = UNSET


class AccountReport(msgspec.Struct, frozen=True):
    """The account's own settings."""

    account: Annotated[str, Meta(description="The account's name.")]
    notification_url: Annotated[str | None, Meta(description="Where notifications go; null: nowhere.")]
    notification_url_from: Annotated[str, Meta(description="`configuration`, or `setting`: the customer set it.")]
    notification_url_state: Annotated[
        str,
        Meta(description="`on`, `none`, `failing` (its circuit is open), `off: ...` after a 410 or by the operator."),
    ]
    notification_fallback_url: Annotated[
        str | None, Meta(description="The second URL, for notifications that fail at the first.")
    ]
    notification_format: Annotated[str, Meta(description="How the body is written: `json` or `form`.")]
    notification_batch: Annotated[int, Meta(description="The most notifications in one request; 1: no batches.")]
    signed: Annotated[bool, Meta(description="Whether notifications carry a signature.")]
    notify: Annotated[
        str,
        Meta(description="Which states are notified: `final`, `all`, or `progress` (all, and that a carrier took it)."),
    ]
    error_codes: Annotated[
        str,
        Meta(
            description="`standard`: `error` has the relay's codes; `carrier`: the carrier's own code, if it gave one."
        ),
    ]
    messages_a_second: Annotated[float, Meta(description="0: no limit.")]
    burst: Annotated[int, Meta(description="How many messages may be sent at once, within the rate.")]
    use: Annotated[
        AccountUseReport | UnsetType,
        Meta(description="What the account has used. Only there if it has a quota or prices."),
    ] = UNSET


class TestReport(msgspec.Struct, frozen=True):
    """The result of a test notification."""

    ok: Annotated[bool, Meta(description="Whether the receiver answered 2xx.")]
    url: Annotated[str, Meta(description="Where it was sent.")]
    sent: Annotated[str, Meta(description="The body that was sent.")]
    answer: Annotated[str, Meta(description="The HTTP status, or why there was no answer.")]
    seconds: Annotated[float, Meta(description="How long the request took.")]
    body: Annotated[str, Meta(description="The beginning of the body of the answer.")]


class ReplayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The notifications to send again. Give one of `ids`, `since` (with or without `until`), `given_up`, `list`."""

    ids: Annotated[
        Annotated[list[Annotated[str, _ID]], Meta(max_length=MOST_MESSAGES)] | None,
        Meta(description="Those of the messages with these ids."),
    ] = None
    since: Annotated[datetime | None, Meta(description="Those learnt at this instant or later.")] = None
    until: Annotated[datetime | None, Meta(description="With `since`: only those learnt before this instant.")] = None
    given_up: Annotated[bool, Meta(description="Only those that the relay gave up after all retries.")] = False
    list: Annotated[
        dict[str, str] | None,
        Meta(description="Those of the ended messages that `GET /messages` lists with these parameters."),
    ] = None
    count_only: Annotated[bool, Meta(description="With `list`: only counts them, and sends nothing.")] = False


class ReplayReport(msgspec.Struct, frozen=True):
    """How many notifications will be sent again."""

    messages: Annotated[int, Meta(description="The number of notifications.")]
    not_ended: Annotated[int | UnsetType, Meta(description="With `list`: messages that have not ended yet.")] = UNSET
    no_url: Annotated[int | UnsetType, Meta(description="With `list`: messages that have no notification URL.")] = UNSET
    url_not_kept: Annotated[
        int | UnsetType,
        Meta(description="With `list`: old messages whose own URL had a login or a query, which isn't kept so long."),
    ] = UNSET
    complete: Annotated[
        bool | UnsetType, Meta(description="With `list`: false if there are more than 100,000 of them.")
    ] = UNSET


class ReplayProgress(msgspec.Struct, frozen=True):
    """How far the replay of a list has come."""

    state: Annotated[
        Literal["none", "running", "ended", "stopped", "failed"],
        Meta(description="`none`: there was none since the relay's start."),
    ]
    messages: Annotated[int, Meta(description="The number of notifications to send again.")] = 0
    resent: Annotated[int, Meta(description="How many of them were given to be sent.")] = 0
    began_at: Annotated[str | UnsetType, Meta(description="RFC 3339, UTC.")] = UNSET
    reason: Annotated[str | UnsetType, Meta(description="Why it failed.")] = UNSET


_MISSING = re.compile(r"^Object missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"^Object contains unknown field `([^`]+)`")
_PATTERN = re.compile(r"matching regex '(.*?)'(?= - at |$)")
#: The patterns above in words.
_OF_PATTERNS: Final = {
    "^([0-9A-Fa-f]{2})*$": "Expected octets in hexadecimal, two digits each.",
    "^[^\\x00-\\x1f\\x7f-\\x9f]*$": "Expected text without control characters.",
    "^[!-~]+$": "Expected ASCII characters without spaces.",
}
_AT = re.compile(r" - at `\$(?:\[\d+\])?\.?([^`]*)`$")


def problem_of(error: msgspec.ValidationError) -> Problem:
    """Makes a problem document of the error that msgspec found."""
    text = str(error)
    missing = _MISSING.match(text)
    if missing:
        return Problem(422, f"The field '{missing[1]}' is missing.", missing[1], kind="missing-field")
    unknown = _UNKNOWN.match(text)
    if unknown:
        return Problem(422, f"There is no field '{unknown[1]}'.", unknown[1][:100], kind="unknown-field")
    at = _AT.search(text)
    pattern = _PATTERN.search(text)
    # The error has the pattern as Python would write it: with each backslash twice.
    words = _OF_PATTERNS.get(pattern[1].replace("\\\\", "\\")) if pattern else None
    detail = words or _AT.sub("", text).replace("`", "'") + "."
    return Problem(422, detail, at[1] if at else "", kind="invalid-field")


_T = TypeVar("_T")


def from_form(fields: Mapping[str, str], kind: type[_T]) -> _T:
    """Makes a request of a form's fields. An empty field becomes null if it may be null in JSON. A field that is an
    object in JSON is written as one.

    :raises Problem: the fields don't fit.
    """
    nullable = _nullable(kind)  # type: ignore[arg-type]
    values: dict[str, Any] = {name: value if value or name not in nullable else None for name, value in fields.items()}
    if values.get("tlvs"):
        try:
            values["tlvs"] = msgspec.json.decode(values["tlvs"])
        except msgspec.DecodeError:
            raise Problem(422, "Expected a JSON object.", "tlvs", kind="invalid-field") from None
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

"""The calls of the API: what they take, what they answer, and what they are for."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from relay.history.history_entries import NOTIFICATIONS
from relay.history.query_text import MOST_FOUND
from relay.http.api_examples import CURSOR, ID, INBOUND_ID
from relay.http.openapi_webhooks import parameter
from relay.http.types import (
    Accepted,
    AccountReport,
    Feed,
    InboundFeed,
    InboundView,
    MessageList,
    MessageReport,
    MessageRequest,
    ReplayProgress,
    ReplayReport,
    ReplayRequest,
    TestReport,
    UrlRequest,
)


class Operation(NamedTuple):
    """The description of one call of the API.

    :ivar problems: the statuses of its problem documents, besides 401, 403 and 503.
    """

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, Any]
    body: Any = None
    parameters: Sequence[Mapping[str, Any]] = ()
    problems: Sequence[int] = ()
    text: str = ""
    anybody: bool = False


class OneOrMany:
    """The type of a body that is one value, or an array of values. In an array, a problem may replace a value."""

    def __init__(self, item: Any, *, or_problem: bool = False) -> None:
        self.item = item
        self.or_problem = or_problem


def _integer(minimum: int, maximum: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "default": default}


_TEXT: Final = {"type": "string", "maxLength": 200}
_UUID: Final = {"type": "string", "format": "uuid"}
_ID: Final = parameter("id", "path", "The message's id.", _UUID, required=True, example=ID)
_INBOUND_ID: Final = parameter("id", "path", "The message's id.", _UUID, required=True, example=INBOUND_ID)

_FEED_PARAMETERS: Final = (
    parameter(
        "after",
        "query",
        "The `next` of the last answer; 0: from the beginning; end: what comes from now on.",
        {"type": "string", "pattern": "^([0-9]{1,19}|[A-Za-z0-9_-]{22}|end)$", "default": "0"},
        example="0",
    ),
    parameter("limit", "query", "How many at the most.", _integer(1, 1000, 100), example=100),
    parameter("wait", "query", "Seconds to wait if there is nothing new yet.", _integer(0, 60, 0), example=10),
)

OPERATIONS: Final = (
    Operation(
        "post",
        "/messages",
        "submit",
        "Send a message, or up to a thousand",
        {202: OneOrMany(Accepted, or_problem=True)},
        OneOrMany(MessageRequest),
        (
            parameter(
                "Idempotency-Key",
                "header",
                "Makes a repeat harmless: for 24 hours, the same key and body get the first answer again.",
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                example="order-7",
            ),
        ),
        (400, 409, 413, 422, 429),
        "After the answer 202, the messages are on disk and will be sent. The answer to an array has an id or a "
        "problem for each item.",
    ),
    Operation(
        "get",
        "/messages",
        "messages",
        "Search messages",
        {200: MessageList},
        None,
        (
            parameter("id", "query", "The id, or its beginning.", _TEXT, example="72b83667"),
            parameter("to", "query", "The whole number.", _TEXT, example="447700900123"),
            parameter("to_end", "query", "The end of the number.", _TEXT, example="0123"),
            parameter("from", "query", "The sender.", _TEXT, example="RELAY"),
            parameter("reference", "query", "Your own reference.", _TEXT, example="order 7"),
            parameter(
                "status",
                "query",
                "A status, such as DELIVRD, or a send_status, such as failed.",
                _TEXT,
                example="failed",
            ),
            parameter("carrier", "query", "The carrier that took it.", _TEXT, example="first"),
            parameter("carrier_error", "query", "The carrier's own code.", _TEXT, example="005"),
            parameter(
                "notification",
                "query",
                "What became of its notification.",
                {"type": "string", "enum": list(NOTIFICATIONS)},
                example="failed",
            ),
            parameter(
                "since", "query", "Accepted then or later: RFC 3339, or a date.", _TEXT, example="2026-11-24T00:00:00Z"
            ),
            parameter("until", "query", "Accepted before.", _TEXT, example="2026-11-25"),
            parameter(
                "order",
                "query",
                "Which come first.",
                {"type": "string", "enum": ["newest", "oldest"], "default": "newest"},
                example="oldest",
            ),
            parameter("limit", "query", "How many at the most.", _integer(1, MOST_FOUND, 50), example=50),
            parameter("after", "query", "The `next` of the last answer.", _TEXT, example=CURSOR),
        ),
        (422,),
        "All that is given must fit. With a history (`history.days`) it finds every message that is kept, from a "
        "second after its acceptance on; without one, the latest that are in memory, newest first.",
    ),
    Operation(
        "get",
        "/messages/{id}",
        "message",
        "Show a message",
        {200: MessageReport},
        None,
        (_ID,),
        (404,),
        "Its state, and the attempts to deliver its notification.",
    ),
    Operation(
        "delete",
        "/messages/{id}",
        "cancel",
        "Cancel a message",
        {200: MessageReport},
        None,
        (_ID,),
        (404, 409),
        "What is scheduled or waits for a carrier is not sent, and ends as DELETED; its notification follows. 409: a "
        "carrier has it and can't take it back, or it has ended. Cancelling twice is harmless.",
    ),
    Operation(
        "post",
        "/messages/{id}/notify",
        "notify",
        "Send a message's notification again",
        {202: Accepted},
        None,
        (_ID,),
        (404, 409),
        text="The message must have ended, and there must be a URL for its notifications.",
    ),
    Operation(
        "get",
        "/notifications",
        "feed",
        "Read the notifications as a feed",
        {200: Feed},
        None,
        _FEED_PARAMETERS,
        (422, 429),
        "For customers who want to poll, and not to be called. No notification is skipped while new ones arrive.",
    ),
    Operation(
        "post",
        "/notifications/replay",
        "replay",
        "Send notifications again",
        {200: ReplayReport, 202: ReplayReport},
        ReplayRequest,
        (),
        (400, 413, 422, 429),
        text="For many messages at once. The answer counts the notifications; they are sent one after the other. With "
        "a history (`history.days`), `ids` and `list` find messages of all its time. 200: `count_only`, and nothing is "
        "sent.",
    ),
    Operation(
        "get",
        "/notifications/replay",
        "replayProgress",
        "Ask how far the replay of a list has come",
        {200: ReplayProgress},
        text="An account has one at a time. It goes on while your receiver takes notifications, and ends with the "
        "relay's process.",
    ),
    Operation(
        "delete",
        "/notifications/replay",
        "stopReplay",
        "Stop the replay of a list",
        {200: ReplayProgress},
        text="What was given to be sent already is sent.",
    ),
    Operation(
        "get",
        "/inbound",
        "inbound",
        "Read messages from handsets as a feed",
        {200: InboundFeed},
        None,
        _FEED_PARAMETERS,
        (422, 429),
        "The account's messages from handsets, also those that were sent to its `inbound_url`.",
    ),
    Operation(
        "get",
        "/inbound/{id}",
        "inboundMessage",
        "Ask after a message from a handset",
        {200: InboundView},
        None,
        (_INBOUND_ID,),
        (404,),
        text="The message, and the attempts to send it to the account's `inbound_url`.",
    ),
    Operation(
        "post",
        "/inbound/{id}/notify",
        "sendInboundAgain",
        "Have a message from a handset sent to the inbound_url again",
        {202: Accepted},
        None,
        (_INBOUND_ID,),
        (404, 409),
        text="The account must have an `inbound_url`.",
    ),
    Operation(
        "get",
        "/account",
        "account",
        "The account's settings",
        {200: AccountReport},
        text="The account of the key that you log in with.",
    ),
    Operation(
        "put",
        "/account/notification-url",
        "setUrl",
        "Set the notification URL",
        {200: AccountReport},
        UrlRequest,
        (),
        (400, 413, 422),
        "The URL is checked now, is on from now on, and is kept over restarts.",
    ),
    Operation(
        "delete",
        "/account/notification-url",
        "resetUrl",
        "Reset the notification URL to the configuration's",
        {200: AccountReport},
        text="The URL that was set with PUT is forgotten.",
    ),
    Operation(
        "post",
        "/account/test-notification",
        "test",
        "Send a test notification and see the receiver's answer",
        {200: TestReport},
        None,
        (),
        (409,),
        text="The notification is of no real message, and has `x-relay-test: 1`. The relay waits for the answer.",
    ),
    Operation(
        "get",
        "/openapi.json",
        "openapi",
        "This description",
        {200: dict},
        text="For programs. It needs no login.",
        anybody=True,
    ),
)

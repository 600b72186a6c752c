"""Makes the API's description (OpenAPI 3.1) from the types that parse the requests."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from relay.history.history_entries import NOTIFICATIONS
from relay.history.query_text import MOST_FOUND
from relay.http.problems import ProblemDocument
from relay.http.types import (
    MOST_MESSAGES,
    Accepted,
    AccountReport,
    Feed,
    InboundFeed,
    InboundView,
    MessageList,
    MessageReport,
    MessageRequest,
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


def _parameter(name: str, where: str, text: str, schema: Mapping[str, Any], required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": where, "description": text, "required": required, "schema": dict(schema)}


def _integer(minimum: int, maximum: int, default: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "default": default}


_TEXT: Final = {"type": "string", "maxLength": 200}
_ID: Final = _parameter("id", "path", "The message's id.", {"type": "string", "format": "uuid"}, required=True)

_FEED_PARAMETERS: Final = (
    _parameter(
        "after",
        "query",
        "The `next` of the last answer; 0: from the beginning.",
        {"type": "string", "pattern": "^([0-9]{1,19}|[A-Za-z0-9_-]{22})$", "default": "0"},
    ),
    _parameter(
        "limit",
        "query",
        "How many at the most.",
        {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    ),
    _parameter("wait", "query", "Seconds to wait if there is nothing new yet.", _integer(0, 60, 0)),
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
            _parameter(
                "Idempotency-Key",
                "header",
                "Makes a repeat harmless: for 24 hours, the same key and body get the first answer again.",
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
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
            _parameter("id", "query", "The id, or its beginning.", _TEXT),
            _parameter("to", "query", "The whole number.", _TEXT),
            _parameter("to_end", "query", "The end of the number.", _TEXT),
            _parameter("from", "query", "The sender.", _TEXT),
            _parameter("reference", "query", "Your own reference.", _TEXT),
            _parameter("status", "query", "A status, such as DELIVRD, or a send_status, such as failed.", _TEXT),
            _parameter("carrier", "query", "The carrier that took it.", _TEXT),
            _parameter("carrier_error", "query", "The carrier's own code.", _TEXT),
            _parameter(
                "notification",
                "query",
                "What became of its notification.",
                {"type": "string", "enum": list(NOTIFICATIONS)},
            ),
            _parameter("since", "query", "Accepted then or later: RFC 3339, or a date.", _TEXT),
            _parameter("until", "query", "Accepted before.", _TEXT),
            _parameter(
                "order",
                "query",
                "Which come first.",
                {"type": "string", "enum": ["newest", "oldest"], "default": "newest"},
            ),
            _parameter("limit", "query", "How many at the most.", _integer(1, MOST_FOUND, 50)),
            _parameter("after", "query", "The `next` of the last answer.", _TEXT),
        ),
        (422,),
        "All that is given must fit. With a history (`history.days`) it finds every message that is kept, from a "
        "second after its acceptance on; without one, the latest that are in memory, newest first.",
    ),
    Operation("get", "/messages/{id}", "message", "Show a message", {200: MessageReport}, None, (_ID,), (404,)),
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
        {202: ReplayReport},
        ReplayRequest,
        (),
        (400, 413, 422),
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
        (_ID,),
        (404,),
    ),
    Operation(
        "post",
        "/inbound/{id}/notify",
        "sendInboundAgain",
        "Have a message from a handset sent to the inbound_url again",
        {202: Accepted},
        None,
        (_ID,),
        (404, 409),
    ),
    Operation("get", "/account", "account", "The account's settings", {200: AccountReport}),
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
    ),
    Operation("get", "/openapi.json", "openapi", "This description", {200: dict}, anybody=True),
)

_PROBLEMS: Final = {
    400: "The request can't be read.",
    401: "The key is missing or wrong.",
    403: "A browser sent it for a page of another site.",
    404: "The account has no such message.",
    409: "It can't be done now, or not twice.",
    413: "The body is too large.",
    422: "A field is wrong: `field` names it, `detail` says why.",
    429: "Too many at once. Retry-After says when to try again.",
    503: "The relay can't accept anything now. Retry-After says when to try again.",
}


def openapi_document(version: str) -> dict[str, Any]:
    """Makes the description as a dictionary.

    :param version: the relay's version.
    """
    types: list[Any] = [ProblemDocument]
    for operation in OPERATIONS:
        for kind in (operation.body, *operation.answers.values()):
            kind = kind.item if isinstance(kind, OneOrMany) else kind
            if kind is not None and kind not in types:
                types.append(kind)
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(map(str, types), schemas, strict=True))

    def schema(kind: Any) -> dict[str, Any]:
        if isinstance(kind, OneOrMany):
            one = schema_of[str(kind.item)]
            item = {"anyOf": [one, schema_of[str(ProblemDocument)]]} if kind.or_problem else one
            return {"anyOf": [one, {"type": "array", "items": item, "minItems": 1, "maxItems": MOST_MESSAGES}]}
        return schema_of[str(kind)]

    def resolve(reference: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = components[reference["$ref"].rpartition("/")[2]]
        return found

    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation, schema, resolve)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SMS relay",
            "version": version,
            "description": "Send SMS and receive delivery notifications.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "The account's name and its API key."},
                "bearer": {"type": "http", "scheme": "bearer", "description": "The account's API key."},
            },
        },
        "security": [{"basic": []}, {"bearer": []}],
    }


def _described(operation: Operation, schema: Any, resolve: Any) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(status): {"description": operation.summary + ".", "content": {"application/json": {"schema": schema(kind)}}}
        for status, kind in operation.answers.items()
    }
    problem = {"application/problem+json": {"schema": schema(ProblemDocument)}}
    general: tuple[int, ...] = () if operation.anybody else (401, 503)
    if general and operation.method != "get":
        general = (401, 403, 503)
    for status in sorted({*operation.problems, *general}):
        responses[str(status)] = {"description": _PROBLEMS[status], "content": problem}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.text:
        described["description"] = operation.text
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        form = operation.body.item if isinstance(operation.body, OneOrMany) else operation.body
        content = {"application/json": {"schema": schema(operation.body)}}
        if form is not ReplayRequest:
            fields = {"schema": _of_form(resolve(schema(form)))}
            content |= {"application/x-www-form-urlencoded": fields, "multipart/form-data": fields}
        described["requestBody"] = {"required": True, "content": content}
    if operation.anybody:
        described["security"] = []
    return described


def _of_form(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a form. A field that may be null in JSON is left out of the form, or is empty."""
    properties = {}
    for name, field in schema["properties"].items():
        choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
        if len(choices) == 1:
            field = {key: value for key, value in field.items() if key not in ("anyOf", "default")} | choices[0]
            if "pattern" in field:
                field["pattern"] = f"^$|{field['pattern']}"
        properties[name] = field
    return {**schema, "title": schema["title"] + "Form", "properties": properties}

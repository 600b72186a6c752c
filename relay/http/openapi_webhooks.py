"""The part of the OpenAPI document about what the relay sends: notifications, and messages from handsets."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from relay.http.api_examples import FAILED_NOTIFICATION, INBOUND, NOTIFICATION
from relay.http.notification_headers import ALWAYS, HEADERS
from relay.http.types import InboundReport, NotificationBody


def parameter(
    name: str, where: str, text: str, schema: Mapping[str, Any], required: bool = False, *, example: object
) -> dict[str, Any]:
    """Makes the description of a parameter or header."""
    return {
        "name": name,
        "in": where,
        "description": text,
        "required": required,
        "schema": dict(schema),
        "example": example,
    }


_HEADER: Final = {"type": "string", "maxLength": 200}
_WEBHOOK_HEADERS: Final = [
    parameter(name, "header", text, _HEADER, name in ALWAYS, example=example) for name, text, example in HEADERS
]

_WEBHOOK_ANSWERS: Final = {
    "2XX": "You have it. The relay doesn't send it again.",
    "410": "The relay switches the URL off until it is set again.",
    "429": "The relay sends less at once, and nothing until the end of Retry-After.",
    "503": "The relay sends nothing until the end of Retry-After.",
    "default": "The relay tries again, ten times within about three days.",
}


def _webhook(name: str, summary: str, text: str, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "description": text,
            "parameters": _WEBHOOK_HEADERS,
            "requestBody": {"required": True, "description": summary + ".", "content": content},
            "responses": {status: {"description": meaning} for status, meaning in _WEBHOOK_ANSWERS.items()},
            "security": [],
        }
    }


def _one_or_batch(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1, "maxItems": 1000}]},
        "examples": {
            "one": {"summary": "One notification", "value": NOTIFICATION},
            "batch": {"summary": "A batch", "value": [NOTIFICATION, FAILED_NOTIFICATION]},
        },
    }


def webhooks(schema: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Makes the document's `webhooks`.

    :param schema: gives a type's schema.
    """
    return {
        "notification": _webhook(
            "notification",
            "A notification: what became of a message",
            "The relay sends it to the notification URL. With `notification_batch` the body is an array; with "
            "`notification_format: form` it is a form.",
            {"application/json": _one_or_batch(schema(NotificationBody))}
            | {"application/x-www-form-urlencoded": {"schema": schema(NotificationBody), "example": NOTIFICATION}},
        ),
        "inbound": _webhook(
            "inboundNotification",
            "A message from a handset",
            "The relay sends it to the account's `inbound_url`.",
            {"application/json": {"schema": schema(InboundReport), "example": INBOUND}},
        ),
    }

"""Makes the description (OpenAPI 3.1) of the admin API from the types of the configuration."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from relay.config.config_entries import ENTRY_TYPES, Table
from relay.operator.entry_requests import Entry, EntryChanged, EntryPage, NotDone
from relay.values.secret import Secret

_REFERENCE: Final = "#/components/schemas/{name}"
_SECRET: Final = {
    "description": 'Write only. It is shown as `{"is_set": true}`; who sends that back keeps the secret.',
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"is_set": {"const": True}}, "required": ["is_set"]},
    ],
}
_STATUSES: Final = {
    400: "The request can't be read.",
    401: "Nobody is logged in.",
    403: "The user may not do this, or the header X-Relay-Action is missing.",
    404: "There is no such entry, or the API is off.",
    409: "The entry is in the main file, or the files differ from the configuration in use.",
    412: "The entry is another one than If-Match or If-None-Match says.",
    413: "The body is too large.",
    422: "The configuration would be wrong: `problems` says why.",
    428: "If-Match is missing.",
    429: "Too many wrong passwords.",
    503: "The relay can't do it now.",
}
#: A right entry of each kind.
EXAMPLES: Final[Mapping[Table, dict[str, Any]]] = {
    "accounts": {"api_key": "correct-horse-battery", "notification_url": "https://example.com/sms", "rate": 50},
    "carriers": {"connect": "tls:smpp.example.net:3550", "system_id": "relay", "password": "secret08", "window": 50},
    "routes": {"prefix": "44", "carriers": ["tier1"]},
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of the entry that the sender has seen. Only a new entry needs none.",
    "schema": {"type": "string"},
}
_COMMON: Final = (
    {
        "name": "X-Relay-Action",
        "in": "header",
        "required": True,
        "description": "Any value. It keeps web pages of other sites from sending the request.",
        "schema": {"type": "string", "examples": ["1"]},
    },
    {
        "name": "reason",
        "in": "query",
        "description": "Why, for the record.",
        "schema": {"type": "string", "maxLength": 200},
    },
)


def openapi_document(version: str) -> dict[str, Any]:
    """Makes the description as a dictionary.

    :param version: the relay's version.
    """
    types = [*ENTRY_TYPES.values(), Entry, EntryChanged, EntryPage, NotDone]
    _, components = msgspec.json.schema_components(types, ref_template=_REFERENCE, schema_hook=_schema_of_secret)
    paths: dict[str, Any] = {}
    for table, kind in ENTRY_TYPES.items():
        one = table[:-1]
        paths[f"/configuration/{table}"] = {"get": _list(table)}
        paths[f"/configuration/{table}/{{name}}"] = {
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": _operation(f"get_{one}", f"Shows the {one}", {200: Entry}, (401, 404, 409, 429)),
            "put": _change(f"put_{one}", f"Creates or replaces the {one}", table, _ref(kind), "application/json"),
            "patch": _change(
                f"patch_{one}",
                f"Changes some keys of the {one}; null removes a key",
                table,
                {"type": "object"},
                "application/merge-patch+json",
            ),
            "delete": _change(f"delete_{one}", f"Deletes the {one}", table, None, ""),
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SMS relay: admin API",
            "version": version,
            "description": "Accounts, carriers and routes. See docs/admin-api.md.",
        },
        "servers": [{"url": "/", "description": "The relay that gives this description."}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "One of admin.users and the password."}
            },
        },
        "security": [{"basic": []}],
    }


def _schema_of_secret(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return dict(_SECRET)
    raise NotImplementedError


def _ref(kind: type) -> dict[str, Any]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def _list(table: Table) -> dict[str, Any]:
    operation = _operation(f"list_{table}", f"Lists the {table}", {200: EntryPage}, (401, 404, 409, 422, 429))
    operation["parameters"] = [
        {"name": "after", "in": "query", "description": "`next` of the page before.", "schema": {"type": "string"}},
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 100},
        },
    ]
    return operation


def _change(name: str, summary: str, table: Table, schema: dict[str, Any] | None, media_type: str) -> dict[str, Any]:
    answers: dict[int, type] = {200: EntryChanged}
    if name.startswith("put"):
        answers[201] = EntryChanged
    operation = _operation(name, summary, answers, tuple(_STATUSES))
    operation["parameters"] = [_IF_MATCH, *_COMMON]
    if schema is not None:
        content = {media_type: {"schema": schema, "example": EXAMPLES[table]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _operation(name: str, summary: str, answers: Mapping[int, type], refused: tuple[int, ...]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(status): {
            "description": f"{summary}.",
            "headers": {"ETag": {"description": "Of one entry that can be changed.", "schema": {"type": "string"}}},
            "content": {"application/json": {"schema": _ref(kind)}},
        }
        for status, kind in answers.items()
    }
    for status in refused:
        # Who isn't logged in gets plain text.
        content = (
            {"text/plain": {}} if status in (401, 403, 413, 429) else {"application/json": {"schema": _ref(NotDone)}}
        )
        responses[str(status)] = {"description": _STATUSES[status], "content": content}
    return {"operationId": name, "summary": summary, "responses": dict(sorted(responses.items()))}

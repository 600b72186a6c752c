"""Makes the API's description (OpenAPI 3.1) from the types that parse the requests."""

from typing import Any, Final

import msgspec

from relay.http.api_examples import EXAMPLES
from relay.http.api_operations import OPERATIONS, OneOrMany, Operation
from relay.http.openapi_webhooks import webhooks
from relay.http.problems import Problem, ProblemDocument
from relay.http.types import MOST_MESSAGES, InboundReport, NotificationBody, ReplayRequest

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
    types: list[Any] = [ProblemDocument, NotificationBody, InboundReport]
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
        "servers": [{"url": "/", "description": "The relay that gives this description."}],
        "paths": paths,
        "webhooks": webhooks(schema),
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
    example = EXAMPLES[operation.name]
    responses: dict[str, Any] = {
        str(status): {
            "description": operation.summary + ".",
            "content": {"application/json": {"schema": schema(kind), "example": example.answer}},
        }
        for status, kind in operation.answers.items()
    }
    general: tuple[int, ...] = () if operation.anybody else (401, 503)
    if general and operation.method != "get":
        general = (401, 403, 503)
    for status in sorted({*operation.problems, *general}):
        problem = msgspec.to_builtins(Problem(status, _PROBLEMS[status]).document)
        responses[str(status)] = {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": {"schema": schema(ProblemDocument), "example": problem}},
        }
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
        content = {"application/json": {"schema": schema(operation.body), "example": example.body}}
        if form is not ReplayRequest:
            fields = {"schema": _of_form(resolve(schema(form))), "example": example.body}
            content |= {"application/x-www-form-urlencoded": fields, "multipart/form-data": fields}
        described["requestBody"] = {"required": True, "description": operation.summary + ".", "content": content}
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

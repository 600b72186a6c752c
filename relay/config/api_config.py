"""The keys of carriers of `kind: api`: what a carrier's own HTTP API is like. docs/http-carriers.md explains them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from relay.config.config_struct import ConfigStruct
from relay.config.setting_types import about

#: How long a message is valid, as a carrier's API may limit it.
ValiditySeconds = Annotated[int, Meta(ge=1)]


class ApiReceipts(ConfigStruct, frozen=True):
    """How receipts come back: POSTs or GETs to `/carriers/NAME/receipts`, as JSON, a form, or a query."""

    verify: Annotated[
        Literal["token", "twilio", "telnyx", "hmac-sha256"] | None,
        about(
            "How a receipt proves that it is the carrier's. token: signing_secret ends the path; twilio: "
            "X-Twilio-Signature, with the carrier's password; telnyx: Ed25519, signing_secret is their public key; "
            "hmac-sha256: a header with the HMAC of the body in hexadecimal."
        ),
    ] = None
    signature_header: Annotated[str | None, about("For hmac-sha256: the header.")] = None
    items: Annotated[str | None, about("Where the array of receipts is, if one request brings several.")] = None
    id: Annotated[str | None, about("Where the carrier's id of the message is.")] = None
    state: Annotated[str | None, about("Where the state is; `dialect.states` says what the carrier's words mean.")] = (
        None
    )
    error: Annotated[str | None, about("Where the carrier's error code is.")] = None


class Api(ConfigStruct, frozen=True):
    """The carrier's own HTTP API. Keys that are left out are those of the preset."""

    preset: Annotated[
        Literal["twilio", "vonage", "infobip", "telnyx", "json"],
        about("Begin with the settings of a known carrier; json: a plain JSON API."),
    ] = "json"
    public_url: Annotated[
        str,
        about(
            "This relay's HTTP API as the carrier reaches it, such as https://relay.example.org; receipts come there."
        ),
    ] = ""
    concurrency: Annotated[
        int, Meta(ge=1, le=100, description="Requests under way at once, each with one message.")
    ] = 10
    method: Annotated[Literal["POST", "PUT", "GET"] | None, about("The method of a request.")] = None
    path: Annotated[str | None, about("The path after `connect`, with placeholders such as `{to}`.")] = None
    login: Annotated[
        Literal["none", "basic", "bearer"] | None,
        about("basic: system_id and password; bearer: the password as a token; none: the template has them."),
    ] = None
    headers: Annotated[dict[str, str] | None, about("Further headers, with placeholders.")] = None
    content_type: Annotated[str | None, about("What the body is; placeholders are escaped as it needs.")] = None
    body: Annotated[str | None, about("The body, with placeholders.")] = None
    binary_body: Annotated[
        str | None,
        about("The body for what is no whole text: `{payload}`, `{udh}`, `{data_coding}`; without it, refused."),
    ] = None
    id: Annotated[str | None, about("Where the id is in the answer, such as `messages.0.id`.")] = None
    error: Annotated[str | None, about("Where the error code is in the answer.")] = None
    no_error: Annotated[list[str] | None, about("Values of the error code that mean success.")] = None
    errors: Annotated[
        dict[str, str] | None,
        about("What error codes and HTTP statuses mean, as SMPP statuses: `{429: ESME_RTHROTTLED}`."),
    ] = None
    shortest_validity_seconds: Annotated[ValiditySeconds | None, about("A shorter validity is sent as this one.")] = (
        None
    )
    longest_validity_seconds: Annotated[ValiditySeconds | None, about("A longer validity is sent as this one.")] = None
    receipts: ApiReceipts = msgspec.field(default_factory=ApiReceipts)

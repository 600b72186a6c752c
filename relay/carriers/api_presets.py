"""The HTTP APIs of known carriers, for `kind: api` with `api: {preset: NAME}`.

Each preset names the pages of the carrier's own documentation that it is made from, and tests hold it to their
examples. None was tried with the carrier itself. A carrier may change its API: the keys of the configuration go before
those here.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from relay.config.api_config import Api, ApiReceipts

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = "application/json"


class ApiPreset(msgspec.Struct, frozen=True):
    """One known API.

    :ivar title: whose it is.
    :ivar about: what an operator must know, in a sentence or two.
    :ivar source: where it is described.
    :ivar connect: the base URL; "": each customer has their own.
    :ivar states: what the words in its receipts mean, beside those that mean the same everywhere.
    """

    title: str
    about: str
    source: str
    connect: str
    api: Api
    states: Mapping[str, str] = {}


API_PRESETS: Final[Mapping[str, ApiPreset]] = {
    "twilio": ApiPreset(
        "Twilio",
        "system_id is the Account SID, password the auth token, which also signs receipts. public_url must be exactly "
        "what Twilio calls, because the signature covers it.",
        "twilio.com/docs/messaging/api/message-resource, /docs/usage/security, /docs/api/errors",
        "https://api.twilio.com",
        Api(
            method="POST",
            path="/2010-04-01/Accounts/{system_id}/Messages.json",
            login="basic",
            headers={},
            content_type=_FORM,
            body="To={to}&From={from}&Body={text}&ValidityPeriod={validity_seconds}&StatusCallback={receipt_url}",
            id="sid",
            error="code",
            no_error=[],
            errors={
                "20429": "ESME_RTHROTTLED",
                "21211": "ESME_RINVDSTADR",
                "21212": "ESME_RINVSRCADR",
                "21606": "ESME_RINVSRCADR",
                "21610": "ESME_RINVDSTADR",
                "21611": "ESME_RMSGQFUL",
                "21614": "ESME_RINVDSTADR",
                "21617": "ESME_RINVMSGLEN",
            },
            longest_validity_seconds=36_000,
            receipts=ApiReceipts(verify="twilio", id="MessageSid", state="MessageStatus", error="ErrorCode"),
        ),
        {"QUEUED": "ENROUTE", "SENDING": "ENROUTE", "SENT": "ENROUTE", "CANCELED": "DELETED"},
    ),
    "vonage": ApiPreset(
        "Vonage SMS API",
        "system_id is the API key, password the API secret. Receipts come to the callback with the token in its path.",
        "developer.vonage.com/en/api/sms, /en/api-errors/sms",
        "https://rest.nexmo.com",
        Api(
            method="POST",
            path="/sms/json",
            login="none",
            headers={},
            content_type=_FORM,
            body="api_key={system_id}&api_secret={password}&from={from_digits}&to={to_digits}&type={text_type}&text={text}"
            "&ttl={validity_milliseconds}&callback={receipt_url}",
            binary_body="api_key={system_id}&api_secret={password}&from={from_digits}&to={to_digits}&type=binary"
            "&udh={udh}&body={payload}&ttl={validity_milliseconds}&callback={receipt_url}",
            id="messages.0.message-id",
            error="messages.0.status",
            no_error=["0"],
            errors={
                "1": "ESME_RTHROTTLED",
                "4": "ESME_RINVPASWD",
                "5": "ESME_RSYSERR",
                "7": "ESME_RINVDSTADR",
                "9": "ESME_RMSGQFUL",
                "10": "ESME_RTHROTTLED",
                "12": "ESME_RINVMSGLEN",
                "15": "ESME_RINVSRCADR",
            },
            shortest_validity_seconds=20,
            receipts=ApiReceipts(verify="token", id="messageId", state="status", error="err-code"),
        ),
        {"BUFFERED": "ENROUTE"},
    ),
    "infobip": ApiPreset(
        "Infobip SMS API",
        "connect is your own base URL (https://XXXXX.api.infobip.com), password the API key. Receipts come to "
        "notifyUrl with the token in its path.",
        "infobip.com/docs/api/channels/sms, dev.infobip.com/docs/notify-url",
        "",
        Api(
            method="POST",
            path="/sms/2/text/advanced",
            login="none",
            headers={"Authorization": "App {password}"},
            content_type=_JSON,
            body='{"messages": [{"from": "{from_digits}", "destinations": [{"to": "{to_digits}"}], "text": "{text}", '
            '"validityPeriod": {validity_minutes}, "notifyUrl": "{receipt_url}", '
            '"notifyContentType": "application/json"}]}',
            id="messages.0.messageId",
            error="requestError.serviceException.messageId|messages.0.status.groupName",
            no_error=["PENDING", "DELIVERED"],
            errors={"TOO_MANY_REQUESTS": "ESME_RTHROTTLED", "REJECTED": "ESME_RSUBMITFAIL"},
            receipts=ApiReceipts(
                verify="token", items="results", id="messageId", state="status.groupName", error="error.id"
            ),
        ),
        {"PENDING": "ENROUTE"},
    ),
    "telnyx": ApiPreset(
        "Telnyx Messaging API v2",
        "password is the API key, signing_secret the public key of the portal, which verifies receipts.",
        "developers.telnyx.com/api-reference/messages, /api-reference/callbacks/delivery-update",
        "https://api.telnyx.com",
        Api(
            method="POST",
            path="/v2/messages",
            login="bearer",
            headers={},
            content_type=_JSON,
            body='{"from": "{from}", "to": "{to}", "text": "{text}", "webhook_url": "{receipt_url}"}',
            id="data.id",
            error="errors.0.code",
            no_error=[],
            errors={"10011": "ESME_RTHROTTLED", "40310": "ESME_RINVDSTADR", "40300": "ESME_RINVDSTADR"},
            receipts=ApiReceipts(
                verify="telnyx",
                id="data.payload.id",
                state="data.payload.to.0.status",
                error="data.payload.errors.0.code",
            ),
        ),
        {
            "QUEUED": "ENROUTE",
            "SENDING": "ENROUTE",
            "SENT": "ENROUTE",
            "SENDING_FAILED": "UNDELIV",
            "DELIVERY_FAILED": "UNDELIV",
            "DELIVERY_UNCONFIRMED": "UNKNOWN",
        },
    ),
    "json": ApiPreset(
        "A plain JSON API",
        "One object a message; the key Idempotency-Key lets the carrier recognise a message that is sent again.",
        "ours",
        "",
        Api(
            method="POST",
            path="/messages",
            login="bearer",
            headers={"Idempotency-Key": "{id}"},
            content_type=_JSON,
            body='{"to": "{to_digits}", "from": "{from_digits}", "text": "{text}", '
            '"validity_seconds": {validity_seconds}, "receipt_url": "{receipt_url}"}',
            id="id",
            error="error",
            no_error=[],
            errors={},
            receipts=ApiReceipts(verify="token", id="id", state="status", error="error"),
        ),
    ),
}

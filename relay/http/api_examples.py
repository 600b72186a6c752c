"""An example of every call of the API and of its answer, for OpenAPI and the page `/docs`."""

from typing import Any, Final, NamedTuple

ID: Final = "72b83667-a8f1-4c09-861f-e1ee6dd4561b"
INBOUND_ID: Final = "0b3f1f2a-6f0e-4a55-9a4e-5a4b9f1a1c11"
URL: Final = "https://yoursite.com/sms/notifications"
CURSOR: Final = "aOcLhbXUHX0QTIcM59QHKw"

NOTIFICATION: Final = {"url": URL, "id": ID, "send_status": "delivered", "status": "DELIVRD", "error": "000"}
FAILED_NOTIFICATION: Final = {
    "url": URL,
    "id": "0b7dd85f-0f8e-4d36-9e4c-0e0e2d4f7a4e",
    "send_status": "failed",
    "status": "UNDELIV",
    "error": "005",
}
INBOUND: Final = {
    "id": INBOUND_ID,
    "from": "447700900123",
    "to": "12345",
    "text": "STOP",
    "received_at": "2026-11-24T00:25:46.493Z",
    "parts": 1,
    "missing_parts": [],
    "carrier": "first",
    "data_coding": 0,
    "udh": None,
    "payload": None,
}
PROBLEM: Final = {
    "type": "/docs#problem-missing-field",
    "title": "A field is missing",
    "status": 422,
    "detail": "The field 'from' is missing.",
    "field": "from",
}

_ATTEMPT: Final = {
    "channel": "webhook",
    "attempt": 1,
    "at": "2026-11-24T00:25:46.501Z",
    "answer": "204",
    "seconds": 0.004,
    "status": "DELIVRD",
}
_MESSAGE: Final = {
    "id": ID,
    "to": "447700900123",
    "from": "RELAY",
    "reference": "order 7",
    "status": "DELIVRD",
    "send_status": "delivered",
    "error": "000",
    "carrier": "first",
    "carrier_error": "000",
    "parts": 1,
    "submitted_at": "2026-11-24T00:25:44.990Z",
    "done_at": "2026-11-24T00:25:00.000Z",
    "attempts": [_ATTEMPT],
    "learnt_at": "2026-11-24T00:25:46.493Z",
}
_CANCELLED: Final = {
    **{name: value for name, value in _MESSAGE.items() if name != "learnt_at"},
    "status": "DELETED",
    "send_status": "failed",
    "error": "004",
    "carrier": "",
    "carrier_error": "",
    "done_at": "2026-11-24T00:25:46.493Z",
    "attempts": [],
}
_ENTRY: Final = {
    "cursor": CURSOR,
    "id": ID,
    "send_status": "delivered",
    "status": "DELIVRD",
    "error": "000",
    "carrier_error": "000",
    "at": "2026-11-24T00:25:46.493Z",
}
_ACCOUNT: Final = {
    "account": "acme",
    "notification_url": URL,
    "notification_url_from": "setting",
    "notification_url_state": "on",
    "notification_fallback_url": None,
    "notification_format": "json",
    "notification_batch": 1,
    "signed": True,
    "notify": "final",
    "error_codes": "standard",
    "messages_a_second": 0.0,
    "burst": 0,
}


class Example(NamedTuple):
    """An example of a call.

    :ivar path: what stands after the path's pattern is filled in, with the query.
    :ivar body: the body of the request as JSON; None: there is none.
    """

    path: str
    answer: Any
    body: Any = None


_PROGRESS: Final = {"state": "running", "messages": 12000, "resent": 4250, "began_at": "2026-11-24T09:00:00.000Z"}

#: By the operation's name.
EXAMPLES: Final = {
    "submit": Example(
        "/messages",
        {"id": ID},
        {"to": "+447700900123", "from": "RELAY", "text": "Your code is 493 022.", "reference": "order 7"},
    ),
    "messages": Example(
        "/messages?status=delivered&limit=1",
        {"messages": [_MESSAGE], "next": "2iHYXk0cPjSLE6Z1rlSLQQ", "complete": True},
    ),
    "message": Example(f"/messages/{ID}", _MESSAGE),
    "cancel": Example(f"/messages/{ID}", _CANCELLED),
    "notify": Example(f"/messages/{ID}/notify", {"id": ID}),
    "feed": Example("/notifications?after=0&limit=100&wait=10", {"notifications": [_ENTRY], "next": CURSOR}),
    "replay": Example(
        "/notifications/replay",
        {"messages": 12},
        {"since": "2026-11-24T00:00:00Z", "until": "2026-11-24T06:00:00Z"},
    ),
    "replayProgress": Example("/notifications/replay", _PROGRESS),
    "stopReplay": Example("/notifications/replay", {**_PROGRESS, "state": "stopped"}),
    "inbound": Example("/inbound?after=0&limit=100", {"messages": [{"cursor": CURSOR, **INBOUND}], "next": CURSOR}),
    "inboundMessage": Example(f"/inbound/{INBOUND_ID}", {**INBOUND, "attempts": [_ATTEMPT]}),
    "sendInboundAgain": Example(f"/inbound/{INBOUND_ID}/notify", {"id": INBOUND_ID}),
    "account": Example("/account", _ACCOUNT),
    "setUrl": Example("/account/notification-url", _ACCOUNT, {"url": URL}),
    "resetUrl": Example(
        "/account/notification-url",
        {**_ACCOUNT, "notification_url_from": "configuration", "notification_url": None}
        | {"notification_url_state": "none"},
    ),
    "test": Example(
        "/account/test-notification",
        {
            "ok": True,
            "url": URL,
            "sent": '{"url":"https://yoursite.com/sms/notifications", ...}',
            "answer": "204",
            "seconds": 0.003,
            "body": "",
        },
    ),
    "openapi": Example("/openapi.json", {"openapi": "3.1.0", "info": {"title": "SMS relay", "version": "1.0.0"}}),
}

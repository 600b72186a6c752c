"""One webhook request: body and headers for the notifications that go together.

Headers follow the Standard Webhooks specification; `X-Relay-Attempt` counts from 1, and `X-Relay-Carrier-Error` says
what the carrier itself wrote, where it wrote anything. `X-Relay-Reference` is the customer's own name for the message,
percent-encoded UTF-8.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from relay.accounts.signing import signature
from relay.values.messages import Notification
from relay.webhooks.body import (
    FORM_TYPE,
    JSON_TYPE,
    batch_body,
    batch_webhook_id,
    form_body,
    header_safe,
    json_body,
    webhook_id,
)


class WebhookRequest(NamedTuple):
    """What to send. `headers` is the receiver's to change; `body` is None for a GET."""

    method: str
    url: str
    headers: dict[bytes, list[bytes]]
    body: bytes | None


def webhook_request(
    notifications: Sequence[Notification],
    url: str,
    *,
    form: bool,
    array: bool,
    error_codes: str,
    keys: Sequence[bytes],
    now: float,
) -> WebhookRequest:
    """The POST that hands notifications over.

    :param url: the notification URL as the customer set it; it stands in the body as well.
    :param form: form-encoded instead of JSON; only for single notifications.
    :param array: a JSON array, as the account asked for by `notification_batch`.
    :param keys: what signs; nothing is signed without.
    """
    n = notifications[0]
    if array:
        body, content_type, webhook = (
            batch_body(notifications, url, error_codes),
            JSON_TYPE,
            batch_webhook_id(notifications),
        )
        attempt = max(n.attempt for n in notifications)
    else:
        body = form_body(n, url, error_codes) if form else json_body(n, url, error_codes)
        content_type, webhook, attempt = FORM_TYPE if form else JSON_TYPE, webhook_id(n), n.attempt
    headers = signed_headers(webhook, content_type, body, attempt, keys, now)
    if n.carrier_error and not array:
        headers[b"X-Relay-Carrier-Error"] = [header_safe(n.carrier_error)]
    if n.reference and not array:
        headers[b"X-Relay-Reference"] = [quote(n.reference, safe="").encode()]
    return WebhookRequest("POST", url, headers, body)


def signed_headers(
    webhook: bytes, content_type: bytes, body: bytes, attempt: int, keys: Sequence[bytes], now: float
) -> dict[bytes, list[bytes]]:
    """The headers of a POST by the Standard Webhooks specification.

    :param webhook: the `webhook-id`.
    :param keys: what signs; nothing is signed without.
    """
    timestamp = b"%d" % now
    headers = {
        b"Content-Type": [content_type],
        b"Webhook-Id": [webhook],
        b"Webhook-Timestamp": [timestamp],
        b"X-Relay-Attempt": [b"%d" % attempt],
    }
    if keys:
        headers[b"Webhook-Signature"] = [signature(keys, webhook, timestamp, body)]
    return headers

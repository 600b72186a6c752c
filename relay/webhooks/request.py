"""Makes one webhook request: the body and the headers for one notification or one batch.

The headers follow the Standard Webhooks specification. The relay adds three headers. `X-Relay-Attempt` counts from 1.
`X-Relay-Carrier-Error` is the carrier error, if the carrier reported one. `X-Relay-Reference` is the customer's own
name for the message, as percent-encoded UTF-8.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from relay.accounts.signing import signature
from relay.values.notifications import Notification
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
    """Holds a request to send. The code that gets it may change `headers`; `body` is None for a GET."""

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
    """Makes the POST for one notification or a batch.

    :param notifications: the batch; it has only one notification unless `array` is True.
    :param url: the notification URL as the customer set it; the body also has it.
    :param form: True: the body is a form instead of JSON; only for single notifications.
    :param array: True: the body is a JSON array, because the account has a `notification_batch`.
    :param error_codes: the account's setting, see `relay.webhooks.body.error_of`.
    :param keys: the keys for signatures; without keys the request has no signature.
    :param now: seconds since 1970, for the signature.
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
    """Returns the headers that the Standard Webhooks specification asks for, and `X-Relay-Attempt`.

    :param webhook: the `webhook-id`.
    :param keys: the keys for signatures; without keys the request has no signature.
    :param now: seconds since 1970, for the signature.
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

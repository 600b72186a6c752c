"""Makes the webhook request for a message from a handset: as JSON, or in the format of Kannel or Jasmin."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from relay.text.from_handsets import text_of
from relay.values.ids import id_text
from relay.values.inbound import InboundMessage
from relay.values.instants import instant
from relay.values.messages import destination_of, source_of
from relay.values.notifications import Notification
from relay.webhooks.body import FORM_TYPE, JSON_TYPE
from relay.webhooks.callbacks import Words, fill, with_plus
from relay.webhooks.request import WebhookRequest, signed_headers

_UCS2: Final = 8


def inbound_fields(message: InboundMessage) -> dict[str, Any]:
    """Returns the fields of a message from a handset, for JSON webhooks and for the feed."""
    text = text_of(message.octets, message.data_coding)
    return {
        "id": id_text(message.id),
        "from": source_of(message.addresses).decode("latin-1"),
        "to": destination_of(message.addresses).decode("latin-1"),
        "text": text,
        "received_at": instant(message.received_at),
        "parts": message.parts,
        "missing_parts": list(message.missing),
        "carrier": message.carrier,
        "data_coding": message.data_coding,
        "udh": message.header.hex() or None,
        "payload": message.octets.hex() if text is None else None,
    }


def inbound_request(
    notification: Notification, url: str, manner: str, keys: Sequence[bytes], now: float
) -> WebhookRequest:
    """Makes the request for one attempt.

    :param url: the account's inbound_url.
    :param manner: the account's inbound_format.
    :param keys: the keys for signatures; see `relay.webhooks.request.webhook_request`.
    :param now: seconds since 1970, for the signature.
    """
    message = notification.inbound
    assert message is not None
    if manner == "kannel":
        return WebhookRequest("GET", _kannel(url, message), {}, None)
    if manner == "json":
        body, content_type = msgspec.json.encode(inbound_fields(message)), JSON_TYPE
    else:
        body, content_type = urlencode(_jasmin(message)).encode("ascii"), FORM_TYPE
        if manner == "jasmin-get":
            url = url.partition("#")[0]
            return WebhookRequest("GET", f"{url}{'&' if '?' in url else '?'}{body.decode('ascii')}", {}, None)
    webhook_id = id_text(message.id).encode() + b"_inbound"
    headers = signed_headers(webhook_id, content_type, body, notification.attempt, keys, now)
    return WebhookRequest("POST", url, headers, body)


def _kannel(pattern: str, message: InboundMessage) -> str:
    """Fills in the URL of Kannel's `get-url` of an sms-service.

    Here the handset is the sender, and `%a` is the text that it sent.
    """
    source = source_of(message.addresses).decode("latin-1")
    destination = destination_of(message.addresses).decode("latin-1")
    known = text_of(message.octets, message.data_coding)
    text = message.octets.decode("latin-1") if known is None else known
    words = Words(text)
    id_ = id_text(message.id)
    at = datetime.fromtimestamp(message.received_at, UTC)
    escapes: Mapping[str, str] = {
        "p": source,
        "P": destination,
        "q": with_plus(source),
        "Q": with_plus(destination),
        "a": " ".join(text.split()),
        "b": text,
        "e": message.octets.hex().upper(),
        "k": words.first(),
        "t": at.strftime("%Y-%m-%d %H:%M:%S"),
        "T": str(int(message.received_at)),
        "i": message.carrier,
        "I": id_,
        "F": id_,
        "n": message.account,
        "c": "2" if message.data_coding == _UCS2 else "1" if known is None else "0",
        "C": "UTF-8",
        "m": "-1",
        "M": "-1",
        "u": message.header.hex().upper(),
        "O": str(message.data_coding),
        **dict.fromkeys("ABDdfoRvV", ""),
    }
    return fill(pattern, escapes, words)


def _jasmin(message: InboundMessage) -> dict[str, str | bytes]:
    """Returns the fields of Jasmin's callbacks for messages from handsets (MO)."""
    # Jasmin passes the octets on unchanged in `content`, and in hexadecimal in `binary`.
    return {
        "id": id_text(message.id),
        "from": source_of(message.addresses).decode("latin-1"),
        "to": destination_of(message.addresses).decode("latin-1"),
        "origin-connector": message.carrier,
        "priority": "0",
        "coding": str(message.data_coding),
        "content": message.octets,
        "binary": message.octets.hex(),
    }

"""What a notification looks like on its way to a customer's URL: the five fields and the headers.

The body has exactly the five fields of the contract, always strings, as JSON or as a form. It is put together from
pieces, of which those that say the state are made once.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote_plus

import msgspec

from relay.values.ids import id_text
from relay.values.messages import Notification
from relay.values.states import CustomerWords, customer_words

JSON_TYPE: Final = b"application/json"
FORM_TYPE: Final = b"application/x-www-form-urlencoded"


def error_of(words: CustomerWords, carrier_error: bytes, error_codes: str) -> str:
    """The `error` field, for an account's setting `error_codes`: the contract's, or the carrier's own where it gave
    one."""
    if error_codes == "carrier" and carrier_error:
        return carrier_error.decode("latin-1")
    return words.error


@lru_cache(maxsize=4096)
def _json_tail(state: int, carrier_error: bytes, error_codes: str) -> bytes:
    words = customer_words(state, carrier_error)
    error = msgspec.json.encode(error_of(words, carrier_error, error_codes))
    return b'","send_status":"%b","status":"%b","error":%b}' % (
        words.send_status.encode(),
        words.status.encode(),
        error,
    )


def json_body(notification: Notification, url: str, error_codes: str) -> bytes:
    """One notification as a JSON object.

    :param url: the notification URL as the customer set it.
    :param error_codes: the account's setting.
    """
    n = notification
    return b'{"url":%b,"id":"%b%b' % (
        msgspec.json.encode(url),
        id_text(n.id).encode(),
        _json_tail(n.state, n.carrier_error, error_codes),
    )


def form_body(notification: Notification, url: str, error_codes: str) -> bytes:
    """One notification as application/x-www-form-urlencoded."""
    words = customer_words(notification.state, notification.carrier_error)
    error = error_of(words, notification.carrier_error, error_codes)
    return (
        f"url={quote_plus(url)}&id={id_text(notification.id)}&send_status={words.send_status}"
        f"&status={words.status}&error={quote_plus(error)}"
    ).encode()


def batch_body(notifications: Sequence[Notification], url: str, error_codes: str) -> bytes:
    """Several notifications as a JSON array of the same objects."""
    return b"[%b]" % b",".join([json_body(n, url, error_codes) for n in notifications])


def webhook_id(notification: Notification) -> bytes:
    """The `webhook-id` of a notification: the same for every attempt, another for every state of a message."""
    return b"%b_%b" % (id_text(notification.id).encode(), customer_words(notification.state, b"").status.encode())


def batch_webhook_id(notifications: Sequence[Notification]) -> bytes:
    """The `webhook-id` of a batch: the same whenever the same notifications go together."""
    digest = hashlib.sha256(b"".join([n.id + bytes([n.state & 0xFF]) for n in notifications]))
    return b"batch_" + digest.hexdigest()[:32].encode()


def header_safe(value: bytes) -> bytes:
    """A carrier's words as a header value: printable ASCII, at most 64 characters, the rest as question marks."""
    return bytes(octet if 0x20 < octet < 0x7F else 0x3F for octet in value[:64])

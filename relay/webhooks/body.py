"""Writes the bodies of webhooks, and the values of some headers.

The body has exactly the five fields of the API's contract, as JSON or as a form. All values are strings. The end of the
JSON body depends only on the state and the error, so a cache keeps it.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote_plus

import msgspec

from relay.values.ids import id_octets, id_text
from relay.values.notifications import Notification
from relay.values.states import CustomerWords, customer_words

JSON_TYPE: Final = b"application/json"
FORM_TYPE: Final = b"application/x-www-form-urlencoded"


def error_of(words: CustomerWords, carrier_error: bytes, error_codes: str) -> str:
    """Returns the `error` field of a notification.

    :param error_codes: the account's setting. "carrier" asks for the carrier's own error, if the carrier gave one.
        Otherwise the field has the API's error.
    """
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
    """Returns one notification as a JSON object.

    :param url: the notification URL as the customer set it.
    :param error_codes: the account's setting, see `error_of`.
    """
    n = notification
    return b'{"url":%b,"id":"%b%b' % (
        msgspec.json.encode(url),
        id_octets(n.id),
        _json_tail(n.state, n.carrier_error, error_codes),
    )


def form_body(notification: Notification, url: str, error_codes: str) -> bytes:
    """Returns one notification as application/x-www-form-urlencoded."""
    words = customer_words(notification.state, notification.carrier_error)
    error = error_of(words, notification.carrier_error, error_codes)
    return (
        f"url={quote_plus(url)}&id={id_text(notification.id)}&send_status={words.send_status}"
        f"&status={words.status}&error={quote_plus(error)}"
    ).encode()


def batch_body(notifications: Sequence[Notification], url: str, error_codes: str) -> bytes:
    """Returns several notifications as a JSON array; its objects are those of `json_body`."""
    return b"[%b]" % b",".join([json_body(n, url, error_codes) for n in notifications])


def webhook_id(notification: Notification) -> bytes:
    """Returns the `webhook-id` of a notification.

    All attempts for one notification have the same id. Each state of a message has another id.
    """
    return b"%b_%b" % (id_octets(notification.id), customer_words(notification.state, b"").status.encode())


def batch_webhook_id(notifications: Sequence[Notification]) -> bytes:
    """Returns the `webhook-id` of a batch: a batch of the same notifications always has the same id."""
    digest = hashlib.sha256(b"".join([n.id + bytes([n.state & 0xFF]) for n in notifications]))
    return b"batch_" + digest.hexdigest()[:32].encode()


@lru_cache(maxsize=4096)
def header_safe(value: bytes) -> bytes:
    """Makes a header value of a carrier's text: at most 64 characters of printable ASCII.

    A question mark replaces each other character, and each blank.
    """
    return bytes(octet if 0x20 < octet < 0x7F else 0x3F for octet in value[:64])

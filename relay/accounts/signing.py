"""Signatures of webhooks, by the Standard Webhooks specification (symmetric, version `v1`).

A receiver that has the secret can tell that a POST is from us, unchanged and recent. While a secret is being changed
both sign, and a receiver that knows either accepts.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import Final

PREFIX: Final = "whsec_"

#: The specification's bounds for a symmetric secret.
SHORTEST_SECRET_BYTES: Final = 24
LONGEST_SECRET_BYTES: Final = 64


def secret_key(secret: str) -> bytes:
    """The key in a secret, which is `whsec_` and base64; the prefix and the padding may be left out.

    :raises ValueError: it isn't base64, or the key is not 24 to 64 bytes long. The text never contains the secret.
    """
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a webhook secret is 'whsec_' and base64; this one is not base64") from None
    if not SHORTEST_SECRET_BYTES <= len(key) <= LONGEST_SECRET_BYTES:
        raise ValueError(f"a webhook secret holds 24 to 64 bytes; this one holds {len(key)}")
    return key


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh secret as the receiver is told it."""
    return PREFIX + base64.b64encode(random_bytes(32)).decode("ascii")


def signature(keys: Iterable[bytes], webhook_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """The value of `webhook-signature`: one `v1,...` a key, separated by spaces.

    :param timestamp: the value of `webhook-timestamp`, whole seconds since 1970 in decimal.
    """
    signed = b"%b.%b.%b" % (webhook_id, timestamp, body)
    return b" ".join(b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys)

"""Signs webhooks as the Standard Webhooks specification says (symmetric, version `v1`).

A receiver that has the secret can check that a POST is from us, unchanged and recent. For a while after a change of the
secret, the old and the new one both sign. A receiver that knows one of them can check the POST.
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
    """Reads the key in a secret: `whsec_` and base64. The prefix and the padding may be left out.

    :raises ValueError: the secret isn't base64, or its key doesn't have 24 to 64 bytes. The text doesn't contain the
        secret.
    """
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("expected 'whsec_' and base64; this is not base64") from None
    if not SHORTEST_SECRET_BYTES <= len(key) <= LONGEST_SECRET_BYTES:
        raise ValueError(f"expected a webhook secret of 24 to 64 bytes; this one has {len(key)}")
    return key


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """Makes a new secret, in the form in which the customer gets it."""
    return PREFIX + base64.b64encode(random_bytes(32)).decode("ascii")


def signature(keys: Iterable[bytes], webhook_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    """Makes the value of `webhook-signature`: a `v1,...` for each key, separated by spaces.

    :param timestamp: the value of `webhook-timestamp`, whole seconds since 1970 in decimal.
    """
    signed = b"%b.%b.%b" % (webhook_id, timestamp, body)
    return b" ".join(b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys)

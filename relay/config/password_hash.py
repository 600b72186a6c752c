"""Hashes of passwords, for the configuration: scrypt, in the form `$scrypt$ln=15,r=8,p=1$SALT$HASH`."""

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from typing import Final, NamedTuple

#: The cost of new hashes: 32 MiB, and about 80 ms.
_LOG_N: Final = 15
_R: Final = 8
_P: Final = 1
#: A hash may not ask for more than 128 MiB.
_MOST_LOG_N: Final = 17
SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_FORM: Final = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=8,p=([1-4])\$([A-Za-z0-9+/]{22,64})\$([A-Za-z0-9+/]{43})")


class _Parts(NamedTuple):
    log_n: int
    p: int
    salt: bytes
    hash: bytes


def hash_password(password: str, salt: bytes) -> str:
    """Makes the hash of a password. It takes about 80 ms.

    :param salt: `SALT_BYTES` random octets.
    """
    hashed = _scrypt(password, salt, _LOG_N, _P)
    return f"$scrypt$ln={_LOG_N},r={_R},p={_P}${_text(salt)}${_text(hashed)}"


def is_password_hash(text: str) -> bool:
    """Whether a text is a hash as `hash_password` makes it."""
    return _parts(text) is not None


def password_matches(password: str, hashed: str) -> bool:
    """Whether this is the password of a hash. It takes about 80 ms; call it in a thread.

    A text that is no hash matches no password.
    """
    parts = _parts(hashed)
    if parts is None:
        return False
    return hmac.compare_digest(_scrypt(password, parts.salt, parts.log_n, parts.p), parts.hash)


def _scrypt(password: str, salt: bytes, log_n: int, p: int) -> bytes:
    octets = password.encode("utf-8", "surrogateescape")
    memory_bytes = 2 * 128 * _R * (1 << log_n)
    return hashlib.scrypt(octets, salt=salt, n=1 << log_n, r=_R, p=p, maxmem=memory_bytes, dklen=_HASH_BYTES)


def _parts(text: str) -> _Parts | None:
    found = _FORM.fullmatch(text)
    if found is None or not 10 <= int(found[1]) <= _MOST_LOG_N:
        return None
    try:
        salt, hashed = (b64decode(octets + "=" * (-len(octets) % 4)) for octets in (found[3], found[4]))
    except binascii.Error:
        return None
    return _Parts(int(found[1]), int(found[2]), salt, hashed)


def _text(octets: bytes) -> str:
    return b64encode(octets).decode().rstrip("=")

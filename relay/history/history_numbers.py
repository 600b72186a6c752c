"""What the history keeps of a destination's number: all of it, all but two digits, or a keyed hash.

`history.numbers` says which. Searches turn the number that they look for in the same way. So with hashes a whole number
is found and its end is not, and with masked digits a search for a number finds all that differ only in those.
"""

import hmac
import os
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Literal

#: Turns a number into what is kept of it. May be called in any thread.
NumberKeeper = Callable[[bytes], bytes]
Numbers = Literal["full", "masked", "hashed"]
#: Masked digits at the end of a number, as in the log.
_MASKED_DIGITS: Final = 2
#: Characters of a hash that are kept: 96 bits.
_HASH_LENGTH: Final = 24
_KEY_BYTES: Final = 32


def number_keeper(numbers: Numbers, key_file: str) -> NumberKeeper:
    """The function for a value of `history.numbers`.

    :param key_file: the relay's own key for hashes; read when the first number is hashed, and made where it is missing.
    """
    if numbers == "masked":
        return lambda number: number[:-_MASKED_DIGITS] + b"x" * min(_MASKED_DIGITS, len(number))
    return _Hasher(key_file) if numbers == "hashed" else bytes


class _Hasher:
    """Hashes numbers with the key in a file."""

    def __init__(self, key_file: str) -> None:
        self._key_file = key_file
        self._key = b""

    def __call__(self, number: bytes) -> bytes:
        if not self._key:
            self._key = _read_key(self._key_file)
        return hmac.new(self._key, number, sha256).hexdigest()[:_HASH_LENGTH].encode() if number else b""


def _read_key(path: str) -> bytes:
    """The key in a file, which is made where it is missing.

    :raises OSError: it can't be read or made.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        pass
    else:
        # If we stop here, the file is empty, and the next call says so.
        try:
            os.write(handle, secrets.token_bytes(_KEY_BYTES))
            os.fsync(handle)
        finally:
            os.close(handle)
    with open(path, "rb") as file:
        key = file.read()
    if len(key) < _KEY_BYTES:
        raise OSError(f"{path} is too short to be the key of history.numbers: restore it from a backup, or delete it; "
                      "without the old key older numbers are not found")  # fmt: skip
    return key

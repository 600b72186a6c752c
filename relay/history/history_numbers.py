"""Turns a destination's number into the form that the history keeps: full, masked, or a keyed hash.

The setting `history.numbers` selects the form. A search turns its number into the same form. So if numbers are hashed,
a search finds whole numbers, but not the end of a number. If the last two digits are masked, a search for a number also
finds the numbers that differ only in these two digits.
"""

import hmac
import os
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Literal

#: Turns a number into the form that the history keeps. Any thread may call it.
NumberKeeper = Callable[[bytes], bytes]
Numbers = Literal["full", "masked", "hashed"]
#: Digits that are masked at the end of a number, as in the log.
_MASKED_DIGITS: Final = 2
#: The history keeps this many characters of a hash: 96 bits.
_HASH_LENGTH: Final = 24
_KEY_BYTES: Final = 32


def number_keeper(numbers: Numbers, key_file: str) -> NumberKeeper:
    """Returns the function for a value of `history.numbers`.

    :param key_file: the file with the relay's key for hashes. It is read when the first number is hashed, and made if
        it is missing.
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
    """Reads the key from a file, and makes the file if it is missing.

    :raises OSError: the file can't be read or made, or is too short.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        pass
    else:
        # If we stop here, then the file is empty, and the next call raises the error below.
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

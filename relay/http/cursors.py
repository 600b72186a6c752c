"""Cursors: places in an account's feed, as strings that tell customers nothing about others.

Theory of operation: all accounts of a relay share one sequence of places. If a cursor were the place itself, a customer
could see how many messages all customers send. So a cursor is an encrypted block of AES for each shard. The block has
the shard's number, a tag of the account, and the place. Blocks are encrypted one by one. That hides everything except
that two blocks are equal, and no two places have equal blocks. With the tag, the relay recognizes cursors of other
accounts, and false ones. This relay has one shard, number 0.

The key is a setting in the journal. It is made when the first cursor is needed. In earlier releases a cursor was the
place itself. Cursors from that time are still accepted. Later places are refused, because a customer could find out
with them which places are its own.
"""

import base64
import hashlib
import re
import struct
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from twisted.internet.defer import DeferredLock

from relay.store.api import Store
from relay.values.ids import RandomBytes

#: The key is a setting of this account. No customer's account has this name.
_NOBODY: Final = ""
_SETTING: Final = "feed cursors"
_SHARD: Final = 0
_BLOCK: Final = struct.Struct(">H6sQ")

_TEXT = re.compile(r"[A-Za-z0-9_-]{22}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


class NoCursor(ValueError):
    """A text is not a cursor that this relay gave to the account."""


class Cursors:
    """Makes cursors and reads them. Await `ready` before the first call.

    :param random_bytes: makes the key.
    """

    def __init__(self, store: Store, random_bytes: RandomBytes) -> None:
        self._store = store
        self._random_bytes = random_bytes
        self._loading = DeferredLock()
        self._cipher: Cipher[modes.ECB] | None = None
        self._last_number = 0

    async def ready(self) -> None:
        """Reads the key, or makes one and waits until it is durable.

        :raises StoreUnavailable: the key can't be made durable now.
        """
        if self._cipher is not None:
            return
        await self._loading.acquire()
        try:
            if self._cipher is None:
                await self._load()
        finally:
            self._loading.release()

    async def _load(self) -> None:
        settings = await self._store.settings()
        value = next((value for account, name, value in settings if (account, name) == (_NOBODY, _SETTING)), "")
        if not value:
            value = f"{self._random_bytes(16).hex()} {self._store.figures().feed_place}"
            await self._store.put_setting(_NOBODY, _SETTING, value)
        key, _, last_number = value.partition(" ")
        self._cipher = Cipher(algorithms.AES(bytes.fromhex(key)), modes.ECB())
        self._last_number = int(last_number)

    def texts(self, account: str, places: Sequence[int]) -> list[str]:
        """The cursors of these places."""
        assert self._cipher is not None
        tag = _tag(account)
        plain = b"".join([_BLOCK.pack(_SHARD, tag, place) for place in places])
        blocks = self._cipher.encryptor().update(plain)
        return [
            base64.urlsafe_b64encode(blocks[start : start + 16])[:22].decode() for start in range(0, len(blocks), 16)
        ]

    def place(self, account: str, text: str) -> int:
        """The place of an account's cursor. The cursor "0" has place 0, the beginning.

        :raises NoCursor: the text is not a cursor of the account.
        """
        assert self._cipher is not None
        if _NUMBER.fullmatch(text):
            if int(text) <= self._last_number:
                return int(text)
        elif _TEXT.fullmatch(text):
            block = self._cipher.decryptor().update(base64.urlsafe_b64decode(text + "=="))
            shard, tag, place = _BLOCK.unpack(block)
            if (shard, tag) == (_SHARD, _tag(account)):
                return int(place)
        raise NoCursor


def _tag(account: str) -> bytes:
    return hashlib.sha256(account.encode()).digest()[:6]

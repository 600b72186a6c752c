"""Keeps the quality of carriers in a file, so that a restart doesn't forget the week.

The file is a help and no promise: if it can't be read or written, the relay counts from now on. All functions run in a
thread. Call only one at a time.
"""

import os
from typing import Final

import msgspec

from relay.quality.delivery_quality import KeptCounts
from relay.quality.quality_rules import Avoided

#: The file's name in `data_dir`.
QUALITY_FILE: Final = "quality.state"
_VERSION: Final = 1


class KeptQuality(msgspec.Struct, frozen=True):
    """The content of the file."""

    counts: KeptCounts
    avoided: list[Avoided] = []
    version: int = _VERSION


class QualityFile:
    """Reads and replaces the file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> KeptQuality | None:
        """Reads the file; None: there is none, or a newer version of the relay wrote it.

        :raises OSError: it can't be read.
        :raises msgspec.MsgspecError: it is damaged.
        """
        try:
            with open(self.path, "rb") as file:
                octets = file.read()
        except FileNotFoundError:
            return None
        if msgspec.msgpack.decode(octets, type=_Version).version != _VERSION:
            return None
        return msgspec.msgpack.decode(octets, type=KeptQuality)

    def write(self, kept: KeptQuality) -> None:
        """Replaces the file. If the process dies meanwhile, the old file is still there.

        :raises OSError: it can't be written.
        """
        beside = self.path + ".new"
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640), "wb") as file:
            file.write(msgspec.msgpack.encode(kept))
        os.replace(beside, self.path)


class _Version(msgspec.Struct, frozen=True):
    version: int = 0

"""Runs `twistd` as always, but with a disk that fails when it is told to.

If there is a file beside the data directory, with the same name and `.faults` added, then the operations in it fail:
one per line, such as `write ENOSPC`.
"""

import errno
import os
import sys
from typing import Any

from twisted.scripts.twistd import run

import relay.tap
from relay.store.journal.files import OsFiles


class FaultyFiles(OsFiles):
    """The real disk, with faults."""

    def __init__(self, orders: str) -> None:
        self._orders = orders

    def _check(self, operation: str) -> None:
        try:
            with open(self._orders) as orders:
                wanted = dict(line.split() for line in orders)
        except FileNotFoundError:
            return
        if operation in wanted:
            number = getattr(errno, wanted[operation])
            raise OSError(number, os.strerror(number))

    def open(self, path: str, *, create: bool = False) -> int:
        self._check("open")
        return super().open(path, create=create)

    def write(self, handle: int, offset: int, octets: bytes | memoryview, *, sync: bool = False) -> int:
        self._check("write")
        if not sync:
            return super().write(handle, offset, octets)
        # As the kernel does it: the octets are there, and whether they are on the disk is said afterwards.
        written = super().write(handle, offset, octets)
        self.sync(handle)
        return written

    def sync(self, handle: int) -> None:
        self._check("sync")
        super().sync(handle)

    def truncate(self, path: str, size: int) -> None:
        self._check("truncate")
        super().truncate(path, size)


def make_service(options: Any) -> Any:
    """The daemon, on that disk."""
    from twisted.internet import reactor

    return relay.tap.build(options.config, reactor, files=FaultyFiles(f"{options.config.data_dir}.faults"))


if __name__ == "__main__":
    relay.tap.makeService = make_service
    sys.exit(run())

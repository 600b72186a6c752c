"""The disk, as the journal sees it: few operations, so that tests and simulations can bring a disk of their own.

Everything raises OSError as the operating system does. Calls may come from a thread, one at a time for one handle.
"""

import errno
import fcntl
import os
from typing import Final, Protocol

#: Makes one write durable by itself (Linux 4.7); None elsewhere.
_DSYNC: Final[int | None] = getattr(os, "RWF_DSYNC", None)


class Locked(Exception):
    """Another process holds the lock. `owner`: what it wrote there, its process id."""

    def __init__(self, owner: str) -> None:
        super().__init__(f"locked by {owner or 'another process'}")
        self.owner = owner


class Files(Protocol):
    """A file system. Handles are opaque numbers."""

    def make_directory(self, path: str) -> None:
        """Makes a directory and its parents; harmless where it exists."""

    def list_directory(self, path: str) -> list[str]:
        """The names in a directory."""

    def size(self, path: str) -> int:
        """A file's length in octets."""

    def open(self, path: str, *, create: bool = False) -> int:
        """Opens for reading and writing; with `create` the file must not exist yet."""

    def close(self, handle: int) -> None:
        """Closes. Nothing is synced by it."""

    def read(self, handle: int, offset: int, count: int) -> bytes:
        """Up to `count` octets; fewer at the end of the file."""

    def write(self, handle: int, offset: int, octets: bytes | memoryview, *, sync: bool = False) -> int:
        """Writes at an offset; gives how many octets were taken, which may be fewer.

        :param sync: return only when they, and the file's length, are on the disk.
        """

    def sync(self, handle: int) -> None:
        """Returns when the file's octets and its length are on the disk."""

    def sync_directory(self, path: str) -> None:
        """Returns when the directory's entries are on the disk."""

    def truncate(self, path: str, size: int) -> None:
        """Cuts a file to `size` octets and syncs it."""

    def rename(self, path: str, new_path: str) -> None:
        """Gives a file another name, in place of what had it."""

    def remove(self, path: str) -> None:
        """Deletes a file."""

    def has_name(self, handle: int, path: str) -> bool:
        """Whether `path` still leads to the open file or directory: it was not deleted, moved or replaced."""

    def lock(self, path: str, owner: str) -> int:
        """Takes a lock for as long as the handle is open or the process lives, and writes down whose it is.

        :raises Locked: somebody else has it.
        """

    def lock_directory(self, path: str) -> int:
        """As `lock`, of a directory; nothing is written down.

        :raises Locked: somebody else has it. Its `owner` is empty.
        """


class OsFiles:
    """The real disk."""

    def make_directory(self, path: str) -> None:
        os.makedirs(path, mode=0o750, exist_ok=True)

    def list_directory(self, path: str) -> list[str]:
        return os.listdir(path)

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def open(self, path: str, *, create: bool = False) -> int:
        # Message texts and numbers are in it: nobody else's business.
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0), 0o640)

    def close(self, handle: int) -> None:
        os.close(handle)

    def read(self, handle: int, offset: int, count: int) -> bytes:
        return os.pread(handle, count, offset)

    def write(self, handle: int, offset: int, octets: bytes | memoryview, *, sync: bool = False) -> int:
        if not sync:
            return os.pwrite(handle, octets, offset)
        if _DSYNC is None:
            written = os.pwrite(handle, octets, offset)
            os.fdatasync(handle)
            return written
        # One system call in place of two: each has to wait for the interpreter's lock when it returns, for up to
        # `sys.getswitchinterval()` while the reactor is busy.
        return os.pwritev(handle, [octets], offset, _DSYNC)

    def sync(self, handle: int) -> None:
        os.fdatasync(handle)

    def sync_directory(self, path: str) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def truncate(self, path: str, size: int) -> None:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(handle, size)
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, path: str, new_path: str) -> None:
        os.rename(path, new_path)

    def remove(self, path: str) -> None:
        os.remove(path)

    def has_name(self, handle: int, path: str) -> bool:
        try:
            return os.path.samestat(os.stat(path), os.fstat(handle))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def lock(self, path: str, owner: str) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            holder = os.pread(handle, 100, 0).decode("ascii", "replace").strip()
            os.close(handle)
            if problem.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise Locked(holder) from None
            raise
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{owner}\n".encode(), 0)
        return handle

    def lock_directory(self, path: str) -> int:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            os.close(handle)
            if problem.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise Locked("") from None
            raise
        return handle


def write_all(files: Files, handle: int, offset: int, octets: bytes, *, sync: bool = False) -> None:
    """Writes all of it, however little the disk takes at a time. `sync` as in `Files.write`."""
    written = files.write(handle, offset, octets, sync=sync)
    if written == len(octets):
        return
    view = memoryview(octets)
    while written < len(octets):
        count = files.write(handle, offset + written, view[written:], sync=sync)
        if count <= 0:
            raise OSError(errno.EIO, "the disk takes no more octets")
        written += count

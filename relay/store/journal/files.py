"""The journal's interface to the disk. It is small, so that tests and simulations can have a disk of their own.

All functions raise OSError as the operating system does. Any thread may call, but only one at a time for each handle.
"""

import errno
import fcntl
import os
import time
from typing import Final, Protocol

#: The flag that makes a single write durable (Linux 4.7 and later); None: the system doesn't have it.
_DSYNC: Final[int | None] = getattr(os, "RWF_DSYNC", None)


class Locked(Exception):
    """Another process has the lock. `owner` is the text that it wrote: its process id."""

    def __init__(self, owner: str) -> None:
        super().__init__(f"locked by {owner or 'another process'}")
        self.owner = owner


class Files(Protocol):
    """A file system. Handles are opaque numbers."""

    def seconds(self) -> float:
        """The time on a clock that never goes back; it says how long the disk needs."""

    def make_directory(self, path: str) -> None:
        """Makes a directory and its parents. Does nothing if it exists."""

    def list_directory(self, path: str) -> list[str]:
        """The names in a directory."""

    def size(self, path: str) -> int:
        """A file's length in octets."""

    def open(self, path: str, *, create: bool = False) -> int:
        """Opens a file for reading and writing. With `create` the file must not exist yet."""

    def close(self, handle: int) -> None:
        """Closes a file. This doesn't sync it."""

    def read(self, handle: int, offset: int, count: int) -> bytes:
        """Reads up to `count` octets; fewer at the end of the file."""

    def write(self, handle: int, offset: int, octets: bytes | memoryview, *, sync: bool = False) -> int:
        """Writes at an offset. Returns how many octets were written, which may be fewer than given.

        :param sync: whether to return only when the octets and the file's length are on the disk.
        """

    def sync(self, handle: int) -> None:
        """Returns when the file's octets and its length are on the disk."""

    def sync_directory(self, path: str) -> None:
        """Returns when the directory's entries are on the disk."""

    def truncate(self, path: str, size: int) -> None:
        """Shortens a file to `size` octets, and syncs it."""

    def rename(self, path: str, new_path: str) -> None:
        """Gives a file another name. A file that has this name already is replaced."""

    def remove(self, path: str) -> None:
        """Deletes a file."""

    def has_name(self, handle: int, path: str) -> bool:
        """Whether `path` is still the open file or directory, and nobody has deleted, moved or replaced it."""

    def lock(self, path: str, owner: str) -> int:
        """Locks a file until the handle is closed or the process ends, and writes the owner into it.

        :raises Locked: another process has locked it.
        """

    def lock_directory(self, path: str) -> int:
        """Locks a directory until the handle is closed or the process ends.

        :raises Locked: another process has locked it. The exception's `owner` is empty.
        """


class OsFiles:
    """The real disk."""

    def seconds(self) -> float:
        return time.monotonic()

    def make_directory(self, path: str) -> None:
        os.makedirs(path, mode=0o750, exist_ok=True)

    def list_directory(self, path: str) -> list[str]:
        return os.listdir(path)

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def open(self, path: str, *, create: bool = False) -> int:
        # Other users must not read it, because it has message texts and numbers.
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
        # This is one system call instead of two. After each, the thread has to wait for the interpreter's lock: up to
        # `sys.getswitchinterval()` if the reactor is busy.
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
    """Writes all octets, even if the disk takes only some at a time. `sync` means the same as in `Files.write`."""
    written = files.write(handle, offset, octets, sync=sync)
    if written == len(octets):
        return
    view = memoryview(octets)
    while written < len(octets):
        count = files.write(handle, offset + written, view[written:], sync=sync)
        if count <= 0:
            raise OSError(errno.EIO, "the disk takes no more octets")
        written += count

"""One process at a time works on a data directory.

Theory of operation: the operating system's lock (flock) on the directory itself keeps others out: whoever opens the
same directory meets the same lock. A file `lock` in it says who holds it. That file is locked as well, because relays
before 1.1 knew only that one; a file can be deleted and made anew, and then its lock keeps nobody out.
"""

import os
from contextlib import suppress
from os.path import join

from relay.store.journal.files import Files, Locked

LOCK_FILE = "lock"


class DirectoryLock:
    """Keeps other processes out of a data directory, from `take` to `release`."""

    def __init__(self, files: Files, directory: str) -> None:
        self._files = files
        self._directory = directory
        self._handles: list[int] = []

    @property
    def held(self) -> bool:
        """Whether this process has the directory."""
        return bool(self._handles)

    def take(self, owner: str = "") -> None:
        """Locks the directory.

        :param owner: what others are told of the holder; the process id where it is empty.
        :raises Locked: another process has it.
        :raises OSError: it can't be locked.
        """
        files, path = self._files, join(self._directory, LOCK_FILE)
        try:
            self._handles.append(files.lock_directory(self._directory))
            self._handles.append(files.lock(path, owner or str(os.getpid())))
        except Locked as problem:
            self.release()
            raise Locked(problem.owner or self._holder(path)) from None
        except OSError:
            self.release()
            raise

    def in_place(self) -> bool:
        """Whether the directory that this process holds is still the one at its path. May be called from a thread."""
        handles = self._handles
        return bool(handles) and self._files.has_name(handles[0], self._directory)

    def release(self) -> None:
        """Lets others in. Harmless where nothing is held."""
        handles, self._handles = self._handles, []
        for handle in reversed(handles):
            self._files.close(handle)

    def _holder(self, path: str) -> str:
        """Who wrote the lock file."""
        holder = ""
        with suppress(OSError):
            handle = self._files.open(path)
            holder = self._files.read(handle, 0, 100).decode("ascii", "replace").strip()
            self._files.close(handle)
        return holder or "unknown (its lock file has been deleted)"

"""Makes sure that only one process at a time works on a data directory.

Theory of operation: the process locks the directory itself (flock), so every other process that opens the directory
finds the lock. A file `lock` in the directory says which process has it. That file is locked, too, because relays
before 1.1 check only its lock. Alone, that lock isn't safe: after somebody has deleted the file and made it again, it
keeps nobody out.
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
        """Whether this process has locked the directory."""
        return bool(self._handles)

    def take(self, owner: str = "") -> None:
        """Locks the directory.

        :param owner: the text that tells others who has the lock; empty: the process id.
        :raises Locked: another process has locked it.
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
        """Unlocks the directory. Does nothing if it isn't locked."""
        handles, self._handles = self._handles, []
        for handle in reversed(handles):
            self._files.close(handle)

    def _holder(self, path: str) -> str:
        """Reads in the lock file who has the lock."""
        holder = ""
        with suppress(OSError):
            handle = self._files.open(path)
            holder = self._files.read(handle, 0, 100).decode("ascii", "replace").strip()
            self._files.close(handle)
        return holder or "unknown (its lock file has been deleted)"

"""Appends message records to a file on the disk, one file per day.

All functions run in a thread. Call only one at a time for a file.
"""

import errno
import fcntl
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

#: An append tries this often to lock the file, with a pause between two tries. Then it fails; the caller tries later.
_LOCK_TRIES: Final = 50
_LOCK_PAUSE_SECONDS: Final = 0.1


class RecordFile:
    """Appends lines to the file `path`.

    Before the first line of a new day (UTC), it renames the earlier day's file to `path.2026-11-23`. If another program
    (logrotate) has moved the file away, the next append makes a new one.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._handle: int | None = None
        self._day = ""
        #: As `_LOCK_TRIES`.
        self.lock_tries = _LOCK_TRIES

    def append(self, lines: bytes, now: float, *, sync: bool) -> None:
        """Appends whole lines to the file. If it raises, the file has none of them.

        :param now: seconds since 1970.
        :param sync: true: return only when the lines are on the disk.
        :raises OSError: the file can't be written.
        """
        handle = self._open_locked(now)
        before = os.fstat(handle)
        try:
            written = 0
            while written < len(lines):
                written += os.write(handle, lines[written:])
            if sync:
                os.fdatasync(handle)
        except OSError:
            os.ftruncate(handle, before.st_size)
            # The next start reads from this time since when an empty file has existed. So the time must stay as it was.
            os.utime(handle, ns=(before.st_atime_ns, before.st_mtime_ns))
            self.close()
            raise
        fcntl.flock(handle, fcntl.LOCK_UN)

    def _open_locked(self, now: float) -> int:
        """Opens and locks the file. An erasure rewrites the file under the same lock, so each waits for the other.

        :raises OSError: another program keeps the lock, or the file can't be opened.
        """
        while True:
            handle = self._open(now)
            self._lock(handle)
            if not moved_away(self.path, handle):
                return handle
            # Another process replaced the file while we waited for the lock. Closing the old file releases the lock.
            self.close()

    def _lock(self, handle: int) -> None:
        # Don't wait for ever: the history must go on, and the relay must be able to stop.
        for _ in range(self.lock_tries):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(_LOCK_PAUSE_SECONDS)
        raise BlockingIOError(errno.EWOULDBLOCK, "another program keeps a lock (flock) on the file; end that program")

    def begin(self, now: float, *, sync: bool) -> None:
        """Makes an empty file if there is none, with `now` as the time of its last change.

        It doesn't touch an existing file.

        :param now: seconds since 1970.
        :param sync: true: return only when the file is on the disk.
        :raises OSError: the file can't be made.
        """
        path = Path(self.path)
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = self._open(now)
        os.utime(handle, (now, now))
        if sync:
            os.fsync(handle)

    def changed_at(self) -> float | None:
        """Returns when the file was written last, in seconds since 1970; None if there is no file."""
        try:
            return os.stat(self.path).st_mtime
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Closes the file, if it is open. The next append opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def tail(self, max_bytes: int) -> bytes:
        """Returns the last whole lines, up to `max_bytes` in all; b"" if there are none.

        If the file is shorter than that, it also reads the file of the day before.
        """
        path = Path(self.path)
        octets = b""
        rotated = sorted(path.parent.glob(path.name + ".*-*-*"))[-1:]
        for candidate in (path, *rotated):
            if len(octets) < max_bytes and candidate.exists():
                with candidate.open("rb") as file:
                    file.seek(max(0, candidate.stat().st_size - (max_bytes - len(octets)) - 1))
                    cut = file.tell() > 0
                    more = file.read()
                    octets = (more[more.find(b"\n") + 1 :] if cut else more) + octets
        return octets

    def _open(self, now: float) -> int:
        day = _day(now)
        if self._handle is not None and (day != self._day or moved_away(self.path, self._handle)):
            self.close()
        if self._handle is None:
            path = Path(self.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            while path.exists() and _is_of_earlier_day(path.stat(), day):
                self._rename_locked(path)
            # The file contains phone numbers, so only the relay's own user may read it.
            self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._day = day
            self._end_torn_line(self._handle)
        return self._handle

    def _rename_locked(self, path: Path) -> None:
        """Gives the file the name of its day, under the lock of an erasure. Does nothing if the file was replaced.

        :raises OSError: another program keeps the lock.
        """
        with path.open("rb") as file:
            self._lock(file.fileno())
            if not moved_away(self.path, file.fileno()):
                path.rename(_free_name(path, _day(os.fstat(file.fileno()).st_mtime)))

    def _end_torn_line(self, handle: int) -> None:
        """Ends a line that a crash has torn, so that our next line is whole and readers can skip the torn one."""
        size = os.fstat(handle).st_size
        if size:
            with open(self.path, "rb") as file:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    os.write(handle, b"\n")


def moved_away(path: str | Path, handle: int) -> bool:
    """Returns true if the path doesn't lead to the open file any more."""
    try:
        now_there = os.stat(path)
    except FileNotFoundError:
        return True
    ours = os.fstat(handle)
    return (now_there.st_ino, now_there.st_dev) != (ours.st_ino, ours.st_dev)


def _is_of_earlier_day(found: os.stat_result, day: str) -> bool:
    """Returns false for an empty file too, because it has no records of an earlier day."""
    return bool(found.st_size) and _day(found.st_mtime) < day


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _free_name(path: Path, day: str) -> Path:
    name = path.with_name(f"{path.name}.{day}")
    number = 1
    while name.exists():
        number += 1
        name = path.with_name(f"{path.name}.{day}-{number}")
    return name

"""A file of lines that only ever grows, one a day: the disk's side of message records.

All functions run in a thread, one at a time for one file.
"""

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path


class RecordFile:
    """Appends lines to `path`. With the first line of a new day (UTC), yesterday's file is renamed `path.2026-11-23`.

    A file that somebody else has moved away (logrotate) is made anew at the next append.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._handle: int | None = None
        self._day = ""

    def append(self, lines: bytes, now: float, *, sync: bool) -> None:
        """Writes whole lines. When it raises, none of them is in the file.

        :param sync: whether to return only when they are on the disk.
        :raises OSError: as the operating system has it.
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
            # The next start asks an empty file since when there have been message records: it goes by this time.
            os.utime(handle, ns=(before.st_atime_ns, before.st_mtime_ns))
            self.close()
            raise
        fcntl.flock(handle, fcntl.LOCK_UN)

    def _open_locked(self, now: float) -> int:
        """The file, with a lock on it: whoever writes it anew without some lines waits, and so do we."""
        while True:
            handle = self._open(now)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not self._moved_away(handle):
                return handle
            # It was written anew while we waited; closing lets the lock go.
            self.close()

    def begin(self, now: float, *, sync: bool) -> None:
        """Makes the file where there is none, empty, with `now` as the time of its last change. One that is there
        stays as it is.

        :param sync: whether to return only when it is on the disk.
        :raises OSError: as the operating system has it.
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
        """When the file was last written to, in seconds since 1970; None where there is none."""
        try:
            return os.stat(self.path).st_mtime
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Closes the file. Harmless when it isn't open; the next append opens it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def tail(self, max_bytes: int) -> bytes:
        """The last whole lines, up to `max_bytes`; of the file before, too, when this one is short. b"" where none."""
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
        if self._handle is not None and (day != self._day or self._moved_away(self._handle)):
            self.close()
        if self._handle is None:
            path = Path(self.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            # An empty one says only since when there have been records; it needs no name of its own.
            if path.exists() and path.stat().st_size and (written_on := _day(path.stat().st_mtime)) < day:
                path.rename(_free_name(path, written_on))
            # Phone numbers stand in it: nobody but us, and whom the directory lets in, may read it.
            self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._day = day
            self._end_torn_line(self._handle)
        return self._handle

    def _end_torn_line(self, handle: int) -> None:
        """What a crash left of a line becomes a line of its own, which readers see to be broken, and not ours."""
        size = os.fstat(handle).st_size
        if size:
            with open(self.path, "rb") as file:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    os.write(handle, b"\n")

    def _moved_away(self, handle: int) -> bool:
        try:
            now_there = os.stat(self.path)
        except FileNotFoundError:
            return True
        ours = os.fstat(handle)
        return (now_there.st_ino, now_there.st_dev) != (ours.st_ino, ours.st_dev)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _free_name(path: Path, day: str) -> Path:
    name = path.with_name(f"{path.name}.{day}")
    number = 1
    while name.exists():
        number += 1
        name = path.with_name(f"{path.name}.{day}-{number}")
    return name

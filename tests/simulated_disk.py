"""A disk in memory that can fill up, fail and tear writes, and that loses everything at a crash that was not synced."""

import errno
import os
import random

from relay.store.journal.files import Locked


class _File:
    """Octets as the kernel has them, and as they were last synced. `entry_synced`: its name survives a crash."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.synced = b""
        self.entry_synced = False


class SimulatedDisk:
    """Implements `relay.store.journal.files.Files`.

    :ivar capacity: octets that fit; over it, writes take what fits and then fail with ENOSPC.
    :ivar write_error: raised by the next writes while it is set; likewise `sync_error` and `open_error`.
    :ivar sync_seconds: how long each sync takes, on the disk's own clock.
    :ivar calls: how many writes and syncs there were.
    """

    def __init__(self) -> None:
        self.files: dict[str, _File] = {}
        self.capacity = 1 << 40
        self.write_error: OSError | None = None
        self.sync_error: OSError | None = None
        self.open_error: OSError | None = None
        self.largest_write = 1 << 40
        self.writes = 0
        self.syncs = 0
        self.sync_seconds = 0.0
        self._seconds = 0.0
        self._handles: dict[int, tuple[str, _File]] = {}
        self._next_handle = 3
        self._locks: dict[str, tuple[int, str]] = {}
        self._moved: dict[str, dict[str, _File]] = {}

    # Faults

    def move_away(self, directory: str) -> None:
        """Somebody gives a directory another name; who has its files open can still write to them."""
        names = [path for path in self.files if path.startswith(f"{directory}/")]
        self._moved[directory] = {path: self.files.pop(path) for path in names}

    def move_back(self, directory: str) -> None:
        """Undoes `move_away`."""
        self.files.update(self._moved.pop(directory))

    def crash(self, randomness: random.Random | None = None) -> "SimulatedDisk":
        """The disk after the power went: what was synced, and of the rest a random beginning, if any.

        :param randomness: None loses everything that was not synced.
        """
        after = SimulatedDisk()
        for path, file in self.files.items():
            if not file.entry_synced and (randomness is None or randomness.random() < 0.5):
                continue
            survivor = _File()
            octets = file.synced
            if randomness is not None and bytes(file.octets[: len(octets)]) == octets:
                more = bytes(file.octets[len(octets) :])
                octets += more[: randomness.randint(0, len(more))]
            survivor.octets = bytearray(octets)
            survivor.synced = octets
            survivor.entry_synced = True
            after.files[path] = survivor
        return after

    def kill(self) -> "SimulatedDisk":
        """The disk after the process was killed: all that was written is there, and no lock."""
        after = SimulatedDisk()
        for path, file in self.files.items():
            survivor = _File()
            survivor.octets = bytearray(file.octets)
            survivor.synced = file.synced
            survivor.entry_synced = file.entry_synced
            after.files[path] = survivor
        return after

    def used(self) -> int:
        """Octets on the disk."""
        return sum(len(file.octets) for file in self.files.values())

    # Files

    def seconds(self) -> float:
        return self._seconds

    def make_directory(self, path: str) -> None:
        if self.open_error is not None:
            raise self.open_error

    def list_directory(self, path: str) -> list[str]:
        return [os.path.basename(name) for name in self.files if os.path.dirname(name) == path]

    def size(self, path: str) -> int:
        return len(self._file(path).octets)

    def open(self, path: str, *, create: bool = False) -> int:
        if self.open_error is not None:
            raise self.open_error
        if create:
            if path in self.files:
                raise FileExistsError(errno.EEXIST, "exists", path)
            self.files[path] = _File()
        handle = self._next_handle
        self._next_handle += 1
        self._handles[handle] = path, self._file(path)
        return handle

    def close(self, handle: int) -> None:
        del self._handles[handle]
        self._locks = {path: lock for path, lock in self._locks.items() if lock[0] != handle}

    def read(self, handle: int, offset: int, count: int) -> bytes:
        return bytes(self._handles[handle][1].octets[offset : offset + count])

    def write(self, handle: int, offset: int, octets: bytes | memoryview, *, sync: bool = False) -> int:
        self.writes += 1
        if self.write_error is not None:
            raise self.write_error
        room = self.capacity - self.used()
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = bytes(octets[: min(room, self.largest_write)])
        self._handles[handle][1].octets[offset : offset + len(taken)] = taken
        if sync:
            self.sync(handle)
        return len(taken)

    def sync(self, handle: int) -> None:
        self.syncs += 1
        self._seconds += self.sync_seconds
        if self.sync_error is not None:
            raise self.sync_error
        file = self._handles[handle][1]
        file.synced = bytes(file.octets)

    def sync_directory(self, path: str) -> None:
        for name, file in self.files.items():
            if os.path.dirname(name) == path:
                file.entry_synced = True

    def truncate(self, path: str, size: int) -> None:
        if self.write_error is not None:
            raise self.write_error
        file = self._file(path)
        del file.octets[size:]
        file.synced = bytes(file.octets)

    def rename(self, path: str, new_path: str) -> None:
        self.files[new_path] = self.files.pop(path)

    def remove(self, path: str) -> None:
        self._file(path)
        del self.files[path]

    def has_name(self, handle: int, path: str) -> bool:
        if path in self._locks and self._locks[path][0] == handle:
            return path not in self._moved
        return self.files.get(path) is self._handles[handle][1]

    def lock(self, path: str, owner: str) -> int:
        if path in self._locks:
            raise Locked(self._locks[path][1])
        self.files.setdefault(path, _File())
        handle = self.open(path)
        self._locks[path] = handle, owner
        return handle

    def lock_directory(self, path: str) -> int:
        if path in self._locks:
            raise Locked("")
        handle = self._next_handle
        self._next_handle += 1
        self._handles[handle] = path, _File()
        self._locks[path] = handle, ""
        return handle

    def _file(self, path: str) -> _File:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return self.files[path]

"""Changes one file of conf.d. A crash at any instant leaves the old file or the new one, and in the end no other.

Theory of operation: while a change is under way, `.NAME.yaml.old` has the old contents, and `.NAME.yaml.new` those that
are being written. Both may have secrets. If the relay is killed, they stay. So the next start deletes them
(`remove_leftovers`), whatever the change had reached by then: the file itself says what holds.

All functions touch the disk: call them in a thread.
"""

import os
from contextlib import suppress
from typing import Final, Protocol

from relay.app.conf_d import part_file, parts_directory
from relay.config.config_entries import ENTRY_TYPES, Table
from relay.store.journal.files import OsFiles

_NEW: Final = ".new"
_OLD: Final = ".old"
_LEFTOVERS: Final = (".yaml" + _NEW, ".yaml" + _OLD)


class PartDisk(Protocol):
    """What a change does on the disk, step by step. The tests stop it at each step."""

    def make_directory(self, path: str) -> bool:
        """Makes a directory that only the relay's user can read. False: it is there already."""

    def link(self, path: str, new_path: str) -> None:
        """Gives a file a second name."""

    def write(self, path: str, octets: bytes) -> None:
        """Makes a new file that only the relay's user can read. When it returns, the octets are on the disk."""

    def rename(self, path: str, new_path: str) -> None:
        """Gives a file another name. A file that has this name is replaced."""

    def remove(self, path: str) -> None:
        """Deletes a file."""

    def sync(self, directory: str) -> None:
        """Returns when the names of a directory are on the disk."""


class OsPartDisk:
    """The real disk."""

    def make_directory(self, path: str) -> bool:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            return False
        return True

    def link(self, path: str, new_path: str) -> None:
        os.link(path, new_path, follow_symlinks=False)

    def write(self, path: str, octets: bytes) -> None:
        # Other users must not read it, because it has secrets.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(handle)

    def rename(self, path: str, new_path: str) -> None:
        os.rename(path, new_path)

    def remove(self, path: str) -> None:
        os.remove(path)

    def sync(self, directory: str) -> None:
        OsFiles().sync_directory(directory)


_DISK: Final = OsPartDisk()


class PartChange:
    """A change of one file of conf.d, which can be taken back.

    If the relay is killed at any instant, the file is the old one or the new one as a whole.

    :param text: the new contents; None: the file is deleted.
    """

    def __init__(self, data_dir: str, table: Table, name: str, text: str | None, disk: PartDisk = _DISK) -> None:
        self._path = part_file(data_dir, table, name)
        self._directory, file = os.path.split(self._path)
        self._parents = (data_dir, os.path.dirname(self._directory))
        self._new = os.path.join(self._directory, f".{file}{_NEW}")
        self._old = os.path.join(self._directory, f".{file}{_OLD}")
        self._text = text
        self._disk = disk
        self._existed = False

    def make(self) -> None:
        """Writes or deletes the file. When it returns, the change is on the disk.

        :raises OSError: nothing has changed.
        """
        self._make_directories()
        self._remove(self._new)
        self._remove(self._old)
        # So taking the change back needs no room on the disk.
        self._existed = self._keep_old()
        # If we stop here, or anywhere below, the next start deletes the second name.
        try:
            if self._text is None:
                self._disk.remove(self._path)
            else:
                self._disk.write(self._new, self._text.encode())
                self._disk.rename(self._new, self._path)
            self._disk.sync(self._directory)
        except OSError:
            self.undo()
            raise

    def undo(self) -> None:
        """Takes the change back: the file is as before.

        :raises OSError: it can't be, and the file is as `make` left it.
        """
        if self._existed:
            self._disk.rename(self._old, self._path)
            # Two names of one file: a rename does nothing then, and both stay.
            self._remove(self._old)
        else:
            self._remove(self._path)
        self._remove(self._new)
        self._disk.sync(self._directory)

    def keep(self) -> None:
        """Ends the change: it can't be taken back any more.

        If we stop before it, or the disk loses the deletion, the next start deletes the old contents.
        """
        with suppress(OSError):
            self._remove(self._old)

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._disk.remove(path)

    def _make_directories(self) -> None:
        for parent, directory in zip(self._parents, (*self._parents[1:], self._directory), strict=True):
            if self._disk.make_directory(directory):
                self._disk.sync(parent)

    def _keep_old(self) -> bool:
        """Keeps the old contents under a second name. Returns whether there are any."""
        try:
            self._disk.link(self._path, self._old)
        except FileNotFoundError:
            return False
        except OSError:
            # Some file systems have no second names, and the kernel may refuse one for another user's file.
            with open(self._path, "rb") as file:
                self._disk.write(self._old, file.read())
        return True


def remove_leftovers(data_dir: str) -> tuple[int, list[str]]:
    """Deletes what interrupted changes have left in conf.d. No change may be under way.

    :return: how many files were deleted, and what could not be deleted, one line each.
    """
    removed = 0
    problems: list[str] = []
    for table in ENTRY_TYPES:
        directory = parts_directory(data_dir, table)
        before = removed
        try:
            for name in os.listdir(directory):
                if name.startswith(".") and name.endswith(_LEFTOVERS):
                    os.remove(os.path.join(directory, name))
                    removed += 1
            if removed > before:
                OsFiles().sync_directory(directory)
        except FileNotFoundError:
            pass
        except OSError as problem:
            problems.append(f"{problem.filename or directory}: {problem.strerror}")
    return removed, problems

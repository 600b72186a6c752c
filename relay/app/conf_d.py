"""Reads and writes the files of conf.d in the data directory: one account, carrier or route each.

    DATA_DIR/conf.d/accounts/acme.yaml
    DATA_DIR/conf.d/carriers/tier1.yaml
    DATA_DIR/conf.d/routes/uk.yaml

Files whose names begin with a dot, or don't end in .yaml, are left alone: they are those of editors, and those that a
write leaves behind if it is interrupted. All functions touch the disk: call them in a thread.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from relay.config.config_entries import ENTRY_TYPES, Part, PartFiles, Table
from relay.store.journal.files import OsFiles

_DIRECTORY: Final = "conf.d"
_ENDING: Final = ".yaml"


def part_file(data_dir: str, table: Table, name: str) -> str:
    """The path of the file of an entry."""
    return os.path.join(data_dir, _DIRECTORY, table, name + _ENDING)


def read_parts(data_dir: str) -> PartFiles:
    """Reads all files of conf.d, in the order of their names.

    :param data_dir: ""; there are none.
    """
    parts: list[Part] = []
    problems: list[str] = []
    top = os.path.join(data_dir, _DIRECTORY)
    if data_dir:
        problems += _strays(top)
    for table in ENTRY_TYPES if data_dir else ():
        for name in _names(os.path.join(top, table), problems):
            try:
                part = read_part(data_dir, table, name)
            except PartUnreadable as problem:
                problems.append(str(problem))
            else:
                if part is not None:
                    parts.append(part)
    return PartFiles(parts, problems)


class PartUnreadable(Exception):
    """A file of conf.d can't be read. The text is a line that says which and why."""


def read_part(data_dir: str, table: Table, name: str) -> Part | None:
    """Reads the file of an entry; None: there is none.

    :raises PartUnreadable: the file is there, and can't be read.
    """
    path = part_file(data_dir, table, name)
    try:
        # A pipe of this name must not stop the relay.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise PartUnreadable(f"{path}: can't be read: {problem.strerror}") from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise PartUnreadable(f"{path}: can't be read: it is no file")
    try:
        with open(handle, "rb") as file:
            text = file.read().decode()
    except UnicodeDecodeError:
        raise PartUnreadable(f"{path}: can't be read: it is not UTF-8 text") from None
    except OSError as problem:
        raise PartUnreadable(f"{path}: can't be read: {problem.strerror}") from None
    # Each write makes another file, and an editor changes the time. Neither says anything about secrets in the file.
    return Part(table, name, path, text, f"{status.st_ino:x}-{status.st_mtime_ns:x}")


def _strays(top: str) -> Iterator[str]:
    """Says which files the relay doesn't read, although their names look as if it should."""
    expected = ", ".join(f"{table}/" for table in ENTRY_TYPES)
    for name in _listed(top, []):
        if name not in ENTRY_TYPES and not name.startswith(".") and name.endswith((_ENDING, ".yml")):
            yield f"{os.path.join(top, name)}: isn't read here; move it to the directory of its kind: {expected}"


def _names(directory: str, problems: list[str]) -> list[str]:
    """The names of the entries in a directory."""
    files = [name for name in _listed(directory, problems) if not name.startswith(".")]
    problems += [
        f"{os.path.join(directory, name)}: isn't read; name it {name[:-4]}{_ENDING}"
        for name in files
        if name.endswith(".yml")
    ]
    return [name.removesuffix(_ENDING) for name in files if name.endswith(_ENDING)]


def _listed(directory: str, problems: list[str]) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        pass
    except OSError as problem:
        problems.append(f"{directory}: can't be read: {problem.strerror}")
    return []


class PartChange:
    """A change of one file of conf.d, which can be taken back.

    If the relay is killed at any instant, the file is the old one or the new one as a whole.

    :param text: the new contents; None: the file is deleted.
    """

    def __init__(self, data_dir: str, table: Table, name: str, text: str | None) -> None:
        self._path = part_file(data_dir, table, name)
        self._directory, file = os.path.split(self._path)
        self._parents = (data_dir, os.path.dirname(self._directory))
        self._new = os.path.join(self._directory, f".{file}.new")
        self._old = os.path.join(self._directory, f".{file}.old")
        self._text = text
        self._existed = False

    def make(self) -> None:
        """Writes or deletes the file. When it returns, the change is on the disk.

        :raises OSError: nothing has changed.
        """
        self._make_directories()
        for left in (self._new, self._old):
            with suppress(FileNotFoundError):
                os.remove(left)
        # So taking the change back needs no room on the disk.
        self._existed = self._keep_old()
        try:
            if self._text is None:
                os.remove(self._path)
            else:
                _write(self._new, self._text.encode())
                os.rename(self._new, self._path)
            OsFiles().sync_directory(self._directory)
        except OSError:
            self.undo()
            raise

    def undo(self) -> None:
        """Takes the change back: the file is as before.

        :raises OSError: it can't be, and the file is as `make` left it.
        """
        if self._existed:
            os.rename(self._old, self._path)
        else:
            with suppress(FileNotFoundError):
                os.remove(self._path)
        with suppress(FileNotFoundError):
            os.remove(self._new)
        OsFiles().sync_directory(self._directory)

    def keep(self) -> None:
        """Ends the change: it can't be taken back any more."""
        with suppress(OSError):
            os.remove(self._old)

    def _make_directories(self) -> None:
        for parent, directory in zip(self._parents, (*self._parents[1:], self._directory), strict=True):
            try:
                os.mkdir(directory, 0o700)
            except FileExistsError:
                continue
            OsFiles().sync_directory(parent)

    def _keep_old(self) -> bool:
        """Keeps the old contents under a second name. Returns whether there are any."""
        try:
            os.link(self._path, self._old, follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError:
            # Some file systems have no second names, and the kernel may refuse one for another user's file.
            with open(self._path, "rb") as file:
                _write(self._old, file.read())
        return True


def _write(path: str, octets: bytes) -> None:
    # Other users must not read it, because it has secrets.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(handle)

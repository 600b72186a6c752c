"""Reads the files of conf.d in the data directory: one account, carrier or route each.

    DATA_DIR/conf.d/accounts/acme.yaml
    DATA_DIR/conf.d/carriers/tier1.yaml
    DATA_DIR/conf.d/routes/uk.yaml

Files whose names begin with a dot, or don't end in .yaml, are left alone: they are those of editors, and those of a
change that is under way (`part_change`). All functions touch the disk: call them in a thread.
"""

import os
import stat
from collections.abc import Iterator
from typing import Final

from relay.config.config_entries import ENTRY_TYPES, Part, PartFiles, Table

_DIRECTORY: Final = "conf.d"
_ENDING: Final = ".yaml"


def parts_directory(data_dir: str, table: Table) -> str:
    """The path of the directory of a table's files."""
    return os.path.join(data_dir, _DIRECTORY, table)


def part_file(data_dir: str, table: Table, name: str) -> str:
    """The path of the file of an entry."""
    return os.path.join(parts_directory(data_dir, table), name + _ENDING)


def read_parts(data_dir: str) -> PartFiles:
    """Reads all files of conf.d, in the order of their names.

    :param data_dir: ""; there are none.
    """
    parts: list[Part] = []
    names, problems = part_names(data_dir)
    for table, name in names:
        try:
            part = read_part(data_dir, table, name)
        except PartUnreadable as problem:
            problems.append(str(problem))
        else:
            if part is not None:
                parts.append(part)
    return PartFiles(parts, problems)


def part_names(data_dir: str) -> tuple[list[tuple[Table, str]], list[str]]:
    """Lists the entries of conf.d, in the order of their names, and reads no file.

    :param data_dir: ""; there are none.
    :return: kinds and names, and what is wrong with the names of files, one line each.
    """
    if not data_dir:
        return [], []
    problems = list(_strays(os.path.join(data_dir, _DIRECTORY)))
    names = [(table, name) for table in ENTRY_TYPES for name in _names(parts_directory(data_dir, table), problems)]
    return names, problems


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

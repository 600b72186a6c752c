"""Keeps the files of conf.d of a cluster in the store, so that every relay of the cluster has them.

Theory of operation: in a cluster, the store's disk is the database. What the store keeps as a setting is one row of the
log, under the epoch of the relay that works, and the relays that stand by read it. So each file of conf.d is a setting
there, and the files on each machine are a copy. The relay that works changes the setting first, and its copy after
that. If it is killed in between, or if another relay takes over, the copy is brought up to date before anything is
sent. The files are kept there from the first time on when a relay with `admin.api` works; before, it puts those of its
own conf.d there.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from relay.app.conf_d import part_file, read_parts
from relay.app.load_config import ConfigError
from relay.app.part_change import PartChange
from relay.config.config_entries import ENTRY_TYPES, Table
from relay.operator.actions import OPERATOR

#: The setting that says that the store has the files. The settings with the files begin with it and a slash.
_KEPT: Final = "conf.d"

#: A file of conf.d: its table and the name of its entry.
_File = tuple[Table, str]
InThread = Callable[..., Awaitable[Any]]


class SettingStore(Protocol):
    """The calls of the store that this needs. They raise `StoreUnavailable`."""

    def put_setting(self, account: str, name: str, value: str | None) -> Awaitable[None]: ...
    def settings(self) -> Awaitable[Sequence[tuple[str, str, str]]]: ...


class StoredEntries:
    """The files of conf.d in the store, and their copy in the data directory.

    :param in_thread: calls a function with arguments in a thread.
    :param in_use: whether the store has them: whether this relay's configuration has `admin.api`.
    """

    def __init__(self, data_dir: str, store: SettingStore, in_thread: InThread, in_use: Callable[[], bool]) -> None:
        self._data_dir = data_dir
        self._store = store
        self._in_thread = in_thread
        self._in_use = in_use

    async def begin(self) -> None:
        """Puts the files of this machine into the store, if it has none yet. Only the relay that works may call."""
        stored = await self._stored()
        if not self._in_use():
            if stored is not None:
                # From now on somebody edits the files on each machine. They count, if the key is set again.
                await self._store.put_setting(OPERATOR, _KEPT, None)
            return
        if stored is not None:
            return
        files: dict[_File, str] = await self._in_thread(self._copied)
        left = await self._texts()
        for file in {*files, *left}:
            # If we stop here, the next relay that works begins again, with its own files.
            await self.put(*file, files.get(file))
        await self._store.put_setting(OPERATOR, _KEPT, "1")

    async def put(self, table: Table, name: str, text: str | None) -> None:
        """Changes a file in the store; None: deletes it. When it returns, the change is in the database.

        :raises StoreUnavailable: it is not.
        """
        await self._store.put_setting(OPERATOR, f"{_KEPT}/{table}/{name}", text)

    async def text(self, table: Table, name: str) -> str | None:
        """What the store has of a file; None: nothing."""
        return (await self._texts()).get((table, name))

    async def bring(self) -> int:
        """Makes the files of this machine those of the store. Returns how many it has changed.

        :raises OSError: one can't be written.
        """
        stored = await self._stored()
        return 0 if stored is None or not self._in_use() else await self._in_thread(self._write, stored)

    async def check(self) -> None:
        """Refuses files that somebody has changed on this machine.

        :raises ConfigError: there are some. It names them.
        """
        stored = await self._stored()
        if stored is None or not self._in_use():
            return
        copied: dict[_File, str] = await self._in_thread(self._copied)
        changed = sorted(file for file in {*stored, *copied} if stored.get(file) != copied.get(file))
        if changed:
            raise ConfigError(
                f"{part_file(self._data_dir, *file)}: differs from the database, which has the files of conf.d in a "
                "cluster; change it with the admin API (the next start writes what the database has)"
                for file in changed
            )

    async def _stored(self) -> dict[_File, str] | None:
        """The files that the store has; None: it doesn't have them."""
        settings = await self._store.settings()
        return _files_of(settings) if any(each[:2] == (OPERATOR, _KEPT) for each in settings) else None

    async def _texts(self) -> dict[_File, str]:
        return _files_of(await self._store.settings())

    def _copied(self) -> dict[_File, str]:
        """The files of this machine. In a thread."""
        files = read_parts(self._data_dir)
        if files.problems:
            raise ConfigError(files.problems)
        return {(part.table, part.name): part.text for part in files.parts}

    def _write(self, stored: dict[_File, str]) -> int:
        # A file that can't be read is written anew.
        copied = {(part.table, part.name): part.text for part in read_parts(self._data_dir).parts}
        changed = [file for file in {*stored, *copied} if stored.get(file) != copied.get(file)]
        for file in changed:
            change = PartChange(self._data_dir, *file, stored.get(file))
            change.make()
            change.keep()
        return len(changed)


def _files_of(settings: Sequence[tuple[str, str, str]]) -> dict[_File, str]:
    found: dict[_File, str] = {}
    for account, setting, text in settings:
        kept, _, place = setting.partition("/")
        name_of, _, name = place.partition("/")
        for table in ENTRY_TYPES:
            if account == OPERATOR and kept == _KEPT and name_of == table:
                found[table, name] = text
    return found

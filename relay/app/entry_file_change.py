"""Changes the file of an entry of conf.d: on the disk, and in a cluster in the store before."""

from relay.app.part_change import PartChange
from relay.app.stored_entries import InThread, StoredEntries
from relay.config.config_entries import Table


class EntryFileChange:
    """A change of a file, which can be taken back.

    :param text: the new contents; None: the file is deleted.
    :param in_thread: calls a function with arguments in a thread.
    :param stored: keeps the files in the store, too; None: there is no cluster.
    """

    def __init__(
        self,
        data_dir: str,
        table: Table,
        name: str,
        text: str | None,
        in_thread: InThread,
        stored: StoredEntries | None,
    ) -> None:
        self._file = PartChange(data_dir, table, name, text)
        self._place = table, name
        self._text = text
        self._in_thread = in_thread
        self._stored = stored
        self._old: str | None = None

    async def make(self) -> None:
        """Makes the change.

        :raises OSError, StoreUnavailable: it is not made.
        """
        if self._stored is not None:
            self._old = await self._stored.text(*self._place)
            await self._stored.put(*self._place, self._text)
        # If the relay is killed here, the next relay that works has the new file from the store.
        try:
            await self._in_thread(self._file.make)
        except OSError:
            await self._put_back()
            raise

    async def undo(self) -> None:
        """Takes the change back."""
        await self._put_back()
        await self._in_thread(self._file.undo)

    async def keep(self) -> None:
        """Ends the change."""
        await self._in_thread(self._file.keep)

    async def _put_back(self) -> None:
        if self._stored is not None:
            await self._stored.put(*self._place, self._old)

"""What the admin API asks of the configuration's files, and what they answer.

`relay.app.config_editor` reads and writes the files; `entry_api` speaks HTTP.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from relay.config.changes import Change
from relay.config.config_entries import Table
from relay.operator.refusal import Refusal


class KeyRefused(msgspec.Struct, frozen=True):
    """What is wrong with one key.

    :ivar key: dotted, as in the file: `accounts.acme.rate`. "": `problem` says where it is.
    """

    key: str
    problem: str


class EntryRefused(Refusal):
    """The files can't be read or changed as asked, and nothing has changed.

    :ivar problems: what is wrong with single keys.
    """

    def __init__(self, reason: str, status: int, problems: Sequence[KeyRefused] = ()) -> None:
        super().__init__(reason, status)
        self.problems = list(problems)


class Entry(msgspec.Struct, frozen=True):
    """An account, carrier or route.

    :ivar name: None: a route of the main file, which has none.
    :ivar settings: the keys that are written, without secrets.
    :ivar file: where it is written.
    :ivar changeable: whether the API may change it. Entries of the main file are the operator's.
    :ivar applied: whether the relay uses it as it is in the file. Otherwise it was changed by hand since the last
        reload.
    :ivar version: another one after each change of the file; None: the entry isn't changeable.
    """

    name: str | None
    settings: dict[str, Any]
    file: str
    line: int
    changeable: bool
    applied: bool
    version: str | None = None


class EntryPage(msgspec.Struct, frozen=True):
    """Some entries of a table. `next` is the parameter `after` of the next page; None: there is no more."""

    entries: list[Entry]
    next: str | None


#: What a reload would do with a file: nothing, apply its changes, add what it gives, or end that.
PartState = Literal["in use", "changed", "new", "deleted"]


class PartFile(msgspec.Struct, frozen=True):
    """A file of conf.d, for the operator's page.

    :ivar name: the name of the account, carrier or route that it gives.
    :ivar settings: the keys that the file has, without secrets; None: it can't be read, or has been deleted.
    :ivar problems: what is wrong with the file itself, with its lines.
    """

    table: Table
    name: str
    file: str
    state: PartState
    settings: dict[str, Any] | None
    problems: list[str]


class PartFilePage(msgspec.Struct, frozen=True):
    """Some files of conf.d. `next` is the parameter `after` of the next page; None: there is no more.

    :ivar directory: the path of conf.d.
    :ivar problems: what is wrong with the names of files.
    """

    files: list[PartFile]
    next: str | None
    directory: str
    problems: list[str]


class EntryChange(msgspec.Struct, frozen=True):
    """A change that somebody wants.

    :ivar kind: put: `settings` is the whole entry; patch: RFC 7396, what differs; delete: no settings.
    :ivar if_match: the versions of which the entry must have one; "*": any; None: none was said.
    :ivar must_be_new: whether the entry must not exist.
    """

    kind: Literal["put", "patch", "delete"]
    settings: Any = None
    if_match: frozenset[str] | None = None
    must_be_new: bool = False


class EntryChanged(msgspec.Struct, frozen=True):
    """A change that was applied.

    :ivar created: whether the entry is new.
    :ivar entry: None: it was deleted.
    """

    created: bool
    entry: Entry | None
    changes: list[Change]


class NotDone(msgspec.Struct, frozen=True):
    """A request that was refused. Nothing has changed.

    :ivar problems: what is wrong with single keys.
    """

    error: str
    problems: list[KeyRefused] = []


#: Records a change before it is made. It gets a sentence.
Record = Callable[[str], Awaitable[None]]


class EditsEntries(Protocol):
    """Reads and changes the accounts, carriers and routes of the configuration.

    :raises EntryRefused: from every method but the first two.
    """

    async def begin(self) -> None:
        """Begins, at the start, when the store is open and before anything is made of the configuration.

        It deletes what interrupted changes have left. In a cluster it takes the files from the database.

        :raises Exception: the files can't be used.
        """

    async def follow(self) -> None:
        """In a cluster, while another relay works: takes the files from the database. Call it now and then."""

    async def entries(self, table: Table, after: str, limit: int) -> EntryPage:
        """The entries of a table in the order of the files, those of the main file first.

        :param after: `next` of the page before; "": the first page.
        """

    async def entry(self, table: Table, name: str) -> Entry:
        """One entry."""

    async def files(self, after: str, limit: int) -> PartFilePage:
        """The files of conf.d: accounts first, then carriers and routes, each kind in the order of names.

        :param after: `next` of the page before; "": the first page.
        """

    async def file(self, table: Table, name: str) -> PartFile:
        """One file of conf.d."""

    async def change(self, table: Table, name: str, wanted: EntryChange, record: Record) -> EntryChanged:
        """Changes an entry, and applies the change. One change at a time.

        :raises StoreUnavailable: it can't be recorded, and nothing has changed.
        """

"""Changes entries of the configuration for the admin API: accounts, carriers and routes in files of conf.d.

Theory of operation: there is one change at a time. The main file and conf.d are read, and the change is tried on what
was read: the whole must pass the checks of a start. Then the change is recorded, its file is written, and the relay
reloads. If the reload refuses the files after all, the file becomes the old one again.

* If the relay is killed before the file has its new name, the next start has the old configuration; after that, the new
  one, which was checked.
* In a cluster, the change is made in the store first (`stored_entries`).
* The files may have changed by hand since the last reload. Then a change is refused, because it would apply what nobody
  has asked for yet.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from relay.app.conf_d import PartUnreadable, part_file, read_part, read_parts
from relay.app.config_file import main_of, read_main, with_parts
from relay.app.entry_file_change import EntryFileChange
from relay.app.list_files import ListsCheck
from relay.app.load_config import Check, ConfigError, MainFile, WholeConfig
from relay.app.login_checks import NO_NAME, is_name
from relay.app.part_change import remove_leftovers
from relay.app.part_looks import look_at_file, look_at_files
from relay.app.stored_entries import StoredEntries
from relay.config.changes import Change, ReloadResult, changes, differences
from relay.config.config_entries import ENTRY_TYPES, Part, Place, Places, Table
from relay.config.entry_trees import TreeProblem, merge_patch, tree_of, with_secrets
from relay.config.model import Config
from relay.config.yaml_reader import Path
from relay.config.yaml_writer import yaml_of
from relay.operator.entry_requests import (
    Entry,
    EntryChange,
    EntryChanged,
    EntryPage,
    EntryRefused,
    KeyRefused,
    PartFile,
    PartFilePage,
    Record,
)
from relay.store.store_values import StoreUnavailable

#: Changes that wait for the one under way. Further ones are refused.
_MOST_WAITING: Final = 16
_WRITTEN_BY: Final = "# The relay's admin API has written this file. If you change it, reload the configuration.\n"
#: A record is kept for each change, so it must not grow with the entry.
_LONGEST_SENTENCE: Final = 500
_NOTHING: Final = "nothing has changed"

InThread = Callable[..., Awaitable[Any]]


class Edited(Protocol):
    """The parts of the daemon that a change needs."""

    config: Config
    places: Places
    not_ready: str


class ReloadsNow(Protocol):
    """Reloads the configuration."""

    async def read_again(self) -> None:
        """Applies the files before the relay takes messages. Raises an exception if they can't be used."""

    async def reload_now(self) -> ReloadResult:
        """Reloads, and returns when it is done."""


class _Prepared:
    """A change that has passed all checks."""

    def __init__(self, text: str | None, created: bool, found: list[Change]) -> None:
        self.text = text
        self.created = created
        self.found = found


class ConfigEditor:
    """Reads and changes entries, as `relay.operator.entry_requests.EditsEntries` describes it.

    :param file: the main configuration file.
    :param in_thread: calls a function with arguments in a thread.
    :param checks: makes the checks of a start.
    :param stored: keeps the files in the store, too; None: there is no cluster.
    """

    log = Logger()

    def __init__(
        self,
        file: str,
        daemon: Edited,
        reloader: ReloadsNow,
        in_thread: InThread,
        checks: Callable[[], Iterable[Check]],
        stored: StoredEntries | None = None,
    ) -> None:
        self._file = file
        self._daemon = daemon
        self._reloader = reloader
        self._in_thread = in_thread
        self._checks = checks
        self._stored = stored
        self._lock = DeferredLock()
        #: Whether the files have changed since this relay has read them.
        self._unread = False
        self._said = ""

    # Start

    async def follow(self) -> None:
        """See `EditsEntries`."""
        try:
            await self._bring()
            self._said = ""
        except Exception as problem:
            if str(problem) != self._said:
                self._said = str(problem)
                self.log.error("config_not_followed: {problem}", problem=self._said)

    async def begin(self) -> None:
        """See `EditsEntries`."""
        await self._clean_up()
        if self._stored is not None:
            await self._stored.begin()
            await self._bring()

    async def _bring(self) -> None:
        """In a cluster: takes the files from the store, and applies them."""
        if self._stored is None:
            return
        if count := await self._stored.bring():
            self._unread = True
            self.log.info("config_brought: {count} files of conf.d are as the database has them", count=count)
        if self._unread:
            await self._reloader.read_again()
            self._unread = False

    async def _clean_up(self) -> None:
        count, problems = await self._in_thread(remove_leftovers, self._data_dir)
        if count:
            self.log.info("config_cleaned: {count} files of interrupted changes were deleted from conf.d", count=count)
        for problem in problems:
            self.log.error(
                "config_uncleaned: {problem}: this file of an interrupted change may have old secrets, and can't be "
                "deleted; delete it", problem=problem,
            )  # fmt: skip

    # Reading

    async def entries(self, table: Table, after: str, limit: int) -> EntryPage:
        """See `EditsEntries`."""
        found = [(path, place, _id(path, place)) for path, place in self._daemon.places.of(table).items()]
        begin = next((at + 1 for at, (_, _, known) in enumerate(found) if known == after), 0)
        if after and not begin:
            raise EntryRefused(f"after: {table} has no {after!r} any more; begin with the first page again", 422)
        page = found[begin : begin + limit]
        files = [place.name for _, place, _ in page if place.in_part]
        parts: dict[str, Part | None] = await self._in_thread(self._read_all, table, files)
        entries = [self._entry(table, path, place, parts.get(place.name)) for path, place, _ in page]
        return EntryPage(entries, page[-1][2] if begin + limit < len(found) else None)

    async def entry(self, table: Table, name: str) -> Entry:
        """See `EditsEntries`."""
        found = self._place(table, name)
        if found is not None and not found[1].in_part:
            return self._entry(table, *found, None)
        part = (await self._in_thread(self._read_all, table, [name]))[name] if is_name(name) else None
        if part is None and found is None:
            raise EntryRefused(f"there is no {_noun(table)} {name!r}", 404)
        return self._entry(table, *(found or ((table, name), Place("", 1, name))), part)

    async def files(self, after: str, limit: int) -> PartFilePage:
        """See `EditsEntries`."""
        page: PartFilePage = await self._in_thread(look_at_files, self._data_dir, self._daemon.places, after, limit)
        return page

    async def file(self, table: Table, name: str) -> PartFile:
        """See `EditsEntries`."""
        found: PartFile | None = await self._in_thread(look_at_file, self._data_dir, self._daemon.places, table, name)
        if found is None:
            raise EntryRefused(f"there is no file {part_file(self._data_dir, table, name)}", 404)
        return found

    def _place(self, table: Table, name: str) -> tuple[Path, Place] | None:
        places = self._daemon.places
        if table != "routes":
            place = places.entries.get((table, name))
            return None if place is None else ((table, name), place)
        return next(((path, place) for path, place in places.of(table).items() if place.name == name), None)

    def _read_all(self, table: Table, names: Sequence[str]) -> dict[str, Part | None]:
        try:
            return {name: read_part(self._data_dir, table, name) for name in names}
        except PartUnreadable as problem:
            raise EntryRefused(str(problem), 409) from None

    @property
    def _data_dir(self) -> str:
        return self._daemon.config.data_dir

    def _entry(self, table: Table, path: Path, place: Place, part: Part | None) -> Entry:
        """An entry as it is in its file; if it is in the main file, or its file has gone, as the relay uses it."""
        name = place.name or None
        if part is None:
            config = self._daemon.config
            used = config.routes[int(path[1])] if table == "routes" else getattr(config, table)[path[1]]
            settings = tree_of(used, path, outside=self._daemon.places.outside)
            changeable = place.in_part
            return Entry(name, settings, place.file, place.line, changeable, applied=not changeable)
        whole = main_of("", "").with_parts([part])
        try:
            whole.refuse_unreadable()
        except ConfigError as error:
            raise EntryRefused(f"{part.file} can't be used as it is", 409, _by_key(error)) from None
        applied = place.version == part.version
        return Entry(name, whole.tree(table, part.name), part.file, 1, True, applied, part.version)

    # Changing

    async def change(self, table: Table, name: str, wanted: EntryChange, record: Record) -> EntryChanged:
        """See `EditsEntries`."""
        if len(self._lock.waiting) >= _MOST_WAITING:
            raise EntryRefused("too many changes wait for the one under way; try again", 503)
        async with self._lock:
            return await self._change(table, name, wanted, record)

    async def _change(self, table: Table, name: str, wanted: EntryChange, record: Record) -> EntryChanged:
        if self._daemon.not_ready:
            raise EntryRefused(f"the relay is {self._daemon.not_ready}; {_NOTHING}", 503)
        if self._stored is not None:
            await self._stored.begin()
        prepared: _Prepared = await self._in_thread(self._prepare, self._daemon.config, table, name, wanted)
        await record(_sentence(table, name, prepared))
        change = EntryFileChange(self._data_dir, table, name, prepared.text, self._in_thread, self._stored)
        path = part_file(self._data_dir, table, name)
        try:
            await change.make()
        except OSError as problem:
            raise EntryRefused(f"{path}: can't be written: {problem.strerror}; {_NOTHING}", 503) from None
        # If the relay is killed here, the next start takes the new file.
        try:
            result = await self._reloader.reload_now()
        except Exception as problem:
            await self._undo(change, path)
            raise EntryRefused(f"{problem}; {_NOTHING}", 503) from None
        if result.problems:
            await self._undo(change, path)
            problems = [KeyRefused("", line) for line in result.problems]
            raise EntryRefused(f"the reload refused the change; {_NOTHING}", 422, problems)
        await change.keep()
        entry = None if prepared.text is None else await self.entry(table, name)
        return EntryChanged(prepared.created, entry, prepared.found)

    async def _undo(self, change: EntryFileChange, path: str) -> None:
        try:
            await change.undo()
        except (OSError, StoreUnavailable) as problem:
            self.log.error(
                "config_file_left: {path}: has a change that was refused, and can't be written back: {problem}",
                path=path,
                problem=str(problem),
            )
            raise EntryRefused(f"{path}: has the refused change, and can't be written back: {problem}", 500) from None

    def _prepare(self, used: Config, table: Table, name: str, wanted: EntryChange) -> _Prepared:
        """Checks a change. It runs in a thread.

        :param used: the configuration that the relay uses.
        """
        main, parts, now = self._as_it_is(used)
        part = next((part for part in parts if (part.table, part.name) == (table, name)), None)
        if part is None and table != "routes" and name in getattr(main.config, table):
            where = f"{main.name}:{main.reader.line_of((table, name))}"
            raise EntryRefused(f"{table}.{name} is in {where}: change it there, and reload", 409)
        _check_versions(table, name, wanted, part)
        if part is None and not is_name(name):
            raise EntryRefused("the name is wrong", 422, [KeyRefused(f"{table}.{name}", NO_NAME)])
        text = None
        new_parts = [other for other in parts if other is not part]
        if wanted.kind != "delete":
            current = None if part is None else now.tree(table, name, reveal=True)
            text = _WRITTEN_BY + yaml_of(_wanted_tree(table, name, wanted, current))
            new_parts.append(Part(table, name, part_file(self._data_dir, table, name), text))
            new_parts.sort(key=lambda each: (list(ENTRY_TYPES).index(each.table), each.name))
        whole = main.with_parts(new_parts)
        try:
            whole.checked([*self._checks(), ListsCheck()])
        except ConfigError as error:
            raise EntryRefused(f"the configuration would be wrong; {_NOTHING}", 422, _by_key(error)) from None
        old = None if part is None else now.entry(table, name)
        new = None if text is None else whole.entry(table, name)
        found = differences(f"{table}.{name}", old, new)
        return _Prepared(text, part is None, found)

    def _as_it_is(self, used: Config) -> tuple[MainFile, Sequence[Part], WholeConfig]:
        """Reads the files. Refuses if a reload would apply something else than a change of the API."""
        try:
            main = read_main(self._file)
            files = read_parts(self._data_dir)
            now = with_parts(main, files)
            now.refuse_unreadable()
        except ConfigError as error:
            raise EntryRefused(
                f"the configuration's files can't be used as they are, so {_NOTHING}", 409, _by_key(error)
            ) from None
        others = [change.key for change in changes(used, now.config) if change.live]
        if others:
            more = f" and {len(others) - 5} more" if len(others) > 5 else ""
            raise EntryRefused(
                f"the files differ from the configuration in use: {', '.join(others[:5])}{more}. Reload it "
                "(POST /configuration/reload) or take that back, and try again",
                409,
            )
        return main, files.parts, now


def _check_versions(table: Table, name: str, wanted: EntryChange, part: Part | None) -> None:
    """Refuses a change of something else than its sender has seen (RFC 9110 section 13, RFC 6585 section 3)."""
    if part is None:
        if wanted.kind != "put":
            raise EntryRefused(f"there is no {_noun(table)} {name!r}", 404)
        if wanted.if_match is not None:
            raise EntryRefused(f"If-Match: there is no {_noun(table)} {name!r} any more", 412)
        return
    if wanted.must_be_new:
        raise EntryRefused(f"If-None-Match: there is a {_noun(table)} {name!r} already", 412)
    if wanted.if_match is None:
        raise EntryRefused(
            f"there is a {_noun(table)} {name!r}: send its ETag in If-Match, so that you change what you have seen", 428
        )
    if not wanted.if_match & {part.version, "*"}:
        raise EntryRefused(f"If-Match: {table}.{name} has been changed since; get it again", 412)


def _wanted_tree(table: Table, name: str, wanted: EntryChange, current: dict[str, Any] | None) -> Any:
    tree = merge_patch(current, wanted.settings) if wanted.kind == "patch" else wanted.settings
    if not isinstance(tree, dict):
        raise EntryRefused("the body must be a JSON object with the entry's keys", 422)
    try:
        return with_secrets(tree, current)
    except TreeProblem as problem:
        key = f"{table}.{name}.{problem.key}"
        raise EntryRefused(f"a value is wrong; {_NOTHING}", 422, [KeyRefused(key, str(problem))]) from None


def _by_key(error: ConfigError) -> list[KeyRefused]:
    if not error.by_key:
        return [KeyRefused("", line) for line in error.problems]
    return [KeyRefused(problem.key, problem.text) for problem in error.by_key]


def _sentence(table: Table, name: str, prepared: _Prepared) -> str:
    """What the record says. It has no secrets, because `Change` has none."""
    key = f"{table}.{name}"
    if prepared.created:
        return f"create {key}"
    if prepared.text is None:
        return f"delete {key}"
    said = ", ".join(f"{change.key.removeprefix(key + '.')}: {change.what}" for change in prepared.found)
    return f"change {key}: {said or 'nothing differs'}"[:_LONGEST_SENTENCE]


def _noun(table: Table) -> str:
    return table[:-1]


def _id(path: Path, place: Place) -> str:
    """What `after` says of an entry."""
    return place.name or f"routes[{path[1]}]"

"""Looks at the files of conf.d for the operator's page: what each gives, and whether the relay uses it.

All functions touch the disk: call them in a thread.
"""

import os
from collections.abc import Mapping

from relay.app.conf_d import PartUnreadable, part_file, part_names, parts_directory, read_part
from relay.app.config_file import main_of
from relay.app.login_checks import is_name
from relay.config.config_entries import ENTRY_TYPES, Place, Places, Table
from relay.operator.entry_requests import PartFile, PartFilePage, PartState

#: An entry of conf.d.
_Key = tuple[Table, str]


def look_at_files(data_dir: str, places: Places, after: str, limit: int) -> PartFilePage:
    """Looks at some files, also at those that have been deleted since the last reload.

    :param places: where the entries of the configuration in use are.
    :param after, limit: as in `EditsEntries.files`. It may name a file that is gone.
    """
    used = _used(places)
    names, problems = part_names(data_dir)
    order = list(ENTRY_TYPES)
    keys = sorted({*names, *used}, key=lambda key: (order.index(key[0]), key[1]))
    if after:
        table, _, name = after.partition("/")
        last = (order.index(table) if table in order else len(order), name)
        keys = [key for key in keys if (order.index(key[0]), key[1]) > last]
    page = keys[:limit]
    more = "/".join(page[-1]) if len(keys) > limit else None
    files = [_look(data_dir, *key, used.get(key)) for key in page]
    return PartFilePage(files, more, os.path.dirname(parts_directory(data_dir, "accounts")), problems)


def look_at_file(data_dir: str, places: Places, table: Table, name: str) -> PartFile | None:
    """Looks at one file; None: there is none."""
    place = _used(places).get((table, name))
    if place is None and (not is_name(name) or not os.path.lexists(part_file(data_dir, table, name))):
        return None
    return _look(data_dir, table, name, place)


def _used(places: Places) -> Mapping[_Key, Place]:
    return {(table, place.name): place for table in ENTRY_TYPES for place in places.of(table).values() if place.in_part}


def _look(data_dir: str, table: Table, name: str, place: Place | None) -> PartFile:
    file = part_file(data_dir, table, name)
    try:
        part = read_part(data_dir, table, name)
    except PartUnreadable as problem:
        return PartFile(table, name, file, _state("", place), None, [str(problem)])
    if part is None:
        return PartFile(table, name, file, "deleted", None, [])
    whole = main_of("", "").with_parts([part])
    problems = whole.problems_of(part)
    settings = None if problems else whole.tree(table, name)
    return PartFile(table, name, file, _state(part.version, place), settings, problems)


def _state(version: str, place: Place | None) -> PartState:
    if place is None:
        return "new"
    return "in use" if place.version == version else "changed"

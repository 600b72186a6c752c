"""Stores the values that many messages of the history share, each once: their origins and their groups."""

from typing import Final

from relay.history.history_entries import Entry, Group, Origin
from relay.history.history_source import HistoryConnection

#: The most groups. Beyond it, new groups get no carrier error: a carrier may send another error for each message.
_MOST_GROUPS: Final = 20_000
_MOST_ORIGINS_IN_MEMORY: Final = 100_000


class SharedValues:
    """Finds the numbers of origins and groups, and adds new ones to the database.

    :ivar group_of: the groups by their numbers.
    """

    def __init__(self, db: HistoryConnection) -> None:
        self._db = db
        self._origins: dict[Origin, int] = {}
        self._groups: dict[Group, int] = {}
        for number, *values in db.execute("SELECT id, account, carrier, state, error, flags FROM groups"):
            self._groups[Group(*values)] = number
        self.group_of = {number: group for group, number in self._groups.items()}

    def look(self) -> None:
        """Drops the remembered origins if another process has written to the database. Call it before each batch.

        Such a process may be an erasure, which renames origins.
        """
        if self._db.others_wrote():
            self._origins.clear()

    def of(self, entry: Entry, head: bytes) -> tuple[int, int]:
        """Returns the numbers of an entry's origin and group.

        :param head: the entry's addresses up to the digits of the destination, as in `Origin`.
        """
        message = entry.message
        # A plain tuple is equal to the named tuple that is the key. A named tuple would cost as much time as the row.
        origin_key = (message.interface, head)
        origin = self._origins.get(origin_key) or self._origin(Origin(*origin_key))  # type: ignore[call-overload]
        group_key = (message.account, entry.carrier, entry.state, entry.error, entry.flags)
        group = self._groups.get(group_key) or self._group(Group(*group_key), entry)  # type: ignore[call-overload]
        return origin, group

    def origin(self, number: int) -> Origin:
        """Returns the origin that has this number."""
        return Origin(*self._db.execute("SELECT interface, head FROM origins WHERE id = ?", (number,)).fetchone())

    def _origin(self, origin: Origin) -> int:
        db = self._db
        found = db.execute(
            "SELECT id FROM origins WHERE head = ? AND interface = ?", (origin.head, origin.interface)
        ).fetchone()
        number: int
        if found is None:
            values = (origin.interface, origin.head, origin.sender)
            number = db.execute(
                "INSERT INTO origins (interface, head, sender) VALUES (?, ?, ?) RETURNING id", values
            ).fetchone()[0]
        else:
            number = found[0]
        if len(self._origins) >= _MOST_ORIGINS_IN_MEMORY:
            self._origins.clear()
        self._origins[origin] = number
        return number

    def _group(self, group: Group, entry: Entry) -> int:
        if len(self._groups) >= _MOST_GROUPS and group.error:
            entry.rare().error = group.error
            group = group._replace(error=b"")
            if group in self._groups:
                return self._groups[group]
        number: int = self._db.execute(
            "INSERT INTO groups (account, carrier, state, error, flags) VALUES (?, ?, ?, ?, ?) RETURNING id", group
        ).fetchone()[0]
        self._groups[group] = number
        self.group_of[number] = group
        return number

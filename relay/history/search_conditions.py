"""Turns what a search asks for into conditions of SQL, and reads the rows of a segment that meet them."""

import heapq
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

from relay.history.history_entries import COLUMNS, Group, Row
from relay.history.history_numbers import NumberKeeper
from relay.history.history_query import HistoryQuery
from relay.history.history_source import HistoryConnection

#: A search looks up this many values of a column one by one. If there are more, it reads all rows and compares.
_MOST_WALKS: Final = 64
#: Many numbers share an end that is shorter than this. For such an end, a search reads all rows and compares.
_TELLING_DIGITS: Final = 5


class Conditions:
    """Turns a query into conditions of SQL, and reads the rows that meet them.

    :param terms: the conditions, each with its values.
    :param index: the search uses the index of this column; "" means no index.
    :param walked: the search looks up these values of that column one by one; empty if the terms have the value.
    """

    def __init__(
        self, terms: Sequence[tuple[str, Sequence[Any]]], index: str, walked: Sequence[int], backwards: bool
    ) -> None:
        self._terms = terms
        self._index = index
        self._walked = walked
        self._order = "DESC" if backwards else "ASC"
        self._backwards = backwards

    @classmethod
    def of(
        cls, query: HistoryQuery, db: HistoryConnection, groups: dict[int, Group], keep: NumberKeeper
    ) -> "Conditions | None":
        """Makes the conditions of a query. Returns None if no message can meet them."""
        terms: list[tuple[str, Sequence[Any]]] = []
        index = ""
        walked: Sequence[int] = ()
        if query.id:
            terms.append(("id BETWEEN ? AND ?", _id_range(query.id)))
            index = "id"
        if query.carrier_id:
            key = query.carrier_id.encode("latin-1", "replace")
            both = "SELECT seq FROM m{n} WHERE carrier_id = ? UNION ALL SELECT seq FROM p{n} WHERE carrier_id = ?"
            terms.append((f"seq IN ({both})", (key, key)))
            index = index or "carrier_id"
        if query.reference:
            terms.append(("reference = ?", (query.reference,)))
            index = index or "reference"
        if query.number:
            terms.append(("number = ?", (keep(query.number.encode("latin-1", "replace"))[::-1],)))
            index = index or "number"
        if query.number_end:
            end = query.number_end.encode("latin-1", "replace")[::-1]
            terms.append(("number >= ? AND number < ?", (end, end + b"\xff")))
            if len(end) >= _TELLING_DIGITS:
                index = index or "number"
        if query.sender:
            sender = query.sender.encode("latin-1", "replace")
            origins = [number for (number,) in db.execute("SELECT id FROM origins WHERE sender = ?", (sender,))]
            if not origins:
                return None
            if not index and len(origins) <= _MOST_WALKS:
                index, walked = "origin", origins
            else:
                terms.append(_one_of("origin", origins))
        if (mine := _groups_of(query, groups)) is not None:
            if not mine:
                return None
            if not index and len(mine) <= _MOST_WALKS:
                index, walked = "grp", mine
            else:
                terms.append(_one_of("grp", mine))
        return cls(terms, index, walked, not query.oldest_first)

    def rows(
        self, db: HistoryConnection, segment: int, indexed: bool, span: tuple[int, int], limit: int
    ) -> Sequence[Row]:
        """Returns the first rows of a segment that meet all conditions, in order.

        :raises SearchTimedOut, sqlite3.OperationalError: the time for the search is over.
        """
        if self._walked and indexed:
            walks = [
                self._select(db, segment, db.hint(segment, self._index), [(f"{self._index} = ?", (value,))],
                             span, limit)
                for value in self._walked
            ]  # fmt: skip
            return list(islice(heapq.merge(*walks, reverse=self._backwards), limit))
        terms = [_one_of(self._index, self._walked)] if self._walked else []
        how = ""
        if not self._index or self._walked:
            how = db.hint(segment, "")
        elif indexed and self._index != "carrier_id":
            how = db.hint(segment, self._index)
        return list(self._select(db, segment, how, terms, span, limit))

    def _select(
        self,
        db: HistoryConnection,
        segment: int,
        how: str,
        terms: Iterable[tuple[str, Sequence[Any]]],
        span: tuple[int, int],
        limit: int,
    ) -> Iterable[Row]:
        terms = [("seq BETWEEN ? AND ?", span), *terms, *self._terms]
        where = " AND ".join(term for term, _ in terms).format(n=segment)
        values = [value for _, some in terms for value in some]
        return db.execute(
            f"SELECT {', '.join(COLUMNS)} FROM m{segment} {how} WHERE {where} ORDER BY seq {self._order} LIMIT ?",
            (*values, limit),
        )


def _one_of(column: str, values: Sequence[int]) -> tuple[str, Sequence[Any]]:
    # These are numbers of our own, so they are safe in the text. A statement can't have as many parameters.
    return f"{column} IN ({', '.join(map(str, values))})", ()


def _id_range(digits: str) -> tuple[bytes, bytes]:
    digits = digits[:32].lower()
    return bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))


def _groups_of(query: HistoryQuery, groups: dict[int, Group]) -> Sequence[int] | None:
    """Returns the numbers of the groups that match a query, or None if the query has no condition for groups."""
    error = query.error.encode("latin-1", "replace")
    asked = (query.account, query.carrier, query.states, query.error, query.notification, query.ended)
    if all(value is None or value == "" for value in asked):
        return None
    return [
        number
        for number, group in groups.items()
        if (query.account is None or group.account == query.account)
        and (not query.carrier or group.carrier == query.carrier)
        and (query.states is None or group.state in query.states)
        and (not error or group.error == error)
        and (not query.notification or group.notification == query.notification)
        and (query.ended is None or group.final is query.ended)
    ]

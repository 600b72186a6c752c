"""The statements that write a batch of the history: its rows, and the sums over them."""

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from relay.history.history_entries import COLUMNS, Row

#: Rows in one statement. With one row per statement, the thread would wait for the interpreter's lock at each row.
_ROWS_A_STATEMENT: Final = 100
#: Columns that never change.
_LASTING: Final = ("seq", "id", "number", "origin", "reference")


def insert_rows(db: sqlite3.Connection, segment: int, rows: Sequence[Row], *, replacing: bool = False) -> None:
    """Adds rows to a segment, or replaces those with the same keys.

    :raises sqlite3.Error: the transaction has failed.
    """
    if not rows:
        return
    names = ", ".join(COLUMNS)
    values = f"({', '.join('?' * len(COLUMNS))})"
    ending = ""
    if replacing:
        changing = [name for name in COLUMNS if name not in _LASTING]
        ending = " ON CONFLICT (seq) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in changing)
    whole = len(rows) - len(rows) % _ROWS_A_STATEMENT
    many = f"INSERT INTO m{segment} ({names}) VALUES {', '.join([values] * _ROWS_A_STATEMENT)}{ending}"
    for start in range(0, whole, _ROWS_A_STATEMENT):
        db.execute(many, tuple(chain.from_iterable(rows[start : start + _ROWS_A_STATEMENT])))
    one = f"INSERT INTO m{segment} ({names}) VALUES {values}{ending}"
    db.executemany(one, rows[whole:])


def add_sums(
    db: sqlite3.Connection, sums: Mapping[tuple[int, int], int], took: Mapping[tuple[int, str, int], int]
) -> None:
    """Adds changes to the sums by minute and to the sums by hour.

    :param sums: by minute and group.
    :param took: by minute, account and class of the delivery time.
    :raises sqlite3.Error: the transaction has failed.
    """
    for table, names, changes in (("sums", "grp", sums), ("took", "account, class", took)):
        by_span: Counter[tuple[Any, ...]] = Counter()
        for (minute, *key), count in changes.items():
            by_span[(60, minute, *key)] += count
            by_span[(3600, minute // 60, *key)] += count
        add = (
            f"INSERT INTO {table} (span, bucket, {names}, count) VALUES (?, ?, {names.count(',') * '?, '}?, ?) "
            f"ON CONFLICT (span, bucket, {names}) DO UPDATE SET count = count + excluded.count"
        )
        db.executemany(add, [(*key, count) for key, count in by_span.items() if count])

"""The statements that write the sums over a batch of the history."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from relay.history.history_source import HistoryConnection


def add_sums(
    db: HistoryConnection, sums: Mapping[tuple[int, int], int], took: Mapping[tuple[int, str, int], int]
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
            f"ON CONFLICT (span, bucket, {names}) DO UPDATE SET count = {table}.count + excluded.count"
        )
        db.executemany(add, [(*key, count) for key, count in by_span.items() if count])

"""Keeps the accounts' feeds of notifications in the history's database, and reads them.

Theory of operation: the store gives each final state a place in the feed. When the writer writes a batch, it adds one
row for each account with messages that ended in the batch. The row has the places, and the keys of the messages' own
rows. So the feed costs some ten octets a message, and no index.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from relay.history.history_entries import COLUMNS, Group, Origin, Row, entry_of
from relay.history.history_source import HistoryConnection
from relay.store.store_values import FeedEntry

#: A batch is divided into rows of so many places, so that a page reads few places that it doesn't need.
_PLACES_A_ROW: Final = 500


class Ended(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Says which message has a place in its account's feed: the key of its row, and the segment that has the row."""

    place: int
    seq: int
    segment: int


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Ended]).decode


def write_feed(db: HistoryConnection, ended: Mapping[str, Iterable[Ended]]) -> None:
    """Adds what ended in a batch, by account. Places that are there already are kept twice, and read once.

    Call it in the transaction of the batch.

    :raises sqlite3.Error: the transaction has failed.
    """
    rows = []
    for account, of_account in ended.items():
        places = sorted(of_account, key=_place)
        for start in range(0, len(places), _PLACES_A_ROW):
            some = places[start : start + _PLACES_A_ROW]
            segment = max(each.segment for each in some)
            rows.append((account, some[-1].place, some[0].place, segment, _encode(some)))
    db.executemany(
        "INSERT INTO feed (account, last_place, first_place, segment, ended) VALUES (?, ?, ?, ?, ?) ON CONFLICT "
        "(account, last_place, first_place) DO UPDATE SET segment = excluded.segment, ended = excluded.ended",
        rows,
    )


def forget_feed(db: HistoryConnection) -> None:
    """Deletes the rows whose messages are all gone. Call it in a transaction."""
    db.execute("DELETE FROM feed WHERE segment < (SELECT min(number) FROM segments)")


def read_feed(
    db: HistoryConnection, account: str, after: int, limit: int, groups: Mapping[int, Group]
) -> Sequence[FeedEntry]:
    """Returns an account's final states after a place in its feed, up to `limit` of them, in order.

    :param groups: all groups of the database.
    :raises sqlite3.Error: the database can't be read.
    """
    kept = {number for (number,) in db.execute("SELECT number FROM segments")}
    found: dict[int, Ended] = {}
    rows = db.execute(
        "SELECT last_place, ended FROM feed WHERE account = ? AND last_place > ? ORDER BY last_place", (account, after)
    )
    for last_place, packed in rows:
        if len(found) >= limit and last_place > sorted(found)[limit - 1]:
            # Each row begins behind the one before it, unless the journal was read again.
            break
        found |= {each.place: each for each in _decode(packed) if each.place > after and each.segment in kept}
    wanted = [found[place] for place in sorted(found)[:limit]]
    entries = {}
    for segment in {each.segment for each in wanted}:
        keys = ", ".join(str(each.seq) for each in wanted if each.segment == segment)
        for row in db.execute(f"SELECT {', '.join(COLUMNS)} FROM m{segment} WHERE seq IN ({keys})"):
            entries[row[0]] = _feed_entry(row, groups[row[4]], segment)
    return [msgspec.structs.replace(entries[each.seq], cursor=each.place) for each in wanted if each.seq in entries]


def _feed_entry(row: Row, group: Group, segment: int) -> FeedEntry:
    # A feed doesn't show where a message came from.
    entry = entry_of(row, Origin("", b""), group, segment)
    return FeedEntry(0, entry.message.id, entry.state, entry.error, entry.done_at, entry.message.accepted_at)


def _place(ended: Ended) -> int:
    return ended.place

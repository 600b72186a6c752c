"""How long searches take in a history of ten million messages, and how large it is.

    python -m benchmarks.history_size                    # some ten minutes; --messages 1000000 for a quick look

The rows are written by the relay's own writer, with numbers, ids and errors spread as a busy gateway's: four accounts,
three carriers, 200 senders, one in 200 messages with an error that is rare.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from relay.history.history_database import HistoryDatabase
from relay.history.history_entries import FINAL, NOTIFIED, Entry, seq_of
from relay.history.history_numbers import number_keeper
from relay.history.history_query import HistoryQuery
from relay.history.history_schema import Cursor
from relay.history.history_search import HistorySearch
from relay.history.sqlite_history import SqliteHistory
from relay.values.messages import Message
from relay.values.states import DELIVERED, UNDELIVERABLE

#: Searches of each kind; the slowest and the median are shown.
_SEARCHES = 30
_SPAN_SECONDS = 86_400.0
_BATCH = 10_000
#: What the issue of it asks for, of the slowest search by one key.
_MOST_MILLISECONDS = 50.0


def messages(count: int, rate: float, chance: random.Random) -> Iterator[list[Entry]]:
    """Ended messages in batches, `rate` of them a second, the last one now."""
    began_at = time.time() - count / rate
    for start in range(0, count, _BATCH):
        batch = []
        for number in range(start, min(start + _BATCH, count)):
            at = began_at + number / rate
            rare = number % 200 == 0
            message = Message(
                chance.randbytes(16), f"account{number % 4}", at, at + 172_800.0,
                b"\5\0SENDER%d\0\1\1447%09d\0" % (chance.randrange(200), chance.randrange(10**9)), (b"",), 1,
                reference=f"order {number}" if number % 10 == 0 else None,
            )  # fmt: skip
            entry = Entry(seq_of(at, number), message, UNDELIVERABLE if rare else DELIVERED, FINAL | NOTIFIED & 16)
            entry.carrier, entry.carrier_message_id = f"tier{number % 3}", b"%d" % chance.randrange(10**12)
            entry.error = b"%03d" % (chance.randrange(40) + 1 if rare else 0)
            entry.submitted_at, entry.done_at = at + 0.2, at + 3.0
            batch.append(entry)
        yield batch


def fill(database: HistoryDatabase, count: int, rate: float) -> list[Entry]:
    """Writes the messages; gives some of them, to be searched for."""
    chance = random.Random(1)
    known: list[Entry] = []
    for number, batch in enumerate(messages(count, rate, chance)):
        database.write(batch, Cursor(1, number), number)
        database.close_segment(time.time())
        known += chance.sample(batch, 1)
        if number % 50 == 0:
            print(f"{number * _BATCH:,} messages", file=sys.stderr, flush=True)
    return known


def queries(known: Sequence[Entry], chance: random.Random) -> dict[str, list[HistoryQuery]]:
    """By what is searched for: some queries, each with a span of a day in which the message is."""
    found: dict[str, list[HistoryQuery]] = {}
    for entry in chance.choices(known, k=_SEARCHES):
        message, at = entry.message, entry.message.accepted_at
        number = message.addresses.split(b"\0")[2][2:].decode()
        sender = message.addresses[2 : message.addresses.index(b"\0", 2)].decode()
        span: dict[str, Any] = {"since": at - _SPAN_SECONDS / 2, "until": at + _SPAN_SECONDS / 2}
        searches: dict[str, dict[str, Any]] = {
            "id": {"id": message.id.hex()},
            "beginning of an id": {"id": message.id.hex()[:8]},
            "number": {"number": number},
            "end of a number": {"number_end": number[-6:]},
            "reference": {"reference": message.reference or "order 10"},
            "carrier's id": {"carrier_id": entry.carrier_message_id.decode()},
            "sender": {"sender": sender},
            "account": {"account": message.account},
            "carrier": {"carrier": entry.carrier},
            "state": {"states": frozenset([UNDELIVERABLE])},
            "error that is rare": {"error": "007"},
            "notification failed (none is)": {"notification": "failed"},
            "span of time alone": {},
        }
        for name, fields in searches.items():
            found.setdefault(name, []).append(HistoryQuery(**fields, **span))
            if name in ("id", "number", "end of a number", "carrier's id", "reference"):
                found.setdefault(f"{name}, in all the time", []).append(HistoryQuery(**fields))
    return found


def main() -> int:
    """Fills a database, searches it, and prints a table; 1 where a search by one key took longer than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history_size", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--rate", type=float, default=30.0, help="messages a second, so that the span is this long")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path, default=Path("var/history-size.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="bench-history-") as directory:
        path, keep = os.path.join(directory, "history.sqlite3"), number_keeper("full", "")
        database = HistoryDatabase(SqliteHistory(path), keep)
        database.open()
        begun_at = time.process_time()
        known = fill(database, options.messages, options.rate)
        write_us = 1e6 * (time.process_time() - begun_at) / options.messages
        search = HistorySearch(SqliteHistory(path), keep, seconds=60.0)
        rows = []
        for name, asked in queries(known, random.Random(2)).items():
            times, results = [], 0
            for query in asked:
                begun_at = time.perf_counter()
                results += len(search.search(query).messages)
                times.append(1000.0 * (time.perf_counter() - begun_at))
            rows.append((name, statistics.median(times), max(times), results / len(asked)))
        size = os.path.getsize(path) / options.messages
        search.close()
        database.close()
    print(f"{options.messages:,} messages; {write_us:.1f} us of CPU and {size:.0f} octets each, made and written")
    print("| search by | median ms | slowest ms | found |\n|---|---|---|---|")
    for name, middle, slowest, each in rows:
        print(f"| {name} | {middle:.1f} | {slowest:.1f} | {each:.1f} |")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({"messages": options.messages, "us": write_us, "bytes": size, "rows": rows}))
    return int(any(slowest > _MOST_MILLISECONDS for _, _, slowest, _ in rows))


if __name__ == "__main__":
    sys.exit(main())

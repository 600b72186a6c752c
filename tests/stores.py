"""Tools for tests of stores: short ways to make messages and receipts, a store, and its whole state."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from relay.config import daemon_config
from relay.store.journal.journal_store import JournalStore
from relay.store.store_values import NotifyPolicy
from relay.store.table.entries import Row
from relay.store.table.entry_values import FINAL, FORGOTTEN, OWED_SMPP, OWED_WEBHOOK
from relay.store.table.same_id import as_several, row_of
from relay.store.table.snapshots import snapshot
from relay.store.table.table import Table
from relay.values.carrier_reports import Receipt, Submitted
from relay.values.messages import Message
from tests.simulated_disk import SimulatedDisk

NOW = 1_700_000_000.0
DAY = 86_400.0
ADDRESSES = b"\x01\x01447700900001\0\x01\x01447700900002\0"

POLICIES = {
    "hooked": NotifyPolicy(webhook=True),
    "hooked-all": NotifyPolicy(webhook=True, intermediate=True),
    "hooked-progress": NotifyPolicy(webhook=True, intermediate=True, progress=True),
    "silent": NotifyPolicy(webhook=True, unanswered=False),
    "plain": NotifyPolicy(receipt_seconds=3600.0),
}


def policy_of(account: str) -> NotifyPolicy:
    """The policies of the accounts that tests use; nothing for others."""
    return POLICIES.get(account, NotifyPolicy())


def message_id(number: int) -> bytes:
    """An id that spreads over the table as random ones do."""
    return bytes([number * 37 % 256]) + number.to_bytes(15, "big")


def message(number: int, account: str = "plain", **fields: Any) -> Message:
    """A message of one part whose receipt is wanted over SMPP, unless `fields` say otherwise."""
    values: dict[str, Any] = {
        "id": message_id(number),
        "account": account,
        "accepted_at": NOW + number / 1000,
        "expires_at": NOW + DAY,
        "addresses": ADDRESSES,
        "parts": (b"body of %d" % number,),
        "registered_delivery": 1,
    }
    return Message(**{**values, **fields})


def submitted(number: int, key: bytes = b"", part: int = 0, carrier: str = "tier1", **fields: Any) -> Submitted:
    """A carrier took a part; its id is the number in decimal unless `key` says otherwise."""
    values: dict[str, Any] = {"at": NOW + 1, "receipt_due_at": NOW + 4 * DAY}
    return Submitted(message_id(number), part, carrier, key or b"%d" % number, **{**values, **fields})


def receipt(key: int | bytes, state: int | None = 2, carrier: str = "tier1", **fields: Any) -> Receipt:
    """A final receipt, DELIVERED unless `state` says otherwise."""
    keys = (key if isinstance(key, bytes) else b"%d" % key,)
    values: dict[str, Any] = {"final": True, "received_at": NOW + 2, "error": b"000", "stat": b"DELIVRD"}
    return Receipt(carrier, fields.pop("keys", keys), state, **{**values, **fields})


def numbers_in(source: bytes, destination: bytes) -> bytes:
    """Two numbers as they stand in a submit_sm or deliver_sm, and in `Message.addresses`."""
    return b"\1\1%b\0\1\1%b\0" % (source, destination)


def receipt_from(handset: bytes, key: int | bytes, state: int | None = 2, **fields: Any) -> Receipt:
    """A receipt whose source address is this number."""
    return receipt(key, state, raw=b"\0" + numbers_in(handset, b"12345") + b"\4\0\0\0\0\0\0\0\0\0", **fields)


class SettableClock(Clock):
    """A clock that begins at NOW."""

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = NOW


def wait_for(clock: Clock, awaitable: Any, turns: int = 10_000) -> Any:
    """What the awaitable gives, or raises, with the clock moved on by milliseconds until it does."""
    deferred = awaitable if isinstance(awaitable, Deferred) else Deferred.fromCoroutine(awaitable)
    results: list[Any] = []
    deferred.addBoth(results.append)
    for _ in range(turns):
        if results:
            break
        clock.advance(0.001)
    if not results:
        raise AssertionError("it didn't fire")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


def make_store(
    disk: Any,
    clock: Clock,
    *,
    sync: str = "always",
    segment_bytes: int = 1 << 20,
    limits: daemon_config.Limits | None = None,
    in_thread: Callable[[Callable[[], Any]], "Deferred[Any]"] | None = None,
    kind: Callable[..., JournalStore] = JournalStore,
    **options: Any,
) -> JournalStore:
    """A store on this disk, not started yet, whose commits are done at once unless `in_thread` says otherwise."""
    journal = daemon_config.Journal(
        sync=sync,  # type: ignore[arg-type]
        segment_bytes=segment_bytes,
        segment_seconds=options.pop("segment_seconds", 3600.0),
        text_hours=options.pop("text_hours", 24.0),
    )
    return kind(
        disk,
        "data",
        journal=journal,
        limits=limits or daemon_config.Limits(),
        policy=options.pop("policy", policy_of),
        clock=clock,
        in_thread=in_thread or at_once,
        tells_progress=lambda: True,
        **options,
    )


def at_once(work: Callable[[], Any]) -> "Deferred[Any]":
    """A thread that needs no time."""
    try:
        return succeed(work())
    except BaseException:
        failed: Deferred[Any] = Deferred()
        failed.errback(Failure())
        return failed


def started(disk: SimulatedDisk, clock: Clock, **options: Any) -> JournalStore:
    """A store that has read what is on the disk."""
    store = make_store(disk, clock, **options)
    wait_for(clock, store.start())
    return store


def state_of(store: JournalStore) -> dict[str, Any]:
    """Everything that must be the same after a replay."""
    table = store.table
    return {
        "rows": {row.id: snapshot(row, table.ids) for row in all_rows(table)},
        "ids": _ids(table),
        "orphans": sorted(r.received_at for r in table.orphans.latest(10**6)),
        "orphan keys": sorted((r.carrier, r.keys) for r in table.orphans.latest(10**6)),
        "evidence": sorted((r.carrier, r.received_at, r.keys) for r in table.evidence.latest(10**6)),
        "unreadable": sorted(r.received_at for r in table.unreadable.latest(10**6)),
        "settings": sorted(store._settings.all()),
        "queues": {queue.queue_key: queue.owed for queue in table.queues.owing()},
        "counts": (table.rows, table.unsubmitted, table.awaiting, table.owed),
        "feeds": {name: _numbers(_kept(account.feed_after(0, 10**6))) for name, account in table.accounts.items()},
        "given up": {name: dict(account.given_up) for name, account in table.accounts.items()},
        "cursor": table.cursor,
        "sent": table.in_doubt.all(),
        "used": {name: table.ledger.use(name) for name in table.ledger.accounts()},
    }


def _kept(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row.flags & FORGOTTEN]


def all_rows(table: Table) -> list[Row]:
    """Every row in the table."""
    return [row for shard in table.shards for row in shard.values()]


def _numbers(rows: Sequence[Row]) -> list[int]:
    return [row.cursor for row in rows]


def _ids(table: Table) -> dict[tuple[str, bytes], set[tuple[bytes, int, int]]]:
    return {
        (carrier, key): {
            (row_of(entry).id, getattr(entry, "part", 0), getattr(entry, "round", 0)) for entry in as_several(found)
        }
        for carrier, shards in table.ids._by_carrier.items()
        for shard in shards
        for key, found in shard.items()
    }


def check_counts(table: Table) -> None:
    """The counters say what the rows say."""
    rows = all_rows(table)
    live = [row for row in rows if not row.flags & FINAL]
    expected = (
        len(rows),
        sum(1 for row in live if row.handoff is None),
        sum(1 for row in live if row.handoff is not None),
        sum(bool(row.flags & OWED_SMPP) + bool(row.flags & OWED_WEBHOOK) for row in rows),
    )
    found = (table.rows, table.unsubmitted, table.awaiting, table.owed)
    if found != expected:
        raise AssertionError(f"rows, unsubmitted, awaiting, owed: counted {found}, found {expected}")
    owed = sum(queue.owed for queue in table.queues.owing())
    if owed != table.owed:
        raise AssertionError(f"the queues owe {owed}, the table {table.owed}")
    births: dict[int, int] = {}
    for row in rows:
        births[row.acceptance.segment.sequence] = births.get(row.acceptance.segment.sequence, 0) + 1
    for row in rows:
        segment = row.acceptance.segment
        if segment.rows != births[segment.sequence]:
            raise AssertionError(
                f"segment {segment.sequence} counts {segment.rows} rows and has {births[segment.sequence]}"
            )

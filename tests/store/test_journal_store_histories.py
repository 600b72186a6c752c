"""Random histories: replay of the journal gives the table that wrote it, however often it was compacted."""

from collections.abc import Collection
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config import daemon_config
from relay.store.journal.journal_format import decode_records, read_frames
from relay.store.journal.journal_store import JournalStore
from relay.store.store_values import Idempotency, ReadAgain
from relay.store.table.entries import is_unsubmitted, rounds_of
from relay.store.table.entry_values import FINAL, OWED
from relay.store.table.records import Ended
from relay.store.table.unsubmitted import unsubmitted_parts
from relay.values.carrier_reports import QueryOutcome
from relay.values.failover_rule import FailoverRule
from relay.values.messages import Ending
from relay.values.notifications import Attempt, Channel, Notification, QueueKey, Recovery, Verdict
from relay.values.states import DELIVERED, ENROUTE, EXPIRED, FINAL_STATES, REJECTED, UNDELIVERABLE, UNKNOWN
from tests.simulated_disk import SimulatedDisk
from tests.stores import (
    DAY,
    NOW,
    SettableClock,
    all_rows,
    check_counts,
    message,
    message_id,
    receipt,
    started,
    state_of,
    submitted,
    wait_for,
)

ACCOUNTS = ("plain", "hooked", "hooked-all", "hooked-progress", "silent")
QUEUES = [QueueKey(account, channel) for account in ACCOUNTS for channel in Channel]
QUEUES += [QueueKey("hooked", Channel.WEBHOOK, "http://own/")]
numbers = st.integers(0, 14)
states = st.sampled_from([1, 2, 3, 5, 6, 7, 8])
parts = st.integers(0, 2)
#: Few different ids, so that they are given twice, and come before their response.
keys = st.integers(0, 25).map(lambda n: b"k%d" % n)
#: Two carriers that are used much more often than the third.
carriers = st.sampled_from(["tier1", "tier1", "tier2", "tier2", "tier3"])
RULES = [
    None,
    FailoverRule((UNDELIVERABLE, REJECTED)),
    FailoverRule((EXPIRED, UNDELIVERABLE, UNKNOWN), (b"e",), 600.0, 2),
]
#: How many parts each has, whether it has a URL of its own, and its rule.
FOUR_MESSAGES = [(1, False, RULES[1]), (1, True, RULES[2]), (3, False, RULES[1]), (3, True, RULES[2])]

operations = st.one_of(
    st.tuples(
        st.just("accept"),
        st.lists(
            st.tuples(
                st.sampled_from(ACCOUNTS),
                st.integers(1, 3),
                st.integers(0, 0x13),
                st.booleans(),
                st.sampled_from(RULES),
            ),
            max_size=4,
        ),
    ),
    st.tuples(st.just("accept_again"), st.lists(numbers, max_size=3, unique=True), st.sampled_from(ACCOUNTS)),
    st.tuples(
        st.just("submitted"),
        st.lists(st.tuples(numbers, parts, keys, st.integers(0, 3)), max_size=4),
        st.sampled_from([None, b"", b"K"]),
        carriers,
    ),
    st.tuples(st.just("asked"), st.lists(st.tuples(numbers, parts, st.sampled_from([0.0, 500.0])), max_size=3)),
    st.tuples(
        st.just("sending"),
        st.lists(st.tuples(numbers, parts), max_size=4, unique=True),
        st.sampled_from(["", "tier1", "tier2"]),
    ),
    st.tuples(st.just("receipts"), st.lists(st.tuples(keys, st.none() | states, st.booleans()), max_size=4), carriers),
    st.tuples(st.just("fetch"), st.integers(1, 4)),
    st.tuples(st.just("reread"), st.lists(st.tuples(st.integers(0, 9), keys, states, st.booleans()), max_size=4)),
    st.tuples(st.just("end"), st.lists(st.tuples(numbers, states), max_size=2)),
    st.tuples(st.just("claim"), st.sampled_from(QUEUES), st.integers(1, 4)),
    st.tuples(
        st.just("settle"),
        st.sampled_from(list(Verdict)),
        st.integers(0, 3),
        st.integers(0, 9),
        st.sampled_from(list(Recovery)),
    ),
    st.tuples(st.just("release"), st.integers(0, 2)),
    st.tuples(st.just("bring_forward"), st.sampled_from(QUEUES), st.sampled_from(list(Recovery))),
    st.tuples(st.just("again"), st.sampled_from(ACCOUNTS), st.lists(numbers, max_size=3)),
    st.tuples(st.just("setting"), st.sampled_from(ACCOUNTS), st.none() | st.just("x")),
    st.tuples(st.just("pass"), st.sampled_from([1.0, 700.0, 4000.0, 30_000.0, 100_000.0])),
    st.tuples(
        st.just("compact"),
    ),
    st.tuples(
        st.just("dismiss"),
    ),
)
histories = st.lists(operations, max_size=40)
few = st.integers(0, 3)
#: In which four messages go from one carrier to another. An id says which part it is for.
failover_histories = st.lists(
    st.one_of(
        st.builds(
            lambda n, carrier, mode, given: (
                "submitted", [(n, part, b"%d%d" % (n, part), mode) for part in range(3)], given, carrier
            ),
            few, carriers, st.sampled_from([0, 0, 0, 1, 3]), st.sampled_from([None, b"K"]),
        ),
        st.builds(
            lambda n, part, carrier: ("submitted", [(n, part, b"again %d%d" % (n, part), 0)], None, carrier),
            few, parts, carriers,
        ),
        st.builds(
            lambda n, carrier, states, final: (
                "receipts", [(b"%d%d" % (n, part), state, final) for part, state in enumerate(states)], carrier
            ),
            few, carriers, st.lists(st.sampled_from([2, 5, 5, 5, 8]), min_size=1, max_size=3),
            st.sampled_from([True, True, True, False]),
        ),
        st.builds(
            lambda n, part, carrier, state: ("receipts", [(b"%d%d" % (n, part), state, True)], carrier),
            few, parts, carriers, st.sampled_from([2, 2, 5]),
        ),
        st.tuples(st.just("fetch"), st.integers(1, 4)),
        st.sampled_from([("pass", 1.0), ("pass", 700.0), ("pass", 4000.0), ("compact",)]),
        st.tuples(st.just("claim"), st.sampled_from(QUEUES), st.integers(1, 4)),
        st.tuples(st.just("end"), st.lists(st.tuples(few, states), max_size=1)),
        st.sampled_from([("pass", 100_000.0), ("accept", [("hooked", 1, 1, True, RULES[1])])]),
    ),
    min_size=8,
    max_size=40,
).map(
    lambda history: [
        ("accept", [("hooked", count, 1, own_url, rule) for count, own_url, rule in FOUR_MESSAGES]), *history
    ]
)  # fmt: skip
#: In which receipts fall out, are read again, and are dismissed.
evidence_histories = st.lists(
    st.one_of(
        st.just(("receipts", [(b"x1", 2, True), (b"x2", 2, True), (b"x3", 1, False)])),
        st.just(("receipts", [(b"x4", 2, True), (b"k5", 2, True)])),
        st.sampled_from([("pass", 1.0), ("pass", 400.0), ("pass", 700.0), ("pass", 4000.0)]),
        st.sampled_from([("compact",), ("dismiss",), ("accept", [("plain", 1, 1, False)] * 3)]),
        st.just(("submitted", [(0, 0, b"k5", 0), (1, 0, b"x4", 0)], None)),
        st.tuples(st.just("reread"), st.lists(st.tuples(st.integers(0, 9), keys, states, st.booleans()), max_size=4)),
    ),
    min_size=10,
    max_size=40,
)


def other_carrier(
    account: str, addresses: bytes, accepted_at: float, tags: tuple[str, ...], tried: Collection[str]
) -> bool:
    """Whether there is another of the three carriers."""
    return any(name not in tried for name in ("tier1", "tier2", "tier3"))


def waiting_parts(store: JournalStore) -> list[tuple[bytes, int]]:
    """The parts that wait for a carrier, also those of messages that go to another one."""
    rows = [row for row in all_rows(store.table) if is_unsubmitted(row)]
    return sorted((row.id, part) for row in rows for part in unsubmitted_parts(row))


class History:
    """Plays operations on a store."""

    def __init__(self, store: JournalStore, clock: SettableClock) -> None:
        self.store = store
        self.clock = clock
        store.connect_routes(other_carrier)
        self.accepted = 0
        self.claimed: list[Notification] = []

    def play(self, operation: Any) -> None:
        name, *arguments = operation
        done = getattr(self, f"do_{name}")(*arguments)
        if done is not None:
            wait_for(self.clock, done)

    def do_accept(self, wanted: list[Any]) -> Any:
        batch = []
        for account, count, query_outcomes, own_url, *rule in wanted:
            number = self.accepted
            self.accepted += 1
            batch.append(
                message(
                    number,
                    account,
                    parts=tuple(b"part %d of %d" % (p, number) for p in range(count)),
                    registered_delivery=query_outcomes,
                    accepted_at=self.clock.seconds(),
                    expires_at=self.clock.seconds() + DAY,
                    notification_url="http://own/" if own_url else None,
                    failover=rule[0] if rule else None,
                )
            )
        key = Idempotency("plain", f"key {self.accepted}", b"", b"", self.clock.seconds())
        return self.store.accept(batch, key if len(batch) == 1 else None)

    def do_accept_again(self, wanted: list[int], account: str) -> Any:
        """Messages under ids that others had, of which nothing is known any more: their keys were used again."""
        free = [n for n in wanted if n < self.accepted and self.store.table.get(message_id(n)) is None]
        now = self.clock.seconds()
        return self.store.accept(
            [
                message(
                    n, account, parts=(b"part 0 of %d" % n,), accepted_at=now, expires_at=now + DAY, reference="again"
                )
                for n in free
            ]
        )

    def do_fetch(self, limit: int) -> Any:
        return self.store.failed_over(limit)

    def do_submitted(self, taken: list[Any], given_id: bytes | None, carrier: str = "tier1") -> Any:
        now = self.clock.seconds()
        fields: dict[str, Any] = {"at": now, "receipt_due_at": now + DAY, "given_id": given_id}
        return self.store.submitted(
            [submitted(n, key, p, carrier, parts_receipted=mode, **fields) for n, p, key, mode in taken]
        )

    def do_asked(self, answers: list[Any]) -> Any:
        now = self.clock.seconds()
        return self.store.query_outcomes(
            [QueryOutcome(message_id(n), p, now, wait and now + wait) for n, p, wait in answers]
        )

    def do_sending(self, written: list[Any], carrier: str) -> Any:
        return self.store.sending([(message_id(n), part) for n, part in written], carrier)

    def do_receipts(self, came: list[Any], carrier: str = "tier1") -> Any:
        now = self.clock.seconds()
        return self.store.receipts(
            [
                receipt(key, state, carrier, final=final, received_at=now + i / 8, error=b"e", own_word=b"W" * (i % 2))
                for i, (key, state, final) in enumerate(came)
            ]
        )

    def do_reread(self, wanted: list[Any]) -> Any:
        page = wait_for(self.clock, self.store.kept_receipts(None, 1000)).receipts
        for after in ((-1, 0), (-2, 0)):
            page = [*page, *wait_for(self.clock, self.store.kept_receipts(after, 1000)).receipts]
        return self.store.reread(
            [
                ReadAgain(page[n], receipt(key, state, final=final, received_at=page[n].received_at))
                for n, key, state, final in wanted
                if n < len(page)
            ]
        )

    def do_dismiss(self) -> Any:
        return self.store.dismiss_evidence("tier1")

    def do_end(self, verdicts: list[Any]) -> Any:
        now = self.clock.seconds()
        return self.store.end([Ending(message_id(n), state, now, b"no", "tier1") for n, state in verdicts])

    def do_claim(self, queue_key: QueueKey, limit: int) -> None:
        claim = wait_for(self.clock, self.store.claim(queue_key, limit, self.clock.seconds()))
        self.claimed += claim.notifications

    def do_bring_forward(self, queue_key: QueueKey, recovery: Recovery) -> None:
        self.store.bring_forward(queue_key, recovery)

    def do_settle(self, verdict: Verdict, start: int, count: int, recovery: Recovery) -> Any:
        batch = self.claimed[start : start + count]
        del self.claimed[start : start + count]
        now = self.clock.seconds()
        return self.store.settle(
            [Attempt(n, verdict, now, n.scheduled_at or now + 600, "answer", 0.1, recovery) for n in batch]
        )

    def do_release(self, start: int) -> None:
        self.store.release(self.claimed[start:])
        del self.claimed[start:]

    def do_again(self, account: str, wanted: list[int]) -> Any:
        return self.store.notify_again(account, [message_id(n) for n in wanted], self.clock.seconds())

    def do_setting(self, account: str, value: str | None) -> Any:
        return self.store.put_setting(account, "notify", value)

    def do_pass(self, seconds: float) -> Any:
        self.clock.advance(seconds)
        return self.store.expire(self.clock.seconds(), {"tier1": 1})

    def do_compact(self) -> Any:
        """Everything but the active segment goes, whether it is time or not."""
        worker = self.store._compaction
        victims = self.store._journal.segments[:-1]
        return worker._run(victims) if victims and worker._running is None else None


#: Nothing is forgotten, so that nothing may differ.
KEEPING = daemon_config.Limits(finished=10**6, finished_hours=1e6, orphan_seconds=1e9)


def records_in(disk: SimulatedDisk) -> list[Any]:
    """What the journal says, with a `Learnt` for each message of an `Ended`."""
    records: list[Any] = []
    for name, file in sorted(disk.files.items()):
        if name.endswith(".seg"):
            octets = bytes(file.octets)
            for _, payload in read_frames(lambda at, count, of=octets: of[at : at + count], len(octets)):  # type: ignore[misc]
                for record in decode_records(payload):
                    records += record.each() if type(record) is Ended else [record]
    return records


class HistoryTests(SynchronousTestCase):
    """Whatever happened, the journal says it."""

    @settings(max_examples=160, suppress_health_check=list(HealthCheck))
    @given(st.one_of(histories, failover_histories))
    def test_replay_gives_the_table_that_wrote_the_journal(self, history: list[Any]) -> None:
        disk, clock = SimulatedDisk(), SettableClock()
        store = started(disk, clock, limits=KEEPING, segment_bytes=700)
        play = History(store, clock)
        for operation in history:
            play.play(operation)
            check_counts(store.table)
        again = started(disk.crash(), clock, limits=KEEPING, segment_bytes=700)
        check_counts(again.table)
        self.assertEqual(state_of(again), state_of(store))
        places = waiting_parts(store)
        resumed = wait_for(clock, again.unsubmitted(None, 1000))
        self.assertEqual(sorted((p.id, p.part) for p in resumed), places)
        going_on = wait_for(clock, store.failed_over(1000)).parts
        self.assertLessEqual({(p.id, p.part) for p in going_on}, set(places))
        bodies = [b"part %d of %d" % (part, int.from_bytes(i[1:], "big")) for i, part in places]
        self.assertEqual(list(wait_for(clock, store.bodies(places))), bodies)
        self.assertEqual(list(wait_for(clock, again.bodies(places))), bodies)

    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    @given(st.one_of(histories, failover_histories))
    def test_under_tight_bounds_replay_gives_at_least_all_that_has_not_ended(self, history: list[Any]) -> None:
        disk, clock = SimulatedDisk(), SettableClock()
        limits = daemon_config.Limits(finished=2, orphans=3, messages=12)
        store = started(disk, clock, limits=limits, segment_bytes=700)
        play = History(store, clock)
        for operation in history:
            try:
                play.play(operation)
            except Exception as problem:
                if type(problem).__name__ != "StoreFull":
                    raise
            check_counts(store.table)
        live = {row.id for row in all_rows(store.table) if not row.flags & FINAL or row.flags & OWED}
        again = started(disk.crash(), clock, limits=limits, segment_bytes=700)
        check_counts(again.table)
        replayed = state_of(again)["rows"]
        states = state_of(store)["rows"]
        for known in live:
            self.assertEqual(replayed[known], states[known])

    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    @given(evidence_histories)
    def test_evidence_is_still_evidence_after_a_replay_and_waits_for_nothing(self, history: list[Any]) -> None:
        disk, clock = SimulatedDisk(), SettableClock()
        limits = daemon_config.Limits(finished=10**6, finished_hours=1e6, orphans=30)
        store = started(disk, clock, limits=limits, segment_bytes=700)
        play = History(store, clock)
        for operation in history:
            play.play(operation)
        again = started(disk.crash(), clock, limits=limits, segment_bytes=700)
        for name in ("evidence", "unreadable", "rows"):
            self.assertEqual(state_of(again)[name], state_of(store)[name])
        # Of orphans over their bound, others may be left.
        waiting = {kept.received_at for kept in again.table.orphans.latest(100)}
        self.assertEqual(waiting & {kept.received_at for kept in again.table.evidence.latest(100)}, set())

    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    @given(failover_histories)
    def test_a_message_that_goes_to_other_carriers_ends_once_and_never_against_what_was_told(
        self, history: list[Any]
    ) -> None:
        disk, clock = SimulatedDisk(), SettableClock()
        store = started(disk, clock, limits=KEEPING, segment_bytes=700)
        play = History(store, clock)
        ended: dict[bytes, int] = {}
        for operation in history:
            play.play(operation)
            for row in all_rows(store.table):
                rounds = [*rounds_of(row), *([row] if row.handoff is not None else [])]
                if row.flags & FINAL:
                    self.assertEqual(ended.setdefault(row.id, row.latest.state), row.latest.state)
                elif row.rare_fields is not None and row.rare_fields.failover is not None:
                    self.assertLessEqual(len(rounds), row.rare_fields.failover.rule.times + 1)
                    self.assertNotIn(row.latest.state, FINAL_STATES)
        for notification in play.claimed:
            if notification.final:
                self.assertEqual(notification.state, ended[notification.id])

    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    @given(st.one_of(histories, failover_histories))
    def test_the_receipts_path_in_place_does_what_the_plain_one_does(self, history: list[Any]) -> None:
        states = []
        for plain in (False, True):
            disk, clock = SimulatedDisk(), SettableClock()
            store = started(disk, clock, limits=KEEPING)
            if plain:
                store._correlation.in_place = False
            play = History(store, clock)
            for operation in history:
                if operation[0] != "compact":
                    play.play(operation)
            states.append((state_of(store), records_in(disk)))
        self.assertEqual(states[0], states[1])

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 7), st.sampled_from([DELIVERED, DELIVERED, UNDELIVERABLE, ENROUTE]), st.integers(0, 1)
            ),
            max_size=10,
        )
    )
    def test_receipts_that_say_the_same_are_one_record_that_means_what_one_for_each_means(
        self, came: list[tuple[int, int, int]]
    ) -> None:
        """Messages 0 to 5 wait, 6 has two parts, and nobody knows 7."""
        found = []
        for plain in (False, True):
            disk, clock = SimulatedDisk(), SettableClock()
            store = started(disk, clock, limits=KEEPING)
            store._correlation.in_place = not plain
            accounts = ["plain", "plain", "plain", "hooked", "plain", "plain"]
            batch = [message(n, account, registered_delivery=n % 4 and 1) for n, account in enumerate(accounts)]
            wait_for(clock, store.accept([*batch, message(6, parts=(b"a", b"b"))]))
            wait_for(clock, store.submitted([submitted(n) for n in range(7)]))
            at = clock.seconds()
            wait_for(
                clock,
                store.receipts(
                    [
                        receipt(
                            n, state, final=state != ENROUTE, received_at=at, carrier_done_at=NOW + date, raw=b"%d" % i
                        )
                        for i, (n, state, date) in enumerate(came)
                    ]
                ),
            )
            again = started(disk.crash(), clock, limits=KEEPING)
            self.assertEqual(state_of(again), state_of(store))
            self.assertEqual(again.table.cursor, store.table.cursor)
            found.append((state_of(store), records_in(disk)))
        self.assertEqual(found[0], found[1])

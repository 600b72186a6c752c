"""The log in a simulated database that loses answers, fails over and fills up: thousands of appends, in many worlds."""

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.config import daemon_config
from relay.store.journal.journal_format import JournalError, encode_header
from relay.store.postgresql.known_row import KnownRow, read_known_row, write_known_row
from relay.store.postgresql.log_appender import Fenced, LogAppender, LogRefused, LogWentBack, Shard
from relay.store.postgresql.log_cache import LogCache
from relay.store.postgresql.log_reader import DamagedLog, LogReader, MissedRows
from tests import store_contract
from tests.postgresql_stores import StoreInPostgresql
from tests.simulated_database import SimulatedConnection, SimulatedDatabase
from tests.simulated_disk import SimulatedDisk
from tests.stores import SettableClock, message, message_id, receipt, state_of, submitted, wait_for

WORLDS = 150


def connection(database: SimulatedDatabase) -> Any:
    return SimulatedConnection(database)


def no_pause(seconds: float) -> None:
    """Nothing in the simulated database needs time."""


def appender(
    database: SimulatedDatabase, *, patience_seconds: float = 1e9, cache: LogCache | None = None, **options: Any
) -> LogAppender:
    """An appender of a node that has just taken over, and that has read the log to its end."""
    epoch = database.take_over("a")
    reader = LogReader(connection(database), 0)
    while reader.rows():
        pass
    shard = Shard(0, epoch, "a", allow_single=False)
    log = LogAppender(
        connection(database), shard, patience_seconds=patience_seconds, sleep=no_pause, copy=cache, **options
    )
    log.last = reader.last
    return log


class WorldsTests(SynchronousTestCase):
    """What was acknowledged is in the log once, whatever happens to connections and servers."""

    def test_every_row_that_counted_is_there_once_in_order_and_nothing_else(self) -> None:
        for seed in range(WORLDS):
            database = SimulatedDatabase(seed, fault_share=0.4)
            log = appender(database)
            log.begin_segment(1)
            segment, at = 1, 0
            expected = []
            for number in range(40):
                if database.random.random() < 0.1:
                    segment, at = segment + 1, 0
                    log.begin_segment(segment)
                octets = b"%d;" % number
                log.append(segment, at, octets)
                at += len(octets)
                expected.append(octets)
                # A power failure of the primary at any instant loses nothing that counted.
                if database.random.random() < 0.1:
                    database.fail_over()
            database.fail_over()
            self.assertEqual(database.octets(), expected, f"world {seed}")

    def test_of_owners_that_take_over_from_each_other_only_the_present_one_adds_rows(self) -> None:
        for seed in range(WORLDS):
            database = SimulatedDatabase(seed, fault_share=0.3)
            randomness = random.Random(seed)
            log = appender(database)
            log.begin_segment(1)
            at = 0
            old: list[LogAppender] = []
            counted: list[bytes] = []
            for number in range(40):
                if counted and randomness.random() < 0.15:
                    old.append(log)
                    log = appender(database)
                    at = sum(map(len, database.octets()))
                if old and randomness.random() < 0.3:
                    self.assertRaises(Fenced, randomness.choice(old).append, 1, at, b"from an old owner;")
                octets = b"%d;" % number
                log.append(1, at, octets)
                at += len(octets)
                counted.append(octets)
            self.assertEqual(database.octets(), counted, f"world {seed}")

    def test_a_row_that_was_refused_is_not_in_the_log(self) -> None:
        for seed in range(WORLDS):
            database = SimulatedDatabase(seed, fault_share=0.5)
            log = appender(database, patience_seconds=0.0)
            counted = []
            at = 0
            for number in range(30):
                octets = b"%d;" % number
                try:
                    log.begin_segment(1)
                    log.append(1, at, octets)
                except LogRefused:
                    continue
                counted.append(octets)
                at += len(octets)
            self.assertEqual(database.octets(), counted, f"world {seed}")

    def test_an_append_of_a_broken_connection_is_not_executed_after_its_row_was_refused(self) -> None:
        for seed in range(30):
            database = SimulatedDatabase(seed)
            log = appender(database, patience_seconds=0.0)
            log.begin_segment(1)
            # The first append arrives late, the new connection registers, and the second append is refused.
            database.script = ["late", "", "disk full"]
            counted = []
            try:
                log.append(1, 0, b"one")
                counted.append(b"one")
            except LogRefused:
                pass
            database.execute_late()
            self.assertEqual(database.octets(), counted, f"world {seed}")

    def test_rows_of_failed_commits_are_cut_although_answers_are_lost(self) -> None:
        for seed in range(WORLDS):
            database = SimulatedDatabase(seed, fault_share=0.4)
            log = appender(database)
            log.begin_segment(1)
            for start in range(4):
                log.append(1, start, b"%d" % start)
            log.begin_segment(2)
            log.append(2, 0, b"x")
            log.drop_segment(2)
            log.cut_segment(1, 2)
            log.append(1, 2, b"y")
            self.assertEqual(database.octets(), [b"0", b"1", b"y"], f"world {seed}")

    def test_a_database_that_went_back_is_noticed_and_heals_when_the_rows_are_there_again(self) -> None:
        database = SimulatedDatabase()
        log = appender(database)
        log.begin_segment(1)
        log.append(1, 0, b"one")
        log.append(1, 3, b"two")
        rows = list(database.primary.segments[1])
        database.primary.segments[1] = rows[:1]
        self.assertRaises(LogWentBack, log.append, 1, 6, b"three")
        self.assertIn("went back", log.trouble)
        database.primary.segments[1] = rows
        log.append(1, 6, b"three")
        self.assertEqual((log.trouble, database.octets()), ("", [b"one", b"two", b"three"]))

    def test_an_owner_puts_back_every_row_that_the_database_has_lost(self) -> None:
        healed = 0
        for seed in range(WORLDS):
            database = SimulatedDatabase(seed, fault_share=0.2)
            database.keeps_past = True
            cache = LogCache(SimulatedDisk(), "cache")
            put_back: list[int] = []
            log = appender(database, cache=cache, put_back=put_back.append)
            log.begin_segment(1)
            segment, at, expected = 1, 0, {1: b""}
            for number in range(60):
                if database.random.random() < 0.1:
                    segment, at = segment + 1, 0
                    log.begin_segment(segment)
                    cache.sizes[segment], expected[segment] = 0, b""
                if len(expected) > 3:
                    # As compaction does: what is still needed in the oldest segment is in later rows.
                    log.drop_segment(min(expected))
                    cache.forget(min(expected))
                    del expected[min(expected)]
                octets = b"%d;" % number
                cache.add(log.append(segment, at, octets))
                at += len(octets)
                expected[segment] += octets
                if database.random.random() < 0.1:
                    database.go_back(min(database.random.randint(1, 6), len(database.past) - 2))
            log.append(segment, at, b"end")
            expected[segment] += b"end"
            rows = {number: b"".join(row[5] for row in rows) for number, rows in database.standby.segments.items()}
            self.assertEqual(rows, expected, f"world {seed}")
            healed += sum(put_back)
        self.assertGreater(healed, WORLDS)

    def test_rows_that_are_put_back_are_as_they_were(self) -> None:
        database = SimulatedDatabase()
        cache = LogCache(SimulatedDisk(), "cache")
        log = appender(database, cache=cache)
        log.begin_segment(1)
        cache.add(log.append(1, 0, b"one"))
        # What an owner adds under a later epoch, and rows that it cuts again.
        log = appender(database, cache=cache)
        for start in (3, 4, 5):
            cache.add(log.append(1, start, b"x"))
        log.cut_segment(1, 4)
        cache.sizes[1] = 4
        cache.add(log.append(1, 4, b"two"))
        rows = list(database.primary.segments[1])
        database.primary.segments[1] = rows[:1]
        log.append(1, 7, b"end")
        self.assertEqual(database.primary.segments[1][:-1], rows)

    def test_rows_that_the_copy_does_not_have_are_not_put_back(self) -> None:
        def damaged(cache: LogCache) -> None:
            cache.copy(1, 3, b"TWO")

        def missing(cache: LogCache) -> None:
            cache.drop(1)

        for spoil, reason in ((damaged, "row 2 isn't in the copy as it was added"), (missing, "isn't in the copy")):
            database = SimulatedDatabase()
            cache = LogCache(SimulatedDisk(), "cache")
            log = appender(database, cache=cache)
            log.begin_segment(1)
            for start in (0, 3, 6):
                cache.add(log.append(1, start, b"two"))
            spoil(cache)
            del database.primary.segments[1][1:]
            problem = self.assertRaises(LogWentBack, log.append, 1, 9, b"end")
            self.assertIn(reason, str(problem))
            self.assertEqual(database.octets(), [b"two"])

    def test_rows_are_not_put_back_after_those_of_another_node(self) -> None:
        database = SimulatedDatabase()
        cache = LogCache(SimulatedDisk(), "cache")
        log = appender(database, cache=cache)
        log.begin_segment(1)
        for start in (0, 3, 6):
            cache.add(log.append(1, start, b"two"))
        del database.primary.segments[1][1:]
        other = appender(database)
        other.append(1, 3, b"other")
        # The database forgets the take-over, too, and gives the same epoch to both.
        database.primary.epoch -= 1
        self.assertRaises(LogWentBack, log.append, 1, 9, b"end")
        self.assertEqual(database.octets(), [b"two", b"other"])

    def test_without_a_synchronous_standby_nothing_counts(self) -> None:
        database = SimulatedDatabase()
        log = appender(database)
        log.begin_segment(1)
        database.standby_names = ""
        seen = []

        def standby_comes_back(seconds: float) -> None:
            seen.append(log.trouble)
            if len(seen) == 3:
                database.standby_names = "*"

        log._sleep = standby_comes_back
        log.append(1, 0, b"one")
        self.assertEqual(len(seen), 3)
        self.assertIn("no synchronous standby", seen[0])
        self.assertEqual(database.octets(), [b"one"])

    def test_a_reader_notices_dropped_replaced_and_damaged_rows(self) -> None:
        database = SimulatedDatabase()
        log = appender(database)
        log.begin_segment(1)
        log.append(1, 0, b"one")
        reader = LogReader(connection(database), 0)
        reader.rows()
        database.primary.segments[1][0] = (*database.primary.segments[1][0][:3], b"other", 0, b"one")
        log.last = log.last.__class__(1, b"other", 1)
        log.append(1, 3, b"two")
        self.assertRaises(MissedRows, reader.rows)
        reader.begin_again()
        self.assertRaises(DamagedLog, reader.rows)


class SimulatedStore(StoreInPostgresql):
    """A node on the simulated database."""

    def __init__(self, database: SimulatedDatabase, clock: SettableClock, **options: Any) -> None:
        self._database = database
        super().__init__(None, clock, connect=lambda arguments: connection(database), allow_single=False, **options)

    def take_over(self, node: str) -> int:
        return self._database.take_over(node)


class SimulatedLogContractTests(store_contract.StoreContract):
    """The contract, on the store with its log in the simulated database."""

    def make_store(self, limits: daemon_config.Limits) -> Any:
        self.database = SimulatedDatabase()
        self.limits = limits
        return self.reopen()

    def reopen(self) -> Any:
        return SimulatedStore(self.database, self.clock, limits=self.limits).own().store


class FollowerTests(SynchronousTestCase):
    """A standby that follows has the owner's state, also while answers are lost and segments are dropped."""

    def setUp(self) -> None:
        self.clock = SettableClock()

    def node(self, database: SimulatedDatabase, **options: Any) -> SimulatedStore:
        settings: dict[str, Any] = {"segment_bytes": 3000, "segment_seconds": 30.0, "text_hours": 0.05}
        return SimulatedStore(database, self.clock, **{**settings, **options})

    def result(self, awaitable: Any) -> Any:
        return wait_for(self.clock, awaitable)

    def traffic(self, node: SimulatedStore, numbers: range, randomness: random.Random) -> None:
        store = node.store
        for number in numbers:
            self.result(store.accept([message(number, accepted_at=self.clock.seconds())]))
            if randomness.random() < 0.9:
                self.result(store.submitted([submitted(number)]))
            if randomness.random() < 0.8:
                self.result(store.receipts([receipt(number)]))
            if randomness.random() < 0.2:
                self.clock.advance(randomness.choice((1.0, 40.0)))
                self.result(store.expire(self.clock.seconds()))
                self.clock.advance(1.0)

    def same(self, one: SimulatedStore, other: SimulatedStore) -> None:
        found, expected = state_of(one.store), state_of(other.store)
        for name, value in expected.items():
            self.assertEqual(found[name], value, name)

    def test_a_standby_takes_over_with_the_owner_s_state_and_a_third_one_after_it(self) -> None:
        for seed in range(5):
            self.clock = SettableClock()
            database = SimulatedDatabase(seed)
            owner = self.node(database)
            owner.own("a")
            standby = self.node(database)
            standby.log.follow(standby.store)
            # It takes no pauses of real time, so the faults stay rare.
            database.fault_share = 0.01
            self.traffic(owner, range(1, 120), random.Random(seed))
            database.fault_share = 0.0
            self.clock.advance(1.0)
            standby.own("b")
            self.same(standby, owner)
            self.traffic(standby, range(120, 140), random.Random(seed))
            third = self.node(database)
            third.own("c")
            self.same(third, standby)

    def test_a_standby_whose_rows_are_missing_waits_until_the_owner_has_put_them_back(self) -> None:
        owner, standby = self.followed()
        self.assertEqual(standby.log.why_not_own(), "")
        self.go_back()
        # First its connection breaks.
        self.clock.advance(1.0)
        self.clock.advance(1.0)
        self.assertIn("the log of shard 0 went back", standby.log.why_not_own() or "")
        self.result(owner.store.accept([message(50)]))
        self.clock.advance(1.0)
        self.clock.advance(1.0)
        self.assertEqual(standby.log.why_not_own(), "")
        standby.own("b")
        self.same(standby, owner)

    def test_a_node_that_starts_with_a_database_that_went_back_owns_nothing_until_the_loss_is_accepted(self) -> None:
        owner, standby = self.followed()
        epoch = self.database.primary.epoch
        self.clock.advance(1.0)
        owner.close()
        standby.close()
        self.go_back(epochs=1)
        for disk in (owner.disk, standby.disk):
            node = self.node(self.database, disk=disk.kill())
            self.assertIsNone(node.log.why_not_own())
            node.log.follow(node.store)
            self.clock.advance(1.0)
            self.assertIn("rows are missing", node.log.why_not_own() or "")
            self.assertEqual(node.log.known_epoch, epoch)
            known = read_known_row(node.disk, "data")
            write_known_row(node.disk, "data", KnownRow(known.cluster_id, epoch=known.epoch))
            self.clock.advance(1.0)
            self.clock.advance(1.0)
            self.assertEqual((node.log.why_not_own(), node.log.known_epoch), ("", epoch))
            node.log.stop()

    def test_a_node_that_starts_again_misses_nothing_where_compaction_has_dropped_what_it_knew(self) -> None:
        owner, standby = self.followed()
        self.clock.advance(1.0)
        standby.log.stop()
        standby.close()
        first = min(self.database.primary.segments)
        self.clock.advance(1000.0)
        self.traffic(owner, range(60, 160), random.Random(2))
        self.assertNotIn(first, self.database.primary.segments)
        again = self.node(self.database, disk=standby.disk.kill())
        again.log.follow(again.store)
        self.clock.advance(1.0)
        self.assertEqual(again.log.why_not_own(), "")

    def test_rows_that_the_owner_cuts_again_are_not_missed(self) -> None:
        database = SimulatedDatabase()
        log = appender(database)
        log.begin_segment(1)
        log.append(1, 0, encode_header(1, 0.0))
        log.append(1, 24, b"")
        node = self.node(database)
        node.log.follow(node.store)
        self.clock.advance(1.0)
        self.assertEqual(node.log.followed_sequence, 2)
        log.cut_segment(1, 24)
        self.clock.advance(1.0)
        self.clock.advance(1.0)
        self.assertEqual((node.log.why_not_own(), node.log.followed_sequence), ("", 1))

    def followed(self) -> tuple[SimulatedStore, SimulatedStore]:
        """An owner with some traffic, and a standby that has read all of it."""
        self.database = SimulatedDatabase()
        self.database.keeps_past = True
        owner = self.node(self.database)
        owner.own("a")
        standby = self.node(self.database)
        standby.log.follow(standby.store)
        self.traffic(owner, range(1, 40), random.Random(1))
        self.clock.advance(1.0)
        self.clock.advance(1.0)
        self.assertEqual(standby.log.followed_sequence, owner.log.last_sequence)
        return owner, standby

    def go_back(self, epochs: int = 0) -> None:
        """The database loses ten changes, and forgets so many take-overs."""
        self.database.go_back(10)
        self.database.primary.epoch -= epochs
        self.database.replicate()

    def test_a_store_that_begins_again_keeps_what_it_was_connected_to(self) -> None:
        node = self.node(SimulatedDatabase())
        node.store.connect_routes(lambda *question: True)
        asked = node.store.table.failovers.other_carrier
        node.own("a")
        self.assertIs(node.store.table.failovers.other_carrier, asked)
        self.assertTrue(node.store.table.tells_progress())

    def test_texts_are_read_again_from_the_rows_where_the_copy_is_missing(self) -> None:
        owner = self.node(SimulatedDatabase()).own("a")
        owner.disk.capacity = owner.disk.used()
        self.result(owner.store.accept([message(1)]))
        owner.disk.capacity = 1 << 30
        self.assertEqual(list(self.result(owner.store.bodies([(message_id(1), 0)]))), [b"body of 1"])

    def test_a_data_directory_with_a_journal_of_its_own_is_refused(self) -> None:
        disk = SimulatedDisk()
        disk.close(disk.open("data/journal/000000000001.seg", create=True))
        with self.assertRaises(JournalError):
            self.node(SimulatedDatabase(), disk=disk).own("b")

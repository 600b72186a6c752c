"""A standby's store follows the log of its owner, and goes on from it."""

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.store.journal.journal_format import JournalError
from relay.store.store_values import StoreUnavailable
from relay.values.messages import Ending
from relay.values.states import DELETED
from tests.postgresql_servers import DATABASE, POSTGRESQL_MISSING
from tests.postgresql_stores import StoreInPostgresql, make_tables, shared_server
from tests.simulated_disk import SimulatedDisk
from tests.stores import NOW, SettableClock, message, message_id, receipt, state_of, submitted, wait_for


class FollowedLogTests(SynchronousTestCase):
    """Two nodes on one server. Small segments, so that compaction drops many."""

    skip = POSTGRESQL_MISSING

    def setUp(self) -> None:
        make_tables(shared_server())
        self.clock = SettableClock()
        self.owner = self.node().own("a")

    def node(self, disk: SimulatedDisk | None = None, **options: Any) -> StoreInPostgresql:
        node = StoreInPostgresql(
            shared_server(), self.clock, disk=disk, segment_bytes=3000, segment_seconds=30.0, text_hours=0.05, **options
        )
        self.addCleanup(node.close)
        return node

    def result(self, awaitable: Any) -> Any:
        return wait_for(self.clock, awaitable)

    def traffic(self, node: StoreInPostgresql, numbers: range, randomness: random.Random) -> None:
        """Messages that are accepted, taken and mostly ended, with time for compaction."""
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

    def caught_up(self, standby: StoreInPostgresql) -> None:
        for _ in range(1000):
            last = self.owner.log.last_sequence
            if standby.log.followed_sequence == last:
                return
            self.clock.advance(0.25)
        self.fail("the standby doesn't come to the end of the log")

    def test_a_standby_that_followed_all_along_has_the_owner_s_state_when_it_takes_over(self) -> None:
        standby = self.node()
        standby.log.follow(standby.store)
        self.traffic(self.owner, range(1, 150), random.Random(3))
        self.assertGreater(self.first_segment(), 3, "compaction has dropped segments")
        self.caught_up(standby)
        # What has been dropped is not in the standby's memory, before it takes over.
        self.assertLess(sum(map(len, standby.store.table.shards)), 2 * self.owner.store.table.rows + 50)
        standby.own("b")
        self.assertEqual(state_of(standby.store), state_of(self.owner.store))
        self.traffic(standby, range(150, 160), random.Random(4))
        third = self.node().own("c")
        self.assertEqual(state_of(third.store), state_of(standby.store))

    def first_segment(self) -> int:
        return int(shared_server().primary.query("SELECT min(number) FROM relay.segment", DATABASE)[0][0])

    def test_a_standby_that_was_away_while_segments_were_dropped_begins_again(self) -> None:
        standby = self.node()
        standby.log.follow(standby.store)
        self.traffic(self.owner, range(1, 30), random.Random(3))
        self.caught_up(standby)
        table = standby.store.table
        clock, standby.log._clock = standby.log._clock, SettableClock()
        self.clock.advance(1.0)
        self.traffic(self.owner, range(30, 150), random.Random(3))
        standby.log._clock, stopped = clock, standby.log._clock
        stopped.advance(1.0)  # type: ignore[attr-defined]
        self.caught_up(standby)
        self.assertIsNot(standby.store.table, table)
        standby.own("b")
        self.assertEqual(state_of(standby.store), state_of(self.owner.store))

    def test_an_owner_that_was_taken_over_from_makes_nothing_durable_any_more(self) -> None:
        self.result(self.owner.store.accept([message(1)]))
        taker = self.node().own("b")
        with self.assertRaises(StoreUnavailable):
            self.result(self.owner.store.accept([message(2)]))
        self.assertEqual(self.owner.fenced, 1)
        with self.assertRaises(StoreUnavailable):
            self.result(self.owner.store.end([Ending(message_id(1), DELETED, NOW)]))
        self.assertFalse(self.result(self.owner.store.look_up(message_id(1))).final)
        self.assertIsNone(self.result(taker.store.look_up(message_id(2))))

    def test_texts_are_read_from_the_copy_and_again_from_the_rows_where_it_is_missing(self) -> None:
        self.result(self.owner.store.accept([message(n) for n in (1, 2)]))
        parts = [(message_id(1), 0), (message_id(2), 0)]
        bodies = [b"body of 1", b"body of 2"]
        self.assertEqual(list(self.result(self.owner.store.bodies(parts))), bodies)
        for path in [path for path in self.owner.disk.files if "log-cache" in path]:
            self.owner.disk.remove(path)
        self.assertEqual(list(self.result(self.owner.store.bodies(parts))), bodies)

    def test_a_local_disk_that_is_full_costs_no_message(self) -> None:
        self.owner.disk.capacity = self.owner.disk.used()
        self.result(self.owner.store.accept([message(1)]))
        self.owner.disk.capacity = 1 << 30
        self.assertEqual(list(self.result(self.owner.store.bodies([(message_id(1), 0)]))), [b"body of 1"])

    def test_a_data_directory_with_a_journal_of_its_own_is_refused(self) -> None:
        disk = SimulatedDisk()
        disk.close(disk.open("data/journal/000000000001.seg", create=True))
        with self.assertRaises(JournalError) as caught:
            self.node(disk).own("b")
        self.assertIn("cluster import", str(caught.exception))

"""What happens to a log in PostgreSQL when a server, a connection or an owner fails."""

import threading
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from relay.store.postgresql.log_appender import Fenced, LogAppender, LogRefused, LogWentBack, Shard
from relay.store.postgresql.log_cache import LogCache
from relay.store.postgresql.log_connection import LogConnection
from relay.store.postgresql.log_reader import DamagedLog, LogReader, MissedRows
from relay.store.postgresql.log_rows import LogRow
from tests import HUNG_SECONDS
from tests.postgresql_servers import DATABASE, POSTGRESQL_MISSING, PostgresqlPair
from tests.postgresql_stores import make_tables, shared_server, take_over
from tests.simulated_disk import SimulatedDisk


class Work(threading.Thread):
    """A call in a thread, and how it ended."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.problem: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._call()
        except BaseException as problem:
            self.problem = problem

    def wait(self) -> None:
        """Waits for its end, and raises what the call raised."""
        self.join(HUNG_SECONDS)
        assert not self.is_alive(), "it hangs"
        if self.problem is not None:
            raise self.problem


def appender(
    servers: PostgresqlPair, epoch: int, *, allow_single: bool = False, patience_seconds: float = 60.0, **options: Any
) -> LogAppender:
    arguments = {"conninfo": servers.url(target_session_attrs="read-write", connect_timeout="2")}
    shard = Shard(0, epoch, "a", allow_single=allow_single)
    return LogAppender(LogConnection(arguments), shard, patience_seconds=patience_seconds, **options)


def rows_in(servers: PostgresqlPair) -> list[tuple[int, int, bytes]]:
    """Epoch, start and octets of all rows of segment 1."""
    rows = servers.primary.query("SELECT epoch, start, octets FROM relay.log_0_1 ORDER BY sequence", DATABASE)
    return [(epoch, start, bytes(octets)) for epoch, start, octets in rows]


class OneServerTests(SynchronousTestCase):
    """The fence and the chain of rows."""

    skip = POSTGRESQL_MISSING

    def setUp(self) -> None:
        self.servers = shared_server()
        make_tables(self.servers)
        self.log = self.owner()

    def owner(self) -> LogAppender:
        log = appender(self.servers, take_over(self.servers), allow_single=True)
        self.addCleanup(log.close)
        return log

    def test_an_owner_adds_rows_and_another_reads_them(self) -> None:
        self.log.begin_segment(1)
        self.log.append(1, 0, b"one")
        self.log.append(1, 3, b"two")
        self.log.begin_segment(2)
        self.log.append(2, 0, b"three")
        reader = LogReader(LogConnection({"conninfo": self.servers.url()}), 0)
        found = [*reader.rows(), *reader.rows()]
        self.assertEqual(
            [(r.segment, r.start, r.octets) for r in found], [(1, 0, b"one"), (1, 3, b"two"), (2, 0, b"three")]
        )
        self.assertEqual(reader.rows(), [])
        self.assertEqual(reader.last, self.log.last)

    def test_an_owner_whose_epoch_is_over_adds_nothing(self) -> None:
        self.log.begin_segment(1)
        self.log.append(1, 0, b"one")
        taker = appender(self.servers, take_over(self.servers, "b"), allow_single=True)
        self.addCleanup(taker.close)
        taker.last = self.log.last
        fenced = []
        self.log._fenced = lambda: fenced.append(True)
        for call in (
            lambda: self.log.append(1, 3, b"two"),
            lambda: self.log.begin_segment(2),
            lambda: self.log.drop_segment(1),
            lambda: self.log.cut_segment(1, 0),
        ):
            self.assertRaises(Fenced, call)
        self.assertEqual(fenced, [True] * 4)
        taker.append(1, 3, b"other")
        self.assertEqual(rows_in(self.servers), [(1, 0, b"one"), (2, 3, b"other")])

    def test_a_take_over_waits_for_the_append_that_is_under_way(self) -> None:
        """Otherwise the new owner could read the log before the row is there."""
        self.log.begin_segment(1)
        self.log.append(1, 0, b"one")
        connection = LogConnection({"conninfo": self.servers.url()})
        self.addCleanup(connection.close)
        connection.execute("BEGIN")
        connection.execute("SELECT FROM relay.shard WHERE number = 0 AND epoch = 1 FOR SHARE")
        taking = Work(lambda: take_over(self.servers, "b"))
        self.servers.primary.wait(
            "waits for the lock", "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        )
        connection.execute("COMMIT")
        taking.wait()

    def test_a_log_that_went_back_takes_no_more_rows(self) -> None:
        self.log.begin_segment(1)
        for start in range(3):
            self.log.append(1, start, b"x")
        self.servers.primary.query("DELETE FROM relay.log_0_1 WHERE sequence = 3", DATABASE)
        self.assertRaises(LogWentBack, self.log.append, 1, 3, b"x")
        self.assertIn("docs/cluster.md", self.log.trouble)
        self.assertEqual(len(rows_in(self.servers)), 2)

    def test_a_log_with_another_last_row_takes_no_more_rows(self) -> None:
        self.log.begin_segment(1)
        self.log.append(1, 0, b"x")
        self.servers.primary.query("UPDATE relay.log_0_1 SET digest = '\\x00'", DATABASE)
        self.assertRaises(LogWentBack, self.log.append, 1, 1, b"x")

    def test_rows_of_a_failed_commit_are_cut_and_the_log_goes_on_before_them(self) -> None:
        self.log.begin_segment(1)
        for start in range(3):
            self.log.append(1, start, b"%d" % start)
        self.log.cut_segment(1, 1)
        self.log.append(1, 1, b"other")
        self.assertEqual([row[1:] for row in rows_in(self.servers)], [(0, b"0"), (1, b"other")])
        self.log.begin_segment(2)
        self.log.append(2, 0, b"x")
        self.log.drop_segment(2)
        self.log.append(1, 6, b"y")
        self.assertEqual(len(rows_in(self.servers)), 3)

    def test_a_reader_notices_rows_that_were_dropped_or_replaced_before_it_had_read_them(self) -> None:
        self.log.begin_segment(1)
        self.log.append(1, 0, b"one")
        reader = LogReader(LogConnection({"conninfo": self.servers.url()}), 0)
        reader.rows()
        self.log.append(1, 3, b"two")
        self.log.begin_segment(2)
        self.log.append(2, 0, b"three")
        self.log.drop_segment(1)
        self.assertRaises(MissedRows, reader.rows)
        reader.begin_again()
        self.assertEqual([row.octets for row in reader.rows()], [b"three"])

    def test_a_reader_refuses_a_row_that_is_not_as_it_was_written(self) -> None:
        self.log.begin_segment(1)
        self.log.append(1, 0, b"one")
        self.servers.primary.query("UPDATE relay.log_0_1 SET octets = 'two'", DATABASE)
        reader = LogReader(LogConnection({"conninfo": self.servers.url()}), 0)
        self.assertRaises(DamagedLog, reader.rows)

    def test_without_a_standby_nothing_counts_unless_one_server_is_meant(self) -> None:
        log = appender(self.servers, take_over(self.servers))
        self.addCleanup(log.close)
        log.stop()
        self.assertRaises(LogRefused, log.begin_segment, 1)
        self.assertIn("no synchronous standby", log.trouble)

    def test_a_server_that_refuses_a_row_is_tried_again_until_patience_ends_and_the_row_is_not_there(self) -> None:
        log = appender(self.servers, take_over(self.servers), allow_single=True, patience_seconds=0.1)
        self.addCleanup(log.close)
        log.begin_segment(1)
        log.append(1, 0, b"one")
        self.servers.primary.query(
            "CREATE FUNCTION relay.refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$",
            DATABASE,
        )
        self.servers.primary.query(
            "CREATE TRIGGER is_full BEFORE INSERT ON relay.log_0_1 EXECUTE FUNCTION relay.refuse()", DATABASE
        )
        problem = self.assertRaises(LogRefused, log.append, 1, 3, b"two")
        self.assertIn("No space left on device", str(problem))
        self.servers.primary.query("DROP TRIGGER is_full ON relay.log_0_1", DATABASE)
        log.append(1, 3, b"three")
        self.assertEqual([octets for _, _, octets in rows_in(self.servers)], [b"one", b"three"])

    def test_a_server_that_takes_no_writes_is_tried_again_until_patience_ends(self) -> None:
        log = appender(self.servers, take_over(self.servers), allow_single=True, patience_seconds=0.1)
        self.addCleanup(log.close)
        log.begin_segment(1)
        self.read_only(True)
        self.assertRaises(LogRefused, log.append, 1, 0, b"one")
        self.read_only(False)
        log.append(1, 0, b"one")
        self.assertEqual(len(rows_in(self.servers)), 1)

    def read_only(self, value: bool) -> None:
        word = "on" if value else "off"
        self.servers.primary.query(f"ALTER SYSTEM SET default_transaction_read_only = {word}")
        self.servers.primary.reload()
        self.servers.primary.wait("has read it", f"SELECT current_setting('default_transaction_read_only') = '{word}'")


class PairTests(SynchronousTestCase):
    """A primary and its synchronous standby fail, pause and take over."""

    skip = POSTGRESQL_MISSING

    def setUp(self) -> None:
        self.servers = PostgresqlPair()
        self.addCleanup(self.servers.close)
        make_tables(self.servers)
        self.log = appender(self.servers, take_over(self.servers))
        self.addCleanup(self.log.close)
        self.log.begin_segment(1)
        self.log.append(1, 0, b"one")

    def hanging(self) -> Work:
        """An append whose commit waits for a standby that hangs."""
        assert self.servers.standby is not None
        self.servers.standby.pause()
        work = Work(lambda: self.log.append(1, 3, b"two"))
        self.wait_for_commit()
        return work

    def wait_for_commit(self) -> None:
        self.servers.primary.wait(
            "has a commit that waits", "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        )

    def wait_for_registration(self) -> None:
        """The appender has ended its old connection, has looked, and makes the commit that comes after the row."""
        self.servers.primary.wait(
            "registers the new connection",
            "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'UPDATE%appender%'",
        )
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        self.assertEqual(self.servers.primary.query(waiting), [(1,)])

    def check_once(self, work: Work) -> None:
        """The append ends once the standby is back, and not before; its row is there once."""
        self.assertTrue(work.is_alive())
        assert self.servers.standby is not None
        self.servers.standby.resume()
        work.wait()
        self.log.append(1, 6, b"three")
        self.assertEqual([octets for _, _, octets in rows_in(self.servers)], [b"one", b"two", b"three"])

    def test_a_row_counts_only_once_the_standby_has_it(self) -> None:
        self.check_once(self.hanging())

    def test_a_row_whose_connection_broke_in_the_commit_is_not_added_twice(self) -> None:
        """The server has not noticed it, so the commit goes on waiting. The appender ends it before it looks."""
        work = self.hanging()
        self.log.interrupt()
        self.wait_for_registration()
        self.check_once(work)

    def test_a_row_that_is_found_counts_only_after_a_later_commit_has_reached_the_standby(self) -> None:
        """The server ends the connection. Then the row can be seen, although the standby doesn't have it."""
        work = self.hanging()
        self.servers.primary.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        )
        self.wait_for_registration()
        self.assertEqual(len(rows_in(self.servers)), 2)
        self.check_once(work)

    def test_a_commit_that_somebody_cancels_does_not_count_before_the_standby_has_it(self) -> None:
        work = self.hanging()
        self.servers.primary.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        self.wait_for_registration()
        self.check_once(work)

    def test_after_a_fail_over_the_log_goes_on_with_every_row_that_counted(self) -> None:
        for start in range(3, 40):
            self.log.append(1, start, b"x")
        self.servers.primary.kill()
        work = Work(lambda: self.log.append(1, 40, b"last"))
        self.servers.fail_over()
        self.servers.rejoin()
        work.wait()
        self.assertEqual([start for _, start, _ in rows_in(self.servers)], [0, *range(3, 41)])

    def test_a_log_without_rows_that_counted_stops_red_and_goes_on_with_the_right_server(self) -> None:
        """An asynchronous standby is promoted, which lacks the last rows."""
        log = self.owner_without_standby()
        log.append(1, 3, b"two")
        self.standby_stops_following()
        log.append(1, 6, b"three")
        self.servers.fail_over()
        self.assertRaises(LogWentBack, log.append, 1, 11, b"four")
        self.assertIn("the log of shard 0 went back", log.trouble)
        self.servers.primary.kill()
        assert self.servers.standby is not None
        self.servers.standby.start()
        log.append(1, 11, b"four")
        self.assertEqual(log.trouble, "")

    def test_an_owner_with_a_copy_puts_the_rows_back_that_the_promoted_server_lacks(self) -> None:
        cache = LogCache(SimulatedDisk(), "cache")
        put_back: list[int] = []
        log = self.owner_without_standby(copy=cache, put_back=put_back.append)
        # The copy of a node has all rows of its segments.
        log.begin_segment(2)
        cache.add(log.append(2, 0, b"two"))
        self.standby_stops_following()
        for start in range(3, 9):
            cache.add(log.append(2, start, b"x"))
        log.begin_segment(3)
        cache.add(log.append(3, 0, b"three"))
        log.drop_segment(1)
        log.begin_segment(4)
        rows = self.all_rows()
        self.servers.fail_over()
        log.append(4, 0, b"four")
        self.assertEqual((put_back, log.trouble), ([7], ""))
        self.assertEqual(self.all_rows()[:-1], rows)
        segments = self.servers.primary.query("SELECT number FROM relay.segment ORDER BY number", DATABASE)
        self.assertEqual(segments, [(2,), (3,), (4,)])

    def owner_without_standby(self, **options: Any) -> LogAppender:
        """An owner whose commits don't wait for the standby."""
        self.servers.require_standby(False)
        log = appender(self.servers, take_over(self.servers), allow_single=True, **options)
        log.last = self.log.last
        self.addCleanup(log.close)
        return log

    def standby_stops_following(self) -> None:
        standby = self.servers.standby
        assert standby is not None
        # The standby says a second later where it is, so ask the primary's side.
        self.servers.primary.wait(
            "has a standby with everything",
            "SELECT bool_and(flush_lsn = pg_current_wal_lsn()) FROM pg_stat_replication",
        )
        standby.query("ALTER SYSTEM SET primary_conninfo = ''")
        standby.reload()
        standby.wait("follows no more", "SELECT count(*) = 0 FROM pg_stat_wal_receiver")

    def all_rows(self) -> list[LogRow]:
        reader = LogReader(LogConnection({"conninfo": self.servers.url(target_session_attrs="read-write")}), 0)
        rows: list[LogRow] = []
        while found := reader.rows():
            rows += found
        return rows

"""Who owns a shard: the statements and `python -m relay cluster`, on a real PostgreSQL server."""

import json
import threading
from typing import Any

import msgspec
import psycopg
from twisted.trial.unittest import SynchronousTestCase

from relay.cluster.cluster_config import NO_FILE, FileGeneration
from relay.cluster.cluster_database import ClusterDatabase, connection_arguments
from relay.cluster.cluster_look import look_at, troubles
from relay.cluster.cluster_values import ClusterRefused, DatabaseAway, NodeReport
from relay.config.daemon_config import Cluster
from relay.store.postgresql.log_schema import append_statement
from tests.cli.test_cli import CommandLineTestCase
from tests.postgresql_servers import DATABASE, POSTGRESQL_MISSING, PostgresqlPair


class ClusterDatabaseTestCase(SynchronousTestCase):
    """Tests with a server of their own, whose tables are made."""

    skip = POSTGRESQL_MISSING
    with_standby = False

    def setUp(self) -> None:
        self.pair = PostgresqlPair(standby=self.with_standby)
        self.addCleanup(self.pair.close)
        self.a, self.b = self.database("a"), self.database("b")
        self.assertTrue(self.a.init())

    def database(self, node: str) -> ClusterDatabase:
        database = ClusterDatabase(connection_arguments(Cluster(database=self.pair.url()), node))
        self.addCleanup(database.close)
        return database

    def connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        arguments = connection_arguments(Cluster(database=self.pair.url()), "test")
        connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(**arguments)
        self.addCleanup(connection.close)
        return connection

    def owned_by_a(self) -> int:
        epoch = self.a.take_over(self.a.look(), "a", 5.0)
        assert epoch is not None
        return epoch


class OwnerTests(ClusterDatabaseTestCase):
    def test_nobody_owns_a_new_shard_and_the_first_node_takes_it(self) -> None:
        self.assertEqual(self.a.look().owner, "")
        self.assertEqual(self.owned_by_a(), 1)
        seen = self.b.look()
        self.assertEqual((seen.epoch, seen.owner, seen.lease_seconds), (1, "a", 5.0))

    def test_of_two_nodes_that_take_over_at_once_one_does(self) -> None:
        seen = self.a.look()
        self.assertEqual(self.a.take_over(seen, "a", 5.0), 1)
        self.assertIsNone(self.b.take_over(seen, "b", 5.0))
        self.assertEqual(self.b.look().owner, "a")

    def test_a_renewal_between_the_look_and_the_take_over_keeps_the_shard(self) -> None:
        epoch = self.owned_by_a()
        seen = self.b.look()
        self.assertTrue(self.a.renew(epoch, 5.0).held)
        self.assertIsNone(self.b.take_over(seen, "b", 5.0))
        self.assertEqual(self.b.take_over(self.b.look(), "b", 5.0), epoch + 1)

    def test_the_old_owner_learns_at_its_next_renewal_that_it_has_lost_the_shard(self) -> None:
        epoch = self.owned_by_a()
        self.b.take_over(self.b.look(), "b", 5.0)
        self.assertFalse(self.a.renew(epoch, 5.0).held)
        self.a.release(epoch)
        self.assertEqual(self.b.look().owner, "b")

    def test_a_shard_that_was_handed_over_is_free_at_once(self) -> None:
        epoch = self.owned_by_a()
        self.a.release(epoch)
        self.assertEqual(self.b.look().owner, "")
        self.assertEqual(self.b.take_over(self.b.look(), "b", 5.0), epoch + 1)

    def test_a_take_over_ends_the_connection_of_an_owner_that_stopped_within_its_append(self) -> None:
        epoch = self.owned_by_a()
        append = self.connect()
        append.execute("SELECT relay.begin_segment(0, 1, 1)")
        append.execute(
            "UPDATE relay.appender SET backend_pid = pg_backend_pid(), backend_started_at = (SELECT backend_start FROM "
            "pg_stat_activity WHERE pid = pg_backend_pid())"
        )
        append.autocommit = False
        row = [epoch, 1, b"", b"d", 0, b"x"]
        psycopg.RawCursor(append).execute(append_statement(0, 1, None), row)
        # The owner's process is paused here: the row's lock is held, and nothing comes any more.
        self.assertEqual(self.b.take_over(self.b.look(), "b", 5.0), epoch + 1)
        self.assertRaises(psycopg.OperationalError, append.commit)
        self.assertEqual(self.pair.primary.query("SELECT count(*) FROM relay.log_0_1", DATABASE), [(0,)])

    def test_an_append_of_an_old_epoch_adds_nothing(self) -> None:
        epoch = self.owned_by_a()
        append = self.connect()
        append.execute("SELECT relay.begin_segment(0, 1, 1)")
        self.b.take_over(self.b.look(), "b", 5.0)
        row = [epoch, 1, b"", b"d", 0, b"x"]
        self.assertEqual(psycopg.RawCursor(append).execute(append_statement(0, 1, None), row).fetchall(), [])


class RefusalTests(ClusterDatabaseTestCase):
    def test_a_second_init_changes_nothing(self) -> None:
        self.owned_by_a()
        self.assertFalse(self.b.init())
        self.assertEqual(self.b.look().owner, "a")

    def test_newer_tables_are_refused_by_their_version(self) -> None:
        self.pair.primary.query("UPDATE relay.cluster SET schema_version = 99", DATABASE)
        problem = self.assertRaises(ClusterRefused, self.a.check_schema)
        self.assertIn("version 99", str(problem))

    def test_a_database_without_tables_says_how_to_make_them(self) -> None:
        self.pair.primary.query("DROP SCHEMA relay CASCADE", DATABASE)
        for call in (self.a.check_schema, self.a.look):
            self.assertIn("cluster init", str(self.assertRaises(ClusterRefused, call)))

    def test_a_server_that_loses_data_in_a_power_failure_is_refused(self) -> None:
        self.pair.primary.configure(fsync="off", synchronous_commit="local")
        self.pair.primary.reload()
        self.pair.primary.wait("has read its settings", "SELECT current_setting('fsync') = 'off'")
        fsync, commit = self.database("c").server_state().refusals
        self.assertIn("fsync = off", fsync)
        self.assertIn("synchronous_commit = local", commit)

    def test_a_server_that_often_makes_new_files_is_named(self) -> None:
        self.assertEqual(self.a.server_state().advice, ())
        self.pair.primary.configure(min_wal_size="80MB")
        self.pair.primary.reload()
        self.pair.primary.wait("has read its settings", "SELECT current_setting('min_wal_size') = '80MB'")
        [advice] = self.a.server_state().advice
        self.assertIn("min_wal_size = 80 MB", advice)

    def test_a_server_without_standbys_is_seen(self) -> None:
        look = look_at(self.a)
        self.assertEqual((look.server.refusals, look.server.requires_standby), ((), False))
        self.assertTrue(
            any("synchronous_standby_names" in problem for problem in troubles(look, single_database=False))
        )
        self.assertFalse(any("synchronous" in problem for problem in troubles(look, single_database=True)))


class AwayTests(ClusterDatabaseTestCase):
    def test_after_the_server_was_away_the_next_call_connects_again(self) -> None:
        epoch = self.owned_by_a()
        self.pair.primary.kill()
        self.assertRaises(DatabaseAway, self.a.renew, epoch, 5.0)
        self.assertRaises(DatabaseAway, self.a.renew, epoch, 5.0)
        self.pair.primary.start()
        self.assertTrue(self.a.renew(epoch, 5.0).held)

    def test_a_call_that_hangs_can_be_interrupted(self) -> None:
        epoch = self.owned_by_a()
        self.pair.primary.pause()
        problems: list[Exception] = []

        def renew() -> None:
            try:
                self.a.renew(epoch, 5.0)
            except DatabaseAway as problem:
                problems.append(problem)

        hanging = threading.Thread(target=renew)
        hanging.start()
        while hanging.is_alive():
            # An interruption before the statement has begun finds nothing to interrupt.
            self.a.interrupt()
            hanging.join(0.05)
        self.pair.primary.resume()
        self.assertEqual(len(problems), 1)


class FileTests(ClusterDatabaseTestCase):
    def test_the_latest_file_and_each_nodes_file_are_kept(self) -> None:
        first = FileGeneration(1, b"one")
        self.assertEqual(self.a.files("a"), (NO_FILE, NO_FILE))
        self.assertTrue(self.a.keep_file("a", first, is_new=True))
        self.assertEqual(self.b.files("b"), (first, NO_FILE))
        self.assertEqual(self.b.files("a"), (first, first))

    def test_of_two_nodes_with_new_files_only_one_has_the_next_generation(self) -> None:
        self.assertTrue(self.a.keep_file("a", FileGeneration(1, b"one"), is_new=True))
        self.assertFalse(self.b.keep_file("b", FileGeneration(1, b"other"), is_new=True))


class LookTests(ClusterDatabaseTestCase):
    with_standby = True

    def test_it_shows_nodes_owner_and_the_synchronous_standby(self) -> None:
        self.owned_by_a()
        self.a.report(NodeReport("a", "0.2.0"))
        self.b.report(NodeReport("b", "0.2.0", followed_sequence=0))
        file = FileGeneration(1, b"one")
        self.a.keep_file("a", file, is_new=True)
        self.b.keep_file("b", file, is_new=False)
        look = look_at(self.b)
        self.assertEqual([(node.name, node.owner) for node in look.nodes], [("a", True), ("b", False)])
        self.assertEqual([(shard.owner, shard.epoch) for shard in look.shards], [("a", 1)])
        [(name, state, kind, octets_behind)] = look.server.standbys
        self.assertEqual((name, state, kind), ("db2", "streaming", "quorum"))
        self.assertIsInstance(octets_behind, int)
        self.assertEqual(troubles(look, single_database=False), [])

    def test_an_older_file_is_named(self) -> None:
        self.owned_by_a()
        self.b.report(NodeReport("b", "0.2.0"))
        self.a.keep_file("a", FileGeneration(1, b"one"), is_new=True)
        found = troubles(look_at(self.a), single_database=False)
        self.assertTrue(any("b has an older configuration file" in problem for problem in found), found)

    def test_without_its_standby_nothing_is_renewed(self) -> None:
        epoch = self.owned_by_a()
        assert self.pair.standby is not None
        self.pair.standby.kill()
        renewing = threading.Thread(target=self._renew_until_interrupted, args=(epoch,))
        renewing.start()
        waiting = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        self.pair.primary.wait("waits for its standby", waiting)
        look = look_at(self.b)
        self.assertIn("no synchronous standby is connected", troubles(look, single_database=False)[0])
        self.a.interrupt()
        renewing.join()

    def _renew_until_interrupted(self, epoch: int) -> None:
        self.assertRaises(DatabaseAway, self.a.renew, epoch, 5.0)

    def test_a_commit_that_was_cancelled_while_it_waited_for_its_standby_does_not_count(self) -> None:
        epoch = self.owned_by_a()
        assert self.pair.standby is not None
        self.pair.standby.kill()
        renewing = threading.Thread(target=self._renew_until_interrupted, args=(epoch,))
        renewing.start()
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        self.pair.primary.wait("waits for its standby", f"SELECT count(*) = 1 {waiting}")
        # Somebody else cancels it: it is then committed here, and perhaps nowhere else.
        self.pair.primary.query(f"SELECT pg_cancel_backend(pid) {waiting}")
        renewing.join()
        self.assertGreater(self.b.look().counter, 1)


class ArgumentsTests(SynchronousTestCase):
    skip = POSTGRESQL_MISSING

    def test_off_loopback_the_servers_certificate_is_verified(self) -> None:
        arguments = connection_arguments(Cluster(database="postgresql://relay@db1,db2:5433/relay"), "node a")
        self.assertEqual((arguments["host"], arguments["port"]), ("db1,db2", "5432,5433"))
        self.assertEqual(arguments["sslmode"], "verify-full")
        self.assertTrue(arguments["sslrootcert"])
        self.assertEqual(arguments["target_session_attrs"], "read-write")

    def test_a_unix_socket_needs_no_certificate(self) -> None:
        arguments = connection_arguments(Cluster(database="postgresql://relay@/relay?host=/run/postgresql"), "a")
        self.assertEqual((arguments["host"], arguments["port"]), ("/run/postgresql", "5432"))
        self.assertNotIn("sslmode", arguments)

    def test_a_look_can_be_written_as_json(self) -> None:
        self.assertTrue(msgspec.json.encode(NodeReport("a")))


class CommandTests(CommandLineTestCase):
    skip = POSTGRESQL_MISSING

    def setUp(self) -> None:
        super().setUp()
        self.pair = PostgresqlPair(standby=False)
        self.addCleanup(self.pair.close)

    def cluster(self, *arguments: str, more: str = "") -> tuple[int, str, str]:
        file = self.file(f"cluster: {{database: '{self.pair.url()}', node: a{more}}}")
        done = self.relay("cluster", *arguments, "--config", file)
        return done.returncode, done.stdout, done.stderr

    def test_init_makes_the_tables_once_and_status_shows_them(self) -> None:
        status, _, problems = self.cluster("status")
        self.assertEqual(status, 1)
        self.assertIn("cluster init", problems)
        single = ", allow_single_database: true"
        self.assertEqual(self.cluster("init", more=single), (0, "the tables are made\n", ""))
        self.assertEqual(self.cluster("init", more=single), (0, "the tables are there already\n", ""))
        status, shown, _ = self.cluster("status", more=single)
        self.assertEqual(status, 1)
        self.assertIn("! nobody owns shard 0", shown)

    def test_init_warns_of_a_server_that_has_no_standby(self) -> None:
        status, _, problems = self.cluster("init")
        self.assertEqual(status, 1)
        self.assertIn("synchronous_standby_names", problems)

    def test_status_is_also_json(self) -> None:
        self.cluster("init")
        _, shown, _ = self.cluster("status", "--json")
        self.assertEqual(json.loads(shown)["shards"][0]["owner"], "")

    def test_a_file_can_be_made_the_latest(self) -> None:
        self.cluster("init")
        status, shown, _ = self.cluster("accept-file")
        self.assertEqual(status, 0)
        self.assertIn("is the latest now (generation 1)", shown)
        self.assertIn("was the latest already", self.cluster("accept-file")[1])

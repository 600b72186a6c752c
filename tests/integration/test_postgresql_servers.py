"""The PostgreSQL servers of the tests do what the tests of clusters rely on."""

import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.postgresql_servers import DATABASE, POSTGRESQL_MISSING, PostgresqlPair


class PostgresqlPairTests(SynchronousTestCase):
    skip = POSTGRESQL_MISSING

    def pair(self, *, standby: bool = True) -> PostgresqlPair:
        pair = PostgresqlPair(standby=standby)
        self.addCleanup(pair.close)
        return pair

    def test_the_promoted_standby_has_what_the_killed_primary_had_acknowledged(self) -> None:
        pair = self.pair()
        pair.primary.query("CREATE TABLE kept (number integer)", DATABASE)
        for number in range(20):
            pair.primary.query(f"INSERT INTO kept VALUES ({number})", DATABASE)
        pair.fail_over()
        self.assertEqual(pair.primary.query("SELECT count(*) FROM kept", DATABASE), [(20,)])
        pair.rejoin()
        pair.primary.query("INSERT INTO kept VALUES (20)", DATABASE)
        assert pair.standby is not None
        pair.standby.wait("follows", f"SELECT pg_last_wal_replay_lsn() >= '{lsn(pair)}'")
        self.assertEqual(pair.standby.query("SELECT count(*) FROM kept", DATABASE), [(21,)])

    def test_without_its_standby_the_primary_acknowledges_no_commit(self) -> None:
        pair = self.pair()
        assert pair.standby is not None
        pair.primary.query("CREATE TABLE kept (number integer)", DATABASE)
        pair.standby.pause()
        writer = threading.Thread(target=pair.primary.query, args=("INSERT INTO kept VALUES (1)", DATABASE))
        writer.start()
        waiting = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        pair.primary.wait("waits for its standby", waiting)
        self.assertTrue(writer.is_alive())
        pair.standby.resume()
        writer.join()

    def test_the_servers_and_their_data_are_gone_at_the_end(self) -> None:
        pair = self.pair(standby=False)
        data = pair.primary.data
        self.assertTrue(data.exists())
        pid = int((data / "postmaster.pid").read_text().split()[0])
        pair.close()
        self.assertFalse(data.exists())
        self.assertFalse(Path(f"/proc/{pid}").exists())

    def test_fsync_and_synchronous_commit_are_on(self) -> None:
        pair = self.pair(standby=False)
        settings = pair.primary.query("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
        self.assertEqual(settings, [("on", "on")])


def lsn(pair: PostgresqlPair) -> str:
    """How far the primary's log goes now."""
    return str(pair.primary.query("SELECT pg_current_wal_lsn()")[0][0])

"""The statement that adds a row to a shard's log. What PostgreSQL makes of it is tested with real servers."""

from twisted.trial.unittest import SynchronousTestCase

from relay.store.postgresql.log_schema import append_statement, log_table


class AppendStatementTests(SynchronousTestCase):
    """The statement asks for everything that makes an append safe, in one statement."""

    def test_the_statement_locks_the_shard_against_a_take_over(self) -> None:
        self.assertIn("FOR SHARE OF s", append_statement(0, 17, 17))

    def test_the_row_before_is_looked_up_in_its_own_segment(self) -> None:
        statement = append_statement(3, 17, 16)
        self.assertTrue(statement.startswith("INSERT INTO relay.log_3_17 "))
        self.assertIn("EXISTS (SELECT FROM relay.log_3_16 WHERE sequence = $2 - 1", statement)

    def test_a_segments_table_is_named_by_shard_and_segment(self) -> None:
        self.assertEqual(log_table(0, 17), "relay.log_0_17")

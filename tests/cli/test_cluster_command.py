"""`python -m relay cluster`: what it prints, and its exit statuses."""

from tests.cli.test_cli import CommandLineTestCase
from tests.postgresql_servers import POSTGRESQL_MISSING


class WithoutServerTests(CommandLineTestCase):
    def test_help_lists_the_actions_and_exit_statuses(self) -> None:
        done = self.relay("cluster", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ("init", "status", "accept-file", "put-back", "accept-loss", "exit status:"):
            self.assertIn(word, done.stdout)

    def test_a_file_without_a_cluster_is_refused(self) -> None:
        done = self.relay("cluster", "status", "--config", self.file(""))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("cluster.database is missing", done.stderr)

    def test_a_database_that_does_not_answer_gives_status_3(self) -> None:
        if POSTGRESQL_MISSING:
            self.skipTest(POSTGRESQL_MISSING)
        file = self.file("cluster: {database: 'postgresql://relay@127.0.0.1:1/relay'}")
        done = self.relay("cluster", "status", "--config", file)
        self.assertEqual((done.returncode, done.stdout), (3, ""))
        self.assertIn("the database doesn't answer", done.stderr)

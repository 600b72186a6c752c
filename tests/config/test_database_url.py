"""The URL of a PostgreSQL database."""

from twisted.trial.unittest import SynchronousTestCase

from relay.config.database_url import DatabaseUrlProblem, parse_database_url


class DatabaseUrlTests(SynchronousTestCase):
    def assert_refused(self, text: str, *words: str) -> None:
        problem = str(self.assertRaises(DatabaseUrlProblem, parse_database_url, text))
        for word in words:
            self.assertIn(word, problem)

    def test_user_servers_database_and_parameters_are_read(self) -> None:
        url = parse_database_url("postgresql://me@db1,[2001:db8::1]:5433,db3:6000/relay?sslrootcert=/ca.pem")
        self.assertEqual((url.user, url.database), ("me", "relay"))
        self.assertEqual(url.servers, (("db1", 5432), ("2001:db8::1", 5433), ("db3", 6000)))
        self.assertEqual(url.parameters, {"sslrootcert": "/ca.pem"})
        self.assertFalse(url.on_loopback)

    def test_servers_on_this_machine_are_recognised(self) -> None:
        for text in (
            "postgresql://r@127.0.0.1:1,localhost/r",
            "postgresql://r@[::1]/r",
            "postgres://r@/r?host=/run/pg",
        ):
            self.assertTrue(parse_database_url(text).on_loopback, text)

    def test_a_password_in_it_is_refused_and_not_shown(self) -> None:
        for text in ("postgresql://me:hidden@db/relay", "postgresql://me@db/relay?password=hidden"):
            self.assert_refused(text, "cluster.password")
            self.assertNotIn("hidden", str(self.assertRaises(DatabaseUrlProblem, parse_database_url, text)))

    def test_what_is_missing_is_named(self) -> None:
        self.assert_refused("mysql://me@db/relay", "postgresql://")
        self.assert_refused("postgresql://db/relay", "USER")
        self.assert_refused("postgresql://me@db", "DATABASE")
        self.assert_refused("postgresql://me@/relay", "names no server")
        self.assert_refused("postgresql://me@db1,,db2/relay", "comma")
        self.assert_refused("postgresql://me@db:70000/relay", "65535")

    def test_a_connection_that_could_be_read_by_others_is_refused_off_loopback(self) -> None:
        self.assert_refused("postgresql://me@db/relay?sslmode=require", "verify-full")
        parse_database_url("postgresql://me@db/relay?sslmode=verify-full")
        parse_database_url("postgresql://me@127.0.0.1/relay?sslmode=disable")

    def test_parameters_that_the_relay_sets_itself_are_refused(self) -> None:
        self.assert_refused("postgresql://me@db/relay?target_session_attrs=any", "target_session_attrs")
        self.assert_refused("postgresql://me@db/relay?x", "NAME=VALUE")

"""Entries of conf.d beside those of the main file: how they are read, and what they may not have."""

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from relay.app.load_config import ConfigError, MainFile
from relay.config.config_entries import LoadedConfig, Part, Table
from relay.values.secret import Secret
from tests.app.test_load_config import read_file

MAIN = """\
accounts:
  acme: {api_key: "${KEY}"}
carriers:
  tier1: {connect: tcp:192.0.2.1:2775}
routes:
- {carriers: [tier1]}
"""


def part(table: Table, name: str, text: str) -> Part:
    """A file of conf.d."""
    return Part(table, name, f"/d/{table}/{name}.yaml", text, "1")


def load(parts: Iterable[Part], text: str = MAIN) -> LoadedConfig:
    """A main file with parts."""
    main = MainFile(text, name="x.yaml", environ={"KEY": "k"}, read_file=read_file)
    return main.with_parts(parts).checked()


class EntriesTestCase(SynchronousTestCase):
    def assert_problems(self, parts: Iterable[Part], *expected: str, text: str = MAIN) -> None:
        with self.assertRaises(ConfigError) as caught:
            load(parts, text)
        self.assertEqual(expected, caught.exception.problems)


class MergedTests(EntriesTestCase):
    def test_entries_come_after_those_of_the_main_file(self) -> None:
        loaded = load(
            [
                part("accounts", "beta", "api_key: b\nsmpp: {system_id: beta, password: secret08}\n"),
                part("carriers", "tier2", "connect: tls:smpp.example.net:3550\n"),
                part("routes", "uk", "{prefix: 44, carriers: [tier2, tier1], account: beta}"),
            ]
        )
        config = loaded.config
        self.assertEqual((["acme", "beta"], ["tier1", "tier2"]), (list(config.accounts), list(config.carriers)))
        self.assertEqual(["", "44"], [route.prefix for route in config.routes])
        self.assertEqual(Secret("b"), config.accounts["beta"].api_key)

    def test_it_is_known_where_each_entry_is_written(self) -> None:
        places = load([part("accounts", "beta", "api_key: b"), part("routes", "uk", "{carriers: [tier1], prefix: 44}")])
        found = [(path, place.file, place.line, place.name) for path, place in places.places.entries.items()]
        self.assertEqual(
            [
                (("accounts", "acme"), "x.yaml", 2, "acme"),
                (("carriers", "tier1"), "x.yaml", 4, "tier1"),
                (("routes", 0), "x.yaml", 6, ""),
                (("accounts", "beta"), "/d/accounts/beta.yaml", 1, "beta"),
                (("routes", 1), "/d/routes/uk.yaml", 1, "uk"),
            ],
            found,
        )
        self.assertEqual({("accounts", "acme", "api_key")}, places.places.outside)
        self.assertEqual([("accounts", "beta"), ("routes", 1)], [path for path, _ in places.places.parts()])

    def test_an_empty_file_is_an_entry_with_all_defaults(self) -> None:
        self.assertIn("beta", load([part("accounts", "beta", "# nothing yet\n")]).config.accounts)


class ProblemsTests(EntriesTestCase):
    def test_problems_name_the_file_the_line_and_the_key(self) -> None:
        self.assert_problems(
            [
                part("accounts", "beta", "api_key: b\nrat: 5\nburst: x\n"),
                part("routes", "uk", "prefix: 44\ncarriers: [tier3]\n"),
            ],
            "/d/accounts/beta.yaml:2: accounts.beta.rat: unknown key; did you mean 'rate'?",
            "/d/accounts/beta.yaml:3: accounts.beta.burst: expected an integer, 0 or more, got 'x'",
            "/d/routes/uk.yaml:2: routes.uk.carriers[0]: there is no carrier 'tier3'; did you mean 'tier1'?",
        )

    def test_problems_of_the_main_file_come_first(self) -> None:
        self.assert_problems(
            [part("accounts", "beta", "rate: x")],
            "x.yaml:7: validity_seconds: expected a number, 0 or more, got 'x'",
            "/d/accounts/beta.yaml:1: accounts.beta.rate: expected a number, 0 or more, got 'x'",
            text=MAIN + "validity_seconds: x\n",
        )

    def test_a_text_that_is_no_yaml_is_one_problem(self) -> None:
        for text, said in (
            ("a: 'x", "/d/accounts/beta.yaml:1: a value begins with a quote here, and no such quote ends it"),
            ("- a", "/d/accounts/beta.yaml:1: accounts.beta: expected a table of keys and values, got a list"),
        ):
            self.assert_problems([part("accounts", "beta", text), part("routes", "b", "{carriers: [tier1], "
                                  "account: beta}")], said)  # fmt: skip

    def test_an_entry_that_is_in_the_main_file_as_well_is_a_problem(self) -> None:
        self.assert_problems(
            [part("accounts", "acme", "api_key: other"), part("carriers", "tier1", "connect: tcp:192.0.2.2:2775")],
            "/d/accounts/acme.yaml:1: accounts.acme: is in x.yaml:2 as well; remove it from one of the two files",
            "/d/carriers/tier1.yaml:1: carriers.tier1: is in x.yaml:4 as well; remove it from one of the two files",
        )

    def test_routes_of_conf_d_have_their_names_in_every_problem(self) -> None:
        self.assert_problems(
            [part("routes", "a", "{carriers: [tier1], prefix: 44}"), part("routes", "b", "{carriers: [tier1], "
             "prefix: 44}")],
            "/d/routes/b.yaml:1: routes.b: routes.a is for prefix '44' too; name all carriers in one of them",
        )  # fmt: skip
        self.assert_problems(
            [part("routes", "a", "carriers: [tier1]")],
            "/d/routes/a.yaml:1: routes.a: routes[0] is for all numbers too; name all carriers in one of them",
        )

    def test_names_are_those_that_logins_paths_and_metrics_can_have(self) -> None:
        for table, text in (("accounts", ""), ("carriers", "connect: tcp:192.0.2.1:2775"),
                            ("routes", "{carriers: [tier1], prefix: 44}")):  # fmt: skip
            with self.assertRaises(ConfigError) as caught:
                load([part(table, "a b", text)])  # type: ignore[arg-type]
            self.assertIn(f"{table}.a b: expected a name of 1 to 64 letters", caught.exception.problems[0])


class LiteralTests(EntriesTestCase):
    def test_the_environment_and_files_are_not_read(self) -> None:
        self.assert_problems(
            [part("accounts", "beta", "api_key: ${KEY}\nnotification_token: {file: /etc/key}\n")],
            "/d/accounts/beta.yaml:1: accounts.beta.api_key: in conf.d values are literals, so ${KEY} isn't replaced; "
            "write $${ for a plain ${",
            "/d/accounts/beta.yaml:2: accounts.beta.notification_token: in conf.d values are literals, so {file: PATH} "
            "isn't read; write the value itself, or put the entry into the main configuration file",
        )

    def test_a_plain_dollar_and_brace_is_written_as_in_the_main_file(self) -> None:
        loaded = load([part("accounts", "beta", "api_key: a$${KEY}")])
        self.assertEqual(Secret("a${KEY}"), loaded.config.accounts["beta"].api_key)

    def test_no_entry_leads_to_the_machine_s_files_sockets_and_ports(self) -> None:
        carriers = {
            "a": "connect: unix:/run/postgresql/.s.PGSQL.5432",
            "b": "connect: tls:example.net:3550:privateKey=/etc/relay/key.pem",
            "c": "connect: ssl:example.net:3550:privateKey=/etc/relay/key.pem",
            "d": "{kind: simulator, simulator: {listen: tcp:2775}}",
            "e": "{kind: simulator, simulator: {listen: unix:/run/relay.sock}}",
            "f": "{connect: tls:example.net:3550, tls: {ca_file: /etc/passwd}}",
            "g": "connect: tls:example.net:3550:30:0.0.0.0:/etc/relay/key.pem",
        }
        for name, text in carriers.items():
            with self.assertRaises(ConfigError) as caught:
                load([part("carriers", name, text)])
            self.assertIn("put the entry into the main configuration file", str(caught.exception), text)
        account = part("accounts", "beta", "notification_tls: {certificate_file: /etc/x, key_file: /etc/shadow}")
        with self.assertRaises(ConfigError) as caught:
            load([account])
        self.assertEqual(2, len(caught.exception.problems))
        for text in (
            "connect: tcp:192.0.2.1:2775:timeout=5",
            "connect: tls:example.net:3550",
            "{connect: tls:example.net:3550, tls: {}}",
            "{kind: simulator, simulator: {listen: tcp:0:interface=127.0.0.1}}",
            "{kind: http, connect: https://relay.example.net, signing_secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}",
        ):
            load([part("carriers", "ok", text)])

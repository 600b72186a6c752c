"""Reading a configuration file: what it may contain, and how problems are reported."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.app.load_config import ConfigError, load
from relay.config.model import Config
from relay.values.secret import Secret

FILES = {"/etc/key": "from-a-file\n", "/etc/empty": "\n"}


def read_file(path: str) -> str:
    """A disk with two files."""
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


def read(text: str, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration that a text holds."""
    return load(text, name="x.yaml", environ=environ or {}, read_file=read_file)


def problems(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """What is wrong with a text; nothing when it is fine."""
    try:
        read(text, environ)
    except ConfigError as error:
        return list(error.problems)
    return []


class ValuesTests(SynchronousTestCase):
    def test_an_empty_file_is_all_defaults(self) -> None:
        for text in ("", "# nothing but a remark\n", "---\n", "{}"):
            self.assertEqual(read(text), Config(), text)

    def test_a_key_that_is_left_out_has_its_default_and_a_given_one_its_value(self) -> None:
        config = read("carriers:\n  tier1: {connect: tcp:192.0.2.1:2775, window: 7}\n")
        self.assertEqual(config.carriers["tier1"].window, 7)
        self.assertEqual(config.carriers["tier1"].binds, 1)
        self.assertEqual(config.journal.sync, "always")

    def test_a_table_or_list_with_everything_commented_out_is_empty(self) -> None:
        self.assertEqual(read("accounts:\n#  acme: {}\nroutes:\njournal:\n"), Config())

    def test_text_is_what_was_written_whatever_yaml_would_make_of_it(self) -> None:
        for written in ("on", "no", "0123", "1e6", "12:30", "2026-01-31", "0x10", "1_000", "=", "null0"):
            config = read(f"accounts: {{a: {{api_key: {written}}}}}")
            self.assertEqual(config.accounts["a"].api_key, Secret(written))

    def test_names_are_what_was_written(self) -> None:
        self.assertEqual(list(read("accounts: {on: {}, 123: {}, 0x1: {}}").accounts), ["on", "123", "0x1"])

    def test_numbers_may_be_written_in_the_ways_people_write_them(self) -> None:
        for written, number in (("1000000", 10**6), ("1_000_000", 10**6), ("1e6", 10**6), ("5.0", 5), ('"7"', 7)):
            self.assertEqual(read(f"limits: {{messages: {written}}}").limits.messages, number)
        carrier = read("carriers: {t: {connect: tcp:h:1, interface_version: 0x33}}").carriers["t"]
        self.assertEqual(carrier.interface_version, 0x33)
        self.assertEqual(read("shutdown_seconds: 2").shutdown_seconds, 2.0)
        self.assertIsInstance(read("shutdown_seconds: 2").shutdown_seconds, float)

    def test_yes_and_no_may_be_written_in_the_ways_of_yaml(self) -> None:
        for written, value in (("true", True), ("on", True), ("Yes", True), ("false", False), ("off", False)):
            self.assertIs(read(f"logs: {{log_numbers: {written}}}").logs.log_numbers, value)

    def test_a_table_may_copy_the_keys_of_another_and_change_some(self) -> None:
        config = read(
            "carriers:\n"
            "  a: &usual {connect: tcp:a:1, window: 5, binds: 2}\n"
            "  b: {<<: *usual, connect: tcp:b:1}\n"
            "  c: {window: 9, <<: [*usual]}\n"
        )
        self.assertEqual([(c.connect, c.window) for c in config.carriers.values()],
                         [("tcp:a:1", 5), ("tcp:b:1", 5), ("tcp:a:1", 9)])  # fmt: skip


class ReferencesTests(SynchronousTestCase):
    """`${NAME}` and `{file: PATH}`."""

    def test_environment_variables_are_put_in_anywhere_in_a_value(self) -> None:
        config = read(
            'http: {listen: ["tcp:${PORT}:interface=${HOST}"]}\nsmpp: {window: "${W}"}',
            {"PORT": "81", "HOST": "127.0.0.1", "W": "12"},
        )
        self.assertEqual(config.http.listen, ["tcp:81:interface=127.0.0.1"])
        self.assertEqual(config.smpp.window, 12)

    def test_variables_in_the_value_of_a_variable_are_not_replaced(self) -> None:
        config = read("data_dir: ${A}", {"A": "x${B}", "B": "y"})
        self.assertEqual(config.data_dir, "x${B}")

    def test_a_doubled_dollar_is_a_plain_one_before_a_brace(self) -> None:
        self.assertEqual(read("data_dir: a$${B}$5$$").data_dir, "a${B}$5$$")

    def test_a_variable_that_is_not_set_is_a_problem_that_names_it(self) -> None:
        self.assertEqual(
            problems("data_dir: ${NOPE}"), ["x.yaml:1: data_dir: the environment variable NOPE is not set"]
        )
        (problem,) = problems("data_dir: ${not a name}")
        self.assertIn("write $${ for a plain ${", problem)

    def test_a_file_gives_its_text_without_the_newline_at_its_end(self) -> None:
        config = read("accounts: {a: {api_key: {file: /etc/key}}}")
        self.assertEqual(config.accounts["a"].api_key, Secret("from-a-file"))
        config = read("accounts: {a: {notification_token: {file: /etc/key}}}")
        self.assertEqual(config.accounts["a"].notification_token, Secret("from-a-file"))
        config = read(
            "accounts: {a: {notification_headers: {X-Key: {file: /etc/key}, X-Other: '${OTHER}'}}}", {"OTHER": "o"}
        )
        self.assertEqual(
            config.accounts["a"].notification_headers, {"X-Key": Secret("from-a-file"), "X-Other": Secret("o")}
        )
        config = read("accounts: {a: {api_key: {file: '${DIR}/key'}}}", {"DIR": "/etc"})
        self.assertEqual(config.accounts["a"].api_key, Secret("from-a-file"))

    def test_a_file_that_is_not_there_is_a_problem_that_names_it(self) -> None:
        self.assertEqual(
            problems("accounts: {a: {api_key: {file: /etc/none}}}"),
            ["x.yaml:1: accounts.a.api_key: the file '/etc/none' can't be read: No such file or directory"],
        )

    def test_an_empty_secret_file_is_refused(self) -> None:
        (problem,) = problems("accounts: {a: {api_key: {file: /etc/empty}}}")
        self.assertIn("accounts.a.api_key: must not be empty", problem)


class ProblemsTests(SynchronousTestCase):
    def assert_problem(self, text: str, expected: str) -> None:
        self.assertEqual(problems(text), [f"x.yaml:{expected}"])

    def test_a_problem_names_file_line_key_what_was_expected_and_what_is_there(self) -> None:
        self.assert_problem(
            "carriers:\n  tier1:\n    connect: tcp:h:1\n    window: ten\n",
            "4: carriers.tier1.window: expected an integer from 1 to 10000, got 'ten'",
        )

    def test_all_problems_come_at_once_in_the_order_of_the_file(self) -> None:
        found = problems(
            "journal: {sync: sometimes}\n"
            "limits: {messages: 0}\n"
            "accounts:\n"
            "  acme: {notify: al, smpp: {system_id: acme}}\n"
            "carriers:\n"
            "  tier1: {window: ten}\n"
            "routes:\n"
            "  - {carriers: [tier2]}\n"
        )
        keys = [re.match(r"x\.yaml:(\d+): (\S+):", problem).groups() for problem in found]  # type: ignore[union-attr]
        self.assertEqual(
            keys,
            [
                ("1", "journal.sync"),
                ("2", "limits.messages"),
                ("4", "accounts.acme.smpp.password"),
                ("4", "accounts.acme.notify"),
                ("6", "carriers.tier1.window"),
                ("6", "carriers.tier1.connect"),
                ("8", "routes[0].carriers[0]"),
            ],
        )

    def test_an_unknown_key_comes_with_the_one_that_was_meant(self) -> None:
        self.assert_problem("journl: {}", "1: journl: unknown key; did you mean 'journal'?")

    def test_a_key_in_the_wrong_table_comes_with_the_right_one(self) -> None:
        self.assert_problem("text_hours: 3", "1: text_hours: unknown key here; it belongs in journal")

    def test_a_key_unlike_any_other_comes_with_the_keys_that_there_are(self) -> None:
        self.assert_problem("demo: {zzz: 3}", "1: demo.zzz: unknown key; known here: receiver")

    def test_a_key_given_twice_is_a_problem_that_names_both_lines(self) -> None:
        self.assert_problem(
            "data_dir: a\ndata_dir: b\n", "2: data_dir: given twice; the first is in line 1: keep one of them"
        )

    def test_a_missing_key_comes_with_what_it_is_for(self) -> None:
        (problem,) = problems("accounts:\n  a:\n    smpp:\n      system_id: a\n")
        self.assertIn("x.yaml:3: accounts.a.smpp.password: missing; expected text", problem)

    def test_a_value_of_the_wrong_type_is_named(self) -> None:
        for text, expected in (
            ("http: {listen: tcp:80}", "1: http.listen: expected a list, such as [a, b]; got a single value"),
            ("journal: [a]", "1: journal: expected a table of keys and values, got a list"),
            ("data_dir: [a]", "1: data_dir: expected text, got a list"),
            ("data_dir: {a: b}", "1: data_dir: expected text, got a table"),
            ("data_dir:", "1: data_dir: expected text, got nothing (a # begins a comment)"),
            ("logs: {log_numbers: 1}", "1: logs.log_numbers: expected true or false, got '1'"),
            ("routes: [{carriers: [], prefix: +44}]", "1: routes[0].prefix: expected text of digits only, got '+44'"),
            ("- a\n", "1: expected a table of keys and values, got a list"),
        ):
            self.assertIn(f"x.yaml:{expected}", problems(text), text)

    def test_wrong_numbers_and_numbers_out_of_bounds_are_refused(self) -> None:
        for written in ("1.5", "010", ".inf", ".nan", "1e400", "1e30", "0", "-1", "10001", "12:30", "''", "true"):
            self.assertEqual(len(problems(f"smpp: {{window: {written}}}")), 1, written)
        for written in ("-0.1", ".inf", "inf", "nan", "1m"):
            self.assertEqual(len(problems(f"shutdown_seconds: {written}")), 1, written)

    def test_a_long_value_is_cut_in_the_problem(self) -> None:
        (problem,) = problems(f"journal: {{sync: {'x' * 5000}}}")
        self.assertLess(len(problem), 200)

    def test_a_refused_value_leads_to_no_second_problem(self) -> None:
        found = problems("carriers: {t: nothing}\nroutes: [{carriers: [t]}]")
        self.assertEqual(len(found), 1, found)

    def test_a_text_that_is_not_yaml_is_refused_with_its_line_and_a_hint(self) -> None:
        for text, line, hint in (
            ("a: b: c\n", 1, "put the value in quotes"),
            ("data_dir: x\n\tb: c\n", 2, "spaces"),
            ("data_dir: @x\n", 1, "put it in quotes"),
            ("data_dir: *x\n", 1, "put a value that begins with * in quotes"),
            ("data_dir: !x y\n", 1, "put a value that begins with ! in quotes"),
            ("data_dir: x\n---\ndata_dir: y\n", 2, "one document"),
            ("http: {listen: [\n", 2, ""),
            ('x: 1\ndata_dir: "x\na: 1\n', 2, "no such quote ends it"),
            ("accounts:\n  a: {api_key: ${KEY}}\n", 2, "in quotes"),
            ("data_dir: x\na: \x07\n", 2, "a character that YAML doesn't allow"),
        ):
            (problem,) = problems(text)
            self.assertTrue(problem.startswith(f"x.yaml:{line}: "), problem)
            self.assertIn(hint, problem)

    def test_endless_nesting_is_a_problem_and_no_crash(self) -> None:
        self.assertEqual(len(problems("[" * 5000)), 1)
        self.assertEqual(len(problems("carriers: &a {x: &b {<<: *a}, <<: *b}")), 1)

    def test_tables_that_merge_without_end_are_refused_at_once(self) -> None:
        text = "l0: &l0 {x: {}}\n"
        for level in range(1, 12):
            text += f"l{level}: &l{level} {{<<: [{', '.join([f'*l{level - 1}'] * 10)}]}}\n"
        found = problems(text + "accounts: {<<: *l11}\n")
        self.assertEqual([problem for problem in found if "unknown key" not in problem],
                         ["x.yaml:2: << copies more than 100000 tables; write their keys out"])  # fmt: skip

    def test_problems_of_further_checks_come_with_their_line(self) -> None:
        def check(config: Config) -> Iterable[tuple[tuple[str | int, ...], str]]:
            yield ("smpp", "listen", 0), "is no endpoint"
            yield ("admin", "listen", 0), "neither is this"

        with self.assertRaises(ConfigError) as raised:
            load("journal: {sync: always}\nsmpp:\n  listen: [a]", name="x.yaml", environ={}, read_file=read_file,
                 further_checks=[check])  # fmt: skip
        self.assertEqual(
            raised.exception.problems,
            ("x.yaml:1: admin.listen[0]: neither is this", "x.yaml:3: smpp.listen[0]: is no endpoint"),
        )


class SecrecyTests(SynchronousTestCase):
    SECRET = "hunter2-and-more"

    def test_no_problem_shows_a_secret_wherever_it_was_put(self) -> None:
        secret = self.SECRET
        for text in (
            f"accounts: {{a: {{api_key: [{secret}]}}}}",
            f"accounts: {{a: {{api_key: {{{secret}: x}}}}}}",
            f"accounts: {{a: {{smpp: {secret}}}}}",
            f"accounts: {{a: {secret}}}",
            f"accounts: {{a: {{api_key: *{secret}}}}}",
            f"accounts: {{a: {{api_key: !{secret} x}}}}",
            f"accounts: {{a: {{api_key: @{secret}}}}}",
            f"accounts: {{a: {{api_key: {secret}: x}}}}",
            f"accounts: {{a: {{apikey: {secret}}}}}",
            f"accounts: {{a: {{notification_secret: {secret}}}}}",
            f"accounts: {{a: {{smpp: {{system_id: a, password: {secret}\u00e9}}}}}}",
            f"accounts: {{a: {{api_key: {secret}}}, b: {{api_key: {secret}}}}}",
            f"admin: {{listen: [tcp:1], password: demo{secret}}}",
            "smpp: {window: ${SECRET}}",
            "journal: {sync: {file: /etc/key}}",
            f"accounts:\n  a:\n    api_key: &{secret} x\n  b:\n    api_key: &{secret} y\n",
        ):
            found = problems(text, {"SECRET": secret})
            self.assertTrue(found, text)
            self.assertNotIn(secret, "\n".join(found), text)
            self.assertNotIn("from-a-file", "\n".join(found), text)

    def test_the_configuration_itself_shows_no_secret(self) -> None:
        config = read(f"accounts: {{a: {{api_key: {self.SECRET}}}}}")
        self.assertNotIn(self.SECRET, f"{config!r} {config}")


class AnyInputTests(SynchronousTestCase):
    @given(st.text(max_size=200))
    def test_any_text_is_a_configuration_or_a_list_of_problems(self, text: str) -> None:
        for problem in problems(text):
            self.assertRegex(problem, r"(?s)\Ax\.yaml:\d+: ")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["http", "accounts", "a", "smpp", "routes", "carriers", "listen", "dialect", "x"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=15,
        )
    )
    def test_any_yaml_is_a_configuration_or_a_list_of_problems(self, value: object) -> None:
        for problem in problems(yaml.safe_dump(value)):
            self.assertRegex(problem, r"(?s)\Ax\.yaml:\d+: ")


class DemonstrationTests(SynchronousTestCase):
    def test_the_demonstration_stays_on_loopback_and_can_reach_its_receiver(self) -> None:
        root = Path(__file__).resolve().parents[2]
        config = load((root / "etc" / "demo.yaml").read_text(), name="demo", environ={}, read_file=read_file)
        self.assertEqual(list(config.accounts), ["demo"])
        self.assertEqual(config.carriers["sim"].kind, "simulator")
        self.assertTrue(config.demo.receiver)

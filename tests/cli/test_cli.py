"""`python -m relay`: the commands, what they print where, and their exit statuses."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentTypeError
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay import __version__
from relay.cli.admin_client import http_url
from relay.cli.main import COMMANDS, main
from relay.config.password_hash import password_matches
from relay.smpp.message_codec import encode_address, message_body
from relay.store.journal.journal_format import encode_frame, encode_header, segment_name, synced_frame
from relay.values.messages import Message
from tests import HUNG_SECONDS

ROOT = Path(__file__).resolve().parents[2]


class CommandLineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="relay-test-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def relay(self, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """Runs `python -m relay` with the arguments, in an empty directory."""
        return subprocess.run(
            [sys.executable, "-m", "relay", *map(str, arguments)],
            cwd=self.directory,
            env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"} | environ,
            capture_output=True,
            text=True,
            timeout=HUNG_SECONDS,
            check=False,
        )

    def file(self, text: str, name: str = "relay.yaml") -> Path:
        """A file with a text."""
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path


class CommandsTests(CommandLineTestCase):
    def test_help_lists_every_command_examples_and_exit_statuses(self) -> None:
        done = self.relay("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in (*COMMANDS, "examples:", "exit status:", "twistd -n relay --config"):
            self.assertIn(word, done.stdout)

    def test_without_a_command_help_is_shown_and_the_exit_status_is_2(self) -> None:
        done = self.relay()
        self.assertEqual(done.returncode, 2)
        self.assertIn("commands:", done.stdout)

    def test_an_unknown_command_is_refused_with_the_nearest_one(self) -> None:
        done = self.relay("chek", "x")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("there is no command 'chek'; did you mean 'check'?", done.stderr)

    def test_the_version_is_printed(self) -> None:
        self.assertEqual(self.relay("--version").stdout.strip(), f"relay {__version__}")

    def test_every_command_has_help_with_examples(self) -> None:
        for command in COMMANDS:
            done = self.relay(command, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            self.assertIn(f"python -m relay {command}", done.stdout)

    def test_a_url_s_host_is_written_by_idna_2008(self) -> None:
        for url, written in (
            ("https://me:pw@faß.example:9090/a/", "https://me:pw@xn--fa-hia.example:9090/a"),
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("http://[::1]:9090/", "http://[::1]:9090"),
        ):
            self.assertEqual(http_url(url), written)
        self.assertRaises(ArgumentTypeError, http_url, "http://☃.example/")

    def test_an_unknown_option_is_wrong_use(self) -> None:
        for command in COMMANDS:
            done = self.relay(command, "--no-such-option")
            self.assertEqual((done.returncode, done.stdout), (2, ""), command)
            self.assertIn(f"usage: python -m relay {command}", done.stderr)


class PasswordTests(CommandLineTestCase):
    def test_it_prints_a_hash_that_the_configuration_takes(self) -> None:
        done = self.relay_with_input("correct horse\n", "password")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertTrue(password_matches("correct horse", done.stdout.strip()))
        file = self.file(f"admin: {{users: {{alice: {{password: '{done.stdout.strip()}', role: act}}}}}}")
        self.assertEqual(0, self.relay("check", file).returncode)

    def test_an_empty_password_and_what_is_no_hash_are_refused(self) -> None:
        self.assertEqual((1, "the password is empty\n"), self.said_with_input("", "password"))
        file = self.file("admin: {users: {alice: {password: secret}, operator: {password: secret}}}")
        done = self.relay("check", file)
        self.assertEqual(1, done.returncode)
        self.assertIn("admin.users.alice.password: expected a hash: python -m relay password prints it", done.stderr)
        self.assertIn("admin.users.operator: is the user of admin.password", done.stderr)

    def relay_with_input(self, stdin: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "relay", *arguments],
            input=stdin, cwd=self.directory, env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=HUNG_SECONDS, check=False,
        )  # fmt: skip

    def said_with_input(self, stdin: str, *arguments: str) -> tuple[int, str]:
        done = self.relay_with_input(stdin, *arguments)
        return done.returncode, done.stderr


class CheckTests(CommandLineTestCase):
    def test_check_sums_up_a_right_file(self) -> None:
        done = self.relay("check", ROOT / "etc" / "demo.yaml")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, f"{ROOT}/etc/demo.yaml: fine: 1 account, 1 carrier, 1 route\n")

    def test_problems_are_lines_on_standard_error_and_the_status_says_so(self) -> None:
        file = self.file("journal: {sync: x}\nsmpp:\n  listen: [tcp:x]\n")
        done = self.relay("check", file)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(
            done.stderr.splitlines(),
            [
                f"{file}:1: journal.sync: expected always, interval or never, got 'x'",
                f"{file}:3: smpp.listen[0]: 'tcp:x' is not a server endpoint: the port must be a number, not 'x'",
            ],
        )

    def test_entries_of_conf_d_are_checked_with_the_file_and_counted(self) -> None:
        file = self.file(f"data_dir: {self.directory}\naccounts: {{acme: {{api_key: a}}}}\n")
        directory = self.directory / "conf.d" / "accounts"
        directory.mkdir(parents=True)
        (directory / "beta.yaml").write_text("api_key: b\n")
        done = self.relay("check", file)
        self.assertIn("fine: 2 accounts, 0 carriers, 0 routes (1 of them from conf.d)\n", done.stdout)
        (directory / "beta.yaml").write_text("api_key: a\n")
        done = self.relay("check", file)
        self.assertEqual(1, done.returncode)
        said = "accounts.beta.api_key: accounts.acme has the same key; give each account its own"
        self.assertEqual(f"{directory}/beta.yaml:1: {said}\n", done.stderr)

    def test_check_prints_advice_on_standard_error(self) -> None:
        done = self.relay("check", self.file(""))
        self.assertEqual(done.returncode, 0)
        self.assertIn("note: accounts: there are none", done.stderr)

    def test_check_names_a_route_whose_tag_no_line_of_the_lists_gives(self) -> None:
        numbers = self.file("4477009001,north\n", "ported.csv")
        lists = f"lists: {{ported: {{file: {numbers}, tag_column: 2}}}}\n"
        done = self.relay("check", self.file(lists + ROUTED.replace("account: acme,", "tag: nroth,")))
        self.assertEqual(done.returncode, 0)
        self.assertIn("note: routes[1].tag: no line of the lists gives the tag 'nroth' now", done.stderr)
        self.assertIn("did you mean 'north'?", done.stderr)

    def test_check_prints_json_on_request(self) -> None:
        file = self.file("journal: {sync: x}")
        done = self.relay("check", "--json", file)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        told = json.loads(done.stdout)
        self.assertEqual((told["fine"], len(told["problems"])), (False, 1))
        self.assertTrue(json.loads(self.relay("check", "--json", ROOT / "etc" / "demo.yaml").stdout)["fine"])

    def test_a_file_that_cannot_be_read_is_a_problem_and_no_traceback(self) -> None:
        (self.directory / "latin1.yaml").write_bytes(b"data_dir: \xe9\n")
        for name, reason in (("none.yaml", "No such file"), (".", "Is a directory"), ("latin1.yaml", "not UTF-8")):
            done = self.relay("check", name)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count("\n"), 1)
            self.assertIn(reason, done.stderr)

    def test_a_cluster_without_its_driver_is_a_problem_as_it_is_at_a_start(self) -> None:
        self.file("raise ImportError('no libpq here')", "psycopg.py")
        file = self.file("cluster: {database: 'postgresql://relay@localhost/relay', node: a}")
        done = self.relay("check", file, PYTHONPATH=f"{self.directory}{os.pathsep}{ROOT}")
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{file}:1: cluster: needs psycopg and libpq", done.stderr)
        self.assertIn("no libpq here", done.stderr)

    def test_secrets_come_from_the_environment_and_from_files(self) -> None:
        self.file("x\n", "key")
        file = self.file("accounts: {a: {api_key: '${KEY}', smpp: {system_id: a, password: {file: key}}}}")
        self.assertEqual(self.relay("check", file, KEY="k").returncode, 0)
        done = self.relay("check", file)
        self.assertIn("the environment variable KEY is not set", done.stderr)


class JournalTests(CommandLineTestCase):
    def test_a_directory_that_is_not_there_is_a_problem_and_no_traceback(self) -> None:
        for more in ((), ("--repair",)):
            done = self.relay("journal", "nowhere", *more)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("nowhere", done.stderr)
            self.assertNotIn("Traceback", done.stderr)

    def test_a_directory_without_a_journal_is_a_problem(self) -> None:
        for more in ((), ("--repair",)):
            done = self.relay("journal", self.directory, *more)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("there is no journal", done.stderr)
            self.assertEqual([], list(self.directory.iterdir()))

    def journal(self, tail: bytes = b"") -> Path:
        """A data directory whose journal holds one message, and some more octets."""
        message = Message(
            id=bytes(range(16)),
            account="acme",
            accepted_at=1.0,
            expires_at=2.0,
            addresses=encode_address(5, 0, b"Acme") + encode_address(1, 1, b"447700900123"),
            parts=(message_body(addresses=b"", short_message=b"the text"),),
        )
        data = self.directory / "data"
        (data / "journal").mkdir(parents=True)
        octets = encode_header(1, 0.0) + synced_frame(0) + encode_frame([message]) + tail
        (data / "journal" / segment_name(1)).write_bytes(octets)
        return data

    def test_records_are_printed_as_json_lines_without_texts(self) -> None:
        done = self.relay("journal", self.journal())
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        header, message = map(json.loads, done.stdout.splitlines())
        self.assertEqual((header["record"], message["record"]), ("header", "Message"))
        self.assertEqual(message["id"], "00010203-0405-0607-0809-0a0b0c0d0e0f")
        self.assertEqual((message["account"], message["to"]), ("acme", "4477009001**"))
        self.assertNotIn("the text", done.stdout)
        self.assertNotIn(b"the text".hex(), done.stdout)

    def test_texts_are_printed_when_they_are_asked_for(self) -> None:
        done = self.relay("journal", "--texts", self.journal())
        self.assertIn(b"the text".hex(), done.stdout)
        self.assertIn("447700900123", done.stdout)

    def test_a_torn_end_is_reported_and_the_exit_status_is_1(self) -> None:
        done = self.relay("journal", self.journal(tail=b"torn"))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(done.stdout.splitlines()[-1])["record"], "damaged")
        self.assertIn("4 bytes can't be read", done.stderr)

    def test_repair_of_an_undamaged_journal_changes_nothing_and_says_so(self) -> None:
        data = self.journal()
        done = self.relay("journal", data, "--repair")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("nothing was changed", done.stdout)
        self.assertEqual([path.name for path in (data / "journal").iterdir()], [segment_name(1)])

    def test_a_reader_that_closes_the_pipe_early_is_no_error(self) -> None:
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {sys.executable} -m relay --help | head -1"],
            cwd=ROOT, capture_output=True, text=True, timeout=HUNG_SECONDS, check=False,
        )  # fmt: skip
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class WrongUseTests(CommandLineTestCase):
    """What isn't meant that way is said in a line, with exit status 2 and no traceback."""

    def said_by(self, *arguments: object) -> tuple[int | str | None, str, str]:
        """A command's exit status and both outputs, run in this process."""
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                status: int | str | None = main([str(argument) for argument in arguments])
            except SystemExit as end:
                status = end.code
        return status, output.getvalue(), errors.getvalue()

    SEND = ("send", "--account", "a", "--from", "b", "--text", "c", "--to", "447700900123")

    def test_wrong_options_are_refused_with_their_name_and_the_right_values(self) -> None:
        binary = self.directory / "binary"
        binary.write_bytes(b"\xff\xfe")
        key = self.directory / "key"
        key.write_text("secret")
        for arguments, said in (
            (("status", "--admin", "nonsense"), "expected a URL such as http://127.0.0.1:9090, got 'nonsense'"),
            (("status", "--admin", "ftp://127.0.0.1"), "--admin: expected a URL"),
            (("status", "--admin", "http://127.0.0.1:x"), "--admin: expected a URL"),
            (("status", "--watch", "0"), "--watch: expected seconds"),
            (("status", "--watch", "-1"), "--watch: expected"),
            (("status", "--watch", "soon"), "--watch: expected seconds"),
            (("status", "--password-file", "nowhere"), "nowhere: can't be read: No such file or directory"),
            (("dialect", "--orphans", "--admin", "nonsense"), "--admin: expected a URL"),
            (("replay", "acme", "--ids", "nowhere"), "nowhere: can't be read"),
            (("replay", "acme", "--ids", binary), "it is not UTF-8 text"),
            (("replay", "acme", "--ids", key, "--since", "2026-01-01"), "leave --since and --until out"),
            (("replay", "acme", "--since", "2026-02-01", "--until", "2026-01-01"), "--until is not after --since"),
            (("replay", "acme", "--since", "yesterday"), "is not an ISO 8601 time"),
            ((*self.SEND, "--key-file", key, "--http", "nonsense"), "--http: expected a URL"),
            ((*self.SEND, "--key-file", key, "--smpp", "127.0.0.1"), "expected HOST:PORT such as 127.0.0.1:2775"),
            ((*self.SEND, "--key-file", binary), "it is not UTF-8 text"),
            (self.SEND, "no key: give --key-file FILE"),
            (("simulate", "--states", "FOO=1"), "--states"),
            (("simulate", "--throttle-share", "2"), "--throttle-share"),
        ):
            with self.subTest(arguments=arguments):
                status, output, errors = self.said_by(*arguments)
                self.assertEqual((2, ""), (status, output), errors)
                self.assertIn(said, errors)

    def test_every_command_s_help_documents_its_exit_statuses(self) -> None:
        for command in COMMANDS:
            self.assertIn("exit status:\n  0  ", self.said_by(command, "--help")[1], command)


ROUTED = """\
accounts: {acme: {api_key: k}}
carriers: {t: {connect: "tcp:h:1"}, u: {connect: "tcp:h:2"}}
routes:
  - {prefix: "44", hours: "08:00-20:00 Europe/London", carriers: [t, u]}
  - {prefix: "44", account: acme, sender: ACME, carriers: [u]}
"""


class RouteTests(CommandLineTestCase):
    def route(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.relay("route", "--config", self.file(ROUTED), *arguments)

    def test_it_says_which_route_takes_a_message_and_why_the_others_do_not(self) -> None:
        done = self.route("--account", "acme", "--from", "ACME", "--to", "447700900123", "--at", "2026-01-15T12:00Z")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("routes[1] takes the message: u.", done.stdout)
        self.assertIn("routes[0] (hours '08:00-20:00 Europe/London', prefix '44'): matches, but routes[1]", done.stdout)

    def test_the_time_decides_where_routes_have_hours(self) -> None:
        for at, status in (("2026-07-15T07:30Z", 0), ("2026-01-15T07:30Z", 1)):
            done = self.route("--account", "acme", "--from", "OTHER", "--to", "+447700900123", "--at", at, "--json")
            self.assertEqual(done.returncode, status)
            self.assertEqual(json.loads(done.stdout)["carriers"], ["t", "u"] if status == 0 else [])

    def test_the_file_s_order_is_not_said_to_be_that_of_now(self) -> None:
        done = self.route("--account", "acme", "--from", "ACME", "--to", "447700900123")
        self.assertIn("This is the order of the file. Without --config, the running relay says", done.stdout)

    def test_a_test_number_is_told_from_the_numbers_that_carriers_get(self) -> None:
        file = self.file(ROUTED.replace("api_key: k", 'api_key: k, test_numbers: {"15005550001": UNDELIV}'))
        for number, status, said in (("15005550001", 0, "ends as UNDELIV"), ("15005550002", 1, "No route leads")):
            done = self.relay("route", "--config", file, "--account", "acme", "--to", number)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(said, done.stdout)

    def test_wrong_arguments_are_named(self) -> None:
        for arguments, words in (
            (("--account", "acne", "--to", "447700900123"), "did you mean 'acme'?"),
            (("--account", "acme", "--to", "44"), "--to: Expected a number"),
            (("--account", "acme", "--to", "447700900123", "--from", "x" * 12), "--from: Expected"),
            (("--account", "acme", "--to", "447700900123", "--at", "noon"), "--at: write a time"),
        ):
            done = self.route(*arguments)
            self.assertEqual(done.returncode, 2)
            self.assertIn(words, done.stderr)

    def test_a_wrong_file_is_refused_with_its_problems(self) -> None:
        file = self.file("routes: [{carriers: [t]}]")
        done = self.relay("route", "--config", file, "--account", "acme", "--to", "447700900123")
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no carrier 't'", done.stderr)

    def test_the_documented_command_explains_the_documented_file(self) -> None:
        page = (ROOT / "docs/carriers.md").read_text("utf-8")
        self.file("accounts:" + page.partition("```yaml\naccounts:")[2].partition("```")[0])
        self.file("447700900999\n", "blocked.txt")
        self.file("number,network\n4477009001,second-network\n", "ported.csv")
        command = next(
            line.split() for line in page.splitlines() if line.startswith("    python -m relay route --config ")
        )
        self.assertIn("/etc/relay/relay.yaml", command)
        arguments = ["relay.yaml" if word == "/etc/relay/relay.yaml" else word for word in command[3:]]
        done = self.relay(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("routes[1] takes the message: first, then second.", done.stdout)

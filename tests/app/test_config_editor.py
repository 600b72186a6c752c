"""Changes of entries: what is refused leaves everything as it was, and what is applied is in the files."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from relay.app.config_editor import ConfigEditor
from relay.app.config_file import load_file
from relay.app.load_config import ConfigError
from relay.config.changes import ReloadResult, changes
from relay.config.config_entries import Table
from relay.operator.entry_requests import Entry, EntryChange, EntryChanged, EntryRefused, PartFile, PartFilePage
from relay.store.store_values import StoreUnavailable
from relay.values.secret import Secret

MAIN = """\
data_dir: %s
accounts:
  acme: {api_key: key-of-acme, rate: 5}
carriers:
  tier1: {connect: "tcp:192.0.2.1:2775"}
routes:
- {carriers: [tier1]}
"""


class Killed(BaseException):
    """The relay is killed. Nothing catches this."""


class FilesDaemon:
    """The part of the daemon that a change needs, and a reload that only reads the files."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.not_ready = ""
        self.reloads = 0
        #: What the next reload says instead of reading the files.
        self.refuses: list[str] = []
        self.fails: Exception | None = None
        #: Whether the relay is killed in the next reload.
        self.killed = False
        self.read()

    def read(self) -> None:
        loaded = load_file(self.file)
        self.config, self.places = loaded.config, loaded.places

    async def read_again(self) -> None:
        if self.fails is not None:
            raise self.fails
        self.read()

    async def reload_now(self) -> ReloadResult:
        self.reloads += 1
        if self.killed:
            raise Killed
        if self.fails is not None:
            raise self.fails
        if self.refuses:
            return ReloadResult(0.0, False, self.refuses)
        old = self.config
        self.read()
        return ReloadResult(0.0, True, [], changes(old, self.config))


class EditorTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="relay-test-")
        self.addCleanup(directory.cleanup)
        self.data_dir = Path(directory.name)
        self.main = self.data_dir / "relay.yaml"
        self.main.write_text(MAIN % self.data_dir)
        self.daemon = FilesDaemon(str(self.main))
        self.recorded: list[str] = []
        self.unavailable = False
        #: Calls a function in a thread; here at once.
        self.in_thread: Callable[..., Any] = lambda function, *arguments: succeed(function(*arguments))
        self.editor = ConfigEditor(str(self.main), self.daemon, self.daemon, self.call, lambda: ())

    def call(self, *call: Any) -> Any:
        return self.in_thread(*call)

    async def record(self, what: str) -> None:
        if self.unavailable:
            raise StoreUnavailable("disk full")
        self.recorded.append(what)

    def begin(self, table: Table, name: str, wanted: EntryChange) -> "Deferred[EntryChanged]":
        return Deferred.fromCoroutine(self.editor.change(table, name, wanted, self.record))

    def put(self, name: str, settings: Any, table: Table = "accounts", version: str | None = None) -> EntryChanged:
        if_match = None if version is None else frozenset({version})
        return self.successResultOf(self.begin(table, name, EntryChange("put", settings, if_match)))

    def refused(self, table: Table, name: str, wanted: EntryChange) -> EntryRefused:
        """A change that is refused, and leaves all files as they were."""
        before = self.files()
        refused = self.failureResultOf(self.begin(table, name, wanted), EntryRefused).value
        self.assertEqual(before, self.files())
        assert isinstance(refused, EntryRefused)
        return refused

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.data_dir)): path.read_text()
            for path in self.data_dir.rglob("*")
            if path.is_file()
        }

    def version(self, name: str, table: Table = "accounts") -> str:
        version = self.successResultOf(Deferred.fromCoroutine(self.editor.entry(table, name))).version
        assert version is not None
        return version


class PutTests(EditorTestCase):
    def test_a_new_entry_is_written_recorded_and_applied(self) -> None:
        done = self.put("beta", {"api_key": "k-b", "smpp": {"system_id": "beta", "password": "secret08"}})
        self.assertTrue(done.created)
        self.assertEqual([("accounts.beta", "added")], [(change.key, change.what) for change in done.changes])
        self.assertEqual(Secret("k-b"), self.daemon.config.accounts["beta"].api_key)
        self.assertEqual(["create accounts.beta"], self.recorded)
        assert done.entry is not None
        self.assertEqual((True, True), (done.entry.changeable, done.entry.applied))
        self.assertNotIn("k-b", str(done))
        self.assertEqual(1, self.daemon.reloads)

    def test_a_put_replaces_the_whole_entry_and_keeps_secrets_that_it_names_as_set(self) -> None:
        self.put("beta", {"api_key": "k-b", "rate": 5, "burst": 3})
        done = self.put("beta", {"api_key": {"is_set": True}, "rate": 7}, version=self.version("beta"))
        account = self.daemon.config.accounts["beta"]
        self.assertEqual((Secret("k-b"), 7.0, 0), (account.api_key, account.rate, account.burst))
        self.assertFalse(done.created)
        self.assertEqual(
            [("accounts.beta.rate", "5.0 -> 7.0"), ("accounts.beta.burst", "3 -> 0")],
            [(change.key, change.what) for change in done.changes],
        )
        self.put("beta", {"rate": 7}, version=self.version("beta"))
        self.assertIsNone(self.daemon.config.accounts["beta"].api_key)
        self.assertEqual("change accounts.beta: api_key: removed", self.recorded[-1])

    def test_the_record_of_a_changed_secret_does_not_show_it(self) -> None:
        self.put("beta", {"api_key": "k-b", "notification_url": "https://u:old-pw@example.com/"})
        self.put("beta", {"api_key": "k-c", "notification_url": "https://u:pw@example.com/"}, version="*")
        self.assertEqual("change accounts.beta: api_key: changed, notification_url: changed", self.recorded[-1])

    def test_values_are_literals(self) -> None:
        self.put("beta", {"api_key": "${HOME}"})
        self.assertEqual(Secret("${HOME}"), self.daemon.config.accounts["beta"].api_key)
        refused = self.refused("accounts", "gamma", EntryChange("put", {"api_key": {"file": str(self.main)}}))
        self.assertEqual(["accounts.gamma.api_key"], [problem.key for problem in refused.problems])
        self.assertNotIn("data_dir:", str(refused.problems))

    def test_a_null_is_nothing(self) -> None:
        self.put("beta", {"api_key": None, "smpp": None, "senders": None})
        self.assertEqual(
            [], [name for name in ("api_key", "smpp") if getattr(self.daemon.config.accounts["beta"], name)]
        )

    def test_patch_changes_what_it_names(self) -> None:
        self.put("beta", {"api_key": "k-b", "rate": 5, "senders": {"allow": ["A"], "default": "A"}})
        patch = EntryChange("patch", {"rate": None, "senders": {"allow": ["A", "B"]}}, frozenset({"*"}))
        self.successResultOf(self.begin("accounts", "beta", patch))
        account = self.daemon.config.accounts["beta"]
        self.assertEqual((Secret("k-b"), 0.0, ["A", "B"], "A"),
                         (account.api_key, account.rate, account.senders.allow, account.senders.default))  # fmt: skip

    def test_a_deleted_entry_is_gone(self) -> None:
        self.put("beta", {"api_key": "k-b"})
        delete = EntryChange("delete", None, frozenset({self.version("beta")}))
        done = self.successResultOf(self.begin("accounts", "beta", delete))
        self.assertEqual((None, [("accounts.beta", "removed")]), (done.entry, [(c.key, c.what) for c in done.changes]))
        self.assertEqual(["relay.yaml"], list(self.files()))
        self.assertEqual(["create accounts.beta", "delete accounts.beta"], self.recorded)

    def test_routes_have_the_names_that_they_were_given(self) -> None:
        self.put("uk", {"carriers": ["tier1"], "prefix": "44"}, "routes")
        self.put("fr", {"carriers": ["tier1"], "prefix": "33"}, "routes")
        self.assertEqual(["", "33", "44"], [route.prefix for route in self.daemon.config.routes])
        delete = EntryChange("delete", None, frozenset({self.version("fr", "routes")}))
        self.successResultOf(self.begin("routes", "fr", delete))
        self.assertEqual(["", "44"], [route.prefix for route in self.daemon.config.routes])


class RefusedTests(EditorTestCase):
    def test_an_entry_of_the_main_file_is_the_operator_s(self) -> None:
        for wanted in (EntryChange("put", {}), EntryChange("delete", None, frozenset({"*"})), EntryChange("patch", {})):
            refused = self.refused("accounts", "acme", wanted)
            self.assertEqual(409, refused.status)
            self.assertIn(f"accounts.acme is in {self.main}:3: change it there", str(refused))

    def test_every_problem_names_its_key(self) -> None:
        refused = self.refused(
            "accounts", "beta", EntryChange("put", {"rate": "x", "ap_key": "k", "api_key": "key-of-acme"})
        )
        self.assertEqual(
            [
                ("accounts.beta.ap_key", "unknown key; did you mean 'api_key'?"),
                ("accounts.beta.api_key", "accounts.acme has the same key; give each account its own"),
                ("accounts.beta.rate", "expected a number, 0 or more, got 'x'"),
            ],
            sorted((problem.key, problem.problem) for problem in refused.problems),
        )
        self.assertEqual((422, [], 0), (refused.status, self.recorded, self.daemon.reloads))

    def test_names_that_lead_elsewhere_are_refused(self) -> None:
        for name in ("../acme", "a/b", "", ".hidden", "a\0", "x" * 65):
            refused = self.refused("accounts", name, EntryChange("put", {}))
            self.assertEqual((422, f"accounts.{name}"), (refused.status, refused.problems[0].key))
            reading = Deferred.fromCoroutine(self.editor.entry("accounts", name))
            self.assertEqual(404, self.failureResultOf(reading, EntryRefused).value.status)

    def test_whoever_has_not_seen_an_entry_does_not_change_it(self) -> None:
        self.put("beta", {"rate": 1})
        for wanted, status in (
            (EntryChange("put", {}), 428),
            (EntryChange("patch", {}), 428),
            (EntryChange("delete"), 428),
            (EntryChange("put", {}, frozenset({"other"})), 412),
            (EntryChange("delete", None, frozenset()), 412),
            (EntryChange("put", {}, frozenset({"*"}), must_be_new=True), 412),
        ):
            self.assertEqual(status, self.refused("accounts", "beta", wanted).status)
        for wanted, status in (
            (EntryChange("put", {}, frozenset({"*"})), 412),
            (EntryChange("patch", {}), 404),
            (EntryChange("delete", None, frozenset({"*"})), 404),
        ):
            self.assertEqual(status, self.refused("accounts", "gamma", wanted).status)

    def test_a_secret_that_is_not_there_can_not_be_kept(self) -> None:
        refused = self.refused("accounts", "beta", EntryChange("put", {"api_key": {"is_set": True}}))
        self.assertEqual(("accounts.beta.api_key", "has no value that could be kept; write the value itself"),
                         (refused.problems[0].key, refused.problems[0].problem))  # fmt: skip

    def test_a_change_applies_nothing_that_somebody_else_has_written(self) -> None:
        self.main.write_text(self.main.read_text().replace("rate: 5", "rate: 6"))
        refused = self.refused("accounts", "beta", EntryChange("put", {}))
        self.assertEqual(409, refused.status)
        self.assertIn("differ from the configuration in use: accounts.acme.rate. Reload it", str(refused))
        self.main.write_text("accounts: [")
        refused = self.refused("accounts", "beta", EntryChange("put", {}))
        self.assertEqual(409, refused.status)
        self.assertIn(f"{self.main}:1:", refused.problems[0].problem)

    def test_what_needs_a_restart_is_no_hindrance(self) -> None:
        self.main.write_text(self.main.read_text() + "limits: {messages: 7}\n")
        self.put("beta", {})

    def test_if_it_can_not_be_recorded_nothing_is_written(self) -> None:
        self.unavailable = True
        self.failureResultOf(self.begin("accounts", "beta", EntryChange("put", {})), StoreUnavailable)
        self.assertEqual((["relay.yaml"], 0), (list(self.files()), self.daemon.reloads))

    def test_if_the_reload_refuses_it_the_file_is_as_before(self) -> None:
        self.put("beta", {"rate": 1})
        version = self.version("beta")
        self.daemon.refuses = ["carriers.tier1: the port is taken"]
        refused = self.refused("accounts", "beta", EntryChange("put", {"rate": 2}, frozenset({version})))
        self.assertEqual("carriers.tier1: the port is taken", refused.problems[0].problem)
        self.daemon.fails = RuntimeError("the relay is stopping; the file was not read")
        self.assertEqual(503, self.refused("accounts", "gamma", EntryChange("put", {})).status)
        self.daemon.refuses, self.daemon.fails = [], None
        self.put("beta", {"rate": 2}, version=version)

    def test_while_the_relay_starts_there_are_no_changes(self) -> None:
        self.daemon.not_ready = "starting"
        self.assertEqual(503, self.refused("accounts", "beta", EntryChange("put", {})).status)

    def test_the_body_must_be_a_table(self) -> None:
        for settings in (["a"], "x", None, 5):
            self.assertEqual(422, self.refused("accounts", "beta", EntryChange("put", settings)).status)


class OneAtATimeTests(EditorTestCase):
    def test_changes_wait_for_each_other_and_not_without_limit(self) -> None:
        waiting: list[Deferred[None]] = []

        def later(function: Any, *arguments: Any) -> Any:
            begun: Deferred[None] = Deferred()
            waiting.append(begun)
            return begun.addCallback(lambda _: function(*arguments))

        self.in_thread = later
        made = [self.begin("accounts", f"n{number}", EntryChange("put", {})) for number in range(17)]
        refused = self.failureResultOf(self.begin("accounts", "more", EntryChange("put", {})), EntryRefused).value
        self.assertEqual(503, refused.status)
        while waiting:
            self.assertEqual(1, len(waiting))
            waiting.pop().callback(None)
        for change in made:
            self.assertTrue(self.successResultOf(change).created)
        self.assertEqual(18, len(self.daemon.config.accounts))

    def test_the_second_of_two_who_have_seen_the_same_is_refused(self) -> None:
        self.put("beta", {"rate": 1})
        version = frozenset({self.version("beta")})
        first = self.begin("accounts", "beta", EntryChange("put", {"rate": 2}, version))
        second = self.begin("accounts", "beta", EntryChange("put", {"rate": 3}, version))
        self.successResultOf(first)
        self.assertEqual(412, self.failureResultOf(second, EntryRefused).value.status)
        self.assertEqual(2.0, self.daemon.config.accounts["beta"].rate)


class ReadTests(EditorTestCase):
    def entries(self, table: Table, after: str = "", limit: int = 100) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(self.editor.entries(table, after, limit)))

    def test_entries_of_both_kinds_of_files_are_listed_without_secrets(self) -> None:
        self.put("beta", {"api_key": "k-b"})
        self.put("uk", {"carriers": ["tier1"], "prefix": "44"}, "routes")
        acme, beta = self.entries("accounts").entries
        settings = {"api_key": {"is_set": True}, "rate": 5.0}
        self.assertEqual(Entry("acme", settings, str(self.main), 3, changeable=False, applied=True), acme)
        self.assertEqual(("beta", {"api_key": {"is_set": True}}, True, self.version("beta")),
                         (beta.name, beta.settings, beta.changeable, beta.version))  # fmt: skip
        self.assertEqual([None, "uk"], [route.name for route in self.entries("routes").entries])

    def test_long_lists_come_in_pages(self) -> None:
        for name in "bcd":
            self.put(name, {})
        first = self.entries("accounts", "", 2)
        second = self.entries("accounts", first.next, 2)
        self.assertEqual((["acme", "b"], ["c", "d"]), tuple([e.name for e in page.entries] for page in (first, second)))
        self.assertIsNone(second.next)
        gone = Deferred.fromCoroutine(self.editor.entries("accounts", "z", 2))
        self.assertEqual(422, self.failureResultOf(gone, EntryRefused).value.status)

    def test_a_file_that_was_changed_or_deleted_by_hand_is_not_applied(self) -> None:
        self.put("beta", {"rate": 1})
        file = self.data_dir / "conf.d" / "accounts" / "beta.yaml"
        file.write_text("rate: 2\n")
        self.assertEqual(({"rate": 2.0}, False), [(e.settings, e.applied) for e in self.entries("accounts").entries][1])
        file.write_text("rate: x\n")
        broken = Deferred.fromCoroutine(self.editor.entry("accounts", "beta"))
        self.assertEqual(409, self.failureResultOf(broken, EntryRefused).value.status)
        file.unlink()
        self.assertEqual(({"rate": 1.0}, False), [(e.settings, e.applied) for e in self.entries("accounts").entries][1])


class LookTests(EditorTestCase):
    """The files of conf.d as the operator's page shows them."""

    def setUp(self) -> None:
        super().setUp()
        self.put("beta", {"api_key": "key-of-beta", "rate": 5})
        self.put("uk", {"carriers": ["tier1"], "prefix": "44"}, "routes")
        self.file = self.data_dir / "conf.d" / "accounts" / "beta.yaml"

    def look(self, after: str = "", limit: int = 100) -> PartFilePage:
        return self.successResultOf(Deferred.fromCoroutine(self.editor.files(after, limit)))

    def beta(self) -> PartFile:
        return self.successResultOf(Deferred.fromCoroutine(self.editor.file("accounts", "beta")))

    def test_each_file_says_what_it_gives_without_secrets(self) -> None:
        page = self.look()
        self.assertEqual((None, str(self.data_dir / "conf.d"), []), (page.next, page.directory, page.problems))
        settings = {"api_key": {"is_set": True}, "rate": 5.0}
        self.assertEqual(PartFile("accounts", "beta", str(self.file), "in use", settings, []), page.files[0])
        self.assertEqual(("routes", "uk", "in use"), (page.files[1].table, page.files[1].name, page.files[1].state))
        self.assertEqual(page.files[0], self.beta())

    def test_changes_by_hand_wait_for_a_reload(self) -> None:
        self.file.write_text("rate: 6\n")
        (self.file.parent / "gamma.yaml").write_text("rate: 7\n")
        (self.data_dir / "conf.d" / "routes" / "uk.yaml").unlink()
        states = {file.name: (file.state, file.settings) for file in self.look().files}
        expected = {"beta": ("changed", {"rate": 6.0}), "gamma": ("new", {"rate": 7.0}), "uk": ("deleted", None)}
        self.assertEqual(expected, states)
        self.successResultOf(Deferred.fromCoroutine(self.daemon.reload_now()))
        self.assertEqual(["in use", "in use"], [file.state for file in self.look().files])

    def test_what_is_wrong_is_said_with_file_and_line_and_without_what_stands_there(self) -> None:
        self.file.write_text("api_key: a-secret\nrate: a-secret\ncolour: 1\n")
        [rate, colour] = self.beta().problems
        self.assertTrue(rate.startswith(f"{self.file}:2: accounts.beta.rate: "), rate)
        self.assertTrue(colour.startswith(f"{self.file}:3: accounts.beta.colour: "), colour)
        self.assertIsNone(self.beta().settings)
        self.file.write_text("api_key: 'a-secret\n")
        [problem] = self.beta().problems
        self.assertTrue(problem.startswith(f"{self.file}:1: "), problem)
        self.file.write_bytes(b"\xff")
        self.assertIn("it is not UTF-8 text", self.beta().problems[0])
        (self.file.parent / "delta.yml").write_text("{}")
        self.assertIn("delta.yml: isn't read; name it delta.yaml", self.look().problems[0])

    def test_many_files_come_in_pages_and_a_page_may_begin_after_a_file_that_is_gone(self) -> None:
        for name in "abc":
            (self.file.parent / f"{name}.yaml").write_text("{}")
        first = self.look("", 2)
        self.assertEqual((["a", "b"], "accounts/b"), ([file.name for file in first.files], first.next))
        (self.file.parent / "b.yaml").unlink()
        self.assertEqual(["beta", "c", "uk"], [file.name for file in self.look("accounts/b", 5).files])
        self.assertEqual(["uk"], [file.name for file in self.look("accounts/zz", 5).files])
        self.assertEqual([], self.look("nonsense", 5).files)

    def test_there_are_only_files_of_conf_d(self) -> None:
        for name in ("nobody", "../../relay", "", "x/y"):
            refused = self.failureResultOf(Deferred.fromCoroutine(self.editor.file("accounts", name)), EntryRefused)
            self.assertEqual(404, refused.value.status)


class FilesTests(EditorTestCase):
    def test_a_start_reads_what_was_written(self) -> None:
        self.put("beta", {"api_key": "${x} é \x85 'quoted\"\n", "test_numbers": {"447700900123": "DELIVRD"}})
        account = load_file(self.main).config.accounts["beta"]
        self.assertEqual(Secret("${x} é \x85 'quoted\"\n"), account.api_key)
        self.assertEqual({"447700900123": "DELIVRD"}, account.test_numbers)

    def test_a_start_refuses_a_file_that_is_wrong(self) -> None:
        self.put("beta", {})
        (self.data_dir / "conf.d" / "accounts" / "beta.yaml").write_text("rate: x")
        self.assertRaises(ConfigError, load_file, self.main)

"""The files of conf.d of a cluster: the store has them, and each relay has a copy."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.internet.task import Clock

from relay.app.config_editor import ConfigEditor
from relay.app.followed_files import FOLLOW_SECONDS, follow_files
from relay.app.load_config import ConfigError
from relay.app.stored_entries import StoredEntries
from relay.operator.entry_requests import EntryChange, EntryRefused
from relay.store.store_values import StoreUnavailable
from tests.app.test_config_editor import EditorTestCase, FilesDaemon, Killed


class FakeStore:
    """Keeps settings for all relays of a cluster.

    :ivar unavailable: whether the database is away.
    :ivar killed_at: how many writes are left before the relay is killed; None: it lives.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.unavailable = False
        self.killed_at: int | None = None

    def put_setting(self, account: str, name: str, value: str | None) -> "Deferred[None]":
        if self.killed_at is not None:
            self.killed_at -= 1
            if self.killed_at < 0:
                raise Killed
        if self.unavailable:
            return fail(StoreUnavailable("the database is away"))
        self.kept.pop((account, name), None)
        if value is not None:
            self.kept[account, name] = value
        return succeed(None)

    def settings(self) -> "Deferred[Sequence[tuple[str, str, str]]]":
        return succeed([(account, name, value) for (account, name), value in self.kept.items()])


class StoredTestCase(EditorTestCase):
    """A relay of a cluster whose store is `self.store`, with the files in `self.data_dir`."""

    def setUp(self) -> None:
        super().setUp()
        self.store = FakeStore()
        self.api = True
        self.stored = StoredEntries(str(self.data_dir), self.store, self.call, lambda: self.api)
        self.beta = self.data_dir / "conf.d" / "accounts" / "beta.yaml"
        self.make_editor()

    def make_editor(self) -> None:
        self.editor = ConfigEditor(self.daemon.file, self.daemon, self.daemon, self.call, lambda: (), self.stored)

    def beginning(self) -> "Deferred[None]":
        """A relay begins to work: the first one, or the next one after a kill."""
        self.daemon = FilesDaemon(str(self.main))
        self.make_editor()
        return ensureDeferred(self.editor.begin())

    def begin_relay(self) -> None:
        self.successResultOf(self.beginning())

    def write(self, text: str, name: str = "beta") -> None:
        self.beta.parent.mkdir(parents=True, exist_ok=True)
        self.beta.with_name(f"{name}.yaml").write_text(text)

    def change_rate(self, rate: int) -> "Deferred[Any]":
        return self.begin("accounts", "beta", EntryChange("patch", {"rate": rate}, frozenset("*")))

    def in_store(self) -> dict[str, str]:
        return {name: text for (_, name), text in self.store.kept.items() if name.startswith("conf.d/")}

    def copied(self) -> dict[str, str]:
        return {name: text for name, text in self.files().items() if name.startswith("conf.d/")}


class BeginTests(StoredTestCase):
    def test_the_first_relay_puts_its_files_into_the_store(self) -> None:
        self.write("rate: 1\n")
        self.begin_relay()
        self.assertEqual({"conf.d/accounts/beta": "rate: 1\n"}, self.in_store())

    def test_later_ones_take_the_files_of_the_store_and_use_them(self) -> None:
        self.begin_relay()
        self.put("beta", {"rate": 2})
        expected = self.copied()
        self.write("rate: 3\n")
        self.write("{}\n", "gone")
        self.begin_relay()
        self.assertEqual(expected, self.copied())
        self.assertEqual(2.0, self.daemon.config.accounts["beta"].rate)
        self.assertNotIn("gone", self.daemon.config.accounts)

    def test_if_a_relay_is_killed_while_it_puts_them_there_the_files_of_the_next_one_count(self) -> None:
        for writes in range(3):
            self.store.kept.clear()
            self.write("rate: 1\n")
            self.write("rate: 2\n", "gamma")
            self.store.killed_at = writes
            self.failureResultOf(self.beginning(), Killed)
            self.store.killed_at = None
            # Nobody has used the files of the first one yet.
            self.beta.with_name("gamma.yaml").unlink()
            self.begin_relay()
            self.assertEqual({"conf.d/accounts/beta": "rate: 1\n"}, self.in_store(), writes)

    def test_without_the_admin_api_the_files_of_each_machine_count(self) -> None:
        self.write("rate: 1\n")
        self.begin_relay()
        self.api = False
        self.write("rate: 2\n")
        self.begin_relay()
        self.assertEqual(2.0, self.daemon.config.accounts["beta"].rate)
        # The key is set again.
        self.api = True
        self.begin_relay()
        self.assertEqual({"conf.d/accounts/beta": "rate: 2\n"}, self.in_store())

    def test_a_relay_whose_main_file_does_not_go_with_them_does_not_start(self) -> None:
        self.begin_relay()
        self.put("uk", {"carriers": ["tier1"], "prefix": "44"}, "routes")
        (self.data_dir / "conf.d" / "routes" / "uk.yaml").unlink()
        self.main.write_text(self.main.read_text().replace("tier1", "tier9"))
        problem = self.failureResultOf(self.beginning(), ConfigError).value
        self.assertIn("there is no carrier 'tier1'", str(problem))


class ChangeTests(StoredTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.begin_relay()
        self.put("beta", {"rate": 2})

    def test_a_change_is_in_the_store_and_in_the_file(self) -> None:
        self.assertEqual(self.in_store()["conf.d/accounts/beta"], self.beta.read_text())
        self.successResultOf(self.begin("accounts", "beta", EntryChange("delete", None, frozenset("*"))))
        self.assertEqual(({}, {}), (self.in_store(), self.copied()))

    def test_if_the_database_does_not_take_it_nothing_has_changed(self) -> None:
        before = self.in_store(), self.copied()
        self.store.unavailable = True
        self.failureResultOf(self.change_rate(3), StoreUnavailable)
        self.assertEqual(before, (self.in_store(), self.copied()))
        self.assertEqual(2.0, self.daemon.config.accounts["beta"].rate)

    def test_what_the_reload_or_the_disk_refuses_is_taken_back_in_both(self) -> None:
        before = self.in_store(), self.copied()
        self.daemon.refuses = ["no"]
        self.failureResultOf(self.change_rate(3), EntryRefused)
        self.assertEqual(before, (self.in_store(), self.copied()))
        self.daemon.refuses = []
        # No file can have this name.
        self.beta.with_name(".beta.yaml.new").mkdir()
        self.assertEqual(503, self.failureResultOf(self.change_rate(3), EntryRefused).value.status)
        self.assertEqual(before, (self.in_store(), self.copied()))

    def test_after_a_kill_the_next_relay_has_the_change_if_the_store_has_it(self) -> None:
        def kill_before_the_file(function: Callable[..., Any], *arguments: Any) -> "Deferred[Any]":
            if function.__name__ == "make":
                raise Killed
            return succeed(function(*arguments))

        at_once = self.in_thread
        self.in_thread = kill_before_the_file
        self.failureResultOf(self.change_rate(3), Killed)
        self.in_thread = at_once
        self.begin_relay()
        self.assertEqual(3.0, self.daemon.config.accounts["beta"].rate)
        self.daemon.killed = True
        self.failureResultOf(self.change_rate(4), Killed)
        self.begin_relay()
        self.assertEqual(4.0, self.daemon.config.accounts["beta"].rate)
        self.store.killed_at = 0
        self.failureResultOf(self.change_rate(5), Killed)
        self.store.killed_at = None
        self.begin_relay()
        self.assertEqual(4.0, self.daemon.config.accounts["beta"].rate)
        self.assertEqual({"conf.d/accounts/beta.yaml": self.in_store()["conf.d/accounts/beta"]}, self.copied())

    def test_files_that_somebody_changed_on_one_machine_are_refused_by_name(self) -> None:
        self.successResultOf(ensureDeferred(self.stored.check()))
        self.write("rate: 3\n")
        self.write("{}\n", "gamma")
        refused = self.failureResultOf(ensureDeferred(self.stored.check()), ConfigError).value
        assert isinstance(refused, ConfigError)
        beta, gamma = refused.problems
        self.assertTrue(beta.startswith(f"{self.beta}: differs from the database"), beta)
        self.assertIn("gamma.yaml: differs", gamma)


class FollowTests(StoredTestCase):
    """A relay that stands by."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.complete = True
        self.waiting: Deferred[None] = Deferred()
        self.following = ensureDeferred(self.follow(self.editor, self.waiting))

    async def follow(self, editor: ConfigEditor | None, waiting: "Deferred[None]") -> None:
        async def wait() -> None:
            await waiting

        await follow_files(editor, self.clock, wait(), lambda: self.complete)

    def changes_elsewhere(self, rate: int) -> None:
        """The relay that works changes an entry."""
        self.store.kept["", "conf.d"] = "1"
        self.store.kept["", "conf.d/accounts/beta"] = f"rate: {rate}\n"

    def test_it_has_the_changes_within_seconds_and_uses_them(self) -> None:
        self.clock.advance(FOLLOW_SECONDS)
        self.assertNotIn("beta", self.daemon.config.accounts)
        for rate in (1, 2):
            self.changes_elsewhere(rate)
            self.clock.advance(FOLLOW_SECONDS)
            self.assertEqual(f"rate: {rate}\n", self.beta.read_text())
            self.assertEqual(float(rate), self.daemon.config.accounts["beta"].rate)

    def test_while_it_reads_the_log_from_the_beginning_it_leaves_its_files_alone(self) -> None:
        self.write("rate: 1\n")
        self.complete = False
        # So far it has only read that there are files.
        self.store.kept["", "conf.d"] = "1"
        self.clock.advance(FOLLOW_SECONDS)
        self.assertEqual("rate: 1\n", self.beta.read_text())
        self.complete = True
        self.changes_elsewhere(2)
        self.clock.advance(FOLLOW_SECONDS)
        self.assertEqual("rate: 2\n", self.beta.read_text())

    def test_what_it_can_not_use_yet_it_tries_again(self) -> None:
        self.changes_elsewhere(1)
        self.daemon.fails = ConfigError(["relay.yaml:1: wrong"])
        for _ in range(3):
            self.clock.advance(FOLLOW_SECONDS)
        self.assertNotIn("beta", self.daemon.config.accounts)
        self.daemon.fails = None
        self.clock.advance(FOLLOW_SECONDS)
        self.assertIn("beta", self.daemon.config.accounts)

    def test_it_ends_with_the_wait_when_nothing_is_under_way_any_more(self) -> None:
        at_once, reading = self.in_thread, Deferred[None]()
        self.changes_elsewhere(1)
        self.in_thread = lambda function, *arguments: reading.addCallback(lambda _: function(*arguments))
        self.clock.advance(FOLLOW_SECONDS)
        self.waiting.callback(None)
        self.assertNoResult(self.following)
        self.in_thread = at_once
        reading.callback(None)
        self.successResultOf(self.following)
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertIn("beta", self.daemon.config.accounts)

    def test_a_relay_without_a_file_only_waits(self) -> None:
        waiting: Deferred[None] = Deferred()
        following = ensureDeferred(self.follow(None, waiting))
        self.assertNoResult(following)
        waiting.callback(None)
        self.successResultOf(following)


class ComparedTests(StoredTestCase):
    def test_with_the_admin_api_relays_compare_only_their_main_files(self) -> None:
        alone = self.daemon.config
        self.begin_relay()
        self.put("beta", {"rate": 2})
        self.put("uk", {"carriers": ["tier1"], "prefix": "44"}, "routes")
        places, config = self.daemon.places, self.daemon.config
        self.assertEqual(config, places.compared(config))
        with_api = msgspec.structs.replace(config, admin=msgspec.structs.replace(config.admin, api=True))
        self.assertEqual(msgspec.structs.replace(alone, admin=with_api.admin), places.compared(with_api))
        self.assertIn("beta", with_api.accounts)

"""Changes of files of conf.d: made as a whole or not at all, and a crash leaves no old secrets behind."""

import errno

from relay.app.part_change import OsPartDisk, PartChange, remove_leftovers
from tests.app.test_conf_d import ConfDTestCase
from tests.app.test_config_editor import Killed


class FailingDisk(OsPartDisk):
    """The real disk, but one step fails, or the relay is killed in it.

    :param at: the step, from 0.
    :param problem: what the step raises.
    """

    def __init__(self, at: int, problem: BaseException) -> None:
        self.left = at
        self.problem = problem

    def _step(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise self.problem

    def make_directory(self, path: str) -> bool:
        self._step()
        return super().make_directory(path)

    def link(self, path: str, new_path: str) -> None:
        self._step()
        super().link(path, new_path)

    def write(self, path: str, octets: bytes) -> None:
        if self.left == 0:
            super().write(path, octets[: len(octets) // 2])
        self._step()
        super().write(path, octets)

    def rename(self, path: str, new_path: str) -> None:
        self._step()
        super().rename(path, new_path)

    def remove(self, path: str) -> None:
        self._step()
        super().remove(path)

    def sync(self, directory: str) -> None:
        self._step()
        super().sync(directory)


class ChangeTests(ConfDTestCase):
    def content(self) -> dict[str, str]:
        directory = self.top / "accounts"
        return {path.name: path.read_text() for path in directory.iterdir()} if directory.exists() else {}

    def test_a_file_is_written_so_that_only_the_relay_s_user_may_read_it(self) -> None:
        change = self.change("api_key: secret\n")
        change.make()
        change.keep()
        self.assertEqual({"acme.yaml": "api_key: secret\n"}, self.content())
        modes = [path.stat().st_mode & 0o777 for path in (self.top, self.top / "accounts")]
        self.assertEqual([0o700, 0o700], modes)
        self.assertEqual(0o600, (self.top / "accounts" / "acme.yaml").stat().st_mode & 0o777)

    def test_an_undone_change_leaves_what_was_there(self) -> None:
        for before in (None, "rate: 1\n"):
            for text in ("rate: 2\n", None):
                if before is not None:
                    self.write("accounts/acme.yaml", before)
                elif text is None:
                    continue
                change = self.change(text)
                change.make()
                self.assertEqual(text, self.content().get("acme.yaml"))
                change.undo()
                self.assertEqual({} if before is None else {"acme.yaml": before}, self.content())

    def test_a_kept_change_leaves_nothing_of_the_old_contents(self) -> None:
        for text in ("rate: 2\n", None):
            self.write("accounts/acme.yaml", "rate: 1\n")
            change = self.change(text)
            change.make()
            change.keep()
            self.assertEqual({} if text is None else {"acme.yaml": text}, self.content())

    def test_what_a_kill_left_is_no_hindrance(self) -> None:
        self.write("accounts/acme.yaml", "rate: 1\n")
        self.write("accounts/.acme.yaml.new", "half of")
        self.write("accounts/.acme.yaml.old", "rate: 0\n")
        change = self.change("rate: 2\n")
        change.make()
        change.undo()
        self.assertEqual("rate: 1\n", self.content()["acme.yaml"])

    def test_if_it_can_not_be_written_nothing_has_changed(self) -> None:
        self.write("accounts/acme.yaml", "rate: 1\n")
        # No file can have this name.
        (self.top / "accounts" / ".acme.yaml.new").mkdir()
        self.assertRaises(OSError, self.change("rate: 2\n").make)
        self.assertEqual("rate: 1\n", (self.top / "accounts" / "acme.yaml").read_text())
        self.assertRaises(OSError, self.change("rate: 2\n", "n" * 300).make)


class CrashTests(ConfDTestCase):
    """What is there after a kill at each step of each kind of change, and after the next start."""

    KINDS = ((None, "rate: 2\n"), ("rate: 1\n", "rate: 2\n"), ("rate: 1\n", None))

    def there(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in (self.top / "accounts").glob("*")}

    def steps(self, old: str | None, new: str | None, disk: FailingDisk, *, undone: bool) -> bool:
        """Makes a change on a disk. Returns whether it was completed."""
        for left in self.there():
            (self.top / "accounts" / left).unlink()
        if old is not None:
            self.write("accounts/acme.yaml", old)
        change = PartChange(self.data_dir, "accounts", "acme", new, disk)
        try:
            change.make()
            if undone:
                change.undo()
            else:
                change.keep()
        except (Killed, OSError):
            return False
        return True

    def test_after_a_kill_at_any_step_a_start_finds_the_old_file_or_the_new_one_and_nothing_else(self) -> None:
        for old, new in self.KINDS:
            for undone in (False, True):
                at, seen = 0, []
                while not self.steps(old, new, FailingDisk(at, Killed()), undone=undone):
                    remove_leftovers(self.data_dir)
                    found = self.there()
                    self.assertLessEqual({*found}, {"acme.yaml"}, (old, new, undone, at))
                    seen.append(found.get("acme.yaml"))
                    at += 1
                self.assertEqual(old if undone else new, self.there().get("acme.yaml"))
                self.assertEqual([], [name for name in self.there() if name != "acme.yaml"])
                # Some steps are before the change, and some after it.
                self.assertEqual({old, new}, {*seen}, (old, new, undone))

    def test_a_step_that_fails_leaves_the_old_file_and_nothing_else(self) -> None:
        for old, new in self.KINDS:
            refused = 0
            for at in range(12):
                disk = FailingDisk(at, OSError(errno.ENOSPC, "No space left on device"))
                if not self.steps(old, new, disk, undone=False):
                    refused += 1
                    self.assertEqual({} if old is None else {"acme.yaml": old}, self.there(), (old, new, at))
            self.assertGreater(refused, 2)

    def test_a_start_deletes_what_a_kill_left_and_says_how_much(self) -> None:
        for name in ("accounts/.acme.yaml.old", "carriers/.tier1.yaml.new", "routes/uk.yaml", "routes/.uk.yaml.swp"):
            self.write(name, "secret")
        self.assertEqual((2, []), remove_leftovers(self.data_dir))
        left = [str(path.relative_to(self.top)) for path in self.top.rglob("*") if path.is_file()]
        self.assertEqual(["routes/.uk.yaml.swp", "routes/uk.yaml"], sorted(left))
        self.assertEqual((0, []), remove_leftovers(self.data_dir))

    def test_a_start_says_what_it_could_not_delete(self) -> None:
        (self.top / "accounts" / ".acme.yaml.old").mkdir(parents=True)
        _, [problem] = remove_leftovers(self.data_dir)
        self.assertTrue(problem.startswith(f"{self.top}/accounts/.acme.yaml.old: "), problem)

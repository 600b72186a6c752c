"""The files of conf.d on the disk: what is read, and changes that are made as a whole or not at all."""

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.app.conf_d import PartChange, part_file, read_part, read_parts


class ConfDTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="relay-test-")
        self.addCleanup(directory.cleanup)
        self.data_dir = directory.name
        self.top = Path(self.data_dir, "conf.d")

    def write(self, name: str, text: str = "{}\n") -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def change(self, text: str | None, name: str = "acme") -> PartChange:
        return PartChange(self.data_dir, "accounts", name, text)


class ReadTests(ConfDTestCase):
    def test_without_the_directory_there_are_no_entries(self) -> None:
        for data_dir in ("", self.data_dir, str(self.top)):
            files = read_parts(data_dir)
            self.assertEqual(([], []), (list(files.parts), list(files.problems)))

    def test_entries_are_read_by_kind_and_name(self) -> None:
        for name in ("routes/b.yaml", "accounts/z.yaml", "accounts/a.b@c.yaml", "carriers/tier1.yaml"):
            self.write(name, f"# {name}\n")
        parts = read_parts(self.data_dir).parts
        self.assertEqual(
            [("accounts", "a.b@c"), ("accounts", "z"), ("carriers", "tier1"), ("routes", "b")],
            [(part.table, part.name) for part in parts],
        )
        self.assertEqual("# routes/b.yaml\n", parts[-1].text)
        self.assertEqual(f"{self.top}/routes/b.yaml", parts[-1].file)

    def test_files_of_editors_and_what_a_killed_write_left_are_not_read(self) -> None:
        for name in ("accounts/.a.yaml.new", "accounts/.a.yaml.old", "accounts/a.yaml~", "accounts/#a#", "README"):
            self.write(name, "{")
        files = read_parts(self.data_dir)
        self.assertEqual(([], []), (list(files.parts), list(files.problems)))

    def test_a_file_whose_name_looks_as_if_it_were_read_is_a_problem(self) -> None:
        self.write("acme.yaml")
        self.write("carriers/tier1.yml")
        self.assertEqual(
            [
                f"{self.top}/acme.yaml: isn't read here; move it to the directory of its kind: "
                "accounts/, carriers/, routes/",
                f"{self.top}/carriers/tier1.yml: isn't read; name it tier1.yaml",
            ],
            list(read_parts(self.data_dir).problems),
        )

    def test_what_can_not_be_read_is_a_problem_and_does_not_block(self) -> None:
        self.write("accounts/a.yaml").write_bytes(b"api_key: \xe9")
        (self.top / "accounts" / "b.yaml").mkdir()
        os.mkfifo(self.top / "accounts" / "c.yaml")
        self.assertEqual(
            [
                f"{self.top}/accounts/a.yaml: can't be read: it is not UTF-8 text",
                f"{self.top}/accounts/b.yaml: can't be read: it is no file",
                f"{self.top}/accounts/c.yaml: can't be read: it is no file",
            ],
            list(read_parts(self.data_dir).problems),
        )

    def test_the_version_is_another_one_after_each_change(self) -> None:
        versions = set()
        for text in ("a: 1\n", "a: 1\n", "a: 2\n"):
            change = self.change(text)
            change.make()
            change.keep()
            part = read_part(self.data_dir, "accounts", "acme")
            assert part is not None
            versions.add(part.version)
        path = Path(part_file(self.data_dir, "accounts", "acme"))
        path.write_text("a: 2\n")
        part = read_part(self.data_dir, "accounts", "acme")
        assert part is not None
        versions.add(part.version)
        self.assertEqual(4, len(versions))


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

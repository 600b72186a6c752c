"""The files of conf.d on the disk: what is read, and what is not."""

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.app.conf_d import part_file, read_part, read_parts
from relay.app.part_change import PartChange


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

"""The files of lists: read anew each time, and refused with the list and the line."""

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.app.list_files import ListsCheck, ListsRefused, read_lists
from relay.config.model import Config
from relay.config.route_config import NumberListFile
from tests.app.test_config_checks import WORKING, ChecksTestCase


class ListFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="relay-test-")
        self.addCleanup(directory.cleanup)
        self.file = Path(directory.name) / "numbers.txt"
        self.config = Config(lists={"blocked": NumberListFile(file=str(self.file), on_match="refuse")})

    def test_the_file_is_read_each_time(self) -> None:
        for number in ("447700900123", "447700900124"):
            self.file.write_text(f"{number}\n")
            lists = read_lists(self.config)
            assert lists is not None
            known = [each for each in (b"447700900123", b"447700900124") if lists.refuses(each) == "blocked"]
            self.assertEqual(known, [number.encode()])

    def test_without_lists_there_is_nothing_to_ask(self) -> None:
        self.assertIsNone(read_lists(Config()))

    def test_what_cannot_be_read_is_named(self) -> None:
        for content, words in (
            (None, "No such file"),
            (b"447\nxyz\n", "line 2 is no number"),
            (b"\xff\n", "not UTF-8"),
        ):
            if content is not None:
                self.file.write_bytes(content)
            refused = self.assertRaises(ListsRefused, read_lists, self.config)
            self.assertIn("lists.blocked.file", refused.problems[0])
            self.assertIn(words, refused.problems[0])
            [(path, problem)] = ListsCheck()(self.config)
            self.assertEqual(path, ("lists", "blocked", "file"))
            self.assertIn(words, problem)


class ListChecksTests(ChecksTestCase):
    def test_a_route_for_a_tag_that_no_list_gives_is_refused(self) -> None:
        route = "routes: [{carriers: [t]}, {tag: north, carriers: [t]}]"
        self.assert_problem(WORKING + route, r"routes\[1\].tag", "no list gives the tag 'north'")
        self.assert_problem(
            f"{WORKING}lists: {{nort: {{file: x}}}}\n{route}", r"routes\[1\].tag", "did you mean 'nort'?"
        )
        self.assert_fine(f"{WORKING}lists: {{north: {{file: x}}}}\n{route}")
        self.assert_fine(f"{WORKING}lists: {{ported: {{file: x, tag_column: network}}}}\n{route}")

    def test_settings_of_a_list_that_contradict_each_other_are_refused(self) -> None:
        self.assert_problem('lists: {a: {file: ""}}', "lists.a.file", "must not be empty")
        self.assert_problem("lists: {a: {file: x, tag_column: 0}}", "lists.a.tag_column", "counted from 1")
        self.assert_problem(
            "lists: {a: {file: x, tag_column: n, on_match: refuse}}", "lists.a.tag_column", "has no effect"
        )

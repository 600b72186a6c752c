"""The paths of a configuration are checked before the relay starts."""

import contextlib
import io
import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from relay.app.file_check import file_problems
from relay.app.load_config import ConfigError, load
from relay.cli.check import main as check


class FileCheckTests(SynchronousTestCase):
    def problems(self, text: str) -> list[str]:
        try:
            load(text, name="x.yaml", environ={}, read_file=lambda path: "", further_checks=[file_problems])
        except ConfigError as error:
            return list(error.problems)
        return []

    def test_message_records_that_name_a_directory_are_refused(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            for named in (directory, f"{directory}/", f"{directory}/not-made-yet/"):
                (problem,) = self.problems(f"logs: {{message_records: {named}}}")
                self.assertIn("x.yaml:1: logs.message_records: ", problem)
                self.assertIn("is a directory", problem)
                self.assertIn(f"{named.rstrip('/')}/records.jsonl", problem)

    def test_message_records_below_a_file_are_refused(self) -> None:
        with tempfile.NamedTemporaryFile() as file:
            for named in (f"{file.name}/records", f"{file.name}/not-made-yet/records"):
                (problem,) = self.problems(f"logs: {{message_records: {named}}}")
                self.assertIn(f"{file.name!r} is not a directory", problem)

    def test_message_records_in_a_directory_that_is_made_later_are_fine(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(self.problems(f"logs: {{message_records: {directory}/not-made-yet/records.jsonl}}"), [])
            self.assertEqual(os.listdir(directory), [])
        self.assertEqual(self.problems("logs: {message_records: records.jsonl}"), [])

    def test_the_command_check_refuses_a_directory(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory, "x.yaml")
            file.write_text(f"logs: {{message_records: {directory}}}")
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                self.assertEqual(check([str(file)]), 1)
            self.assertIn("logs.message_records", said.getvalue())

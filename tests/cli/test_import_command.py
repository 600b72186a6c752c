"""`python -m relay import`: what it prints where, and its exit statuses."""

import os
from pathlib import Path

from tests.cli.test_cli import ROOT, CommandLineTestCase

USER = "group = sendsms-user\nusername = shop\npassword = shop-key\n"


class ImportTests(CommandLineTestCase):
    def test_the_configuration_goes_to_standard_output_and_the_rest_to_standard_error(self) -> None:
        file = self.file(f"{USER}dlr-mask = 3\n", "kannel.conf")
        done = self.relay("import", file)
        self.assertEqual(done.returncode, 0)
        self.assertIn("accounts:\n  shop:\n    api_key: shop-key\n", done.stdout)
        self.assertIn(
            f"{file}:1: group sendsms-user: dlr-mask: set `notification_url` of the account", done.stderr.splitlines()
        )
        self.assertIn(f"{file}: imported 1 account, 0 carriers, 0 routes; lines above: 2", done.stderr)
        self.assertNotIn("shop-key", done.stderr)

    def test_a_directory_is_jasmin_s_and_its_import_passes_the_check(self) -> None:
        done = self.relay("import", ROOT / "tests" / "data" / "jasmin")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.relay("check", self.file(done.stdout)).returncode, 0)

    def test_a_configuration_that_the_check_would_refuse_is_printed_and_the_status_says_so(self) -> None:
        done = self.relay("import", self.file(USER.replace("= shop\n", "= a b\n"), "kannel.conf"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("a b:", done.stdout)
        self.assertIn("relay.yaml:5: accounts.a b: expected a name", done.stderr)
        self.assertIn("correct the lines that begin with relay.yaml", done.stderr)

    def test_a_file_that_can_t_be_read_prints_no_configuration(self) -> None:
        empty = Path(self.directory, "empty")
        os.mkdir(empty)
        for file, problem in (
            (Path("none.conf"), "none.conf: can't be read: No such file or directory"),
            (empty, "there is no store/jcli-prod.smppccs"),
        ):
            done = self.relay("import", file)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(problem, done.stderr)

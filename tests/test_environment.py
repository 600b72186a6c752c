"""The suite does the same with any environment variables."""

import json
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests import HUNG_SECONDS

ROOT = Path(__file__).resolve().parents[1]


class EnvironmentTests(SynchronousTestCase):
    def inherited(self, **variables: str) -> dict[str, str]:
        """What a test's own processes inherit where whoever started the tests had these variables."""
        done = subprocess.run(
            [sys.executable, "-c", "import json, os, tests; print(json.dumps(dict(os.environ)))"],
            cwd=ROOT, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=True,
            timeout=HUNG_SECONDS,
        )  # fmt: skip
        found: dict[str, str] = json.loads(done.stdout)
        return found

    def test_processes_do_not_inherit_what_would_change_them(self) -> None:
        plain = self.inherited()
        loud = self.inherited(
            MAKEFLAGS="w", MAKELEVEL="1", CI="true", NO_COLOR="1", FORCE_COLOR="1", COLUMNS="20", PYTHONOPTIMIZE="2",
            PYTHONUNBUFFERED="1", LC_ALL="C", LC_MESSAGES="de_DE", NOTIFY_SOCKET="/nowhere", RELAY_ADMIN_PASSWORD="x",
        )  # fmt: skip
        self.assertEqual(plain, loud)

    def test_they_inherit_what_packages_are_installed_with(self) -> None:
        wanted = {"PIP_INDEX_URL": "file:///x", "HTTPS_PROXY": "http://proxy:1", "SSL_CERT_FILE": "/x.pem"}
        self.assertLessEqual(wanted.items(), self.inherited(**wanted).items())

    def test_variables_that_a_test_sets_for_its_process_stay_although_that_process_imports_tests(self) -> None:
        given = {"NOTIFY_SOCKET": "/from/the/test", "RELAY_TESTS_SETTLED": "1"}
        self.assertLessEqual(given.items(), self.inherited(**given).items())

    def test_a_proxy_is_not_asked_for_loopback(self) -> None:
        self.assertEqual("intranet,127.0.0.1,localhost", self.inherited(no_proxy="intranet")["no_proxy"])


class PatienceTests(TestCase):
    def test_no_example_of_hypothesis_fails_because_it_is_slow(self) -> None:
        self.assertIsNone(settings().deadline)
        self.assertIn(HealthCheck.too_slow, settings().suppress_health_check)

    def test_a_test_that_hangs_is_ended_late(self) -> None:
        self.assertEqual(HUNG_SECONDS, self.getTimeout())

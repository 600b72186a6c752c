"""The suite does the same with any environment variables."""

import json
import os
import subprocess
import sys
import unittest
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, settings
from twisted.trial.runner import TestLoader
from twisted.trial.unittest import SynchronousTestCase, TestCase

import tests
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
        # What this is for: see SameExamplesTests.
        del loud["RELAY_TESTS_SAME_EXAMPLES"]
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


class PropertyTests(SynchronousTestCase):
    """Properties that Hypothesis tests."""

    def cases(self, suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
        """Every test in a suite and in the suites in it."""
        for member in suite:
            if isinstance(member, unittest.TestSuite):
                yield from self.cases(member)
            else:
                yield member

    def test_each_belongs_to_one_class(self) -> None:
        # Hypothesis refuses the second class, but only where both are tested by one process.
        classes: defaultdict[object, set[type]] = defaultdict(set)
        for case in self.cases(TestLoader().loadPackage(tests, recurse=True)):
            method = getattr(type(case), case.id().rpartition(".")[2], None)
            if getattr(method, "is_hypothesis_test", False):
                classes[method].add(type(case))
        self.assertTrue(classes)
        self.assertEqual([], [names for names in classes.values() if len(names) > 1])


class SameExamplesTests(SynchronousTestCase):
    """Which examples Hypothesis draws."""

    def drawn_alike(self, **variables: str) -> bool:
        """Whether a worker of trial's draws the same examples each time, in a run started with the variables."""
        profile = "import tests; from hypothesis import settings; print(settings.default.derandomize)"
        worker = f"import tests, subprocess, sys; subprocess.run([sys.executable, '-c', {profile!r}], check=True)"
        kept = {"PATH": os.environ["PATH"], **variables}
        run = subprocess.run(
            [sys.executable, "-c", worker], cwd=ROOT, env=kept, check=True, capture_output=True, timeout=HUNG_SECONDS
        )
        return run.stdout.strip() == b"True"

    def test_they_are_the_same_in_each_run_of_ci(self) -> None:
        self.assertTrue(self.drawn_alike(CI="true"))

    def test_they_are_new_in_each_run_of_a_developer(self) -> None:
        self.assertFalse(self.drawn_alike())

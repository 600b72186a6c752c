"""setup.cfg, the Makefile and CI agree with the checkout. .ci/wheel_check.py checks that the wheel works."""

import configparser
import importlib.util
import re
import subprocess
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType

from twisted.application.service import IServiceMaker, ServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

import relay
from tests import HUNG_SECONDS

ROOT = Path(__file__).resolve().parents[1]


def setup_cfg() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    return parsed


def script(name: str) -> ModuleType:
    """A script of .ci, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class MetadataTests(SynchronousTestCase):
    def test_every_package_is_listed(self) -> None:
        listed = set(setup_cfg()["options"]["packages"].split())
        there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "relay").rglob("__init__.py")}
        self.assertEqual(listed, there | {"twisted.plugins"})

    def test_the_plugin_directory_is_no_package_of_ours(self) -> None:
        self.assertEqual([path.name for path in (ROOT / "twisted").rglob("*.py")], ["relay_plugin.py"])

    def test_the_version_is_the_packages(self) -> None:
        self.assertEqual(setup_cfg()["metadata"]["version"], relay.__version__)

    def test_every_library_that_is_imported_is_required(self) -> None:
        required = {re.split(r"[\s\[<>=]", line)[0].lower() for line in
                    setup_cfg()["options"]["install_requires"].split("\n") if line}  # fmt: skip
        distributions = {
            "attr": "attrs", "attrs": "attrs", "msgspec": "msgspec", "prometheus_client": "prometheus-client",
            "smpp": "smpp.pdu3", "standardwebhooks": "standardwebhooks", "treq": "treq", "twisted": "twisted",
            "yaml": "pyyaml",
        }  # fmt: skip
        pattern = re.compile(r"^\s*(?:from|import) ([a-z_]+)[. ]", re.MULTILINE)
        for path in (ROOT / "relay").rglob("*.py"):
            for name in pattern.findall(path.read_text(encoding="utf-8")):
                if name in distributions:
                    self.assertIn(distributions[name], required, path)

    def test_twistd_finds_the_plugin(self) -> None:
        [maker] = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "relay"]
        assert isinstance(maker, ServiceMaker)
        self.assertEqual(maker.module, "relay.tap")


class MakefileTests(SynchronousTestCase):
    def test_help_lists_every_target_that_is_for_people(self) -> None:
        text = (ROOT / "Makefile").read_text(encoding="utf-8")
        phony = {name for line in re.findall(r"^\.PHONY: (.*)", text, re.MULTILINE) for name in line.split()}
        shown = subprocess.run(
            ["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=HUNG_SECONDS, check=True
        )
        self.assertEqual({line.split()[0] for line in shown.stdout.splitlines() if line.strip()}, phony)


class ReadmeTests(SynchronousTestCase):
    def test_every_page_that_it_links_to_is_there(self) -> None:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            self.assertTrue((ROOT / target).exists(), target)


class SummaryTests(SynchronousTestCase):
    """CI's last line."""

    def setUp(self) -> None:
        self.summary = script("summary")

    def count(self, text: str) -> tuple[int, int]:
        counted: tuple[int, int] = self.summary.count(text)
        return counted

    def test_the_summary_counts_what_trial_counted(self) -> None:
        self.assertEqual(self.count("Ran 12 tests in 1.2s\n\nPASSED (successes=12)\n"), (12, 0))
        self.assertEqual(self.count("Ran 12 tests in 1.2s\n\nPASSED (skips=2, successes=10)\n"), (10, 0))
        self.assertEqual(
            self.count("Ran 9 tests in 1s\n\nFAILED (failures=2, errors=1, expectedFailures=1, successes=5)\n"), (6, 3)
        )

    def test_output_without_a_verdict_counts_for_nothing(self) -> None:
        for text in ("", "Ran 0 tests in 0s\n\nPASSED\n", "PASSED (successes=3)\n", "Traceback\nImportError\n"):
            self.assertEqual(self.count(text), (0, 0), text)

    def test_several_runs_count_together(self) -> None:
        first = "Ran 12 tests in 1.2s\n\nPASSED (successes=12)\n"
        second = "Ran 3 tests in 1.2s\n\nFAILED (failures=1, successes=2)\n"
        self.assertEqual(self.count(first + second), (14, 1))

    def test_skipped_tests_are_listed_once_for_each_reason(self) -> None:
        rule = "=" * 79
        first = f"{rule}\n[SKIPPED]\nneeds root, and\na mount\n\ntests.a.A.test_b\ntests.a.A.test_a\n"
        second = f"{rule}\n[SKIPPED]\nno browser\n\ntests.b.B.test_c\n{rule}\n[FAIL]\nFailTest: x\n\ntests.b.B.test_d\n"
        self.assertEqual(
            self.summary.skipped(first + second + "-" * 79 + "\n" + first),
            {"needs root, and a mount": ["tests.a.A.test_b", "tests.a.A.test_a"], "no browser": ["tests.b.B.test_c"]},
        )

    def test_the_reports_of_failed_tests_are_shown_again(self) -> None:
        rule = "=" * 79
        text = f"{rule}\n[FAIL]\nTraceback:\n\nFailTest: x\n\ntests.a.A.test_b\ntests.a.A.test_c\n"
        text += f"{rule}\n[ERROR]\nboom\n\ntests.b.B.test_d\n"
        self.assertEqual(
            self.summary.failed(text + "-" * 79),
            [("tests.a.A.test_b tests.a.A.test_c", "Traceback:\n\nFailTest: x"), ("tests.b.B.test_d", "boom")],
        )

    def close(self, **outputs: str) -> tuple[int, str]:
        """The exit status of the summary and its last line, for outputs of steps named passed_... and failed_..."""
        directory = Path(self.mktemp())
        for folder in ("passed", "failed"):
            (directory / folder).mkdir(parents=True)
        for name, text in outputs.items():
            folder, _, step = name.partition("_")
            (directory / folder / step).write_text(text)
        with redirect_stdout(StringIO()) as printed:
            status = self.summary.main([str(directory)])
        return status, printed.getvalue().splitlines()[-1]

    def test_a_run_in_which_all_passed_succeeds(self) -> None:
        good = "Ran 12 tests in 1.2s\n\nPASSED (successes=12)\n"
        self.assertEqual(self.close(passed_lint="", passed_test=good), (0, "12 passed, 0 failed"))

    def test_a_step_that_failed_is_counted_once_whatever_the_tests_did(self) -> None:
        good = "Ran 12 tests in 1.2s\n\nPASSED (successes=12)\n"
        bad = "Ran 12 tests in 1.2s\n\nFAILED (failures=2, successes=10)\n"
        self.assertEqual(self.close(failed_lint="E501", passed_test=good), (1, "12 passed, 1 failed"))
        self.assertEqual(
            self.close(failed_test=good + "Coverage failure: total of 90 is less"), (1, "12 passed, 1 failed")
        )
        self.assertEqual(self.close(failed_test=bad, failed_lint="E501"), (1, "10 passed, 3 failed"))

    def test_a_run_without_a_test_fails(self) -> None:
        self.assertEqual(self.close(passed_lint=""), (1, "0 passed, 1 failed"))

    def test_a_verdict_that_a_test_printed_itself_does_not_count(self) -> None:
        text = "PASSED (successes=99)\nRan 2 tests in 1s\n\nFAILED (failures=1, successes=1)\n"
        self.assertEqual(self.count(text), (1, 1))

"""docs/operations.md: every alert is explained, and every command and path in it exists."""

import re
import subprocess
import sys
from pathlib import Path

import yaml
from twisted.trial.unittest import SynchronousTestCase

from relay.cli.main import COMMANDS
from relay.operator.actions import OperatorActions
from relay.operator.admin_pages import AdminPages
from relay.operator.metrics import Metrics
from relay.operator.overview import Observer
from tests.operator.operated import OperatedDaemon

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text()


class OperationsPageTests(SynchronousTestCase):
    def rules(self) -> dict[str, str]:
        groups = yaml.safe_load((ROOT / "etc" / "alerts.yaml").read_text())["groups"]
        return {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]}

    def test_every_alert_has_its_paragraph_with_its_severity_in_the_order_of_the_rules(self) -> None:
        explained = re.findall(r"^### (Relay\w+)\n\*(\w+)\*", PAGE, re.M)
        self.assertEqual(list(self.rules().items()), explained)

    def test_every_command_exists_with_its_options(self) -> None:
        helped: dict[str, str] = {}
        for command, rest in re.findall(r"python -m relay (\w+)([^\n|&`]*)", PAGE):
            self.assertIn(command, COMMANDS)
            if command not in helped:
                helped[command] = subprocess.run(
                    [sys.executable, "-m", "relay", command, "--help"],
                    capture_output=True, text=True, check=True, cwd=ROOT,
                ).stdout  # fmt: skip
            for option in re.findall(r"--[a-z-]+", rest):
                self.assertIn(option, helped[command])

    def test_every_path_of_the_admin_listener_is_one_that_it_has(self) -> None:
        daemon = OperatedDaemon()
        observer = Observer(daemon, daemon.clock)
        actions = OperatorActions(daemon, daemon.clock)
        pages = AdminPages(daemon, Metrics(daemon, daemon.clock.seconds), observer, actions).pages()  # type: ignore[arg-type]
        for path in re.findall(r"^\| `/([a-z]+)", PAGE, re.M):
            self.assertIn(("GET", path), pages)

    def test_every_file_that_it_names_in_the_repository_is_there(self) -> None:
        for name in {*re.findall(r"`(etc/[\w./-]+)`", PAGE), *re.findall(r"\]\((\w+\.md)\)", PAGE)}:
            self.assertTrue((ROOT / name).exists() or (ROOT / "docs" / name).exists(), name)

    def test_every_metric_that_it_names_is_exported(self) -> None:
        dashboard = (ROOT / "etc" / "grafana-dashboard.json").read_text()
        for name in re.findall(r"`(relay_[a-z_]+)`", PAGE):
            self.assertIn(name, dashboard)

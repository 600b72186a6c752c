"""The commands of the README do what the README says, on the demonstration's own configuration."""

import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests import HUNG_SECONDS, PATIENCE
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 20.0 * PATIENCE
NOTIFICATION_SECONDS = 10.0 * PATIENCE


def listens(port: int) -> bool:
    """Whether someone accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class ReadmeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.readme = (ROOT / "README.md").read_text(encoding="utf-8")
        directory = tempfile.TemporaryDirectory(prefix="relay-test-", ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        demo = (ROOT / "etc" / "demo.yaml").read_text(encoding="utf-8")
        # The ports may be in use on the machine that runs the tests.
        self.ports = {port: str(free_port()) for port in set(re.findall(r"tcp:(\d+):", demo))}
        self.config = self.directory / "demo.yaml"
        self.config.write_text(self.on_other_ports(demo), encoding="utf-8")
        self.log = self.directory / "log"
        with self.log.open("wb") as log:
            self.relay = subprocess.Popen(
                [sys.executable, "-c", "from twisted.scripts.twistd import run; run()",
                 "-n", "--pidfile=", "relay", "--config", self.config],
                cwd=self.directory, env={"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
            )  # fmt: skip
        self.addCleanup(self.relay.wait)
        self.addCleanup(self.relay.kill)
        self.until(START_SECONDS, lambda: all(listens(int(port)) for port in self.ports.values()))

    def on_other_ports(self, text: str) -> str:
        """The text, with the ports of this run."""
        for port, other in self.ports.items():
            text = re.sub(rf"\b{port}\b", other, text)
        return text

    def until(self, seconds: float, condition: object) -> None:
        """Waits until `condition()` holds."""
        deadline = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            if self.relay.poll() is not None or time.monotonic() > deadline:
                self.fail(f"not within {seconds:g} seconds; the relay's log:\n{self.log.read_text()}")
            time.sleep(0.05)

    def example(self, language: str) -> str:
        """The README's one example in a language."""
        (found,) = re.findall(rf"```{language}\n(.*?)```", self.readme, re.DOTALL)
        return self.on_other_ports(found)

    def run_example(self, *command: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=HUNG_SECONDS, check=False,
            env={"PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def notified(self, message_id: str) -> str:
        """The line that the demonstration prints for a message."""
        pattern = re.compile(rf"^.*\{{.*{message_id}.*\}}.*$", re.MULTILINE)
        self.until(NOTIFICATION_SECONDS, lambda: pattern.search(self.log.read_text()))
        return pattern.search(self.log.read_text())[0]  # type: ignore[index]

    def test_the_examples_send_messages_whose_notifications_come_home(self) -> None:
        answer = self.run_example("sh", "-c", self.example("sh"))
        over_http = re.search(r'"id": ?"([0-9a-f-]{36})"', answer)
        assert over_http is not None, answer
        self.assertIn('"send_status":"delivered","status":"DELIVRD","error":"000"', self.notified(over_http[1]))

        printed = self.run_example(sys.executable, "-c", self.example("python"))
        over_smpp = re.search(r"accepted as ([0-9a-f-]{36})\nreceipt: id:([0-9a-f-]{36}) .*stat:DELIVRD", printed)
        assert over_smpp is not None, printed
        self.assertEqual(over_smpp[1], over_smpp[2])
        self.assertIn('"status":"DELIVRD"', self.notified(over_smpp[1]))

        self.relay.send_signal(signal.SIGTERM)
        self.assertIn(self.relay.wait(HUNG_SECONDS), (0, -signal.SIGTERM))

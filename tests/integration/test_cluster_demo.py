"""`make cluster`: its commands do what it says."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.harness import ROOT, IntegrationTestCase, until
from tests.ports import free_port
from tests.postgresql_servers import POSTGRESQL_MISSING


class ClusterDemoTests(IntegrationTestCase):
    skip = POSTGRESQL_MISSING

    async def test_the_commands_to_paste_send_a_message_and_kill_a_relay_and_the_other_one_takes_over(self) -> None:
        output = self.directory / "output"
        first = free_port()
        while [free_port() for _ in range(6)] != list(range(first + 1, first + 7)):
            first = free_port()
        with output.open("wb") as out:
            demo = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster_demo", "--ports", str(first)],
                cwd=ROOT,
                stdout=out,
                stderr=out,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            )

        def said(text: str) -> bool:
            assert demo.poll() is None, output.read_text()
            return text in output.read_text()

        try:
            await until("it says how to try it", lambda: said("Ctrl-C stops everything"), 60)
            await until("a relay works", lambda: said("relay_ready"), 60)
            await until("the other one stands by", lambda: said("cluster_stands_by"), 60)
            send, kill = re.findall(r"^  (for port in .*|kill -9 .*)$", output.read_text(), re.MULTILINE)
            if "a: info cluster_took_over" not in output.read_text():
                kill = kill.replace("/a.pid", "/b.pid")
            sent = subprocess.run(["bash", "-c", send], capture_output=True, text=True, timeout=60, check=True)
            self.assertIn('"id"', sent.stdout)
            subprocess.run(["bash", "-c", kill], timeout=60, check=True)
            await until("the other relay takes over", lambda: said("under epoch 2"), 60)
            # The receipt is lost with the simulated carrier that was killed; the next message has one.
            sent = subprocess.run(["bash", "-c", send], capture_output=True, text=True, timeout=60, check=False)
            await until("the other relay is ready", lambda: output.read_text().count("relay_ready") >= 2, 60)
            sent = subprocess.run(["bash", "-c", send], capture_output=True, text=True, timeout=60, check=True)
            await until("its notification is printed", lambda: said("notification: {"), 60)
            await until("the one that was killed stands by", lambda: said_last(output, "cluster_stands_by"), 60)
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.wait(120)


def said_last(output: Path, event: str) -> bool:
    """Whether both relays have said an event."""
    return len({line[0] for line in output.read_text().splitlines() if event in line}) == 2

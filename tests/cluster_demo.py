"""`make cluster`: two relays with one state, and their database, on this machine.

    python -m tests.cluster_demo [--ports 8080]

It prints a command that sends a message, and one that kills the relay that works. A relay that was killed is started
again after some seconds, and then stands by. Everything is on loopback and in a temporary directory, and ends with
Ctrl-C.
"""

import argparse
import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.postgresql_servers import POSTGRESQL_MISSING, PostgresqlPair

ROOT = Path(__file__).resolve().parents[1]
#: How long a relay that was killed stays away.
AWAY_SECONDS = 6.0

#: One file for both relays. What differs comes from the environment.
CONFIGURATION = """\
data_dir: {directory}/${{NODE}}
http: {{listen: ["tcp:${{HTTP_PORT}}:interface=127.0.0.1"]}}
smpp: {{listen: ["tcp:${{SMPP_PORT}}:interface=127.0.0.1"]}}
admin: {{listen: ["tcp:${{ADMIN_PORT}}:interface=127.0.0.1"]}}
cluster: {{database: "{database}", node: "${{NODE}}", lease_seconds: 3}}
accounts:
  demo:
    api_key: demo-key
    smpp: {{system_id: demo, password: demo}}
    notification_url: "http://127.0.0.1:{receiver}/notifications"
    allow_private_urls: true
carriers:
  sim: {{kind: simulator, simulator: {{receipt_delay_seconds: 3}}}}
routes:
  - {{carriers: [sim]}}
"""


class Receiver(http.server.BaseHTTPRequestHandler):
    """The customer's web server: prints the notifications."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(f"notification: {body.decode()}", flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Logs nothing."""


class DemoNode:
    """One relay, which is started again when it has ended."""

    def __init__(self, name: str, directory: Path, ports: Sequence[int]) -> None:
        self.name = name
        self.http_port, self.smpp_port, self.admin_port = ports
        self.pid_file = directory / f"{name}.pid"
        self._log_file = directory / f"{name}.log"
        self._config = directory / "relay.yaml"
        self._read = 0
        self._ended_at: float | None = None
        self.start()

    def start(self) -> None:
        """Starts its process."""
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "relay",
                 "--config", str(self._config)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ
                | {"NODE": self.name, "HTTP_PORT": str(self.http_port), "SMPP_PORT": str(self.smpp_port),
                   "ADMIN_PORT": str(self.admin_port), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        self.pid_file.write_text(f"{self._process.pid}\n")

    def look(self) -> None:
        """Prints what has happened to it, and starts it again when it was away for long enough."""
        text = self._log_file.read_text(errors="replace")
        for line in text[self._read :].splitlines():
            if any(event in line for event in (" cluster_", "relay_ready", " error ", " critical ")):
                print(f"{self.name}: {line.partition(' ')[2]}", flush=True)
        self._read = len(text)
        if self._process.poll() is None:
            self._ended_at = None
        elif self._ended_at is None:
            self._ended_at = time.monotonic()
            print(f"{self.name}: has ended; it is started again in {AWAY_SECONDS:g} seconds", flush=True)
        elif time.monotonic() - self._ended_at > AWAY_SECONDS:
            self._ended_at = None
            self.start()

    def end(self) -> None:
        """Stops its process."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def demo_cluster(ports: int) -> Iterator[list[DemoNode]]:
    """Two relays, their database, and a customer's web server on the port before the relays' ports."""
    with contextlib.ExitStack() as stack:
        print("starting PostgreSQL with a synchronous standby ...", flush=True)
        servers = PostgresqlPair()
        stack.callback(servers.close)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-cluster-")))
        receiver = http.server.ThreadingHTTPServer(("127.0.0.1", ports), Receiver)
        stack.callback(receiver.shutdown)
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        file = directory / "relay.yaml"
        file.write_text(CONFIGURATION.format(directory=directory, database=servers.url(), receiver=ports))
        environment = {"NODE": "a", "HTTP_PORT": "1", "SMPP_PORT": "2", "ADMIN_PORT": "3"}
        subprocess.run(
            [sys.executable, "-m", "relay", "cluster", "init", "--config", str(file)],
            cwd=ROOT,
            env=os.environ | environment,
            check=True,
        )
        nodes = []
        for place, name in enumerate("ab"):
            nodes.append(DemoNode(name, directory, [ports + 1 + 3 * place + offset for offset in range(3)]))
            stack.callback(nodes[-1].end)
        yield nodes


def how_to_try(nodes: Sequence[DemoNode]) -> str:
    """Commands to paste, and the pages to look at."""
    ports = " ".join(str(node.http_port) for node in nodes)
    pids = " ".join(str(node.pid_file) for node in nodes)
    pages = "  ".join(f"http://127.0.0.1:{node.admin_port}/ ({node.name})" for node in nodes)
    message = json.dumps({"to": "447700900123", "from": "RELAY", "text": "Hello"})
    return (
        "\nOne relay works, the other one stands by. Paste this into another terminal to send a message to the one "
        f"that works:\n\n  for port in {ports}; do "
        f"curl -sS -u demo:demo-key http://127.0.0.1:$port/messages -d '{message}' "
        "-H 'Content-Type: application/json' 2>/dev/null && break; done\n"
        f"\nThis kills relay {nodes[0].name}, also within the three seconds in which the message waits for its receipt:"
        f"\n\n  kill -9 $(cat {pids.split()[0]})\n"
        f"\nThese pages show what happened: {pages}\nCtrl-C stops everything.\n"
    )


def main() -> None:
    """Runs the demonstration until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Two relays with one state, and their database, on this machine.")
    parser.add_argument("--ports", type=int, default=8080, help="the first of seven free ports (default 8080)")
    options = parser.parse_args()
    if POSTGRESQL_MISSING:
        sys.exit(POSTGRESQL_MISSING)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt), demo_cluster(options.ports) as nodes:
        print(how_to_try(nodes), flush=True)
        while True:
            for node in nodes:
                node.look()
            time.sleep(0.2)


if __name__ == "__main__":
    main()

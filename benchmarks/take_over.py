"""How long nobody answers when the relay of a cluster that works is killed, with a million messages waiting."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from twisted.internet.task import Clock

from benchmarks.bench import Bench
from benchmarks.chain import Row
from benchmarks.processes import ROOT, Child, MeasurementFailed, free_ports, stopping
from relay.accounts.accounts import Accounts
from relay.config import account_config, daemon_config
from relay.store.journal.files import OsFiles
from relay.store.journal.journal_store import JournalStore
from relay.values.carrier_reports import Submitted
from relay.values.ids import new_ids
from relay.values.messages import Message
from tests.postgresql_servers import POSTGRESQL_MISSING, PostgresqlPair
from tests.stores import at_once, wait_for

#: The longest time without an answer, beyond the lease.
MOST_SECONDS = 2.0
_LEASE_SECONDS = 5.0
_BATCH = 1_000
_ADDRESSES = b"\x01\x01447700900001\0\x01\x01447700900000\0"
#: Neither a command nor a start takes longer, also on a machine that is busy.
_PATIENCE_SECONDS = 600.0


def take_over(bench: Bench) -> list[Row]:
    """A million messages wait; from SIGKILL of the relay that works to the first answer of the other one."""
    if POSTGRESQL_MISSING:
        raise MeasurementFailed(POSTGRESQL_MISSING)
    count = bench.count(1_000_000)
    pair = PostgresqlPair()
    try:
        with bench.place("take-over") as path:
            bench.say(f"a journal with {count:,} messages that wait for their receipts")
            make_journal(str(path / "a"), count)
            file = path / "relay.yaml"
            file.write_text(yaml.safe_dump(configuration(path, pair.url())))
            for action in ("init", "import"):
                command(path, action)
            return [measure(bench, path, count)]
    finally:
        pair.close()


def configuration(path: Path, database: str) -> dict[str, Any]:
    """The file of both relays. What differs comes from the environment."""
    listen = {name: {"listen": [f"tcp:${{{name.upper()}_PORT}}:interface=127.0.0.1"]} for name in ("http", "admin")}
    return {
        "data_dir": f"{path}/${{NODE}}",
        **listen,
        "smpp": {"listen": []},
        "cluster": {"database": database, "node": "${NODE}", "lease_seconds": _LEASE_SECONDS},
        "accounts": {"bench": {"api_key": "key"}},
        "carriers": {"up": {"kind": "simulator"}},
        "routes": [{"carriers": ["up"]}],
    }


def make_journal(directory: str, count: int) -> None:
    """Writes a journal with messages that a carrier has taken."""
    clock = Clock()
    clock.advance(time.time())
    accounts = Accounts({"bench": account_config.Account()})
    store = JournalStore(
        OsFiles(),
        directory,
        journal=daemon_config.Journal(sync="never"),
        limits=daemon_config.Limits(),
        policy=accounts.policy,
        clock=clock,
        in_thread=at_once,
    )
    wait_for(clock, store.start())
    now = clock.seconds()
    for first in range(0, count, _BATCH):
        ids = new_ids(min(_BATCH, count - first), os.urandom)
        wait_for(
            clock,
            store.accept([Message(i, "bench", now, now + 172_800.0, _ADDRESSES, (b"x" * 100,)) for i in ids]),
        )
        taken = [
            Submitted(message_id, 0, "up", b"%d" % number, at=now, receipt_due_at=now + 400_000.0)
            for number, message_id in enumerate(ids, first)
        ]
        wait_for(clock, store.submitted(taken))
    wait_for(clock, store.stop())


def _environment(path: Path, node: str, ports: list[int]) -> dict[str, str]:
    return {"NODE": node, "HTTP_PORT": str(ports[0]), "ADMIN_PORT": str(ports[1]), "PYTHONPATH": str(ROOT)}


def command(path: Path, action: str) -> None:
    """Runs `python -m relay cluster`, as node a."""
    done = subprocess.run(
        [sys.executable, "-m", "relay", "cluster", action, "--config", str(path / "relay.yaml")],
        env=os.environ | _environment(path, "a", [1, 2]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise MeasurementFailed(f"cluster {action}: {done.stdout}{done.stderr}")


def start(path: Path, node: str) -> tuple[Child, list[int]]:
    """Starts a relay."""
    ports = list(free_ports(2))
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]
    arguments = [*twistd, "relay", "--config", str(path / "relay.yaml")]
    log = path / f"{node}.log"
    return Child(node, arguments, log, quiet=True, environment=_environment(path, node, ports)), ports


def measure(bench: Bench, path: Path, count: int) -> Row:
    """Kills one relay, and asks the other one until it answers."""
    a, ports_of_a = start(path, "a")
    with stopping(a):
        wait(a, lambda: status(ports_of_a[1])["readiness"]["ready"], "is ready")
        b, ports_of_b = start(path, "b")
        with stopping(b):
            wait(b, lambda: has_followed(status(ports_of_b[1])), "has read the log")
            bench.say("killing the relay that works")
            cpu_seconds = b.cpu_seconds()
            a.signal(signal.SIGKILL)
            killed_at = time.monotonic()
            wait(b, lambda: accepts(ports_of_b[0]), "answers")
            seconds = time.monotonic() - killed_at
            cpu_seconds = b.cpu_seconds() - cpu_seconds
            megabytes = b.rss_bytes() / 1e6
    load = os.getloadavg()[0]
    remark = (
        f"{seconds:.1f} s from SIGKILL to the first answer, with a lease of {_LEASE_SECONDS:g} s (at most "
        f"{_LEASE_SECONDS + MOST_SECONDS:g} s); it took {cpu_seconds:.1f} s of a processor; {megabytes:.0f} MB; "
        f"load {load:.0f}"
    )
    bench.say(remark)
    name = f"take-over, {count:,} messages waiting"
    return Row(name, count, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, megabytes, 0, 0, 0.0, 0.0, remark, {"seconds": seconds})


def status(port: int) -> Any:
    """What the admin listener says of a relay."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
        return json.load(answer)


def has_followed(look: Any) -> bool:
    """Whether the relay that stands by has read all rows."""
    cluster = look["cluster"]["look"]
    return cluster is not None and cluster["rows"] > 0 and all(node["behind"] == 0 for node in cluster["nodes"])


def accepts(port: int) -> bool:
    """Whether the relay accepts a message."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/messages",
        json.dumps({"to": "447700900123", "from": "A", "text": "x"}).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer key"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return bool(answer.status == 202)


def wait(child: Child, condition: Callable[[], bool], what: str) -> None:
    """Waits until a relay answers as it should."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            if condition():
                return
        except (OSError, urllib.error.URLError, ValueError):
            pass
        if not child.running or time.monotonic() > deadline:
            raise MeasurementFailed(f"{child.name} never {what}: {child.last_words()}")
        time.sleep(0.02)

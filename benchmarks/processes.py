"""Starts the processes of a measurement, ends them by id, and reads their CPU time and memory from /proc."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class MeasurementFailed(Exception):
    """A process of the measurement didn't do what it must; says which, and where its log is."""


class Child:
    """One process with its log.

    :param log: receives standard error, and standard output of a `quiet` child (one that prints no result).
    :param environment: added to ours.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        quiet: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._begun_at = time.monotonic()
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stderr if quiet else subprocess.PIPE,
                stderr=stderr,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environment or {})},
            )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND

    def rss_bytes(self, peak: bool = False) -> int:
        """Resident memory now, or the most that it ever was."""
        key = "VmHWM:" if peak else "VmRSS:"
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key):
                return 1024 * int(line.split()[1])
        return 0

    def signal(self, number: int) -> None:
        if self.running:
            self._process.send_signal(number)

    def result(self, timeout_seconds: float) -> dict[str, Any]:
        """Waits for the end and gives the JSON line that it printed.

        :raises MeasurementFailed: no such line, or not in time.
        """
        try:
            out, _ = self._process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise MeasurementFailed(f"{self.name} did not end within {timeout_seconds:.0f} s; see {self.log}") from None
        lines = out.decode().strip().splitlines() if out else []
        if not lines:
            raise MeasurementFailed(f"{self.name} ended with status {self._process.returncode}: {self.last_words()}")
        result: dict[str, Any] = json.loads(lines[-1])
        return result

    def last_words(self) -> str:
        """The end of its log."""
        return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-4:]) or f"nothing in {self.log}"

    def stop(self, timeout_seconds: float = 20.0) -> None:
        """SIGTERM, and SIGKILL when that doesn't help; a second call does nothing."""
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._process.stdout:
            self._process.stdout.close()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()


class Children:
    """Several processes that are measured as one."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children

    @property
    def running(self) -> bool:
        return all(child.running for child in self._children)

    def cpu_seconds(self) -> float:
        return sum(child.cpu_seconds() for child in self._children)

    def rss_bytes(self, peak: bool = False) -> int:
        return sum(child.rss_bytes(peak) for child in self._children)


def start_module(
    module: str, log_directory: Path, arguments: Mapping[str, object], *flags: str, under: Sequence[str] = ()
) -> Child:
    """`python -m benchmarks.MODULE` with `--name value` for each argument.

    :param under: a program, with its options, that runs it.
    """
    command = [*under, sys.executable, "-m", f"benchmarks.{module}", *flags]
    for name, value in arguments.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return Child(module, command, log_directory / f"{module}.log", quiet=module == "floor")


@contextlib.contextmanager
def stopping(child: Child) -> Iterator[Child]:
    """Ends the child whatever happens."""
    try:
        yield child
    finally:
        child.stop()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listened on a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def wait_until(condition: Callable[[], bool], what: str, child: Child, timeout_seconds: float) -> float:
    """Waits for a condition, as long as the child runs; gives the seconds that it took.

    :raises MeasurementFailed: the child ended, or the time is over.
    """
    begun_at = time.monotonic()
    while not condition():
        if not child.running:
            raise MeasurementFailed(f"{child.name} ended while waiting for {what}: {child.last_words()}")
        if time.monotonic() - begun_at > timeout_seconds:
            raise MeasurementFailed(f"no {what} within {timeout_seconds:.0f} s; {child.name}: {child.last_words()}")
        time.sleep(0.02)
    return time.monotonic() - begun_at


def listening(port: int) -> bool:
    """Whether something takes connections on a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

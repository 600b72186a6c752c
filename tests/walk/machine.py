"""An empty Debian machine: a root directory of debootstrap, with systemd as its first process, in a container.

systemd-nspawn runs the container. It has the host's network while packages are installed. After the boot it has only
its own loopback, so that its ports are its own. pip gets wheels from a directory, because a container may have no
connection to a package index.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

RELEASE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"
_WHEELS = "/mnt/wheels"
_START_SECONDS = 60.0


class Failed(Exception):
    """A step of the walk did not come to what it should; the text says what was seen."""


def missing() -> str:
    """Why there can be no such machine here; empty where there can."""
    if os.geteuid() != 0:
        return "not root"
    for program, package in (("debootstrap", "debootstrap"), ("systemd-nspawn", "systemd-container")):
        if shutil.which(program) is None:
            return f"no {program}: apt-get install {package}"
    return ""


class Machine:
    """Makes the machine, runs commands in it, and takes it down.

    :param directory: where its root is made.
    :param wheels: holds the wheels that pip may install.
    """

    def __init__(self, directory: Path, wheels: Path) -> None:
        self.root = directory / "root"
        self._wheels = wheels
        self._log = directory / "console"
        self._container: subprocess.Popen[bytes] | None = None
        self._first_process = 0

    def make(self, base: Path | None = None) -> None:
        """Makes the root. Takes most of a minute.

        :param base: a root that debootstrap made before, to be copied.
        """
        if base is not None:
            _run(["cp", "-a", str(base), str(self.root)])
            return
        _run(
            ["debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,ca-certificates",
             RELEASE, str(self.root), os.environ.get("WALK_MIRROR", _MIRROR)]
        )  # fmt: skip

    def install(self, command: str, directory: str = "/root") -> str:
        """Runs a shell command before the machine has booted, with the host's network; gives what it printed."""
        return _run(
            ["systemd-nspawn", "--quiet", "-D", str(self.root), "--register=no", "--keep-unit", "--pipe",
             f"--chdir={directory}", f"--bind-ro={self._wheels}:{_WHEELS}", "--resolv-conf=copy-host",
             "--setenv=PIP_NO_INDEX=1", f"--setenv=PIP_FIND_LINKS={_WHEELS}", "--setenv=DEBIAN_FRONTEND=noninteractive",
             "/bin/bash", "-e", "-o", "pipefail", "-c", command]
        )  # fmt: skip

    def boot(self) -> None:
        """Starts systemd in it."""
        with self._log.open("wb") as console:
            self._container = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "-D", str(self.root), "--register=no", "--keep-unit", "--private-network",
                 "--boot", f"--bind-ro={self._wheels}:{_WHEELS}"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        self.until("systemd answers", self._is_up, _START_SECONDS)

    @property
    def booted(self) -> bool:
        """Whether commands can be run in it."""
        return self._first_process > 0

    def _is_up(self) -> bool:
        assert self._container is not None
        if self._container.poll() is not None:
            raise Failed(f"the container ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        children = Path(f"/proc/{self._container.pid}/task/{self._container.pid}/children").read_text().split()
        if not children:
            return False
        self._first_process = int(children[0])
        # "degraded" where a unit of Debian's own can't work in a container.
        return self.try_run("systemctl is-system-running")[1].strip() in ("running", "degraded")

    def try_run(self, command: str, directory: str = "/root", seconds: float = 120.0) -> tuple[int, str]:
        """Runs a shell command in the booted machine: its exit status, and what it printed."""
        done = subprocess.run(
            ["nsenter", "--all", "-t", str(self._first_process), "/usr/bin/env", "-i", "HOME=/root", "TERM=dumb",
             "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PIP_NO_INDEX=1",
             f"PIP_FIND_LINKS={_WHEELS}", "/bin/bash", "-o", "pipefail", "-c", f"cd {directory} && {command}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(errors="replace")

    def run(self, command: str, directory: str = "/root") -> str:
        """As `try_run`, for a command that must succeed.

        :raises Failed: it didn't.
        """
        status, said = self.try_run(command, directory)
        if status:
            raise Failed(f"{command}\nexit status {status}:\n{said}")
        return said

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Puts a file into the machine."""
        file = self.root / path.lstrip("/")
        file.write_text(text)
        file.chmod(mode)

    def until(self, what: str, holds: Callable[[], object], seconds: float = 30.0) -> None:
        """Waits until something holds.

        :raises Failed: it doesn't within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise Failed(f"not within {seconds:g} s: {what}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Ends the machine. Harmless for one that never booted."""
        if self._container is not None:
            if self.booted:
                self.try_run("systemctl poweroff --force --force")
            else:
                self._container.terminate()
            try:
                self._container.wait(20)
            except subprocess.TimeoutExpired:
                self._container.kill()
                self._container.wait()
            self._container = None


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"{' '.join(command)}\nexit status {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout

"""A small systemctl for one unit, without systemd. It does as much as docs/operations.md needs.

Usage: small_systemctl.py ROOT COMMAND... Units are read below ROOT, and so are the paths in them. A start
waits for READY=1 on the notify socket, a stop for the process's end.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

_READY_SECONDS = 30.0


class SmallSystem:
    """Starts, stops and shows one unit, as systemd would."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pid_file = root / "relay.pid"

    def lines(self, key: str) -> list[str]:
        """The values of a key of the unit, with its paths below the root."""
        unit = (self._root / "etc/systemd/system/relay.service").read_text()
        values = re.findall(rf"^{key}=(.*)$", unit, re.M)
        return [re.sub(r"(?<![\w.])/(opt|etc|var)/", rf"{self._root}/\1/", value) for value in values]

    def start(self) -> None:
        """Returns when the relay is ready."""
        (command,) = self.lines("ExecStart")
        notify = str(self._root / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(notify)
            told.settimeout(_READY_SECONDS)
            try:
                with (self._root / "journal.log").open("ab") as log:
                    process = subprocess.Popen(
                        command.split(), env={**os.environ, "NOTIFY_SOCKET": notify}, stdout=log, stderr=log,
                        stdin=subprocess.DEVNULL, start_new_session=True,
                    )  # fmt: skip
                self._pid_file.write_text(str(process.pid))
                while "READY=1" not in told.recv(4096).decode():
                    pass
            finally:
                os.remove(notify)

    def stop(self) -> None:
        """Harmless when nothing runs."""
        if self._pid_file.exists():
            pid = int(self._pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
                time.sleep(0.05)
            self._pid_file.unlink()

    def reload(self) -> None:
        """What ExecReload says, one after the other."""
        for line in self.lines("ExecReload"):
            subprocess.run(["sh", "-c", line.replace("$MAINPID", self._pid_file.read_text())], check=True)


def main(arguments: list[str]) -> None:
    """Does what systemctl is asked to."""
    root, *words = arguments
    system = SmallSystem(Path(root))
    match words:
        case ["daemon-reload"]:
            assert system.lines("ExecStart")
        case ["enable", "--now", "relay"]:
            system.start()
        case ["reload", "relay"]:
            system.reload()
        case ["restart", "relay"]:
            system.stop()
            system.start()
        case ["stop", "relay"]:
            system.stop()
        case ["status", "relay"]:
            print("active" if system._pid_file.exists() else "inactive")
        case _:
            sys.exit(f"this systemctl doesn't know {words}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Builds the wheel, installs it into a new virtual environment, and runs the relay from another directory.

What an editable install hides comes out here: a package that setup.cfg doesn't list, a file that isn't packed, a
plugin that twistd doesn't find. Run it with the Python of an environment that has pip.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 30
STOP_SECONDS = 20


def run(*command: str | Path, cwd: Path) -> str:
    """Runs a command and gives what it printed; ends this script where it fails."""
    parts = [str(part) for part in command]
    done = subprocess.run(parts, cwd=cwd, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def environment() -> dict[str, str]:
    """This process's environment without what would let the checkout be imported."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def copy_checkout(source: Path) -> None:
    """What git knows or would add. Setuptools leaves build/ behind in the tree it builds, and packs it next time."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())


def check_contents(wheel: Path, source: Path) -> None:
    """Fails when the wheel lacks a file of the package, or holds what isn't ours."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = [path for part in ("relay", "twisted") for path in (source / part).rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(source)) for path in files}
    if packed != wanted:
        sys.exit(f"the wheel lacks {sorted(wanted - packed)} and has {sorted(packed - wanted)} too many: see setup.cfg")


def demo_on_free_ports(directory: Path) -> tuple[Path, list[int]]:
    """The demonstration's configuration, with ports that nobody uses."""
    text = (ROOT / "etc" / "demo.yaml").read_text()
    ports = {}
    for port in sorted(set(re.findall(r"tcp:(\d+):", text))):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports[port] = probe.getsockname()[1]
    for old, new in ports.items():
        text = re.sub(rf"\b{old}\b", str(new), text)
    file = directory / "demo.yaml"
    file.write_text(text)
    return file, list(ports.values())


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start_and_stop(twistd: Path, directory: Path) -> None:
    """Fails unless the relay listens everywhere, and ends with status 0 when it is asked to."""
    config, ports = demo_on_free_ports(directory)
    log = directory / "log"
    with log.open("w") as output:
        relay = subprocess.Popen(
            [twistd, "-n", "--pidfile=", "relay", "--config", config],
            cwd=directory, stdout=output, stderr=output, env=environment(),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while not all(listens(port) for port in ports):
            if relay.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the installed relay doesn't start:\n{log.read_text()}")
            time.sleep(0.1)
        relay.send_signal(signal.SIGTERM)
        status = relay.wait(STOP_SECONDS)
    finally:
        relay.kill()
    # Twisted ends itself by the signal that it got, once everything has been shut down.
    if status not in (0, -signal.SIGTERM):
        sys.exit(f"the installed relay ended with {status}:\n{log.read_text()}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="relay-wheel-") as name:
        directory = Path(name)
        source = directory / "source"
        copy_checkout(source)
        pip_wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", directory]
        run(*pip_wheel, source, cwd=directory)
        (wheel,) = directory.glob("*.whl")
        check_contents(wheel, source)
        home = directory / "venv"
        venv.create(home, with_pip=True)
        pip_install = [home / "bin" / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
        run(*pip_install, wheel, cwd=directory)
        elsewhere = directory / "elsewhere"
        elsewhere.mkdir()
        shown = run(home / "bin" / "twistd", "relay", "--help", cwd=elsewhere)
        if "--config" not in shown:
            sys.exit(f"`twistd relay --help` doesn't know --config:\n{shown}")
        run(home / "bin" / "python", "-m", "relay", "check", ROOT / "etc" / "demo.yaml", cwd=elsewhere)
        run(home / "bin" / "relay", "check", ROOT / "etc" / "demo.yaml", cwd=elsewhere)
        start_and_stop(home / "bin" / "twistd", elsewhere)
        print(f"{wheel.name}: builds, installs, starts and stops")


if __name__ == "__main__":
    main()

"""Builds the Debian package from a wheel: `make deb`, or `python -m release.build_deb`.

The package holds the relay and all its libraries in /usr/lib/sms-receipt-relay/packages, apart from Debian's own Python
packages; docs/decisions/0016-deb-without-a-virtual-environment.md says why. It fits the Python version that builds it,
so build it on the Debian version on which it will run. It needs dpkg-deb, and no root.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PARTS: Final = ROOT / "release" / "deb"
HOME: Final = "/usr/lib/sms-receipt-relay"
DOCUMENTS: Final = "/usr/share/doc/sms-receipt-relay"
#: The extras of setup.cfg that every package of ours has. An operator can't add a library to the Debian package, whose
#: programs import only what is in it, nor to an image whose root is read-only.
EXTRAS: Final = "cluster,opentelemetry"
CONFIGURATION: Final = "/etc/relay/relay.yaml"
#: -I and -S: only Python's own library and the packages of this directory are imported, whatever the machine has.
_PROGRAM: Final = """#!/usr/bin/python3 -IS
import sys

sys.path.insert(0, "{home}/packages")
from {module} import {function}

sys.exit({function}())
"""
PROGRAMS: Final = {
    "/usr/bin/relay": ("relay.cli.main", "main"),
    f"{HOME}/twistd": ("twisted.scripts.twistd", "run"),
}


def build(wheel: Path, output: Path, version: str) -> Path:
    """Builds the package, and returns its file.

    :param wheel: the relay's wheel.
    :param output: the directory for the package.
    :param version: the package's version; dpkg compares it at an upgrade.
    :raises subprocess.CalledProcessError: a program failed; it has said why.
    """
    with tempfile.TemporaryDirectory(prefix="relay-deb-") as name:
        root = Path(name) / "root"
        install_packages(wheel, root)
        write_programs(root)
        write_files(root)
        architecture = subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()
        write_control(root, version, architecture)
        output.mkdir(parents=True, exist_ok=True)
        package = output / f"sms-receipt-relay_{version}_{architecture}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, package], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    return package


def install_packages(wheel: Path, root: Path) -> None:
    """Puts the relay and its libraries into the package, in the versions of constraints.txt, with those of EXTRAS."""
    packages = root / HOME.lstrip("/") / "packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--constraint", ROOT / "constraints.txt",
         "--target", packages, f"{wheel}[{EXTRAS}]"],
        check=True,
    )  # fmt: skip
    # The programs that pip wrote name the Python of this environment.
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for unused in ("__pycache__", "test", "tests"):
        for directory in [path for path in packages.rglob(unused) if path.is_dir()]:
            shutil.rmtree(directory, ignore_errors=True)


def write_programs(root: Path) -> None:
    """Writes the commands that the package installs."""
    for path, (module, function) in PROGRAMS.items():
        put(root, path, _PROGRAM.format(home=HOME, module=module, function=function), 0o755)


def write_files(root: Path) -> None:
    """Writes the configuration, the systemd unit and the documents."""
    put(root, CONFIGURATION, (PARTS / "relay.yaml").read_text(encoding="utf-8"), 0o640)
    unit = (ROOT / "etc" / "relay.service").read_text(encoding="utf-8")
    unit = unit.replace("/opt/relay/bin/twistd", f"{HOME}/twistd")
    unit = unit.replace("/opt/relay/bin/python -m relay", "/usr/bin/relay")
    put(root, "/usr/lib/systemd/system/relay.service", unit)
    for source in ("etc/relay.yaml", "etc/alerts.yaml", "etc/grafana-dashboard.json", "NEWS.md"):
        put(root, f"{DOCUMENTS}/{Path(source).name}", (ROOT / source).read_text(encoding="utf-8"))
    put(root, f"{DOCUMENTS}/copyright", (ROOT / "LICENSE").read_text(encoding="utf-8"))


def write_control(root: Path, version: str, architecture: str) -> None:
    """Writes what dpkg reads: the description, the scripts, and the sums of all files."""
    major, minor = sys.version_info[:2]
    files = sorted(path for path in root.rglob("*") if path.is_file())
    values = {
        "VERSION": version,
        "ARCHITECTURE": architecture,
        "INSTALLED_SIZE": str(sum(file.stat().st_size for file in files) // 1024 + 1),
        "NEXT_PYTHON": f"{major}.{minor + 1}",
        "PYTHON": f"{major}.{minor}",
    }
    control = (PARTS / "control.in").read_text(encoding="utf-8")
    for key, value in values.items():
        control = control.replace(f"@{key}@", value)
    put(root, "/DEBIAN/control", control)
    put(root, "/DEBIAN/conffiles", f"{CONFIGURATION}\n")
    sums = [f"{hashlib.md5(file.read_bytes()).hexdigest()}  {file.relative_to(root)}\n" for file in files]
    put(root, "/DEBIAN/md5sums", "".join(sums))
    for script in ("postinst", "prerm", "postrm"):
        put(root, f"/DEBIAN/{script}", (PARTS / script).read_text(encoding="utf-8"), 0o755)
    for path in root.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
        elif path.relative_to(root).parts[0] == "usr" and not os.access(path, os.X_OK):
            path.chmod(0o644)


def put(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Writes one file of the package."""
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m release.build_deb", description="Builds the Debian package.")
    parser.add_argument("wheel", type=Path, help="the relay's wheel, which `make wheel` builds")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIRECTORY", help="default: dist")
    parser.add_argument("--version", help="the package's version; default: that of the wheel")
    options = parser.parse_args()
    if shutil.which("dpkg-deb") is None:
        parser.error("there is no dpkg-deb here: build the package on Debian")
    version: str = options.version or options.wheel.name.split("-")[1]
    print(build(options.wheel, options.output, version))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Builds what a release publishes: `make release`, or `python -m release.build_release`.

It writes into dist/: the wheel, the source archive, the Debian package (on Debian), a list of everything that an
installation contains (an SBOM, CycloneDX 1.6 as JSON), and SHA256SUMS of them all.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

from release.build_deb import EXTRAS, ROOT, build

SUMS: Final = "SHA256SUMS"
#: The files that a release consists of.
OWN_FILES: Final = (
    "sms_receipt_relay-*.whl", "sms_receipt_relay-*.tar.gz", "sms_receipt_relay-*.cdx.json", "sms-receipt-relay_*.deb",
    SUMS,
)  # fmt: skip


def build_release(output: Path) -> list[Path]:
    """Builds everything, puts it into a directory, and returns the files.

    Files of an earlier release are removed from the directory, and nothing else.

    :raises subprocess.CalledProcessError: a program failed; it has said why, and the directory is as it was.
    """
    with tempfile.TemporaryDirectory(prefix="relay-release-") as name:
        built = Path(name)
        run("-m", "build", "--outdir", built, ROOT)
        (wheel,) = built.glob("*.whl")
        version = wheel.name.split("-")[1]
        if shutil.which("dpkg-deb") is None:
            print("release: no dpkg-deb here, so there is no Debian package", file=sys.stderr)
        else:
            build(wheel, built, version)
        write_sbom(wheel, built / f"sms_receipt_relay-{version}.cdx.json")
        return publish(built, output)


def publish(built: Path, output: Path) -> list[Path]:
    """Moves the files of a release into a directory, instead of those of an earlier one. Adds their checksums."""
    output.mkdir(parents=True, exist_ok=True)
    for pattern in OWN_FILES:
        for old in output.glob(pattern):
            old.unlink()
    files = [Path(shutil.move(file, output / file.name)) for file in sorted(built.iterdir())]
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (output / SUMS).write_text("".join(sums), encoding="utf-8")
    return [*files, output / SUMS]


def write_sbom(wheel: Path, file: Path) -> None:
    """Lists what an installation contains that has the extras, too, by making one in an environment of its own."""
    with tempfile.TemporaryDirectory(prefix="relay-sbom-") as name:
        venv.create(name)
        python = Path(name) / "bin" / "python"
        run("-m", "pip", "--python", python, "install", "--quiet", "--no-compile",
            "--constraint", ROOT / "constraints.txt", f"{wheel}[{EXTRAS}]")  # fmt: skip
        run("-m", "cyclonedx_py", "environment", "--output-reproducible", "--output-format", "JSON",
            "--output-file", file, python)  # fmt: skip


def run(*arguments: str | Path) -> None:
    """Runs a module of this environment."""
    subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT, env=os.environ | {"PYTHONWARNINGS": "ignore"})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m release.build_release", description="Builds a release.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIRECTORY", help="default: dist")
    for file in build_release(parser.parse_args().output):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())

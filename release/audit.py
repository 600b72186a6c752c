"""Looks up known faults of the libraries in constraints.txt: `make audit`, or `python -m release.audit`.

It asks PyPI's index of known faults, through pip-audit. Where that index can't be reached, it says so and succeeds:
a machine without a network must be able to run all checks.
"""

import json
import subprocess
import sys
from typing import Any, Final

from release.build_deb import ROOT

_SECONDS: Final = 120.0


def summary(found: dict[str, Any]) -> tuple[list[str], int, int]:
    """What pip-audit's JSON says: a line for each fault, and how many libraries were looked up, and were not."""
    lines: list[str] = []
    skipped = 0
    for library in found["dependencies"]:
        skipped += "skip_reason" in library
        for fault in library.get("vulns", ()):
            fixed = ", ".join(fault["fix_versions"]) or "no version yet"
            lines.append(f"{library['name']} {library['version']}: {fault['id']}, fixed in {fixed}")
    return lines, len(found["dependencies"]) - skipped, skipped


def main() -> int:
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--format", "json",
               "--progress-spinner", "off", "--requirement", str(ROOT / "constraints.txt")]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        lines, looked_up, skipped = summary(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, ValueError):
        print("audit: skipped: the index of known faults can't be reached")
        return 0
    if not looked_up:
        print("audit: skipped: the index of known faults can't be reached")
        return 0
    print(
        "\n".join([*lines, f"audit: {looked_up} libraries looked up, {skipped} not found there, {len(lines)} faults"])
    )
    return 1 if len(lines) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())

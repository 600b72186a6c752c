"""Prints which tests trial skipped, and why, and then `N passed, M failed`, as the last line of .ci/run.

Usage: summary.py LOG STATUS FAILED_STEPS: trial's output, make's exit status, and how many other steps failed.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

#: What trial prints at its end, whole: a test may print a line that looks like the verdict alone.
_END = re.compile(r"^Ran \d+ tests? in [^\n]*\n\n(?:PASSED|FAILED)(?: \((?P<counts>[^)]*)\))?\s*$", re.MULTILINE)

#: What trial prints of tests that were skipped for one reason: the reason, an empty line, and their names.
_SKIPPED = re.compile(
    r"^={79}\n\[SKIPPED\]\n(?P<reason>.*?)\n\n(?P<tests>(?:\w+(?:\.\w+)+\n)+)", re.MULTILINE | re.DOTALL
)


def count(output: str) -> tuple[int, int]:
    """How many tests passed and failed, by the verdicts of all of trial's runs in the output; (0, 0) without any."""
    counts = dict.fromkeys(("successes", "expectedFailures", "failures", "errors", "unexpectedSuccesses"), 0)
    for end in _END.finditer(output):
        for item in (end["counts"] or "").split(", "):
            name, separator, number = item.partition("=")
            if separator and name in counts:
                counts[name] += int(number)
    passed = counts["successes"] + counts["expectedFailures"]
    failed = counts["failures"] + counts["errors"] + counts["unexpectedSuccesses"]
    return passed, failed


def skipped(output: str) -> dict[str, list[str]]:
    """The tests that were skipped in any of trial's runs in the output, by reason."""
    found: dict[str, list[str]] = {}
    for block in _SKIPPED.finditer(output):
        tests = found.setdefault(" ".join(block["reason"].split()), [])
        tests += [test for test in block["tests"].split() if test not in tests]
    return found


def main(arguments: Sequence[str]) -> int:
    """Prints both; the exit status is 0 only when something passed and nothing failed."""
    log, status, failed_steps = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    output = log.read_text(errors="replace")
    for reason, tests in skipped(output).items():
        print(f"skipped, {reason}:", *tests, sep="\n    ")
    passed, failed = count(output)
    if failed == 0 and (status != 0 or passed == 0):
        print("tests did not end, or coverage fell" if status else "no test ran", file=sys.stderr)
        failed = 1
    failed += failed_steps
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Prints `N passed, M failed` from what trial printed, as the last line of .ci/run.

Usage: summary.py LOG STATUS FAILED_STEPS: trial's output, make's exit status, and how many other steps failed.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

#: What trial prints at its end, whole: a test may print a line that looks like the verdict alone.
_END = re.compile(r"^Ran \d+ tests? in [^\n]*\n\n(?:PASSED|FAILED)(?: \((?P<counts>[^)]*)\))?\s*$", re.MULTILINE)


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


def main(arguments: Sequence[str]) -> int:
    """Prints the line; the exit status is 0 only when something passed and nothing failed."""
    log, status, failed_steps = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    passed, failed = count(log.read_text(errors="replace"))
    if failed == 0 and (status != 0 or passed == 0):
        print("tests did not end, or coverage fell" if status else "no test ran", file=sys.stderr)
        failed = 1
    failed += failed_steps
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

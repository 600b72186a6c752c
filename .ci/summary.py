"""Prints which tests trial skipped, and why, what failed, and then `N passed, M failed`, as the last line of .ci/run.

Usage: summary.py DIRECTORY: DIRECTORY/passed and DIRECTORY/failed hold the output of each step in a file of its name.
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

#: What trial prints of tests that failed for one reason: the report, an empty line, and their names.
_FAILED = re.compile(
    r"^={79}\n\[(?:FAIL|ERROR|SUCCESS!\?!)\]\n(?P<report>.*?)\n\n(?P<tests>(?:\w+(?:\.\w+)+\n)+)",
    re.MULTILINE | re.DOTALL,
)

#: The lines that are shown again of each failure: where many lines were printed, people read the last ones only.
_LINES = 30


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


def failed(output: str) -> list[tuple[str, str]]:
    """The failures of any of trial's runs in the output: the tests' names, and the last lines of the report."""
    return [(" ".join(block["tests"].split()), last_lines(block["report"])) for block in _FAILED.finditer(output)]


def last_lines(text: str) -> str:
    """Its last lines, as many as one reads."""
    return "\n".join(text.splitlines()[-_LINES:])


def main(arguments: Sequence[str]) -> int:
    """Prints all three; the exit status is 0 only when a test passed and nothing failed."""
    good, bad = (
        {path.name: path.read_text(errors="replace") for path in sorted((Path(arguments[0]) / folder).iterdir())}
        for folder in ("passed", "failed")
    )
    for reason, tests in skipped("".join(good.values()) + "".join(bad.values())).items():
        print(f"skipped, {reason}:", *tests, sep="\n    ")
    for step, output in bad.items():
        for names, report in failed(output):
            print(f"failed, {names}:", report, sep="\n")
        print(f"failed, the step {step}; its last lines:", last_lines(output), sep="\n")
    passed = sum(count(output)[0] for output in (*good.values(), *bad.values()))
    failures = sum(max(1, count(output)[1]) for output in bad.values())
    if not passed and not failures:
        print("failed: no test ran")
        failures = 1
    print(f"{passed} passed, {failures} failed", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m benchmarks.guard`: a short check that the SMPP path has not become much slower.

The relay and the floor handle the same messages in the same minute. The guard compares the ratio of their CPU times
with the recorded ratio, because this ratio changes little between machines, and between quiet and busy minutes. It
fails only above twice the recorded ratio. `--record` writes a new figure, after a change that is meant to cost more or
less.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks import rows
from benchmarks.bench import Bench
from benchmarks.processes import MeasurementFailed

RECORDED = Path(__file__).with_name("guard.json")


class Verdict(NamedTuple):
    """How the ratio stands to the recorded one."""

    ratio: float
    recorded_ratio: float
    passed: bool


def judge(ratio: float, recorded_ratio: float) -> Verdict:
    """Compares; the margin is a factor of two."""
    return Verdict(round(ratio, 2), recorded_ratio, ratio <= 2 * recorded_ratio)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--scale", type=float, default=0.2, help="1.0 = 200,000 messages through each")
    parser.add_argument("--record", action="store_true", help=f"write the ratio to {RECORDED.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-guard-") as directory:
        bench = Bench(Path(directory), options.scale, say=lambda text: None)
        try:
            # In turns, and the middle one of three ratios: a neighbour's burst of work must not look like ours.
            pairs = [(rows.floor(bench)[0], rows.smpp(bench)[0]) for _ in range(3)]
        except MeasurementFailed as failure:
            print(f"guard: not measured: {failure}", file=sys.stderr)
            return 1
    ratio, floor_us, relay_us = sorted(
        (relay.cpu_us / floor.cpu_us, floor.cpu_us, relay.cpu_us) for floor, relay in pairs
    )[1]
    lost = sum(row.lost for pair in pairs for row in pair)
    recorded = json.loads(RECORDED.read_text())["ratio"] if RECORDED.exists() else round(ratio, 2)
    verdict = judge(ratio, recorded)
    print(
        f"guard: relay {relay_us:.1f} us, floor {floor_us:.1f} us CPU a message: ratio {verdict.ratio:.2f}, "
        f"recorded {verdict.recorded_ratio:.2f}, fails past {2 * verdict.recorded_ratio:.2f}; {lost} lost"
    )
    if options.record:
        RECORDED.write_text(json.dumps({"ratio": verdict.ratio, "relay_us": relay_us, "floor_us": floor_us}) + "\n")
    return 0 if (verdict.passed or options.record) and not lost else 1


if __name__ == "__main__":
    sys.exit(main())

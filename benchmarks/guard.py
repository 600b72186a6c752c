"""`python -m benchmarks.guard`: a short check that nothing has become much slower.

The relay and the floor handle the same messages in the same minute. The guard compares the ratio of their CPU times
with the recorded ratio, because this ratio changes little between machines, and between quiet and busy minutes. It
fails only above twice the recorded ratio. `--record` writes a new figure, after a change that is meant to cost more or
less.

Messages with notification URLs of their own are compared with messages without, see `benchmarks.own_urls`.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks import own_urls, rows
from benchmarks.bench import Bench
from benchmarks.processes import MeasurementFailed

#: A message with a URL of its own that costs this many times one without is a fault. The faults that this watches for
#: cost 1.9 times and more; noise between two runs of the same code is up to 0.15.
OWN_URLS_FAULT_TIMES = 1.6

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
            smpp_passed = guard_smpp(bench, record=options.record)
            own_urls_passed = [guard_own_urls(bench, waiting=waiting) for waiting in (False, True)]
        except MeasurementFailed as failure:
            print(f"guard: not measured: {failure}", file=sys.stderr)
            return 1
    return 0 if smpp_passed and all(own_urls_passed) else 1


def guard_smpp(bench: Bench, *, record: bool) -> bool:
    """Measures the SMPP path against the floor, and says what came out. True: it has not become much slower."""
    # In turns, and the middle one of three ratios: a neighbour's burst of work must not look like ours.
    pairs = [(rows.floor(bench)[0], rows.smpp(bench)[0]) for _ in range(3)]
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
    if record:
        RECORDED.write_text(json.dumps({"ratio": verdict.ratio, "relay_us": relay_us, "floor_us": floor_us}) + "\n")
    return (verdict.passed or record) and not lost


def guard_own_urls(bench: Bench, *, waiting: bool) -> bool:
    """Measures messages with URLs of their own beside those without, and says what came out. True: they cost little
    more.

    Up to three pairs are measured, until one is within the aim; the best counts. A busy minute must not look like a
    fault.
    """
    ratio, lost, own_us, one_us = 0.0, 0, 0.0, 0.0
    for _ in range(3):
        one, own = (own_urls.measure(bench, own=own, waiting=waiting) for own in (False, True))
        lost += one.lost + own.lost
        if not ratio or own.cpu_us / one.cpu_us < ratio:
            ratio, own_us, one_us = own.cpu_us / one.cpu_us, own.cpu_us, one.cpu_us
        if ratio <= own_urls.AIM_TIMES:
            break
    print(
        f"guard: a URL a message {own_us:.0f} us, one URL {one_us:.0f} us CPU a message"
        f"{f', {one.messages:,} waiting' if waiting else ''}: ratio {ratio:.2f}, aim {own_urls.AIM_TIMES}, "
        f"fails past {OWN_URLS_FAULT_TIMES}; {lost} lost"
    )
    return ratio <= OWN_URLS_FAULT_TIMES and not lost


if __name__ == "__main__":
    sys.exit(main())

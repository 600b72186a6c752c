"""`python -m benchmarks.reactors`: measures the SMPP row and one POST per message on each reactor.

The reactors take turns, so that all of them run in the same minutes. uvloop is measured if it is installed (`pip
install uvloop`).
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import rows
from benchmarks.bench import Bench
from benchmarks.chain import Row
from benchmarks.gateways import REACTORS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reactors", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of messages")
    parser.add_argument("--repeat", type=int, default=3, help="turns; the medians are printed")
    options = parser.parse_args()
    names = [name for name in REACTORS if name and (name != "uvloop" or importlib.util.find_spec("uvloop"))]
    found: dict[tuple[str, str], list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-reactors-") as directory:
        for turn in range(options.repeat):
            for name in names:
                print(f"{name}, turn {turn + 1} of {options.repeat}", file=sys.stderr, flush=True)
                bench = Bench(Path(directory), options.scale, say=lambda text: None, reactor=name)
                for row_name in ("smpp", "http-single"):
                    found.setdefault((row_name, name), []).extend(rows.ROWS[row_name](bench))
    print("| what | reactor | CPU us/msg | msg/s | lost |\n|---|---|---|---|---|")
    for (row_name, name), measured in found.items():
        cpu_us = statistics.median(row.cpu_us for row in measured)
        rate = statistics.median(row.messages_per_second for row in measured)
        print(f"| {row_name} | {name} | {cpu_us:.1f} | {rate:,.0f} | {sum(row.lost for row in measured)} |")


if __name__ == "__main__":
    main()

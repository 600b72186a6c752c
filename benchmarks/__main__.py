"""`python -m benchmarks [ROW ...]`: measures, prints a table, and writes JSON beside it.

Everything runs on loopback, in processes that are started here and ended here. The rows:
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import rows
from benchmarks.bench import Bench
from benchmarks.chain import Row
from benchmarks.processes import MeasurementFailed
from benchmarks.table import machine, save, table


def main() -> int:
    """Runs the rows that the command line names, all of them by default."""
    described = "\n".join(f"  {name:12} {(function.__doc__ or '').strip()}" for name, function in rows.ROWS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(__doc__ or "") + "\n" + described,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: all, in this order")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies every row's number of messages")
    parser.add_argument("--repeat", type=int, default=1, help="how often each row is measured")
    parser.add_argument("--sync", default="always", choices=["always", "interval", "never"], help="journal.sync")
    parser.add_argument("--directory", type=Path, help="where journals are written; default: the temporary directory")
    parser.add_argument("--json", type=Path, default=Path("var/benchmarks.json"), help="where the figures are written")
    parser.add_argument("--keep", action="store_true", help="keep journals and logs")
    options = parser.parse_args()
    unknown = [name for name in options.rows if name not in rows.ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(rows.ROWS)}")
    directory = options.directory or Path(tempfile.gettempdir())
    directory.mkdir(parents=True, exist_ok=True)
    begun_at = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun_at:5.0f} s] {text}", file=sys.stderr, flush=True)

    bench = Bench(directory=directory, scale=options.scale, say=say, sync=options.sync, keep=options.keep)
    about = machine(directory)
    say(", ".join(f"{key} {value}" for key, value in about.items()))
    measured: list[Row] = []
    status = 0
    for name in options.rows or list(rows.ROWS):
        for _ in range(options.repeat):
            try:
                measured += rows.measured(bench, name)
            except MeasurementFailed as failure:
                say(f"{name}: {failure}")
                status = 1
            options.json.parent.mkdir(parents=True, exist_ok=True)
            save(options.json, measured, about)
    print(table(measured))
    return status


if __name__ == "__main__":
    sys.exit(main())

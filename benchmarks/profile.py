"""`python -m benchmarks.profile`: shows where the daemon's time goes on a row.

If py-spy is installed, it samples the daemon from outside, which costs the daemon nothing, and also gives a flame
graph (`--flame FILE.svg`). Otherwise, or with `--deterministic`, the daemon runs under cProfile, which counts calls
exactly but makes short functions look more expensive than they are. Prints the functions that took most.
"""

import argparse
import contextlib
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks import chain, rows
from benchmarks.bench import Bench
from benchmarks.processes import ROOT


def sampled(py_spy: str, scale: float, flame: Path | None, top: int, native: bool) -> None:
    """Samples the SMPP row with py-spy, and prints shares of the samples by function and by line."""
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as directory:
        path = Path(directory)
        bench = Bench(path, scale, say=lambda text: print(text, file=sys.stderr))
        total = bench.count(200_000)
        with bench.relay("profile", total) as (place, gateway, upstream):
            upstream.wait_for_binds(gateway)
            raw = path / "samples"
            command = [py_spy, "record", "--pid", str(gateway.child.pid), "--format", "raw", "--output", str(raw)]
            command += [
                "--rate",
                "500",
                "--duration",
                "600",
                "--nonblocking",
                "--gil",
                *(["--native"] if native else []),
            ]
            with (path / "py-spy.log").open("wb") as log:
                spy = subprocess.Popen(command, stdout=log, stderr=log)
            time.sleep(0.5)
            row = chain.smpp_row("profile", place, gateway, upstream, total=total)
            spy.send_signal(2)
            spy.wait(30)
        stacks = Counter[str]()
        for line in raw.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            stacks[stack] += int(count)
    print_samples(stacks, row, top)
    if flame is not None:
        from benchmarks.flame import flame_graph

        flame.write_text(flame_graph(stacks, title="SMPP path: the width is the share of the samples"))
        print(f"flame graph: {flame}")


def print_samples(stacks: Counter[str], row: chain.Row, top: int) -> None:
    """Own time and time with callees, as microseconds a message."""
    own, whole = Counter[str](), Counter[str]()
    for stack, count in stacks.items():
        frames = [frame.replace(str(ROOT) + "/", "") for frame in stack.split(";")]
        own[frames[-1]] += count
        for frame in {frame.rpartition(":")[0] for frame in frames}:
            whole[frame] += count
    samples = sum(stacks.values()) or 1
    print(f"{row.cpu_us:.1f} us of CPU a message, {row.messages_per_second:,.0f}/s, {row.lost} lost; {samples} samples")
    by_function, by_module = Counter[str](), Counter[str]()
    for frame, count in own.items():
        function = frame.rpartition(":")[0]
        by_function[function] += count
        by_module[function.rpartition(" (")[2] or function] += count
    tables = {
        "own time by module": by_module,
        "own time by function": by_function,
        "own time by line": own,
        "with callees": whole,
    }
    for title, counts in tables.items():
        print(f"\n{title}:")
        for frame, count in counts.most_common(top):
            print(f"  {100 * count / samples:5.1f} %  {row.cpu_us * count / samples:6.2f} us  {frame}")


def deterministic(row_name: str, scale: float, top: int) -> None:
    """Runs a row with the daemon under cProfile."""
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as directory:
        path = Path(directory)
        figures = path / "figures.prof"
        bench = Bench(path, scale, say=lambda text: print(text, file=sys.stderr), profile=str(figures))
        measured = rows.measured(bench, row_name)
        with contextlib.suppress(BrokenPipeError):
            stats = pstats.Stats(str(figures))
            messages = measured[-1].messages
            print(f"{messages:,} messages, {measured[-1].cpu_us} us of CPU each under the profiler")
            stats.sort_stats("tottime").print_stats(top)
            stats.sort_stats("cumtime").print_stats(top)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--row", default="smpp", choices=list(rows.ROWS), help="for cProfile; py-spy samples smpp")
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 = 200,000 messages")
    parser.add_argument("--top", type=int, default=40)
    parser.add_argument("--deterministic", action="store_true", help="cProfile, even where py-spy is installed")
    parser.add_argument("--native", action="store_true", help="py-spy: also C frames")
    parser.add_argument("--flame", type=Path, help="write a flame graph here (needs py-spy)")
    options = parser.parse_args()
    beside = Path(sys.executable).with_name("py-spy")
    py_spy = str(beside) if beside.exists() else shutil.which("py-spy")
    if py_spy and not options.deterministic and options.row == "smpp":
        sampled(py_spy, options.scale, options.flame, options.top, options.native)
    else:
        deterministic(options.row, options.scale, options.top)


if __name__ == "__main__":
    main()

"""`python -m benchmarks.opcodes`: counts how many bytecodes of each function a message costs.

The daemon runs with a tracer that counts every bytecode. Two runs of different length are compared, so the result is
the cost of one more message on the SMPP path: exactly the same number on a quiet machine and on a busy one. Work in C
(regular expressions, structs, the journal's encoding) is not counted. Work that depends on time (housekeeping) counts
too much, because the daemon is a hundred times slower than usual.
"""

import argparse
import json
import os
import runpy
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from benchmarks.bench import Bench
from benchmarks.chain import run_esme
from benchmarks.processes import ROOT, MeasurementFailed

#: For the daemon's side: where it leaves what it counted.
RESULT_VARIABLE = "BENCH_OPCODES"

Counts = dict[str, tuple[float, float]]


def count(total: int) -> Counts:
    """Bytecodes and calls by function in a daemon's life in which `total` messages pass."""
    with tempfile.TemporaryDirectory(prefix="bench-opcodes-") as directory:
        result = Path(directory) / "counts.json"
        os.environ[RESULT_VARIABLE] = str(result)
        bench = Bench(Path(directory), 1.0, say=lambda text: None)
        under = [sys.executable, "-m", "benchmarks.opcodes", "--daemon"]
        with bench.relay("opcodes", total, under=under) as (path, gateway, upstream):
            upstream.wait_for_binds(gateway, 60.0)
            load = run_esme(path, gateway, total=total, idle_seconds=60)
            if load["lost"]:
                raise MeasurementFailed(f"{load['lost']} messages were lost")
        counts: Counts = json.loads(result.read_text())
        return counts


def run_daemon(arguments: list[str]) -> None:
    """The daemon's side: `arguments` are the interpreter, twistd and its options."""
    from twisted.internet import reactor

    opcodes, calls = Counter[CodeType](), Counter[CodeType]()

    def in_frame(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            opcodes[frame.f_code] += 1
        return in_frame

    def entered(frame: FrameType, _event: str, _: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        calls[frame.f_code] += 1
        return in_frame

    def leave_result() -> None:
        sys.settrace(None)
        found = {name_of(code): (number, calls[code]) for code, number in list(opcodes.items())}
        Path(os.environ[RESULT_VARIABLE]).write_text(json.dumps(found))

    reactor.callWhenRunning(sys.settrace, entered)
    reactor.addSystemEventTrigger("before", "shutdown", leave_result)
    sys.argv = arguments[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


def name_of(code: CodeType) -> str:
    """`Session.receive (relay/smpp/session.py:158)`"""
    path = code.co_filename.removeprefix(f"{ROOT}/").rpartition("site-packages/")[2]
    return f"{code.co_qualname} ({path}:{code.co_firstlineno})"


def main() -> int:
    if sys.argv[1:2] == ["--daemon"]:
        run_daemon(sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opcodes", description=__doc__)
    parser.add_argument("--messages", type=int, default=5_000, help="by how many the two runs differ")
    parser.add_argument("--top", type=int, default=40)
    options = parser.parse_args()
    short, long = (count(total) for total in (2_000, 2_000 + options.messages))
    rows = []
    for name, (opcodes, calls) in long.items():
        before = short.get(name, (0.0, 0.0))
        rows.append(((opcodes - before[0]) / options.messages, (calls - before[1]) / options.messages, name))
    rows.sort(reverse=True)
    print(f"{sum(row[0] for row in rows):,.0f} bytecodes and {sum(row[1] for row in rows):.1f} calls a message")
    for opcodes, calls, name in rows[: options.top]:
        print(f"{opcodes:8.1f} {calls:7.2f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

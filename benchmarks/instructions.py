"""`python -m benchmarks.instructions`: counts the instructions per message, of the relay and of the floor.

CPU time on a shared machine varies by a third from one minute to the next; the number of instructions varies by less
than 1 %. So use this, which runs valgrind, for small changes: it shows whether a change that should save half a
microsecond saves anything. It compares two runs of different length, so the start of the process doesn't count. It
counts nothing of caches and little of system calls, so confirm its results with a row of the table.
"""

import argparse
import re
import shutil
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks import gateways
from benchmarks.chain import carrier, run_esme
from benchmarks.gateways import Gateway, RelaySetup
from benchmarks.processes import MeasurementFailed

COLLECTED = re.compile(r"Collected : (\d+)")


def instructions(name: str, total: int) -> int:
    """All instructions of a gateway's life in which it passes `total` messages and their receipts on.

    :param name: "relay" or "floor".
    """
    with tempfile.TemporaryDirectory(prefix="bench-instructions-") as directory:
        path = Path(directory)
        under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={path}/callgrind.out", "--fair-sched=yes"]
        with carrier(path, instants=total) as upstream:
            gateway_manager: AbstractContextManager[Gateway]
            if name == "floor":
                gateway_manager = gateways.floor(path, upstream.port, under=under, ready_seconds=120.0)
            else:
                gateway_manager = gateways.relay(RelaySetup(path, upstream.port, under=under), ready_seconds=120.0)
            with gateway_manager as gateway:
                upstream.wait_for_binds(gateway, 120.0)
                load = run_esme(path, gateway, total=total, idle_seconds=60)
            if load["lost"]:
                raise MeasurementFailed(f"{load['lost']} messages were lost through the {name}")
        counts = COLLECTED.findall((path / f"{name}.log").read_text())
    if not counts:
        raise MeasurementFailed(f"valgrind said nothing of the {name}")
    return int(counts[-1])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("gateways", nargs="*", default=["floor", "relay"], help="default: floor and relay")
    parser.add_argument("--messages", type=int, default=4_000, help="by how many the two runs differ")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed: apt-get install valgrind")
    found: dict[str, float] = {}
    for name in options.gateways:
        short, long = (instructions(name, total) for total in (1_000, 1_000 + options.messages))
        found[name] = (long - short) / options.messages
        print(f"{name}: {found[name]:,.0f} instructions a message", flush=True)
    if "floor" in found and "relay" in found:
        print(f"relay / floor: {found['relay'] / found['floor']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

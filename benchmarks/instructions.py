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
from benchmarks.chain import CarrierProcess, carrier, http_row, run_esme
from benchmarks.gateways import Gateway, RelaySetup
from benchmarks.processes import MeasurementFailed, free_ports

#: valgrind makes a start fifty times as slow, and the machine may be busy.
READY_SECONDS = 600.0

COLLECTED = re.compile(r"Collected : (\d+)")


def instructions(name: str, total: int) -> int:
    """All instructions of a gateway's life in which it passes `total` messages and their receipts on.

    :param name: "floor", "relay" (over SMPP), or "http" (the relay, with a POST and a webhook for each message).
    """
    with tempfile.TemporaryDirectory(prefix="bench-instructions-") as directory:
        path = Path(directory)
        under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={path}/callgrind.out", "--fair-sched=yes"]
        (sink_port,) = free_ports(1)
        with carrier(path, instants=total) as upstream:
            gateway_manager: AbstractContextManager[Gateway]
            if name == "floor":
                gateway_manager = gateways.floor(path, upstream.port, under=under, ready_seconds=READY_SECONDS)
            else:
                setup = RelaySetup(path, upstream.port, webhook_port=sink_port if name == "http" else 0, under=under)
                gateway_manager = gateways.relay(setup, ready_seconds=READY_SECONDS)
            with gateway_manager as gateway:
                upstream.wait_for_binds(gateway, READY_SECONDS)
                lost = _lost(name, path, gateway, upstream, sink_port, total)
            if lost:
                raise MeasurementFailed(f"{lost} messages were lost through the {name}")
        counts = COLLECTED.findall((path / f"{gateway.child.name}.log").read_text())
    if not counts:
        raise MeasurementFailed(f"valgrind said nothing of the {name}")
    return int(counts[-1])


def _lost(name: str, path: Path, gateway: Gateway, upstream: CarrierProcess, sink_port: int, total: int) -> int:
    """Sends the messages, and returns how many of them were not notified."""
    if name == "http":
        return http_row(name, path, gateway, upstream, sink_port, total=total, connections=16, idle_seconds=60).lost
    lost: int = run_esme(path, gateway, total=total, idle_seconds=60)["lost"]
    return lost


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument(
        "gateways", nargs="*", default=["floor", "relay"], help="floor, relay, http; default: floor and relay"
    )
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

"""A million messages that wait for receipts: what they cost, and how the relay reads them back after kill -9."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import gateways
from benchmarks.bench import Bench
from benchmarks.chain import CarrierProcess, Metered, Row, carrier, run_esme, smpp_figures
from benchmarks.gateways import Gateway, RelaySetup
from benchmarks.processes import start_module, stopping

#: The carrier keeps receipts for numbers that begin with this until it is told to let them go.
WITHHELD = "4499"


def waiting(bench: Bench) -> list[Row]:
    """1,000 to 1,000,000 messages that wait for receipts: cost a message, memory; then kill -9, replay, all home."""
    rows, total, most = [], bench.count(50_000), bench.count(1_000_000)
    levels = sorted({min(level, most) for level in (1_000, 10_000, 100_000, most)})
    loaded = first_number = 0
    withhold = {"withhold_prefix": WITHHELD}
    with bench.place("waiting") as path, carrier(path, instants=0, **withhold) as upstream:
        # Few ended messages are kept, so that what is measured is what waits.
        setup = RelaySetup(path, upstream.port, sync=bench.sync, finished=1_000)
        with gateways.relay(setup) as gateway:
            upstream.wait_for_binds(gateway)
            for level in levels:
                bench.say(f"up to {level:,} waiting")
                ids = path / f"ids.{level}"
                options: dict[str, Any] = {"total": level - loaded, "first_number": first_number}
                with probed(path, gateway) as pauses:
                    run_esme(
                        path, gateway, "--no-receipts", prefixes=WITHHELD, save_ids=ids, max_seconds=400, **options
                    )
                first_number += level - loaded
                loaded = level
                waiting_mb = gateway.measured.rss_bytes() / 1e6
                meter = Metered(gateway)
                load = run_esme(path, gateway, meter=meter, total=total, first_number=first_number)
                first_number += total
                row = smpp_figures(f"{level:,} messages waiting", load, meter, {"cpu_us_per_message": 0.0}, {})
                row.remark = f"{waiting_mb:.0f} MB; {pauses}"
                rows.append(row)
            gateway.child.kill()
        bench.say(f"{loaded:,} waiting: killed, starting again")
        rows.append(replay(path, setup, upstream, loaded))
    return rows


def replay(path: Path, setup: RelaySetup, upstream: CarrierProcess, count: int) -> Row:
    """Starts the daemon on what it left behind, and lets all receipts come."""
    begun_at = time.monotonic()
    ids = path / "ids"
    ids.write_bytes(b"\n".join(file.read_bytes() for file in sorted(path.glob("ids.*"))))
    journal_bytes = sum(file.stat().st_size for file in (path / "data").rglob("*") if file.is_file())
    with gateways.relay(setup, ready_seconds=180.0) as gateway:
        replay_seconds = time.monotonic() - begun_at
        upstream.wait_for_binds(gateway)
        rss_mb = gateway.child.rss_bytes() / 1e6
        arguments = {"port": gateway.smpp_port, "total": 0, "load_ids": ids, "max_seconds": 300}
        with probed(path, gateway) as pauses, Metered(gateway) as meter:
            load_process = start_module("esme", path, arguments)
            with stopping(load_process):
                time.sleep(1.0)
                upstream.release()
                load = load_process.result(330.0)
    load["accepted"] = count
    row = smpp_figures(f"{count:,} receipts after kill -9", load, meter, upstream.result(), {})
    row.remark = (
        f"started and replayed {journal_bytes / 1e6:.0f} MB in {replay_seconds:.1f} s, {rss_mb:.0f} MB resident then; "
        f"{pauses}"
    )
    return row


class Pauses:
    """What a prober said, once it has ended."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}

    def __str__(self) -> str:
        answer, own = self.said["answer_ms"], self.said["own_lateness_ms"]
        return (
            f"enquire_link answered within {answer['p50']:.1f} ms (p50), {answer['p99']:.1f} (p99), "
            f"{answer['max']:.0f} (longest; {self.said['pauses']} of {self.said['probes']} over 50 ms; "
            f"the prober itself woke up to {own['max']:.0f} ms late)"
        )


@contextlib.contextmanager
def probed(path: Path, gateway: Gateway) -> Iterator[Pauses]:
    """Looks for pauses meanwhile."""
    pauses = Pauses()
    prober = start_module("prober", path, {"port": gateway.smpp_port})
    with stopping(prober):
        yield pauses
        prober.signal(signal.SIGTERM)
        pauses.said = prober.result(30.0)

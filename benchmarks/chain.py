"""One measurement: load, gateway, carrier and sink joined together, run once, and turned into one row's figures."""

import contextlib
import dataclasses
import http.client
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import joined_durations, load_instants, milliseconds
from benchmarks.gateways import PASSWORD, Gateway
from benchmarks.processes import Child, free_ports, start_module, stopping, wait_until


@dataclasses.dataclass
class Row:
    """What one measurement gave. CPU is the gateway's, user and system, of all its threads.

    :ivar lost: accepted, and never notified.
    :ivar remark: what this row shows that no column does.
    :ivar load_cpu_us: what the load generator itself cost a message, `carrier_cpu_us` the carrier.
    """

    name: str
    messages: int
    cpu_us: float
    messages_per_second: float
    submit_p50_ms: float
    submit_p99_ms: float
    receipt_p50_ms: float
    receipt_p99_ms: float
    rss_mb: float
    lost: int
    duplicates: int
    load_cpu_us: float
    carrier_cpu_us: float
    remark: str = ""
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)


class CarrierProcess:
    """The carrier, and what the runner asks of it while it runs."""

    def __init__(self, directory: Path, under: Sequence[str] = (), **options: object) -> None:
        (self.port,) = free_ports(1)
        self._state_file = directory / "carrier.json"
        self.instants_file = directory / "carrier.instants"
        arguments = {"port": self.port, "state_file": self._state_file, "instants_file": self.instants_file, **options}
        self.child = start_module("carrier", directory, arguments, under=under)

    def binds(self) -> int:
        """How many binds it has now."""
        try:
            count: int = json.loads(self._state_file.read_text())["binds"]
        except FileNotFoundError:
            return 0
        return count

    def release(self) -> None:
        """Lets the receipts go that it withheld."""
        self.child.signal(signal.SIGUSR1)

    def wait_for_binds(self, gateway: Gateway, timeout_seconds: float = 30.0) -> None:
        """Returns once the gateway has bound as often as it should."""
        what = f"{gateway.carrier_binds} binds to the carrier"
        wait_until(lambda: self.binds() >= gateway.carrier_binds, what, gateway.child, timeout_seconds)

    def result(self) -> dict[str, Any]:
        """Ends it and gives its figures."""
        self.child.signal(signal.SIGTERM)
        return self.child.result(30.0)


@contextlib.contextmanager
def carrier(directory: Path, under: Sequence[str] = (), **options: object) -> Iterator[CarrierProcess]:
    """A carrier that listens.

    :param under: a program, with its options, that runs it.
    """
    process = CarrierProcess(directory, under, **options)
    with stopping(process.child):
        wait_until(process._state_file.exists, "carrier", process.child, 20.0)
        yield process


class Metered:
    """The gateway's CPU seconds and memory over a `with` block."""

    def __init__(self, gateway: Gateway) -> None:
        self._child = gateway.measured
        self._begun = self.cpu_seconds = 0.0
        self.rss_bytes = 0

    def begin(self) -> None:
        """Counts from now on."""
        self._begun = self._child.cpu_seconds()

    def end(self) -> None:
        """Counts until now."""
        if self._child.running:
            self.cpu_seconds = self._child.cpu_seconds() - self._begun
            self.rss_bytes = self._child.rss_bytes()

    def __enter__(self) -> "Metered":
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def run_esme(
    directory: Path, gateway: Gateway, *flags: str, meter: Metered | None = None, **options: object
) -> dict[str, Any]:
    """Runs the SMPP load against a gateway; gives what it printed. The meter runs while messages do, not binds."""
    arguments: dict[str, object] = {"port": gateway.smpp_port, "password": PASSWORD, **options}
    meeting = directory / "meeting"
    if meter is not None:
        arguments["meeting"] = meeting
    load = start_module("esme", directory, arguments, *flags)
    with stopping(load):
        if meter is not None:
            _meet(load, meeting, "bound", meter.begin)
            _meet(load, meeting, "done", meter.end)
        return load.result(float(str(options.get("max_seconds", 300.0))) + 60.0)


def _meet(load: Child, meeting: Path, what: str, read_meter: Callable[[], None]) -> None:
    file = Path(f"{meeting}.{what}")
    while load.running and not file.exists():
        time.sleep(0.002)
    read_meter()
    file.unlink(missing_ok=True)


def smpp_row(name: str, directory: Path, gateway: Gateway, upstream: CarrierProcess, **options: object) -> Row:
    """Messages in over SMPP, out over SMPP, receipts back over SMPP. Ends the carrier."""
    return metered_smpp_row(name, directory, gateway, upstream, Metered(gateway), **options)


def metered_smpp_row(
    name: str, directory: Path, gateway: Gateway, upstream: CarrierProcess, meter: Metered, **options: object
) -> Row:
    """As `smpp_row`, with a meter of one's own."""
    upstream.wait_for_binds(gateway)
    arrivals = directory / "esme.instants"
    load = run_esme(directory, gateway, meter=meter, instants_file=arrivals, **options)
    from_carrier = upstream.result()
    receipt_ms = milliseconds(joined_durations(load_instants(upstream.instants_file), load_instants(arrivals)))
    return smpp_figures(name, load, meter, from_carrier, receipt_ms)


def smpp_figures(
    name: str, load: dict[str, Any], meter: Metered, from_carrier: dict[str, Any], receipt_ms: dict[str, float]
) -> Row:
    """A row from what the processes said."""
    accepted = load["accepted"] or 1
    notes = {
        "load": load,
        "carrier": from_carrier,
        "receipt_ms": receipt_ms,
    }
    return Row(
        name=name,
        messages=load["accepted"],
        cpu_us=round(1e6 * meter.cpu_seconds / accepted, 2),
        messages_per_second=load["messages_per_second"],
        submit_p50_ms=load["answer_ms"]["p50"],
        submit_p99_ms=load["answer_ms"]["p99"],
        receipt_p50_ms=receipt_ms.get("p50", 0.0),
        receipt_p99_ms=receipt_ms.get("p99", 0.0),
        rss_mb=round(meter.rss_bytes / 1e6, 1),
        lost=load["lost"],
        duplicates=load["duplicates"],
        load_cpu_us=load["cpu_us_per_message"],
        carrier_cpu_us=from_carrier["cpu_us_per_message"],
        notes=notes,
    )


def http_row(
    name: str,
    directory: Path,
    gateway: Gateway,
    upstream: CarrierProcess,
    sink_port: int,
    sink_status: int = 204,
    withheld: bool = False,
    **options: object,
) -> Row:
    """Messages in over HTTP, out over SMPP, notifications as webhooks. Ends the carrier. `options` are http_load's.

    :param withheld: the carrier withholds its receipts; they go when all messages have been submitted.
    """
    upstream.wait_for_binds(gateway)
    submitted_file, notified_file = directory / "http_load.ids", directory / "sink.ids"
    sink = start_module("sink", directory, {"port": sink_port, "status": sink_status, "ids_file": notified_file})
    with stopping(sink):
        wait_until(lambda: _sink_count(sink_port) == 0, "sink", sink, 20.0)
        with Metered(gateway) as meter:
            arguments: dict[str, object] = {"port": gateway.http_port, "ids_file": submitted_file}
            load_process = start_module("http_load", directory, {**arguments, **options})
            with stopping(load_process):
                load = load_process.result(float(str(options.get("max_seconds", 300.0))) + 60.0)
            if withheld:
                # What was submitted last is still on its way to the carrier.
                time.sleep(1.0)
                upstream.release()
            _wait_for_notifications(sink_port, load["accepted"])
        sink.signal(signal.SIGTERM)
        sunk = sink.result(30.0)
    from_carrier = upstream.result()
    accepted = {fields[0]: int(fields[1]) for fields in map(str.split, submitted_file.read_text().splitlines())}
    arrived = {fields[0]: float(fields[1]) for fields in map(str.split, notified_file.read_text().splitlines())}
    sent = load_instants(upstream.instants_file)
    receipt_ms = milliseconds([at - sent[accepted[i]] for i, at in arrived.items() if i in accepted])
    seconds = sunk["last_at"] - load["begun_at"]
    count = len(accepted) or 1
    return Row(
        name=name,
        messages=len(accepted),
        cpu_us=round(1e6 * meter.cpu_seconds / count, 2),
        messages_per_second=round(len(accepted) / seconds, 1) if seconds > 0 else 0.0,
        submit_p50_ms=load["answer_ms"]["p50"],
        submit_p99_ms=load["answer_ms"]["p99"],
        receipt_p50_ms=receipt_ms["p50"],
        receipt_p99_ms=receipt_ms["p99"],
        rss_mb=round(meter.rss_bytes / 1e6, 1),
        lost=len(accepted.keys() - arrived.keys()),
        duplicates=sunk["duplicates"],
        load_cpu_us=load["cpu_us_per_message"],
        carrier_cpu_us=from_carrier["cpu_us_per_message"],
        notes={"load": load, "carrier": from_carrier, "sink": sunk, "receipt_ms": receipt_ms},
    )


def _sink_count(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/count")
        return int(connection.getresponse().read())
    except OSError:
        return -1
    finally:
        connection.close()


def _wait_for_notifications(port: int, expected: int, idle_seconds: float = 10.0) -> None:
    """Returns when all have come, or when none has come for a while."""
    last, last_at = -1, time.monotonic()
    while (count := _sink_count(port)) < expected:
        if count != last:
            last, last_at = count, time.monotonic()
        elif time.monotonic() - last_at > idle_seconds:
            return
        time.sleep(0.1)

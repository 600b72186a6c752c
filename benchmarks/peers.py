"""`python -m benchmarks.peers`: measures other gateways with the same load in the same run, if they are installed.

Debian's `kannel` has no SMPP server for customers, so it is measured from HTTP to HTTP callback, beside the relay's
row with one POST and one webhook per message. `none` keeps nothing on disk; `spool` writes every message to a file of
its own and never syncs it. The relay's 202 means that an fdatasync has happened. Jasmin is measured from SMPP to SMPP,
beside the relay's first row; `--prepare` downloads it (see `benchmarks.jasmin`).
"""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks import jasmin, rows
from benchmarks.bench import Bench
from benchmarks.chain import Row, carrier, http_row
from benchmarks.gateways import Gateway
from benchmarks.processes import Child, Children, MeasurementFailed, free_ports, listening, stopping, wait_until
from benchmarks.table import machine, save, table
from benchmarks.wire import SOURCE, TEXT

SBIN = "/usr/sbin:/usr/local/sbin"

CORE = """group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = bench
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
smsbox-max-pending = 1000
box-allow-ip = 127.0.0.1
dlr-storage = internal
sms-incoming-queue-limit = 1000000
sms-outgoing-queue-limit = 1000000
log-file = "{directory}/bearerbox.txt"
log-level = 4
{store}
group = smsc
smsc = smpp
smsc-id = carrier
host = 127.0.0.1
port = {carrier}
smsc-username = kannel
smsc-password = bench
system-type = ""
transceiver-mode = true
max-pending-submits = 1000
log-level = 4
"""

BOX = """
group = smsbox
smsbox-id = box
bearerbox-host = 127.0.0.1
bearerbox-port = {boxes}
sendsms-port = {http}
sendsms-interface = 127.0.0.1
log-file = "{directory}/smsbox.txt"
log-level = 4
max-pending-requests = 2048
http-request-retry = 3
http-queue-delay = 1

group = sendsms-user
username = bench
password = bench
max-messages = 1

group = sms-service
keyword = default
max-messages = 0
text = none
"""


@contextlib.contextmanager
def kannel(directory: Path, carrier_port: int, store: str) -> Iterator[Gateway]:
    """bearerbox and smsbox, bound to the carrier.

    :param store: "none" or "spool".
    """
    admin, boxes, http = free_ports(3)
    (directory / "spool").mkdir()
    kept = f'store-type = spool\nstore-location = "{directory}/spool"\n' if store == "spool" else ""
    core = CORE.format(admin=admin, boxes=boxes, directory=directory, store=kept, carrier=carrier_port)
    config = directory / "kannel.conf"
    config.write_text(core + BOX.format(boxes=boxes, http=http, directory=directory))
    programs = [shutil.which(name, path=SBIN) or name for name in ("bearerbox", "smsbox")]
    log = directory / "kannel.log"
    bearerbox = Child("bearerbox", [programs[0], "-v", "4", str(config)], log, quiet=True)
    with stopping(bearerbox):
        wait_until(lambda: listening(boxes), "listener", bearerbox, 20.0)
        smsbox = Child("smsbox", [programs[1], "-v", "4", str(config)], log, quiet=True)
        with stopping(smsbox):
            wait_until(lambda: listening(http), "listener", smsbox, 20.0)
            time.sleep(1.0)  # It listens a moment before its link to bearerbox stands, and has no page that says so.
            yield Gateway("kannel", bearerbox, 0, http, 1, Children([bearerbox, smsbox]))


def kannel_row(bench: Bench, store: str) -> Row:
    """HTTP GET a message in, SMPP out, one callback a message; final states only."""
    total = bench.count(30_000)
    (sink_port,) = free_ports(1)
    callback = f"http://127.0.0.1:{sink_port}/callback?id={{number}}&send_status=%d"
    path = (
        f"/cgi-bin/sendsms?username=bench&password=bench&from={SOURCE.decode()}&to=4477{{number}}"
        f"&text={quote(TEXT)}&dlr-mask=3&dlr-url={quote(callback, safe='{}')}"
    )
    with (
        bench.place(f"kannel-{store}") as directory,
        carrier(directory, instants=total) as upstream,
        kannel(directory, upstream.port, store) as gateway,
    ):
        name = f"Kannel, store {store}: HTTP GET in, callback a message out"
        # It calls again when the answer to a callback has no body.
        options: dict[str, Any] = {"total": total, "connections": 50, "get": path}
        return http_row(name, directory, gateway, upstream, sink_port, 200, **options)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path, default=Path("var/benchmarks-peers.json"))
    parser.add_argument("--jasmin", type=Path, default=Path("var/jasmin"), help="where Jasmin is kept")
    parser.add_argument("--prepare", action="store_true", help="download Jasmin first, where it isn't there")
    options = parser.parse_args()
    home = options.jasmin.resolve()
    if options.prepare:
        jasmin.prepare(home)
    begun_at = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun_at:5.0f} s] {text}", file=sys.stderr, flush=True)

    bench = Bench(options.directory, options.scale, say)
    about = machine(options.directory)
    measured: list[Row] = []
    if shutil.which("bearerbox", path=SBIN):
        for store in ("none", "spool"):
            try:
                say(f"Kannel, store {store} ...")
                measured.append(kannel_row(bench, store))
            except MeasurementFailed as failure:
                say(str(failure))
    else:
        say("Kannel is not installed: apt-get install kannel")
    if jasmin.installed(home):
        try:
            say("Jasmin ...")
            measured.append(jasmin.jasmin_row(bench, home))
        except MeasurementFailed as failure:
            say(str(failure))
    else:
        say("Jasmin is not installed: apt-get install rabbitmq-server redis-server, then --prepare")
    for name in ("floor", "smpp", "http-batch", "http-single"):
        try:
            measured += rows.measured(bench, name)
        except MeasurementFailed as failure:
            say(f"{name}: {failure}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    save(options.json, measured, about)
    print(table(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())

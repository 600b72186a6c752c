"""Jasmin as a peer: RabbitMQ, Redis and Jasmin's three processes on free ports of loopback, measured as one gateway.

`prepare` makes everything under one directory: a virtual environment with Jasmin from PyPI, the AMQP specification from
its source archive, and a copy of the package with one repair. The published Jasmin 0.11.1 loses the receipt of every
message of one part: `managers/listeners.py` reads `_pdu.response` of a submit_sm, which has none, so Jasmin never keeps
the carrier's id. The copy reads it from the response itself. RabbitMQ and Redis are Debian's.

`python -m benchmarks.jasmin DIRECTORY` prepares it and measures nothing.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.chain import Row, carrier, smpp_row
from benchmarks.gateways import PASSWORD, Gateway
from benchmarks.processes import Child, Children, MeasurementFailed, free_ports, listening, wait_until

LOGIN = "bench0"
BROKER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
SPECIFICATION = "misc/config/resource/amqp0-9-1.xml"


def installed(home: Path) -> bool:
    """Whether everything that a run needs is there."""
    return (home / "package").exists() and os.path.exists(BROKER) and shutil.which("redis-server") is not None


def prepare(home: Path) -> None:
    """Downloads and mends Jasmin into `home`; does nothing where that was done."""
    if (home / "package").exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    python = str(home / "venv/bin/python")
    subprocess.run([sys.executable, "-m", "venv", str(home / "venv")], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "jasmin==0.11.1"], check=True)
    download = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "jasmin", "jasmin==0.11.1"]
    subprocess.run([*download, "--dest", str(home)], check=True)
    with tarfile.open(next(home.glob("jasmin-*.tar.gz"))) as archive:
        member = next(name for name in archive.getnames() if name.endswith(SPECIFICATION))
        specification = archive.extractfile(member)
        assert specification is not None
        (home / "amqp.xml").write_bytes(specification.read())
    source = next((home / "venv/lib").glob("python3*/site-packages/jasmin"))
    shutil.copytree(source, home / "package.new/jasmin")
    listeners = home / "package.new/jasmin/managers/listeners.py"
    text = listeners.read_text()
    if "_pdu.response" not in text:
        raise SystemExit(f"{listeners} is not the source that the mend is for")
    listeners.write_text(text.replace("_pdu.response", "r.response"))
    (home / "package.new").rename(home / "package")


def _section(name: str, values: Mapping[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


class Ports:
    """One free port for each listener."""

    def __init__(self) -> None:
        ports = free_ports(10)
        self.epmd, self.distribution, self.amqp, self.redis = ports[:4]
        self.smpp, self.smpp_pb, self.clients, self.router, self.http, self.console = ports[4:]


def configure(directory: Path, home: Path, ports: Ports) -> None:
    """Writes the three configuration files."""
    quiet = {"log_level": "CRITICAL", "log_file": f"{directory}/jasmin.txt"}
    local = {"bind": "127.0.0.1", **quiet}
    broker = {"host": "127.0.0.1", "port": ports.amqp, "spec": f"{home}/amqp.xml", "connection_loss_retry_delay": 1}
    common = _section("amqp-broker", {**broker, **quiet})
    common += _section("redis-client", {"host": "127.0.0.1", "port": ports.redis, **quiet})
    # Receipts can overtake the id map; they are looked up again after this many seconds.
    lookup = {"dlr_lookup_retry_delay": 2, **quiet}
    main = (
        _section("smpp-server", {"port": ports.smpp, **local})
        + _section("smpp-server-pb", {"port": ports.smpp_pb, **local})
        + _section("client-management", {"store_path": f"{directory}/store", "port": ports.clients, **local})
        + _section("router", {"store_path": f"{directory}/store", "port": ports.router, **local})
        + _section("http-api", {"port": ports.http, "access_log": "/dev/null", **local})
        + _section("jcli", {"port": ports.console, **local})
        + "".join(_section(name, quiet) for name in ("service-smppclient", "sm-listener", "deliversm-thrower"))
        + _section("dlr", lookup)
        + _section("dlr-thrower", quiet)
    )
    pb_client = _section("smpp-server-pb-client", {"host": "127.0.0.1", "port": ports.smpp_pb})
    (directory / "jasmin.cfg").write_text(common + main)
    (directory / "lookup.cfg").write_text(common + _section("dlr", {"pid": "lookup", **lookup}))
    (directory / "thrower.cfg").write_text(common + _section("dlr-thrower", quiet) + pb_client)


def console(port: int, lines: Sequence[str]) -> None:
    """Types lines into Jasmin's console, waiting for a prompt after each."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        dialogue = [(b"required.", "jcliadmin"), (b"Password:", "jclipwd"), *((b"", line) for line in lines)]
        for prompt, line in dialogue:
            _read_until(sock, (prompt,) if prompt else (b"jcli :", b">"))
            sock.sendall(line.encode() + b"\r\n")
        _read_until(sock, (b"jcli :",))


def _read_until(sock: socket.socket, prompts: Sequence[bytes]) -> None:
    seen = b""
    while not any(prompt in seen[-40:] for prompt in prompts):
        try:
            data = sock.recv(4096)
        except TimeoutError:
            data = b""
        if not data:
            raise MeasurementFailed(f"Jasmin's console went silent after {seen[-200:]!r}")
        seen += data


@contextlib.contextmanager
def jasmin(directory: Path, home: Path, carrier_port: int, start_seconds: float = 60.0) -> Iterator[Gateway]:
    """All of it, with one user, one connector and one route.

    :param start_seconds: how long the brokers, and then Jasmin, may take to start.
    """
    ports = Ports()
    for name in ("store", "broker", "home", "redis"):
        (directory / name).mkdir()
    configure(directory, home, ports)
    bin_directory = home / "venv/bin"
    erlang = {
        "HOME": f"{directory}/home",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(ports.epmd),
        "RABBITMQ_NODENAME": "bench@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(ports.amqp),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": f"{directory}/broker",
        "RABBITMQ_LOG_BASE": f"{directory}/broker",
        "RABBITMQ_PID_FILE": f"{directory}/broker.pid",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "/dev/null",
        "RUNNING_UNDER_SYSTEMD": "1",
    }
    python = {"PYTHONPATH": str(home / "package"), "CONFIG_PATH": str(directory), "LOG_PATH": str(directory)}
    redis = ["redis-server", "--bind", "127.0.0.1", "--port", str(ports.redis), "--save", "", "--dir", str(directory)]
    with contextlib.ExitStack() as stack:

        def start(name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
            child = Child(name, command, directory / f"{name}.log", quiet=True, environment=environment)
            stack.callback(child.stop)
            return child

        def program(name: str, config: str) -> Child:
            command = [str(bin_directory / "python"), str(bin_directory / name), "-c", str(directory / config)]
            return start(name, command, python)

        start("epmd", ["epmd", "-address", "127.0.0.1", "-port", str(ports.epmd)], {})
        rabbit = start("rabbitmq", [BROKER], erlang)
        keeper = start("redis", redis, {})
        wait_until(lambda: listening(ports.amqp) and listening(ports.redis), "brokers", rabbit, start_seconds)
        daemon = program("jasmind.py", "jasmin.cfg")
        wait_until(lambda: listening(ports.console) and listening(ports.smpp), "listeners", daemon, start_seconds)
        helpers = [program("dlrlookupd.py", "lookup.cfg"), program("dlrd.py", "thrower.cfg")]
        time.sleep(2.0)  # They have no page that says when they are connected.
        connector = ["smppccm -a", "cid carrier", "host 127.0.0.1", f"port {carrier_port}", "username jasmin"]
        connector += [f"password {PASSWORD}", "bind transceiver", "submit_throughput 0", "loglevel 50", "ok"]
        user = ["user -a", "uid u1", "gid g1", f"username {LOGIN}", f"password {PASSWORD}", "ok"]
        route = ["mtrouter -a", "type DefaultRoute", "connector smppc(carrier)", "rate 0.0", "ok"]
        console(ports.console, ["group -a", "gid g1", "ok", *user, *connector, "smppccm -1 carrier", *route])
        yield Gateway("jasmin", daemon, ports.smpp, ports.http, 1, Children([rabbit, keeper, daemon, *helpers]))


def jasmin_row(bench: Bench, home: Path) -> Row:
    """SMPP in, SMPP out, receipt over SMPP, as the relay's first row."""
    total = bench.count(2_000)
    with (
        bench.place("jasmin") as directory,
        carrier(directory, instants=total, delay_ms=500) as upstream,
        jasmin(directory, home, upstream.port) as gateway,
    ):
        options: dict[str, object] = {"total": total, "connections": 1, "window": 50, "idle_seconds": 20}
        return smpp_row("Jasmin (mended): SMPP in and out", directory, gateway, upstream, **options)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]).resolve())

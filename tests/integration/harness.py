"""Tools of the integration tests: relays as processes, webhook receivers, simulated carriers, and waiting for events.

Everything is on loopback, in temporary directories, limited in time, and cleaned up by the test case that asked for it.
If a relay doesn't behave as it should, the failure shows its log.
"""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import TestResult

import treq
import yaml
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from relay.config.carrier_config import Simulator
from relay.simulator.simulated_carrier import SimulatedCarrier
from relay.store.journal.journal_format import dump
from relay.values import smpp_constants as c
from tests import PATIENCE
from tests.fakes import FastEsme, connect_esme
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
#: Which store the relays under test have. `late` is read here and in `launch_late`, never by the relay itself.
STORE = os.environ.get("RELAY_TEST_STORE", "")
#: The reactor as treq wants it: its declared type lacks the interface for resolving names.
http_reactor: Any = reactor
START_SECONDS = 20.0 * PATIENCE


# Waiting


async def until(what: str, condition: Callable[..., object], seconds: float = 20.0) -> None:
    """Waits until `condition()` is true, or until what it awaits is.

    :param condition: is called without arguments, and may be a coroutine function, which asks the relay for instance.
        It may have arguments with defaults (a loop's variables), which is why its type does not say so.
    :param seconds: how long that may take on a quiet machine; it fails after PATIENCE times as many.
    """
    deadline = time.monotonic() + PATIENCE * seconds
    while True:
        found = condition()
        if await found if isinstance(found, Awaitable) else found:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"after {PATIENCE * seconds:g} seconds still waiting until {what}")
        await task.deferLater(reactor, 0.01)


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def within(seconds: float, awaitable: Awaitable[Any]) -> Any:
    """The awaitable's result, or a TimeoutError after PATIENCE times `seconds`, which are those of a quiet machine."""
    deferred = Deferred.fromCoroutine(_await(awaitable))
    deferred.addTimeout(PATIENCE * seconds, reactor)
    return await deferred


# Relays


def smpp_account(
    system_id: str = "acme", password: str = "secret08", max_binds: int = 8, **more: Any
) -> dict[str, Any]:
    """A customer with SMPP and HTTP access (API key `key`) who may have webhooks on loopback."""
    return {
        "api_key": "key",
        "allow_private_urls": True,
        "smpp": {"system_id": system_id, "password": password, "max_binds": max_binds},
    } | more


def smpp_carrier(port: int, **more: Any) -> dict[str, Any]:
    """A carrier on a port of loopback, reconnected to without much ado."""
    return {
        "connect": f"tcp:127.0.0.1:{port}",
        "system_id": "relay",
        "password": "secret",
        "window": 500,
        "reconnect_min_seconds": 0.1,
        "reconnect_max_seconds": 0.3,
        "throttle_seconds": 0.1,
    } | more


class Relay:
    """One relay process and its files.

    :param configuration: top-level keys of the configuration file beside the listeners and data_dir.
    """

    def __init__(self, directory: Path, name: str = "relay", **configuration: Any) -> None:
        self.name = name
        self.directory = directory / name
        self.directory.mkdir()
        self.http_port, self.smpp_port, self.admin_port = free_port(), free_port(), free_port()
        self.log_file = self.directory / "log"
        self.process: subprocess.Popen[bytes] | None = None
        #: Python's arguments that run twistd in another way than the usual one.
        self.launcher: list[str] = []
        self.configuration: dict[str, Any] = {
            "data_dir": str(self.directory / "data"),
            "http": {"listen": [f"tcp:{self.http_port}:interface=127.0.0.1"]},
            "smpp": {
                "listen": [f"tcp:{self.smpp_port}:interface=127.0.0.1"],
                "window": 500,
                "pending_requests": 10_000,
            },
            "admin": {"listen": [f"tcp:{self.admin_port}:interface=127.0.0.1"]},
            "shutdown_seconds": 5,
        } | configuration

    async def start(self, seconds: float = START_SECONDS) -> "Relay":
        """Starts the process and waits until it listens everywhere."""
        self.launch()
        await self.ready(seconds)
        return self

    def write_file(self) -> Path:
        """Writes the configuration into its file, which a start and a reload read."""
        config_file = self.directory / "relay.yaml"
        config_file.write_text(yaml.safe_dump(self.configuration))
        return config_file

    def launch(self, output: int | None = None) -> None:
        """Starts the process and doesn't wait.

        :param output: where what it prints goes, as for `subprocess.Popen`; None: to `log_file`.
        """
        config_file = self.write_file()
        launcher = ["-c", "from twisted.scripts.twistd import run; run()"]
        if STORE == "late":
            launcher = ["-m", "tests.integration.launch_late"]
        launcher = self.launcher or launcher
        with self.log_file.open("ab") as log:
            self._log_before = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, *launcher, "-n", "--pidfile=", "relay", "--config", str(config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log if output is None else subprocess.STDOUT,
                cwd=ROOT,
                env=os.environ
                | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}", "PYTHONUNBUFFERED": "1"},
            )

    async def ready(self, seconds: float = START_SECONDS) -> None:
        """Waits until it says that it takes messages, which it does once everything listens."""
        deadline = time.monotonic() + seconds
        while b"relay_ready" not in self.log_file.read_bytes()[self._log_before :]:
            if self.process is None or self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended while starting:\n{self.log()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} isn't ready after {seconds:g} seconds:\n{self.log()}")
            await task.deferLater(reactor, 0.02)

    async def carrier_bound(self, simulator: "SimulatorPort", sessions: int = 1) -> None:
        """Waits until this relay has bound to a simulated carrier."""
        await until(f"{self.name} has bound", lambda: simulator.carrier.bound_sessions >= sessions)

    def kill(self) -> None:
        """Ends the process with SIGKILL, at whatever instant it is."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def stop(self) -> int:
        """Ends the process with SIGTERM and gives its exit status, 0 for an orderly stop.

        twistd ends itself with the signal that it got, once it has stopped; so an orderly stop is told by the log.
        """
        assert self.process is not None
        process = self.process
        process.send_signal(signal.SIGTERM)
        await until(f"{self.name} stops", lambda: process.poll() is not None)
        self.process = None
        orderly = b"relay_stopped" in self.log_file.read_bytes()[self._log_before :]
        return 0 if orderly and process.returncode == -signal.SIGTERM else process.returncode

    def log(self, characters: int = 6000) -> str:
        """The end of what the process printed."""
        return self.log_file.read_text(errors="replace")[-characters:] if self.log_file.exists() else ""

    def journal(self, kind: str) -> list[dict[str, Any]]:
        """The records of a kind (docs/journal.md) that are in the journal's files now: what a kill can't undo. What the
        relay itself shows may not have been written yet."""
        return [record for record in dump(self.configuration["data_dir"], texts=True) if record["record"] == kind]

    def resident_bytes(self) -> int:
        """The process's memory that is in RAM now (Linux)."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]

    def cpu_seconds(self) -> float:
        """Processor time that the process's threads have used, to the nanosecond (Linux)."""
        assert self.process is not None
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


# Peers


class SimulatorPort:
    """A simulated carrier in the test's process, on a port of its own."""

    def __init__(self, **settings: Any) -> None:
        defaults: dict[str, Any] = {"receipt_delay_seconds": 0.05}
        self.settings = Simulator(**(defaults | settings))
        self.carrier = SimulatedCarrier(self.settings, reactor, random.Random(self.settings.seed))
        self.port = free_port()
        self._listening: IListeningPort | None = None

    @property
    def counters(self) -> Any:
        """What it has seen and done."""
        return self.carrier.counters

    async def listen(self) -> "SimulatorPort":
        """Begins to listen."""
        endpoint = TCP4ServerEndpoint(reactor, self.port, interface="127.0.0.1")
        self._listening = await endpoint.listen(self.carrier.factory)
        return self

    async def close(self) -> None:
        """Ends it."""
        self.carrier.stop()
        if self._listening is not None:
            await maybeDeferred(self._listening.stopListening)
            self._listening = None
        await until("the simulated carrier's connections are closed", lambda: not self.carrier.sessions)

    def all_home(self) -> bool:
        """Whether every receipt that it owes has been acknowledged."""
        return bool(self.counters.acked >= self.counters.receipts_owed)


class Post:
    """One POST that a webhook receiver got."""

    __slots__ = ("body", "headers", "path")

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class WebhookReceiver(Resource):
    """A customer's web server: records what it is sent.

    :ivar status: what it answers with; may be changed at any time.
    :ivar refused: how many POSTs it has answered with an error. They aren't recorded.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.posts: list[Post] = []
        self.status = 200
        self.refused = 0
        self.port = free_port()
        self._listening: IListeningPort | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/notifications"

    async def listen(self) -> "WebhookReceiver":
        """Begins to listen."""
        site = Site(self)
        site.noisy = False
        self._listening = await TCP4ServerEndpoint(reactor, self.port, interface="127.0.0.1").listen(site)
        return self

    async def close(self) -> None:
        """Ends it."""
        if self._listening is not None:
            await maybeDeferred(self._listening.stopListening)
            self._listening = None

    def render_GET(self, request: Request) -> bytes:
        if self.status < 300:
            self.posts.append(Post(request.uri.decode(), {}, b""))
        request.setResponseCode(self.status)
        return b""

    def render_POST(self, request: Request) -> bytes:
        headers = {
            name.decode().lower(): values[0].decode("latin-1")
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        if self.status < 300:
            assert request.content is not None
            self.posts.append(Post(request.path.decode(), headers, request.content.read()))
        else:
            self.refused += 1
        request.setResponseCode(self.status)
        return b""


class RawPeer(Protocol):
    """A connection with nothing above it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.gone: Deferred[None] = Deferred()
        self.closed = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.closed = True
        self.gone.callback(None)

    def write(self, octets: bytes) -> None:
        """Sends octets as they are."""
        assert self.transport is not None
        self.transport.write(octets)

    def abort(self) -> None:
        """Ends the connection at once, without a farewell."""
        ITCPTransport(self.transport).abortConnection()


# The test case


def _failures_in(result: TestResult | None) -> int:
    return len(getattr(result, "failures", ())) + len(getattr(result, "errors", ()))


class IntegrationTestCase(TestCase):
    """A test with processes and sockets; whatever it makes through these methods is ended after it."""

    def run(self, result: TestResult | None = None) -> TestResult | None:
        already = _failures_in(result)
        self._failed = lambda: _failures_in(result) > already
        ran: TestResult | None = super().run(result)
        return ran

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="relay-test-", ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.pool = HTTPConnectionPool(reactor, persistent=True)
        self.pool.maxPersistentPerHost = 8
        self.addCleanup(self.pool.closeCachedConnections)

    def _end(self, relay: Relay) -> None:
        relay.kill()
        if self._failed():
            print(f"\n--- log of {relay.name}, {self.id()} ---\n{relay.log()}", file=sys.stderr)

    async def relay(self, name: str = "relay", **configuration: Any) -> Relay:
        """A relay process that listens."""
        relay = self.prepare_relay(name, **configuration)
        return await relay.start()

    def prepare_relay(self, name: str = "relay", **configuration: Any) -> Relay:
        """A relay that isn't started yet."""
        relay = Relay(self.directory, name, **configuration)
        self.addCleanup(self._end, relay)
        return relay

    async def simulator(self, **settings: Any) -> SimulatorPort:
        """A simulated carrier that listens."""
        simulator = SimulatorPort(**settings)
        self.addCleanup(lambda: Deferred.fromCoroutine(simulator.close()))
        return await simulator.listen()

    async def webhooks(self) -> WebhookReceiver:
        """A webhook receiver that listens."""
        receiver = WebhookReceiver()
        self.addCleanup(lambda: Deferred.fromCoroutine(receiver.close()))
        return await receiver.listen()

    async def esme(
        self,
        port: int,
        system_id: str = "acme",
        password: str = "secret08",
        command_id: int = c.BIND_TRANSCEIVER,
        window: int = 500,
        interface_version: int = 0x34,
    ) -> FastEsme:
        """A bound SMPP client."""
        esme = await connect_esme(reactor, port, window)
        self.addCleanup(self._drop, esme)
        await within(10, esme.bind(system_id, password, command_id, interface_version))
        return esme

    async def metric(self, relay: Relay, name: str, **labels: str) -> float:
        """What the relay's /metrics says now: the sum over all lines of that name with these labels."""
        client = treq.client.HTTPClient(Agent(reactor, pool=self.pool))
        response = await client.get(
            f"http://127.0.0.1:{relay.admin_port}/metrics", timeout=10 * PATIENCE, reactor=http_reactor
        )
        text = await response.text()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.partition("{")[0].partition(" ")[0] == name and all(label in line for label in wanted)
        ]
        if not found:
            raise AssertionError(f"{relay.name} has no metric {name} {labels}")
        return sum(found)

    def _drop_peer(self, peer: RawPeer) -> Deferred[None] | None:
        if peer.closed:
            return None
        peer.abort()
        return peer.gone

    def _drop(self, esme: FastEsme) -> Deferred[str] | None:
        if esme.lost:
            return None
        esme.abort()
        return esme.gone

    async def raw(self, port: int, octets: bytes = b"") -> RawPeer:
        """A connection on which octets may be written as they are."""
        peer: RawPeer = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), RawPeer())

        self.addCleanup(self._drop_peer, peer)
        peer.write(octets)
        return peer

    async def http(
        self,
        method: str,
        relay: Relay,
        path: str,
        body: Any = None,
        *,
        account: str = "acme",
        key: str = "key",
        raw: bytes | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> tuple[int, Any]:
        """One call to a relay's HTTP API: the status, and the JSON of the answer (or its octets)."""
        login = b64encode(f"{account}:{key}".encode()).decode()
        all_headers: dict[bytes | str, bytes | str] = {"Authorization": f"Basic {login}", **dict(headers)}
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        if data is not None:
            all_headers.setdefault("Content-Type", "application/json")
        client = treq.client.HTTPClient(Agent(reactor, pool=self.pool))
        response = await client.request(
            method,
            f"http://127.0.0.1:{relay.http_port}{path}",
            headers=all_headers,
            data=data,
            timeout=30 * PATIENCE,
            reactor=http_reactor,
        )
        content = await response.content()
        with contextlib.suppress(ValueError):
            return response.code, json.loads(content)
        return response.code, content

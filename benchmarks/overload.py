"""`python -m benchmarks.overload [CASE ...]`: measures what one customer's overload costs the other customers.

One customer overloads the relay in one of the ways below, on a carrier (or a URL) of its own. Another one, the
bystander, sends one message at a time to another carrier (in the case `bulk`, to the same one), and measures how long
its receipt takes, before the load and during it. Each peer is a separate process. On a machine with several
processors, the relay has the first one alone and the peers have the others, so that the result depends on the relay
only.
"""

import argparse
import contextlib
import dataclasses
import http.client
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks import gateways, processors
from benchmarks.chain import CarrierProcess, carrier
from benchmarks.gateways import PASSWORD, Gateway, RelaySetup
from benchmarks.processes import Child, MeasurementFailed, free_ports, start_module, stopping, wait_until

#: The loader's numbers and the bystander's, which lead to a carrier each.
LOADED, SPARE = gateways.prefixes(2)
LOADER, BYSTANDER = "bench0", "bench1"
#: Notifications that are owed to a URL that takes none.
OWED = 100_000
#: More messages than any load gets rid of while it is measured.
MANY = 5_000_000


class Setup(RelaySetup):
    """The relay with its usual bounds, but for the case's own settings of the loader and of its carrier."""

    def __init__(self, path: Path, spare_port: int, loaded_port: int, under: list[str]) -> None:
        super().__init__(path, loaded_port, accounts=2, carriers=2, carrier_binds=1, under=under)
        self.spare_port = spare_port
        self.url_port, self.hook_port = free_ports(2)
        #: Whether the bystander is told by webhooks.
        self.hooked = False
        self.loader: dict[str, object] = {}
        self.loaded: dict[str, object] = {}

    def config(self) -> dict[str, object]:
        configuration: dict[str, Any] = super().config()
        configuration["carriers"]["carrier1"]["connect"] = f"tcp:127.0.0.1:{self.spare_port}"
        configuration["carriers"]["carrier0"] |= self.loaded
        configuration["accounts"][LOADER] |= self.loader
        if self.hooked:
            url = f"http://127.0.0.1:{self.hook_port}/"
            configuration["accounts"][BYSTANDER] |= {"notification_url": url, "allow_private_urls": True}
        configuration["limits"] |= {"connections": 2_000, "connections_per_address": 200}
        return configuration

    @property
    def url(self) -> str:
        """A URL where nobody listens, unless the case does."""
        return f"http://127.0.0.1:{self.url_port}/notifications"


class Place:
    """The relay with its two carriers, and who is around it."""

    def __init__(self, path: Path, gateway: Gateway, setup: Setup, rounds: int) -> None:
        self.path = path
        self.gateway = gateway
        self.setup = setup
        self._rounds = rounds

    def start(self, module: str, **arguments: object) -> Child:
        """One of this package's programs, on the peers' processors."""
        return start_module(module, self.path, arguments, under=processors.PEERS)

    def bystander(self, prefix: str) -> dict[str, Any]:
        """What the bystander sees now, sending to numbers with this prefix."""
        login = {"port": self.gateway.smpp_port, "login": BYSTANDER, "password": PASSWORD}
        hook = {"hook_port": self.setup.hook_port} if self.setup.hooked else {}
        child = self.start("bystander", **login, **hook, prefix=prefix, rounds=self._rounds)
        with stopping(child):
            return child.result(240.0)

    def probe(self, seconds: float = 2.0) -> dict[str, Any]:
        """How long an enquire_link takes now: what the relay is at when one comes."""
        child = self.start("prober", port=self.gateway.smpp_port, login=BYSTANDER, password=PASSWORD)
        with stopping(child):
            time.sleep(seconds + 0.5)
            child.signal(signal.SIGTERM)
            return child.result(30.0)

    def metrics(self) -> dict[str, float]:
        """The relay's own figures: each name (with its labels) and its value."""
        connection = http.client.HTTPConnection("127.0.0.1", self.setup.admin_port, timeout=20)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def accepted(self) -> float:
        """Messages of the loader's that the relay has accepted."""
        wanted = re.compile(rf'relay_messages_total\{{.*account="{LOADER}"')
        return sum(value for name, value in self.metrics().items() if wanted.match(name))

    @contextlib.contextmanager
    def loading(self, module: str, **arguments: object) -> Iterator[list[str]]:
        """A program that loads the relay, from its first message on; says how many a second went in."""
        before, remarks = self.accepted(), list[str]()
        child = self.start(module, **arguments)
        with stopping(child):
            wait_until(lambda: self.accepted() > before, "the load", child, 30.0)
            before, begun_at = self.accepted(), time.monotonic()
            yield remarks
            remarks.append(f"{(self.accepted() - before) / (time.monotonic() - begun_at):,.0f} accepted a second")

    @property
    def smpp_login(self) -> dict[str, object]:
        """What the loader's programs for SMPP are told."""
        return {"port": self.gateway.smpp_port, "login": LOADER, "password": PASSWORD}

    @property
    def http_login(self) -> dict[str, object]:
        """What `http_load` is told."""
        port = self.gateway.http_port
        return {"port": port, "account": LOADER, "key": f"key-of-{LOADER}", "prefix": LOADED, "connections": 4}

    def owe(self, count: int) -> None:
        """Has so many notifications owed to the loader's URL."""
        load = self.start("http_load", total=count, batch=100, **self.http_login)
        with stopping(load):
            load.result(300.0)
        wait_until(
            lambda: self.metrics()["relay_store_owed"] >= count, "notifications to be owed", self.gateway.child, 60.0
        )

    def remark_owed(self) -> str:
        """How many notifications are owed."""
        return f"{self.metrics()['relay_store_owed']:,.0f} notifications owed"


def flood(place: Place) -> AbstractContextManager[list[str]]:
    """A customer that always has 20,000 submit_sm unanswered, twenty times what it may."""
    return place.loading("esme", prefixes=LOADED, connections=1, window=20_000, total=MANY, **place.smpp_login)


def fast(place: Place) -> AbstractContextManager[list[str]]:
    """A customer that submits as fast as it is answered, within its bounds."""
    return place.loading("esme", prefixes=LOADED, connections=2, window=500, total=MANY, **place.smpp_login)


def arrays(place: Place) -> AbstractContextManager[list[str]]:
    """A customer that posts arrays of 1,000 messages, four at a time."""
    return place.loading("http_load", batch=1_000, total=MANY, **place.http_login)


def unread(place: Place) -> AbstractContextManager[list[str]]:
    """A customer that submits and never reads its socket."""
    return place.loading("rude", kind="never-reads", prefix=LOADED, **place.smpp_login)


@contextlib.contextmanager
def idle(place: Place) -> Iterator[list[str]]:
    """A thousand connections on which nothing is said."""
    log = place.path / "rude.log"
    child = place.start("rude", kind="idle", port=place.gateway.smpp_port, count=1_000)
    with stopping(child):
        wait_until(lambda: "ready" in log.read_text(), "connections", child, 60.0)
        yield [f"{place.metrics()['relay_customer_connections']:,.0f} connections"]


@contextlib.contextmanager
def window(place: Place) -> Iterator[list[str]]:
    """A carrier with a window of one, and 50,000 messages that wait for it."""
    with place.loading("esme", prefixes=LOADED, connections=1, window=1_000, total=50_000, **place.smpp_login):
        wait_until(lambda: place.accepted() >= 50_000, "the messages", place.gateway.child, 120.0)
        waiting = [f"{place.metrics()[_QUEUE]:,.0f} waiting at the beginning"]
        yield waiting
        waiting.append(f"{place.metrics()[_QUEUE]:,.0f} at the end")


@contextlib.contextmanager
def bulk(place: Place) -> Iterator[list[str]]:
    """A bulk sending of 50,000 messages at a carrier that takes 200 a second; the bystander's one-time passwords go to
    the same carrier."""
    with place.loading("esme", prefixes=LOADED, connections=1, window=1_000, total=50_000, **place.smpp_login):
        wait_until(lambda: place.accepted() >= 50_000, "the messages", place.gateway.child, 120.0)
        waiting = [f"{place.metrics()[_QUEUE]:,.0f} waiting at the beginning"]
        yield waiting
        waiting.append(f"{place.metrics()[_QUEUE]:,.0f} at the end")


@contextlib.contextmanager
def silent(place: Place) -> Iterator[list[str]]:
    """A webhook receiver that takes requests and never answers, and 20,000 notifications for it."""
    with stopping(place.start("rude", kind="never-answers", port=place.setup.url_port)):
        place.owe(20_000)
        yield [place.remark_owed()]


@contextlib.contextmanager
def dead(place: Place) -> Iterator[list[str]]:
    """100,000 notifications for a URL where nobody listens."""
    place.owe(OWED)
    yield [place.remark_owed()]


@contextlib.contextmanager
def rude(place: Place, kind: str, port: int, count: int, remark: str) -> Iterator[list[str]]:
    """One of the programs of `benchmarks.rude`, once it is ready."""
    log = place.path / "rude.log"
    child = place.start("rude", kind=kind, port=port, count=count, login=LOADER)
    with stopping(child):
        wait_until(lambda: "ready" in log.read_text(), kind, child, 60.0)
        yield [remark]


def pipelined(place: Place) -> AbstractContextManager[list[str]]:
    """150 connections without a login, each with 1,800 requests in one write, again and again."""
    return rude(place, "pipelines", place.gateway.http_port, 150, "150 connections")


@contextlib.contextmanager
def replay(place: Place) -> Iterator[list[str]]:
    """A customer with 100,000 ended messages who asks for replays of a span in which nothing lies, 300 in a write."""
    load = place.start("http_load", total=OWED, batch=100, **place.http_login)
    with stopping(load):
        load.result(300.0)
    wait_until(lambda: place.metrics()[_FINISHED] >= OWED, "messages to end", place.gateway.child, 120.0)
    with rude(place, "replays", place.gateway.http_port, 4, "4 connections") as remarks:
        yield remarks


@contextlib.contextmanager
def urls(place: Place) -> Iterator[list[str]]:
    """6,000 messages with a notification URL each, at a host that takes requests and never answers. The bystander is
    told by webhooks."""
    with stopping(place.start("rude", kind="never-answers", port=place.setup.url_port)):
        url = f"http://127.0.0.1:{place.setup.url_port}/of"
        load = place.start("http_load", total=6_000, batch=100, url=url, **place.http_login)
        with stopping(load):
            load.result(300.0)
        wait_until(lambda: place.metrics()["relay_store_owed"] >= 6_000, "notifications", place.gateway.child, 60.0)
        yield [place.remark_owed()]


_FINISHED = 'relay_store_messages_by_stage{stage="finished"}'
_QUEUE = 'relay_carrier_queue{carrier="carrier0"}'


@dataclasses.dataclass
class Case:
    """One way to overdo it.

    :ivar loader: of the loader's account; `URL` stands for the case's own one.
    :ivar loaded: of its carrier.
    :ivar hooked: the bystander is told by webhooks.
    :ivar prefix: the bystander's numbers begin with it: `SPARE`, or `LOADED` where it uses the loader's carrier.
    """

    load: Callable[[Place], AbstractContextManager[list[str]]]
    loader: dict[str, object] = dataclasses.field(default_factory=dict)
    loaded: dict[str, object] = dataclasses.field(default_factory=dict)
    prefix: str = SPARE
    hooked: bool = False


URL: dict[str, object] = {"notification_url": "URL"}
CASES = {
    "flood": Case(flood),
    "limited": Case(flood, loader={"rate": 2_000}),
    "bursts": Case(flood, loader={"rate": 5}),
    "pipelined": Case(pipelined),
    "replay": Case(replay),
    "urls": Case(urls, loader={"allow_private_urls": True}, hooked=True),
    "fast": Case(fast),
    "arrays": Case(arrays),
    "unread": Case(unread),
    "idle": Case(idle),
    "window": Case(window, loaded={"window": 1}),
    "bulk": Case(bulk, loaded={"rate": 200}, prefix=LOADED),
    "silent": Case(silent, loader=URL),
    "dead": Case(dead, loader=URL),
}


@dataclasses.dataclass
class Measured:
    """What one case gave. Times in milliseconds, before and meanwhile."""

    name: str
    answers: tuple[float, float]
    receipts: tuple[float, float]
    p99: tuple[float, float]
    longest: tuple[float, float]
    turns: tuple[float, float]
    grown_mb: float
    commit_ms: float
    remark: str

    @property
    def times(self) -> float:
        """Meanwhile, over before."""
        return self.receipts[1] / self.receipts[0]


def measure(name: str, directory: Path, rounds: int) -> Measured:
    """Runs one case.

    :raises MeasurementFailed: a process of it didn't do what it must.
    """
    case = CASES[name]
    with (
        tempfile.TemporaryDirectory(prefix=f"overload-{name}-", dir=directory) as text,
        upstream(Path(text), "loaded") as loaded,
        upstream(Path(text), "spare") as spare,
    ):
        path = Path(text)
        setup = Setup(path, spare.port, loaded.port, processors.RELAY)
        setup.loaded, setup.hooked = case.loaded, case.hooked
        setup.loader = {key: setup.url if value == "URL" else value for key, value in case.loader.items()}
        with gateways.relay(setup) as gateway:
            for one in (loaded, spare):
                wait_until(lambda one=one: one.binds() >= 1, "a bind", gateway.child, 30.0)  # type: ignore[misc]
            place = Place(path, gateway, setup, rounds)
            # The first one warms up what is measured.
            place.bystander(case.prefix)
            before, rss = place.bystander(case.prefix), gateway.measured.rss_bytes()
            with case.load(place) as remarks:
                begun = place.metrics()
                meanwhile, probed = place.bystander(case.prefix), place.probe()
                ended = place.metrics()
                grown = gateway.measured.rss_bytes() - rss
    return Measured(
        name,
        (before["answer_ms"]["p50"], meanwhile["answer_ms"]["p50"]),
        (before["receipt_ms"]["p50"], meanwhile["receipt_ms"]["p50"]),
        (before["receipt_ms"]["p99"], meanwhile["receipt_ms"]["p99"]),
        (before["receipt_ms"]["max"], meanwhile["receipt_ms"]["max"]),
        (probed["answer_ms"]["p50"], probed["answer_ms"]["p99"]),
        grown / 1e6,
        _mean_ms("relay_journal_commit_seconds", begun, ended),
        ", ".join(remarks),
    )


def _mean_ms(histogram: str, begun: dict[str, float], ended: dict[str, float]) -> float:
    """The mean of what a histogram of the metrics counted between two readings."""
    count, total = (ended[f"{histogram}_{what}"] - begun[f"{histogram}_{what}"] for what in ("count", "sum"))
    return 1000 * total / count if count else 0.0


@contextlib.contextmanager
def upstream(path: Path, name: str) -> Iterator[CarrierProcess]:
    """A carrier on the peers' processors."""
    directory = path / name
    directory.mkdir()
    with carrier(directory, under=processors.PEERS) as process:
        yield process


TITLES = (
    "case",
    "receipt p50 ms before / meanwhile",
    "times",
    "receipt p99 ms before / meanwhile",
    "longest ms before / meanwhile",
    "answer p50 ms before / meanwhile",
    "enquire_link p50/p99 ms",
    "commit ms",
    "MB more",
    "load",
)


def line(measured: Measured) -> str:
    """One row of the table."""
    cells = (
        measured.name,
        " / ".join(f"{value:.1f}" for value in measured.receipts),
        f"{measured.times:.1f}",
        " / ".join(f"{value:.1f}" for value in measured.p99),
        " / ".join(f"{value:.1f}" for value in measured.longest),
        " / ".join(f"{value:.1f}" for value in measured.answers),
        "/".join(f"{value:.1f}" for value in measured.turns),
        f"{measured.commit_ms:.2f}",
        f"{measured.grown_mb:+.0f}",
        measured.remark,
    )
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    described = "\n".join(f"  {name:8} {(case.load.__doc__ or '').strip()}" for name, case in CASES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overload",
        description=(__doc__ or "") + "\n" + described,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: all")
    parser.add_argument("--rounds", type=int, default=300, help="messages of the bystander's in each of its turns")
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir()), help="where journals are written"
    )
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    print(processors.separate(), flush=True)
    print("| " + " | ".join(TITLES) + " |\n|" + " --- |" * len(TITLES), flush=True)
    status = 0
    for name in options.cases or list(CASES):
        try:
            print(line(measure(name, options.directory, options.rounds)), flush=True)
        except MeasurementFailed as failure:
            print(f"| {name} | {failure} |", flush=True)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())

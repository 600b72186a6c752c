"""Starts the gateways that are measured: the relay as its operator would start it, and the floor."""

import contextlib
import http.client
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from benchmarks.processes import (
    Child,
    Children,
    MeasurementFailed,
    free_ports,
    listening,
    start_module,
    stopping,
    wait_until,
)

PASSWORD = "bench"


class Gateway:
    """A running gateway: where it listens, which process it is, and how many binds the carrier should see.

    :ivar measured: the processes whose CPU time and memory count; usually `child` alone.
    """

    def __init__(
        self,
        name: str,
        child: Child,
        smpp_port: int,
        http_port: int,
        carrier_binds: int,
        measured: Children | None = None,
    ) -> None:
        self.measured = measured or Children([child])
        self.name = name
        self.child = child
        self.smpp_port = smpp_port
        self.http_port = http_port
        self.carrier_binds = carrier_binds


#: The reactors that twistd can be told to use, and what stands before twistd for them. uvloop is a policy of asyncio's.
_WITH_UVLOOP = (
    "import runpy, sys, uvloop; uvloop.install(); del sys.argv[0]; runpy.run_path(sys.argv[0], None, '__main__')"
)
REACTORS: dict[str, tuple[list[str], list[str]]] = {
    "": ([], []),
    "epoll": ([], ["--reactor", "epoll"]),
    "asyncio": ([], ["--reactor", "asyncio"]),
    "uvloop": (["-c", _WITH_UVLOOP], ["--reactor", "asyncio"]),
}


class RelaySetup:
    """How the relay is configured for a row.

    :ivar accounts: bench0, bench1, ...; connections are spread over them.
    :ivar binds_an_account: its max_binds.
    :ivar carriers: the first takes numbers that begin with 4400, the second 4401, ...
    :ivar carrier_binds: binds to each of them.
    :ivar webhook_url: where notifications go; "": to the sink's `webhook_port`, if there is one.
    :ivar webhook_ca_file: the authority of the receiver's certificate.
    :ivar webhook_batch: notifications a POST.
    :ivar finished: ended messages that are kept.
    :ivar profile: a file for cProfile's figures, "" for none.
    :ivar reactor: a key of `REACTORS`; "": what twistd chooses.
    :ivar under: a program, with its options, that runs the daemon.
    :ivar cluster: the section of the configuration; None: there is no cluster.
    """

    def __init__(
        self,
        directory: Path,
        carrier_port: int,
        *,
        accounts: int = 1,
        binds_an_account: int = 64,
        carriers: int = 1,
        carrier_binds: int = 2,
        carrier_window: int = 100,
        webhook_port: int = 0,
        webhook_url: str = "",
        webhook_ca_file: Path | None = None,
        webhook_batch: int = 1,
        webhook_concurrency: int = 8,
        sync: str = "always",
        finished: int = 200_000,
        history_days: float = 0.0,
        profile: str = "",
        reactor: str = "",
        under: Sequence[str] = (),
        cluster: Mapping[str, object] | None = None,
    ) -> None:
        self.directory = directory
        self._cluster = cluster
        self._reactor = reactor
        self.smpp_port, self.http_port, self.admin_port = free_ports(3)
        self.carriers = carriers
        self.carrier_binds = carrier_binds
        self.profile = profile
        self._under = under
        self._carrier_port = carrier_port
        self._accounts = accounts
        self._binds_an_account = binds_an_account
        self._carrier_window = carrier_window
        self._webhook_url = webhook_url or (f"http://127.0.0.1:{webhook_port}/notifications" if webhook_port else "")
        self._webhook_ca_file = webhook_ca_file
        self._webhook_batch = webhook_batch
        self._webhook_concurrency = webhook_concurrency
        self._sync = sync
        self._finished = finished
        self._history_days = history_days

    def config(self) -> dict[str, object]:
        """The configuration file's contents."""
        account: dict[str, object] = {"allow_private_urls": True}
        if self._webhook_ca_file is not None:
            account["notification_tls"] = {"ca_file": str(self._webhook_ca_file)}
        if self._webhook_url:
            account |= {
                "notification_url": self._webhook_url,
                "notification_batch": self._webhook_batch,
                "notification_concurrency": self._webhook_concurrency,
            }
        connections = self._accounts * self._binds_an_account + 100
        carrier = {
            "connect": f"tcp:127.0.0.1:{self._carrier_port}",
            "password": PASSWORD,
            "binds": self.carrier_binds,
            "window": self._carrier_window,
        }
        return {
            "data_dir": str(self.directory / "data"),
            "journal": {"sync": self._sync},
            **({} if self._cluster is None else {"cluster": dict(self._cluster)}),
            "history": {"days": self._history_days},
            "limits": {
                "connections": connections,
                "connections_per_address": connections,
                "finished": self._finished,
            },
            "http": {"listen": [f"tcp:{self.http_port}:interface=127.0.0.1"]},
            "smpp": {"listen": [f"tcp:{self.smpp_port}:interface=127.0.0.1:backlog=2000"]},
            "admin": {"listen": [f"tcp:{self.admin_port}:interface=127.0.0.1"]},
            "accounts": {
                f"bench{n}": account
                | {"api_key": f"key-of-bench{n}"}
                | {"smpp": {"system_id": f"bench{n}", "password": PASSWORD, "max_binds": self._binds_an_account}}
                for n in range(self._accounts)
            },
            "carriers": {f"carrier{n}": carrier | {"system_id": f"relay{n}"} for n in range(self.carriers)},
            "routes": [
                *({"prefix": prefix, "carriers": [f"carrier{n}"]} for n, prefix in enumerate(prefixes(self.carriers))),
                {"carriers": ["carrier0"]},
            ],
        }

    def start(self) -> Child:
        """Starts the daemon; `relay` waits until it serves, and so may whoever starts it anew."""
        config = self.directory / "relay.yaml"
        config.write_text(yaml.safe_dump(self.config(), sort_keys=False))
        twistd = Path(sys.executable).with_name("twistd")
        before, options = REACTORS[self._reactor]
        command = [
            *self._under,
            sys.executable,
            *before,
            str(twistd),
            "--nodaemon",
            "--pidfile=",
            "--no_save",
            *options,
        ]
        if self.profile:
            command += ["--profile", self.profile, "--profiler", "cprofile", "--savestats"]
        return Child("relay", [*command, "relay", "--config", str(config)], self.directory / "relay.log", quiet=True)

    def ready(self) -> bool:
        """Whether the daemon says that it is ready; where it has no such page, whether it listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=2)
        try:
            connection.request("GET", "/health/ready")
            status = connection.getresponse().status
        except OSError:
            return False
        finally:
            connection.close()
        return status == 200 or (status == 404 and listening(self.smpp_port))


def prefixes(carriers: int) -> list[str]:
    """The number prefixes that lead to each carrier: 4400, 4401, ..."""
    return [f"44{number:02d}" for number in range(carriers)]


@contextlib.contextmanager
def relay(setup: RelaySetup, ready_seconds: float = 30.0) -> Iterator[Gateway]:
    """The daemon, from ready to stopped."""
    child = setup.start()
    with stopping(child):
        wait_until(setup.ready, "readiness", child, ready_seconds)
        yield Gateway("relay", child, setup.smpp_port, setup.http_port, setup.carriers * setup.carrier_binds)


@contextlib.contextmanager
def floor(
    directory: Path, carrier_port: int, binds: int = 2, under: Sequence[str] = (), ready_seconds: float = 20.0
) -> Iterator[Gateway]:
    """The bare pass-through.

    :param under: a program, with its options, that runs it.
    """
    (port,) = free_ports(1)
    arguments = {"port": port, "carrier_port": carrier_port, "binds": binds}
    child = start_module("floor", directory, arguments, under=under)
    with stopping(child):
        wait_until(lambda: listening(port), "listener", child, ready_seconds)
        yield Gateway("floor", child, port, 0, binds)


__all__ = ["PASSWORD", "Gateway", "MeasurementFailed", "RelaySetup", "floor", "prefixes", "relay"]

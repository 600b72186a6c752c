"""The log in PostgreSQL with a synchronous standby, beside the journal on the local disk: CPU time, and answers.

Both database servers run on this machine, so they take processor time from the relay, and share its disk. A machine
with databases of its own does better. So only ratios within one run say anything.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from benchmarks.bench import Bench
from benchmarks.chain import Metered, Row, metered_smpp_row, smpp_row
from benchmarks.gateways import Gateway
from benchmarks.processes import MeasurementFailed
from tests.postgresql_servers import DATABASE, POSTGRESQL_MISSING, PostgresqlPair

#: What the log in PostgreSQL may cost at most, beside the local journal: the relay's CPU time a message, and the p99 of
#: submit_sm_resp at half load; and both servers' CPU time, beside the relay's.
MOST_RELAY, MOST_P99, MOST_SERVERS = 1.15, 3.0, 0.35
_LOCAL, _REMOTE = "journal on the local disk", "log in PostgreSQL, synchronous standby"
#: Segments of the write-ahead log that exist before the measurement. A server that has run for a while has them, too.
_WAL_SEGMENTS = 40


class ServersMetered(Metered):
    """Counts the CPU time of both database servers, too."""

    def __init__(self, gateway: Gateway, servers: PostgresqlPair) -> None:
        super().__init__(gateway)
        self._servers = servers
        self._servers_begun = self.servers_seconds = 0.0

    def begin(self) -> None:
        super().begin()
        self._servers_begun = self._servers.cpu_seconds()

    def end(self) -> None:
        super().end()
        self.servers_seconds = self._servers.cpu_seconds() - self._servers_begun


def cluster_log(bench: Bench) -> list[Row]:
    """The log in PostgreSQL with a synchronous standby, beside the journal on the local disk."""
    with servers() as pair:
        found = [local(bench), remote(bench, pair)]
        rate = int(min(row.messages_per_second for row in found) / 2)
        found += [local(bench, rate), remote(bench, pair, rate)]
    (near, far, near_half, far_half) = found
    cpu, p99 = far.cpu_us / near.cpu_us, far_half.submit_p99_ms / near_half.submit_p99_ms
    databases = far.notes["servers_cpu_us"] / far.cpu_us
    bench.say(
        f"log in PostgreSQL: {cpu:.2f} times the CPU time of the relay (at most {MOST_RELAY}), the servers take "
        f"{databases:.2f} of the relay's (at most {MOST_SERVERS}), {p99:.1f} times the p99 of answers at half load (at "
        f"most {MOST_P99})"
    )
    return found


@contextlib.contextmanager
def servers() -> Iterator[PostgresqlPair]:
    """A primary and a synchronous standby that have run for a while: they have files for their write-ahead logs.

    A new file is filled with zeros and synced, and all commits wait for that: 0.1 s and more, many times a minute.
    """
    if POSTGRESQL_MISSING:
        raise MeasurementFailed(POSTGRESQL_MISSING)
    pair = PostgresqlPair()
    try:
        assert pair.standby is not None
        for server in (pair.primary, pair.standby):
            server.query("ALTER SYSTEM SET min_wal_size = '1GB'")
            server.query("ALTER SYSTEM SET max_wal_size = '4GB'")
            server.reload()
        for _ in range(_WAL_SEGMENTS):
            pair.primary.query("SELECT pg_logical_emit_message(false, 'bench', 'x')", DATABASE)
            pair.primary.query("SELECT pg_switch_wal()", DATABASE)
        for server in (pair.primary, pair.standby):
            server.query("CHECKPOINT")
        yield pair
    finally:
        pair.close()


def local(bench: Bench, rate: int = 0) -> Row:
    """The relay with its own journal. `rate`: messages a second; 0: as fast as they go."""
    total, options = _load(bench, rate)
    with bench.relay("local-log", total, _carrier(rate)) as (path, gateway, upstream):
        return smpp_row(_named(_LOCAL, rate), path, gateway, upstream, total=total, **options)


def remote(bench: Bench, pair: PostgresqlPair, rate: int = 0) -> Row:
    """The relay with its log in the database."""
    total, options = _load(bench, rate)
    cluster = {"database": pair.url(), "node": "bench"}
    pair.primary.query("DROP SCHEMA IF EXISTS relay CASCADE", DATABASE)
    with bench.place("cluster-init") as path:
        _init(path, cluster)
    with bench.relay("cluster-log", total, _carrier(rate), cluster=cluster) as (path, gateway, upstream):
        meter = ServersMetered(gateway, pair)
        row = metered_smpp_row(_named(_REMOTE, rate), path, gateway, upstream, meter, total=total, **options)
    row.notes["servers_cpu_us"] = 1e6 * meter.servers_seconds / (row.messages or 1)
    row.remark = f"both servers: {row.notes['servers_cpu_us']:.1f} us a message"
    return row


def _init(path: Path, cluster: Mapping[str, object]) -> None:
    config = path / "cluster.yaml"
    config.write_text(yaml.safe_dump({"data_dir": str(path / "data"), "cluster": cluster}))
    command = [sys.executable, "-m", "relay", "cluster", "init", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise MeasurementFailed(f"cluster init: {done.stdout}{done.stderr}")


def _load(bench: Bench, rate: int) -> tuple[int, dict[str, int]]:
    if not rate:
        return bench.count(200_000), {}
    return max(200, int(rate * 20 * min(1.0, bench.scale))), {"rate": rate}


def _carrier(rate: int) -> dict[str, int]:
    return {"delay_ms": 100} if rate else {}


def _named(what: str, rate: int) -> str:
    return f"{what}, at {rate:,}/s" if rate else what

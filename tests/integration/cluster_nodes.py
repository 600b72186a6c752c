"""Relays of one cluster as processes, each with its own ports and directory, on a database of the test's own."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.threads import deferToThreadPool

from tests.integration.harness import IntegrationTestCase, Relay, until
from tests.postgresql_servers import DATABASE, POSTGRESQL_MISSING, PostgresqlPair

reactor: Any = installed_reactor
#: Long enough that a busy machine renews in time.
LEASE_SECONDS = 8.0


class Node(Relay):
    """One relay of a cluster."""

    def __init__(self, directory: Path, name: str, database: str, **configuration: Any) -> None:
        cluster = {"database": database, "node": name, "lease_seconds": LEASE_SECONDS}
        cluster |= configuration.pop("cluster", {})
        window = configuration.pop("smpp_window", 500)
        super().__init__(directory, name, cluster=cluster, **configuration)
        self.configuration["smpp"]["window"] = window

    def since_launch(self) -> str:
        """What it has printed since its process was started the last time."""
        return self.log_file.read_bytes()[self._log_before :].decode(errors="replace")

    def said(self, event: str) -> int:
        """How often it has logged an event, since its process was started the last time."""
        return self.since_launch().count(f"{event}:")

    @property
    def works(self) -> bool:
        """Whether it is the owner and takes messages, as far as its log says."""
        lines = self.since_launch().splitlines()
        last = next((line for line in reversed(lines) if "relay_ready:" in line or "cluster_starts_again:" in line), "")
        return "relay_ready:" in last and self.running

    @property
    def standing_by(self) -> bool:
        """Whether it stands by, as far as its log says: what it has said last."""
        events = ("cluster_stands_by:", "cluster_took_over:", "cluster_starts_again:", "cluster_may_not")
        lines = [line for line in self.since_launch().splitlines() if any(event in line for event in events)]
        return bool(lines) and "cluster_stands_by:" in lines[-1] and self.running

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.poll() is None

    def pause(self) -> None:
        """Stops its process with SIGSTOP, at whatever instant it is."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            # A process that is paused takes a SIGKILL, too.
            self.process.kill()
            self.process.wait()
            self.process = None


class ClusterTestCase(IntegrationTestCase):
    """Tests with the nodes `a` and `b`, and a primary with a synchronous standby."""

    skip = POSTGRESQL_MISSING
    with_standby = True

    def setUp(self) -> None:
        super().setUp()
        self.servers = PostgresqlPair(standby=self.with_standby)
        self.addCleanup(self.servers.close)
        self.make_tables()

    def make_tables(self) -> None:
        """Makes the cluster's tables, as `python -m relay cluster init` does."""
        from relay.cluster.cluster_database import ClusterDatabase, connection_arguments
        from relay.config.daemon_config import Cluster

        database = ClusterDatabase(connection_arguments(Cluster(database=self.servers.url()), "init"))
        with contextlib.closing(database):
            database.init()

    def node(self, name: str, **configuration: Any) -> Node:
        """A node that isn't started yet."""
        single = {"allow_single_database": True} if not self.with_standby else {}
        node = Node(self.directory, name, self.servers.url(), **configuration, cluster=single)
        self.addCleanup(self._end, node)
        return node

    async def started_pair(self, **configuration: Any) -> tuple[Node, Node]:
        """Node a, which works, and node b, which stands by."""
        a, b = self.node("a", **configuration), self.node("b", **configuration)
        await a.start()
        b.launch()
        await self.stands_by(b)
        return a, b

    async def stands_by(self, node: Node) -> None:
        """Waits until a node stands by."""
        await until(f"{node.name} stands by\n{node.log()}", lambda: node.said("cluster_stands_by"), 60)

    async def works(self, node: Node) -> None:
        """Waits until a node is the owner and takes messages."""
        await until(f"{node.name} works\n{node.log()}", lambda: node.works, 60)

    def owners(self) -> list[tuple[Any, ...]]:
        """Epoch and owner of the shard, as the database says."""
        return self.servers.primary.query("SELECT epoch, owner FROM relay.shard", DATABASE)

    @staticmethod
    async def in_thread(work: Any, *arguments: Any) -> Any:
        """Does something that blocks, such as a fail-over of the servers, in a thread."""
        return await deferToThreadPool(reactor, reactor.getThreadPool(), work, *arguments)

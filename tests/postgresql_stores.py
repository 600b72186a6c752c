"""Stores whose log is in PostgreSQL, on a server of the test's own."""

import atexit
from collections.abc import Callable
from functools import cache
from typing import Any

from twisted.internet.task import Clock

from relay.store.journal.journal_store import JournalStore
from relay.store.postgresql.log_connection import LogConnection
from relay.store.postgresql.log_schema import CREATE
from relay.store.postgresql.shard_log import ShardLog
from tests.postgresql_servers import DATABASE, PostgresqlPair
from tests.simulated_disk import SimulatedDisk
from tests.stores import at_once, make_store, wait_for


@cache
def shared_server() -> PostgresqlPair:
    """One server without a standby, for all tests of this process that don't hurt it. It ends with the process."""
    servers = PostgresqlPair(standby=False)
    atexit.register(servers.close)
    return servers


def make_tables(servers: PostgresqlPair) -> None:
    """Makes the tables of a cluster with one shard that nobody owns. Tables that are there are dropped."""
    servers.primary.query("DROP SCHEMA IF EXISTS relay CASCADE", DATABASE)
    servers.primary.query(CREATE, DATABASE)
    servers.primary.query("SELECT relay.add_shard(0)", DATABASE)


def take_over(servers: PostgresqlPair, node: str = "a") -> int:
    """Makes a node the owner of the shard. Returns its epoch."""
    rows = servers.primary.query(
        f"UPDATE relay.shard SET epoch = epoch + 1, owner = '{node}' RETURNING epoch", DATABASE
    )
    return int(rows[0][0])


class StoreInPostgresql:
    """A relay's store with its log in PostgreSQL, and the node around it.

    :ivar fenced: how often the store has found that another node owns the shard.
    """

    def __init__(
        self,
        servers: PostgresqlPair | None,
        clock: Clock,
        *,
        disk: SimulatedDisk | None = None,
        allow_single: bool = True,
        in_thread: Callable[[Callable[[], Any]], Any] = at_once,
        connect: Callable[[dict[str, Any]], LogConnection] = LogConnection,
        **options: Any,
    ) -> None:
        self.servers = servers
        self.clock = clock
        self.disk = disk or SimulatedDisk()
        self.fenced = 0
        self._allow_single = allow_single
        self.log = ShardLog(
            self.disk,
            "data",
            {"conninfo": servers.url(target_session_attrs="read-write", connect_timeout="2")} if servers else {},
            in_reading_thread=at_once,
            clock=clock,
            fenced=self._count_fenced,
            connect=connect,
        )
        self.store: JournalStore = make_store(
            self.log.files, clock, in_thread=in_thread, trouble=self.log.trouble, **options
        )

    def _count_fenced(self) -> None:
        self.fenced += 1

    def close(self) -> None:
        """Ends the node's connections, as its end would."""
        self.log.close()

    def take_over(self, node: str) -> int:
        """Makes this node the owner. Returns the epoch."""
        assert self.servers is not None
        return take_over(self.servers, node)

    def own(self, node: str = "a") -> "StoreInPostgresql":
        """Takes the shard over, and starts the store."""
        epoch = self.take_over(node)
        wait_for(self.clock, self.log.own(self.store, epoch, node, allow_single=self._allow_single))
        wait_for(self.clock, self.store.start())
        return self

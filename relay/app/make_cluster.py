"""Makes a relay a node of its cluster. Only `relay.tap` imports this, and only if there is a cluster."""

import os
import sys
from collections.abc import Callable
from typing import Any

import psycopg
from twisted.internet.task import deferLater
from twisted.logger import Logger

from relay import __version__
from relay.app.listeners import StartFailure
from relay.app.steady_clock import uptime
from relay.cluster.cluster_config import config_digest
from relay.cluster.cluster_database import ClusterDatabase, connection_arguments
from relay.cluster.cluster_look import look_at, troubles
from relay.cluster.cluster_values import ClusterRefused, NodeReport
from relay.cluster.lease import LeaseGate
from relay.cluster.membership import ClusterState
from relay.cluster.node_name import node_name
from relay.cluster.ownership import Ownership
from relay.cluster.ownership_seams import InThread
from relay.config.model import Config
from relay.history.history_source import HistorySource
from relay.history.postgresql_history import PostgresqlHistory
from relay.store.journal.files import Files
from relay.store.journal.journal_format import FORMAT_VERSION
from relay.store.journal.journal_store import JournalStore
from relay.store.postgresql.shard_log import ShardLog

#: The exit status of a node that can't start again by itself: "try again later".
_TRY_AGAIN = 75
#: The pause before a new owner tries again to read the end of the log.
_READ_AGAIN_SECONDS = 0.5

log = Logger()


class Node:
    """This relay as a node of its cluster, as `relay.cluster.membership.Membership` describes it.

    :param compared: the part of the configuration that must be the same on all nodes.
    :param files: the local disk.
    :param make_thread: makes a thread with this name.
    :param start_again: ends this process at once, and begins a new one. Called when another node has taken over.
    :ivar gate: whether this relay may send. It is shut until the node owns the shard.
    :ivar shard_log: the log in the database. Its `files` are the store's disk.
    :ivar store: the store. To be set before `acquire`.
    """

    def __init__(
        self,
        config: Config,
        compared: Config,
        reactor: Any,
        files: Files,
        make_thread: Callable[[str], InThread],
        start_again: Callable[[str], None],
    ) -> None:
        cluster = config.cluster
        self.store: JournalStore
        self._start_again = start_again
        self._clock = reactor
        self._cluster = cluster
        self._name = node_name(cluster)
        self._digest = config_digest(compared)
        self._single_database = cluster.allow_single_database
        database = ClusterDatabase(connection_arguments(cluster, f"node {self._name}"))
        self.gate = LeaseGate(uptime)
        self.shard_log = ShardLog(
            files,
            config.data_dir,
            connection_arguments(cluster, f"log {self._name}"),
            # Reading the log must not wait for a renewal, nor a renewal for it.
            in_reading_thread=make_thread("log"),
            clock=reactor,
            fenced=lambda: reactor.callFromThread(self._fenced),
            put_back=lambda rows: reactor.callFromThread(self._put_back, rows),
        )
        self.ownership = Ownership(
            database,
            make_thread("cluster"),
            reactor,
            gate=self.gate,
            uptime=uptime,
            node=NodeReport(self._name, relay_version=__version__, format_level=FORMAT_VERSION),
            lease_seconds=cluster.lease_seconds,
            look=lambda: look_at(database),
            lost=start_again,
            followed=self.shard_log,
        )

    def history_source(self, purpose: str) -> HistorySource:
        """Where the history is: in the cluster's database. See `relay.app.make_history`."""
        arguments = connection_arguments(self._cluster, f"{purpose} {self._name}")
        return PostgresqlHistory(arguments, lambda: self.ownership.epoch)

    @property
    def store_options(self) -> dict[str, Any]:
        """The arguments of the store that only a cluster needs."""
        return {"trouble": self._trouble, "gate": self.gate}

    def _trouble(self) -> str:
        """Why a commit may take long; "": it should end soon. A server that only hangs shows in missing renewals."""
        return self.shard_log.trouble() or ("" if self.gate.open else self.ownership.reason)

    async def acquire(self) -> None:
        self.shard_log.follow(self.store)
        try:
            epoch = await self.ownership.acquire(self._digest)
        except ClusterRefused as problem:
            raise StartFailure(f"cluster: {problem}") from None
        while True:
            try:
                await self.shard_log.own(self.store, epoch, self._name, allow_single=self._single_database)
                return
            except psycopg.Error as problem:
                log.warn(
                    "cluster_log_unread: the log can't be read: {problem}; the relay tries again", problem=str(problem)
                )
                await deferLater(self._clock, _READ_AGAIN_SECONDS)

    def _fenced(self) -> None:
        self.ownership.lose("another node has taken over")

    def _put_back(self, rows: int) -> None:
        log.error(
            "cluster_log_put_back: the database had lost {rows} rows of the log; this relay has put them back from its "
            "own copy, so nothing is lost. Find out why the server that took over lacked them",
            rows=rows,
        )

    def follows(self) -> bool:
        return self.shard_log.caught_up

    def finish_writing(self) -> None:
        self.shard_log.stop()

    async def release(self) -> None:
        self.shard_log.close()
        await self.ownership.release()

    def use_file(self, config: Config) -> None:
        """Tells the other nodes that this one has applied another configuration file."""
        self.ownership.use_file(config_digest(config))

    def start_again(self, reason: str) -> None:
        self._start_again(reason)

    def state(self) -> ClusterState:
        ownership = self.ownership
        look = ownership.cluster
        return ClusterState(
            node=self._name,
            owner=ownership.owner,
            epoch=ownership.epoch,
            works=ownership.works,
            reason=ownership.reason,
            owned_at=ownership.owned_at if ownership.epoch else 0.0,
            look=look,
            troubles=[] if look is None else troubles(look, single_database=self._single_database),
        )


def start_again(reason: str, *, in_place: bool, pid_file: str | None) -> None:
    """Ends this process at once, and begins a new one that stands by.

    Nothing that waits in a socket's buffer is sent any more: the kernel closes all connections.

    :param in_place: whether the new process takes this one's place. Otherwise this one only ends, and the service
        manager starts another one.
    :param pid_file: twistd's file with the process id, which a new twistd would take for another relay's.
    """
    log.warn("cluster_starts_again: {reason}; the relay starts again and stands by", reason=reason)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if in_place:
            if pid_file and os.path.exists(pid_file):
                os.remove(pid_file)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    finally:
        os._exit(_TRY_AGAIN)

"""Makes a relay a node of its cluster. Only `relay.tap` imports this, and only if there is a cluster."""

import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from relay import __version__
from relay.app.daemon import StartFailure
from relay.app.steady_clock import uptime
from relay.cluster.cluster_config import config_digest
from relay.cluster.cluster_database import ClusterDatabase, connection_arguments
from relay.cluster.cluster_look import look_at, troubles
from relay.cluster.cluster_values import ClusterRefused, NodeReport
from relay.cluster.lease import LeaseGate
from relay.cluster.membership import ClusterState
from relay.cluster.node_name import node_name
from relay.cluster.ownership import InThread, Ownership
from relay.config.model import Config
from relay.store.journal.journal_format import FORMAT_VERSION

#: The exit status of a node that can't start again by itself: "try again later".
_TRY_AGAIN = 75

log = Logger()


class Node:
    """This relay as a node of its cluster, as `relay.cluster.membership.Membership` describes it.

    :param in_thread: a thread for the database, which is used for nothing else.
    :param start_again: ends this process at once, and begins a new one. Called when another node has taken over.
    :ivar gate: whether this relay may send. It is shut until the node owns the shard.
    """

    def __init__(self, config: Config, reactor: Any, in_thread: InThread, start_again: Callable[[str], None]) -> None:
        self._start_again = start_again
        cluster = config.cluster
        self._name = node_name(cluster)
        self._digest = config_digest(config)
        self._single_database = cluster.allow_single_database
        database = ClusterDatabase(connection_arguments(cluster, f"node {self._name}"))
        self.gate = LeaseGate(uptime)
        self.ownership = Ownership(
            database,
            in_thread,
            reactor,
            gate=self.gate,
            uptime=uptime,
            node=NodeReport(self._name, relay_version=__version__, format_level=FORMAT_VERSION),
            lease_seconds=cluster.lease_seconds,
            look=lambda: look_at(database),
            lost=start_again,
        )

    async def acquire(self) -> None:
        try:
            await self.ownership.acquire(self._digest)
        except ClusterRefused as problem:
            raise StartFailure(f"cluster: {problem}") from None

    async def release(self) -> None:
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

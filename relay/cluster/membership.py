"""How the daemon and the operator's pages see this relay's place in its cluster. Nothing here needs a database."""

from typing import Protocol

import msgspec

from relay.cluster.cluster_look import ClusterLook
from relay.config.model import Config


class ClusterState(msgspec.Struct, frozen=True):
    """This node and its cluster.

    :ivar node: this node's name.
    :ivar owner: the node that owns the shard, as this node saw it last; "": nobody.
    :ivar epoch: the epoch under which this node owns the shard; 0: it doesn't.
    :ivar works: whether this node owns the shard, and may send.
    :ivar reason: why it doesn't work; "": it does.
    :ivar owned_at: since when this node owns the shard; 0.0: it doesn't.
    :ivar look: what the last look at the whole cluster saw; None: there was none yet.
    :ivar troubles: what is wrong with the cluster, in sentences.
    """

    node: str
    owner: str
    epoch: int
    works: bool
    reason: str
    owned_at: float
    look: ClusterLook | None
    troubles: list[str]


class Membership(Protocol):
    """This relay's place in its cluster."""

    async def acquire(self) -> None:
        """Waits until this relay owns the shard, perhaps for days. Cancel it to stop waiting."""

    def follows(self) -> bool:
        """Whether the store has everything that the relay that works has written, as of some moments ago."""

    def finish_writing(self) -> None:
        """Gives up writes that the database doesn't take within some seconds. Call it before the store is stopped."""

    async def release(self) -> None:
        """Hands the shard over, when everything is written. A second call does nothing."""

    def use_file(self, config: Config) -> None:
        """Tells the other nodes that this one has applied another configuration file."""

    def start_again(self, reason: str) -> None:
        """Ends this process at once, and begins a new one that stands by."""

    def state(self) -> ClusterState:
        """The present state. A call is cheap."""

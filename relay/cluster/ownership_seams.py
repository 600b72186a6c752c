"""What `relay.cluster.ownership.Ownership` needs from the database and from the log."""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from relay.cluster.cluster_config import FileGeneration
from relay.cluster.cluster_values import NodeReport, Renewal, ServerState
from relay.cluster.lease import Standing


class OwnerDatabase(Protocol):
    """The database, as `relay.cluster.cluster_database.ClusterDatabase` has it. Its methods block."""

    def check_schema(self) -> None: ...
    def server_state(self) -> ServerState: ...
    def look(self) -> Standing: ...
    def take_over(self, seen: Standing, node: str, lease_seconds: float, known_epoch: int) -> int | None: ...
    def renew(self, epoch: int, lease_seconds: float) -> Renewal: ...
    def release(self, epoch: int) -> None: ...
    def report(self, node: NodeReport) -> None: ...
    def files(self, node: str) -> tuple[FileGeneration, FileGeneration]: ...
    def keep_file(self, node: str, file: FileGeneration, *, is_new: bool) -> bool: ...
    def interrupt(self) -> None: ...
    def close(self) -> None: ...


#: Runs a function in the node's thread for the database, one at a time.
InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


class FollowedLog(Protocol):
    """The shard's log, as `relay.store.postgresql.shard_log.ShardLog` has it."""

    @property
    def followed_sequence(self) -> int:
        """How many rows this node has read, while it stands by."""

    @property
    def known_epoch(self) -> int:
        """The highest epoch that this node has seen, also before its last start."""

    def why_not_own(self) -> str | None:
        """Why this node must not own the shard; "": it may; None: that isn't known yet."""

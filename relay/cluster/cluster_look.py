"""The state of a whole cluster as one value: who owns the shard, which nodes there are, and the database's standbys."""

from typing import Any, Final, Protocol

import msgspec

from relay.cluster.cluster_values import ServerState

#: A node that was not seen for so long is taken to be away.
_SEEN_SECONDS: Final = 6.0


class LookedAt(Protocol):
    """The database, as `relay.cluster.cluster_database.ClusterDatabase` has it. Its methods block."""

    def check_schema(self) -> None:
        """Raises if this relay doesn't know the tables."""

    def server_state(self) -> ServerState:
        """The server and its standbys."""

    def last_sequence(self) -> int:
        """The number of the last row of the log."""

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""


class ShardLook(msgspec.Struct, frozen=True):
    """A shard and its owner. Ages are in seconds, by the database's clock.

    :ivar owner: the node's name; "": nobody owns it.
    :ivar renewed_seconds: how long ago the owner renewed its lease.
    """

    number: int
    epoch: int
    owner: str
    owned_seconds: float
    renewed_seconds: float
    lease_seconds: float


class NodeLook(msgspec.Struct, frozen=True):
    """A node, as it was seen last.

    :ivar owner: whether it owns the shard.
    :ivar behind: how many rows of the log it has not read yet. 0 for the owner.
    :ivar file: the generation of its configuration file; `older_file` says whether that isn't the latest.
    """

    name: str
    relay_version: str
    owner: bool
    seen_seconds: float
    behind: int
    file: int
    older_file: bool


class ClusterLook(msgspec.Struct, frozen=True):
    """The state of a cluster.

    :ivar latest_file: the generation of the latest configuration file.
    :ivar rows: how many rows the log has had, also those that were dropped.
    """

    cluster_id: str
    schema_version: int
    format_level: int
    latest_file: int
    server: ServerState
    shards: list[ShardLook]
    nodes: list[NodeLook]
    rows: int

    @property
    def standing_by(self) -> list[NodeLook]:
        """The nodes that could take over: they were seen a moment ago, and have the latest configuration file."""
        lease_seconds = max((shard.lease_seconds for shard in self.shards), default=0.0)
        latest = max(lease_seconds, _SEEN_SECONDS)
        return [node for node in self.nodes if not (node.owner or node.older_file) and node.seen_seconds <= latest]


def look_at(database: LookedAt) -> ClusterLook:
    """Looks at a cluster. It blocks.

    :raises ClusterRefused, DatabaseAway: it can't be seen.
    """
    database.check_schema()
    server = database.server_state()
    [(cluster_id, schema_version, format_level, latest_file, latest_digest)] = database.rows(
        "SELECT cluster_id::text, schema_version, format_level, config_generation, config_digest FROM relay.cluster"
    )
    rows = database.last_sequence()
    shards = [
        ShardLook(*row)
        for row in database.rows(
            "SELECT s.number, s.epoch, s.owner, extract(epoch FROM clock_timestamp() - s.owned_since)::float8, "
            "extract(epoch FROM clock_timestamp() - l.renewed_at)::float8, l.lease_seconds "
            "FROM relay.shard s JOIN relay.lease l ON l.shard = s.number ORDER BY s.number"
        )
    ]
    owners = {shard.owner for shard in shards}
    nodes = [
        NodeLook(
            name,
            version,
            name in owners,
            seen_seconds,
            0 if name in owners else max(0, rows - followed),
            file,
            bytes(digest) != bytes(latest_digest),
        )
        for name, version, seen_seconds, followed, file, digest in database.rows(
            "SELECT name, relay_version, extract(epoch FROM clock_timestamp() - seen_at)::float8, followed_sequence, "
            "config_generation, config_digest FROM relay.node ORDER BY name"
        )
    ]
    return ClusterLook(cluster_id, schema_version, format_level, latest_file, server, shards, nodes, rows)


def troubles(look: ClusterLook, *, single_database: bool) -> list[str]:
    """What is wrong with a cluster, in sentences; empty when all is well.

    :param single_database: whether one server without a standby is meant (`allow_single_database`).
    """
    wrong = list(look.server.refusals)
    if not look.server.requires_standby and not single_database:
        wrong.append(
            "the server has no synchronous_standby_names, so nothing is accepted: name the standbys, or set "
            "cluster.allow_single_database if one server is meant"
        )
    if look.server.requires_standby and not look.server.synchronous:
        wrong.append("no synchronous standby is connected, so nothing is accepted until one is")
    for shard in look.shards:
        if not shard.owner:
            wrong.append(f"nobody owns shard {shard.number}")
        elif shard.renewed_seconds > shard.lease_seconds:
            wrong.append(f"{shard.owner} owns shard {shard.number}, and has shown no sign of life for "
                         f"{shard.renewed_seconds:.0f} s")  # fmt: skip
    if not look.standing_by:
        wrong.append("no other node stands by with the latest configuration file")
    wrong += [
        f"{node.name} has an older configuration file (generation {node.file}, the latest is {look.latest_file})"
        for node in look.nodes
        if node.older_file and node.seen_seconds <= 86_400.0
    ]
    return wrong

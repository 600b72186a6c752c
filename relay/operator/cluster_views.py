"""Shows the place of this relay in its cluster, for the overview."""

from collections.abc import Sequence
from typing import Final

from relay.account_pages.html import Content, duration, el
from relay.cluster.cluster_look import NodeLook
from relay.cluster.membership import ClusterState
from relay.operator.operator_html import grid, number, word

_HEADS: Final = ("Node", "State", "Seen", "Rows behind", "Configuration", "Version")
#: A node that was not seen for so long is away.
_AWAY_SECONDS: Final = 10.0


def cluster_place(cluster: ClusterState) -> list[Content]:
    """Makes the content of the card about the cluster."""
    if not cluster.epoch:
        place = f"This is {cluster.node}; it {cluster.reason}."
    else:
        does = "works" if cluster.works else f"owns the messages but sends nothing: {cluster.reason}"
        place = f"This is {cluster.node}, and it {does}, under epoch {cluster.epoch}."
    look = cluster.look
    if look is None:
        return [el("p", place, id="cluster", data_live=True)]
    shard = look.shards[0]
    since = f"{shard.owner} has worked for {duration(shard.owned_seconds)}." if shard.owner else "Nobody works."
    standbys = ", ".join(f"{name} ({kind or state or 'hidden'})" for name, state, kind, _ in look.server.standbys)
    database = f"Database: PostgreSQL {look.server.version}, standbys: {standbys or 'none'}; {look.rows:,} rows."
    return [
        el("p", f"{place} {since} {database}", id="cluster", data_live=True),
        grid("nodes", "Nodes of the cluster", _HEADS, map(_row, look.nodes), "No node has been seen."),
    ]


def _row(node: NodeLook) -> Sequence[Content]:
    away = node.seen_seconds > _AWAY_SECONDS
    state = word("works", "good") if node.owner else word("away", "bad") if away else word("stands by", "good")
    return (
        node.name,
        state,
        f"{duration(node.seen_seconds)} ago",
        number(node.behind),
        word("older file", "bad") if node.older_file else "latest file",
        node.relay_version,
    )

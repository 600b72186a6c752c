"""The name of this node among the others of its cluster."""

import socket

from relay.config.daemon_config import Cluster


def node_name(cluster: Cluster) -> str:
    """The configured name, or else the host's name without its domain."""
    return cluster.node or socket.gethostname().partition(".")[0]

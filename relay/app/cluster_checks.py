"""Checks of the key `cluster`: the database's URL, and keys that exclude each other."""

from collections.abc import Iterator

from relay.config.daemon_config import Cluster
from relay.config.database_url import DatabaseUrlProblem, parse_database_url
from relay.config.model import Config
from relay.config.yaml_reader import Path

#: A key, what is wrong with it, and what to do.
Finding = tuple[Path, str]


def check_cluster(config: Config) -> Iterator[Finding]:
    """Finds what is wrong with `cluster`, and what doesn't go together with it. Without a database: nothing."""
    cluster = config.cluster
    if not cluster.database:
        if cluster != Cluster():
            yield ("cluster", "database"), "missing; the other keys of cluster have no meaning without it"
        return
    try:
        parse_database_url(cluster.database)
    except DatabaseUrlProblem as problem:
        yield ("cluster", "database"), str(problem)
    if not cluster.node.isprintable() or cluster.node != cluster.node.strip():
        yield ("cluster", "node"), "may only hold printable characters, and no space at its ends"
    if config.journal.sync != "always":
        yield ("journal", "sync"), "has no meaning with a cluster, whose database makes messages durable; leave it out"
    if config.history.days and config.history.numbers == "hashed":
        yield (
            ("history", "numbers"),
            "can't be hashed in a cluster, because each node would have a key of its own; use masked or full",
        )


def driver_problems(config: Config) -> Iterator[Finding]:
    """Says if the database's driver is missing. It is one of the `further_checks` of `load_config.load`.

    Without `cluster.database` it imports nothing.
    """
    if not config.cluster.database:
        return
    try:
        import psycopg  # noqa: F401
    except ImportError as problem:
        # psycopg's own text says when it is libpq that it doesn't find.
        reason = str(problem).strip().splitlines()[0] if str(problem) else "ImportError"
        yield (
            ("cluster",),
            f"needs psycopg and libpq: pip install 'sms-receipt-relay[cluster]', and on Debian apt-get install libpq5 "
            f"({reason})",
        )

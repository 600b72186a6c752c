"""What `python -m relay cluster` does: each action, and what it prints."""

import sys
from collections.abc import Sequence

import msgspec

from relay.cli.admin_client import NO_ANSWER
from relay.cli.text_table import age, table
from relay.cluster.cluster_config import config_digest, judge
from relay.cluster.cluster_database import ClusterDatabase, connection_arguments
from relay.cluster.cluster_look import ClusterLook, look_at, troubles
from relay.cluster.cluster_values import ClusterRefused, DatabaseAway
from relay.cluster.node_name import node_name
from relay.config.model import Config


def run(action: str, config: Config, compared: Config, *, as_json: bool) -> int:
    """Runs one action, and gives the exit status.

    :param compared: the part of the configuration that must be the same on all nodes.
    """
    database = ClusterDatabase(connection_arguments(config.cluster, action))
    try:
        if action == "init":
            return _init(database, config)
        if action == "accept-file":
            return _accept_file(database, config, compared)
        return _status(database, config, as_json=as_json)
    except ClusterRefused as problem:
        print(problem, file=sys.stderr)
        return 1
    except DatabaseAway as problem:
        print(f"the database doesn't answer: {problem}", file=sys.stderr)
        return NO_ANSWER
    finally:
        database.close()


def _init(database: ClusterDatabase, config: Config) -> int:
    made = database.init()
    print("the tables are made" if made else "the tables are there already")
    state = database.server_state()
    wrong = list(state.refusals)
    if not state.requires_standby and not config.cluster.allow_single_database:
        wrong.append(
            "the server has no synchronous_standby_names, so the relay will accept nothing: name the standbys, or set "
            "cluster.allow_single_database if one server is meant"
        )
    for problem in (*wrong, *(f"advice: {advice}" for advice in state.advice)):
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


def _accept_file(database: ClusterDatabase, config: Config, compared: Config) -> int:
    database.check_schema()
    node = node_name(config.cluster)
    latest, before = database.files(node)
    verdict = judge(config_digest(compared), latest, before, accepted=True)
    if not database.keep_file(node, verdict.file, is_new=verdict.is_new):
        print("another node has made its file the latest at the same time; look, and try again", file=sys.stderr)
        return 1
    done = "is the latest now" if verdict.is_new else "was the latest already"
    print(f"the file of node {node} {done} (generation {verdict.file.number})")
    return 0


def _status(database: ClusterDatabase, config: Config, *, as_json: bool) -> int:
    look = look_at(database)
    wrong = troubles(look, single_database=config.cluster.allow_single_database)
    if as_json:
        print(msgspec.json.encode(look).decode())
    else:
        print("\n".join(_report(look, wrong)))
    return 1 if wrong else 0


def _report(look: ClusterLook, wrong: Sequence[str]) -> list[str]:
    lines = [
        f"cluster {look.cluster_id}: tables of version {look.schema_version}, journal format {look.format_level}, "
        f"latest configuration file {look.latest_file}, {look.rows} rows",
        "",
        *([f"  ! {problem}" for problem in wrong] or ["  nothing is wrong"]),
        *(f"  advice: {advice}" for advice in look.server.advice),
        "",
    ]
    nodes = [["node", "version", "state", "seen", "rows behind", "file"]]
    for node in look.nodes:
        file = f"{node.file} (older)" if node.older_file else str(node.file)
        state = "owner" if node.owner else "stands by"
        nodes.append([node.name, node.relay_version, state, age(node.seen_seconds) + " ago", str(node.behind), file])
    shards = [["shard", "epoch", "owner", "for", "sign of life", "lease"]]
    for shard in look.shards:
        renewed, lease = f"{age(shard.renewed_seconds)} ago", f"{shard.lease_seconds:g} s"
        shards.append(
            [
                str(shard.number),
                str(shard.epoch),
                shard.owner or "nobody",
                age(shard.owned_seconds),
                renewed,
                lease,
            ]
        )
    servers = [["standby", "state", "kind", "octets behind"]]
    servers += [
        [name, *("hidden" if value is None else str(value) for value in rest)] for name, *rest in look.server.standbys
    ]
    return lines + table(nodes) + [""] + table(shards) + [""] + (table(servers) if look.server.standbys else [])

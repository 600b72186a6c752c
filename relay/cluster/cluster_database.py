"""The statements with which a node becomes the owner of a shard, stays it, and hands it over.

Everything here blocks, so it runs in a thread. There is one connection, which is made when it is needed, and again when
it has failed. `interrupt` may be called from another thread: it ends a statement that hangs.

Renewals and take-overs are commits that wait for the standby. If one came back without that, it would be lost in a
fail-over, and another node would count a lease from an older sign of life. So a commit that PostgreSQL reports with a
warning doesn't count.
"""

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import psycopg

from relay.cluster.cluster_config import NO_FILE, FileGeneration
from relay.cluster.cluster_values import ClusterRefused, DatabaseAway, NodeReport, Renewal, ServerState
from relay.cluster.lease import Standing
from relay.config.daemon_config import Cluster
from relay.config.database_url import VERIFY, parse_database_url
from relay.store.postgresql.log_connection import LogConnection, first_line
from relay.store.postgresql.log_schema import CREATE, SCHEMA_VERSION, log_table

#: How long a connection attempt to one server may take. libpq doesn't go below two seconds.
_CONNECT_SECONDS: Final = 2
#: How long a take-over waits for the old owner's append, and for the end of its connection.
_LOCK_MILLISECONDS: Final = 2_000
#: With less, PostgreSQL removes files of its log that it could use again.
_LEAST_WAL_BYTES: Final = 512 << 20


def connection_arguments(cluster: Cluster, purpose: str) -> dict[str, Any]:
    """The arguments of `psycopg.connect` for a cluster's database.

    :param purpose: stands in the server's list of connections.
    """
    url = parse_database_url(cluster.database)
    arguments: dict[str, Any] = {
        "host": ",".join(host for host, _ in url.servers),
        "port": ",".join(str(port) for _, port in url.servers),
        "user": url.user,
        "dbname": url.database,
        "application_name": f"relay {purpose}"[:63],
        # Of several servers, the one that takes writes.
        "target_session_attrs": "read-write",
        "connect_timeout": _CONNECT_SECONDS,
        # A server that was cut off is noticed although nothing closes the connection.
        "keepalives_idle": 2,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        # A commit that waits for its standby must not be cancelled: it would be acknowledged without the standby.
        "options": "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0",
        "autocommit": True,
        **url.parameters,
    }
    if not url.on_loopback:
        arguments.setdefault("sslmode", VERIFY)
        arguments.setdefault("sslrootcert", ssl.get_default_verify_paths().cafile or "system")
    if cluster.password is not None:
        arguments["password"] = cluster.password.reveal()
    return arguments


class ClusterDatabase:
    """A node's access to who owns the shard. Only one thread at a time may call it, except for `interrupt`.

    :param arguments: of `psycopg.connect`.
    :raises DatabaseAway: through every method: try again later.
    """

    def __init__(self, arguments: dict[str, Any], shard: int = 0) -> None:
        self._arguments = arguments
        self._shard = shard
        self._connection = LogConnection(arguments)

    # The connection

    def close(self) -> None:
        """Closes the connection. The next call makes a new one."""
        self._connection.close()

    def interrupt(self) -> None:
        """Ends the statement that hangs, from another thread. It then raises `DatabaseAway`. Its effect is unknown."""
        self._connection.interrupt()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[LogConnection]:
        try:
            yield self._connection
        except psycopg.errors.UndefinedTable as problem:
            self.close()
            raise ClusterRefused(
                "the database has no tables of a cluster. Make them: python -m relay cluster init --config FILE"
            ) from problem
        except psycopg.Error as problem:
            self.close()
            raise DatabaseAway(first_line(problem)) from problem
        except BaseException:
            # A transaction may have been open.
            self.close()
            raise

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[LogConnection]:
        """A transaction that is certain when this returns. `_Rollback` within it ends it without an effect."""
        with self._connected() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            except _Rollback:
                connection.execute("ROLLBACK")
                return
            connection.execute("COMMIT")
            self._committed()

    def _committed(self) -> None:
        """Refuses a commit that came back with a warning: the standby may not have it."""
        if self._connection.warning:
            raise DatabaseAway(f"the commit is not certain: {self._connection.warning}")

    # The schema

    def init(self) -> bool:
        """Makes the tables. Returns whether there were none.

        :raises ClusterRefused: they are there, in a version that this relay doesn't know.
        """
        with self._connected() as connection:
            [(there,)] = connection.execute("SELECT to_regclass('relay.cluster') IS NOT NULL")
            if not there:
                # These are many statements, which go in one transaction.
                with psycopg.connect(**{**self._arguments, "autocommit": False}) as making:
                    making.execute(CREATE)
                    making.execute("SELECT relay.add_shard(%s)", (self._shard,))
        self.check_schema()
        return not there

    def check_schema(self) -> None:
        """Looks whether this relay knows the tables.

        :raises ClusterRefused: they are missing, or newer.
        """
        with self._connected() as connection:
            [(version,)] = connection.execute("SELECT schema_version FROM relay.cluster")
        if version > SCHEMA_VERSION:
            raise ClusterRefused(
                f"the database's tables have version {version}, and this relay knows versions up to {SCHEMA_VERSION}. "
                "Use the newer relay that made them"
            )
        if version < SCHEMA_VERSION:
            raise ClusterRefused(
                f"the database's tables have version {version}, and this relay needs {SCHEMA_VERSION}. "
                "Run python -m relay cluster init --config FILE"
            )

    def server_state(self) -> ServerState:
        """Looks at the server's settings and standbys."""
        with self._connected() as connection:
            # The session has a setting of its own, so the server's is read from where it comes from.
            [row] = connection.execute(
                "SELECT current_setting('server_version'), current_setting('fsync'), "
                "(SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'), "
                "current_setting('synchronous_standby_names'), "
                "pg_size_bytes(current_setting('min_wal_size'))"
            )
            standbys = connection.execute(
                "SELECT application_name, state, sync_state, pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn)::bigint "
                "FROM pg_stat_replication ORDER BY application_name"
            )
        version, fsync, commit, names, wal_bytes = row
        refusals = []
        if fsync != "on":
            refusals.append("the server has fsync = off, so it loses data in a power failure: set fsync = on")
        if commit not in ("on", "remote_apply"):
            refusals.append(f"the server has synchronous_commit = {commit}, so a commit doesn't wait for the disk of a "
                            "standby: set synchronous_commit = on")  # fmt: skip
        advice = []
        if wal_bytes < _LEAST_WAL_BYTES:
            advice.append(
                f"the server has min_wal_size = {wal_bytes >> 20} MB, so it often makes new files, and all commits "
                "wait for that: set min_wal_size = 1GB"
            )
        return ServerState(version, tuple(refusals), bool(names.strip()), tuple(standbys), tuple(advice))

    # Owning

    def look(self) -> Standing:
        """Who owns the shard."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT s.epoch, s.owner, l.counter, l.lease_seconds, extract(epoch FROM s.owned_since)::float8, "
                "extract(epoch FROM clock_timestamp())::float8 "
                "FROM relay.shard s JOIN relay.lease l ON l.shard = s.number WHERE s.number = %s",
                (self._shard,),
            )
        if not rows:
            raise ClusterRefused(f"the database has no shard {self._shard}: run python -m relay cluster init")
        return Standing(*rows[0])

    def take_over(self, seen: Standing, node: str, lease_seconds: float, known_epoch: int = 0) -> int | None:
        """Makes this node the owner, if nothing has changed since `seen`. Ends the old owner's connection.

        :param known_epoch: the new epoch is higher, although the database may have forgotten this one.
        :return: the new epoch; None: the owner has shown a sign of life, or another node was faster.
        """
        epoch, shard = max(seen.epoch, known_epoch) + 1, self._shard
        taken = False
        with self._transaction() as connection:
            connection.execute(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}")
            # First the lease: the old owner can't renew it while this transaction runs.
            if not connection.execute(
                "UPDATE relay.lease SET epoch = %s, counter = counter + 1, lease_seconds = %s, "
                "renewed_at = clock_timestamp() WHERE shard = %s AND epoch = %s AND counter = %s RETURNING true",
                (epoch, lease_seconds, shard, seen.epoch, seen.counter),
            ):
                raise _Rollback
            # The old owner's append may hold the shard's row for as long as its machine is cut off.
            connection.execute(
                "SELECT pg_terminate_backend(a.pid, %s) FROM relay.appender p JOIN pg_stat_activity a "
                "ON a.pid = p.backend_pid AND a.backend_start = p.backend_started_at WHERE p.shard = %s",
                (_LOCK_MILLISECONDS, shard),
            )
            if not connection.execute(
                "UPDATE relay.shard SET epoch = %s, owner = %s, owned_since = clock_timestamp() "
                "WHERE number = %s AND epoch = %s RETURNING true",
                (epoch, node, shard, seen.epoch),
            ):
                raise _Rollback
            taken = True
        return epoch if taken else None

    def renew(self, epoch: int, lease_seconds: float) -> Renewal:
        """Shows a sign of life. If the answer's `held` is false, another node has taken over."""
        with self._connected() as connection:
            rows = connection.execute(
                "UPDATE relay.lease SET counter = counter + 1, lease_seconds = %s, renewed_at = clock_timestamp() "
                "WHERE shard = %s AND epoch = %s RETURNING extract(epoch FROM clock_timestamp())::float8",
                (lease_seconds, self._shard, epoch),
            )
            if not rows:
                return Renewal(held=False, database_at=0.0)
            self._committed()
        return Renewal(held=True, database_at=rows[0][0])

    def release(self, epoch: int) -> None:
        """Hands the shard over: another node may take it at once. Nothing happens if the epoch is over."""
        with self._connected() as connection:
            connection.execute(
                "UPDATE relay.shard SET owner = '', owned_since = clock_timestamp() WHERE number = %s AND epoch = %s",
                (self._shard, epoch),
            )

    # Nodes and their files

    def report(self, node: NodeReport) -> None:
        """Writes down what this node says of itself."""
        with self._transaction() as connection:
            # It is only for people, so nobody waits for it.
            connection.execute("SET LOCAL synchronous_commit = off")
            connection.execute(
                "INSERT INTO relay.node (name, relay_version, format_level, address, followed_sequence) "
                "VALUES (%(name)s, %(relay_version)s, %(format_level)s, %(address)s, %(followed_sequence)s) "
                "ON CONFLICT (name) DO UPDATE SET relay_version = excluded.relay_version, "
                "format_level = excluded.format_level, address = excluded.address, "
                "followed_sequence = excluded.followed_sequence, seen_at = now()",
                msgspec.structs.asdict(node),
            )

    def files(self, node: str) -> tuple[FileGeneration, FileGeneration]:
        """The cluster's latest configuration file, and the one that a node had last."""
        with self._connected() as connection:
            latest = connection.execute("SELECT config_generation, config_digest FROM relay.cluster")
            before = connection.execute(
                "SELECT config_generation, config_digest FROM relay.node WHERE name = %s", (node,)
            )
        return _file(latest), _file(before)

    def keep_file(self, node: str, file: FileGeneration, *, is_new: bool) -> bool:
        """Writes down which file a node has, and whether it is the latest.

        :return: False: another node has made its file the latest meanwhile; look again.
        """
        with self._transaction() as connection:
            if is_new and not connection.execute(
                "UPDATE relay.cluster SET config_generation = %s, config_digest = %s "
                "WHERE config_generation = %s RETURNING true",
                (file.number, file.digest, file.number - 1),
            ):
                raise _Rollback
            connection.execute(
                "INSERT INTO relay.node (name, config_generation, config_digest) VALUES (%s, %s, %s) "
                "ON CONFLICT (name) DO UPDATE SET config_generation = excluded.config_generation, "
                "config_digest = excluded.config_digest",
                (node, file.number, file.digest),
            )
            return True
        return False

    def last_sequence(self) -> int:
        """The number of the last row of the shard's log; 0: the log is empty."""
        with self._connected() as connection:
            segments = connection.execute(
                "SELECT number FROM relay.segment WHERE shard = %s ORDER BY number DESC LIMIT 2", (self._shard,)
            )
            for (segment,) in segments:
                [(last,)] = connection.execute(f"SELECT max(sequence) FROM {log_table(self._shard, segment)}")
                if last is not None:
                    return int(last)
        return 0

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query that only reads."""
        with self._connected() as connection:
            return connection.execute(query)


class _Rollback(Exception):
    """Ends a transaction without an effect."""


def _file(rows: list[tuple[Any, ...]]) -> FileGeneration:
    return FileGeneration(rows[0][0], bytes(rows[0][1])) if rows else NO_FILE

"""PostgreSQL servers of a test's own: a primary, a synchronous standby, and the accidents that happen to them.

The programs are Debian's. PostgreSQL refuses to run as root, so root starts them as another user. Everything is in a
temporary directory and on loopback. The servers end with the test's process, however that ends.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import HUNG_SECONDS
from tests.ports import free_port

USER = "relay"
DATABASE = "relay"
#: The users that root may run a server as. Debian's package makes the first one.
_SERVER_USERS = ("postgres", "nobody")
#: `fsync` stays on: without it, a server that is killed would lose what it has promised.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "min_wal_size": "1GB",
    "max_wal_size": "4GB",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "200ms",
    # So that a standby that comes a little late still finds the log that it needs.
    "wal_keep_size": "64MB",
    "jit": "off",
    "log_min_messages": "warning",
}


def _programs() -> Path | None:
    """The directory of the newest server's programs; None: there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _why_not() -> str | None:
    if _programs() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if shutil.which("setpriv") is None:
        return "setpriv is not installed (Debian: apt-get install util-linux)"
    try:
        import psycopg  # noqa: F401
    except ImportError as problem:
        return f"psycopg can't be imported: {problem}"
    return None


#: Why tests with a server are skipped; None: they run. `skip = POSTGRESQL_MISSING` in a test case.
POSTGRESQL_MISSING = _why_not()


def _server_user() -> pwd.struct_passwd | None:
    """The user that a server runs as, if it is not this process's user."""
    if os.getuid() != 0:
        return None
    for name in _SERVER_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise AssertionError(f"root can't run PostgreSQL, and there is none of the users {', '.join(_SERVER_USERS)}")


class PostgresqlServer:
    """One server with its data.

    :ivar data: its data directory.
    """

    def __init__(self, directory: Path, name: str) -> None:
        programs = _programs()
        assert programs is not None
        self._programs = programs
        self.name = name
        self.data = directory / name
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, **parameters: str) -> str:
        """The database's address, as the relay's configuration wants it."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}" + (f"?{query}" if query else "")

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `psycopg.connect`."""
        return {"host": "127.0.0.1", "port": self.port, "user": USER, "dbname": DATABASE}

    @property
    def running(self) -> bool:
        """Whether its process is there (it may be paused)."""
        return self._process is not None and self._process.poll() is None

    def as_user(self, program: str, *arguments: str) -> list[str]:
        """The command line of a PostgreSQL program, run as the server's user. It ends when this process ends."""
        user = _server_user()
        # SIGQUIT ends a server at once, and a restart then recovers from its log.
        change = [] if user is None else [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return ["setpriv", "--pdeathsig", "QUIT", *change, str(self._programs / program), *arguments]

    def run(self, program: str, *arguments: str) -> None:
        """Runs a PostgreSQL program to its end."""
        command = self.as_user(program, *arguments)
        done = subprocess.run(
            command, cwd=self._directory, capture_output=True, text=True, timeout=HUNG_SECONDS, check=False
        )
        assert done.returncode == 0, f"{program} failed: {done.stdout}{done.stderr}"

    def make(self, **settings: str) -> None:
        """Makes an empty data directory."""
        self.run(
            "initdb", "-D", str(self.data), "-A", "trust", "-U", USER, "--no-sync", "--locale=C", "--encoding=UTF8"
        )
        self.configure(**_SETTINGS, **settings)

    def copy_of(self, primary: "PostgresqlServer") -> None:
        """Copies a running primary, as its standby. The server must not run, and loses the data that it had."""
        assert not self.running
        shutil.rmtree(self.data, ignore_errors=True)
        source = f"host=127.0.0.1 port={primary.port} user={USER}"
        self.run("pg_basebackup", "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "-N", "-d", source)
        # The standby's name towards its primary is its cluster_name.
        self.configure(cluster_name=self.name)

    def configure(self, **settings: str) -> None:
        """Adds settings to the configuration file. The last one of a name counts. They need `reload` or a start."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def reload(self) -> None:
        """Has the server read its configuration file again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def launch(self) -> None:
        """Starts the server and doesn't wait."""
        assert not self.running
        with (self._directory / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.as_user("postgres", "-D", str(self.data), "-p", str(self.port), "-k", str(self._directory)),
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        self.launch()
        self.wait("answers", "SELECT true")

    def wait(self, what: str, query: str) -> None:
        """Waits until a query says true."""
        deadline = time.monotonic() + HUNG_SECONDS
        while not self._says(query):
            assert self.running, f"{self.name} ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"still waiting until {self.name} {what}:\n{self.log()}"
            time.sleep(0.02)

    def _says(self, query: str) -> bool:
        import psycopg

        try:
            return bool(self.query(query)[0][0])
        except psycopg.OperationalError:
            return False

    def query(self, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs one statement, and gives its rows."""
        import psycopg

        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user={USER} dbname={database} connect_timeout=5", autocommit=True
        ) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    def promote(self) -> None:
        """Makes a standby the primary, and waits until it is."""
        self.run("pg_ctl", "promote", "-D", str(self.data), "-W")
        self.wait("is the primary", "SELECT NOT pg_is_in_recovery()")

    def _signal_all(self, number: int) -> None:
        """Sends a signal to the server's process and to all of its children."""
        assert self._process is not None
        pid = self._process.pid
        os.kill(pid, signal.SIGSTOP)  # so that it makes no child meanwhile
        for child in _children(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
        os.kill(pid, number)

    def kill(self) -> None:
        """Ends the server as a power failure would: all of its processes at once. A second call does nothing."""
        if self._process is not None:
            if self.running:
                self._signal_all(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stops all of its processes with SIGSTOP, so that connections stay and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        self._signal_all(signal.SIGCONT)

    def stop(self) -> None:
        """Stops the server in good order, without waiting for its clients."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(HUNG_SECONDS)
        self._process = None

    def cpu_seconds(self) -> float:
        """The CPU time of its processes."""
        assert self._process is not None
        ticks = 0
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def log(self, characters: int = 3000) -> str:
        """The end of what the server printed."""
        return (self._directory / f"{self.name}.log").read_text(errors="replace")[-characters:]


def _children(pid: int) -> Iterator[int]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                # The name in the second field may have any characters, also spaces and brackets.
                if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    yield int(process.name)


class PostgresqlPair:
    """A primary with a synchronous standby, and the change from one to the other. Call `close` at the end.

    :param standby: False: there is only one server.
    :ivar primary: the server that takes writes.
    :ivar standby: the server that follows it; None: there is none.
    """

    def __init__(self, *, standby: bool = True) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="relay-postgresql-", ignore_cleanup_errors=True)
        directory = Path(self._directory.name)
        user = _server_user()
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
        os.chmod(directory, 0o755)
        self.primary = PostgresqlServer(directory, "db1")
        self.standby = PostgresqlServer(directory, "db2") if standby else None
        try:
            self.primary.make()
            self.primary.start()
            self.primary.query(f"CREATE DATABASE {DATABASE}")
            if self.standby is not None:
                self.join(self.standby)
        except BaseException:
            self.close()
            raise

    def url(self, **parameters: str) -> str:
        """The database's address, with both servers, as the relay's configuration wants it."""
        servers = [self.primary, *([self.standby] if self.standby is not None else [])]
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgresql://{USER}@{hosts}/{DATABASE}" + (f"?{query}" if query else "")

    def join(self, server: PostgresqlServer) -> None:
        """Makes a server the primary's synchronous standby, and waits until it is."""
        server.copy_of(self.primary)
        server.start()
        self.standby = server
        self.require_standby()
        self.primary.wait("has a synchronous standby", "SELECT count(*) > 0 FROM pg_stat_replication "
                          "WHERE sync_state IN ('sync', 'quorum') AND state = 'streaming'")  # fmt: skip

    def require_standby(self, required: bool = True) -> None:
        """Says whether the primary acknowledges a commit only if a standby has it."""
        self.primary.configure(synchronous_standby_names="ANY 1 (*)" if required else "")
        self.primary.reload()
        self.primary.wait("has read its settings", "SELECT current_setting('synchronous_standby_names') "
                          + ("<> ''" if required else "= ''"))  # fmt: skip

    def fail_over(self) -> None:
        """Kills the primary, and promotes the standby. It is then alone, and acknowledges nothing until `rejoin`."""
        old, new = self.primary, self.standby
        assert new is not None
        old.kill()
        new.promote()
        self.primary, self.standby = new, old

    def rejoin(self) -> None:
        """After `fail_over`: makes the server that was killed the standby of the other one."""
        assert self.standby is not None
        self.join(self.standby)

    def cpu_seconds(self) -> float:
        """The CPU time that the processes of both servers have taken, as far as they still run."""
        servers = [self.primary, *([self.standby] if self.standby is not None else [])]
        return sum(server.cpu_seconds() for server in servers)

    def close(self) -> None:
        """Ends the servers and removes their data. A second call does nothing."""
        for server in (self.primary, self.standby):
            if server is not None:
                server.kill()
        self._directory.cleanup()

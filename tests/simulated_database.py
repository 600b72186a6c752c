"""A database with a synchronous standby, in memory: it loses answers, replicates late, fails over, fills up.

It knows only the statements that the log's code makes. Its connections can be used in place of `LogConnection`.
"""

import contextlib
import copy
import random
import re
from collections.abc import Sequence
from typing import Any

import psycopg

#: What may happen to a statement that changes something.
FAULTS = (
    "lost before", "lost after", "lost unreplicated", "cancelled", "disk full", "fail over", "fail over after", "late",
)  # fmt: skip


class _Server:
    """What one server has on its disk."""

    def __init__(self) -> None:
        self.epoch = 0
        self.owner = ""
        #: For each segment, the rows as the log's table has them.
        self.segments: dict[int, list[tuple[Any, ...]]] = {}


class SimulatedDatabase:
    """Two servers. Only the primary answers.

    :param fault_share: the share of changes at which something goes wrong.
    :ivar standby_names: the primary's setting `synchronous_standby_names`.
    """

    def __init__(self, seed: int = 0, fault_share: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.fault_share = fault_share
        self.primary, self.standby = _Server(), _Server()
        self.generation = 0
        self.standby_names = "*"
        #: Whether an append compares the epoch. A test that switches this off proves that something notices.
        self.fences = True
        #: What goes wrong with the next changes.
        self.script: list[str] = []
        #: Statements of broken connections that the primary has got, and not executed yet.
        self.late: list[Any] = []
        #: Earlier states of the standby, oldest first, if `keeps_past`.
        self.past: list[_Server] = []
        self.keeps_past = False

    def execute_late(self) -> None:
        """The primary executes what it has got from broken connections."""
        late, self.late = self.late, []
        for work in late:
            with contextlib.suppress(psycopg.Error):
                work()

    def replicate(self) -> None:
        """The standby gets all that the primary has."""
        if self.keeps_past:
            self.past.append(self.standby)
        self.standby = copy.deepcopy(self.primary)

    def fail_over(self) -> None:
        """The primary is gone, with what the standby didn't have. All connections break."""
        self.primary = self.standby
        self.late = []
        self.replicate()
        self.generation += 1

    def go_back(self, states: int) -> None:
        """A server is promoted that has only what the standby had so many changes ago, with the present epoch."""
        lagging, epoch = copy.deepcopy(self.past[-states]), self.primary.epoch
        del self.past[-states:]
        lagging.epoch = epoch
        self.standby = lagging
        self.fail_over()

    def take_over(self, owner: str) -> int:
        """Makes a node the owner, in a commit that reaches the standby. Returns its epoch."""
        self.primary.epoch += 1
        self.primary.owner = owner
        self.replicate()
        return self.primary.epoch

    def fault(self) -> str:
        """What goes wrong with a change; empty: nothing."""
        if self.script:
            return self.script.pop(0)
        return self.random.choice(FAULTS) if self.random.random() < self.fault_share else ""

    def octets(self) -> list[bytes]:
        """The octets of all rows, in the order of the segments."""
        return [row[5] for segment in sorted(self.primary.segments) for row in self.primary.segments[segment]]


class SimulatedConnection:
    """Implements `relay.store.postgresql.log_connection.LogConnection`."""

    def __init__(self, database: SimulatedDatabase) -> None:
        self._database = database
        self._generation: int | None = None
        self.warning = ""
        #: The primary's segments before the transaction that is open; None: none is.
        self._before: dict[int, list[tuple[Any, ...]]] | None = None

    @property
    def is_open(self) -> bool:
        return self._generation is not None

    def open(self) -> None:
        self._generation = self._database.generation

    def close(self) -> None:
        if self._before is not None and self._generation == self._database.generation:
            self._database.primary.segments = self._before
        self._before = None
        self._generation = None

    def interrupt(self) -> None:
        self.close()

    def execute(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        self._begin()
        segments = self._database.primary.segments
        if statement == "BEGIN":
            self._before = {number: list(rows) for number, rows in segments.items()}
            return []
        if statement == "COMMIT":
            return self._commit()
        if statement.startswith("SELECT epoch FROM relay.shard"):
            return [(self._database.primary.epoch,)]
        if statement.startswith("SELECT number FROM relay.segment"):
            return [(number,) for number in sorted(segments, reverse="DESC" in statement)]
        if statement.startswith("SELECT cluster_id"):
            return [("the cluster",)]
        if statement.startswith("SELECT digest FROM"):
            return [(row[3],) for row in self._rows(statement) if row[0] == parameters[0]]
        if statement.startswith("SELECT sequence, digest FROM"):
            rows = [row for row in self._rows(statement) if row[4] < parameters[0]]
            return [(row[0], row[3]) for row in rows[-1:]]
        if statement.startswith("SELECT pg_terminate_backend"):
            # Each of these has been executed until now, or never will be.
            if self._database.random.random() < 0.5:
                self._database.execute_late()
            ended = bool(self._database.late)
            self._database.late = []
            return [(True,)] if ended else []
        if "so_far" in statement:
            after, limit, _ = parameters
            return [row for row in self._rows(statement) if row[0] > after][:limit]
        if statement.startswith("UPDATE relay.appender"):
            return self._change(lambda: self._register(parameters["epoch"]))
        function = re.match(r"SELECT relay\.(\w+)\(", statement)
        assert function is not None, statement
        return self._change(lambda: self._call(function[1], *parameters[1:]))

    def execute_often(self, statement: str, types: Sequence[int], values: Sequence[bytes]) -> bytes | None:
        self._begin()
        changed = self._change(lambda: self._insert(statement, values))
        return changed[0][0] if changed else None

    # What the statements do

    def _begin(self) -> None:
        if self._generation is None:
            self.open()
        if self._generation != self._database.generation:
            self.close()
            raise psycopg.OperationalError("the server closed the connection unexpectedly")
        self.warning = ""
        if self._database.random.random() < 0.3:
            self._database.execute_late()

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        found = re.search(r"relay\.log_0_(\d+)", statement)
        assert found is not None
        segments = self._database.primary.segments
        if int(found[1]) not in segments:
            raise psycopg.errors.UndefinedTable("there is no such table")
        return segments[int(found[1])]

    def _commit(self) -> list[tuple[Any, ...]]:
        if self._database.fault() in ("lost before", "late", "disk full"):
            self.close()
            raise psycopg.OperationalError("the connection broke")
        self._before = None
        return self._change(list)

    def _change(self, work: Any) -> list[tuple[Any, ...]]:
        database = self._database
        fault = database.fault()
        if self._before is not None:
            if fault == "lost before":
                self.close()
                raise psycopg.OperationalError("the connection broke")
            found: list[tuple[Any, ...]] = work()
            return found
        if fault == "disk full":
            raise psycopg.errors.DiskFull("No space left on device")
        if fault == "fail over":
            database.fail_over()
        if fault == "late":
            database.late.append(work)
        if fault in ("lost before", "fail over", "late"):
            self.close()
            raise psycopg.OperationalError("the connection broke")
        result: list[tuple[Any, ...]] = work()
        if fault == "cancelled":
            self.warning = "canceling wait for synchronous replication due to user request"
            return result
        if fault != "lost unreplicated":
            database.replicate()
        if fault == "fail over after":
            database.fail_over()
        if fault:
            self.close()
            raise psycopg.OperationalError("the connection broke")
        return result

    def _register(self, epoch: int) -> list[tuple[Any, ...]]:
        return [(self._database.standby_names,)] if epoch == self._database.primary.epoch else []

    def _call(self, function: str, epoch: int, segment: int, end: int = 0) -> list[tuple[Any, ...]]:
        primary = self._database.primary
        if epoch != primary.epoch:
            return [(False, self._database.standby_names)]
        if function == "begin_segment":
            primary.segments.setdefault(segment, [])
        elif function == "drop_segment":
            primary.segments.pop(segment, None)
        else:
            primary.segments[segment] = [row for row in primary.segments[segment] if row[4] < end]
        return [(True, self._database.standby_names)]

    def _insert(self, statement: str, values: Sequence[bytes]) -> list[tuple[Any, ...]]:
        primary = self._database.primary
        epoch, sequence, start = (int.from_bytes(values[n], "big") for n in (0, 1, 4))
        rows = self._rows(statement)
        before = re.search(r"EXISTS \(SELECT FROM relay\.log_0_(\d+) ", statement)
        if before is None:
            follows = True
        else:
            rows_before = primary.segments.get(int(before[1]), [])
            follows = any(row[0] == sequence - 1 and row[3] == values[2] for row in rows_before)
        if (self._database.fences and epoch != primary.epoch) or not follows:
            return []
        if any(row[0] == sequence for row in rows):
            raise psycopg.errors.UniqueViolation("duplicate key value violates unique constraint")
        row_epoch = int.from_bytes(values[6], "big") if len(values) > 6 else epoch
        rows.append((sequence, row_epoch, values[2], values[3], start, values[5]))
        return [(self._database.standby_names.encode(),)]

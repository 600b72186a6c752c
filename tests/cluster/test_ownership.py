"""Waiting for the shard, taking it over, keeping it, losing it: with a database and clocks of the test's own."""

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.cluster.cluster_config import NO_FILE, FileGeneration
from relay.cluster.cluster_look import ClusterLook
from relay.cluster.cluster_values import ClusterRefused, DatabaseAway, NodeReport, Renewal, ServerState
from relay.cluster.lease import LeaseGate, Standing
from relay.cluster.ownership import Ownership

LEASE = 5.0
SERVER = ServerState("15.0", (), True, ())


class SharedRows:
    """What the database's tables hold, for all nodes."""

    def __init__(self) -> None:
        self.standing = Standing(0, "", 0, 0.0, 0.0, 0.0)
        self.latest = NO_FILE
        self.files: dict[str, FileGeneration] = {}
        self.away = False
        self.server = SERVER
        #: By how much the database's clock is ahead of that of the nodes.
        self.ahead_seconds = 0.0


class FakeDatabase:
    """One node's access to the tables. It answers at once."""

    def __init__(self, rows: SharedRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock
        self.interrupted = 0

    def _reached(self) -> SharedRows:
        if self._rows.away:
            raise DatabaseAway("no server answers")
        return self._rows

    def check_schema(self) -> None:
        self._reached()

    def server_state(self) -> ServerState:
        return self._reached().server

    def look(self) -> Standing:
        rows = self._reached()
        return msgspec.structs.replace(rows.standing, database_at=self._clock.seconds() + rows.ahead_seconds)

    def take_over(self, seen: Standing, node: str, lease_seconds: float, known_epoch: int) -> int | None:
        rows = self._reached()
        if (seen.epoch, seen.counter) != (rows.standing.epoch, rows.standing.counter):
            return None
        epoch = max(seen.epoch, known_epoch) + 1
        rows.standing = Standing(epoch, node, seen.counter + 1, lease_seconds, 0.0, 0.0)
        return epoch

    def renew(self, epoch: int, lease_seconds: float) -> Renewal:
        rows = self._reached()
        if rows.standing.epoch != epoch:
            return Renewal(False, 0.0)
        rows.standing = msgspec.structs.replace(rows.standing, counter=rows.standing.counter + 1)
        return Renewal(True, self._clock.seconds() + rows.ahead_seconds)

    def release(self, epoch: int) -> None:
        rows = self._reached()
        if rows.standing.epoch == epoch:
            rows.standing = msgspec.structs.replace(rows.standing, owner="")

    def report(self, node: NodeReport) -> None:
        self._reached()

    def files(self, node: str) -> tuple[FileGeneration, FileGeneration]:
        rows = self._reached()
        return rows.latest, rows.files.get(node, NO_FILE)

    def keep_file(self, node: str, file: FileGeneration, *, is_new: bool) -> bool:
        rows = self._reached()
        if is_new:
            rows.latest = file
        rows.files[node] = file
        return True

    def interrupt(self) -> None:
        self.interrupted += 1

    def close(self) -> None:
        return


class FakeLog:
    """A log that lacks nothing, unless the test says so."""

    followed_sequence = 0
    known_epoch = 0
    reason: str | None = ""

    def why_not_own(self) -> str | None:
        return self.reason


class Node:
    """A node with its gate. `paused`: its thread holds each statement back until `let_go`."""

    def __init__(self, name: str, rows: SharedRows, clock: Clock) -> None:
        self.clock = clock
        self.database = FakeDatabase(rows, clock)
        self.gate = LeaseGate(clock.seconds)
        self.lost: list[str] = []
        self.reopened = 0
        self.paused = False
        self._held: list[Callable[[], None]] = []
        self.log = FakeLog()
        self.ownership = Ownership(
            self.database,
            self._in_thread,
            clock,
            gate=self.gate,
            uptime=clock.seconds,
            node=NodeReport(name),
            lease_seconds=LEASE,
            look=lambda: ClusterLook("id", 1, 4, rows.latest.number, SERVER, [], [], 0),
            lost=self.lost.append,
            followed=self.log,
        )
        self.ownership.reopened = self._count_reopened
        self.epochs: list[int] = []
        self.failures: list[Any] = []

    def _count_reopened(self) -> None:
        self.reopened += 1

    def _in_thread(self, work: Callable[[], Any]) -> "Deferred[Any]":
        begun = succeed(None)
        if self.paused:
            begun = Deferred()
            self._held.append(lambda: begun.callback(None))
        return begun.addCallback(lambda _: work())

    def let_go(self) -> None:
        self.paused = False
        held, self._held = self._held, []
        for go in held:
            go()

    def acquire(self, digest: bytes = b"file") -> "Node":
        self.waiting = self.ownership.acquire(digest)
        self.waiting.addCallbacks(self.epochs.append, self.failures.append)
        return self


class OwnershipTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.rows = SharedRows()

    def node(self, name: str) -> Node:
        return Node(name, self.rows, self.clock)

    def pass_seconds(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))


class TakeOverTests(OwnershipTestCase):
    def test_a_node_takes_a_shard_that_nobody_owns_at_once(self) -> None:
        a = self.node("a").acquire()
        self.pass_seconds(1)
        self.assertEqual((a.epochs, a.ownership.works, a.ownership.reason), ([1], True, ""))

    def test_a_second_node_stands_by_as_long_as_the_first_one_renews(self) -> None:
        a = self.node("a").acquire()
        self.pass_seconds(1)
        b = self.node("b").acquire()
        self.pass_seconds(60)
        self.assertTrue(a.ownership.works)
        self.assertEqual((b.epochs, b.ownership.works, b.ownership.reason), ([], False, "stands by: a works"))

    def test_it_takes_over_a_lease_after_the_last_sign_of_life(self) -> None:
        a = self.node("a").acquire()
        b = self.node("b")
        self.pass_seconds(1)
        b.acquire()
        self.pass_seconds(3)
        a.paused = True
        self.pass_seconds(LEASE * 0.6)
        self.assertEqual(b.epochs, [])
        self.pass_seconds(LEASE * 0.4 + 0.5)
        self.assertEqual(b.epochs, [2])
        # The first node had stopped before.
        self.assertFalse(a.ownership.works)
        a.let_go()
        self.assertEqual(a.lost, ["another node has taken over"])
        self.assertFalse(a.gate.open)

    def test_a_shard_that_was_handed_over_is_taken_without_waiting(self) -> None:
        a, b = self.node("a").acquire(), self.node("b")
        self.pass_seconds(1)
        b.acquire()
        self.pass_seconds(1)
        self.successResultOf(Deferred.fromCoroutine(a.ownership.release()))
        self.assertFalse(a.gate.open)
        self.pass_seconds(0.5)
        self.assertEqual(b.epochs, [2])
        self.assertEqual(a.lost, [])

    def test_whoever_stops_waiting_takes_nothing_over(self) -> None:
        a = self.node("a").acquire()
        self.pass_seconds(1)
        b = self.node("b").acquire()
        self.pass_seconds(1)
        b.waiting.cancel()
        a.paused = True
        self.pass_seconds(20)
        self.assertEqual(b.epochs, [])
        self.assertTrue(b.failures[0].check(CancelledError))
        self.successResultOf(Deferred.fromCoroutine(b.ownership.release()))
        # Only the other node's timer is left.
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


class DatabaseAwayTests(OwnershipTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.a = self.node("a").acquire()
        self.pass_seconds(1)

    def test_the_gate_shuts_while_the_database_is_away_and_opens_when_it_is_back(self) -> None:
        self.rows.away = True
        self.pass_seconds(LEASE)
        self.assertEqual((self.a.ownership.works, self.a.ownership.epoch), (False, 1))
        self.assertIn("no server answers", self.a.ownership.reason)
        self.rows.away = False
        self.pass_seconds(1)
        self.assertEqual((self.a.ownership.works, self.a.ownership.reason, self.a.reopened), (True, "", 1))
        self.assertEqual(self.a.lost, [])

    def test_a_statement_that_hangs_is_ended_from_outside(self) -> None:
        self.a.paused = True
        self.pass_seconds(LEASE * 2)
        self.assertGreaterEqual(self.a.database.interrupted, 1)
        self.assertFalse(self.a.gate.open)

    def test_the_owner_has_a_whole_lease_to_renew_when_the_database_is_back(self) -> None:
        b = self.node("b").acquire()
        self.pass_seconds(1)
        self.rows.away = True
        self.pass_seconds(30)
        self.rows.away = False
        self.a.paused = True
        self.pass_seconds(LEASE * 0.9)
        self.assertEqual(b.epochs, [])
        self.a.let_go()
        self.pass_seconds(10)
        self.assertEqual((b.epochs, self.a.ownership.works), ([], True))


class RefusalTests(OwnershipTestCase):
    def test_a_database_that_loses_data_ends_the_start(self) -> None:
        self.rows.server = ServerState("15.0", ("the server has fsync = off",), True, ())
        a = self.node("a").acquire()
        self.pass_seconds(1)
        self.assertTrue(a.failures[0].check(ClusterRefused))
        self.assertIn("fsync", a.failures[0].getErrorMessage())

    def test_a_node_whose_clock_is_wrong_takes_nothing_over(self) -> None:
        self.rows.ahead_seconds = 2.5
        a = self.node("a").acquire()
        self.pass_seconds(20)
        self.assertEqual(a.epochs, [])
        self.assertIn("2.5 s off", a.ownership.reason)
        self.rows.ahead_seconds = 1.5
        self.pass_seconds(1)
        self.assertEqual(a.epochs, [1])

    def test_an_owner_whose_clock_gets_wrong_hands_the_shard_over(self) -> None:
        a = self.node("a").acquire()
        self.pass_seconds(1)
        self.rows.ahead_seconds = -3.0
        self.pass_seconds(3)
        self.assertEqual((self.rows.standing.owner, a.gate.open), ("", False))
        self.assertIn("3.0 s off", a.lost[0])

    def test_a_node_with_an_older_file_takes_nothing_over(self) -> None:
        a = self.node("a").acquire(b"new")
        self.pass_seconds(1)
        b = self.node("b").acquire(b"old")
        self.pass_seconds(1)
        a.paused = True
        self.pass_seconds(30)
        self.assertEqual(b.epochs, [])
        self.assertIn("older", b.ownership.reason)

    def test_a_file_that_the_owner_applied_makes_the_others_older(self) -> None:
        a = self.node("a").acquire(b"1")
        self.pass_seconds(1)
        b = self.node("b").acquire(b"1")
        self.pass_seconds(3)
        a.ownership.use_file(b"2")
        self.pass_seconds(5)
        self.assertEqual(self.rows.latest, FileGeneration(2, b"2"))
        self.assertIn("older", b.ownership.reason)


class MissingRowsTests(OwnershipTestCase):
    """The log lacks rows that a node knows, or the database has forgotten who owned it."""

    def test_a_node_that_misses_rows_takes_nothing_over_until_they_are_there(self) -> None:
        a = self.node("a")
        a.log.reason = "the log went back"
        a.acquire()
        self.pass_seconds(30)
        self.assertEqual((a.epochs, a.ownership.reason), ([], "the log went back"))
        a.log.reason = ""
        self.pass_seconds(1)
        self.assertEqual(a.epochs, [1])

    def test_a_node_takes_nothing_over_before_the_log_was_compared(self) -> None:
        a = self.node("a")
        a.log.reason = None
        a.acquire()
        self.pass_seconds(30)
        self.assertEqual(a.epochs, [])
        self.assertNotIn("went back", a.ownership.reason)
        a.log.reason = ""
        self.pass_seconds(1)
        self.assertEqual(a.epochs, [1])

    def test_an_epoch_that_the_database_has_forgotten_is_not_given_a_second_time(self) -> None:
        a = self.node("a")
        a.log.known_epoch = 7
        a.acquire()
        self.pass_seconds(1)
        self.assertEqual(a.epochs, [8])

    def test_an_owner_that_the_database_has_forgotten_ends_its_work_and_says_so(self) -> None:
        a = self.node("a").acquire()
        self.pass_seconds(1)
        self.rows.standing = Standing(0, "x", 9, LEASE, 0.0, 0.0)
        self.pass_seconds(3)
        self.assertIn("went back", a.lost[0])
        self.assertFalse(a.gate.open)


class LoseTests(OwnershipTestCase):
    def test_a_fenced_append_ends_the_work_at_once(self) -> None:
        a = self.node("a").acquire()
        self.pass_seconds(1)
        a.ownership.lose("an append found a later epoch")
        a.ownership.lose("again")
        self.assertEqual(a.lost, ["an append found a later epoch"])
        self.assertFalse(a.gate.open)
        self.pass_seconds(10)
        self.assertEqual(self.rows.standing.owner, "a")

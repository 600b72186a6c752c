"""The history as a service: it looks at the journal every second, and compaction waits for it, but not for ever."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.history.history import MOST_WAITING_BYTES, MOST_WAITING_SECONDS, PAUSE_SECONDS, History
from relay.history.history_schema import Cursor, NewerHistory
from relay.history.history_writer import Reached
from relay.history.journal_tail import Length
from tests.stores import at_once


class ScriptedWriter:
    """A writer that has read as far as a test says, or fails as it says."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.reached = Reached(Cursor(1, 0), more=False)
        #: What the next calls come to, before `reached` does.
        self.script: list[Reached] = []
        self.problem: Exception | None = None

    def interrupt(self) -> None:
        self.calls.append("interrupt")

    def open(self, lengths: Sequence[Length]) -> None:
        self.calls.append("open")
        if self.problem is not None:
            raise self.problem

    def catch_up(self, lengths: Sequence[Length], now: float) -> Reached:
        self.calls.append("catch_up")
        if self.problem is not None:
            raise self.problem
        return self.script.pop(0) if self.script else self.reached

    def close(self) -> None:
        self.calls.append("close")


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.writer = ScriptedWriter()
        self.lengths: list[Length] = [(1, 1000), (2, 500)]
        self.history = History(self.writer, lambda: self.lengths, self.clock, at_once)

    def start(self) -> None:
        self.done(self.history.start())
        self.clock.advance(0.0)

    def done(self, awaitable: Any) -> None:
        self.successResultOf(Deferred.fromCoroutine(awaitable))

    def test_it_looks_once_a_second(self) -> None:
        self.start()
        self.clock.advance(PAUSE_SECONDS)
        self.assertEqual(self.writer.calls, ["open", "catch_up", "catch_up"])

    def test_while_there_is_more_it_reads_on_at_once(self) -> None:
        self.writer.script = [Reached(Cursor(1, 500), more=True), Reached(Cursor(1, 900), more=True)]
        self.start()
        self.assertEqual(self.writer.calls, ["open", "catch_up", "catch_up", "catch_up"])
        self.assertEqual(self.clock.seconds(), 0.0)

    def test_a_stop_reads_the_rest_and_closes(self) -> None:
        self.start()
        self.done(self.history.stop())
        self.done(self.history.stop())
        self.assertEqual(self.writer.calls, ["open", "catch_up", "catch_up", "close"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_disk_that_fails_stops_nothing_and_is_tried_again(self) -> None:
        self.start()
        self.writer.problem = sqlite3.OperationalError("database or disk is full")
        self.clock.advance(PAUSE_SECONDS)
        self.assertIn("full", self.history.reason)
        self.writer.problem = None
        self.clock.advance(PAUSE_SECONDS)
        self.assertEqual(self.history.reason, "")

    def test_a_database_that_can_not_be_opened_is_tried_again(self) -> None:
        for problem in (OSError("no such directory"), NewerHistory("written by a newer relay")):
            self.setUp()
            self.writer.problem = problem
            self.start()
            self.assertEqual(self.history.reason, str(problem))
            self.writer.problem = None
            self.clock.advance(PAUSE_SECONDS)
            self.assertEqual(self.writer.calls, ["open", "open", "open", "catch_up"])

    def test_it_says_how_far_behind_it_is_and_what_it_lacks(self) -> None:
        self.start()
        self.assertEqual(self.history.behind_bytes, 1500)
        self.writer.reached = Reached(Cursor(2, 100), more=False, lacking_bytes=7)
        self.clock.advance(PAUSE_SECONDS)
        self.assertEqual((self.history.behind_bytes, self.history.lacking_bytes), (400, 7))

    def test_compaction_leaves_alone_what_is_not_read_yet(self) -> None:
        self.start()
        self.assertEqual(self.history.needed_from(), 1)
        self.writer.reached = Reached(Cursor(2, 100), more=False)
        self.clock.advance(PAUSE_SECONDS)
        self.assertEqual(self.history.needed_from(), 2)

    def test_compaction_does_not_wait_for_a_history_that_is_too_far_behind(self) -> None:
        self.start()
        self.lengths.append((3, MOST_WAITING_BYTES))
        self.assertGreater(self.history.needed_from(), 3)

    def test_compaction_does_not_wait_for_a_history_that_stands_still(self) -> None:
        self.start()
        self.writer.problem = OSError("the disk is away")
        self.clock.pump([1.0] * int(MOST_WAITING_SECONDS - 1))
        self.assertEqual(self.history.needed_from(), 1)
        self.clock.pump([1.0] * 5)
        self.assertGreater(self.history.needed_from(), 3)

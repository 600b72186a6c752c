"""Message records: each ended message gets its line, through full disks and crashes."""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from relay.history.message_records import MessageRecords
from relay.history.record_line import record_line
from relay.store.store_values import FeedEntry
from relay.values.message_view import MessageView
from tests.history.test_record_line import view
from tests.unused_store import UnusedStore


class Disk:
    """Runs what is given to it at once, or later, or fails."""

    def __init__(self) -> None:
        self.full = False
        self.held: list[Callable[[], object]] | None = None

    def __call__(self, function: Callable[[], Any]) -> "Deferred[Any]":
        if self.full:
            return execute(self._fail)
        if self.held is None:
            return execute(function)
        done: Deferred[Any] = Deferred()
        self.held.append(lambda: done.callback(function()))
        return done

    def _fail(self) -> None:
        raise OSError(28, "No space left on device")

    def release(self) -> None:
        held, self.held = self.held or [], None
        for function in held:
            function()


class FeedStore(UnusedStore):
    """Remembers what has ended."""

    def __init__(self, views: Sequence[MessageView]) -> None:
        self._views = {v.id: v for v in views}
        self._entries = [FeedEntry(n + 1, v.id, v.state, b"", v.done_at or 0.0) for n, v in enumerate(views)]

    def feed(self, account: str, after: int, limit: int) -> "Deferred[Sequence[FeedEntry]]":
        return succeed([entry for entry in self._entries if entry.cursor > after][:limit])

    def look_up(self, message_id: bytes) -> "Deferred[MessageView | None]":
        return succeed(self._views.get(message_id))


class MessageRecordsTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "records.jsonl"
        self.clock = Clock()
        self.clock.advance(1_790_000_000.0)
        self.disk = Disk()
        self.records = self.make()

    def make(self, sync: str = "always") -> MessageRecords:
        return MessageRecords(str(self.path), sync, self.clock, self.disk)

    def ids(self) -> list[int]:
        if not self.path.exists():
            return []
        return [int(json.loads(line)["id"].replace("-", ""), 16) for line in self.path.read_text().splitlines()]

    def start(self, *views: MessageView) -> int:
        return self.successResultOf(Deferred.fromCoroutine(self.records.start(FeedStore(views), ["acme"])))

    def stop(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.records.stop()))

    def test_an_ended_message_is_in_the_file_at_once(self) -> None:
        self.records.add([view(1), view(2)])
        self.assertEqual([1, 2], self.ids())

    def test_with_an_interval_lines_are_written_once_a_second(self) -> None:
        self.records = self.make("interval")
        self.records.add([view(1)])
        self.clock.advance(0.5)
        self.records.add([view(2)])
        self.assertEqual([], self.ids())
        self.clock.advance(0.5)
        self.assertEqual([1, 2], self.ids())

    def test_a_message_that_ends_during_a_write_is_in_the_next_write(self) -> None:
        self.disk.held = []
        self.records.add([view(1)])
        self.records.add([view(2)])
        self.records.add([view(3)])
        self.assertEqual(1, len(self.disk.held))
        self.disk.release()
        self.assertEqual([1, 2, 3], self.ids())

    def test_with_a_full_disk_lines_wait_in_order_and_are_written_when_it_is_back(self) -> None:
        self.disk.full = True
        self.records.add([view(1)])
        self.records.add([view(2)])
        self.clock.advance(1.0)
        self.assertEqual(([], 2), (self.ids(), self.records.waiting))
        self.disk.full = False
        self.clock.advance(1.0)
        self.assertEqual(([1, 2], 0), (self.ids(), self.records.waiting))

    def overflow(self, *remembered: int) -> list[int]:
        """Two lines may wait, five messages end while the disk is full, and the store remembers some of them. Says how
        many lines the log says are lost when the disk has room again."""
        self.records = MessageRecords(str(self.path), "always", self.clock, self.disk, most_waiting=2)
        self.start(*[view(number) for number in remembered])
        self.disk.full = True
        self.records.add([view(number) for number in range(1, 4)])
        self.records.add([view(number) for number in range(4, 6)])
        self.assertEqual(5, self.records.waiting)
        self.disk.full = False
        logged = self.enterContext(capturedLogs())
        self.clock.advance(1.0)
        return [event["dropped"] for event in logged]

    def test_when_too_many_lines_wait_the_rest_are_made_from_the_store_each_once_and_in_order(self) -> None:
        self.assertEqual([0], self.overflow(1, 2, 3, 4, 5))
        self.assertEqual([1, 2, 3, 4, 5], self.ids())
        self.records.add([view(6)])
        self.assertEqual([1, 2, 3, 4, 5, 6], self.ids())

    def test_the_log_says_how_many_lines_are_lost_because_the_store_has_forgotten_the_messages(self) -> None:
        self.assertEqual([2], self.overflow(1, 2, 4))
        self.assertEqual([1, 2, 4], self.ids())

    def test_a_relay_killed_while_too_many_lines_wait_writes_all_of_them_after_its_next_start(self) -> None:
        views = [view(number, done_at=1_790_000_010.0 + 100 * number) for number in range(1, 7)]
        self.records = MessageRecords(str(self.path), "always", self.clock, self.disk, most_waiting=2)
        self.start()
        self.records.add(views[:1])
        self.disk.full = True
        self.records.add(views[1:])
        self.disk.full = False
        self.records = self.make()
        self.assertEqual(5, self.start(*views))
        self.assertEqual([1, 2, 3, 4, 5, 6], self.ids())

    def test_a_stop_writes_what_waits(self) -> None:
        self.records = self.make("interval")
        self.records.add([view(1)])
        self.stop()
        self.assertEqual([1], self.ids())
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_start_writes_what_a_killed_process_could_not(self) -> None:
        self.records.add([view(1), view(2)])
        self.records = self.make()
        missing = self.start(view(1), view(2), view(3, done_at=1_790_000_011.0), view(4, done_at=1_790_000_009.0))
        self.assertEqual((2, [1, 2, 3, 4]), (missing, self.ids()))

    def test_a_start_finds_what_is_missing_after_the_clock_was_set_back(self) -> None:
        self.records.add([view(1), view(2)])
        self.records = self.make()
        missing = self.start(view(1), view(2), view(3, done_at=1_780_000_000.0))
        self.assertEqual((1, [1, 2, 3]), (missing, self.ids()))

    def test_a_start_writes_no_second_line_for_what_the_file_has_before_the_end_that_is_read(self) -> None:
        # More than 8 MiB of lines within a minute.
        views = [view(number, done_at=1_790_000_000.0 + number * 0.003) for number in range(1, 18_001)]
        self.records.add(views)
        self.assertLess(8 << 20, self.path.stat().st_size)
        self.records = self.make()
        self.assertEqual(1, self.start(*views, view(18_001, done_at=1_790_000_070.0)))
        self.assertEqual(list(range(1, 18_002)), self.ids())

    def test_a_start_leaves_alone_what_ended_long_before(self) -> None:
        self.records.add([view(2)])
        self.records = self.make()
        self.assertEqual(0, self.start(view(1, done_at=1_780_000_000.0), view(2)))
        self.assertEqual([2], self.ids())

    def test_a_new_file_begins_empty(self) -> None:
        self.assertEqual(0, self.start(view(1)))
        self.assertEqual([], self.ids())

    def test_the_first_start_with_records_makes_the_file(self) -> None:
        self.start()
        self.assertTrue(self.path.exists())

    def test_a_relay_that_was_killed_before_its_first_line_writes_it_after_the_next_start(self) -> None:
        self.start(view(1, done_at=1_780_000_000.0))
        self.records = self.make()
        missing = self.start(view(1, done_at=1_780_000_000.0), view(2), view(3, done_at=1_790_086_400.0))
        self.assertEqual((2, [2, 3]), (missing, self.ids()))

    def test_a_file_whose_only_line_was_torn_is_made_good(self) -> None:
        self.start()
        self.path.write_bytes(b'{"id":"0000')
        os.utime(self.path, (1_790_000_011.0, 1_790_000_011.0))
        self.records = self.make()
        self.assertEqual(1, self.start(view(1)))
        self.assertEqual(b'{"id":"0000\n' + record_line(view(1)), self.path.read_bytes())

    def test_a_start_goes_on_where_the_file_can_not_be_made(self) -> None:
        unmounted = self.path.parent / "unmounted"
        unmounted.symlink_to(self.path.parent / "disk")
        self.path = unmounted / "records.jsonl"
        self.records = self.make()
        self.assertEqual(0, self.start(view(1)))
        self.records.add([view(2)])
        self.assertEqual(1, self.records.waiting)
        (self.path.parent.parent / "disk").mkdir()
        self.clock.advance(1.0)
        self.assertEqual([2], self.ids())

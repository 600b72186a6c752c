"""Compaction: the journal stays small, and everything that still counts is kept."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relay.config import daemon_config
from relay.store.journal import compaction
from relay.store.journal.journal_format import decode_records, read_frames
from relay.store.store_values import Idempotency, StoreUnavailable
from relay.store.table.records import Snapshot
from relay.values.carrier_reports import QueryOutcome
from relay.values.inbound import INBOUND_URL, InboundMessage, InboundPart
from relay.values.messages import Ending, Replacement
from relay.values.notifications import Channel, QueueKey
from relay.values.states import DELETED, UNKNOWN
from tests.simulated_disk import SimulatedDisk
from tests.stores import (
    ADDRESSES,
    DAY,
    NOW,
    SettableClock,
    at_once,
    message,
    message_id,
    receipt,
    started,
    state_of,
    submitted,
    wait_for,
)


class CompactionTests(SynchronousTestCase):
    """Segments of 2,000 octets, so that a few messages fill one."""

    def setUp(self) -> None:
        self.clock = SettableClock()
        self.disk = SimulatedDisk()
        self.store = self.start()

    def start(self, **options: Any) -> Any:
        return started(self.disk, self.clock, **{"segment_bytes": 2000, **options})

    def accept(self, *numbers: int, **fields: Any) -> None:
        for n in numbers:
            wait_for(self.clock, self.store.accept([message(n, **fields)]))

    def finish(self, *numbers: int) -> None:
        wait_for(self.clock, self.store.submitted([submitted(n) for n in numbers]))
        wait_for(self.clock, self.store.receipts([receipt(n) for n in numbers]))

    def housekeeping(self, seconds: float = 3.0) -> None:
        for _ in range(int(seconds)):
            wait_for(self.clock, self.store.expire(self.clock.seconds()))
            self.clock.pump([0.02] * 50)

    def names(self) -> list[str]:
        return sorted(path.rsplit("/", 1)[1] for path in self.disk.files if path.endswith(".seg"))

    def records(self) -> list[Any]:
        found: list[Any] = []
        for name in self.names():
            octets = bytes(self.disk.files[f"data/journal/{name}"].octets)
            for _, payload in read_frames(lambda at, count, octets=octets: octets[at : at + count], len(octets)):  # type: ignore[misc]
                found += decode_records(payload)
        return found

    def test_old_segments_without_live_messages_are_deleted(self) -> None:
        self.store = self.start_with_limits()
        for n in range(40):
            self.accept(n, registered_delivery=0)
            self.finish(n)
        before = self.names()
        self.housekeeping()
        after = self.names()
        self.assertLess(len(after), 3)
        self.assertEqual(after[-1], before[-1])

    def test_compaction_keeps_ids_for_queries_and_marks_of_a_second_wait(self) -> None:
        self.accept(1)
        self.accept(2, parts=(b"a", b"b"))
        taken = [submitted(1, b"171", given_id=b"0xAB"), submitted(2, b"172", 0, given_id=b"0xAC")]
        wait_for(self.clock, self.store.submitted([*taken, submitted(2, b"173", 1, given_id=b"0xAD")]))
        until = NOW + 9 * DAY
        wait_for(
            self.clock, self.store.query_outcomes([QueryOutcome(message_id(n), n - 1, NOW + 5, until) for n in (1, 2)])
        )
        for n in range(3, 43):
            self.accept(n, registered_delivery=0)
            self.finish(n)
        worker = self.store._compaction
        wait_for(self.clock, worker._run(self.store._journal.segments[:-1]))
        self.assertNotIn("000000000001.seg", self.names())
        again = self.start_after_crash()
        parts = [part for n in (1, 2) for part in wait_for(self.clock, again.at_carriers(message_id(n)))]
        self.assertEqual([part.given_id for part in parts], [b"0xAB", b"0xAC", b"0xAD"])
        self.assertEqual(state_of(again), state_of(self.store))
        # Nothing can be put off a second time.
        wait_for(self.clock, again.query_outcomes([QueryOutcome(message_id(n), n - 1, NOW + 6, until) for n in (1, 2)]))
        views = [wait_for(self.clock, again.look_up(message_id(n))) for n in (1, 2)]
        self.assertEqual((views[0].final, views[1].parts[1].state, views[1].final), (True, UNKNOWN, False))

    def test_the_priority_of_what_waits_for_a_carrier_is_carried_on(self) -> None:
        self.accept(1, priority=3)
        for n in range(3, 43):
            self.accept(n, registered_delivery=0)
            self.finish(n)
        wait_for(self.clock, self.store._compaction._run(self.store._journal.segments[:-1]))
        self.assertNotIn("000000000001.seg", self.names())
        again = self.start_after_crash()
        self.assertEqual([p.priority for p in wait_for(self.clock, again.unsubmitted(None, 9))], [3])

    def test_the_tags_of_what_waits_for_a_carrier_are_carried_on(self) -> None:
        self.accept(1, tags=("gold",))
        for n in range(3, 43):
            self.accept(n, registered_delivery=0)
            self.finish(n)
        wait_for(self.clock, self.store._compaction._run(self.store._journal.segments[:-1]))
        self.assertNotIn("000000000001.seg", self.names())
        again = self.start_after_crash()
        self.assertEqual([p.tags for p in wait_for(self.clock, again.unsubmitted(None, 9))], [("gold",)])

    def test_which_of_a_carrier_s_settings_change_a_message_is_carried_on(self) -> None:
        self.accept(1, adapt=2)
        self.accept(2, adapt=1)
        for n in range(3, 43):
            self.accept(n, registered_delivery=0)
            self.finish(n)
        wait_for(self.clock, self.store.submitted([submitted(2)]))
        wait_for(self.clock, self.store._compaction._run(self.store._journal.segments[:-1]))
        self.assertNotIn("000000000001.seg", self.names())
        again = self.start_after_crash()
        self.assertEqual([p.adapt for p in wait_for(self.clock, again.unsubmitted(None, 9))], [2])
        self.assertEqual([p.adapt for p in wait_for(self.clock, again.at_carriers(message_id(2)))], [1])

    def start_after_crash(self) -> Any:
        return started(self.disk.crash(), self.clock, segment_bytes=2000)

    def start_with_limits(self) -> Any:
        wait_for(self.clock, self.store.stop())
        return self.start(limits=daemon_config.Limits(finished=3))

    def test_the_time_of_scheduled_messages_and_their_texts_are_carried_on(self) -> None:
        self.accept(*range(30), scheduled_at=NOW + 5000)
        wait_for(self.clock, self.store.end([Ending(message_id(n), DELETED, NOW) for n in range(10, 30)]))
        wait_for(self.clock, self.store._compaction._run(self.store._journal.segments[:-1]))
        snapshots = [record for record in self.records() if type(record) is Snapshot and record.parts[0].body]
        self.assertEqual({record.scheduled_at for record in snapshots}, {NOW + 5000})
        self.store = started(self.disk.crash(), self.clock)
        self.assertEqual(wait_for(self.clock, self.store.scheduled_due(NOW + 4999, 100)), [])
        due = wait_for(self.clock, self.store.scheduled_due(NOW + 5000, 100))
        self.assertEqual({part.id for part in due}, {message_id(n) for n in range(10)})
        bodies = wait_for(self.clock, self.store.bodies([(part.id, 0) for part in due]))
        self.assertEqual(sorted(bodies), sorted(b"body of %d" % n for n in range(10)))

    def test_texts_leave_the_disk_when_they_are_old(self) -> None:
        self.accept(1, 2, expires_at=self.clock.seconds() + 5 * DAY)
        wait_for(self.clock, self.store.submitted([submitted(1)]))
        for _ in range(30):
            self.clock.advance(3600)
            self.housekeeping(1)
        octets = b"".join(bytes(file.octets) for file in self.disk.files.values())
        self.assertNotIn(b"body of 1", octets)
        self.assertEqual(list(wait_for(self.clock, self.store.bodies([(message_id(2), 0)]))), [b"body of 2"])
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))
        self.assertEqual(list(wait_for(self.clock, again.bodies([(message_id(2), 0)]))), [b"body of 2"])

    def test_compaction_keeps_parts_in_doubt_and_no_mark_of_parts_that_came_back(self) -> None:
        self.accept(1, 2, 3, expires_at=self.clock.seconds() + 5 * DAY)
        wait_for(self.clock, self.store.sending([(message_id(1), 0), (message_id(2), 0)], "tier1"))
        wait_for(self.clock, self.store.sending([(message_id(2), 0)], ""))
        for _ in range(30):
            self.clock.advance(3600)
            self.housekeeping(1)
        self.assertNotIn("data/journal/000000000001.seg", self.disk.files)
        again = started(self.disk.crash(), self.clock)
        in_doubt = [p.in_doubt for p in wait_for(self.clock, again.unsubmitted(None, 10))]
        self.assertEqual(in_doubt, ["tier1", "", ""])

    def test_under_steady_traffic_the_directory_stays_a_small_multiple_of_what_it_holds(self) -> None:
        self.store = self.start_with_limits()
        self.accept(9000)
        largest = 0
        for n in range(0, 600, 3):
            wait_for(self.clock, self.store.accept([message(n + i, registered_delivery=0) for i in range(3)]))
            self.finish(n, n + 1, n + 2)
            self.housekeeping(1)
            largest = max(largest, self.disk.used())
        self.assertLess(largest, 5 * 2000 + 3 * 400 * 5)
        self.assertIsNotNone(wait_for(self.clock, self.store.look_up(message_id(9000))))
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(list(wait_for(self.clock, again.bodies([(message_id(9000), 0)]))), [b"body of 9000"])

    def test_settings_keys_orphans_and_the_feeds_cursor_survive(self) -> None:
        wait_for(self.clock, self.store.put_setting("plain", "notify", "all"))
        key = Idempotency("plain", "k", b"d", b"a", self.clock.seconds() + 10 * DAY)
        wait_for(self.clock, self.store.accept([message(1, registered_delivery=0)], key))
        self.finish(1)
        later = self.clock.seconds() + 10 * DAY
        wait_for(self.clock, self.store.receipts([receipt(77, received_at=later), receipt(b"", keys=())]))
        cursor = wait_for(self.clock, self.store.feed("plain", 0, 9))[0].cursor
        for _ in range(9 * 24):
            self.clock.advance(3600)
            self.housekeeping(1)
        self.assertNotIn("000000000001.seg", self.names())
        again = started(self.disk.crash(), self.clock)
        self.assertIsNone(wait_for(self.clock, again.look_up(message_id(1))), "finished, and its time is over")
        self.assertEqual(list(wait_for(self.clock, again.settings())), [("plain", "notify", "all")])
        self.assertEqual(wait_for(self.clock, again.repeated("plain", "k")), key)
        self.assertEqual(wait_for(self.clock, again.orphans(9))[0].keys, (b"77",))
        self.assertEqual(len(wait_for(self.clock, again.unreadable(9))), 1)
        self.store = again
        self.accept(2)
        self.finish(2)
        self.assertGreater(wait_for(self.clock, again.feed("plain", cursor, 9))[0].cursor, cursor)

    def test_messages_from_handsets_and_their_parts_are_carried_on(self) -> None:
        owed, handed_over = (
            InboundMessage(message_id(n), "hooked", "tier1", self.clock.seconds(), ADDRESSES, 0, b"hello")
            for n in (1, 2)
        )
        part = InboundPart("tier1", self.clock.seconds(), ADDRESSES, 7, 2, 1, 0, b"hello")
        wait_for(self.clock, self.store.receive([owed]))
        wait_for(self.clock, self.store.keep_parts([part]))
        for _ in range(3 * 24):
            self.clock.advance(3600)
            self.housekeeping(1)
        wait_for(self.clock, self.store.receive([handed_over]))
        self.assertNotIn("000000000001.seg", self.names())
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(wait_for(self.clock, again.kept_parts()), [part])
        queue_key = QueueKey("hooked", Channel.WEBHOOK, INBOUND_URL)
        told = wait_for(self.clock, again.claim(queue_key, 9, self.clock.seconds())).notifications
        self.assertEqual([(n.id, n.inbound.octets) for n in told], [(owed.id, b"hello"), (handed_over.id, b"hello")])
        feed = wait_for(self.clock, again.inbound_feed("hooked", 0, 9))
        self.assertEqual([view.inbound.cursor for view in feed], [1, 2])

    def test_a_crash_at_any_point_of_it_loses_nothing(self) -> None:
        self.accept(*range(60))
        wait_for(self.clock, self.store.submitted([submitted(n) for n in range(0, 60, 2)]))
        expected = state_of(self.store)
        waiting = [(message_id(n), 0) for n in range(1, 60, 2)]
        bodies = wait_for(self.clock, self.store.bodies(waiting))
        victims = self.store._journal.segments[:-1]
        self.assertGreater(len(victims), 2)
        crashes: list[SimulatedDisk] = []

        for action in ("write", "sync", "remove", "sync_directory"):
            self.watch(action, crashes)
        wait_for(self.clock, self.store._compaction._run(victims))
        copies = [record.id for record in self.records() if type(record) is Snapshot]
        self.assertEqual(len(copies), len(set(copies)), "each is copied once")
        self.assertGreater(len(crashes), 5)
        for crashed in crashes:
            again = started(crashed, self.clock)
            self.assertEqual(state_of(again), expected)
            self.assertEqual(wait_for(self.clock, again.bodies(waiting)), bodies)

    def watch(self, action: str, crashes: list[SimulatedDisk]) -> None:
        """Keeps what a crash would leave, before each of these actions."""
        real = getattr(self.disk, action)

        def watched(*arguments: Any, **options: Any) -> Any:
            crashes.append(self.disk.crash())
            crashes.append(self.disk.kill())
            return real(*arguments, **options)

        setattr(self.disk, action, watched)

    def test_when_a_copy_can_not_be_written_nothing_is_deleted_and_it_is_tried_again(self) -> None:
        self.accept(*range(30))
        names = self.names()
        victims = self.store._journal.segments[:-1]
        self.disk.write_error = OSError(28, "No space left on device")
        with self.assertRaises(StoreUnavailable):
            wait_for(self.clock, self.store._compaction._run(victims))
        # The copy may have begun another segment.
        self.assertEqual(self.names()[: len(names)], names)
        self.disk.write_error = None
        self.clock.advance(1.1)
        wait_for(self.clock, self.store._compaction._run(victims))
        self.assertNotIn(names[0], self.names())
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))

    def test_a_relay_that_dies_in_the_midst_of_it_again_and_again_gets_on_segment_by_segment(self) -> None:
        self.accept(*range(90))
        expected = state_of(self.store)
        for _ in range(3):
            oldest, second = self.names()[:2]
            remove = self.disk.remove
            left: list[SimulatedDisk] = []

            def removed(path: str, remove: Any = remove, left: list[SimulatedDisk] = left) -> None:
                remove(path)
                left.append(self.disk)
                self.disk.write_error = OSError(5, "the relay is killed here")

            self.disk.remove = removed  # type: ignore[method-assign]
            victims = self.store._journal.segments[:-1]
            with self.assertRaises(StoreUnavailable):
                wait_for(self.clock, self.store._compaction._run(victims))
            self.disk = left[0].kill()
            self.assertNotIn(oldest, self.names())
            self.assertIn(second, self.names())
            self.store = self.start()
            self.assertEqual(state_of(self.store), expected)

    def compacting(self) -> tuple["Deferred[None]", Callable[[], bool]]:
        """A compaction that is under way, and what has the disk do one more thing; this gives whether there was any."""
        victims = self.store._journal.segments[:-1]
        held: list[tuple[Any, Deferred[Any]]] = []

        def in_thread(work: Any) -> "Deferred[Any]":
            done: Deferred[Any] = Deferred()
            held.append((work, done))
            return done

        def step() -> bool:
            self.clock.advance(0.02)
            if not held:
                return False
            work, done = held.pop(0)
            at_once(work).chainDeferred(done)
            return True

        self.store._journal._in_thread = in_thread
        for owner in (self.store._compaction, self.store._compaction._body_reader):
            owner._disk = owner._disk._replace(in_thread=in_thread)
        return Deferred.fromCoroutine(self.store._compaction._run(victims)), step

    def test_messages_that_go_on_while_they_are_copied_are_read_back_as_they_went_on(self) -> None:
        self.accept(*range(30))
        running, step = self.compacting()
        for n in range(30):
            self.store.submitted([submitted(n)])
            if n % 3 == 0:
                self.store.receipts([receipt(n)])
            step()
        for _ in range(200):
            step()
        self.assertIsNone(self.successResultOf(running))
        again = started(self.disk.crash(), self.clock)
        self.assertEqual(state_of(again), state_of(self.store))

    def test_messages_that_are_replaced_while_they_are_copied_keep_the_new_text(self) -> None:
        # They are replaced at each step of a compaction, before and after they are copied.
        for steps in range(8):
            self.setUp()
            self.accept(*range(30))
            running, step = self.compacting()
            for _ in range(steps):
                step()
            for n in (0, 15):
                self.store.replace(Replacement(message_id(n), b"new %d" % n, 0, NOW + 2 * DAY))
            while step() or not running.called:
                pass
            self.assertIsNone(self.successResultOf(running))
            self.assertEqual(sum(segment.rows for segment in self.store._journal.segments), 30)
            self.store = started(self.disk.crash(), self.clock)
            for n, body in ((0, b"new 0"), (15, b"new 15"), (1, b"body of 1")):
                bodies = wait_for(self.clock, self.store.bodies([(message_id(n), 0)]))
                self.assertEqual((steps, list(bodies)), (steps, [body]))

    def test_what_is_removed_or_replaced_while_the_notes_are_copied_does_not_come_back(self) -> None:
        # At each step of a compaction.
        self.patch(compaction, "ROWS_A_SLICE", 2)
        for steps in range(15):
            self.setUp()
            parts = [InboundPart("tier1", NOW, ADDRESSES, n, 2, 1, 0, b"hello") for n in range(6)]
            wait_for(self.clock, self.store.keep_parts(parts))
            wait_for(self.clock, self.store.receipts([receipt(n, received_at=NOW) for n in range(6)]))
            for n in range(6):
                wait_for(self.clock, self.store.put_setting("plain", f"s{n}", "old"))
            self.accept(*range(40, 60))
            self.accept(*range(6))
            running, step = self.compacting()
            for _ in range(steps):
                step()
            self.store.receive(
                [InboundMessage(message_id(99), "hooked", "tier1", NOW, ADDRESSES, 0, b"hello you", b"", 2, 5)]
            )
            self.store.put_setting("plain", "s5", "new")
            self.store.submitted([submitted(5)])
            while step() or not running.called:
                pass
            self.assertIsNone(self.successResultOf(running))
            again = self.start_after_crash()
            self.assertEqual((steps, wait_for(self.clock, again.kept_parts())), (steps, parts[:5]))
            self.assertEqual(dict(state_of(again), steps=steps), dict(state_of(self.store), steps=steps))

    def test_many_messages_are_copied_in_slices(self) -> None:
        wait_for(self.clock, self.store.accept([message(n) for n in range(2600)]))
        self.accept(9999)
        before = self.store.figures().commits
        victims = self.store._journal.segments[:-1]
        wait_for(self.clock, self.store._compaction._run(victims))
        self.assertGreaterEqual(self.store.figures().commits - before, 6)
        self.assertEqual(self.store.figures().messages, 2601)

    def test_a_journal_of_one_small_segment_is_left_alone(self) -> None:
        self.accept(1)
        self.housekeeping()
        self.assertEqual(self.names(), ["000000000001.seg"])

    def test_a_journal_full_of_long_texts_from_handsets_is_not_copied_again_and_again(self) -> None:
        self.store = self.start_with_limits()
        texts = [
            InboundMessage(message_id(n), "hooked", "tier1", self.clock.seconds(), ADDRESSES, 0, b"%1200d" % n)
            for n in range(40)
        ]
        for text in texts:
            wait_for(self.clock, self.store.receive([text]))
        self.housekeeping(5)
        names = self.names()
        self.housekeeping(20)
        self.assertEqual(self.names(), names)
        # What doesn't count any more goes, if it is much.
        for n in range(100, 400):
            self.accept(n, registered_delivery=0)
            self.finish(n)
        self.housekeeping(5)
        self.assertGreater(self.names()[0], names[0])
        names = self.names()
        self.housekeeping(20)
        self.assertEqual(self.names(), names)

    def test_evidence_of_a_wrong_dialect_is_copied_until_it_is_dismissed(self) -> None:
        came = [receipt(b"x%d" % n, received_at=NOW + n / 1000, raw=b"raw %d" % n) for n in range(10)]
        wait_for(self.clock, self.store.receipts(came))
        self.clock.advance(601.0)
        self.housekeeping()
        first = self.names()[0]
        for dismissed in (False, True):
            # The segments that held them go.
            for n in range(40):
                self.accept(n + 40 * dismissed, registered_delivery=0)
                self.finish(n + 40 * dismissed)
            self.clock.advance(DAY + 61.0)
            self.housekeeping()
            self.assertGreater(self.names()[0], first)
            again = self.start_after_crash()
            kept = wait_for(self.clock, again.evidence(100))
            expected = [] if dismissed else came
            self.assertEqual(sorted(kept, key=lambda r: r.received_at), expected)
            self.assertEqual(again.figures().orphans, 0)
            first = self.names()[0]
            wait_for(self.clock, self.store.dismiss_evidence("tier1"))

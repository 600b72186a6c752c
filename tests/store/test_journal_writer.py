"""The journal's writer: which frames share a commit, which calls wait for it, and what is in the file."""

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from relay.config import daemon_config
from relay.store.journal.commits_at_once import SMALL_BYTES
from relay.store.journal.disk_thread import JournalDisk
from relay.store.journal.files import Locked, OsFiles, write_all
from relay.store.journal.journal_format import decode_header, decode_records, encode_frame, frame_at, read_frames
from relay.store.journal.journal_writer import Journal
from relay.store.table.records import Setting, Synced
from tests.simulated_disk import SimulatedDisk
from tests.stores import SettableClock, at_once, wait_for


def frame(text: str) -> bytes:
    """A frame that can be told from others."""
    return encode_frame([Setting("a", text, "x" * 10)])


class JournalTests(SynchronousTestCase):
    """With a thread that works when it is told to."""

    def setUp(self) -> None:
        self.disk = SimulatedDisk()
        self.clock = SettableClock()
        self.held: list[tuple[Any, Deferred[Any]]] = []
        self.fired: list[str] = []

    def journal(self, hold: bool = False, **options: Any) -> Journal:
        def in_thread(work: Any) -> "Deferred[Any]":
            done: Deferred[Any] = Deferred()
            self.held.append((work, done))
            return done

        settings = daemon_config.Journal(**{"segment_bytes": 1 << 20, "segment_seconds": 3600.0, **options})
        disk = JournalDisk(self.disk, "j", in_thread if hold else at_once, thread_is_idle=lambda: not self.held)
        return Journal(disk, [], settings, self.clock)

    def quiet_journal(self, **options: Any) -> Journal:
        """A journal with little traffic, whose disk has been fast. Its thread holds what it gets from now on."""
        journal = self.journal(hold=True, **options)
        for n in range(30):
            self.append(journal, f"quiet {n}")
            self.clock.advance(1)
            if self.held:
                self.finish_commit()
        self.clock.advance(1)
        del self.fired[:]
        return journal

    def append(self, journal: Journal, name: str) -> None:
        journal.append(frame(name), name).addBoth(lambda result: self.fired.append(str(result)))

    def finish_commit(self) -> None:
        work, done = self.held.pop(0)
        at_once(work).chainDeferred(done)

    def content(self, sequence: int = 1) -> list[Any]:
        octets = bytes(self.disk.files[f"j/{sequence:012d}.seg"].octets)
        found: list[Any] = []
        for _, payload in read_frames(lambda at, count: octets[at : at + count], len(octets)):
            found += [r.offset if type(r) is Synced else r.name for r in decode_records(payload)]
        return found

    def test_while_a_commit_is_held_up_nothing_is_taken_and_events_are_written_after_it(self) -> None:
        journal = self.journal(hold=True)
        self.append(journal, "under way")
        self.clock.advance(0)
        self.append(journal, "before")
        journal.hold_up("the database is away")
        self.append(journal, "refused")
        self.assertEqual((journal.open, journal.why_not), (False, "the database is away"))
        self.assertIn("the database is away", self.fired[0])
        self.finish_commit()
        self.assertEqual((journal.open, journal.why_not), (True, ""))
        self.finish_commit()
        self.assertEqual(self.fired[1:], ["under way", "before"])
        # The event that was refused has happened, so it stands after those before it.
        self.assertEqual([name for name in self.content() if isinstance(name, str)], ["under way", "before", "refused"])

    def test_an_event_that_came_while_a_commit_was_held_up_is_not_durable_with_that_commit(self) -> None:
        marks = iter([1, 2])
        journal = self.journal(hold=True)
        journal._mark = lambda: next(marks)
        self.append(journal, "under way")
        self.clock.advance(0)
        journal.hold_up("the database is away")
        self.append(journal, "later")
        self.finish_commit()
        self.assertEqual(journal.durable_mark, 1)
        self.finish_commit()
        self.assertEqual(journal.durable_mark, 2)

    def test_a_journal_without_a_commit_under_way_is_not_held_up(self) -> None:
        journal = self.journal()
        journal.hold_up("the database is away")
        self.assertTrue(journal.open)

    def test_calls_of_one_turn_share_one_write_and_one_sync(self) -> None:
        journal = self.journal()
        self.append(journal, "first")
        self.clock.advance(0)
        writes, syncs = self.disk.writes, self.disk.syncs
        for n in range(10):
            self.append(journal, f"{n}")
        self.assertEqual(self.fired, ["first"])
        self.clock.advance(0)
        self.assertEqual((self.disk.writes - writes, self.disk.syncs - syncs), (1, 1))
        self.assertEqual(self.fired, ["first", *map(str, range(10))])

    def test_calls_during_a_commit_gather_for_the_next_which_starts_at_once(self) -> None:
        journal = self.journal(hold=True)
        self.append(journal, "a")
        self.clock.advance(0)
        self.append(journal, "b")
        self.append(journal, "c")
        self.clock.advance(1)
        self.assertEqual((len(self.held), self.fired), (1, []))
        self.finish_commit()
        self.assertEqual((len(self.held), self.fired), (1, ["a"]))
        self.finish_commit()
        self.assertEqual((len(self.held), self.fired), (0, ["a", "b", "c"]))

    def test_frames_that_an_answer_causes_are_in_the_next_commit(self) -> None:
        journal = self.journal(hold=True)
        journal.append(frame("a"), None).addCallback(lambda _: self.append(journal, "b"))
        self.clock.advance(0)
        self.finish_commit()
        self.assertEqual(len(self.held), 1)
        self.finish_commit()
        self.assertEqual(self.fired, ["b"])

    def test_a_call_with_nothing_to_write_fires_at_once_when_nothing_is_under_way(self) -> None:
        journal = self.journal(hold=True)
        self.assertEqual(self.successResultOf(journal.append(b"", 5)), 5)
        self.assertEqual(self.held, [])

    def test_a_call_with_nothing_to_write_does_not_overtake(self) -> None:
        journal = self.journal(hold=True)
        self.append(journal, "a")
        journal.append(b"", "nothing").addCallback(self.fired.append)
        self.clock.advance(0)
        journal.append(b"", "later").addCallback(self.fired.append)
        self.assertEqual(self.fired, [])
        self.finish_commit()
        self.assertEqual((self.fired, self.held), (["a", "nothing", "later"], []))

    def test_a_frame_is_where_its_place_says(self) -> None:
        journal = self.journal(segment_bytes=300)
        places = []
        for n in range(20):
            self.append(journal, f"{n}")
            places.append(journal.place)
            if n % 3 == 0:
                self.clock.advance(0)
        self.clock.advance(0)
        for n, (segment, offset) in enumerate(places):
            octets = bytes(self.disk.files[f"j/{segment.sequence:012d}.seg"].octets)
            payload = frame_at(octets, offset)
            assert payload is not None
            self.assertEqual(decode_records(payload)[0].name, f"{n}")

    def test_every_commit_says_how_much_had_been_synced_before_it(self) -> None:
        journal = self.journal()
        self.append(journal, "a")
        self.clock.advance(0)
        length = len(self.disk.files["j/000000000001.seg"].octets)
        self.append(journal, "b")
        self.clock.advance(0)
        self.assertEqual(self.content(), [0, "a", length, "b"])

    def test_a_full_segment_is_followed_by_another_and_is_synced_before_it(self) -> None:
        for sync in ("always", "interval", "never"):
            self.disk = SimulatedDisk()
            journal = self.journal(segment_bytes=200, sync=sync)
            for n in range(9):
                self.append(journal, f"{n}")
                self.clock.advance(0)
            self.assertGreater(len(journal.segments), 2)
            *closed, active = sorted(self.disk.files)
            for path in closed:
                file = self.disk.files[path]
                self.assertEqual((file.synced, file.entry_synced), (bytes(file.octets), True), sync)
            self.assertEqual(int(active[2:14]), journal.active.sequence)
            header = decode_header(bytes(self.disk.files[active].octets), active)
            assert header is not None
            self.assertEqual(header.sequence, journal.active.sequence)

    def test_an_old_segment_is_followed_by_another_when_asked(self) -> None:
        journal = self.journal(segment_seconds=60)
        self.append(journal, "a")
        self.clock.advance(59)
        journal.roll(self.clock.seconds())
        self.assertEqual(len(journal.segments), 1)
        self.clock.advance(2)
        journal.roll(self.clock.seconds())
        self.clock.advance(0)
        self.assertEqual(sorted(self.disk.files), ["j/000000000001.seg", "j/000000000002.seg"])
        journal.roll(self.clock.seconds())
        self.assertEqual(len(journal.segments), 2)

    def test_syncing_at_intervals_answers_before_and_syncs_within_a_second(self) -> None:
        journal = self.journal(sync="interval")
        self.append(journal, "first")
        self.clock.advance(0)
        syncs = self.disk.syncs
        for n in range(3):
            self.append(journal, f"{n}")
            self.clock.advance(0.1)
        self.assertEqual((self.fired[-1], self.disk.syncs), ("2", syncs))
        self.clock.advance(1)
        self.assertEqual(self.disk.syncs, syncs + 1)
        file = self.disk.files["j/000000000001.seg"]
        self.assertEqual(file.synced, bytes(file.octets))

    def test_without_syncing_only_a_new_segment_and_the_stop_sync(self) -> None:
        journal = self.journal(sync="never")
        self.append(journal, "first")
        self.clock.advance(0)
        syncs = self.disk.syncs
        for n in range(3):
            self.append(journal, f"{n}")
            self.clock.advance(10)
        self.assertEqual(self.disk.syncs, syncs)
        wait_for(self.clock, journal.stop())
        self.assertGreater(self.disk.syncs, syncs)

    def test_a_stop_commits_what_is_under_way_and_says_that_all_was_synced(self) -> None:
        journal = self.journal()
        self.append(journal, "a")
        wait_for(self.clock, journal.stop())
        self.assertEqual(self.fired, ["a"])
        self.assertEqual(self.content()[-1], len(self.disk.files["j/000000000001.seg"].octets) - 16)

    def test_commits_are_counted_and_timed(self) -> None:
        journal = self.journal(hold=True)
        self.append(journal, "a")
        self.append(journal, "b")
        self.clock.advance(0)
        self.clock.advance(0.004)
        self.finish_commit()
        self.assertEqual((journal.figures.commits, journal.figures.batches), (1, 2))
        self.assertAlmostEqual(journal.figures.seconds, 0.004, places=5)
        self.assertEqual(journal.figures.buckets[3], 1)
        self.assertEqual(journal.figures.octets, self.disk.used())

    def test_with_little_traffic_and_a_fast_disk_the_reactor_makes_the_commit_itself(self) -> None:
        journal = self.quiet_journal()
        syncs = self.disk.syncs
        self.append(journal, "a")
        self.assertEqual(self.fired, [])
        self.clock.advance(0)
        self.assertEqual((self.fired, self.held, self.disk.syncs - syncs), (["a"], [], 1))
        self.assertEqual(self.content()[-1], "a")

    def test_if_the_disk_turns_slow_one_commit_at_most_waits_on_the_reactor(self) -> None:
        journal = self.quiet_journal()
        self.disk.sync_seconds = 0.5
        self.append(journal, "the one that waits")
        self.clock.advance(1)
        self.assertEqual((self.fired, self.held), (["the one that waits"], []))
        for n in range(100):
            self.append(journal, f"{n}")
            self.clock.advance(1)
            self.assertEqual((len(self.held), len(self.fired)), (1, n + 1))
            self.finish_commit()

    def test_a_disk_that_was_slow_must_show_in_the_thread_that_it_is_fast_again(self) -> None:
        journal = self.quiet_journal()
        self.disk.sync_seconds = 0.01
        self.append(journal, "slow")
        self.clock.advance(1)
        self.disk.sync_seconds = 0.0001
        in_thread = 0
        for n in range(60):
            self.append(journal, f"{n}")
            self.clock.advance(1)
            if self.held:
                in_thread += 1
                self.finish_commit()
        self.assertEqual(in_thread, 22)

    def test_several_calls_and_large_frames_are_committed_in_the_thread(self) -> None:
        journal = self.quiet_journal()
        self.append(journal, "a")
        self.append(journal, "b")
        self.clock.advance(0)
        self.assertEqual(self.fired, [])
        self.finish_commit()
        self.clock.advance(1)
        journal.append(encode_frame([Setting("a", "large", "x" * SMALL_BYTES)]), None)
        self.clock.advance(0)
        self.assertEqual((len(self.held), self.fired), (1, ["a", "b"]))
        self.finish_commit()

    def test_a_commit_soon_after_another_is_made_in_the_thread(self) -> None:
        self.disk.sync_seconds = 0.0004
        journal = self.quiet_journal()
        self.append(journal, "a")
        self.clock.advance(0)
        self.clock.advance(0.0003)
        self.append(journal, "b")
        self.clock.advance(0)
        self.assertEqual((self.fired, len(self.held)), (["a"], 1))
        self.finish_commit()
        self.clock.advance(0.0005)
        self.append(journal, "c")
        self.clock.advance(0)
        self.assertEqual((self.fired, self.held), (["a", "b", "c"], []))

    def test_a_commit_that_begins_a_segment_is_made_in_the_thread(self) -> None:
        journal = self.quiet_journal(segment_bytes=10_000)
        while journal.active.end_bytes < 10_000:
            self.append(journal, "filling")
            self.clock.advance(1)
            self.assertEqual(self.held, [])
        self.append(journal, "in the next segment")
        self.clock.advance(1)
        self.assertEqual(len(self.held), 1)
        self.finish_commit()

    def test_while_the_thread_works_the_reactor_leaves_the_disk_alone(self) -> None:
        journal = self.quiet_journal()
        reading: Deferred[Any] = Deferred()
        self.held.append((lambda: "read", reading))
        self.append(journal, "a")
        self.clock.advance(0)
        self.assertEqual((len(self.held), self.fired), (2, []))

    def test_a_commit_that_fails_on_the_reactor_is_written_again_like_any_other(self) -> None:
        journal = self.quiet_journal()
        self.disk.sync_error = OSError(5, "Input/output error")
        self.append(journal, "a")
        self.clock.advance(0)
        self.assertIn("Input/output error", self.fired[-1])
        self.assertFalse(journal.writable)
        self.disk.sync_error = None
        self.clock.advance(1)
        self.finish_commit()
        self.assertTrue(journal.writable)
        self.append(journal, "b")
        self.clock.advance(0)
        self.assertEqual(len(self.held), 1)
        self.finish_commit()
        found = [name for n in (1, 2) for name in self.content(n) if isinstance(name, str)]
        self.assertEqual(found[-2:], ["a", "b"])

    def test_frames_that_a_commit_on_the_reactor_causes_are_committed_in_the_thread(self) -> None:
        self.disk.sync_seconds = 0.0001
        journal = self.quiet_journal()
        journal.append(frame("a"), None).addCallback(lambda _: self.append(journal, "b"))
        self.clock.advance(0)
        self.assertEqual(len(self.held), 1)
        self.finish_commit()
        self.assertEqual(self.fired, ["b"])

    def test_after_a_failure_of_a_commit_that_began_a_segment_its_number_is_used_again(self) -> None:
        journal = self.journal(segment_bytes=100)
        self.append(journal, "a")
        self.clock.advance(0)
        self.append(journal, "b")
        self.disk.sync_error = OSError(5, "Input/output error")
        self.append(journal, "c")
        self.clock.advance(0)
        self.assertIn("Input/output error", self.fired[-1])
        self.disk.sync_error = None
        self.clock.advance(1)
        self.assertEqual(sorted(self.disk.files), ["j/000000000001.seg", "j/000000000002.seg"])
        self.assertEqual((self.content(1), self.content(2)), ([0, "a"], [0, "b", "c"]))

    def test_news_that_come_while_the_disk_is_tried_again_are_written_after_it(self) -> None:
        journal = self.journal(hold=True)
        self.append(journal, "a")
        self.clock.advance(0)
        self.disk.sync_error = OSError(5, "Input/output error")
        self.finish_commit()
        self.append(journal, "b")
        self.disk.sync_error = None
        self.clock.advance(1)
        self.append(journal, "c")
        self.finish_commit()
        self.assertTrue(journal.writable)
        self.clock.advance(0)
        self.finish_commit()
        found = [name for name in self.content() if isinstance(name, str)]
        self.assertEqual(found, ["a", "b", "c"])


class OsFilesTests(SynchronousTestCase):
    """The real disk."""

    def setUp(self) -> None:
        self.files = OsFiles()
        self.directory = self.mktemp()
        self.files.make_directory(self.directory)
        self.path = os.path.join(self.directory, "file")

    def test_a_lock_names_its_owner_and_ends_with_its_handle(self) -> None:
        handle = self.files.lock(self.path, "4711")
        with self.assertRaises(Locked) as caught:
            self.files.lock(self.path, "4712")
        self.assertEqual(caught.exception.owner, "4711")
        self.files.close(handle)
        self.files.close(self.files.lock(self.path, "4712"))

    def test_frames_written_with_and_without_sync_are_read_back(self) -> None:
        handle = self.files.open(self.path, create=True)
        self.addCleanup(self.files.close, handle)
        write_all(self.files, handle, 0, b"first")
        write_all(self.files, handle, 5, b"second", sync=True)
        self.files.sync(handle)
        self.files.sync_directory(self.directory)
        self.assertEqual(self.files.read(handle, 0, 100), b"firstsecond")
        self.files.truncate(self.path, 5)
        self.assertEqual((self.files.size(self.path), self.files.list_directory(self.directory)), (5, ["file"]))
        self.files.rename(self.path, self.path + "2")
        self.files.remove(self.path + "2")
        self.assertEqual(self.files.list_directory(self.directory), [])

    def test_a_file_is_created_once_and_not_for_everybody_to_read(self) -> None:
        self.files.close(self.files.open(self.path, create=True))
        self.assertEqual(os.stat(self.path).st_mode & 0o007, 0)
        with self.assertRaises(FileExistsError):
            self.files.open(self.path, create=True)

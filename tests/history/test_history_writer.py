"""The history follows the journal: nothing is missing, nothing is there twice, whatever happens in between."""

import itertools
import os
import sqlite3
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from relay.config.daemon_config import Limits
from relay.history.history_events import HistoryEvents
from relay.history.history_query import HistoryPage, HistoryQuery
from relay.history.history_questions import HistoryQuestions
from relay.history.history_search import HistorySearch
from relay.history.sqlite_history import SqliteConnection
from relay.store.journal.journal_format import segment_name
from relay.store.table.message_views import message_view
from relay.values.failover_rule import FailoverRule
from relay.values.messages import Ending
from relay.values.notifications import Attempt, Channel, QueueKey, Verdict
from relay.values.states import DELIVERED, ENROUTE, REJECTED, SCHEDULED, UNDELIVERABLE
from tests.history.keeping import HistoryCase, times_of, without_times
from tests.store.test_journal_store_histories import History, failover_histories, histories
from tests.stores import DAY, NOW, all_rows, at_once, message, message_id, receipt, started, submitted

#: Operations on the store; after which of them the history catches up; and after which both are opened again.
courses = (
    st.one_of(histories, failover_histories),
    st.sets(st.integers(0, 40)),
    st.sets(st.integers(0, 40), max_size=2),
)


class FollowingTests(HistoryCase):
    """Whatever becomes of a message, the history says of it what the store says."""

    def assert_as_the_store(self, view: Any) -> None:
        (found,) = self.find(id=view.id.hex())
        self.assertEqual(without_times(found), without_times(view))
        for kept, known in zip(times_of(found), times_of(view), strict=True):
            self.assertLess(abs(kept - known), 0.005)

    def test_a_message_is_found_from_its_acceptance_on_and_shows_each_state(self) -> None:
        self.done(self.store.accept([message(1)]))
        self.catch_up()
        (waiting,) = self.find()
        self.assertEqual((waiting.state, waiting.final, waiting.carrier), (SCHEDULED, False, ""))
        self.done(self.store.submitted([submitted(1, b"x17")]))
        self.catch_up()
        (sent,) = self.find(carrier_id="x17")
        self.assertEqual((sent.state, sent.carrier), (ENROUTE, "tier1"))
        self.done(self.store.receipts([receipt(b"x17")]))
        self.catch_up()
        (delivered,) = self.find(states=frozenset([DELIVERED]))
        self.assertEqual((delivered.final, delivered.owed, delivered.carrier_error), (True, ["smpp"], "000"))
        self.assert_as_the_store(self.done(self.store.look_up(message_id(1))))
        self.assertEqual(len(self.find()), 1)

    def test_attempts_to_notify_are_kept_with_their_answers(self) -> None:
        self.done(self.store.accept([message(1, "hooked", registered_delivery=0)]))
        self.done(self.store.submitted([submitted(1)]))
        self.done(self.store.receipts([receipt(1)]))
        self.catch_up()
        self.assertEqual(self.ids(notification="owed"), [message_id(1)])
        for attempt, verdict in ((1, Verdict.RETRY), (2, Verdict.GIVEN_UP)):
            now = self.clock.seconds() + 100.0 * attempt
            claim = self.done(self.store.claim(QueueKey("hooked", Channel.WEBHOOK), 10, now))
            self.done(self.store.settle([Attempt(claim.notifications[0], verdict, now, now + 50, "503", 0.25)]))
        self.catch_up()
        (view,) = self.find(notification="failed")
        self.assertEqual(
            [(a.attempt, a.answer, a.seconds) for a in view.attempts], [(1, "503", 0.25), (2, "503", 0.25)]
        )
        self.done(self.store.notify_again("hooked", [message_id(1)], now + 200))
        self.catch_up()
        self.assertEqual(self.ids(notification="owed"), [message_id(1)])

    def test_a_message_that_memory_has_forgotten_is_told_again_as_the_history_knows_it(self) -> None:
        self.done(self.store.stop())
        self.store = started(self.disk, self.clock, segment_bytes=2000, limits=Limits(finished=0))
        self.done(
            self.store.accept([message(1, "hooked", registered_delivery=0, notification_url="http://a.example/")])
        )
        self.done(self.store.submitted([submitted(1)]))
        self.done(self.store.receipts([receipt(1)]))
        queue, now = QueueKey("hooked", Channel.WEBHOOK, "http://a.example/"), self.clock.seconds()

        def tell(at: float) -> None:
            claim = self.done(self.store.claim(queue, 10, at))
            self.done(self.store.settle([Attempt(claim.notifications[0], Verdict.GIVEN_UP, at, 0.0, "503")]))

        tell(now + 1.0)
        self.done(self.store.expire(now))
        self.catch_up()
        (view,) = self.find(notification="failed")
        self.assertTrue(view.url_is_whole)
        self.assertIsNone(self.done(self.store.look_up(view.id)))
        again = self.done(self.store.notify_old("hooked", [view], now))
        self.assertEqual((again.messages, again.queues), (1, {queue}))
        self.catch_up()
        self.assertEqual(self.ids(notification="owed"), [message_id(1)])
        tell(now + 2.0)
        self.catch_up()
        self.assertEqual(len(self.find(notification="failed")[0].attempts), 2)
        self.assertEqual(len(self.find()), 1)

    def test_each_attempt_keeps_its_own_url_and_what_the_answer_began_with(self) -> None:
        self.done(self.store.accept([message(1, "hooked", registered_delivery=0)]))
        self.done(self.store.submitted([submitted(1)]))
        self.done(self.store.receipts([receipt(1)]))
        said = [("https://old.example/hook", "busy"), ("https://new.example/hook", ""), ("", "late")]
        for number, (url, body) in enumerate(said, 1):
            now = self.clock.seconds() + 100.0 * number
            claim = self.done(self.store.claim(QueueKey("hooked", Channel.WEBHOOK), 10, now))
            attempt = Attempt(claim.notifications[0], Verdict.RETRY, now, now + 50, "503", 0.25, url=url, body=body)
            self.done(self.store.settle([attempt]))
            # Each time the message is read from the database and written again.
            self.catch_up()
        (view,) = self.find(notification="owed")
        self.assertEqual([(a.url, a.body) for a in view.attempts], said)
        self.assert_as_the_store(self.done(self.store.look_up(message_id(1))))

    def test_a_url_is_kept_without_what_is_secret_in_it(self) -> None:
        url = "https://user:password@example.com:8443/hook/7?token=secret#x"
        self.done(self.store.accept([message(1, notification_url=url)]))
        self.catch_up()
        self.assertEqual(self.find()[0].notification_url, "https://example.com:8443/hook/7")
        self.assertFalse(self.find()[0].url_is_whole)
        self.writer.close()
        self.assertIn(b"example.com", self.octets())
        self.assertNotIn(b"secret", self.octets())

    def test_texts_are_never_in_it(self) -> None:
        self.done(self.store.accept([message(1), message(2, parts=(b"body of two", b"body of three"))]))
        self.catch_up()
        self.writer.close()
        self.search.close()
        self.assertNotIn(b"body of", self.octets())

    def test_the_writer_s_memory_has_no_texts_either(self) -> None:
        events = HistoryEvents(lambda message_id: None, 0)
        events.apply([message(1, parts=(b"body of one", b"body of two"))])
        (entry,) = events.take()
        self.assertEqual(entry.message.parts, (b"", b""))

    def test_a_receipt_that_came_first_counts_after_all_parts_of_its_batch(self) -> None:
        rule = FailoverRule((UNDELIVERABLE,))
        self.done(self.store.accept([message(1, parts=(b"one", b"two", b"three"), failover=rule)]))
        self.done(self.store.submitted([submitted(1, b"a%d" % part, part, parts_receipted=1) for part in range(3)]))
        self.done(self.store.receipts([receipt(b"b0", UNDELIVERABLE, "tier2")]))
        self.done(self.store.submitted([submitted(1, b"b%d" % part, part, "tier2") for part in range(3)]))
        view = self.done(self.store.look_up(message_id(1)))
        # The other parts have their receipts still to come, so the round has not ended.
        self.assertEqual(([part.carrier for part in view.parts], view.rounds), (["tier2"] * 3, []))
        self.catch_up()
        self.assert_as_the_store(view)

    def test_a_receipt_of_the_present_round_after_an_earlier_one_has_decided_is_kept_in_its_round(self) -> None:
        self.store.connect_routes(lambda *asked: True)
        rule = FailoverRule((UNDELIVERABLE,), (), 600.0)
        self.done(self.store.accept([message(1, parts=(b"one", b"two"), failover=rule)]))
        self.done(self.store.submitted([submitted(1, b"a%d" % part, part) for part in range(2)]))
        self.clock.advance(700.0)
        self.done(self.store.expire(self.clock.seconds()))
        self.done(self.store.submitted([submitted(1, b"b%d" % part, part, "tier2") for part in range(2)]))
        self.done(self.store.receipts([receipt(b"a0"), receipt(b"a1"), receipt(b"b0", carrier="tier2")]))
        self.catch_up()
        view = self.done(self.store.look_up(message_id(1)))
        self.assertEqual(
            [(part.carrier, part.state) for part in view.rounds[-1]], [("tier2", DELIVERED), ("tier2", ENROUTE)]
        )
        self.assert_as_the_store(view)

    def test_a_round_that_waits_has_no_outcome_when_an_earlier_one_has_decided(self) -> None:
        self.store.connect_routes(lambda *asked: True)
        self.done(self.store.accept([message(1, failover=FailoverRule((UNDELIVERABLE,), (), 600.0))]))
        self.done(self.store.submitted([submitted(1, b"a")]))
        self.clock.advance(700.0)
        self.done(self.store.expire(self.clock.seconds()))
        self.done(self.store.receipts([receipt(b"a")]))
        self.catch_up()
        view = self.done(self.store.look_up(message_id(1)))
        self.assertEqual([[part.state for part in parts] for parts in view.rounds], [[DELIVERED], [SCHEDULED]])
        self.assert_as_the_store(view)

    @settings(max_examples=40)
    @given(*courses)
    def test_after_any_course_of_events_it_says_what_the_store_says(
        self, history: list[Any], looks: set[int], restarts: set[int]
    ) -> None:
        self.assert_it_says_what_the_store_says(history, looks, restarts)

    def assert_it_says_what_the_store_says(self, history: list[Any], looks: set[int], restarts: set[int]) -> None:
        self.setUp()
        player = History(self.store, self.clock)
        for place, operation in enumerate(history):
            player.play(operation)
            if place in looks:
                self.catch_up()
            if place in restarts:
                self.reopen()
        self.done(self.store.accept([]))
        self.catch_up()
        for row in all_rows(self.store.table):
            view = message_view(row)
            found = self.find(id=view.id.hex())
            self.assertGreaterEqual(len(found), 1)
            self.assertEqual(without_times(found[0]), without_times(view))
            for kept, known in zip(times_of(found[0]), times_of(view), strict=True):
                self.assertLess(abs(kept - known), 0.005)


class JournalCase(HistoryCase):
    """Messages come, and the history counts them."""

    def accept(self, *numbers: int) -> None:
        for number in numbers:
            self.done(self.store.accept([message(number)]))

    def sum_of_all(self) -> int:
        return sum(count for _, _, count in self.search.sums(None, 0.0, self.clock.seconds() + DAY).counts)

    def logged(self) -> str:
        return " ".join(event["log_format"].partition(":")[0] for event in self.events)


class FileTests(JournalCase):
    """A full disk, a damaged file, or a file that somebody deletes: it goes on by itself."""

    def test_a_batch_that_can_not_be_written_is_written_later_and_once(self) -> None:
        self.busy_milliseconds = 1
        self.reopen()
        self.accept(1)
        self.catch_up()
        self.accept(2, 3)
        self.done(self.store.submitted([submitted(1)]))
        # Another one writes: as the database sees it, that is as good as a disk that is full for a while.
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with self.assertRaises(sqlite3.OperationalError):
            self.catch_up()
        other.execute("ROLLBACK")
        other.close()
        self.assertEqual(self.ids(), [message_id(1)])
        self.catch_up()
        self.assertEqual(sorted(self.ids()), sorted(message_id(n) for n in (1, 2, 3)))
        self.assertEqual(self.sum_of_all(), 3)

    def test_a_commit_that_fails_leaves_no_transaction_behind(self) -> None:
        db: Any = sqlite3.connect(":memory:", isolation_level=None, factory=SqliteConnection)
        self.addCleanup(db.close)
        # A constraint that SQLite looks at when it commits.
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("CREATE TABLE a (n INTEGER PRIMARY KEY REFERENCES a (n) DEFERRABLE INITIALLY DEFERRED)")
        db.execute("CREATE TABLE b (n REFERENCES a (n) DEFERRABLE INITIALLY DEFERRED)")
        with self.assertRaises(sqlite3.IntegrityError), db.transaction():
            db.execute("INSERT INTO b VALUES (1)")
        self.assertFalse(db.in_transaction)

    def test_a_damaged_database_is_begun_anew_and_has_what_the_journal_knows(self) -> None:
        self.accept(*range(30))
        self.done(self.store.submitted([submitted(7, b"x7")]))
        self.catch_up()
        self.writer.close()
        self.search.close()
        with open(self.path, "r+b") as file:
            file.write(b"This is no database. " * 500)
        self.open()
        self.catch_up()
        self.assertEqual(len(self.ids()), 30)
        self.assertEqual(self.ids(carrier_id="x7"), [message_id(7)])
        self.assertTrue(os.path.exists(self.path + ".damaged"))
        self.assertIn("history_begun_anew", self.logged())

    def test_a_database_that_is_deleted_under_the_relay_is_begun_anew(self) -> None:
        self.accept(1, 2)
        self.catch_up()
        self.delete_database()
        self.accept(3)
        self.catch_up()
        self.assertEqual(len(self.ids()), 3)
        self.assertIn("history_begun_anew", self.logged())


class CrashTests(JournalCase):
    """After a crash, or with a journal that lacks a part, it goes on by itself."""

    def test_after_a_kill_it_goes_on_where_it_was(self) -> None:
        self.accept(1, 2)
        self.catch_up()
        self.accept(3, 4)
        self.reopen()
        self.catch_up()
        self.assertEqual(sorted(self.ids()), sorted(message_id(n) for n in (1, 2, 3, 4)))

    def test_a_batch_ends_after_so_many_octets_of_the_journal(self) -> None:
        for n in range(6):
            self.done(self.store.accept([message(n)]))
        self.writer.batch_bytes = 1
        steps = 1
        while self.writer.catch_up(self.store.durable_segments(), NOW).more:
            steps += 1
        self.assertGreaterEqual(steps, 6)
        self.assertEqual(len(self.ids()), 6)

    def test_a_history_that_begins_late_has_what_compaction_carried_on(self) -> None:
        self.accept(*range(40))
        self.done(self.store.submitted([submitted(n) for n in range(40)]))
        self.done(self.store.receipts([receipt(n) for n in range(20)]))
        self.done(self.store.end([Ending(message_id(25), REJECTED, self.clock.seconds())]))
        self.compact()
        self.catch_up()
        self.assertEqual(len(self.ids()), 40)
        self.assertEqual(len(self.ids(states=frozenset([DELIVERED]))), 20)
        self.assertEqual(self.ids(states=frozenset([REJECTED])), [message_id(25)])

    def compact(self) -> None:
        """Has compaction delete the segments that are there now."""
        before = self.store.durable_segments()[-1][0]
        for _ in range(3):
            self.clock.advance(DAY)
            for _ in range(5):
                self.done(self.store.expire(self.clock.seconds()))
                self.clock.pump([0.02] * 50)
        self.assertGreater(self.store.durable_segments()[0][0], before)

    def test_the_carrier_that_refused_the_last_round_is_known_to_a_history_that_begins_late(self) -> None:
        self.store.connect_routes(lambda *asked: True)
        self.done(self.store.accept([message(1, failover=FailoverRule((UNDELIVERABLE,), (), 600.0))]))
        self.done(self.store.submitted([submitted(1, b"a")]))
        self.clock.advance(700.0)
        self.done(self.store.expire(self.clock.seconds()))
        self.done(self.store.end([Ending(message_id(1), REJECTED, self.clock.seconds(), b"no", "tier2")]))
        self.accept(*range(2, 40))
        self.compact()
        self.catch_up()
        self.assertEqual([view.carrier for view in self.find(id=message_id(1).hex())], ["tier2"])

    def test_journal_parts_that_were_deleted_unread_are_counted_and_logged_and_the_rest_is_there_once(self) -> None:
        self.accept(*range(10))
        self.catch_up()
        self.accept(*range(10, 20))
        self.compact()
        self.catch_up()
        self.assertEqual(sorted(self.ids()), sorted(message_id(n) for n in range(20)))
        self.assertIn("history_lacks", self.logged())

    def test_a_segment_that_vanishes_costs_only_what_stood_in_it(self) -> None:
        self.accept(*range(3))
        self.catch_up()
        self.accept(*range(3, 40))
        lengths = self.store.durable_segments()
        self.assertGreater(len(lengths), 2)
        self.disk.remove(f"data/journal/{segment_name(lengths[1][0])}")
        self.catch_up()
        self.assertGreater(self.database.lacking_bytes, 100)
        self.assertIn(message_id(39), self.ids())

    def test_a_history_older_than_the_journal_s_beginning_reads_nothing_twice(self) -> None:
        self.accept(*range(5))
        self.catch_up()
        self.database.lacking(0, self.database.cursor, type(self.database.cursor)(1, 0))
        self.accept(5)
        self.reopen()
        self.catch_up()
        self.assertEqual(sorted(self.ids()), sorted(message_id(n) for n in range(6)))
        self.assertEqual(self.sum_of_all(), 6)


class SegmentTests(HistoryCase):
    """Full segments get their indexes; old ones go as a whole."""

    def test_messages_are_found_and_changed_in_every_segment(self) -> None:
        for first in range(0, 100, 10):
            self.done(self.store.accept([message(n) for n in range(first, first + 10)]))
            self.catch_up()
        self.done(self.store.submitted([submitted(n, b"late%d" % n) for n in range(100)]))
        self.done(self.store.receipts([receipt(b"late%d" % n) for n in range(0, 100, 3)]))
        self.catch_up()
        self.assertEqual(len(self.find()), 100)
        self.assertEqual(self.ids(carrier_id="late5"), [message_id(5)])
        self.assertEqual(len(self.find(states=frozenset([DELIVERED]))), 34)
        self.assertEqual(len(self.find(states=frozenset([ENROUTE]), limit=7)), 66)

    def test_a_receipt_that_comes_after_many_segments_finds_its_message_also_after_a_restart(self) -> None:
        for first in range(0, 100, 20):
            self.done(self.store.accept([message(n) for n in range(first, first + 20)]))
            self.done(self.store.submitted([submitted(n) for n in range(first, first + 20)]))
            self.catch_up()
        self.reopen()
        self.done(self.store.receipts([receipt(n) for n in range(0, 100, 2)]))
        self.catch_up()
        self.assertEqual(len(self.ids(states=frozenset([DELIVERED]))), 50)
        self.assertEqual(len(self.ids(ended=False)), 50)

    def test_messages_older_than_the_days_that_are_kept_go_with_their_sums(self) -> None:
        self.reopen(days=2.5)
        for day in range(4):
            now = self.clock.seconds()
            self.done(self.store.accept([message(100 * day + n, accepted_at=now) for n in range(20)]))
            self.catch_up()
            self.clock.advance(DAY)
        self.catch_up()
        self.clock.advance(120.0)
        self.catch_up()
        self.assertEqual(len(self.ids()), 40)
        self.assertEqual(sum(count for _, _, count in self.search.sums(None, 0.0, self.clock.seconds()).counts), 40)

    def test_a_search_that_takes_too_long_says_so_and_can_go_on(self) -> None:
        self.reopen(segment_rows=10_000)
        self.done(self.store.accept([message(n, reference="first") for n in range(1000)]))
        self.catch_up()
        self.database.close_segment(self.clock.seconds() + 10 * DAY)
        self.done(self.store.accept([message(1000 + n) for n in range(1000)]))
        self.catch_up()
        looks = itertools.count()
        self.search = HistorySearch(self.source(), self.keep, monotonic=lambda: 10.0 * next(looks))
        self.search.steps_a_look = 1_000
        page = self.search.search(HistoryQuery(reference="first"))
        self.assertEqual((len(page.messages), page.complete), (0, False))
        self.search.seconds = 1e9
        page = self.search.search(HistoryQuery(reference="first", after=page.cursor, limit=1000))
        self.assertEqual((len(page.messages), page.complete), (1000, True))

    def test_a_search_that_can_not_read_a_segment_in_its_time_gets_further_with_each_page(self) -> None:
        self.reopen(segment_rows=10_000)
        marked = range(0, 1000, 250)
        references = ["marked" if n in marked else "other" for n in range(1000)]
        self.done(self.store.accept([message(n, reference=reference) for n, reference in enumerate(references)]))
        self.catch_up()
        for oldest_first in (False, True):
            looks = itertools.count()
            self.search = HistorySearch(self.source(), self.keep, seconds=10.0, monotonic=looks.__next__)
            self.addCleanup(self.search.close)
            self.search.steps_a_look, self.search.slice_rows = 200, 20
            found: list[bytes] = []
            pages, after = 0, None
            while pages == 0 or after is not None:
                page = self.page(reference="marked", oldest_first=oldest_first, after=after)
                self.assertTrue(page.cursor is None or page.cursor != after)
                found += [view.id for view in page.messages]
                after = page.cursor
                pages += 1
            self.assertGreater(pages, 1)
            self.assertEqual(sorted(found), sorted(message_id(n) for n in marked))

    def test_an_export_shows_its_caller_pages_without_a_message(self) -> None:
        pages = [HistoryPage([], 7, complete=False), HistoryPage([], None)]

        class Slow(HistorySearch):
            """Finds nothing, and takes two searches for that."""

            def search(self, query: HistoryQuery) -> HistoryPage:
                return pages.pop(0)

        questions = HistoryQuestions(Slow(self.source(), self.keep), at_once)

        async def shown() -> list[Any]:
            return [page async for page in questions.all(HistoryQuery())]

        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(shown())), [[], []])

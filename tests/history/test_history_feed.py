"""The feed of notifications goes back past what memory has forgotten, in the same order, with each state once."""

from collections.abc import Sequence
from typing import Any

from relay.history.history_questions import HistoryQuestions
from relay.history.message_lists import MessageLists
from relay.store.store_values import FeedEntry
from relay.values.messages import Ending
from relay.values.states import DELIVERED, REJECTED
from tests.history.keeping import HistoryCase
from tests.stores import at_once, message, message_id, receipt, started, submitted


class FeedTests(HistoryCase):
    def setUp(self) -> None:
        super().setUp()
        self.asked: list[int] = []

    def end(self, *numbers: int, account: str = "plain") -> None:
        """Accepts messages and ends them, in this order."""
        self.done(self.store.accept([message(n, account) for n in numbers]))
        self.done(self.store.submitted([submitted(n) for n in numbers]))
        self.done(self.store.receipts([receipt(n) for n in numbers]))
        self.catch_up()

    def forget(self, *numbers: int) -> None:
        """Takes messages out of memory."""
        for n in numbers:
            row = self.store.table.get(message_id(n))
            assert row is not None
            self.store.table.forget(row)

    def feed(self, after: int = 0, limit: int = 100, account: str = "plain", history: bool = True) -> list[FeedEntry]:
        def in_thread(question: Any) -> Any:
            self.asked.append(after)
            return at_once(question)

        lists = MessageLists(self.store, HistoryQuestions(self.search, in_thread) if history else None)
        found: Sequence[FeedEntry] = self.done(lists.feed(account, after, limit))
        return list(found)

    def ids_in_feed(self, **query: Any) -> list[bytes]:
        return [entry.id for entry in self.feed(**query)]

    def test_entries_that_memory_has_forgotten_are_the_same_as_before(self) -> None:
        self.end(3, 1, 2)
        self.done(self.store.accept([message(4)]))
        self.done(self.store.end([Ending(message_id(4), REJECTED, self.clock.seconds())]))
        self.catch_up()
        known = self.feed(history=False)
        self.assertEqual([entry.state for entry in known], [DELIVERED, DELIVERED, DELIVERED, REJECTED])
        self.forget(1, 2, 3, 4)
        self.assertEqual(self.feed(history=False), [])
        for was, now in zip(known, self.feed(), strict=True):
            self.assertEqual(
                (now.cursor, now.id, now.state, now.carrier_error), (was.cursor, was.id, was.state, was.carrier_error)
            )
            # The history keeps times in milliseconds.
            self.assertLess(abs(now.at - was.at) + abs(now.accepted_at - was.accepted_at), 0.004)

    def test_pages_skip_nothing_and_repeat_nothing_where_memory_takes_over(self) -> None:
        for n in range(30):
            self.end(n)
        self.forget(*range(20), 25)
        for limit in (1, 7, 100):
            found: list[bytes] = []
            after = 0
            while page := self.feed(after, limit):
                self.assertLessEqual(len(page), limit)
                found += [entry.id for entry in page]
                after = page[-1].cursor
            self.assertEqual(found, [message_id(n) for n in range(30)], limit)

    def test_accounts_see_only_their_own(self) -> None:
        self.end(1)
        self.end(2, account="other")
        self.forget(1, 2)
        self.assertEqual(self.ids_in_feed(), [message_id(1)])
        self.assertEqual(self.ids_in_feed(account="other"), [message_id(2)])

    def test_what_memory_knows_whole_costs_no_question(self) -> None:
        self.end(1, 2, 3)
        place = self.feed()[0].cursor
        self.assertEqual(self.asked, [])
        self.forget(1)
        self.feed(place)
        self.assertEqual(self.asked, [])
        self.assertEqual(self.ids_in_feed(), [message_id(n) for n in (1, 2, 3)])
        self.assertEqual(self.asked, [0])

    def test_after_a_restart_the_feed_is_whole(self) -> None:
        self.end(1, 2, 3)
        self.done(self.store.stop())
        self.store = started(self.disk, self.clock, segment_bytes=2000)
        self.reopen()
        self.end(4)
        self.forget(1, 2)
        self.assertEqual(self.ids_in_feed(), [message_id(n) for n in (1, 2, 3, 4)])

    def test_a_journal_that_is_read_twice_gives_each_state_once(self) -> None:
        self.end(1, 2)
        self.database.lacking(0, self.database.cursor, type(self.database.cursor)(1, 0))
        self.end(3)
        self.forget(1, 2, 3)
        self.assertEqual(self.ids_in_feed(), [message_id(n) for n in (1, 2, 3)])

    def test_what_was_dropped_with_its_segment_is_left_out(self) -> None:
        for n in range(60):
            self.end(n)
            self.database.close_segment(self.clock.seconds())
        self.forget(*range(60))
        (dropped,) = self.database._db.execute("SELECT last_seq FROM segments WHERE number = 1").fetchone()
        self.database.forget_before(dropped + 1)
        found = self.ids_in_feed()
        self.assertEqual(found, [message_id(n) for n in range(60 - len(found), 60)])
        self.assertIn(len(found), range(30, 60))
        (rows,) = self.database._db.execute("SELECT count(*) FROM feed").fetchone()
        self.assertEqual(rows, len(found))

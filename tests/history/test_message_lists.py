"""Messages are found wherever they are: in memory, in the history, or on the border between them."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from relay.history.export import head, lines
from relay.history.history_query import HistoryPage, HistoryQuery
from relay.history.history_questions import MOST_WAITING_EACH, HistoryQuestions
from relay.history.message_lists import MessageLists
from relay.history.query_text import QueryProblem, query_of
from relay.store.store_values import StoreBusy
from relay.values.ids import id_text
from relay.values.messages import Ending, Replacement, destination_of
from relay.values.states import DELETED, DELIVERED
from tests.history.keeping import HistoryCase
from tests.stores import DAY, NOW, at_once, message, message_id, numbers_in, receipt, submitted


class ListsCase(HistoryCase):
    def lists(self, history: bool) -> MessageLists:
        return MessageLists(self.store, HistoryQuestions(self.search, at_once) if history else None)

    def find_all(self, lists: MessageLists, text: str = "", **query: Any) -> list[bytes]:
        """The ids that a search finds, page by page."""
        found: list[bytes] = []
        after: int | None = None
        while True:
            wanted = HistoryQuery(account="plain", after=after, limit=query.pop("limit", 3), **query)
            page: HistoryPage = self.done(lists.find_text(text, wanted))
            found += [view.id for view in page.messages]
            after = page.cursor
            if after is None:
                return found

    def accept(self, *numbers: int, **fields: Any) -> None:
        for n in numbers:
            addresses = numbers_in(b"RELAY", b"4477009%05d" % n)
            self.done(self.store.accept([message(n, addresses=addresses, **{"accepted_at": NOW + n // 2, **fields})]))


class ListsTests(ListsCase):
    def test_with_and_without_a_history_the_same_messages_are_found_in_the_same_order(self) -> None:
        self.accept(*range(20))
        self.done(self.store.submitted([submitted(n, b"k%d" % n) for n in range(20)]))
        self.done(self.store.receipts([receipt(b"k%d" % n) for n in range(0, 20, 2)]))
        self.catch_up()
        for query in (
            {},
            {"states": frozenset([DELIVERED])},
            {"ended": False},
            {"carrier": "tier1"},
            {"carrier": "tier2"},
            {"carrier_id": "k7"},
            {"number": "447700900004"},
            {"number_end": "0005"},
            {"sender": "RELAY"},
            {"error": "000"},
            {"since": NOW + 3, "until": NOW + 6},
            {"notification": "owed"},
            {"id": id_text(message_id(6)).replace("-", "")[:8]},
        ):
            with_history, without = (self.find_all(self.lists(on), **query) for on in (True, False))
            self.assertEqual(sorted(with_history), sorted(without), query)
            self.assertEqual(len(set(without)), len(without), query)

    def test_a_message_of_this_second_stands_before_what_the_history_has(self) -> None:
        self.accept(1, 2)
        self.catch_up()
        self.accept(3)
        self.assertEqual(self.find_all(self.lists(True), limit=10)[0], message_id(3))
        self.assertEqual(self.find_all(self.lists(True), "00003"), [message_id(3)])

    def test_a_message_that_waits_for_its_time_is_shown_and_found_as_scheduled(self) -> None:
        self.accept(1, 2, scheduled_at=NOW + 600)
        self.accept(3)
        self.catch_up()
        self.accept(4, scheduled_at=NOW + 600)
        self.done(self.store.end([Ending(message_id(2), DELETED, NOW + 1)]))
        for history in (True, False):
            lists = self.lists(history)
            scheduled = query_of({"status": "scheduled"}, "plain")
            page: HistoryPage = self.done(lists.find(scheduled))
            self.assertEqual([view.id for view in page.messages], [message_id(4), message_id(1)], history)
            self.assertEqual([view.scheduled_at for view in page.messages], [NOW + 600] * 2, history)
            on_its_way: HistoryPage = self.done(lists.find(query_of({"status": "ENROUTE"}, "plain")))
            self.assertEqual([view.id for view in on_its_way.messages], [message_id(3)], history)
            pending: HistoryPage = self.done(lists.find(query_of({"status": "pending"}, "plain")))
            self.assertEqual({view.id for view in pending.messages}, {message_id(n) for n in (1, 3, 4)}, history)

    def test_the_time_that_a_customer_asked_for_is_known_after_the_end(self) -> None:
        self.accept(1, scheduled_at=NOW + 600)
        self.done(self.store.end([Ending(message_id(1), DELETED, NOW + 1)]))
        self.catch_up()
        (view,) = self.find(account="plain")
        self.assertEqual((view.scheduled_at, view.final), (NOW + 600, True))

    def test_a_replaced_message_is_one_message(self) -> None:
        for n in (1, 2):
            self.accept(n)
            if n == 1:
                self.catch_up()
            self.done(self.store.replace(Replacement(message_id(n), b"new", 1, NOW + 2 * DAY, NOW + 600)))
        self.catch_up()
        self.assertEqual(self.ids(account="plain"), [message_id(2), message_id(1)])
        self.assertEqual({(v.expires_at, v.scheduled_at) for v in self.find()}, {(NOW + 2 * DAY, NOW + 600)})
        self.reopen()
        self.assertEqual(self.ids(account="plain"), [message_id(2), message_id(1)])

    def test_a_limit_is_a_number_within_its_bounds_however_it_is_written(self) -> None:
        self.assertEqual(query_of({"limit": "007"}, "plain").limit, 7)
        for text in ("0", "501", "000001999999", "9" * 40, "-1", "1.5", "", "\u0661"):
            with self.assertRaises(QueryProblem, msg=text):
                query_of({"limit": text}, "plain")

    def test_each_account_that_looks_ids_up_has_places_of_its_own(self) -> None:
        held: list[Deferred[Any]] = []

        def in_thread(question: Any) -> "Deferred[Any]":
            held.append(Deferred())
            return held[-1]

        lists = MessageLists(self.store, HistoryQuestions(self.search, in_thread))
        for n in range(MOST_WAITING_EACH):
            Deferred.fromCoroutine(lists.look_up(message_id(n), "plain")).addErrback(lambda failure: None)
        self.failureResultOf(Deferred.fromCoroutine(lists.look_up(message_id(99), "plain")), StoreBusy)
        self.assertNoResult(Deferred.fromCoroutine(lists.look_up(message_id(99), "other")))

    def test_a_page_has_no_more_than_its_limit_and_the_next_one_goes_on(self) -> None:
        self.accept(*range(10))
        self.catch_up()
        self.accept(10, 11, 12, 13)
        lists = self.lists(True)
        for limit in (1, 2, 3, 5, 20):
            first: HistoryPage = self.done(lists.find(HistoryQuery(account="plain", limit=limit)))
            self.assertEqual(len(first.messages), min(limit, 14))
            # The history has them by the time of the next page.
            if limit < 4:
                continue
            self.assertEqual(set(self.find_all(lists, limit=limit)), {message_id(n) for n in range(14)})
        self.catch_up()
        self.assertEqual(self.find_all(lists, limit=2), [message_id(n) for n in range(13, -1, -1)])

    def test_a_message_that_memory_has_forgotten_is_looked_up_in_the_history(self) -> None:
        self.accept(1)
        self.catch_up()
        self.store.table.forget(self.store.table.get(message_id(1)))  # type: ignore[arg-type]
        self.assertIsNone(self.done(self.lists(False).look_up(message_id(1))))
        view = self.done(self.lists(True).look_up(message_id(1)))
        self.assertEqual((view.id, view.account), (message_id(1), "plain"))
        self.assertIsNone(self.done(self.lists(True).look_up(message_id(2))))

    def test_a_text_is_taken_for_a_number_s_end_an_id_s_beginning_a_reference_or_a_carrier_s_id(self) -> None:
        self.accept(7, reference="order 7")
        self.accept(8)
        self.done(self.store.submitted([submitted(8, b"A-88")]))
        self.catch_up()
        lists = self.lists(True)
        for text, number in (
            ("+447700900007", 7),
            ("00008", 8),
            (id_text(message_id(7)), 7),
            ("order 7", 7),
            ("A-88", 8),
        ):
            self.assertEqual(self.find_all(lists, text), [message_id(number)], text)
        self.assertEqual(self.find_all(lists, "no such thing"), [])

    def test_other_accounts_messages_are_not_found(self) -> None:
        self.accept(1, account="other")
        self.catch_up()
        for on in (True, False):
            self.assertEqual(self.find_all(self.lists(on)), [])
            self.assertEqual(self.find_all(self.lists(on), id_text(message_id(1))), [])

    def test_of_one_account_only_so_many_searches_wait(self) -> None:
        held: list[Deferred[Any]] = []

        def later(work: Any) -> "Deferred[Any]":
            held.append(Deferred())
            return held[-1]

        questions = HistoryQuestions(self.search, later)
        for _ in range(4):
            Deferred.fromCoroutine(questions.search(HistoryQuery(account="plain")))
        refused = self.failureResultOf(Deferred.fromCoroutine(questions.search(HistoryQuery(account="plain"))))
        refused.trap(StoreBusy)
        Deferred.fromCoroutine(questions.search(HistoryQuery(account="other")))
        for n in range(5):
            held[n].callback(HistoryPage([], None))
        Deferred.fromCoroutine(questions.search(HistoryQuery(account="plain")))
        self.assertEqual(len(held), 6)

    def test_accounts_take_turns_however_many_searches_one_of_them_wants(self) -> None:
        held: list[Deferred[Any]] = []
        ended: list[str] = []

        def later(work: Any) -> "Deferred[Any]":
            held.append(Deferred())
            return held[-1]

        questions = HistoryQuestions(self.search, later)

        async def ask(account: str) -> None:
            await questions.search(HistoryQuery(account=account))
            ended.append(account)

        asked = [Deferred.fromCoroutine(ask(each)) for each in ("heavy", "heavy", "heavy", "heavy", "light", "late")]
        self.assertEqual(len(held), 1)
        # One that has gone away costs no turn.
        asked[5].addErrback(lambda failure: failure.trap(CancelledError))
        asked[5].cancel()
        for n in range(5):
            held[n].callback(HistoryPage([], None))
        self.assertEqual(ended, ["heavy", "heavy", "light", "heavy", "heavy"])
        self.assertEqual(len(held), 5)


class NumbersTests(ListsCase):
    """`history.numbers`: what of numbers is kept, and what is found."""

    def kept(self, numbers: str) -> str:
        self.reopen(numbers=numbers)
        self.accept(12)
        self.catch_up()
        self.store.table.forget(self.store.table.get(message_id(12)))  # type: ignore[arg-type]
        (view,) = self.find()
        return destination_of(view.addresses).decode("latin-1")

    def test_masked_numbers_lack_two_digits_and_are_found_by_the_whole_number(self) -> None:
        self.assertEqual(self.kept("masked"), "4477009000xx")
        self.assertEqual(self.ids(number="447700900012"), [message_id(12)])
        self.assertEqual(self.ids(number="447700900099"), [message_id(12)])
        self.assertEqual(self.ids(number="447700900112"), [])

    def test_hashed_numbers_tell_nothing_and_are_found_by_the_whole_number(self) -> None:
        kept = self.kept("hashed")
        self.assertNotIn("4477", kept)
        self.assertEqual(self.ids(number="447700900012"), [message_id(12)])
        self.assertEqual(self.ids(number_end="00012"), [])
        self.writer.close()
        self.search.close()
        self.assertNotIn(b"210009007744", self.octets())

    def test_a_hash_is_of_this_relay_s_key(self) -> None:
        first = self.kept("hashed")
        self.setUp()
        self.assertNotEqual(first, self.kept("hashed"))


class ExportTests(ListsCase):
    def test_a_cell_is_never_a_formula(self) -> None:
        for n, reference in enumerate(("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "a,b", 'say "x"', "plain")):
            self.accept(n, reference=reference)
        self.catch_up()
        rows = lines("csv", self.find(oldest_first=True)).decode().split("\r\n")
        cells = [row.split(",")[2] for row in rows[:5]]
        self.assertEqual(cells, ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1"])
        self.assertIn('"a,b"', rows[5])
        self.assertIn('"say ""x"""', rows[6])

    def test_every_row_has_the_columns_of_the_head(self) -> None:
        self.accept(1)
        self.catch_up()
        csv_lines = (head("csv") + lines("csv", self.find())).decode().splitlines()
        self.assertEqual(len(csv_lines[0].split(",")), len(csv_lines[1].split(",")))
        self.assertEqual(head("jsonl"), b"")
        self.assertIn(b'"to":"447700900001"', lines("jsonl", self.find()))

"""Requests about many messages: each turn of the reactor does a limited part of their work."""

from collections.abc import Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.store.journal.long_questions import MOST_WAITING, LongQuestions
from relay.store.store_values import StoreBusy
from tests.fakes import one_turn


class LongQuestionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.questions = LongQuestions(self.clock)
        #: Which slices were worked off, in order.
        self.done: list[str] = []

    def steps(self, name: str, slices: int) -> Iterator[str | None]:
        """A question whose answer takes so many slices, and is a word a slice."""
        for number in range(slices):
            if number:
                yield None
            self.done.append(name)
            yield f"{name}{number}"

    def ask(self, account: str, slices: int) -> "Deferred[list[str]]":
        return Deferred.fromCoroutine(self.questions.answer(account, self.steps(account, slices)))

    def turn(self) -> int:
        """One turn of the reactor; how many slices were worked off in it."""
        before = len(self.done)
        one_turn(self.clock)
        return len(self.done) - before

    def test_a_short_answer_is_there_at_once(self) -> None:
        self.assertEqual(self.successResultOf(self.ask("acme", 1)), ["acme0"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_turn_takes_one_slice_however_many_ask(self) -> None:
        asked = [self.ask(f"account{number}", 5) for number in range(30)]
        # The first slice of each is a part of its own request.
        self.assertEqual(len(self.done), 30)
        turns = [self.turn() for _ in range(30 * 4)]
        self.assertEqual(set(turns), {1})
        self.assertEqual({len(self.successResultOf(one)) for one in asked}, {5})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_account_that_asks_much_takes_turns_with_one_that_asks_little(self) -> None:
        greedy = [self.ask("greedy", 1_000) for _ in range(10)]
        small = self.ask("small", 3)
        for _ in range(2 * 2 + 1):
            self.turn()
        self.assertEqual(self.successResultOf(small), ["small0", "small1", "small2"])
        self.assertEqual(self.done.count("greedy"), 4)
        for one in greedy:
            self.assertNoResult(one)

    def test_questions_of_one_account_are_answered_one_after_the_other(self) -> None:
        first, second = self.ask("acme", 3), self.ask("acme", 2)
        self.assertEqual(self.done, ["acme"])
        while self.clock.getDelayedCalls():
            self.assertLessEqual(self.turn(), 1)
        self.assertEqual((len(self.successResultOf(first)), len(self.successResultOf(second))), (3, 2))

    def test_too_many_of_one_account_are_refused_and_others_are_not(self) -> None:
        asked = [self.ask("acme", 2) for _ in range(1 + MOST_WAITING)]
        self.failureResultOf(self.ask("acme", 2), StoreBusy)
        self.assertEqual(self.successResultOf(self.ask("other", 1)), ["other0"])
        while self.clock.getDelayedCalls():
            self.turn()
        for one in asked:
            self.successResultOf(one)

    def test_a_cancelled_question_leaves_the_queue_and_delays_nobody(self) -> None:
        first, second, third = self.ask("acme", 3), self.ask("acme", 3), self.ask("acme", 1)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.turn()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        while self.clock.getDelayedCalls():
            self.turn()
        self.assertEqual(self.successResultOf(third), ["acme0"])
        self.assertEqual(self.successResultOf(self.ask("acme", 1)), ["acme0"])

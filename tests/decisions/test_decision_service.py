"""When the decision service is asked, in which batches, and what happens without its answer."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.config.route_config import Decisions
from relay.values.decision import PASSED, Decision, Question
from relay.values.smpp_constants import ESME_RSYSERR, ESME_RTHROTTLED
from tests.decisions.deciding import service_in_hand


def question(number: int, account: str = "acme") -> Question:
    return Question(account, "ACME", str(number), 5, "hello")


class ServiceTestCase(SynchronousTestCase):
    def start(self, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_000.0)
        self.service, self.hand = service_in_hand(self.clock, **settings)

    def ask(self, *numbers: int, account: str = "acme") -> Deferred[Sequence[Decision]]:
        return Deferred.fromCoroutine(self.service.decide(account, [question(number, account) for number in numbers]))

    def tagged(self, message: dict[str, Any]) -> dict[str, Any]:
        """Tags a message with its number, to be kept for a minute."""
        return {"tags": [message["to"]], "cache_seconds": 60}

    def statuses(self, decisions: Sequence[Decision]) -> list[int]:
        return [0 if decision.refused is None else decision.refused.command_status for decision in decisions]


class BatchTests(ServiceTestCase):
    def test_the_messages_of_one_read_are_one_request_and_keep_their_order(self) -> None:
        self.start()
        asked = self.ask(1, 2, 3)
        self.assertEqual(self.hand.numbers(), [["1", "2", "3"]])
        self.hand.answer(self.tagged)
        self.assertEqual([d.tags for d in self.successResultOf(asked)], [("1",), ("2",), ("3",)])

    def test_an_answer_is_kept_for_as_long_as_it_says(self) -> None:
        self.start()
        first = self.ask(1)
        self.hand.answer(self.tagged)
        self.successResultOf(first)
        again = self.ask(1, 2)
        self.assertEqual(self.hand.numbers(), [["2"]])
        self.hand.answer()
        self.assertEqual([d.tags for d in self.successResultOf(again)], [("1",), ()])
        self.clock.advance(60.0)
        self.ask(1, 2)
        self.assertEqual(self.hand.numbers(), [["1", "2"]])
        self.assertEqual(self.service.counts, {"answered": 2, "cached": 1, "failed": 0, "put_off": 0})

    def test_while_an_account_has_its_requests_under_way_its_questions_gather(self) -> None:
        self.start(concurrency=8, batch=3)
        asked = [self.ask(n) for n in range(1, 6)]
        self.assertEqual(self.hand.numbers(), [["1"]])
        self.hand.answer()
        self.assertEqual(self.hand.numbers(), [["2", "3", "4"]])
        self.hand.answer()
        self.hand.answer()
        for each in asked:
            self.assertEqual(self.successResultOf(each), [PASSED])

    def test_a_long_array_is_several_requests_and_is_decided_as_a_whole(self) -> None:
        self.start(concurrency=32, batch=2)
        asked = self.ask(1, 2, 3, 4, 5)
        self.assertEqual(self.hand.numbers(), [["1", "2"], ["3", "4"], ["5"]])
        self.hand.answer(self.tagged, place=2)
        self.hand.answer(self.tagged, place=1)
        self.assertNoResult(asked)
        self.hand.answer(self.tagged)
        self.assertEqual([d.tags for d in self.successResultOf(asked)], [(str(n),) for n in range(1, 6)])


class ShareTests(ServiceTestCase):
    def test_slow_decisions_about_one_account_leave_places_for_another(self) -> None:
        self.start(concurrency=16, batch=1)
        for n in range(100):
            self.ask(n)
        self.assertEqual(len(self.hand.asked), 2)
        other = self.ask(7, account="other")
        self.assertEqual(self.hand.asked[-1][0][0]["account"], "other")
        self.hand.answer(place=2)
        self.assertEqual(self.successResultOf(other), [PASSED])
        self.assertEqual(len(self.hand.asked), 2)

    def test_accounts_with_waiting_questions_take_turns(self) -> None:
        self.start(concurrency=1, batch=2)
        for n in range(6):
            self.ask(n)
        for n in range(2):
            self.ask(n, account="other")
        served = []
        while self.hand.asked:
            served.append(self.hand.asked[0][0][0]["account"])
            self.hand.answer()
        self.assertEqual(served, ["acme", "acme", "other", "acme", "acme"])

    def test_messages_beyond_those_that_may_wait_are_put_off(self) -> None:
        self.start(concurrency=1, waiting=3, batch=1)
        self.ask(0)
        asked = self.ask(1, 2, 3, 4, 5)
        other = self.ask(1, account="other")
        while self.hand.asked:
            self.hand.answer()
        self.assertEqual(self.statuses(self.successResultOf(asked)), [0, 0, 0, ESME_RTHROTTLED, ESME_RTHROTTLED])
        self.assertEqual(self.successResultOf(other), [PASSED])
        self.assertEqual(self.service.counts["put_off"], 2)


class FailureTests(ServiceTestCase):
    def test_without_an_answer_messages_are_refused_for_now_or_pass(self) -> None:
        for on_failure, expected in (("refuse", ESME_RSYSERR), ("pass", 0)):
            self.start(on_failure=on_failure)
            asked = self.ask(1, 2)
            self.hand.fail()
            self.assertEqual(self.statuses(self.successResultOf(asked)), [expected] * 2)
            self.assertEqual(self.service.counts["failed"], 2)

    def test_an_answer_that_is_wrong_is_no_answer(self) -> None:
        self.start()
        asked = self.ask(1)
        self.hand.answer(lambda message: {"tags": "north"})
        self.assertEqual(self.statuses(self.successResultOf(asked)), [ESME_RSYSERR])

    def test_a_failure_is_not_kept(self) -> None:
        self.start()
        self.ask(1)
        self.hand.fail()
        again = self.ask(1)
        self.hand.answer(self.tagged)
        self.assertEqual(self.successResultOf(again)[0].tags, ("1",))

    def test_what_waits_for_longer_than_a_request_may_take_is_not_asked_any_more(self) -> None:
        self.start(concurrency=1, timeout_seconds=2.0)
        self.ask(1)
        waiting = self.ask(2)
        self.clock.advance(1.0)
        younger = self.ask(3)
        self.clock.advance(1.5)
        self.hand.fail()
        self.assertEqual(self.statuses(self.successResultOf(waiting)), [ESME_RSYSERR])
        self.assertEqual(self.hand.numbers(), [["3"]])
        self.hand.answer()
        self.assertEqual(self.successResultOf(younger), [PASSED])
        self.assertEqual(self.hand.timeouts, [2.0, 2.0])


class LifeTests(ServiceTestCase):
    def test_a_stop_refuses_what_waits_and_what_comes(self) -> None:
        self.start(concurrency=1, on_failure="pass")
        asked = [self.ask(1), self.ask(2)]
        self.successResultOf(Deferred.fromCoroutine(self.service.stop()))
        for each in (*asked, self.ask(3)):
            self.assertEqual(self.statuses(self.successResultOf(each)), [ESME_RSYSERR])

    def test_a_reload_forgets_kept_answers_and_asks_at_the_new_place(self) -> None:
        self.start(concurrency=1)
        first = self.ask(1)
        self.hand.answer(self.tagged)
        self.successResultOf(first)
        self.service.reconfigure(Decisions(url="http://unix:/run/decide.sock:/now"))
        self.ask(1)
        self.assertEqual(self.hand.urls, [b"http://127.0.0.1:8900/decide", b"http://localhost/now"])

    def test_a_reload_that_removes_the_service_lets_what_waits_pass(self) -> None:
        self.start(concurrency=1)
        self.ask(1)
        waiting = self.ask(2)
        self.service.reconfigure(Decisions())
        self.assertFalse(self.service.active)
        self.hand.answer()
        self.assertEqual(self.successResultOf(waiting), [PASSED])

    def test_an_account_is_forgotten_when_nothing_of_it_is_under_way(self) -> None:
        self.start(concurrency=1)
        for account in ("acme", "other"):
            self.ask(1, account=account)
            self.ask(2, account=account)
        while self.hand.asked:
            self.hand.answer()
        self.assertEqual((self.service._queues, self.service.waiting), ({}, 0))

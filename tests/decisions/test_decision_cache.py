"""How long decisions are kept, and whose place a new one takes."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.decisions.decision_cache import DecisionCache
from relay.values.decision import Decision, Question

NORTH = Decision(("north",))


def question(number: int, account: str = "acme") -> Question:
    return Question(account, "ACME", f"4477{number}", 5)


class DecisionCacheTests(SynchronousTestCase):
    def test_a_decision_is_kept_until_its_time_for_its_account_sender_and_number(self) -> None:
        cache = DecisionCache(10)
        cache.keep(question(1), NORTH, 100.0)
        self.assertEqual(cache.find(question(1), 99.0), NORTH)
        for other in (question(2), question(1, "other"), Question("acme", "OTHER", "44771", 5)):
            self.assertIsNone(cache.find(other, 99.0))
        self.assertIsNone(cache.find(question(1), 100.0))
        self.assertEqual(len(cache), 0)

    def test_an_account_with_very_many_numbers_takes_no_place_of_another(self) -> None:
        cache = DecisionCache(100)
        for number in range(10):
            cache.keep(question(number, "small"), NORTH, 100.0)
        for number in range(1_000):
            cache.keep(question(number, "large"), NORTH, 100.0)
        self.assertEqual([cache.find(question(n, "small"), 1.0) for n in range(10)], [NORTH] * 10)
        self.assertEqual(cache.find(question(999, "large"), 1.0), NORTH)
        for number in range(10, 30):
            cache.keep(question(number, "small"), NORTH, 100.0)
        self.assertEqual([cache.find(question(n, "small"), 1.0) for n in range(30)], [NORTH] * 30)

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(1, 9), st.integers(0, 10))))
    def test_it_never_has_more_than_it_may_and_finds_only_what_holds(
        self, steps: list[tuple[str, int, int, int]]
    ) -> None:
        cache = DecisionCache(4)
        kept: dict[tuple[str, int], float] = {}
        for account, number, until, now in steps:
            found = cache.find(question(number, account), now)
            if found is not None:
                self.assertLess(now, kept[account, number])
            cache.keep(question(number, account), NORTH, until)
            kept[account, number] = until
            self.assertLessEqual(len(cache), 4)
            self.assertEqual(len(cache), sum(map(len, cache._accounts.values())))

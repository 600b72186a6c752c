"""`GET /messages`: an account searches its messages, page by page."""

from relay.history.query_text import MOST_FOUND, QueryProblem, query_of
from relay.values.states import DELIVERED, EXPIRED, REJECTED
from tests.http.test_http_api import HttpTestCase


class ListTests(HttpTestCase):
    def ids(self, path: str) -> list[str]:
        return [message["id"][-2:] for message in self.http.ask("GET", path).json["messages"]]

    def test_it_is_listed_newest_first_in_pages_that_follow_each_other(self) -> None:
        for number in range(7):
            # Three of them were accepted in the same instant.
            self.view(number, accepted_at=1_700_000_000.0 + max(0, number - 3))
        found: list[str] = []
        path = "/messages?limit=2"
        for _ in range(4):
            answer = self.http.ask("GET", path).json
            found += [message["id"][-2:] for message in answer["messages"]]
            path = f"/messages?limit=2&after={answer['next']}"
        self.assertIsNone(answer["next"])
        self.assertEqual(found, ["06", "05", "04", "03", "02", "01", "00"])

    def test_all_that_is_given_must_fit(self) -> None:
        self.view(1)
        self.view(2, state=EXPIRED, reference="order 2")
        self.view(3, addresses=b"\x05\0OTHER\0\x01\x01447700900999\0")
        self.assertEqual(self.ids("/messages?status=failed"), ["02"])
        self.assertEqual(self.ids("/messages?status=DELIVRD"), ["03", "01"])
        self.assertEqual(self.ids("/messages?reference=order%202"), ["02"])
        self.assertEqual(self.ids("/messages?to=%2B447700900999"), ["03"])
        self.assertEqual(self.ids("/messages?to_end=0999&status=failed"), [])
        self.assertEqual(self.ids("/messages?from=OTHER"), ["03"])
        self.assertEqual(self.ids("/messages?since=2023-11-14T22:13:20Z"), ["03", "02", "01"])
        self.assertEqual(self.ids("/messages?until=2023-11-14T22:13:20Z"), [])
        self.assertEqual(self.ids("/messages?id=00000000-0000-0000-0000-000000000002"), ["02"])

    def test_other_accounts_messages_are_not_listed(self) -> None:
        self.view(1, account="other")
        self.assertEqual(self.ids("/messages"), [])

    def test_a_wrong_parameter_is_named(self) -> None:
        for name, value in (
            ("status", "nonsense"), ("since", "yesterday"), ("until", "9999999"), ("limit", "0"), ("limit", "1e9"),
            ("limit", str(MOST_FOUND + 1)), ("order", "random"), ("notification", "lost"), ("id", "xyz"),
            ("after", "1883171989080868560"), ("after", "x"), ("to", "1" * 300),
        ):  # fmt: skip
            self.assertProblem(self.http.ask("GET", f"/messages?{name}={value}"), 422, name)
        for name in ("carrier_id", "account", "nonsense"):
            self.assertProblem(self.http.ask("GET", f"/messages?{name}=x"), 422, name, "unknown-field")


class QueryTests(HttpTestCase):
    def test_a_status_means_its_states(self) -> None:
        self.assertEqual(query_of({"status": "delivrd"}, None).states, frozenset([DELIVERED]))
        self.assertEqual(query_of({"status": "carrier-reject"}, None).states, frozenset([REJECTED]))
        self.assertIsNone(query_of({}, None).states)

    def test_times_without_an_offset_are_utc_and_a_plus_may_have_become_a_space(self) -> None:
        self.assertEqual(query_of({"since": "2023-11-14T22:13:20"}, None).since, 1_700_000_000.0)
        self.assertEqual(query_of({"since": "2023-11-14T23:13:20 01:00"}, None).since, 1_700_000_000.0)
        self.assertEqual(query_of({"since": "2023-11-14"}, None).since, 1_699_920_000.0)

    def test_nothing_that_is_no_query_is_taken_for_one(self) -> None:
        for parameters in ({"limit": "-1"}, {"since": "0001-01-01T00:00:00Z"}, {"id": "a" * 40}):
            with self.assertRaises(QueryProblem):
                query_of(parameters, None)

"""Routing: the longest prefix decides, and the order of carriers is kept."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.prefix_table import PrefixTable
from relay.config.route_config import Route
from relay.routing.routes import Routes


def carriers(routes: Routes, destination: bytes) -> tuple[str, ...]:
    """The carriers for a destination address."""
    return routes.carriers_of(b"\0\0\0\0\0" + destination + b"\0")


class RoutesTests(SynchronousTestCase):
    def test_the_longest_matching_prefix_wins(self) -> None:
        routes = Routes([Route(prefix="44", carriers=["uk"]), Route(prefix="447", carriers=["mobile"])])
        self.assertEqual(carriers(routes, b"447700900123"), ("mobile",))
        self.assertEqual(carriers(routes, b"441632960001"), ("uk",))

    def test_an_empty_prefix_takes_what_nothing_else_does(self) -> None:
        routes = Routes([Route(carriers=["rest"]), Route(prefix="44", carriers=["uk"])])
        self.assertEqual(carriers(routes, b"49151"), ("rest",))

    def test_a_number_that_no_route_matches_has_no_carrier(self) -> None:
        self.assertEqual(carriers(Routes([Route(prefix="44", carriers=["uk"])]), b"49151"), ())

    def test_a_leading_plus_says_nothing_about_the_route(self) -> None:
        self.assertEqual(carriers(Routes([Route(prefix="44", carriers=["uk"])]), b"+4477"), ("uk",))

    def test_carriers_keep_their_order_of_preference(self) -> None:
        self.assertEqual(carriers(Routes([Route(carriers=["b", "a", "c"])]), b"1"), ("b", "a", "c"))

    def test_the_first_of_two_routes_with_one_prefix_wins(self) -> None:
        routes = Routes([Route(prefix="1", carriers=["first"]), Route(prefix="1", carriers=["second"])])
        self.assertEqual(carriers(routes, b"12"), ("first",))

    @given(
        st.lists(st.text("0123456789", max_size=4), max_size=12, unique=True),
        st.text("0123456789", min_size=1, max_size=8),
    )
    def test_the_table_agrees_with_a_search_through_all_routes(self, prefixes: list[str], number: str) -> None:
        routes = Routes([Route(prefix=prefix, carriers=[f"to-{prefix}"]) for prefix in prefixes])
        matching = [prefix for prefix in prefixes if number.startswith(prefix)]
        expected = (f"to-{max(matching, key=len)}",) if matching else ()
        for _ in ("found", "known by now"):
            self.assertEqual(carriers(routes, number.encode()), expected)

    def test_the_memory_of_routes_by_number_is_bounded(self) -> None:
        table = PrefixTable({b"44770090": "one", b"": "rest"}, "none")
        for number in range(100_000):
            table.find(b"\0\0\0\0\0%08d\0" % number)
        self.assertLessEqual(len(table._known), 50_000)
        self.assertEqual(table.find(b"\0\0\0\0\0" + b"447700900123\0"), "one")

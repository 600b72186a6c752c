"""Routes with conditions and weights: which route a message takes, and which carriers."""

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from relay.config.route_config import Route
from relay.routing.carrier_order import RouteCarriers
from relay.routing.hours import Hours, overlap, times_to_try
from relay.routing.number_lists import NamedList, NumberList, NumberLists
from relay.routing.routes import Routes

LONDON = ZoneInfo("Europe/London")


def at(text: str, zone: ZoneInfo = LONDON) -> float:
    """An instant in London."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def addresses(sender: str = "", number: str = "447700900123") -> bytes:
    return b"\0\0%b\0\1\1%b\0" % (sender.encode(), number.encode())


def route(name: str, **conditions: object) -> Route:
    """A route with a carrier of its own."""
    return Route(carriers=[name], **conditions)  # type: ignore[arg-type]


class DecidingTests(SynchronousTestCase):
    """What a route asks for, and who goes first."""

    def way(self, routes: list[Route], account: str = "", sender: str = "", moment: float = 0.0) -> str:
        """The carrier of a message; the order of the file may not matter."""
        found = {
            Routes(each).carriers_of(addresses(sender), account, moment) for each in (routes, list(reversed(routes)))
        }
        self.assertEqual(len(found), 1)
        return found.pop()[0] if found != {()} else ""

    def test_a_route_of_an_account_takes_only_messages_of_that_account(self) -> None:
        routes = [route("own", account="acme"), route("rest")]
        self.assertEqual(self.way(routes, "acme"), "own")
        self.assertEqual(self.way(routes, "bravo"), "rest")
        self.assertEqual(self.way(routes[:1], "bravo"), "")

    def test_the_account_decides_before_the_sender_and_the_prefix(self) -> None:
        routes = [route("account", account="acme"), route("sender", sender="ACME"), route("prefix", prefix="4477")]
        self.assertEqual(self.way(routes, "acme", "ACME"), "account")

    def test_the_sender_decides_before_hours_and_these_before_the_prefix(self) -> None:
        routes = [route("sender", sender="ACME"), route("hours", hours="00:00-24:00 UTC"), route("p", prefix="44")]
        self.assertEqual(self.way(routes, sender="ACME"), "sender")
        self.assertEqual(self.way(routes, sender="OTHER"), "hours")
        self.assertEqual(self.way(routes[2:], sender="OTHER"), "p")

    def test_the_tags_of_a_message_count_beside_those_of_its_number(self) -> None:
        lists = NumberLists([NamedList("ported", NumberList(["4477"]), False)])
        routes = Routes([route("gold", tag="gold"), route("ported", tag="ported", prefix="4"), route("rest")], lists)
        for number, tags, expected in (
            ("447700900123", ("gold",), "ported"),
            ("4912345678", ("gold", "other"), "gold"),
            ("4912345678", ("other",), "rest"),
            ("4912345678", (), "rest"),
        ):
            self.assertEqual(routes.carriers_of(addresses(number=number), "", 0.0, tags), (expected,))

    def test_an_exact_sender_goes_before_beginnings_and_the_longest_of_these_before_kinds(self) -> None:
        routes = [
            route("exact", sender="ACME1"),
            route("longer", sender="ACM*"),
            route("shorter", sender="A*"),
            route("name", sender="alphanumeric"),
            route("number", sender="numeric"),
            route("rest"),
        ]
        for sender, expected in (
            ("ACME1", "exact"),
            ("ACME", "longer"),
            ("ABC", "shorter"),
            ("BACME", "name"),
            ("acme", "name"),
            ("4477009001", "number"),
            ("+4477009001", "number"),
            ("12345", "number"),
            ("", "rest"),
        ):
            self.assertEqual(self.way(routes, sender=sender), expected, sender)

    def test_a_plus_before_a_sender_means_nothing(self) -> None:
        routes = [route("own", sender="+44770*"), route("rest")]
        self.assertEqual(self.way(routes, sender="447700900000"), "own")
        self.assertEqual(self.way(routes, sender="+447700900000"), "own")

    def test_with_equal_conditions_the_longest_prefix_wins(self) -> None:
        routes = [route("uk", account="acme", prefix="44"), route("mobile", account="acme", prefix="447")]
        self.assertEqual(self.way(routes, "acme"), "mobile")

    def test_of_routes_whose_hours_overlap_the_longer_prefix_decides(self) -> None:
        routes = [
            route("uk", prefix="44", hours="08:00-18:00 UTC"),
            route("mobile", prefix="447", hours="Mon-Sun 00:00-24:00 UTC"),
        ]
        self.assertEqual(self.way(routes, moment=12 * 3600.0), "mobile")

    def test_a_route_with_conditions_that_has_no_fitting_prefix_leaves_the_message_to_others(self) -> None:
        routes = [route("own", account="acme", prefix="49"), route("rest", prefix="44")]
        self.assertEqual(self.way(routes, "acme"), "rest")


class HoursTests(SynchronousTestCase):
    """When hours hold."""

    def test_hours_follow_the_zone_s_summer_time(self) -> None:
        hours = Hours("08:00-20:00 Europe/London")
        for day in ("2026-01-15", "2026-07-15"):
            self.assertTrue(hours.hold(at(f"{day}T08:00")))
            self.assertTrue(hours.hold(at(f"{day}T19:59:59")))
            self.assertFalse(hours.hold(at(f"{day}T20:00")))
            self.assertFalse(hours.hold(at(f"{day}T07:59:59")))

    def test_hours_that_end_before_they_begin_go_on_after_midnight(self) -> None:
        hours = Hours("Fri 22:00-06:00 Europe/London")
        self.assertTrue(hours.hold(at("2026-01-16T23:00")))
        self.assertTrue(hours.hold(at("2026-01-17T05:59")))
        self.assertFalse(hours.hold(at("2026-01-17T23:00")))
        self.assertFalse(hours.hold(at("2026-01-16T05:00")))

    def test_days_are_single_listed_or_a_range_also_over_the_weekend(self) -> None:
        moments = {
            day: at(f"2026-01-{n}T12:00") for n, day in enumerate(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], 12)
        }
        for text, expected in (
            ("Wed", "Wed"),
            ("Mon-Wed", "Mon Tue Wed"),
            ("Sat-Mon", "Mon Sat Sun"),
            ("Tue,Fri", "Tue Fri"),
        ):
            hours = Hours(f"{text} 08:00-20:00 Europe/London")
            self.assertEqual([day for day, moment in moments.items() if hours.hold(moment)], expected.split())

    def test_text_that_says_no_hours_is_refused_with_an_example(self) -> None:
        for text, words in (
            ("08:00-20:00", "says no hours"),
            ("8-20 UTC", "says no hours"),
            ("08:00-08:00 UTC", "holds at no time"),
            ("24:00-06:00 UTC", "holds at no time"),
            ("08:00-25:00 UTC", "25:00 is no time of the day"),
            ("08:60-12:00 UTC", "08:60 is no time of the day"),
            ("Montag 08:00-20:00 UTC", "'Montag' is no day"),
            ("08:00-20:00 Europe/Londinium", "'Europe/Londinium' is no time zone"),
            ("08:00-20:00 ../../etc/passwd", "is no time zone"),
        ):
            self.assertIn(words, str(self.assertRaises(ValueError, Hours, text)))

    def test_an_overlap_is_found_across_time_zones(self) -> None:
        self.assertTrue(overlap(Hours("08:00-12:00 UTC"), Hours("12:00-14:00 Europe/Berlin")))
        self.assertFalse(overlap(Hours("08:00-12:00 UTC"), Hours("12:00-14:00 UTC")))
        # London is an hour ahead of UTC in summer only.
        self.assertTrue(overlap(Hours("08:00-12:00 UTC"), Hours("12:00-13:00 Europe/London")))

    @given(st.lists(st.tuples(st.integers(0, 95), st.integers(0, 95)).filter(lambda t: t[0] != t[1]), max_size=4))
    def test_the_times_to_try_show_every_combination_of_hours(self, quarters: list[tuple[int, int]]) -> None:
        texts = [f"{a // 4:02}:{a % 4 * 15:02}-{b // 4:02}:{b % 4 * 15:02} UTC" for a, b in quarters]
        every = [Hours(text) for text in texts]
        monday = at("2025-01-13T00:00")
        expected = {tuple(h.hold(monday + quarter * 900.0) for h in every) for quarter in range(96)}
        self.assertEqual({tuple(h.hold(moment) for h in every) for moment in times_to_try(texts)}, expected)


class WeightTests(SynchronousTestCase):
    """How carriers share numbers out."""

    def ways(self, place: dict[str, float], count: int = 4000) -> list[tuple[str, ...]]:
        routes = Routes([Route(carriers=[place, "last"])])
        return [routes.carriers_of(addresses(number=f"44770{n:07}")) for n in range(count)]

    def test_each_carrier_comes_first_for_its_share_of_the_numbers(self) -> None:
        firsts = [way[0] for way in self.ways({"a": 70.0, "b": 20.0, "c": 10.0})]
        for name, share in (("a", 0.7), ("b", 0.2), ("c", 0.1)):
            self.assertLess(abs(firsts.count(name) / len(firsts) - share), 0.03)

    def test_the_others_of_the_place_come_next_and_then_the_next_place(self) -> None:
        self.assertEqual(set(self.ways({"a": 70.0, "b": 30.0})), {("a", "b", "last"), ("b", "a", "last")})

    def test_a_number_always_goes_the_same_way_also_with_a_plus(self) -> None:
        route = Route(carriers=[{"a": 50.0, "b": 50.0}])
        for n in range(100):
            number = f"44770090{n:04}"
            ways = {Routes([route]).carriers_of(addresses(number=each)) for each in (number, f"+{number}")}
            self.assertEqual(len(ways), 1)

    def test_a_changed_weight_moves_only_numbers_to_the_carrier_that_gained(self) -> None:
        for before, after in zip(self.ways({"a": 50.0, "b": 50.0}), self.ways({"a": 50.0, "b": 80.0}), strict=True):
            self.assertTrue(before == after or after[0] == "b")

    def test_spill_over_holds_for_shared_numbers_too(self) -> None:
        routes = Routes([Route(carriers=[{"a": 1.0, "b": 1.0}], spill_over_seconds=5.0)])
        carriers = routes.carriers_of(addresses())
        assert isinstance(carriers, RouteCarriers)
        self.assertEqual(carriers.spill_over_seconds, 5.0)

    def test_the_same_order_is_the_same_object_so_that_runs_are_chosen_for_once(self) -> None:
        routes = Routes([Route(carriers=[{"a": 50.0, "b": 50.0}])])
        self.assertIs(routes.carriers_of(addresses()), routes.carriers_of(addresses()))


class CostTests(SynchronousTestCase):
    def test_routes_with_prefixes_only_are_found_by_one_look_up(self) -> None:
        routes = Routes([route("uk", prefix="44"), route("rest")])
        self.assertEqual(routes.chooser("acme", 0.0), routes.chooser("bravo", 1e9))

"""Which carriers a route avoids, and when they come back."""

from twisted.trial.unittest import SynchronousTestCase

from relay.config.route_config import Route, RouteQuality
from relay.quality.quality_rules import Change, QualityRules
from relay.routing.carrier_order import CarrierOrder
from relay.routing.explanation import explain
from relay.routing.routes import Routes
from relay.values.ended_counts import QualityGroup
from tests.quality.test_delivery_quality import Counted

RULE = RouteQuality(delivered_share=0.6, messages=100, window_seconds=3600.0, back_at_share=0.7)
ROUTE = Route(carriers=["tier1", "tier2"], prefix="44", quality=RULE)


def group(carrier: str, country: str = "44", account: str = "acme") -> QualityGroup:
    return QualityGroup(carrier, account, country)


class Judged(Counted):
    """Messages end, and the routes' rules are judged."""

    def __init__(self, *routes: Route) -> None:
        super().__init__()
        self.rules = QualityRules()
        self.routes = routes or (ROUTE,)

    def judge(self) -> list[tuple[str, str, bool]]:
        return [(c.avoided.route, c.avoided.carrier, c.begins) for c in self.changes()]

    def changes(self) -> list[Change]:
        return self.rules.judge(self.routes, self.quality, self.now)

    @property
    def avoided(self) -> list[str]:
        return [carrier for _, carrier in self.rules.avoided]


class AvoidingTests(SynchronousTestCase):
    """A carrier is avoided if it delivers too little of enough messages."""

    def test_a_carrier_that_delivers_less_than_the_share_is_avoided(self) -> None:
        judged = Judged()
        judged.ended(59, 41, group=group("tier1"))
        judged.ended(90, 10, group=group("tier2"))
        (change,) = judged.changes()
        self.assertTrue(change.begins)
        self.assertEqual((change.avoided.carrier, change.share, change.messages), ("tier1", 0.59, 100))
        self.assertEqual(judged.judge(), [])

    def test_too_few_messages_say_nothing(self) -> None:
        judged = Judged()
        judged.ended(0, 99, group=group("tier1"))
        self.assertEqual(judged.judge(), [])

    def test_a_carrier_at_the_share_stays(self) -> None:
        judged = Judged()
        judged.ended(60, 40, group=group("tier1"))
        self.assertEqual(judged.judge(), [])

    def test_only_the_span_of_the_rule_counts(self) -> None:
        judged = Judged()
        judged.ended(0, 500, group=group("tier1"))
        judged.advance(2 * 3600.0)
        judged.ended(90, 10, group=group("tier1"))
        self.assertEqual(judged.judge(), [])

    def test_only_messages_to_the_countries_of_the_prefix_and_of_the_account_count(self) -> None:
        judged = Judged(
            ROUTE,
            Route(carriers=["tier1", "tier2"], prefix="34", account="other", quality=RULE),
            Route(carriers=["tier1", "tier2"], prefix="3", quality=RULE),
            Route(carriers=["tier1", "tier2"], prefix="447", account="acme", quality=RULE),
            Route(carriers=["tier1", "tier2"], quality=RULE),
        )
        judged.ended(0, 200, group=group("tier1", country="34"))
        judged.ended(900, 0, group=group("tier1"))
        self.assertEqual(judged.judge(), [("prefix '3'", "tier1", True)])

    def test_a_route_without_a_prefix_is_judged_by_all_messages(self) -> None:
        judged = Judged(Route(carriers=["tier1", "tier2"], quality=RULE))
        judged.ended(20, 40, group=group("tier1", country="34"))
        judged.ended(20, 40, group=group("tier1", country=""))
        self.assertEqual(judged.judge(), [("all numbers", "tier1", True)])

    def test_a_carrier_that_never_sends_receipts_is_not_judged(self) -> None:
        judged = Judged()
        judged.ended(0, 0, 5000, group=group("tier1"))
        self.assertEqual(judged.judge(), [])

    def test_a_carrier_that_has_stopped_to_send_receipts_is_avoided(self) -> None:
        judged = Judged()
        judged.ended(900, 0, 0, group=group("tier1"))
        judged.advance(2 * 3600.0)
        judged.ended(0, 0, 200, group=group("tier1"))
        self.assertEqual(judged.judge(), [("prefix '44'", "tier1", True)])

    def test_of_carriers_that_all_deliver_too_little_the_best_one_stays(self) -> None:
        judged = Judged(Route(carriers=[{"tier1": 1.0, "tier3": 1.0}, "tier2"], quality=RULE))
        for carrier, delivered in (("tier1", 30), ("tier2", 50), ("tier3", 40)):
            judged.ended(delivered, 100 - delivered, group=group(carrier))
        self.assertEqual([carrier for _, carrier, _ in judged.judge()], ["tier1", "tier3"])
        self.assertEqual(judged.judge(), [])


class ComingBackTests(SynchronousTestCase):
    """An avoided carrier comes back when its trickle is delivered."""

    def setUp(self) -> None:
        self.judged = Judged()
        self.judged.ended(10, 190, group=group("tier1"))
        self.judged.judge()

    def test_it_comes_back_when_it_delivers_enough_of_the_trickle(self) -> None:
        self.judged.advance(2 * 3600.0)
        self.judged.ended(9, 1, group=group("tier1"))
        self.assertEqual(self.judged.judge(), [("prefix '44'", "tier1", False)])
        self.assertEqual(self.judged.avoided, [])

    def test_it_stays_away_for_a_whole_span_whatever_it_delivers(self) -> None:
        self.judged.advance(1800.0)
        self.judged.ended(900, 0, group=group("tier1"))
        self.assertEqual(self.judged.judge(), [])

    def test_it_stays_away_if_it_delivers_only_what_would_let_it_stay(self) -> None:
        self.judged.advance(2 * 3600.0)
        self.judged.ended(65, 35, group=group("tier1"))
        self.assertEqual(self.judged.judge(), [])

    def test_it_stays_away_until_enough_messages_of_the_trickle_have_ended(self) -> None:
        self.judged.advance(2 * 3600.0)
        self.judged.ended(9, 0, group=group("tier1"))
        self.assertEqual(self.judged.judge(), [])

    def test_a_thin_trickle_adds_up_over_hours(self) -> None:
        for _ in range(9):
            self.judged.advance(2 * 3600.0)
            self.judged.ended(1, group=group("tier1"))
            self.assertEqual(self.judged.judge(), [])
        self.judged.advance(2 * 3600.0)
        self.judged.ended(1, group=group("tier1"))
        self.assertEqual(self.judged.judge(), [("prefix '44'", "tier1", False)])

    def test_what_it_did_before_it_was_avoided_keeps_it_away_no_longer(self) -> None:
        self.judged.advance(3600.0)
        self.judged.ended(0, 500, group=group("tier1"))
        self.judged.advance(2 * 3600.0)
        self.judged.ended(20, 0, group=group("tier1"))
        self.assertEqual(self.judged.judge(), [("prefix '44'", "tier1", False)])

    def test_it_comes_back_if_its_rule_is_gone(self) -> None:
        self.judged.routes = (Route(carriers=["tier1", "tier2"], prefix="44"),)
        (change,) = self.judged.changes()
        self.assertEqual((change.avoided.carrier, change.begins, change.messages), ("tier1", False, 0))

    def test_a_carrier_at_the_limit_does_not_come_and_go(self) -> None:
        for _ in range(48):
            self.judged.advance(1800.0)
            self.judged.ended(62, 38, group=group("tier1"))
            self.assertEqual(self.judged.judge(), [])


class OrderTests(SynchronousTestCase):
    """The order of carriers on a route that avoids some."""

    numbers = [b"4477%08d" % number for number in range(4000)]

    def test_an_avoided_carrier_is_tried_last_except_for_a_trickle_of_numbers(self) -> None:
        route = Route(carriers=["a", "b", "c"], quality=RouteQuality(delivered_share=0.5, trickle=0.1))
        order = CarrierOrder(route, frozenset({"a"}), 7)
        found = [order.of(number) for number in self.numbers]
        self.assertEqual(set(found), {("a", "b", "c"), ("b", "c", "a")})
        self.assertTrue(0.08 < found.count(("a", "b", "c")) / len(found) < 0.12)
        self.assertEqual([order.of(b"+" + number) for number in self.numbers], found)

    def test_other_numbers_are_in_the_trickle_later(self) -> None:
        route = Route(carriers=["a", "b"], quality=RouteQuality(delivered_share=0.5, trickle=0.1))
        one, other = ({n for n in self.numbers if CarrierOrder(route, {"a"}, salt).of(n)[0] == "a"} for salt in (1, 2))
        self.assertLess(len(one & other), len(one) / 2)

    def test_weights_hold_among_the_carriers_that_are_not_avoided(self) -> None:
        route = Route(
            carriers=[{"a": 50.0, "b": 25.0, "c": 25.0}], quality=RouteQuality(delivered_share=0.5, trickle=0.01)
        )
        order, plain = CarrierOrder(route, {"a"}, 1), CarrierOrder(route)
        firsts = [order.of(number)[0] for number in self.numbers]
        self.assertTrue(0.4 < firsts.count("b") / len(firsts) < 0.6)
        for number in self.numbers[:200]:
            kept = [name for name in plain.of(number) if name != "a"]
            self.assertEqual([name for name in order.of(number) if name != "a"], kept)

    def test_routes_that_avoid_nobody_are_as_quick_as_before(self) -> None:
        routes = Routes([ROUTE, Route(carriers=["tier2"])])
        self.assertTrue(all(route.plain for route in routes.compiled))
        avoiding = routes.avoiding({0: {"tier1"}}, 0)
        self.assertFalse(avoiding.compiled[0].plain)
        again = avoiding.avoiding({}, 0)
        self.assertTrue(all(route.plain for route in again.compiled))
        self.assertFalse(again.avoids)

    def test_the_explanation_of_a_route_names_the_avoided_carrier(self) -> None:
        routes = Routes([ROUTE]).avoiding({0: {"tier1"}}, 0)
        outside = next(n for n in self.numbers if routes.carriers_of(b"\0\0\0\1\1%b\0" % n)[0] == "tier2")
        found = explain(routes, "acme", "", outside.decode(), 0.0)
        self.assertEqual(found.carriers, ("tier2", "tier1"))
        self.assertIn("The route avoids tier1 now", found.decision)

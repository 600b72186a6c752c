"""Which routes of a configuration are refused, and with which messages."""

from pathlib import Path

from relay.routing.explanation import explain
from relay.routing.number_lists import NamedList, NumberList, NumberLists
from relay.routing.routes import Routes
from tests.app.test_config_checks import ChecksTestCase
from tests.app.test_load_config import read

ROOT = Path(__file__).resolve().parents[2]
WORKING = "accounts: {acme: {}}\ncarriers: {t: {connect: tcp:h:1}, u: {connect: tcp:h:2}}\n"


class RouteChecksTests(ChecksTestCase):
    def assert_route_problem(self, routes: str, key: str, *words: str) -> None:
        self.assert_problem(f"{WORKING}routes: [{routes}]", key, *words)

    def assert_routes_fine(self, routes: str) -> None:
        self.assert_fine(f"{WORKING}routes: [{routes}]")

    def test_a_route_of_an_unknown_account_is_refused(self) -> None:
        self.assert_route_problem(
            "{account: acne, carriers: [t]}", r"routes\[0\].account", "no account 'acne'", "did you mean 'acme'?"
        )

    def test_weights_are_numbers_above_0(self) -> None:
        self.assert_routes_fine("{carriers: [{t: 70, u: 0.5}]}")
        for weight in ("many", "0", "-1"):
            self.assert_route_problem(
                f"{{carriers: [{{t: {weight}, u: 30}}]}}", r"routes\[0\].carriers\[0\].t", "expected a number above 0"
            )
        self.assert_route_problem("{carriers: [{}]}", r"routes\[0\].carriers\[0\]", "{a: 70, b: 30}")
        self.assert_route_problem("{carriers: [[t, u]]}", r"routes\[0\].carriers\[0\]", "got a list")

    def test_carriers_with_weights_exist_and_are_named_once(self) -> None:
        self.assert_route_problem(
            "{carriers: [{t: 1, v: 1}]}", r"routes\[0\].carriers\[0\].v", "there is no carrier 'v'"
        )
        self.assert_route_problem("{carriers: [{t: 1, u: 1}, t]}", r"routes\[0\].carriers\[1\]", "named twice")

    def test_a_message_can_go_on_only_to_another_carrier_and_after_something(self) -> None:
        self.assert_routes_fine("{carriers: [t, u], failover: {}}")
        self.assert_route_problem("{carriers: [t], failover: {}}", r"routes\[0\].failover", "only one carrier")
        self.assert_route_problem("{carriers: [t, u], failover: {on: []}}", r"routes\[0\].failover", "no message ever")
        self.assert_route_problem(
            "{carriers: [t, u], failover: {on: [], errors: [1], no_receipt_seconds: 9}}",
            r"routes\[0\].failover.errors",
            "only together with states",
        )

    def test_a_sender_or_hours_that_cannot_be_read_are_refused(self) -> None:
        self.assert_route_problem('{sender: "A*B", carriers: [t]}', r"routes\[0\].sender", "can't be a sender")
        self.assert_route_problem('{sender: "*", carriers: [t]}', r"routes\[0\].sender", "can't be a sender")
        self.assert_route_problem('{hours: "8-20", carriers: [t]}', r"routes\[0\].hours", "08:00-20:00 Europe/London")

    def test_one_prefix_may_stand_more_than_once_with_other_conditions(self) -> None:
        self.assert_routes_fine(
            "{prefix: 44, carriers: [t]}, {prefix: 44, account: acme, carriers: [t]}, "
            "{prefix: 44, sender: numeric, carriers: [t]}, {prefix: 44, hours: '08:00-20:00 UTC', carriers: [t]}, "
            "{prefix: 44, hours: '20:00-08:00 UTC', account: acme, carriers: [t]}"
        )

    def test_two_routes_for_the_same_messages_are_refused(self) -> None:
        route = "{prefix: 44, account: acme, carriers: [t]}"
        self.assert_route_problem(f"{route}, {route}", r"routes\[1\]", "account 'acme', prefix '44'", "routes[0]")

    def test_two_routes_that_differ_in_hours_which_overlap_are_refused(self) -> None:
        self.assert_route_problem(
            "{hours: '08:00-12:00 UTC', carriers: [t]}, {hours: '12:00-14:00 Europe/Berlin', carriers: [u]}",
            r"routes\[1\]",
            "some of the same hours",
            "routes[0]",
        )

    def test_a_route_that_no_message_can_take_is_refused(self) -> None:
        self.assert_route_problem(
            "{carriers: [t]}, {hours: '08:00-20:00 UTC', carriers: [t]}, {hours: '20:00-08:00 UTC', carriers: [u]}",
            r"routes\[0\]",
            "no message takes this route",
            "routes[1] and routes[2]",
        )

    def test_a_route_that_is_left_a_few_minutes_is_fine(self) -> None:
        self.assert_routes_fine(
            "{carriers: [t]}, {hours: '08:00-20:00 UTC', carriers: [t]}, {hours: '20:05-08:00 UTC', carriers: [u]}"
        )

    def test_a_sender_that_can_not_be_sent_replaces_none(self) -> None:
        self.assert_route_problem(
            "{carriers: [t], replace_sender: much too long for a name}",
            r"routes\[0\].replace_sender",
            "Expected a number of 3 to 20 digits, or up to 11 ASCII letters",
        )

    def test_the_example_of_the_documentation_routes_as_its_comments_say(self) -> None:
        text = (ROOT / "docs/carriers.md").read_text("utf-8").partition("```yaml\naccounts:")[2].partition("```")[0]
        ported = NumberList(["number,network", "4477009001,second-network"], "network")
        lists = NumberLists([NamedList("ported", ported, False)])
        routes = Routes(read("accounts:" + text).routes, lists)
        tuesday = 1_768_305_600.0  # 2026-01-13 12:00 UTC

        def first(account: str, sender: str, to: str, at: float = tuesday) -> str:
            return explain(routes, account, sender, to, at).decision.split(" ")[0]

        self.assertEqual(first("acme", "447700900000", "447700900223"), "routes[0]")
        self.assertEqual(first("acme", "447700900000", "447700900123"), "routes[3]")
        self.assertEqual(first("bank", "BANK-OTP", "447700900123"), "routes[1]")
        self.assertEqual(first("acme", "ACME", "447700900123"), "routes[2]")
        self.assertEqual(first("acme", "ACME", "447700900223", tuesday + 12 * 3600), "routes[0]")
        self.assertEqual(first("bank", "BANK", "4915112345678"), "routes[4]")
        shared = [explain(routes, "bank", "", f"4477008{n:05}", tuesday).carriers for n in range(1000)]
        self.assertLess(abs(sum(way == ("first", "second", "third") for way in shared) / 1000 - 0.7), 0.05)

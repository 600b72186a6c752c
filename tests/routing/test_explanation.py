"""The explanation of why a message takes its route."""

from twisted.trial.unittest import SynchronousTestCase

from relay.config.route_config import Failover, Route
from relay.routing.explanation import Explanation, explain
from relay.routing.routes import Routes

ROUTES = Routes(
    [
        Route(carriers=["any"]),
        Route(prefix="44", carriers=[{"a": 70.0, "b": 30.0}, "c"]),
        Route(account="acme", sender="ACME", carriers=["own"]),
        Route(hours="Mon 00:00-01:00 UTC", carriers=["night"]),
        Route(prefix="49", carriers=["german"], replace_sender="60300"),
        Route(
            prefix="33",
            carriers=["a", "b", "c"],
            failover=Failover(on=["UNDELIV", "EXPIRED"], errors=["027"], no_receipt_seconds=90.0, times=2),
        ),
        Route(prefix="32", carriers=["a", "b"], failover=Failover(on=["REJECTD"])),
    ]
)


class ExplanationTests(SynchronousTestCase):
    def explain(self, account: str = "acme", source: str = "ACME", to: str = "447700900123") -> Explanation:
        return explain(ROUTES, account, source, to, 0.0)

    def test_it_names_the_route_and_the_carriers_in_order(self) -> None:
        found = self.explain()
        self.assertEqual(found.decision, "routes[2] takes the message: own.")
        self.assertEqual(found.carriers, ("own",))

    def test_it_says_which_sender_replaces_the_customer_s(self) -> None:
        found = self.explain(account="other", to="4915112345678")
        self.assertEqual(found.decision, "routes[4] takes the message: german. The sender becomes 60300.")

    def test_it_says_after_what_the_message_goes_to_the_next_carrier(self) -> None:
        found = self.explain(account="other", to="33612345678")
        self.assertEqual(
            found.decision,
            "routes[5] takes the message: a, then b, then c. It goes to the next carrier up to 2 times: after UNDELIV "
            "or EXPIRED with the error 027 or after 90 s without a receipt.",
        )
        found = self.explain(account="other", to="32470123456")
        self.assertIn("It goes to the next carrier once: after REJECTD.", found.decision)

    def test_the_tags_of_a_decision_count_as_those_of_the_number_do(self) -> None:
        routes = Routes([Route(carriers=["any"]), Route(tag="gold", carriers=["direct"])])
        found = explain(routes, "acme", "ACME", "447700900123", 0.0, ["gold"])
        self.assertEqual((found.carriers, found.tags), (("direct",), ["gold"]))
        self.assertEqual(explain(routes, "acme", "ACME", "447700900123", 0.0).carriers, ("any",))

    def test_it_says_of_each_other_route_why_it_does_not_take_the_message(self) -> None:
        verdicts = [step.verdict for step in self.explain().steps]
        self.assertEqual(
            verdicts,
            [
                "matches, but routes[2] says more about the account",
                "matches, but routes[2] says more about the account",
                "takes the message",
                "doesn't match: the time is Thu 00:00 UTC",
                "doesn't match: the number begins otherwise",
                "doesn't match: the number begins otherwise",
                "doesn't match: the number begins otherwise",
            ],
        )
        verdicts = [step.verdict for step in self.explain("bravo").steps]
        self.assertEqual(verdicts[0], "matches, but routes[1] has the longer prefix")
        self.assertEqual(verdicts[2], "doesn't match: the account is bravo")

    def test_it_says_where_weights_have_decided(self) -> None:
        found = self.explain("bravo")
        self.assertIn("The weights and the number decide this order", found.decision)
        self.assertEqual(set(found.carriers), {"a", "b", "c"})

    def test_a_number_without_a_route_is_refused(self) -> None:
        found = explain(Routes([Route(prefix="44", carriers=["a"])]), "acme", "", "4915112345678", 0.0)
        self.assertEqual(found.carriers, ())
        self.assertIn("No route", found.decision)

"""Which account a message from a handset goes to."""

from twisted.trial.unittest import SynchronousTestCase

from relay.config.carrier_config import InboundRule
from relay.routing.inbound_rules import InboundRules


class InboundRulesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rules = InboundRules(
            [
                InboundRule(to="12345", keyword="STOP*", account="optouts"),
                InboundRule(to="12345", keyword="win", account="lottery", over="both"),
                InboundRule(to="4477*", account="mobiles"),
            ],
            "rest",
        )

    def account(self, to: str, text: str) -> str:
        return self.rules.find(to, text).account

    def test_the_first_rule_for_number_and_first_word_decides(self) -> None:
        self.assertEqual(self.account("12345", "Stop sending me this"), "optouts")
        self.assertEqual(self.account("+12345", "  stopall"), "optouts")
        self.assertEqual(self.account("12345", "WIN\nit"), "lottery")
        self.assertEqual(self.account("447700900001", "WIN"), "mobiles")

    def test_what_no_rule_is_for_goes_to_the_rest(self) -> None:
        for to, text in (("12345", "winner"), ("12345", "please STOP"), ("12345", ""), ("123456", "STOP"), ("", "")):
            self.assertEqual(self.account(to, text), "rest")
        self.assertEqual(InboundRules([], "refuse").find("1", "").account, "")

    def test_the_candidates_are_all_who_may_get_a_message_to_the_number(self) -> None:
        def names(to: str) -> list[str]:
            return [target.account for target in self.rules.candidates(to)]

        self.assertEqual(names("12345"), ["optouts", "lottery", "rest"])
        self.assertEqual((names("447700900001"), names("1")), (["mobiles"], ["rest"]))

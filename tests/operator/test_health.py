"""Readiness: what must work, and what may be away."""

from twisted.trial.unittest import SynchronousTestCase

from relay.operator.health import Stage, readiness
from relay.store.store_values import StoreFigures
from tests.operator.operated import OperatedDaemon


class ReadinessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemon = OperatedDaemon()
        self.bound = self.daemon.bind("tier1")

    def stage(self, name: str) -> Stage:
        [stage] = [stage for stage in readiness(self.daemon).stages if stage.name == name]
        return stage

    def test_a_relay_that_takes_messages_and_can_pass_them_on_is_ready(self) -> None:
        self.assertTrue(readiness(self.daemon).ready)

    def test_one_carrier_of_two_may_be_away_and_is_shown_with_its_reason(self) -> None:
        self.daemon.links["tier2"].counters.last_error = "bind refused: ESME_RINVPASWD"
        self.assertTrue(readiness(self.daemon).ready)
        self.assertEqual(
            Stage("carrier tier2", False, "0 of 1 bound; last error: bind refused: ESME_RINVPASWD"),
            self.stage("carrier tier2"),
        )

    def test_with_every_carrier_away_it_is_not_ready(self) -> None:
        for session in self.bound:
            self.daemon.links["tier1"].lost(session, (), "closed")
        self.assertFalse(readiness(self.daemon).ready)

    def test_a_carrier_that_the_operator_holds_says_so(self) -> None:
        self.daemon.links["tier1"].hold(True)
        self.assertEqual(Stage("carrier tier1", False, "held by the operator"), self.stage("carrier tier1"))

    def test_without_a_writable_journal_it_is_not_ready(self) -> None:
        self.daemon.store.shown = StoreFigures(writable=False, reason="no space left")
        self.assertFalse(readiness(self.daemon).ready)
        self.assertEqual(Stage("journal", False, "no space left"), self.stage("journal"))

    def test_while_it_starts_or_stops_it_is_not_ready(self) -> None:
        self.daemon.not_ready = "stopping"
        self.assertFalse(readiness(self.daemon).ready)
        self.assertEqual(Stage("start", False, "stopping"), self.stage("start"))

    def test_without_a_listener_it_is_not_ready(self) -> None:
        self.daemon.listening = []
        self.assertFalse(readiness(self.daemon).ready)
        self.assertEqual(Stage("listeners", False, "nothing listens yet"), self.stage("listeners"))

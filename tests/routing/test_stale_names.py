"""Carriers and accounts that the file no longer has: logged once, and shown while something waits for them."""

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from relay.operator.overview import Observer
from relay.routing.stale_names import LOOK_SECONDS
from tests.operator.operated import OperatedDaemon
from tests.stores import wait_for


class StaleNamesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemon = OperatedDaemon()
        self.store = self.daemon.store
        self.observer = Observer(self.daemon, self.daemon.clock)
        self.logged = self.enterContext(capturedLogs())

    @property
    def said(self) -> list[tuple[str, str, int]]:
        """The log lines about names that are not configured: event, name, how many wait for it."""
        said = []
        for event in self.logged:
            name = str(event.get("log_format", "")).partition(":")[0]
            if name == "carrier_not_configured":
                said.append((name, event["carrier"], event["receipts_out"]))
            elif name == "account_not_configured":
                said.append((name, event["account"], event["owed"]))
        return said

    def troubles(self) -> list[str]:
        return [trouble for trouble in self.observer.look().troubles if "is not in the configuration" in trouble]

    def test_nothing_is_shown_if_the_configuration_has_all_names(self) -> None:
        self.store.out = {"tier1": 7}
        self.store.owed = {"acme": 3}
        self.daemon.stale_names.look()
        self.assertEqual((self.said, self.troubles()), ([], []))
        # Nobody looks again, then.
        self.assertEqual(self.daemon.clock.getDelayedCalls(), [])

    def test_each_name_is_logged_once_and_shown_until_nothing_waits_for_it(self) -> None:
        self.store.out = {"tier1": 7, "gone": 5, "past": 0}
        self.store.owed = {"acme": 3, "former": 2}
        self.daemon.stale_names.look()
        expected = [("carrier_not_configured", "gone", 5), ("account_not_configured", "former", 2)]
        self.assertEqual(self.said, expected)
        self.assertEqual(
            [trouble.partition(",")[0] for trouble in self.troubles()],
            ["5 parts wait for receipts of gone", "2 notifications are owed to former"],
        )
        self.store.out["gone"] = 4
        self.daemon.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.said, expected)
        self.assertIn("4 parts wait for receipts of gone", self.troubles()[0])
        self.store.out["gone"] = 0
        self.store.owed = {}
        self.daemon.clock.advance(LOOK_SECONDS)
        self.assertEqual((self.troubles(), self.daemon.clock.getDelayedCalls()), ([], []))

    def test_a_stop_leaves_no_timer(self) -> None:
        self.store.out = {"gone": 5}
        self.daemon.stale_names.look()
        wait_for(self.daemon.clock, self.daemon.stale_names.stop())
        self.assertEqual(self.daemon.clock.getDelayedCalls(), [])

"""To which carrier of its route a message would go now: what is said is what the message flow does."""

from functools import partial
from itertools import product

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from relay.carriers.link import CarrierLink
from relay.config.carrier_config import Carrier
from relay.config.model import Config
from relay.config.route_config import Route, RouteQuality
from relay.operator.route_now import with_now
from relay.routing.explanation import Explanation, RouteNow, explain
from relay.routing.flow_api import Outgoing
from relay.routing.routes import Routes
from tests.operator.operated import ADDRESSES, OperatedDaemon, configuration, idle_keepers


class SlowLink(CarrierLink):
    """A carrier that would send nothing soon."""

    def room_within(self, seconds: float, account: str) -> int:
        return 0


def two_carriers(route: Route) -> Config:
    """Two carriers whose queues hold one part each."""
    carrier = Carrier(connect="tcp:127.0.0.1:2776", queue=1)
    return msgspec.structs.replace(configuration(), carriers={"tier1": carrier, "tier2": carrier}, routes=[route])


class RouteNowTests(SynchronousTestCase):
    def world(self, states: str, spill_over_seconds: float = 0.0) -> OperatedDaemon:
        """A relay whose two carriers are down (d), up (u), held (h), full (f) or slow (s)."""
        route = Route(carriers=["tier1", "tier2"], spill_over_seconds=spill_over_seconds)
        daemon = OperatedDaemon(two_carriers(route))
        for (name, settings), state in zip(daemon.config.carriers.items(), states, strict=True):
            if state == "s":
                daemon.links[name] = SlowLink(
                    name, settings, daemon.flow, daemon.clock, partial(idle_keepers, settings), queue_bytes=1_000_000
                )
        daemon.flow.reroute(daemon.flow.routes, daemon.links, 3600.0)
        for name, state in zip(daemon.links, states, strict=True):
            if state == "f":
                daemon.links[name].offer([self.part(b"filler", (name,))])
            if state != "d":
                daemon.bind(name)
            if state == "h":
                daemon.links[name].hold(True)
        return daemon

    def part(self, message_id: bytes, carriers: tuple[str, ...]) -> Outgoing:
        return Outgoing(message_id, 0, b"body", 1e9, carriers, "acme")

    def explained(self, daemon: OperatedDaemon) -> Explanation:
        found = explain(daemon.flow.routes, "acme", "", "447700900123", 1000.0)
        return with_now(found, "acme", daemon, 1000.0)

    def now(self, daemon: OperatedDaemon) -> RouteNow:
        found = self.explained(daemon).now
        assert found is not None
        return found

    def test_the_carrier_that_is_named_gets_the_message(self) -> None:
        for states, seconds in product(map("".join, product("duhfs", repeat=2)), (0.0, 5.0)):
            daemon = self.world(states, seconds)
            said = self.now(daemon)
            before = {name: link.queued for name, link in daemon.links.items()}
            carriers = daemon.flow.routes.carriers_of(ADDRESSES, "acme", 1000.0)
            daemon.flow.send([self.part(b"asked", carriers)])
            got = [name for name, link in daemon.links.items() if link.queued > before[name]]
            # A message whose carriers are all full is refused before it is sent.
            self.assertEqual(said.carrier, "" if states == "ff" else got[0], (states, seconds))

    def test_it_says_what_counts_against_each_carrier(self) -> None:
        for states, seconds, decision, words in (
            ("uu", 0.0, "Now it goes to tier1.", ["", ""]),
            ("du", 0.0, "Now it goes to tier2.", ["not now: it is down", ""]),
            ("hu", 0.0, "Now it goes to tier2.", ["not now: an operator holds it", ""]),
            ("fu", 0.0, "Now it goes to tier2.", ["not now: its queue is full: 1 parts", ""]),
            ("dd", 0.0, "Now no carrier takes it: it waits for tier1, or for the first of them that can take it.",
             ["not now: it is down"] * 2),
            ("ff", 0.0, "Now the queues of all its carriers are full: the message is refused.",
             ["not now: its queue is full: 1 parts"] * 2),
            ("su", 5.0, "Now it goes to tier2.",
             ["not now: it would not send the message within 5 s (it takes none now): it spills over", ""]),
            ("sd", 5.0, "Now it goes to tier1: no carrier would send it within 5 s, so it doesn't spill over.",
             ["it would not send the message within 5 s (it takes none now): it spills over", "not now: it is down"]),
        ):  # fmt: skip
            with self.subTest(states=states, seconds=seconds):
                now = self.now(self.world(states, seconds))
                self.assertEqual((decision, words), (now.decision, [each.words for each in now.carriers]))

    def test_it_says_why_a_down_carrier_is_down_and_how_long_a_pause_lasts(self) -> None:
        daemon = self.world("du")
        daemon.links["tier1"].unreachable("Connection refused")
        daemon.links["tier2"].pause(30.0)
        first, second = self.now(daemon).carriers
        self.assertRegex(first.words, "^not now: it is down: .*Connection refused")
        self.assertEqual("it asked for a pause of 30 s more", second.words)

    def test_an_avoided_carrier_is_last_and_says_when_it_comes_back(self) -> None:
        daemon = self.world("uu")
        quality = RouteQuality(delivered_share=0.5, trickle=0.0)
        daemon.flow.routes = Routes([Route(carriers=["tier1", "tier2"], quality=quality)])
        daemon.avoid("tier1")
        daemon.quality.use_routes()
        found = self.explained(daemon)
        self.assertEqual(("tier2", "tier1"), tuple(found.carriers))
        assert found.now is not None
        self.assertEqual("Now it goes to tier2.", found.now.decision)
        said = "the route avoids it: it delivered 12% of 250 messages, and comes back at 60%"
        self.assertEqual(["", said], [each.words for each in found.now.carriers])

    def test_a_message_that_no_carrier_gets_has_no_present(self) -> None:
        daemon = self.world("uu")
        daemon.flow.routes = Routes([])
        self.assertIsNone(self.explained(daemon).now)

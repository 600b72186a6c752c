"""Runs a number of simulated worlds with two relays, and proves that a world notices a gate that is missing."""

import os
from collections import Counter
from collections.abc import Callable, Sequence

from twisted.trial.unittest import SynchronousTestCase

from relay.cluster.lease import LeaseGate
from tests.simulated_database import SimulatedDatabase
from tests.simulation.cluster_world import ClusterWorld, cluster_plan
from tests.simulation.world import Broken, Fault

WORLDS = int(os.environ.get("RELAY_CLUSTER_WORLDS", "8"))


#: The owner is paused while messages wait for a carrier, and while notifications wait for another attempt.
PAUSED = [
    Fault(9.0, "webhooks refuse", 6.0),
    *[Fault(10.0, "submit")] * 6,
    Fault(14.0, "pause the owner", 20.0),
]
#: The owner is paused when the database is about to get a commit. Nothing else happens until it wakes up.
PAUSED_IN_COMMIT = [Fault(5.0, "submit"), Fault(60.0, "pause the owner in a commit", 20.0), Fault(61.0, "submit")]


def broken_in(world: ClusterWorld) -> str:
    """What a world finds to be broken; "" where nothing is."""
    try:
        world.run()
    except Broken as broken:
        return str(broken)
    return ""


class _OpenGate(LeaseGate):
    @property
    def open(self) -> bool:
        return True


class GatelessWorld(ClusterWorld):
    """One whose relays don't ask whether their lease is over before they send."""

    def make_gate(self, uptime: Callable[[], float]) -> LeaseGate:
        return _OpenGate(uptime)


class FencelessWorld(ClusterWorld):
    """One whose database takes rows of an older epoch."""

    def make_database(self, seed: int) -> SimulatedDatabase:
        database = super().make_database(seed)
        database.fences = False
        return database


class ClusterWorldTests(SynchronousTestCase):
    def test_in_many_worlds_with_two_relays_nothing_is_lost_and_only_the_owner_sends(self) -> None:
        counts: Counter[str] = Counter()
        for seed in range(1, WORLDS + 1):
            world = ClusterWorld(seed, cluster_plan(seed))
            broken = broken_in(world)
            self.assertEqual(broken, "", f"world {seed}:\n" + "\n".join(world.log))
            counts += world.counts
        self.assertGreater(counts["notified"], 20 * WORLDS)

    def test_a_seed_plays_the_same_course_again(self) -> None:
        worlds = [ClusterWorld(7, cluster_plan(7)[:8]) for _ in range(2)]
        for world in worlds:
            world.run()
        first, second = worlds
        self.assertEqual((first.log, first.counts, first.heard), (second.log, second.counts, second.heard))

    def found(self, make: Callable[..., ClusterWorld], faults: Sequence[Fault]) -> str:
        """What some worlds of this kind find to be broken. With all gates, nothing is."""
        found = []
        for seed in range(1, 4):
            self.assertEqual(broken_in(ClusterWorld(seed, faults)), "")
            found.append(broken_in(make(seed, faults)))
        return "\n".join(found)

    def test_a_world_notices_a_paused_owner_that_sends_when_it_wakes_up(self) -> None:
        found = self.found(GatelessWorld, PAUSED)
        for what in ("a submit_sm", "a deliver_sm", "a webhook"):
            self.assertIn(f"sent {what} under epoch 1, and the shard has epoch 2", found)

    def test_a_world_notices_a_row_of_an_older_epoch(self) -> None:
        self.assertIn("never heard of it", self.found(FencelessWorld, PAUSED_IN_COMMIT))

"""Runs a number of simulated worlds, and proves that a world notices a broken promise.

`RELAY_SIMULATED_WORLDS` is their number; `make simulate` runs thousands.
"""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from relay.store.journal.journal_store import JournalStore
from relay.values.messages import Message
from relay.values.notifications import Attempt, Claim, QueueKey, Verdict
from tests.simulation.__main__ import play, shrink
from tests.simulation.world import KINDS, Broken, Fault, World, plan

WORLDS = int(os.environ.get("RELAY_SIMULATED_WORLDS", "25"))
#: Messages, a crash that makes whatever memory alone knew disappear, and messages again.
HISTORY = [Fault(60.0 + 300.0 * n, kind) for n, kind in enumerate(["submit", "submit", "kill", "submit", "submit"])]


def broken_in(world: World) -> str:
    """What a world finds to be broken; "" where nothing is."""
    try:
        world.run()
    except Broken as broken:
        return str(broken)
    return ""


class ForgetfulWorld(World):
    """One whose relay says that it has stored messages, and hasn't."""

    def make_store(self, **options: Any) -> JournalStore:
        store = super().make_store(**options)

        def accept(messages: Sequence[Message], idempotency: Any = None, repeatable: Any = (), day: Any = 0) -> Any:
            return succeed(None)

        store.accept = accept  # type: ignore[method-assign]
        return store


class DroppingWorld(World):
    """One whose relay takes a notification for handed over that it never sent."""

    def make_store(self, **options: Any) -> JournalStore:
        store = super().make_store(**options)
        claim = store.claim

        async def claim_and_settle(queue_key: QueueKey, limit: int, now: float) -> Claim:
            claimed = await claim(queue_key, limit, now)
            handed = [Attempt(n, Verdict.DELIVERED, now) for n in claimed.notifications[:1]]
            await store.settle(handed)
            return msgspec.structs.replace(claimed, notifications=claimed.notifications[1:])

        store.claim = claim_and_settle  # type: ignore[assignment, method-assign]
        return store


class RepeatingWorld(World):
    """One whose relay takes a notification that was handed over for one that is due again in an hour."""

    def make_store(self, **options: Any) -> JournalStore:
        store = super().make_store(**options)
        settle = store.settle

        def settle_for_later(batch: Sequence[Attempt]) -> Any:
            return settle([msgspec.structs.replace(a, verdict=Verdict.RETRY, due_at=a.at + 3600.0) for a in batch])

        store.settle = settle_for_later  # type: ignore[method-assign]
        return store


class LosingWorld(World):
    """One whose relay drops the first of the parts that came back unanswered."""

    def _became_ready(self) -> None:
        super()._became_ready()
        for link in self.daemon.links.values():
            sender = link._sender
            put_back = sender.put_back
            sender.put_back = lambda parts, put_back=put_back: put_back(parts[1:])  # type: ignore[method-assign,misc]


class WorldTests(SynchronousTestCase):
    """Days of traffic and of faults, again and again."""

    def test_in_many_simulated_worlds_nothing_accepted_is_lost_and_nothing_is_notified_twice_without_a_cause(
        self,
    ) -> None:
        counts: Counter[str] = Counter()
        for seed in range(1, WORLDS + 1):
            world, broken = play(seed, plan(seed))
            counts += world.counts
            self.assertEqual(broken, "", f"python -m tests.simulation --seed {seed} shows the shortest history")
        self.assertGreater(counts["accepted"], 50 * WORLDS)
        self.assertGreater(counts["notified"], counts["accepted"])
        if WORLDS >= 25:
            self.assertEqual([kind for kind in KINDS if not counts[kind]], [], "these faults never happened")
            money = ("topped up", "no-credit", "quota-exceeded", "given back")
            self.assertEqual([what for what in money if not counts[what]], [])

    def test_a_seed_plays_the_same_course_again(self) -> None:
        first, second = (play(7, plan(7))[0] for _ in range(2))
        self.assertEqual((first.log, first.counts, first.heard), (second.log, second.counts, second.heard))

    def test_a_world_notices_messages_that_were_accepted_and_not_stored(self) -> None:
        self.assertIn("was accepted and is not known", broken_in(ForgetfulWorld(3, HISTORY)))

    def test_a_world_notices_at_once_that_a_notification_nobody_got_is_no_longer_owed(self) -> None:
        self.assertIn("is owed nothing", broken_in(DroppingWorld(3, HISTORY)))

    def test_a_world_notices_a_part_that_is_in_no_queue_any_more(self) -> None:
        # Of these two courses of faults each cuts a connection on which a submit_sm was not answered.
        self.assertIn("is nowhere", broken_in(LosingWorld(1, plan(1))) + broken_in(LosingWorld(2, plan(2))))

    def test_a_world_notices_a_notification_that_is_not_settled(self) -> None:
        self.assertIn("told twice without a cause", broken_in(RepeatingWorld(3, HISTORY)))

    def test_a_history_that_fails_is_made_shorter(self) -> None:
        def fails(faults: Sequence[Fault]) -> bool:
            return {"kill", "submit"} <= {fault.kind for fault in faults}

        shortest = shrink(fails, plan(2) + HISTORY)
        self.assertEqual(sorted(fault.kind for fault in shortest), ["kill", "submit"])

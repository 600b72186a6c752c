"""The running relay counts how messages end, avoids carriers, and keeps both over a restart."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from relay.config.daemon_config import Limits
from relay.config.route_config import Route, RouteQuality
from relay.quality.quality_file import KeptQuality, QualityFile
from relay.quality.quality_watch import COUNT_SECONDS, JUDGE_SECONDS, QualityWatch
from relay.routing.flow import MessageFlow
from relay.routing.routes import Routes
from relay.values.states import UNDELIVERABLE
from tests.quality.test_delivery_quality import Counted
from tests.simulated_disk import SimulatedDisk
from tests.stores import ADDRESSES, NOW, message, receipt, started, submitted

RULE = RouteQuality(delivered_share=0.5, messages=10, window_seconds=300.0)
ROUTES = [Route(carriers=["tier1", "tier2"], quality=RULE), Route(prefix="1", carriers=["tier1"])]


class Rates:
    """No account has a limit."""

    def allow(self, account: str, count: int, now: float) -> float:
        return 0.0

    def allow_up_to(self, account: str, count: int, now: float) -> tuple[int, float]:
        return count, 0.0


class Keeper:
    """Keeps the state in memory; may fail."""

    def __init__(self) -> None:
        self.kept: KeptQuality | None = None
        self.problem: Exception | None = None

    def read(self) -> KeptQuality | None:
        if self.problem is not None:
            raise self.problem
        return self.kept

    def write(self, kept: KeptQuality) -> None:
        if self.problem is not None:
            raise self.problem
        self.kept = kept


def at_once(work: Callable[[], Any]) -> Deferred[Any]:
    return Deferred.fromCoroutine(_done(work))


async def _done(work: Callable[[], Any]) -> Any:
    return await succeed(work())


class WatchCase(SynchronousTestCase):
    """A flow on a real store, and the watch over it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.disk = SimulatedDisk()
        self.keeper = Keeper()
        self.number = 0
        self.recorded: list[tuple[str, str]] = []
        self.begin()

    def begin(self) -> None:
        self.store = started(self.disk, self.clock, limits=Limits())
        self.flow = MessageFlow(
            store=self.store, rates=Rates(), routes=Routes(ROUTES), clock=self.clock, random_bytes=bytes,
            validity_seconds=3600.0,
        )  # fmt: skip
        self.watch = QualityWatch(self.flow, self.clock, 100, self.keeper, at_once)

        async def record(what: str, why: str) -> None:
            self.recorded.append((what, why))

        self.watch.record = record
        self.successResultOf(Deferred.fromCoroutine(self.watch.start()))

    def end(self) -> None:
        stopping = Deferred.fromCoroutine(self.watch.stop())
        self.advance(1.0)
        self.successResultOf(stopping)

    def restart(self) -> None:
        self.end()
        self.disk = self.disk.crash()
        self.begin()

    def advance(self, seconds: float) -> None:
        self.clock.pump([0.5] * int(seconds * 2))

    def deliver(self, delivered: int, failed: int, carrier: str = "tier1") -> None:
        """Messages that the carrier takes, and its receipts."""
        numbers = range(self.number, self.number + delivered + failed)
        self.number += delivered + failed
        at = self.clock.seconds()
        self.store.accept([message(n, accepted_at=at, expires_at=at + 3600.0) for n in numbers])
        self.store.submitted([submitted(n, carrier=carrier, at=at, receipt_due_at=at + 9e6) for n in numbers])
        self.store.receipts(
            [
                receipt(n, 2 if index < delivered else UNDELIVERABLE, carrier, received_at=at + 3.0)
                for index, n in enumerate(numbers)
            ]
        )
        self.advance(1.0)

    def counted(self, carrier: str = "tier1") -> tuple[int, int]:
        found = [counts for group, counts in self.watch.quality.groups.items() if group.carrier == carrier]
        return sum(counts[0] for counts in found), sum(counts[1] for counts in found)

    def order(self) -> tuple[str, ...]:
        return self.flow.routes.carriers_of(ADDRESSES)


class CountingTests(WatchCase):
    """Endings are counted soon, and once."""

    def test_ended_messages_are_counted_within_seconds(self) -> None:
        self.deliver(3, 1)
        self.advance(COUNT_SECONDS)
        self.assertEqual(self.counted(), (3, 1))
        self.deliver(1, 0)
        self.advance(3 * COUNT_SECONDS)
        self.assertEqual(self.counted(), (4, 1))

    def test_a_stop_counts_and_keeps_what_has_ended_and_the_start_goes_on_there(self) -> None:
        self.deliver(3, 1)
        self.restart()
        self.assertEqual(self.counted(), (3, 1))
        self.deliver(1, 1)
        self.advance(3 * COUNT_SECONDS)
        self.assertEqual(self.counted(), (4, 2))

    def test_after_a_crash_what_was_counted_since_the_last_writing_is_counted_again_once(self) -> None:
        self.deliver(2, 0)
        self.advance(310.0)
        self.deliver(3, 1)
        self.advance(2 * COUNT_SECONDS)
        self.assertEqual(self.counted(), (5, 1))
        self.disk = self.disk.crash()
        self.begin()
        self.advance(2 * COUNT_SECONDS)
        self.assertEqual(self.counted(), (5, 1))

    def test_a_crash_soon_after_the_first_start_loses_no_count(self) -> None:
        self.deliver(2, 1)
        self.disk = self.disk.crash()
        self.begin()
        self.advance(2 * COUNT_SECONDS)
        self.assertEqual(self.counted(), (2, 1))

    def test_the_first_start_counts_nothing_that_ended_before_it(self) -> None:
        self.deliver(2, 0)
        self.end()
        self.keeper.kept = None
        self.disk = self.disk.crash()
        self.begin()
        self.advance(2 * COUNT_SECONDS)
        self.assertEqual(self.counted(), (0, 0))
        self.assertEqual(self.watch.quality.since, self.clock.seconds() - 2 * COUNT_SECONDS)

    def test_a_damaged_file_is_told_and_the_relay_counts_from_now_on(self) -> None:
        self.deliver(2, 0)
        self.end()
        self.keeper.problem = OSError("input/output error")
        self.disk = self.disk.crash()
        self.begin()
        self.deliver(1, 0)
        self.advance(2 * COUNT_SECONDS)
        self.assertEqual(self.counted(), (1, 0))

    def test_a_full_disk_stops_no_counting(self) -> None:
        self.keeper.problem = OSError("no space left on device")
        self.advance(700.0)
        self.deliver(1, 0)
        self.advance(2 * COUNT_SECONDS)
        self.assertEqual(self.counted(), (1, 0))


class AvoidingTests(WatchCase):
    """The flow's routes avoid a carrier that delivers too little."""

    def setUp(self) -> None:
        super().setUp()
        # Numbers of the trickle would go on as before.
        self.assertEqual(self.order(), ("tier1", "tier2"))

    def bad(self) -> None:
        self.deliver(1, 19)
        self.advance(JUDGE_SECONDS + COUNT_SECONDS)

    def test_messages_go_to_the_other_carrier_and_it_is_recorded(self) -> None:
        self.bad()
        self.assertEqual(self.order(), ("tier2", "tier1"))
        ((what, why),) = self.recorded
        self.assertEqual(what, "avoid tier1 on the route for all numbers")
        self.assertEqual(why, "it delivered 5% of 20 messages")
        self.assertEqual([each.carrier for each in self.watch.avoided], ["tier1"])

    def test_it_comes_back_when_it_delivers_again(self) -> None:
        self.bad()
        self.advance(700.0)
        self.deliver(9, 0)
        self.advance(JUDGE_SECONDS + COUNT_SECONDS)
        self.assertEqual(self.order(), ("tier1", "tier2"))
        self.assertEqual(
            self.recorded[1], ("use tier1 again on the route for all numbers", "it delivered 100% of 9 messages")
        )

    def test_a_restart_goes_on_avoiding(self) -> None:
        self.bad()
        self.restart()
        self.assertEqual(self.order(), ("tier2", "tier1"))
        self.assertEqual(len(self.recorded), 1)

    def test_a_crash_goes_on_avoiding_and_counts_nothing_twice(self) -> None:
        self.bad()
        self.disk = self.disk.crash()
        self.begin()
        self.assertEqual(self.order(), ("tier2", "tier1"))
        self.advance(2 * COUNT_SECONDS)
        self.assertEqual(self.counted(), (1, 19))

    def test_new_routes_of_a_reload_avoid_the_same_carrier_at_once(self) -> None:
        self.bad()
        self.flow.reroute(Routes([Route(prefix="34", carriers=["tier2"]), *ROUTES]), {}, 3600.0)
        self.watch.use_routes()
        self.assertEqual(self.order(), ("tier2", "tier1"))

    def test_without_the_rule_a_reload_brings_it_back(self) -> None:
        self.bad()
        self.flow.reroute(Routes([Route(carriers=["tier1", "tier2"])]), {}, 3600.0)
        self.watch.use_routes()
        self.assertEqual(self.order(), ("tier1", "tier2"))
        self.advance(JUDGE_SECONDS + COUNT_SECONDS)
        self.assertEqual(self.recorded[1][1], "its rule is gone")

    def test_a_carrier_that_a_reload_removed_comes_back_no_more(self) -> None:
        self.bad()
        self.flow.reroute(Routes([Route(carriers=["tier2", "tier3"], quality=RULE)]), {}, 3600.0)
        self.watch.use_routes()
        self.assertEqual(self.order(), ("tier2", "tier3"))


class QualityFileTests(SynchronousTestCase):
    """The state in a file."""

    def test_what_was_written_is_read(self) -> None:
        file = QualityFile(self.mktemp())
        self.assertIsNone(file.read())
        counted = Counted()
        counted.ended(5, 1)
        counted.advance(900.0)
        for _ in range(2):
            file.write(KeptQuality(counted.quality.kept()))
        found = file.read()
        assert found is not None
        self.assertEqual(found.counts.counts, counted.quality.kept().counts)

    def test_the_file_of_a_newer_version_is_left_alone(self) -> None:
        file = QualityFile(self.mktemp())
        file.write(KeptQuality(Counted().quality.kept(), version=2))
        self.assertIsNone(file.read())

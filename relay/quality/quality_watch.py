"""Counts how messages end in the running relay, and tells the routes which carriers they avoid.

Theory of operation: every few seconds it asks the store how messages have ended since the last time, in slices. So
nothing is counted on the way of a message or receipt. Every ten seconds it judges the carriers by the routes' rules. If
something changes, the flow gets new routes. It writes what it knows to a file when a route begins or ceases to avoid a
carrier, every five minutes, and at a stop.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import msgspec
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger

from relay.quality.delivery_quality import DeliveryQuality
from relay.quality.quality_file import KeptQuality
from relay.quality.quality_rules import Avoided, Change, QualityRules
from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Tasks

#: How often it asks the store, and how often it judges.
COUNT_SECONDS: Final = 5.0
JUDGE_SECONDS: Final = 10.0
#: How often other numbers are in the trickle.
TRICKLE_SECONDS: Final = 600.0
#: Messages that are counted in one turn of the reactor, which takes some 5 ms.
COUNTED_AT_ONCE: Final = 4_000


class Keeper(Protocol):
    """Keeps the state over a restart: `relay.quality.quality_file.QualityFile`."""

    def read(self) -> KeptQuality | None:
        """Reads what was kept."""

    def write(self, kept: KeptQuality) -> None:
        """Replaces it."""


class QualityWatch:
    """Counts, judges and keeps.

    :param in_thread: runs a function in a thread, one at a time.
    :param keeper: keeps the state; None: it is forgotten at a stop.
    :ivar record: records a change for the operator; set by whoever has such records.
    """

    log = Logger()

    def __init__(
        self,
        flow: MessageFlow,
        clock: Any,
        most_groups: int,
        keeper: Keeper | None = None,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] | None = None,
    ) -> None:
        self._flow = flow
        self._clock = clock
        self._keeper = keeper
        self._in_thread = in_thread
        self.quality = DeliveryQuality(most_groups, clock.seconds())
        self.rules = QualityRules()
        self.record: Callable[[str, str], Awaitable[None]] | None = None
        self._tasks = Tasks(self.log)
        self._timer: IDelayedCall | None = None
        self._judged_at = 0.0
        self._salt = 0
        self._started = self._stopping = False
        self._write_failed = False

    @property
    def avoided(self) -> Sequence[Avoided]:
        """The carriers that routes avoid now."""
        return list(self.rules.avoided.values())

    async def start(self) -> None:
        """Goes on with what was kept, and begins to count. The store must have been started."""
        place = self._flow.store.figures().feed_place
        self.quality.since = self._clock.seconds()
        self.quality.place = place
        kept = await self._read()
        if kept is not None:
            self.quality.restore(kept.counts, place)
            self.rules.avoided = {(each.route, each.carrier): each for each in kept.avoided}
        self._started = True
        self.use_routes()
        if kept is None:
            # After a crash, the next start counts from this place.
            await self._write()
        self._wait()

    async def _read(self) -> KeptQuality | None:
        if self._keeper is None or self._in_thread is None:
            return None
        try:
            found: KeptQuality | None = await self._in_thread(self._keeper.read)
        except (OSError, msgspec.MsgspecError) as problem:
            self.log.warn(
                "quality_forgotten: the quality of carriers can't be read: {problem}; it is counted from now on",
                problem=str(problem),
            )
            return None
        return found

    async def stop(self) -> None:
        """Counts no more, and keeps the state."""
        self._stopping = True
        if not self._started:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            await self._count()
        await self._tasks.wait()
        await self._write()

    def use_routes(self) -> None:
        """Makes the flow's routes avoid what they should. Call it after the flow got other routes, in the same turn."""
        routes = self._flow.routes
        avoided = self.rules.names_of([route.route for route in routes.compiled])
        if avoided or routes.avoids:
            self._flow.routes = routes.avoiding(avoided, self._salt)

    def _wait(self) -> None:
        if not self._stopping:
            self._timer = self._clock.callLater(COUNT_SECONDS, self._turn)

    def _turn(self) -> None:
        self._timer = None
        self._tasks.start(self._work())

    async def _work(self) -> None:
        try:
            await self._count()
            now = self._clock.seconds()
            if not 0.0 <= now - self._judged_at < JUDGE_SECONDS:
                self._judged_at = now
                await self._judge(now)
            if self.quality.reading_due(now):
                self.quality.take_reading(now)
                await self._write()
        except Exception:
            self.log.failure("quality_failed: the quality of carriers could not be counted; it is tried again")
        finally:
            self._wait()

    async def _count(self) -> None:
        store = self._flow.store
        while (place := self.quality.place) < store.figures().feed_place:
            self.quality.add(await store.ended_counts(place, COUNTED_AT_ONCE))
            if self._stopping or self.quality.place <= place:
                break
            await deferLater(self._clock, 0.0)

    async def _judge(self, now: float) -> None:
        changes = self.rules.judge([route.route for route in self._flow.routes.compiled], self.quality, now)
        salt = int(now // TRICKLE_SECONDS)
        if changes or (salt != self._salt and self.rules.avoided):
            self._salt = salt
            self.use_routes()
        for change in changes:
            await self._say(change)
        if changes:
            # If we stop before this, the next start judges again.
            await self._write()

    async def _say(self, change: Change) -> None:
        avoided = change.avoided
        if change.begins:
            said = f"avoid {avoided.carrier} on the route for {avoided.route}"
            why = f"it delivered {change.share:.0%} of {change.messages} messages"
            self.log.warn(
                "carrier_avoided: {carrier} delivered {share} of {messages} messages; the route for {route} tries it "
                "last until it delivers {back_at}",
                carrier=avoided.carrier, share=f"{change.share:.0%}", messages=change.messages, route=avoided.route,
                back_at=f"{avoided.back_at:.0%}",
            )  # fmt: skip
        else:
            said = f"use {avoided.carrier} again on the route for {avoided.route}"
            why = (
                f"it delivered {change.share:.0%} of {change.messages} messages"
                if change.messages
                else "its rule is gone"
            )
            self.log.info(
                "carrier_back: the route for {route} uses {carrier} again: {why}",
                carrier=avoided.carrier, route=avoided.route, why=why,
            )  # fmt: skip
        if self.record is not None:
            await self.record(said, why)

    async def _write(self) -> None:
        if self._keeper is None or self._in_thread is None:
            return
        kept, keeper = KeptQuality(self.quality.kept(), list(self.rules.avoided.values())), self._keeper
        try:
            await self._in_thread(lambda: keeper.write(kept))
        except OSError as problem:
            if not self._write_failed:
                self.log.warn(
                    "quality_not_kept: the quality of carriers can't be written: {problem}; a restart forgets it",
                    problem=str(problem),
                )
            self._write_failed = True
        else:
            self._write_failed = False

"""Keeps the statistics that My Account shows. They are updated only when a customer looks at them.

Theory of operation: no code on a message's way knows of statistics. When a customer looks, the account's feed is read
from the place where the last look ended. It is read in slices, and the reactor does other work between them. The
messages that still wait are counted again. If that takes longer, it is done less often: it takes at most a hundredth of
the time.
"""

from collections import OrderedDict
from collections.abc import Sequence
from math import inf
from typing import Final

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from relay.account_pages.delivery_stats import DeliveryStats, DeliveryStatsView, Span
from relay.store.api import StoreQueries
from relay.store.store_values import StoreBusy
from relay.values.states import ACCEPTED, ENROUTE, SCHEDULED, customer_words

#: How many entries of the feed are read in one turn of the reactor. That takes two or three milliseconds.
SLICE: Final = 1000

#: The most waiting messages of one state that are counted. There may be more.
MOST_WAITING: Final = 1000

#: Waiting messages are counted again after so many times the time that the last count took.
PATIENCE: Final = 100.0

#: They are counted again after this time at the latest. The store counts in slices, so the time of a count may be
#: mostly that of other work.
LONGEST_WAIT_SECONDS: Final = 10.0

#: How many accounts' statistics are kept. The one that was looked at longest ago is dropped first.
TALLIES_KEPT: Final = 500

_WAITING_STATES: Final = (SCHEDULED, ENROUTE, ACCEPTED)


class _Kept:
    __slots__ = ("cursor", "first_at", "reading", "stats", "waiting", "waiting_due_at")

    def __init__(self) -> None:
        self.stats = DeliveryStats()
        self.cursor = 0
        self.reading: list[Deferred[None]] | None = None
        self.waiting: Sequence[float] = ()
        self.waiting_due_at = 0.0
        #: When the oldest message that was counted was accepted. The store may have forgotten older ones.
        self.first_at: float | None = None


class PageStats:
    """Gives the statistics that My Account shows, and updates them at each look."""

    def __init__(self, store: StoreQueries, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._slices = DeferredLock()

    async def view(self, account: str, span: Span) -> DeliveryStatsView:
        """The account's statistics over a span, as of now."""
        kept = self._kept.pop(account, None) or _Kept()
        # Moved to the end, because it was looked at most recently.
        self._kept[account] = kept
        while len(self._kept) > TALLIES_KEPT:
            self._kept.popitem(last=False)
        await self._catch_up(account, kept)
        if self._clock.seconds() >= kept.waiting_due_at:
            # Until this count is done, other looks show the last one.
            kept.waiting_due_at = inf
            await self._look_for_waiting(account, kept)
        view = kept.stats.view(span, kept.waiting, self._clock.seconds())
        first_at = kept.first_at
        return view._replace(since=first_at if first_at is not None and first_at > view.starts[0] else None)

    async def _look_for_waiting(self, account: str, kept: _Kept) -> None:
        began_at = self._clock.seconds()
        waiting: list[float] = []
        try:
            for state in _WAITING_STATES:
                views = await self._store.recent(account, state=state, limit=MOST_WAITING)
                waiting += [view.accepted_at for view in views if not view.final]
            kept.waiting = waiting
        except StoreBusy:
            # The account has too many queries under way. The old count is shown.
            pass
        finally:
            now = self._clock.seconds()
            kept.waiting_due_at = now + min((now - began_at) * PATIENCE, LONGEST_WAIT_SECONDS)

    async def _catch_up(self, account: str, kept: _Kept) -> None:
        if kept.reading is not None:
            # Another look is reading now. If this one read, too, both would count the same messages.
            over: Deferred[None] = Deferred()
            kept.reading.append(over)
            await over
            return
        kept.reading = []
        try:
            while True:
                entries = await self._store.feed(account, kept.cursor, SLICE)
                now = self._clock.seconds()
                for entry in entries:
                    words = customer_words(entry.state, entry.carrier_error)
                    kept.stats.ended(entry.accepted_at, entry.at, words.send_status, now)
                    kept.first_at = min(kept.first_at or inf, entry.accepted_at)
                if entries:
                    kept.cursor = entries[-1].cursor
                if len(entries) < SLICE:
                    return
                # Only one account's feed has a slice read in a turn of the reactor.
                await self._slices.run(deferLater, self._clock, 0)
        except StoreBusy:
            # The account has too many queries under way. The statistics of the slices read so far are shown.
            return
        finally:
            waiting, kept.reading = kept.reading, None
            for over in waiting:
                over.callback(None)

"""What the account page counts: one statistics an account, kept from the feed, and only while someone looks.

Theory of operation: nothing on a message's way knows of statistics. Whoever wants to see one has it brought up to date,
which reads the account's feed from where the last look ended, in slices between which the reactor does other work. The
messages that still wait are asked for anew, less often the longer that takes: at most a hundredth of the time goes
into it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from math import inf
from typing import Final

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from relay.account_pages.delivery_stats import DeliveryStats, DeliveryStatsView, Span
from relay.store.api import StoreBusy, StoreQueries
from relay.values.states import ACCEPTED, ENROUTE, SCHEDULED, customer_words

#: Entries of the feed read in one turn of the reactor; two or three milliseconds.
SLICE: Final = 1000

#: Waiting messages of one state that are counted one by one; there may be more.
MOST_WAITING: Final = 1000

#: A new question for waiting messages comes after so many times the time that the last one took.
PATIENCE: Final = 100.0

#: It comes after this at the latest. The answer is made in slices, so most of its time may be others' work.
LONGEST_WAIT_SECONDS: Final = 10.0

#: Accounts whose statistics are kept; the one that was looked at longest ago goes first.
TALLIES_KEPT: Final = 500

_WAITING_STATES: Final = (SCHEDULED, ENROUTE, ACCEPTED)


class _Kept:
    __slots__ = ("cursor", "reading", "stats", "waiting", "waiting_due_at")

    def __init__(self) -> None:
        self.stats = DeliveryStats()
        self.cursor = 0
        self.reading: list[Deferred[None]] | None = None
        self.waiting: Sequence[float] = ()
        self.waiting_due_at = 0.0


class PageStats:
    """Gives the statistics that the account page shows, brought up to date at each look."""

    def __init__(self, store: StoreQueries, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._slices = DeferredLock()

    async def view(self, account: str, span: Span) -> DeliveryStatsView:
        """The account's statistics over a span, as of now."""
        kept = self._kept.pop(account, None) or _Kept()
        # Last in the order: looked at most recently.
        self._kept[account] = kept
        while len(self._kept) > TALLIES_KEPT:
            self._kept.popitem(last=False)
        await self._catch_up(account, kept)
        if self._clock.seconds() >= kept.waiting_due_at:
            # Until this look has its answer, others are shown what the last one saw.
            kept.waiting_due_at = inf
            await self._look_for_waiting(account, kept)
        return kept.stats.view(span, kept.waiting, self._clock.seconds())

    async def _look_for_waiting(self, account: str, kept: _Kept) -> None:
        began_at = self._clock.seconds()
        waiting: list[float] = []
        try:
            for state in _WAITING_STATES:
                views = await self._store.recent(account, state=state, limit=MOST_WAITING)
                waiting += [view.accepted_at for view in views if not view.final]
            kept.waiting = waiting
        except StoreBusy:
            # The account asks so much that the old count must do.
            pass
        finally:
            now = self._clock.seconds()
            kept.waiting_due_at = now + min((now - began_at) * PATIENCE, LONGEST_WAIT_SECONDS)

    async def _catch_up(self, account: str, kept: _Kept) -> None:
        if kept.reading is not None:
            # Another look is reading at this moment; two would count twice.
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
                if entries:
                    kept.cursor = entries[-1].cursor
                if len(entries) < SLICE:
                    return
                # Of all accounts that are read from the beginning, one reads a slice in a turn.
                await self._slices.run(deferLater, self._clock, 0)
        except StoreBusy:
            # The account asks so much that what was read must do.
            return
        finally:
            waiting, kept.reading = kept.reading, None
            for over in waiting:
                over.callback(None)

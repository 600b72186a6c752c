"""Carriers that a reload removed: what is queued is sent, and the receipts that are still out are waited for.

Theory of operation: a removed carrier's link is taken out of the flow, so that no new message comes to it, and drains
in two stages.

* *Sending*: what it has queued goes out for as long as it is up, and for `SENDING_SECONDS` at the most. What is left
  then takes the routes that hold now.
* *Waiting*: nothing more is sent. The binds stay, because a receipt comes over a bind or not at all, and are made anew
  when they end. It is over when no message waits for this carrier's receipt any more, or after `drain_hours` of the
  configuration, counted from the removal.

How many receipts are out is asked of the store now and then, and never counted on the way of a message. A carrier of
the same name that comes back takes over: the old link is handed out, and whoever starts the new one ends it first.

Nothing of this is kept over a restart: the configuration names the carrier no more, so nobody knows how to bind to it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from relay.carriers.link import CarrierLink
from relay.routing.flow import MessageFlow
from relay.routing.flow_api import Outgoing
from relay.runtime.tasks import Tasks

#: How long a removed carrier may take to send what it has queued.
SENDING_SECONDS: Final = 300.0
#: Between two looks whether everything is sent.
_LOOK_SECONDS: Final = 0.1
#: Between two counts of the receipts still out: this, and a second for each so many that the last count found. The
#: store walks through all of them, so a count of a million may cost a tenth of a second.
_COUNT_SECONDS: Final = 1.0
_RECEIPTS_A_SECOND: Final = 20_000


class Drain:
    """One removed carrier.

    :ivar begun_at: when it was removed.
    :ivar receipts_out: parts whose receipt had not come at the last count; None before the first.
    :ivar cut_short: nobody waits any longer.
    :ivar ending: it is being unbound.
    """

    __slots__ = ("begun_at", "cut_short", "ending", "link", "receipts_out")

    def __init__(self, link: CarrierLink, begun_at: float) -> None:
        self.link = link
        self.begun_at = begun_at
        self.receipts_out: int | None = None
        self.cut_short = False
        self.ending = False


class DrainingCarriers:
    """Keeps removed carriers bound until their receipts are in. Only the reactor thread may call.

    :param limit_seconds: how long after its removal a carrier may stay bound; asked at every look.
    :param shutdown_seconds: how long an unbind waits for answers in flight.
    :param gone: called with the name once the carrier is unbound.
    """

    log = Logger()

    def __init__(
        self,
        flow: MessageFlow,
        clock: IReactorTime,
        *,
        limit_seconds: Callable[[], float],
        shutdown_seconds: Callable[[], float],
        gone: Callable[[str], Awaitable[None]],
    ) -> None:
        self._flow = flow
        self._clock = clock
        self._limit_seconds = limit_seconds
        self._shutdown_seconds = shutdown_seconds
        self._gone = gone
        self._tasks = Tasks(self.log)
        self._drains: dict[str, Drain] = {}
        self._sleeping: set[Deferred[None]] = set()
        self._stopping = False

    @property
    def all(self) -> Mapping[str, Drain]:
        """The carriers that drain now, by name."""
        return self._drains

    def link(self, name: str) -> CarrierLink | None:
        """The carrier of that name, where it drains."""
        drain = self._drains.get(name)
        return None if drain is None else drain.link

    def ends_at(self, drain: Drain) -> float:
        """When this carrier is unbound at the latest, as the configuration is now."""
        return drain.begun_at + self._limit_seconds()

    def begin(self, name: str, link: CarrierLink) -> None:
        """Drains a carrier that the flow knows no more; returns at once."""
        drain = self._drains[name] = Drain(link, self._clock.seconds())
        self._tasks.start(self._drain(name, drain))

    def take_over(self, name: str) -> CarrierLink | None:
        """Hands out the link of a carrier that drains, for the caller to retire and stop; None where none does."""
        link = self.link(name)
        self._drains.pop(name, None)
        self.look()
        return link

    def cut_short(self, name: str) -> None:
        """Has a carrier that drains be unbound without waiting for more. Harmless where none does."""
        drain = self._drains.get(name)
        if drain is not None:
            drain.cut_short = True
            self.look()

    def look(self) -> None:
        """Has every drain look again now: something has changed."""
        for sleeping in tuple(self._sleeping):
            sleeping.callback(None)

    async def stop(self) -> None:
        """Waits for no receipt and sends nothing more; unbinds them all at once. What is queued is in the journal."""
        self._stopping = True
        self.look()
        limit = self._shutdown_seconds()
        links = [drain.link for drain in self._drains.values() if not drain.ending]
        await DeferredList([Deferred.fromCoroutine(link.stop(limit)) for link in links], consumeErrors=True)
        await self._tasks.wait()
        # What came back unanswered meanwhile may have been on its way to another carrier.
        await self._tasks.wait()

    async def _drain(self, name: str, drain: Drain) -> None:
        link = drain.link
        drain.receipts_out = await self._flow.store.receipts_out(name)
        self.log.info(
            "carrier_draining: {carrier} was removed; {queued} parts are still sent to it, and it stays bound while "
            "receipts are out: {receipts_out} now",
            carrier=name, queued=link.queued, receipts_out=drain.receipts_out,
        )  # fmt: skip
        until = drain.begun_at + SENDING_SECONDS
        while self._goes_on(name, drain) and link.up and (link.queued or link.in_flight):
            if drain.cut_short or self._clock.seconds() >= until:
                break
            await self._sleep(_LOOK_SECONDS)
        if self._goes_on(name, drain):
            link.retire(self._send_anew)
        while self._goes_on(name, drain):
            drain.receipts_out = await self._flow.store.receipts_out(name)
            left_seconds = self.ends_at(drain) - self._clock.seconds()
            if drain.cut_short or left_seconds <= 0 or not (drain.receipts_out or link.in_flight):
                break
            await self._sleep(min(left_seconds, _COUNT_SECONDS + drain.receipts_out / _RECEIPTS_A_SECOND))
        if not self._goes_on(name, drain):
            # The carrier is back in the configuration and its new link takes this one's place, or the relay stops.
            return
        drain.ending = True
        await link.stop(self._shutdown_seconds())
        if self._drains.get(name) is drain:
            del self._drains[name]
            await self._gone(name)
        self.log.info("carrier_removed: {carrier} is unbound; outstanding receipts that are lost: {receipts_out}",
                      carrier=name, receipts_out=drain.receipts_out)  # fmt: skip

    def _goes_on(self, name: str, drain: Drain) -> bool:
        return self._drains.get(name) is drain and not self._stopping

    def _send_anew(self, parts: Sequence[Outgoing]) -> None:
        self._tasks.start(self._flow.send_anew(parts))

    async def _sleep(self, seconds: float) -> None:
        over: Deferred[None] = Deferred()
        self._sleeping.add(over)
        call = self._clock.callLater(seconds, over.callback, None)
        try:
            await over
        finally:
            self._sleeping.discard(over)
            if call.active():
                call.cancel()

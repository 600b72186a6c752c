"""Drains carriers that a reload removed: sends their queued messages, and waits for their outstanding receipts.

Theory of operation: a removed carrier's link is taken out of the message flow, so that it gets no new messages. Then it
drains in two stages.

* *Sending*: while the link is up, it sends its queued parts, for `SENDING_SECONDS` at the most. Parts that are left
  after that take the present routes.
* *Waiting*: nothing more is sent. The sessions stay bound, because receipts come only over bound sessions. They are
  bound again when they end. This stage ends when no message waits for a receipt of this carrier any more, or
  `drain_hours` after the removal.

Now and then the store is asked how many receipts are outstanding. They are never counted on the way of a message. If a
carrier with the same name comes back, it takes over: `take_over` gives the old link to the caller, who ends it and then
starts the new one.

A restart ends all drains. The configuration doesn't have the carrier any more, so the relay doesn't know how to bind to
it.
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

#: How long a removed carrier may go on sending its queued parts.
SENDING_SECONDS: Final = 300.0
#: How often a drain checks whether all parts are sent.
_LOOK_SECONDS: Final = 0.1
#: The least time between two counts of outstanding receipts. If there are many, the time is longer, because the store
#: reads through all of them: a count of a million may take a tenth of a second.
_COUNT_SECONDS: Final = 1.0
_RECEIPTS_A_SECOND: Final = 20_000


class Drain:
    """The state of one carrier that drains.

    :ivar begun_at: when it was removed.
    :ivar receipts_out: how many receipts were outstanding at the last count; None before the first count.
    :ivar cut_short: whether an operator has ended the wait.
    :ivar ending: whether it is being unbound.
    """

    __slots__ = ("begun_at", "cut_short", "ending", "link", "receipts_out")

    def __init__(self, link: CarrierLink, begun_at: float) -> None:
        self.link = link
        self.begun_at = begun_at
        self.receipts_out: int | None = None
        self.cut_short = False
        self.ending = False


class DrainingCarriers:
    """Keeps removed carriers bound until their receipts have come. Only the reactor thread may call.

    :param limit_seconds: returns how long after its removal a carrier may stay bound. It is called at each check.
    :param shutdown_seconds: returns how long an unbind waits for outstanding responses.
    :param gone: called with the name when the carrier is unbound.
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
        """The link of the carrier with this name, if it drains."""
        drain = self._drains.get(name)
        return None if drain is None else drain.link

    def ends_at(self, drain: Drain) -> float:
        """When this carrier is unbound at the latest, by the present configuration."""
        return drain.begun_at + self._limit_seconds()

    def begin(self, name: str, link: CarrierLink) -> None:
        """Begins to drain a carrier that the message flow doesn't know any more. Returns at once."""
        drain = self._drains[name] = Drain(link, self._clock.seconds())
        self._tasks.start(self._drain(name, drain))

    def take_over(self, name: str) -> CarrierLink | None:
        """Ends a drain. Returns its link, which the caller must retire and stop; None: the carrier doesn't drain."""
        link = self.link(name)
        self._drains.pop(name, None)
        self.look()
        return link

    def cut_short(self, name: str) -> None:
        """Unbinds a carrier that drains, without waiting for its receipts. Does nothing if it doesn't drain."""
        drain = self._drains.get(name)
        if drain is not None:
            drain.cut_short = True
            self.look()

    def look(self) -> None:
        """Makes every drain check now whether it has ended, because something has changed."""
        for sleeping in tuple(self._sleeping):
            sleeping.callback(None)

    async def stop(self) -> None:
        """Unbinds all carriers that drain, without waiting for receipts. Their queued parts are in the journal."""
        self._stopping = True
        self.look()
        limit = self._shutdown_seconds()
        links = [drain.link for drain in self._drains.values() if not drain.ending]
        await DeferredList([Deferred.fromCoroutine(link.stop(limit)) for link in links], consumeErrors=True)
        await self._tasks.wait()
        # Parts that came back unanswered may have been given to another carrier meanwhile.
        await self._tasks.wait()

    async def _drain(self, name: str, drain: Drain) -> None:
        link = drain.link
        drain.receipts_out = await self._flow.store.receipts_out(name)
        self.log.info(
            "carrier_draining: {carrier} was removed; {queued} queued parts are still sent to it, and it stays bound "
            "for outstanding receipts: {receipts_out} now",
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
            # The relay stops, or the carrier is back in the configuration and has a new link.
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

"""Reads kept receipts again when their carrier's dialect has changed.

Theory of operation: with a wrong dialect, a carrier's receipts become orphans, or unreadable, although their messages
are known. A reload, or a start with another file, may correct the dialect. Then all receipts that the store keeps of
that carrier are read again from the PDUs' bodies. This is done in slices, and the reactor does other work between them.
A receipt that finds its message now is handled like any other, with the time at which it came: the first final state
stays, and customers are notified once. A receipt that reads as before stays as it was. So does the
evidence (see `relay.store.table.evidence`), unless some of the carrier's receipts have found their messages: then its
dialect is right now, and the evidence that is left is dismissed.

At a start it is not known with which dialect the receipts were read. So those of all carriers are read again.

If we stop in the middle, then the next start reads the rest again. Receipts that have found their message are in the
journal, and are not kept any more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from relay.carriers.link import CarrierLink
from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Tasks
from relay.store.store_values import ReadAgain, StoreUnavailable
from relay.values.carrier_reports import Outcome

#: How many receipts are read in one turn of the reactor. That takes some milliseconds.
_READ_A_TURN: Final = 200


class Rereading:
    """Reads kept receipts again after their carrier's dialect has changed. Only the reactor thread may call.

    :param link: returns the present link of a carrier; None: there is none.
    """

    log = Logger()

    def __init__(self, flow: MessageFlow, clock: IReactorTime, link: Callable[[str], CarrierLink | None]) -> None:
        self._flow = flow
        self._clock = clock
        self._link = link
        self._tasks = Tasks(self.log)
        self._wanted: set[str] = set()
        self._running = False
        self._stopping = False
        self._sleeping: Deferred[None] | None = None

    def begin(self, carriers: Iterable[str], *, at_start: bool = False) -> None:
        """Begins to read the kept receipts of these carriers again, and returns at once.

        If this is under way already, these carriers follow.

        :param at_start: logs a carrier only if some of its receipts found their messages.
        """
        self._wanted.update(carriers)
        if self._wanted and not self._running and not self._stopping:
            self._running = True
            self._tasks.start(self._run(at_start))

    async def stop(self) -> None:
        """Stops after the slice that is under way."""
        self._stopping = True
        if self._sleeping is not None:
            self._sleeping.cancel()
        await self._tasks.wait()

    async def _run(self, at_start: bool) -> None:
        try:
            while self._wanted and not self._stopping:
                carriers, self._wanted = self._wanted, set()
                await self._walk(carriers, at_start)
                at_start = False
        finally:
            self._running = False

    async def _walk(self, carriers: set[str], at_start: bool) -> None:
        read: Counter[str] = Counter()
        found: Counter[str] = Counter()
        after: tuple[int, int] | None = None
        while not self._stopping:
            page = await self._flow.store.kept_receipts(after, _READ_A_TURN)
            by_carrier: dict[str, list[ReadAgain]] = {}
            looked_at: Counter[str] = Counter()
            for kept in page.receipts:
                link = self._link(kept.carrier) if kept.carrier in carriers else None
                if link is None:
                    continue
                looked_at[kept.carrier] += 1
                receipt = link.read_again(kept)
                if receipt is not None and receipt != kept:
                    by_carrier.setdefault(kept.carrier, []).append(ReadAgain(kept, receipt))
            try:
                for carrier, batch in by_carrier.items():
                    found[carrier] += await self._reread(carrier, batch)
            except StoreUnavailable as problem:
                # Either nothing has changed, or the store will write the changes itself. The slice is read again.
                await self._sleep(problem.retry_after_seconds)
                continue
            read.update(looked_at)
            after = page.after
            if after is None:
                break
            await self._sleep(0.0)
        for carrier in +found:
            await self._dismiss_evidence(carrier)
        for carrier, count in sorted(read.items()):
            if found[carrier] or not at_start:
                self.log.info(
                    "orphans_reread: {found} of {read} kept receipts of {carrier} found their messages",
                    carrier=carrier, found=found[carrier], read=count,
                )  # fmt: skip

    async def _dismiss_evidence(self, carrier: str) -> None:
        while not self._stopping:
            try:
                await self._flow.store.dismiss_evidence(carrier)
                return
            except StoreUnavailable as problem:
                await self._sleep(problem.retry_after_seconds)

    async def _reread(self, carrier: str, batch: Sequence[ReadAgain]) -> int:
        result = await self._flow.follow_up(self._flow.store.reread(batch))
        link = self._link(carrier)
        if link is None:
            return len(batch) - result.outcomes.count(Outcome.ORPHAN)
        return link.intake.count_reread(batch, result.outcomes)

    async def _sleep(self, seconds: float) -> None:
        if self._stopping:
            return
        self._sleeping = deferLater(self._clock, seconds)
        self._sleeping.addErrback(lambda failure: None)
        await self._sleeping
        self._sleeping = None

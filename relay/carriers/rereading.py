"""Receipts that nobody could place, read again when their carrier's dialect has changed.

Theory of operation: with a wrong dialect a carrier's receipts become orphans, or unreadable, although their messages
are known. Once the dialect is corrected, by a reload or by a start with another file, all that the store keeps of that
carrier is read again from the PDUs' bodies, in slices between which the reactor does its other work. What reads as it
did before costs no call. What finds its message now goes the ordinary way, as of the time at which it came: the first
final state wins, customers are told once. The rest stays as it was, but for the evidence (see
`relay.store.table.evidence`): where some of a carrier's receipts found their messages, its dialect is mended, and the
evidence that is left is dismissed. Where none did, it is kept for the next try.

At a start nobody knows which dialect the receipts were read with, so those of every carrier are read again.

If we stop in the middle, then the next start begins anew: what was found by then is in the journal and kept no more.
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
from relay.store.api import StoreUnavailable
from relay.values.messages import Outcome, ReadAgain

#: Receipts that are looked at in one turn of the reactor; some milliseconds.
_READ_A_TURN: Final = 200


class Rereading:
    """Reads kept receipts again after their carrier's dialect has changed. Only the reactor thread may call.

    :param link: gives the carrier of a name as it is now; None: there is none.
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
        """Reads what is kept of these carriers again; returns at once. While that is under way, what is asked for
        follows.

        :param at_start: says in the log only where something was found.
        """
        self._wanted.update(carriers)
        if self._wanted and not self._running and not self._stopping:
            self._running = True
            self._tasks.start(self._run(at_start))

    async def stop(self) -> None:
        """Ends after the slice that is under way."""
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
                # Nothing, or what the store will write by itself, has happened; the same slice is looked at again.
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

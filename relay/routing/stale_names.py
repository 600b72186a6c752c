"""Carriers and accounts that the file no longer has, and for which something still waits.

Theory of operation: the file may have been changed while the relay was stopped. Then receipts are out at a carrier to
which nobody binds any more, or notifications are owed to an account that nobody can be told for, and both would end in
silence. So at a start, after each reload and when a removed carrier has been unbound, the store is asked what waits
under names that the configuration doesn't have; each such name is said once in the log, and shown to the operator
for as long as something waits. While that is so the store is asked again now and then; when all is well it isn't.

A carrier that drains is still bound: it isn't counted here.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Tasks

#: Between two looks while something waits.
LOOK_SECONDS: Final = 60.0


class StaleNames:
    """Finds names that the configuration lacks and for which something waits. Only the reactor thread may call.

    :ivar carriers: parts that wait for a receipt, by carrier, at the last look.
    :ivar accounts: notifications owed, by account, likewise.
    :param known_carriers: the carriers that are configured or drain now; `known_accounts` likewise.
    """

    log = Logger()

    def __init__(
        self,
        flow: MessageFlow,
        clock: IReactorTime,
        *,
        known_carriers: Callable[[], Collection[str]],
        known_accounts: Callable[[], Collection[str]],
    ) -> None:
        self.carriers: Mapping[str, int] = {}
        self.accounts: Mapping[str, int] = {}
        self._flow = flow
        self._clock = clock
        self._known_carriers = known_carriers
        self._known_accounts = known_accounts
        self._tasks = Tasks(self.log)
        self._timer: IDelayedCall | None = None
        self._looking = False
        self._again = False
        self._stopping = False

    def look(self) -> None:
        """Looks soon; returns at once. A wish that comes while a look is under way is granted after it, once."""
        self._again = True
        if not self._looking and not self._stopping:
            self._looking = True
            self._tasks.start(self._run())

    async def stop(self) -> None:
        """Looks no more."""
        self._stopping = True
        self._no_timer()
        await self._tasks.wait()

    async def _run(self) -> None:
        try:
            while self._again and not self._stopping:
                self._again = False
                self._no_timer()
                await self._look()
        finally:
            self._looking = False
        if (self.carriers or self.accounts) and not self._stopping:
            self._timer = self._clock.callLater(LOOK_SECONDS, self._timed)

    async def _look(self) -> None:
        store = self._flow.store
        carriers: dict[str, int] = {}
        for name in await store.carriers():
            if name not in self._known_carriers() and (count := await store.receipts_out(name)):
                carriers[name] = count
        owed = await store.owed_by_account()
        # What is configured is asked last: a reload may have come meanwhile.
        known_carriers, known_accounts = self._known_carriers(), self._known_accounts()
        carriers = {name: count for name, count in carriers.items() if name not in known_carriers}
        accounts = {name: count for name, count in owed.items() if name not in known_accounts}
        for name, count in carriers.items():
            if name not in self.carriers:
                self.log.warn(
                    "carrier_not_configured: {receipts_out} parts wait for receipts of {carrier}, which the "
                    "configuration doesn't have; put it back until they are home, or they end without one",
                    carrier=name, receipts_out=count,
                )  # fmt: skip
        for name, count in accounts.items():
            if name not in self.accounts:
                self.log.warn(
                    "account_not_configured: {owed} notifications are owed to {account}, which the configuration "
                    "doesn't have; put it back until they are delivered, or nobody is told",
                    account=name, owed=count,
                )  # fmt: skip
        self.carriers, self.accounts = carriers, accounts

    def _timed(self) -> None:
        self._timer = None
        self.look()

    def _no_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

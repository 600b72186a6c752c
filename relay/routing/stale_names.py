"""Finds carriers and accounts that the configuration no longer has, and for which receipts or notifications wait.

Theory of operation: somebody may change the configuration while the relay is stopped. Then receipts are out at a
carrier to which the relay doesn't bind any more, or notifications are owed to an account that doesn't exist any more.
Nobody would notice. So the relay looks for such names in the store at a start, after each reload, and after it has
unbound a removed carrier. It logs each name once, and shows it to the operator as long as something waits under the
name. Only then does it look again, once a minute.

The relay is still bound to a carrier that drains, so such a carrier doesn't count here.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from relay.routing.flow import MessageFlow
from relay.runtime.tasks import Tasks

#: Time between two looks while something waits under such a name.
LOOK_SECONDS: Final = 60.0


class StaleNames:
    """Finds names that the configuration lacks but that the store still needs. Only the reactor thread may call it.

    :ivar carriers: the number of parts that waited for a receipt at the last look, for each such carrier.
    :ivar accounts: the number of notifications that were owed at the last look, for each such account.
    :param known_carriers: returns the carriers that are configured or drain now.
    :param known_accounts: returns the accounts that are configured now.
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
        """Starts a look and returns at once. If a look is under way, one more look follows it."""
        self._again = True
        if not self._looking and not self._stopping:
            self._looking = True
            self._tasks.start(self._run())

    async def stop(self) -> None:
        """Stops looking, and waits until the present look has ended."""
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
        # Ask for the configured names again at the end, because a reload may have changed them.
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
